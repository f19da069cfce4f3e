"""Records that their source sends by itself: raw values in, a record with its version and state out. Pure.

    {"id": "17", "version": "2026-11-28T12:00:00Z", "state": "live", "name": "Ada", "phones": ["+14155550100"]}

    version   a time or a number that grows: of two records of one id the higher one counts, in whatever order they come
    state     `live` without one. Of a record in any other state nothing else is read
    into      of a merged record: the id of the one that it is part of now

All other fields are those of a customer in a file (docs/customers.md), and the record counts whole or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from enrich.customers.arrivals import Arrival
from enrich.customers.projection import RecordState
from enrich.customers.record_reading import ReadRecord, read_record, remote_id_problem
from enrich.customers.source_record import SourceRecord

# Of the names and values of one record. Each is read and checked, which nothing interrupts.
MAX_VALUES = 1_000
MAX_NAME_LENGTH = 200
MAX_DEPTH = 20
# A time so far in the future is a clock that is wrong: it would keep all later records out.
MAX_AHEAD = timedelta(minutes=5)

_ENVELOPE = frozenset({"version", "state", "into"})
# RFC 3339, 5.6. Without an offset a time says nothing.
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_NUMBER = re.compile(r"-?\d{1,19}", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_VERSION = "a whole number, or a time such as 2026-11-28T12:00:00Z"


@dataclass(frozen=True, slots=True)
class PushedRecord:
    """One record as it was sent. raw: its values as they came. version: None if it cannot be read.

    arrival: None if the record cannot be applied; then `read` has the problems.
    """

    read: ReadRecord
    raw: Mapping[str, Any]
    version: int | None
    arrival: Arrival | None

    @property
    def remote_id(self) -> str:
        """Return the source's id."""
        return self.read.remote_id

    @property
    def rank(self) -> tuple[Any, ...]:
        """Return the sort key among records of one id that can be applied, or among those that cannot."""
        if self.arrival is None:
            return self.version is not None, self.version or 0
        return self.arrival.state is RecordState.ERASED, self.version, *self.arrival.precedence


def remote_id_of(raw: Mapping[str, Any]) -> str:
    """Return the id in these values, as the source has it; "" for none. A number counts as its digits."""
    value = raw.get("id")
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= 64:
        return str(value)
    return value if isinstance(value, str) else ""


def read_pushed(
    remote_id: str, raw: Mapping[str, Any], region: str, *, kinds: Collection[str], now: datetime
) -> PushedRecord:
    """Return this record, or all its problems. raw: without an id, or with this one. Raises nothing.

    region, kinds: as for `read_record`. now: aware, to recognise versions from the future.
    """
    version, problems = _read_version(raw.get("version"), now)
    if problem := _size_problem(raw):
        return PushedRecord(ReadRecord(remote_id, None, (problem,)), raw, version, None)
    state, into, more = _read_state(remote_id, raw)
    problems += more
    if state is RecordState.LIVE:
        fields = {name: value for name, value in raw.items() if name not in _ENVELOPE}
        read = read_record(remote_id, fields, region, kinds=kinds)
    else:
        read = ReadRecord(remote_id, SourceRecord.tombstone(remote_id))
    problems += read.problems
    if problems or read.record is None or state is None:
        return PushedRecord(ReadRecord(remote_id, None, tuple(problems)), raw, version, None)
    return PushedRecord(read, raw, version, Arrival(read.record, state, version, into))


def version_of(raw: Mapping[str, Any], now: datetime) -> int | None:
    """Return the version in these values; None for one that is missing, wrong, or from the future."""
    return _read_version(raw.get("version"), now)[0]


def parse_version(value: Any) -> int:
    """Return the version as a number: a time as its microseconds since 1970. Text of digits is a number, too.

    Raises ValueError that says what is expected.
    """
    if value is None or value == "":
        raise ValueError(f"missing; send {_VERSION}")
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        if not -(2**63) <= value < 2**63:
            raise ValueError("must fit into 64 bits")
        return value
    if isinstance(value, str) and _TIME.fullmatch(value):
        try:
            at = datetime.fromisoformat(value.upper())
            return (at - _EPOCH) // timedelta(microseconds=1)
        except (ValueError, OverflowError):
            raise ValueError("there is no such time") from None
    raise ValueError(f"must be {_VERSION}")


def _read_version(value: Any, now: datetime) -> tuple[int | None, list[str]]:
    """Return the version, None if it cannot be read, and the problem with it."""
    try:
        version = parse_version(value)
    except ValueError as exc:
        return None, [f"version: {exc}"]
    is_time = isinstance(value, str) and not _NUMBER.fullmatch(value)
    if is_time and version > (now + MAX_AHEAD - _EPOCH) // timedelta(microseconds=1):
        return None, ["version: lies in the future, and would keep out all that comes until then"]
    return version, []


def _read_state(remote_id: str, raw: Mapping[str, Any]) -> tuple[RecordState | None, str | None, list[str]]:
    """Return the state, None if there is no such state; the id of the record that this one is part of; the problems."""
    value, into = raw.get("state"), raw.get("into")
    state = RecordState.LIVE if value is None else next((one for one in RecordState if one == value), None)
    if state is None:
        return None, None, [f"state: must be one of {', '.join(RecordState)}"]
    if state is not RecordState.MERGED:
        return state, None, [] if into is None else ["into: only a merged record has it"]
    target = remote_id_of({"id": into})
    if problem := remote_id_problem(target):
        return state, None, [f"into: {problem}"]
    return state, target, ["into: names the record itself"] if target == remote_id else []


def _size_problem(raw: Mapping[str, Any]) -> str:
    """Return what is too much of these values; "" if nothing is."""
    values = 0
    waiting: list[tuple[Any, int]] = [(raw, 1)]
    while waiting:
        value, depth = waiting.pop()
        if depth > MAX_DEPTH:
            return f"record: nested more than {MAX_DEPTH} deep"
        if isinstance(value, dict) and any(len(name) > MAX_NAME_LENGTH for name in value):
            return f"record: a name of more than {MAX_NAME_LENGTH} characters"
        values += len(value)
        if values > MAX_VALUES:
            return f"record: more than {MAX_VALUES:,} values"
        members = value.values() if isinstance(value, dict) else value
        waiting += [(member, depth + 1) for member in members if isinstance(member, dict | list)]
    return ""
