"""The timeline of one task: its entries as lines, one of them in full, and a cheap version for polling.

Reads only, loads the texts of at most one entry, and returns frozen records. Every query uses an index of the task or
entry; a very long timeline is cut to its end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, case, select
from sqlalchemy.orm import Session

from enrich.database.engine import Database
from enrich.domain.deadline import Step
from enrich.domain.outcomes import ActivityType, EntryKind, Outcome
from enrich.journal import contacts
from enrich.journal.records import (
    ENTRY_COLUMNS,
    SUMMARY_COLUMNS,
    Entry,
    LookupFinding,
    Summary,
    entry_fields,
    is_broken_off,
    members,
)
from enrich.journal.tables import NO_EVENT, EntryRow, FollowupRow

# A longer timeline shows its end. An entry takes some 600 bytes of page, and an open page polls every two seconds.
MAX_ENTRIES = 50
MAX_FOLLOWUPS = 50
# A longer step is none: what is stored is infinite, or no time.
MAX_STEP_MS = 1e9


@dataclass(frozen=True, slots=True)
class FullEntry(Entry):
    """One entry with all its texts, as stored: they hold personal data, and may be hostile or broken JSON.

    attributes_before: None if never fetched; attributes_after: None if nothing was written; answer: None if none.
    decision: as in `EntryRow.decision`; None without a policy.
    """

    workspace_sid: str
    raw_form: str
    attributes_before: str | None
    attributes_after: str | None
    answer: str | None
    decision: Mapping[str, Any] | None
    steps: tuple[Step, ...]

    @property
    def attributes_now(self) -> str | None:
        """Return the task's attributes after this entry: as written, or as fetched if no write was needed."""
        if self.attributes_after is None and self.outcome == Outcome.ENRICHED:
            return self.attributes_before
        return self.attributes_after


@dataclass(frozen=True, slots=True)
class TimelineFollowup:
    """One follow-up of an entry. due_at: None once it is done or given up."""

    id: int
    kind: str
    entry_id: int
    created_at: datetime
    due_at: datetime | None
    attempts: int
    last_reason: str
    done_at: datetime | None
    given_up_at: datetime | None

    @property
    def is_open(self) -> bool:
        """Return whether it is neither done nor given up."""
        return self.done_at is None and self.given_up_at is None


@dataclass(frozen=True, slots=True)
class Timeline:
    """The entries of one task, one of them in full.

    task_sid: None for an entry without a task. shown: the requested entry, or the newest.
    entries: in the order of receipt, at least one. followups: if there are too many, open ones are kept.
    is_whole: False if older entries were left out. The shown entry, and the newest that is not an event, are kept.
    """

    task_sid: str | None
    shown: FullEntry
    entries: tuple[Summary, ...]
    followups: tuple[TimelineFollowup, ...]
    is_whole: bool

    @property
    def newest(self) -> Summary:
        """Return the entry that the feed shows for this task; if there are only events, the last one."""
        return max(self.entries, key=lambda entry: (entry.kind != EntryKind.EVENT, entry.id))

    @property
    def is_newest_shown(self) -> bool:
        return self.shown.id == self.newest.id

    @property
    def callback(self) -> Summary | None:
        """Return the callback behind the shown late enrichment: of the same reservation, else the last one before it.

        None if the shown entry is of another kind, or the callback is not among the entries.
        """
        if self.shown.kind != EntryKind.LATE:
            return None
        before = [entry for entry in self.entries if entry.is_callback and entry.id < self.shown.id]
        reservation_sid = self.shown.reservation_sid or "none"
        return max(before, key=lambda entry: (entry.reservation_sid == reservation_sid, entry.id), default=None)

    @property
    def open_followups(self) -> tuple[TimelineFollowup, ...]:
        """Return the follow-ups that are neither done nor given up."""
        return tuple(followup for followup in self.followups if followup.is_open)

    @property
    def is_final(self) -> bool:
        """Return whether nothing more is expected unless TaskRouter calls again."""
        is_concluded = self.newest.concluded_at is not None and self.shown.concluded_at is not None
        return is_concluded and not self.open_followups

    @property
    def restorations(self) -> int:
        """The number of times that the block was put back after another program had overwritten it."""
        return sum(entry.event_type == ActivityType.RESTORED for entry in self.entries)

    @property
    def worker(self) -> tuple[str, str]:
        """SID and name of the worker that the task was last offered to; "" if unknown."""
        offered = [entry for entry in self.entries if entry.kind != EntryKind.EVENT]
        return next(
            (
                (entry.worker_sid, entry.worker_name)
                for entry in sorted(offered, key=lambda entry: entry.id, reverse=True)
                if entry.worker_sid or entry.worker_name
            ),
            ("", ""),
        )

    def version(self, now: datetime) -> str:
        """Return a short text that changes whenever the timeline does."""
        return _version_of(self.entries, self.followups, now)


