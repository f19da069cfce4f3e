"""Records of a source enter the store: versions, states, what they share with others, and the customers they make.

    pushed    what travelled with its version is applied if it is newer; of equal versions, the higher hash counts
    read      what we read at the source is its present state, whatever its version, unless the record was applied
              after the reading began: then it is older, and has to be read again

A record is whole: what it lacks is empty. Only a row of a file leaves alone what it does not have (`is_partial`).
A record that is erased stays so. Works in the session of the caller; raises DatabaseError.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b
from typing import Any

from sqlalchemy import and_, bindparam, delete, exists, insert, or_, select, union_all, update
from sqlalchemy.orm import Session

from enrich.customers.brake import NOTHING, Removed
from enrich.customers.identifiers import FROM_CRM, Identifier
from enrich.customers.projection import (
    DEFAULT_PRECEDENCE,
    FILE,
    IDENTIFIER_FIELDS,
    NAMELESS,
    Precedence,
    RecordState,
    StoredRecord,
)
from enrich.customers.projector import Recomputed, recompute, stored_record
from enrich.customers.source_record import SourceRecord
from enrich.customers.source_tables import DecisionRow, SharedIdRow, SourceRecordRow
from enrich.customers.tables import CustomerRow, UnlinkedRow
from enrich.database.types import Base
from enrich.domain.lengths import MAX_CUSTOMER_ID_LENGTH

_RECORDS, _SHARED, _CUSTOMERS, _UNLINKED, _DECISIONS = (
    Base.metadata.tables[row.__tablename__]
    for row in (SourceRecordRow, SharedIdRow, CustomerRow, UnlinkedRow, DecisionRow)
)


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


@dataclass(frozen=True, slots=True)
class Origin:
    """Where records come from.

    read_after: the source's counter when the reading began; None for what was pushed. shared_kinds: of identifiers by
    which its records may be customers of other sources. placeholders: values of these that say nothing.
    """

    source: str
    object: str
    read_after: int | None = None
    is_partial: bool = False
    shared_kinds: frozenset[str] = frozenset()
    placeholders: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Applied:
    """The result of a batch. outcomes: by remote id. settled: remote ids where a decision of staff stands above it."""

    outcomes: Mapping[str, RecordOutcome]
    settled: frozenset[str] = frozenset()
    removed: Removed = NOTHING
    recomputed: Recomputed = field(default_factory=Recomputed)


def home_of(source: str, remote_id: str) -> str:
    """Return the customer id of a record that founds a customer: a file's own id, else the source's before it."""
    if source == FILE:
        return remote_id
    home = f"{source}:{remote_id}"
    if len(home) <= MAX_CUSTOMER_ID_LENGTH:
        return home
    return f"{source}:{blake2b(remote_id.encode(), digest_size=12).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a batch will do, found out before the transaction that does it.

    outcomes: of records for which nothing has to be written. founders: new records that found customers. others: what
    has to be applied. settled: as in Applied, of `outcomes`.
    """

    outcomes: Mapping[str, RecordOutcome]
    founders: Sequence[StoredRecord]
    others: Sequence[Arrival]
    settled: frozenset[str] = frozenset()


def plan_records(session: Session, origin: Origin, arrivals: Sequence[Arrival]) -> Plan:
    """Return what these records, of different remote ids, will do. Only reads."""
    by_id = {one.record.remote_id: one for one in arrivals}
    stored = _stored(session, origin, by_id)
    outcomes: dict[str, RecordOutcome] = {}
    founders: list[StoredRecord] = []
    others: list[Arrival] = []
    for remote_id, arrival in by_id.items():
        home = home_of(origin.source, remote_id)
        known = stored.records.get(remote_id)
        outcome, record = _compare(origin, known, arrival)
        if home in stored.unprojected:
            others.append(arrival)
        elif record is None:
            outcomes[remote_id] = outcome
        elif known is None and outcome is RecordOutcome.CREATED and home not in stored.homes | stored.talked_about:
            founders.append(record)
        else:
            others.append(arrival)
    return Plan(outcomes, founders, others, _settled(session, origin, outcomes, stored, outcomes))


