"""Records as they arrive from a source: which of two is newer, and what is stored of them. Pure.

    pushed    what travelled with its version is applied if it is newer; of equal versions, the higher hash counts, then
              the state, so that every order of arrival ends alike
    read      what we read at the source is its present state, whatever its version, unless the record was applied
              after the reading began: then it is older, and has to be read again

A record is whole: what it lacks is empty. Only a row of a file leaves alone what it does not have (`is_partial`).
An erasure is applied however late it arrives, and a record that is erased stays so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from hashlib import blake2b
from typing import Any

from enrich.customers.identifiers import Identifier
from enrich.customers.projection import FILE, IDENTIFIER_FIELDS, NAMELESS, RecordState, StoredRecord
from enrich.customers.source_record import SourceRecord
from enrich.domain.lengths import MAX_CUSTOMER_ID_LENGTH


class RecordOutcome(StrEnum):
    """The result of applying one record."""

    CREATED = "created"  # a customer of its own
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    OLDER = "older"  # than what is stored, or of a form that only a newer version can read
    REMOVED = "removed"  # no longer live at the source


@dataclass(frozen=True, slots=True)
class Arrival:
    """One record as it arrives. version: of the source; None if it has none. into_remote_id: of a merged one."""

    record: SourceRecord
    state: RecordState = RecordState.LIVE
    version: int | None = None
    into_remote_id: str | None = None

    @property
    def precedence(self) -> tuple[bytes, str, str]:
        """Return the sort key among arrivals of one version: the highest one counts."""
        return self.record.hash, self.state, self.into_remote_id or ""


@dataclass(frozen=True, slots=True)
class Origin:
    """The source that records come from, and the way they came.

    read_after: the source's counter when the reading began; None for what was pushed. shared_kinds: of identifiers by
    which its records may be customers of other sources. placeholders: values of these that say nothing.
    """

    source: str
    object: str
    read_after: int | None = None
    is_partial: bool = False
    shared_kinds: frozenset[str] = frozenset()
    placeholders: frozenset[str] = frozenset()


def home_of(source: str, remote_id: str) -> str:
    """Return the customer id of a record that founds a customer: a file's own id, else the source's before it."""
    if source == FILE:
        return remote_id
    home = f"{source}:{remote_id}"
    if len(home) <= MAX_CUSTOMER_ID_LENGTH:
        return home
    return f"{source}:{blake2b(remote_id.encode(), digest_size=12).hexdigest()}"


def compare(origin: Origin, known: StoredRecord | None, arrival: Arrival) -> tuple[RecordOutcome, StoredRecord | None]:
    """Return what becomes of an arrival, and the record to store; None where nothing is written."""
    record, state = arrival.record, arrival.state
    if known is not None and (not known.is_readable or known.state is RecordState.ERASED):
        return RecordOutcome.OLDER, None
    if known is not None and _is_older(origin, known, arrival):
        return RecordOutcome.OLDER, None
    is_same = known is not None and (known.hash, known.state, known.into_remote_id) == (
        record.hash,
        state,
        arrival.into_remote_id,
    )
    if known is not None and is_same:
        if known.version == arrival.version or arrival.version is None:
            return RecordOutcome.UNCHANGED, None
        return RecordOutcome.UNCHANGED, replace(known, version=arrival.version)
    fields = _fields(origin, known, record) if state is RecordState.LIVE else dict(known.fields if known else {})
    if state in (RecordState.PURGED, RecordState.ERASED):
        fields = {}
    new = StoredRecord(
        origin.source,
        origin.object,
        record.remote_id,
        known.home_id if known else home_of(origin.source, record.remote_id),
        state,
        arrival.version if arrival.version is not None else known.version if known else None,
        hash=bytes(len(record.hash)) if state is RecordState.ERASED else record.hash,
        fields=fields,
        into_remote_id=arrival.into_remote_id,
    )
    if known is None:
        return (RecordOutcome.CREATED if state is RecordState.LIVE else RecordOutcome.REMOVED), new
    is_equal = (known.state, known.into_remote_id) == (state, arrival.into_remote_id) and _equal(known.fields, fields)
    if is_equal:
        return RecordOutcome.UNCHANGED, new
    is_removed = state is not RecordState.LIVE and known.state is RecordState.LIVE
    return (RecordOutcome.REMOVED if is_removed else RecordOutcome.CHANGED), new


def _is_older(origin: Origin, known: StoredRecord, arrival: Arrival) -> bool:
    if arrival.state is RecordState.ERASED:  # for good, however late the word of it arrives
        return False
    if origin.read_after is not None:
        return known.seq > origin.read_after
    if arrival.version is None or known.version is None:
        return False
    return (arrival.version, *arrival.precedence) < (known.version, known.hash, known.state, known.into_remote_id or "")


def _fields(origin: Origin, known: StoredRecord | None, record: SourceRecord) -> dict[str, Any]:
    """Return the fields to store, without empty ones."""
    before = known.fields if known and origin.is_partial else {}
    fields = {**before, **record.fields}
    for name in record.partial:
        given = {(kind, value) for kind, value, _ in fields[name]}
        fields[name] = [*fields[name], *(one for one in before.get(name, ()) if tuple(one[:2]) not in given)]
    fields.pop(NAMELESS, None)
    if record.is_nameless:
        if before.get("name") and not before.get(NAMELESS):
            fields["name"] = before["name"]
        else:
            fields[NAMELESS] = True
    return {name: value for name, value in fields.items() if value}


def _equal(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether two records say the same; the order of identifiers does not matter."""
    if one.keys() != other.keys():
        return False
    return all(
        sorted(one[name]) == sorted(other[name]) if name in IDENTIFIER_FIELDS else one[name] == other[name]
        for name in one
    )


def shared_values(record: StoredRecord, origin: Origin) -> set[Identifier]:
    """Return the values by which this record may be a customer of another source; none unless it is live."""
    if record.state is not RecordState.LIVE:
        return set()
    return {
        Identifier(kind, value)
        for name in IDENTIFIER_FIELDS
        for kind, value, _ in record.fields.get(name, ())
        if kind in origin.shared_kinds and value and value not in origin.placeholders
    }
