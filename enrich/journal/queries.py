"""What the pages ask the journal: the newest tasks, whether anything changed, the story of one task.

Reads only, loads the texts of one entry at most, and gives frozen records. Every question is answered from the end of
the primary key or from an index, so that a million rows cost what a thousand do.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, bindparam, case, exists, func, literal_column, select, true
from sqlalchemy.orm import Session, aliased

from enrich.db import Database
from enrich.deadline import Step
from enrich.journal import callers
from enrich.journal.filters import NO_EVENT, Filters, alternatives, bounds
from enrich.journal.owed import ABANDONED_AFTER
from enrich.journal.tables import EntryRow, FollowupRow
from enrich.vocabulary import EntryKind, FollowupKind, Outcome

# Events belong to a task's story, not to the feed. Spelt out, not a parameter: only then is the index of them used.
_EVENT: ColumnElement[str] = literal_column(f"'{EntryKind.EVENT}'")
# A story that is longer shows its end. A line is some 600 bytes of page, and somebody may be looking every two seconds.
STORY_AT_MOST = 50
FOLLOWUPS_AT_MOST = 50
_NO_ID_IS_AS_HIGH = 2**63 - 1
# How many ids are looked through at once: where an index leads past what does not fit, and where none does.
LONG_STRETCH = 100_000
STRETCH = 5_000
# After a stretch that took less, the next may be four times as long.
QUICK_S = 0.005


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
        return _is_broken_off(self.concluded_at, self.received_at, now)


@dataclass(frozen=True, slots=True)
class Entry(Summary):
    """A summary, and how its customer was looked for: enough to say who it was."""

    finding: Finding


@dataclass(frozen=True, slots=True)
class TaskLine(Entry):
    """One task in the feed: its newest entry. owes: work is still owed for any entry of the task.

    Where that entry is late and names no worker, the worker is the one of the task's newest assignment.
    """

    owes: bool


@dataclass(frozen=True, slots=True)
class FoundTasks:
    """Lines that fit. looked_back_to: the id from which on to look for more; None: there are no others to look at."""

    lines: tuple[TaskLine, ...]
    looked_back_to: int | None


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
    """What happened to one task in lines, and one of its entries in full.

    task_sid: None for an entry that belongs to no task. shown: the entry that was asked for, or the newest.
    entries: in the order in which they were received; never none. is_whole: False when older ones were left out; the
    one that is shown, and the newest that is no event, may be older than the others. followups: those that are owed
    first among them, where there are too many.
    """

    task_sid: str | None
    shown: FullEntry
    entries: tuple[Summary, ...]
    followups: tuple[Followup, ...]
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
    def owed(self) -> tuple[Followup, ...]:
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


def recent_tasks(database: Database, *, limit: int = 50, before: int | None = None) -> tuple[TaskLine, ...]:
    """The newest tasks, one line each, newest first. An entry that belongs to no task stands for itself.

    before: only lines whose entry id is lower; the last line's id gives the next page. Raises DatabaseError.
    """
    with database.reading() as session:
        rows = session.execute(_LINES, {"before": before or _NO_ID_IS_AS_HIGH, "most": limit}).all()
        return _task_lines(session, rows)


def find_tasks(
    database: Database, filters: Filters, *, limit: int = 50, before: int | None = None, patience_s: float = 0.25
) -> FoundTasks:
    """The newest tasks that fit, as `recent_tasks`; and how far was looked, where that took too long.

    Looks through one stretch of ids after the other and lets others work in between: SQLite is asked in C, where
    nothing can interrupt it, and callbacks are waiting. Raises DatabaseError.
    """
    low, high = bounds(database, filters)
    top = database.read(select(func.max(EntryRow.id)).where(NO_EVENT))[0][0] or 0
    high = min(high, before or high, top + 1)
    span = LONG_STRETCH if filters.is_indexed else STRETCH
    began = time.monotonic()
    which = alternatives(filters)
    found: list[int] = []
    while which and low < high and len(found) < limit:
        stretch_began = time.monotonic()
        floor = max(low, high - span)
        found += _fitting(database, which, floor, high, limit - len(found))
        high = floor
        if time.monotonic() - began >= patience_s:
            break
        if time.monotonic() - stretch_began < QUICK_S:
            span *= 4
        time.sleep(0)
    is_over = not which or high <= low or len(found) >= limit
    with database.reading() as session:
        rows = session.execute(select(*_TOLD).where(EntryRow.id.in_(found)).order_by(EntryRow.id.desc())).all()
        lines = _task_lines(session, rows)
    return FoundTasks(lines, looked_back_to=None if is_over else high)


def received_at(database: Database, entry_id: int) -> datetime | None:
    """When the first entry from this id on was received; None where there is none. Raises DatabaseError."""
    first = select(EntryRow.received_at).where(EntryRow.id >= entry_id).order_by(EntryRow.id).limit(1)
    return next((row.received_at for row in database.read(first)), None)


def _fitting(
    database: Database, which: Sequence[ColumnElement[bool]], floor: int, before: int, limit: int
) -> Sequence[int]:
    """The ids of the newest tasks between these ids that fulfil one of the conditions."""
    here = (EntryRow.id >= floor, EntryRow.id < before, ~_stands_back())
    found: set[int] = set()
    for condition in which:
        statement = select(EntryRow.id).where(condition, *here).order_by(EntryRow.id.desc()).limit(limit)
        found |= {row.id for row in database.read(statement)}
    return sorted(found, reverse=True)[:limit]


def feed_version(database: Database, *, now: datetime | None = None) -> str:
    """A short word that changes whenever the newest lines would look different.

    Asks the end of the primary key and two indexes that hold little besides what is under way, so that every open
    page may ask every two seconds. Raises DatabaseError.
    """
    since = (now or datetime.now(UTC)) - ABANDONED_AFTER
    (row,) = database.read(_VERSION, {"since": since})
    return "-".join(str(number or 0) for number in row)


def task_story(database: Database, task_sid: str, *, entry_id: int | None = None) -> TaskStory | None:
    """The story of this task, with this entry in full, or without one the newest.

    None when the journal knows no such task, or no such entry of it. Raises DatabaseError.
    """
    return _story(database, EntryRow.task_sid == task_sid, task_sid, entry_id)


def last_finding(database: Database, task_sid: str) -> Finding:
    """What the last look-up of this task found; empty if nobody ever looked. Raises DatabaseError."""
    with database.reading() as session:
        return _finding(callers.last_finding(session, task_sid))


def entry_story(database: Database, entry_id: int) -> TaskStory | None:
    """This entry alone, for those that belong to no task; None when there is none. Raises DatabaseError."""
    return _story(database, EntryRow.id == entry_id, None, entry_id)


def task_version(database: Database, task_sid: str, now: datetime) -> str:
    """What `version` of this task's story would be, without loading the story. Raises DatabaseError."""
    return _story_version(database, EntryRow.task_sid == task_sid, now)