def apply_records(
    session: Session,
    origin: Origin,
    arrivals: Sequence[Arrival],
    now: datetime,
    *,
    seq: int,
    precedence: Precedence = DEFAULT_PRECEDENCE,
) -> Applied:
    """Apply these records, of different remote ids, and compute their customers anew.

    seq: the source's counter for this transaction. now: aware.
    """
    by_id = {one.record.remote_id: one for one in arrivals}
    stored = _stored(session, origin, by_id)
    if stored.unprojected:
        recompute(session, stored.unprojected, now, precedence)  # adopts them
        stored = _stored(session, origin, by_id)
    outcomes: dict[str, RecordOutcome] = {}
    writes = _RecordWrites(origin, seq)
    homes: set[str] = set()
    removed_records = 0
    for remote_id, arrival in by_id.items():
        known = stored.records.get(remote_id)
        outcome, record = _compare(origin, known, arrival)
        if outcome is RecordOutcome.CREATED and home_of(origin.source, remote_id) in stored.homes:
            outcome = RecordOutcome.CHANGED
        outcomes[remote_id] = outcome
        if record is None:
            continue
        writes.put(record, known)
        if known is None or outcome is not RecordOutcome.UNCHANGED:
            homes.add(record.home_id)
            removed_records += known is not None and known.state is RecordState.LIVE and record.state is not known.state
    homes |= writes.write(session)
    recomputed = recompute(session, homes, now, precedence)
    identifiers = _identifiers_lost(recomputed)
    settled = _settled(session, origin, by_id, stored, outcomes)
    return Applied(outcomes, settled, Removed(removed_records, len(identifiers)), recomputed)


@dataclass(slots=True)
class _Stored:
    """What is stored about a batch. homes: ids of customers that exist. unprojected: those that have to be adopted.

    talked_about: homes without a customer of which a record or decision speaks all the same, or may speak.
    """

    records: dict[str, StoredRecord] = field(default_factory=dict)
    homes: set[str] = field(default_factory=set)
    unprojected: set[str] = field(default_factory=set)
    talked_about: set[str] = field(default_factory=set)


def _stored(session: Session, origin: Origin, remote_ids: Collection[str]) -> _Stored:
    stored = _Stored()
    homes = {remote_id: home_of(origin.source, remote_id) for remote_id in remote_ids}
    versions = select(_CUSTOMERS.c.id, _CUSTOMERS.c.version, _CUSTOMERS.c.projected_version)
    for row in session.execute(versions.where(_CUSTOMERS.c.id.in_(set(homes.values())))):
        stored.homes.add(row.id)
        if row.version != row.projected_version:
            stored.unprojected.add(row.id)
    rows = session.execute(
        select(_RECORDS).where(
            _RECORDS.c.source == origin.source,
            _RECORDS.c.object == origin.object,
            _RECORDS.c.remote_id.in_(remote_ids),
        )
    )
    stored.records = {row.remote_id: stored_record(row) for row in rows}
    new = {remote_id: home for remote_id, home in homes.items() if remote_id not in stored.records}
    stored.talked_about = set(new.values()) if origin.shared_kinds else _talked_about(session, origin, new)
    return stored


def _talked_about(session: Session, origin: Origin, new: Mapping[str, str]) -> set[str]:
    """Return those of the homes of new records that a record or a decision speaks of. new: remote id -> home."""
    homes = set(new.values())
    if not homes:
        return homes
    merged_into = and_(_RECORDS.c.source == origin.source, _RECORDS.c.into_remote_id.in_(new))
    rows = session.execute(
        union_all(
            select(_DECISIONS.c.subject).where(_DECISIONS.c.subject.in_(homes)),
            select(_DECISIONS.c.other).where(_DECISIONS.c.other.in_(homes)),
            select(_RECORDS.c.home_id).where(_RECORDS.c.home_id.in_(homes)),
        )
    )
    into = session.scalars(select(_RECORDS.c.into_remote_id).where(merged_into))
    return {row[0] for row in rows} | {new[remote_id] for remote_id in into if remote_id}


def _compare(origin: Origin, known: StoredRecord | None, arrival: Arrival) -> tuple[RecordOutcome, StoredRecord | None]:
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
        return RecordOutcome.UNCHANGED, _with(known, version=arrival.version)
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
    return (arrival.version, arrival.record.hash) < (known.version, known.hash)


def _with(known: StoredRecord, *, version: int) -> StoredRecord:
    return StoredRecord(
        *known.key,
        known.home_id,
        known.state,
        version,
        hash=known.hash,
        fields=known.fields,
        into_remote_id=known.into_remote_id,
    )


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