def task_timeline(
    database: Database,
    task_sid: str,
    *,
    entry_id: int | None = None,
    max_entries: int = MAX_ENTRIES,
    max_followups: int = MAX_FOLLOWUPS,
) -> Timeline | None:
    """Return the timeline of a task, with this entry in full, or the newest one.

    None if the journal has no entry of this task, or not this one. Raises DatabaseError.
    """
    return _timeline(database, EntryRow.task_sid == task_sid, task_sid, entry_id, max_entries, max_followups)


def entry_timeline(database: Database, entry_id: int) -> Timeline | None:
    """Return the timeline of one entry without a task; None if there is no such entry. Raises DatabaseError."""
    return _timeline(database, EntryRow.id == entry_id, None, entry_id)


def full_entries(database: Database, task_sid: str, *, after: int, at_most: int) -> tuple[FullEntry, ...]:
    """Return the task's entries with a higher id than this, lowest first, with all texts. Raises DatabaseError."""
    following = _FULL.where(EntryRow.task_sid == task_sid, EntryRow.id > after).order_by(EntryRow.id).limit(at_most)
    return tuple(_full(row) for row in database.read(following))


def task_followups(database: Database, task_sid: str) -> tuple[TimelineFollowup, ...]:
    """Return the task's follow-ups, oldest first; if there are too many, open ones are kept. Raises DatabaseError."""
    with database.reading() as session:
        return _followups(session, EntryRow.task_sid == task_sid, MAX_FOLLOWUPS)


def last_finding(database: Database, task_sid: str) -> LookupFinding:
    """Return the finding of the task's last look-up, an empty one without a look-up. Raises DatabaseError."""
    with database.reading() as session:
        return contacts.last_finding(session, task_sid)


def task_version(database: Database, task_sid: str, now: datetime, *, max_entries: int = MAX_ENTRIES) -> str:
    """Return `Timeline.version` of this task without loading the timeline. Raises DatabaseError."""
    return _timeline_version(database, EntryRow.task_sid == task_sid, now, max_entries)


def entry_version(database: Database, entry_id: int, now: datetime) -> str:
    """Return `Timeline.version` of an entry without a task. Raises DatabaseError."""
    return _timeline_version(database, EntryRow.id == entry_id, now)


# The columns that a version is made of.
_VERSION_COLUMNS = (EntryRow.id, EntryRow.kind, EntryRow.received_at, EntryRow.concluded_at, EntryRow.repeats)

_FOLLOWUP = tuple(getattr(FollowupRow, name) for name in TimelineFollowup.__slots__)

_FULL = select(
    *ENTRY_COLUMNS,
    EntryRow.workspace_sid,
    EntryRow.raw_form,
    EntryRow.attributes_before,
    EntryRow.attributes_after,
    EntryRow.answer,
    EntryRow.decision,
    EntryRow.steps,
)


