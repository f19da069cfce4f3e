"""What the pages ask the journal: the newest tasks, whether anything changed, the whole story of one task.

Reads only, and gives frozen records. Every question is answered from the end of the primary key or from an index, so
that a million rows cost what a thousand do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, bindparam, case, exists, func, literal_column, select, true
from sqlalchemy.orm import Session, aliased

from enrich.db import Database
from enrich.deadline import Step
from enrich.journal.owed import ABANDONED_AFTER
from enrich.journal.tables import EntryRow, FollowupRow
from enrich.vocabulary import EntryKind, Outcome

# Events belong to a task's story, not to the feed. Spelt out, not a parameter: only then is the index of them used.
_EVENT: ColumnElement[str] = literal_column(f"'{EntryKind.EVENT}'")
# A story that is longer shows its end.
STORY_AT_MOST = 200
_NO_ID_IS_AS_HIGH = 2**63 - 1


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
class Finding:
    """How an entry's customer was looked for. `withheld` names the attributes that hide a caller."""

    keys: tuple[KeyFound, ...] = ()
    withheld: tuple[str, ...] = ()
    candidates: tuple[CandidateFound, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """What a line and a story both tell of one journal row. Moments are aware, in UTC.

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
    finding: Finding
    elapsed_ms: float | None

    def is_broken_off(self, now: datetime) -> bool:
        """Whether it has no conclusion and will get none by itself."""
        return self.concluded_at is None and now - self.received_at > ABANDONED_AFTER


@dataclass(frozen=True, slots=True)
class TaskLine(Entry):
    """One task in the feed: its newest entry. owes: work is still owed for any entry of the task.

    Where that entry is late and names no worker, the worker is the one of the task's newest assignment.
    """

    owes: bool


@dataclass(frozen=True, slots=True)
class FullEntry(Entry):
    """One journal row with all its texts. They are as stored: personal data, and possibly hostile or broken JSON.

    attributes_before: None if never fetched; attributes_after: None if nothing was written; answer: None if none.
    """

    workspace_sid: str
    raw_form: str
    attributes_before: str | None
    attributes_after: str | None
    answer: str | None
    steps: tuple[Step, ...]

    @property
    def attributes_now(self) -> str | None:
        """What stood on the task afterwards: as written, or as found where nothing had to be written."""
        if self.attributes_after is None and self.outcome == Outcome.ENRICHED:
            return self.attributes_before
        return self.attributes_after


@dataclass(frozen=True, slots=True)
class Followup:
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
    """Everything about one task, oldest first; never without an entry.

    task_sid: None for an entry that belongs to no task. is_whole: False when older entries were left out.
    """

    task_sid: str | None
    entries: tuple[FullEntry, ...]
    followups: tuple[Followup, ...]
    is_whole: bool

    @property
    def newest(self) -> FullEntry:
        """The entry that the feed shows for this task; where there are only events, the last of them."""
        return next((entry for entry in reversed(self.entries) if entry.kind != EntryKind.EVENT), self.entries[-1])

    @property
    def earlier(self) -> tuple[FullEntry, ...]:
        """The other entries that are no events, newest first."""
        return tuple(
            entry for entry in reversed(self.entries) if entry.kind != EntryKind.EVENT and entry is not self.newest
        )

    @property
    def owed(self) -> tuple[Followup, ...]:
        return tuple(followup for followup in self.followups if followup.is_owed)

    @property
    def is_settled(self) -> bool:
        """Whether it will stay as it is unless TaskRouter calls again."""
        return self.newest.concluded_at is not None and not self.owed

    @property
    def worker(self) -> tuple[str, str]:
        """SID and name of the worker that the task was last offered to; "" where unknown."""
        return next(
            (
                (entry.worker_sid, entry.worker_name)
                for entry in (self.newest, *self.earlier)
                if entry.worker_sid or entry.worker_name
            ),
            ("", ""),
        )

    def version(self, now: datetime) -> str:
        """A short word that changes whenever this story would be told differently."""
        told = (
            [(entry.id, entry.concluded_at, entry.repeats, entry.is_broken_off(now)) for entry in self.entries],
            [(each.id, each.attempts, each.due_at, each.done_at, each.given_up_at) for each in self.followups],
        )
        return hashlib.sha256(repr(told).encode()).hexdigest()[:16]


def recent_tasks(database: Database, *, limit: int = 50, before: int | None = None) -> tuple[TaskLine, ...]:
    """The newest tasks, one line each, newest first. An entry that belongs to no task stands for itself.

    before: only lines whose entry id is lower; the last line's id gives the next page. Raises DatabaseError.
    """
    with database.reading() as session:
        rows = session.execute(_LINES, {"before": before or _NO_ID_IS_AS_HIGH, "most": limit}).all()
        owing = _tasks_that_owe(session, rows)
        workers = _workers(session, [row.task_sid for row in rows if row.task_sid and not row.worker_sid])
    lines = []
    for row in rows:
        told = _told(row)
        if not told["worker_sid"] and row.task_sid in workers:
            told["worker_sid"], told["worker_name"] = workers[row.task_sid]
        lines.append(TaskLine(**told, owes=(row.task_sid or row.id) in owing))
    return tuple(lines)


def feed_version(database: Database, *, now: datetime | None = None) -> str:
    """A short word that changes whenever the newest lines would look different.

    Asks the end of the primary key and two indexes that hold little besides what is under way, so that every open
    page may ask every two seconds. Raises DatabaseError.
    """
    since = (now or datetime.now(UTC)) - ABANDONED_AFTER
    (row,) = database.read(_VERSION, {"since": since})
    return "-".join(str(number or 0) for number in row)


def task_story(database: Database, task_sid: str) -> TaskStory | None:
    """Everything about this task; None when the journal has never heard of it. Raises DatabaseError."""
    return _story(database, _FULL.where(EntryRow.task_sid == task_sid), task_sid)


def entry_story(database: Database, entry_id: int) -> TaskStory | None:
    """This entry alone, for those that belong to no task; None when there is none. Raises DatabaseError."""
    return _story(database, _FULL.where(EntryRow.id == entry_id), None)


_TOLD = (
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
    EntryRow.finding,
    EntryRow.elapsed_ms,
)

_FULL = select(
    *_TOLD,
    EntryRow.workspace_sid,
    EntryRow.raw_form,
    EntryRow.attributes_before,
    EntryRow.attributes_after,
    EntryRow.answer,
    EntryRow.steps,
)


def _lines() -> Select[Any]:
    """Walks the index of what is no event downwards, and skips what a newer entry of the same task stands for."""
    newer = aliased(EntryRow)
    stands_back = exists().where(newer.task_sid == EntryRow.task_sid, newer.id > EntryRow.id, newer.kind != _EVENT)
    return (
        select(*_TOLD)
        .where(EntryRow.kind != _EVENT, EntryRow.id < bindparam("before"), ~stands_back)
        .order_by(EntryRow.id.desc())
        .limit(bindparam("most"))
    )


def _version() -> Select[Any]:
    """The highest id of the lines; how many are not concluded, and of these how many broken off; how much is owed.

    One that was concluded while another came in moves the id, so no change hides behind equal counts.
    """
    highest = select(func.max(EntryRow.id)).where(EntryRow.kind != _EVENT).scalar_subquery()
    open_ = (
        select(func.count().label("all"), func.count(case((EntryRow.received_at < bindparam("since"), 1))).label("old"))
        .where(EntryRow.concluded_at.is_(None))
        .subquery()
    )
    owed = (
        select(func.count(), func.max(FollowupRow.id).label("last")).where(FollowupRow.due_at.is_not(None)).subquery()
    )
    return select(highest, *open_.c, *owed.c).select_from(open_.join(owed, true()))


# Built once: compiled, they stay in SQLAlchemy's cache under the same key.
_LINES = _lines()
_VERSION = _version()


def _tasks_that_owe(session: Session, rows: Sequence[Row[Any]]) -> frozenset[str | int]:
    """SIDs of those tasks, and ids of those entries without a task, for which something is owed."""
    task_sids = [row.task_sid for row in rows if row.task_sid]
    entry_ids = [row.id for row in rows if not row.task_sid]
    owed = (FollowupRow.done_at.is_(None), FollowupRow.given_up_at.is_(None))
    of_tasks = (
        select(EntryRow.task_sid)
        .join(FollowupRow, FollowupRow.entry_id == EntryRow.id)
        .where(EntryRow.task_sid.in_(task_sids), *owed)
    )
    of_entries = select(FollowupRow.entry_id).where(FollowupRow.entry_id.in_(entry_ids), *owed)
    return frozenset(task_sid for task_sid in session.scalars(of_tasks) if task_sid) | frozenset(
        session.scalars(of_entries)
    )


def _workers(session: Session, task_sids: Sequence[str]) -> dict[str, tuple[str, str]]:
    """SID and name of the worker whom each of these tasks was last offered to."""
    if not task_sids:
        return {}
    offered = (
        select(EntryRow.task_sid, EntryRow.worker_sid, EntryRow.worker_name)
        .where(EntryRow.task_sid.in_(task_sids), EntryRow.kind != _EVENT, EntryRow.worker_sid != "")
        .order_by(EntryRow.id)
    )
    return {row.task_sid: (row.worker_sid, row.worker_name) for row in session.execute(offered)}


def _story(database: Database, which: Select[Any], task_sid: str | None) -> TaskStory | None:
    with database.reading() as session:
        rows = session.execute(which.order_by(EntryRow.id.desc()).limit(STORY_AT_MOST + 1)).all()
        entries = tuple(_full(row) for row in reversed(rows[:STORY_AT_MOST]))
        owed_for = select(FollowupRow).where(FollowupRow.entry_id.in_([entry.id for entry in entries]))
        followups = tuple(_followup(row) for row in session.scalars(owed_for.order_by(FollowupRow.id)))
    if not entries:
        return None
    return TaskStory(task_sid=task_sid, entries=entries, followups=followups, is_whole=len(rows) <= STORY_AT_MOST)


def _told(row: Row[Any]) -> dict[str, Any]:
    told = {column.key: getattr(row, column.key) for column in _TOLD}
    told["finding"] = _finding(row.finding)
    return told


def _full(row: Row[Any]) -> FullEntry:
    return FullEntry(
        **_told(row),
        workspace_sid=row.workspace_sid,
        raw_form=row.raw_form,
        attributes_before=row.attributes_before,
        attributes_after=row.attributes_after,
        answer=row.answer,
        steps=tuple(_step(step) for step in row.steps or ()),
    )


def _step(stored: Mapping[str, Any]) -> Step:
    return Step(str(stored["name"]), float(stored["elapsed_ms"]), str(stored["failed"]))


def _finding(stored: Mapping[str, Any] | None) -> Finding:
    if not stored:
        return Finding()
    return Finding(
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


def _followup(row: FollowupRow) -> Followup:
    return Followup(
        id=row.id,
        kind=row.kind,
        entry_id=row.entry_id,
        created_at=row.created_at,
        due_at=row.due_at,
        attempts=row.attempts,
        last_reason=row.last_reason,
        done_at=row.done_at,
        given_up_at=row.given_up_at,
    )
