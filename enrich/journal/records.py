"""Records of journal entries that the feed and the timeline share, their columns, and how rows become records.

Runs no queries: feed.py and timeline.py do. An entry's long texts are not part of these records.

After a roll-back the journal holds what a newer version wrote. Values of closed lists are plain text here, and pages
show an unknown one as it is. JSON of another shape than ours makes its entry unreadable, and no other one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Row

from enrich.domain.outcomes import EntryKind
from enrich.journal.followups import ABANDONED_AFTER
from enrich.journal.tables import EntryRow

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class KeyFound:
    """One look-up key of a task, as `matches.LookupKey`. found: number of customers with this key, None if unknown."""

    kind: str
    value: str
    trust: str
    attribute: str
    found: int | None


@dataclass(frozen=True, slots=True)
class CandidateFound:
    """One candidate of a look-up."""

    customer_id: str
    name: str


@dataclass(frozen=True, slots=True)
class LookupFinding:
    """The look-up of an entry's customer.

    withheld: attributes in which the caller withheld the number. unknown: those with a value of no known form.
    is_readable: False if another version stored it in another shape; then the rest is empty.
    """

    keys: tuple[KeyFound, ...] = ()
    withheld: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    candidates: tuple[CandidateFound, ...] = ()
    is_readable: bool = True


@dataclass(frozen=True, slots=True)
class Summary:
    """One entry as a line of the timeline, without its long texts. Times are aware, in UTC.

    concluded_at, outcome, elapsed_ms: None while in progress, and for good if the entry was interrupted.
    reason, by, trust, worker_sid, worker_name, event_type: "" if there is none. match: None without a look-up.
    """

    id: int
    kind: str
    received_at: datetime
    repeats: int
    task_sid: str | None
    reservation_sid: str | None
    worker_sid: str
    worker_name: str
    event_type: str
    concluded_at: datetime | None
    outcome: str | None
    reason: str
    match: str | None
    by: str
    trust: str
    customer_id: str | None
    customer_name: str
    elapsed_ms: float | None

    @property
    def is_callback(self) -> bool:
        """Return whether TaskRouter waited for the answer."""
        return self.kind in (EntryKind.ASSIGNMENT, EntryKind.FALLBACK)

    def is_broken_off(self, now: datetime) -> bool:
        """Return True if its process died before the conclusion."""
        return is_broken_off(self.concluded_at, self.received_at, now)


@dataclass(frozen=True, slots=True)
class Entry(Summary):
    """A summary with its look-up: enough to name the customer or caller.

    is_readable: False if a part of it has a shape that this version does not know.
    """

    finding: LookupFinding
    is_readable: bool = field(default=True, kw_only=True)


SUMMARY_COLUMNS = (
    EntryRow.id,
    EntryRow.kind,
    EntryRow.received_at,
    EntryRow.repeats,
    EntryRow.task_sid,
    EntryRow.reservation_sid,
    EntryRow.worker_sid,
    EntryRow.worker_name,
    EntryRow.event_type,
    EntryRow.concluded_at,
    EntryRow.outcome,
    EntryRow.reason,
    EntryRow.match,
    EntryRow.by,
    EntryRow.trust,
    EntryRow.customer_id,
    EntryRow.customer_name,
    EntryRow.elapsed_ms,
)

ENTRY_COLUMNS = (*SUMMARY_COLUMNS, EntryRow.finding)


def is_broken_off(concluded_at: datetime | None, received_at: datetime, now: datetime) -> bool:
    """Return True for an entry without a conclusion whose process must have died."""
    return concluded_at is None and now - received_at > ABANDONED_AFTER


def entry_fields(row: Row[Any]) -> dict[str, Any]:
    """Return the fields of an `Entry` by name. row: has `ENTRY_COLUMNS`, and possibly more."""
    fields = {column.key: getattr(row, column.key) for column in ENTRY_COLUMNS}
    finding = read_finding(row.finding)
    return fields | {"finding": finding, "is_readable": finding.is_readable}


def read_finding(stored: object) -> LookupFinding:
    """Return the look-up stored in `EntryRow.finding`; None, without a look-up, gives an empty one."""
    if stored is None:
        return LookupFinding()
    if not isinstance(stored, Mapping):
        return LookupFinding(is_readable=False)
    keys, candidates = members(stored, "keys", dict), members(stored, "candidates", dict)
    withheld, unknown = members(stored, "withheld", str), members(stored, "unknown", str)
    if keys is None or candidates is None or withheld is None or unknown is None:
        return LookupFinding(is_readable=False)
    return LookupFinding(
        keys=tuple(
            KeyFound(
                kind=str(key.get("kind", "")),
                value=str(key.get("value", "")),
                trust=str(key.get("trust", "")),
                attribute=str(key.get("attribute", "")),
                found=found if isinstance(found := key.get("found"), int) else None,
            )
            for key in keys
        ),
        withheld=tuple(withheld),
        unknown=tuple(unknown),
        candidates=tuple(
            CandidateFound(customer_id=str(candidate.get("customer_id", "")), name=str(candidate.get("name", "")))
            for candidate in candidates
        ),
    )


def members(stored: Mapping[str, Any], name: str, of: type[T]) -> Sequence[T] | None:
    """Return the list of this name, empty if it is missing; None if it is no list of this type."""
    listed = stored.get(name)
    if listed is None:
        return ()
    return listed if isinstance(listed, list) and all(isinstance(one, of) for one in listed) else None