def entry_version(database: Database, entry_id: int, now: datetime) -> str:
    """The same, of this entry alone. Raises DatabaseError."""
    return _story_version(database, EntryRow.id == entry_id, now)


_SUMMARY = (
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

_TOLD = (*_SUMMARY, EntryRow.finding)

# What a story's version is made of.
_SIGNS = (EntryRow.id, EntryRow.kind, EntryRow.received_at, EntryRow.concluded_at, EntryRow.repeats)

_FULL = select(
    *_TOLD,
    EntryRow.workspace_sid,
    EntryRow.raw_form,
    EntryRow.attributes_before,
    EntryRow.attributes_after,
    EntryRow.answer,
    EntryRow.decision,
    EntryRow.steps,
)


def _stands_back() -> ColumnElement[bool]:
    """Whether a newer entry of the same task is the one that the feed shows."""
    newer = aliased(EntryRow)
    return exists().where(newer.task_sid == EntryRow.task_sid, newer.id > EntryRow.id, newer.kind != _EVENT)


def _lines() -> Select[Any]:
    """Walks the index of what is no event downwards, and skips what a newer entry of the same task stands for."""
    return (
        select(*_TOLD)
        .where(EntryRow.kind != _EVENT, EntryRow.id < bindparam("before"), ~_stands_back())
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


def _task_lines(session: Session, rows: Sequence[Row[Any]]) -> tuple[TaskLine, ...]:
    owing = _tasks_that_owe(session, rows)
    workers = _workers(session, [row.task_sid for row in rows if row.task_sid and not row.worker_sid])
    lines = []
    for row in rows:
        told = _told(row)
        if not told["worker_sid"] and row.task_sid in workers:
            told["worker_sid"], told["worker_name"] = workers[row.task_sid]
        lines.append(TaskLine(**told, owes=(row.task_sid or row.id) in owing))
    return tuple(lines)


def _tasks_that_owe(session: Session, rows: Sequence[Row[Any]]) -> frozenset[str | int]:
    """SIDs of those tasks, and ids of those entries without a task, for which something is owed."""
    task_sids = [row.task_sid for row in rows if row.task_sid]
    entry_ids = [row.id for row in rows if not row.task_sid]
    # What has its own time, like a completion after some minutes of wrapping, is nothing that is still missing.
    missing = FollowupRow.kind.in_((FollowupKind.ENRICH, FollowupKind.HAND_OVER))
    owed = (FollowupRow.done_at.is_(None), FollowupRow.given_up_at.is_(None), missing)
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


def _story(
    database: Database, which: ColumnElement[bool], task_sid: str | None, entry_id: int | None
) -> TaskStory | None:
    with database.reading() as session:
        rows, is_whole = _last(session, _SUMMARY, which)
        if not rows:
            return None
        entries = tuple(Summary(**row._asdict()) for row in rows)
        asked = entry_id if entry_id is not None else rows[-1].id
        shown = session.execute(_FULL.where(which, EntryRow.id == asked)).one_or_none()
        if shown is None:
            return None
        followups = _followups(session, which)
    return TaskStory(
        task_sid=task_sid,
        shown=_full(shown),
        entries=tuple(sorted(entries, key=lambda entry: (entry.received_at, entry.id))),
        followups=followups,
        is_whole=is_whole,
    )


def _story_version(database: Database, which: ColumnElement[bool], now: datetime) -> str:
    with database.reading() as session:
        rows, _ = _last(session, _SIGNS, which)
        return _version_of(rows, _followups(session, which), now)


def _last(session: Session, columns: Sequence[Any], which: ColumnElement[bool]) -> tuple[list[Row[Any]], bool]:
    """The last entries, the newest that is no event as the last of all; and whether there are no others."""
    last = select(*columns).where(which).order_by(EntryRow.id.desc())
    found = session.execute(last.limit(STORY_AT_MOST + 1)).all()
    rows = list(found[:STORY_AT_MOST])
    is_whole = len(found) <= STORY_AT_MOST
    if not is_whole and all(row.kind == EntryKind.EVENT for row in rows):
        rows += session.execute(last.where(EntryRow.kind != _EVENT).limit(1)).all()
    return sorted(rows, key=lambda row: (row.kind != EntryKind.EVENT, row.id)), is_whole


def _followups(session: Session, which: ColumnElement[bool]) -> tuple[Followup, ...]:
    """Those of these entries, oldest first. Where there are too many, what is over and oldest is left out."""
    is_over = case((FollowupRow.due_at.is_(None), 1), else_=0)
    of_them = select(FollowupRow).join(EntryRow, EntryRow.id == FollowupRow.entry_id).where(which)
    rows = session.scalars(of_them.order_by(is_over, FollowupRow.id.desc()).limit(FOLLOWUPS_AT_MOST))
    return tuple(sorted((_followup(row) for row in rows), key=lambda followup: followup.id))


def _version_of(entries: Iterable[Summary | Row[Any]], followups: Iterable[Followup], now: datetime) -> str:
    signs = [
        (entry.id, entry.concluded_at, entry.repeats, _is_broken_off(entry.concluded_at, entry.received_at, now))
        for entry in entries
    ]
    tried = [(each.id, each.attempts, each.due_at, each.done_at, each.given_up_at) for each in followups]
    return hashlib.sha256(repr((sorted(signs, key=lambda sign: sign[0]), tried)).encode()).hexdigest()[:16]


def _is_broken_off(concluded_at: datetime | None, received_at: datetime, now: datetime) -> bool:
    return concluded_at is None and now - received_at > ABANDONED_AFTER


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
        decision=row.decision,
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
