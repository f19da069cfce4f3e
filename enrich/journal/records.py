"""What the feed and a task's story both tell of a journal row: the records, their columns, and how rows become records.

Rows in, frozen records out, and no question of its own: what the database is asked is for feed_lines.py and stories.py
to say. The texts of an entry are none of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from enrich.domain.outcomes import EntryKind
from enrich.journal.followups import ABANDONED_AFTER
from enrich.journal.tables import EntryRow


@dataclass(frozen=True, slots=True)
class KeyFound:
    """One look-up key of a task, as `vocabulary.LookupKey`; found: how many customers have it, None: not asked."""

    kind: str
    value: str
    trust: str
    attribute: str
    found: int | None


@dataclass(frozen=True, slots=True)
class CandidateFound:
    """One customer that came into question."""

    customer_id: str
    name: str


@dataclass(frozen=True, slots=True)
class LookupFinding:
    """How an entry's customer was looked for. `withheld` names the attributes that hide a caller."""

    keys: tuple[KeyFound, ...] = ()
    withheld: tuple[str, ...] = ()
    candidates: tuple[CandidateFound, ...] = ()


@dataclass(frozen=True, slots=True)
class Summary:
    """What one line of a story tells of one journal row: no text of any length. Moments are aware, in UTC.

    concluded_at, outcome, elapsed_ms: None while it is in progress, or for good if it was broken off.
    reason, by, trust, worker_sid, worker_name, event_type: "" where there is none. match: None when nobody looked.
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
        """Whether TaskRouter waited for its answer."""
        return self.kind in (EntryKind.ASSIGNMENT, EntryKind.FALLBACK)

    def is_broken_off(self, now: datetime) -> bool:
        """Whether it has no conclusion and will get none by itself."""
        return is_broken_off(self.concluded_at, self.received_at, now)


@dataclass(frozen=True, slots=True)
class Entry(Summary):
    """A summary, and how its customer was looked for: enough to say who it was."""

    finding: LookupFinding


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
    """Whether what was received then has no conclusion and will get none by itself."""
    return concluded_at is None and now - received_at > ABANDONED_AFTER


def entry_fields(row: Row[Any]) -> dict[str, Any]:
    """What an `Entry` is made of, by the names of its fields. row: with `ENTRY_COLUMNS`, and possibly others."""
    told = {column.key: getattr(row, column.key) for column in ENTRY_COLUMNS}
    told["finding"] = read_finding(row.finding)
    return told


def read_finding(stored: Mapping[str, Any] | None) -> LookupFinding:
    """How a customer was looked for. stored: in the form of `EntryRow.finding`; None when nobody looked."""
    if not stored:
        return LookupFinding()
    return LookupFinding(
        keys=tuple(
            KeyFound(
                kind=key.get("kind", ""),
                value=key.get("value", ""),
                trust=key.get("trust", ""),
                attribute=key.get("attribute", ""),
                found=key.get("found"),
            )
            for key in _members(stored, "keys")
        ),
        withheld=tuple(str(attribute) for attribute in stored.get("withheld") or ()),
        candidates=tuple(
            CandidateFound(customer_id=str(each.get("customer_id", "")), name=str(each.get("name", "")))
            for each in _members(stored, "candidates")
        ),
    )


def _members(stored: Mapping[str, Any], name: str) -> Iterable[Mapping[str, Any]]:
    return stored.get(name) or ()
