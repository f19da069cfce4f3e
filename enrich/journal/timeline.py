"""The story of one task: what happened to it in lines, one of its entries in full, and a cheap sign of change.

Reads only, loads the texts of one entry at most, and gives frozen records. Every question is answered from an index of
the task or of the entry, and of a story without end only the end is told.
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
from enrich.domain.outcomes import EntryKind, Outcome
from enrich.journal import contacts
from enrich.journal.records import (
    ENTRY_COLUMNS,
    SUMMARY_COLUMNS,
    Entry,
    LookupFinding,
    Summary,
    entry_fields,
    is_broken_off,
    read_finding,
)
from enrich.journal.tables import NO_EVENT, EntryRow, FollowupRow

# A story that is longer shows its end. A line is some 600 bytes of page, and somebody may be looking every two seconds.
STORY_AT_MOST = 50
FOLLOWUPS_AT_MOST = 50


@dataclass(frozen=True, slots=True)
class FullEntry(Entry):
    """One journal row with all its texts. They are as stored: personal data, and possibly hostile or broken JSON.

    attributes_before: None if never fetched; attributes_after: None if nothing was written; answer: None if none.
    decision: what of the policy gave the answer, as the journal keeps it; None without a policy.
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
        """What stood on the task afterwards: as written, or as found where nothing had to be written."""
        if self.attributes_after is None and self.outcome == Outcome.ENRICHED:
            return self.attributes_before
        return self.attributes_after


@dataclass(frozen=True, slots=True)
class TimelineFollowup:
    """One piece of work that was owed for an entry. due_at: None once it is done or given up."""

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
    def is_owed(self) -> bool:
        return self.done_at is None and self.given_up_at is None


@dataclass(frozen=True, slots=True)
class TaskStory:
    """What happened to one task in lines, and one of its entries in full.

    task_sid: None for an entry that belongs to no task. shown: the entry that was asked for, or the newest.
    entries: in the order in which they were received; never none. is_whole: False when older ones were left out; the
    one that is shown, and the newest that is no event, may be older than the others. followups: those that are owed
    first among them, where there are too many.
    """

    task_sid: str | None
    shown: FullEntry
    entries: tuple[Summary, ...]
    followups: tuple[TimelineFollowup, ...]
    is_whole: bool

    @property
    def newest(self) -> Summary:
        """The entry that the feed shows for this task; where there are only events, the last of them."""
        return max(self.entries, key=lambda entry: (entry.kind != EntryKind.EVENT, entry.id))

    @property
    def is_newest_shown(self) -> bool:
        return self.shown.id == self.newest.id

    @property
    def callback(self) -> Summary | None:
        """The callback that late work was owed for: of the same reservation, else the last before it.

        None where what is shown is no late work, or the callback is not among the entries.
        """
        if self.shown.kind != EntryKind.LATE:
            return None
        before = [entry for entry in self.entries if entry.is_callback and entry.id < self.shown.id]
        same = self.shown.reservation_sid or "none"
        return max(before, key=lambda entry: (entry.reservation_sid == same, entry.id), default=None)

    @property
    def owed(self) -> tuple[TimelineFollowup, ...]:
        return tuple(followup for followup in self.followups if followup.is_owed)

    @property
    def is_settled(self) -> bool:
        """Whether it will stay as it is unless TaskRouter calls again."""
        return self.newest.concluded_at is not None and self.shown.concluded_at is not None and not self.owed

    @property
    def worker(self) -> tuple[str, str]:
        """SID and name of the worker that the task was last offered to; "" where unknown."""
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
        """A short word that changes whenever this story would be told differently."""
        return _version_of(self.entries, self.followups, now)


def task_story(
    database: Database,
    task_sid: str,
    *,
    entry_id: int | None = None,
    max_entries: int = STORY_AT_MOST,
    max_followups: int = FOLLOWUPS_AT_MOST,
) -> TaskStory | None:
    """The story of this task, with this entry in full, or without one the newest.

    None when the journal knows no such task, or no such entry of it. Raises DatabaseError.
    """
    return _story(database, EntryRow.task_sid == task_sid, task_sid, entry_id, max_entries, max_followups)


def entry_story(database: Database, entry_id: int) -> TaskStory | None:
    """This entry alone, for those that belong to no task; None when there is none. Raises DatabaseError."""
    return _story(database, EntryRow.id == entry_id, None, entry_id)