def _timeline(
    database: Database,
    condition: ColumnElement[bool],
    task_sid: str | None,
    entry_id: int | None,
    max_entries: int = MAX_ENTRIES,
    max_followups: int = MAX_FOLLOWUPS,
) -> Timeline | None:
    with database.reading() as session:
        rows, is_whole = _last(session, SUMMARY_COLUMNS, condition, max_entries)
        if not rows:
            return None
        entries = tuple(Summary(**row._asdict()) for row in rows)
        shown_id = entry_id if entry_id is not None else rows[-1].id
        shown = session.execute(_FULL.where(condition, EntryRow.id == shown_id)).one_or_none()
        if shown is None:
            return None
        followups = _followups(session, condition, max_followups)
    return Timeline(
        task_sid=task_sid,
        shown=_full(shown),
        entries=tuple(sorted(entries, key=lambda entry: (entry.received_at, entry.id))),
        followups=followups,
        is_whole=is_whole,
    )


def _timeline_version(
    database: Database, condition: ColumnElement[bool], now: datetime, max_entries: int = MAX_ENTRIES
) -> str:
    with database.reading() as session:
        rows, _ = _last(session, _VERSION_COLUMNS, condition, max_entries)
        return _version_of(rows, _followups(session, condition, MAX_FOLLOWUPS), now)


def _last(
    session: Session, columns: Sequence[Any], condition: ColumnElement[bool], limit: int
) -> tuple[list[Row[Any]], bool]:
    """Return the last entries, events first, and whether these are all."""
    newest_first = select(*columns).where(condition).order_by(EntryRow.id.desc())
    newest = session.execute(newest_first.limit(limit + 1)).all()
    rows = list(newest[:limit])
    is_whole = len(newest) <= limit
    if not is_whole and all(row.kind == EntryKind.EVENT for row in rows):
        rows += session.execute(newest_first.where(NO_EVENT).limit(1)).all()
    return sorted(rows, key=lambda row: (row.kind != EntryKind.EVENT, row.id)), is_whole


def _followups(session: Session, condition: ColumnElement[bool], limit: int) -> tuple[TimelineFollowup, ...]:
    """Return the entries' follow-ups, oldest first. If there are too many, the oldest ended ones are left out."""
    has_ended = case((FollowupRow.due_at.is_(None), 1), else_=0)
    of_entries = select(*_FOLLOWUP).join(EntryRow, EntryRow.id == FollowupRow.entry_id).where(condition)
    rows = session.execute(of_entries.order_by(has_ended, FollowupRow.id.desc()).limit(limit))
    return tuple(sorted((TimelineFollowup(**row._asdict()) for row in rows), key=lambda followup: followup.id))


def _version_of(entries: Iterable[Summary | Row[Any]], followups: Iterable[TimelineFollowup], now: datetime) -> str:
    entry_states = [
        (entry.id, entry.concluded_at, entry.repeats, is_broken_off(entry.concluded_at, entry.received_at, now))
        for entry in entries
    ]
    followup_states = [(one.id, one.attempts, one.due_at, one.done_at, one.given_up_at) for one in followups]
    state = (sorted(entry_states, key=lambda entry_state: entry_state[0]), followup_states)
    return hashlib.sha256(repr(state).encode()).hexdigest()[:16]


def _full(row: Row[Any]) -> FullEntry:
    fields, steps = entry_fields(row), _steps(row.steps)
    is_decision = row.decision is None or _is_decision(row.decision)
    read = {
        "steps": steps or (),
        "decision": row.decision if is_decision else None,
        "is_readable": fields["is_readable"] and is_decision and steps is not None,
    }
    return FullEntry(**(row._asdict() | fields | read))


def _steps(stored: object) -> tuple[Step, ...] | None:
    """Return the steps stored in `EntryRow.steps`; None if they are of another shape."""
    if stored is None:
        return ()
    if not isinstance(stored, list) or not all(
        isinstance(one, dict) and _is_time(one.get("elapsed_ms")) for one in stored
    ):
        return None
    return tuple(
        Step(str(one.get("name", "")), float(one["elapsed_ms"]), str(one.get("failed") or "")) for one in stored
    )


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and 0 <= value <= MAX_STEP_MS


def _is_decision(stored: object) -> bool:
    return isinstance(stored, dict) and members(stored, "passed", dict) is not None