class _RecordWrites:
    """The writes of records and their shared ids, one statement for each kind."""

    def __init__(self, origin: Origin, seq: int) -> None:
        self._origin = origin
        self._seq = seq
        self._new: list[dict[str, Any]] = []
        self._changed: list[dict[str, Any]] = []
        self._shared_before: dict[str, set[Identifier]] = {}
        self._shared: dict[str, set[Identifier]] = {}

    def put(self, record: StoredRecord, known: StoredRecord | None) -> None:
        """Add a record. known: as it is stored."""
        values = {
            "version": record.version,
            "hash": record.hash,
            "state": record.state,
            "into_remote_id": record.into_remote_id,
            "seq": self._seq,
            "fields": dict(record.fields),
        }
        if known is None:
            of_record = {"source": record.source, "object": record.object, "remote_id": record.remote_id}
            self._new.append({**of_record, "home_id": record.home_id, **values})
        else:
            self._changed.append({"of": record.remote_id, **values})
        if self._origin.shared_kinds:
            self._shared[record.remote_id] = shared_values(record, self._origin)
            self._shared_before[record.remote_id] = shared_values(known, self._origin) if known else set()

    def write(self, session: Session) -> set[str]:
        """Execute the statements; return the homes of other records whose values came, changed or went."""
        connection = session.connection()
        if self._new:
            connection.execute(insert(_RECORDS), self._new)
        if self._changed:
            of_record = and_(
                _RECORDS.c.source == self._origin.source,
                _RECORDS.c.object == self._origin.object,
                _RECORDS.c.remote_id == bindparam("of"),
            )
            connection.execute(update(_RECORDS).where(of_record), self._changed)
        return self._write_shared(session) if self._origin.shared_kinds else set()

    def _write_shared(self, session: Session) -> set[str]:
        of_object = {"source": self._origin.source, "object": self._origin.object}
        gone = [
            {"of": remote_id, "of_kind": key.kind, "of_value": key.value}
            for remote_id, keys in self._shared_before.items()
            for key in keys - self._shared[remote_id]
        ]
        new = [
            {**of_object, "remote_id": remote_id, "kind": key.kind, "value": key.value}
            for remote_id, keys in self._shared.items()
            for key in keys - self._shared_before[remote_id]
        ]
        touched = {(one["of_kind"], one["of_value"]) for one in gone} | {(one["kind"], one["value"]) for one in new}
        homes = _homes_of_holders(session, touched)  # before: those that lose an edge
        connection = session.connection()
        if gone:
            connection.execute(
                delete(_SHARED).where(
                    _SHARED.c.source == self._origin.source,
                    _SHARED.c.object == self._origin.object,
                    _SHARED.c.remote_id == bindparam("of"),
                    _SHARED.c.kind == bindparam("of_kind"),
                    _SHARED.c.value == bindparam("of_value"),
                ),
                gone,
            )
        if new:
            connection.execute(insert(_SHARED), new)
        return homes


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


def _homes_of_holders(session: Session, values: Iterable[tuple[str, str]]) -> set[str]:
    by_kind: dict[str, set[str]] = defaultdict(set)
    for kind, value in values:
        by_kind[kind].add(value)
    of_record = and_(
        _RECORDS.c.source == _SHARED.c.source,
        _RECORDS.c.object == _SHARED.c.object,
        _RECORDS.c.remote_id == _SHARED.c.remote_id,
    )
    return {
        home
        for kind, of_kind in by_kind.items()
        for home in session.scalars(
            select(_RECORDS.c.home_id)
            .join(_SHARED, of_record)
            .where(_SHARED.c.kind == kind, _SHARED.c.value.in_(of_kind))
        )
    }


def _identifiers_lost(recomputed: Recomputed) -> set[Identifier]:
    """Return the identifiers of sources that changed customers have lost, but for customers who are gone."""
    after = recomputed.after
    before = {
        key
        for customer_id, stored in recomputed.before.items()
        if stored and (projection := after[customer_id]) and not projection.is_gone
        for key, (_, _, source) in stored.identifiers.items()
        if source == FROM_CRM
    }
    return before - {key for one in after.values() if one for key in one.identifiers}


def _settled(
    session: Session,
    origin: Origin,
    remote_ids: Iterable[str],
    stored: _Stored,
    outcomes: Mapping[str, RecordOutcome],
) -> frozenset[str]:
    """Return the records above which a decision of staff stands: an edit, an unlink or a merge."""
    homes = {
        stored.records[one].home_id if one in stored.records else home_of(origin.source, one): one
        for one in remote_ids
        if outcomes[one] is not RecordOutcome.CREATED
    }
    if not homes:
        return frozenset()
    is_unlinked = exists().where(_UNLINKED.c.customer_id == _CUSTOMERS.c.id)
    rows = session.scalars(
        select(_CUSTOMERS.c.id).where(
            _CUSTOMERS.c.id.in_(homes),
            or_(_CUSTOMERS.c.settled.is_not(None), _CUSTOMERS.c.merged_into.is_not(None), is_unlinked),
        )
    )
    return frozenset(homes[one] for one in rows)