def last_finding(database: Database, task_sid: str) -> LookupFinding:
    """What the last look-up of this task found; empty if nobody ever looked. Raises DatabaseError."""
    with database.reading() as session:
        return read_finding(contacts.last_finding(session, task_sid))


def task_version(database: Database, task_sid: str, now: datetime, *, max_entries: int = STORY_AT_MOST) -> str:
    """What `version` of this task's story would be, without loading the story. Raises DatabaseError."""
    return _story_version(database, EntryRow.task_sid == task_sid, now, max_entries)


def entry_version(database: Database, entry_id: int, now: datetime) -> str:
    """The same, of this entry alone. Raises DatabaseError."""
    return _story_version(database, EntryRow.id == entry_id, now)


# What a story's version is made of.
_SIGNS = (EntryRow.id, EntryRow.kind, EntryRow.received_at, EntryRow.concluded_at, EntryRow.repeats)

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


def _story(
    database: Database,
    which: ColumnElement[bool],
    task_sid: str | None,
    entry_id: int | None,
    max_entries: int = STORY_AT_MOST,
    max_followups: int = FOLLOWUPS_AT_MOST,
) -> TaskStory | None:
    with database.reading() as session:
        rows, is_whole = _last(session, SUMMARY_COLUMNS, which, max_entries)
        if not rows:
            return None
        entries = tuple(Summary(**row._asdict()) for row in rows)
        asked = entry_id if entry_id is not None else rows[-1].id
        shown = session.execute(_FULL.where(which, EntryRow.id == asked)).one_or_none()
        if shown is None:
            return None
        followups = _followups(session, which, max_followups)
    return TaskStory(
        task_sid=task_sid,
        shown=_full(shown),
        entries=tuple(sorted(entries, key=lambda entry: (entry.received_at, entry.id))),
        followups=followups,
        is_whole=is_whole,
    )


def _story_version(
    database: Database, which: ColumnElement[bool], now: datetime, max_entries: int = STORY_AT_MOST
) -> str:
    with database.reading() as session:
        rows, _ = _last(session, _SIGNS, which, max_entries)
        return _version_of(rows, _followups(session, which, FOLLOWUPS_AT_MOST), now)


def _last(
    session: Session, columns: Sequence[Any], which: ColumnElement[bool], limit: int
) -> tuple[list[Row[Any]], bool]:
    """The last entries, the newest that is no event as the last of all; and whether there are no others."""
    last = select(*columns).where(which).order_by(EntryRow.id.desc())
    found = session.execute(last.limit(limit + 1)).all()
    rows = list(found[:limit])
    is_whole = len(found) <= limit
    if not is_whole and all(row.kind == EntryKind.EVENT for row in rows):
        rows += session.execute(last.where(NO_EVENT).limit(1)).all()
    return sorted(rows, key=lambda row: (row.kind != EntryKind.EVENT, row.id)), is_whole


def _followups(session: Session, which: ColumnElement[bool], limit: int) -> tuple[TimelineFollowup, ...]:
    """Those of these entries, oldest first. Where there are too many, what is over and oldest is left out."""
    is_over = case((FollowupRow.due_at.is_(None), 1), else_=0)
    of_them = select(*_FOLLOWUP).join(EntryRow, EntryRow.id == FollowupRow.entry_id).where(which)
    rows = session.execute(of_them.order_by(is_over, FollowupRow.id.desc()).limit(limit))
    return tuple(sorted((TimelineFollowup(**row._asdict()) for row in rows), key=lambda followup: followup.id))


def _version_of(entries: Iterable[Summary | Row[Any]], followups: Iterable[TimelineFollowup], now: datetime) -> str:
    signs = [
        (entry.id, entry.concluded_at, entry.repeats, is_broken_off(entry.concluded_at, entry.received_at, now))
        for entry in entries
    ]
    tried = [(each.id, each.attempts, each.due_at, each.done_at, each.given_up_at) for each in followups]
    return hashlib.sha256(repr((sorted(signs, key=lambda sign: sign[0]), tried)).encode()).hexdigest()[:16]


def _full(row: Row[Any]) -> FullEntry:
    steps = tuple(_step(step) for step in row.steps or ())
    return FullEntry(**(row._asdict() | entry_fields(row) | {"steps": steps}))


def _step(stored: Mapping[str, Any]) -> Step:
    return Step(str(stored["name"]), float(stored["elapsed_ms"]), str(stored["failed"]))
