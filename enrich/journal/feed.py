"""The feed: the newest tasks, one line each; those that fit; and a cheap sign of whether any line has changed.

Reads only, loads no text of any length, and gives frozen records. Every question is answered from the end of the
primary key or from an index, so that a million rows cost what a thousand do; a search for what is rare stops in time.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, bindparam, case, exists, func, select, true
from sqlalchemy.orm import Session, aliased

from enrich.database.engine import Database
from enrich.domain.outcomes import FollowupKind
from enrich.journal.filters import Filters, alternatives, bounds
from enrich.journal.followups import ABANDONED_AFTER
from enrich.journal.records import ENTRY_COLUMNS, Entry, entry_fields
from enrich.journal.tables import EVENT, NO_EVENT, EntryRow, FollowupRow

_NO_ID_IS_AS_HIGH = 2**63 - 1
# How many ids are looked through at once: where an index leads past what does not fit, and where none does.
LONG_STRETCH = 100_000
STRETCH = 5_000
# After a stretch that took less, the next may be four times as long.
QUICK_S = 0.005


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


def recent_tasks(database: Database, *, limit: int = 50, before: int | None = None) -> tuple[TaskLine, ...]:
    """The newest tasks, one line each, newest first. An entry that belongs to no task stands for itself.

    before: only lines whose entry id is lower; the last line's id gives the next page. Raises DatabaseError.
    """
    with database.reading() as session:
        rows = session.execute(_LINES, {"before": before or _NO_ID_IS_AS_HIGH, "most": limit}).all()
        return _task_lines(session, rows)


def find_tasks(
    database: Database,
    filters: Filters,
    *,
    limit: int = 50,
    before: int | None = None,
    patience_s: float = 0.25,
    stretch: int | None = None,
    quick_s: float = QUICK_S,
) -> FoundTasks:
    """The newest tasks that fit, as `recent_tasks`; and how far was looked, where that took too long.

    Looks through one stretch of ids after the other and lets others work in between: SQLite is asked in C, where
    nothing can interrupt it, and callbacks are waiting. Raises DatabaseError.

    stretch: how many ids the first one has; None: as the filters advise. quick_s: after a stretch that took less, the
    next is four times as long.
    """
    low, high = bounds(database, filters)
    top = database.read(select(func.max(EntryRow.id)).where(NO_EVENT))[0][0] or 0
    high = min(high, before or high, top + 1)
    span = stretch or (LONG_STRETCH if filters.is_indexed else STRETCH)
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
        if time.monotonic() - stretch_began < quick_s:
            span *= 4
        time.sleep(0)
    is_over = not which or high <= low or len(found) >= limit
    with database.reading() as session:
        rows = session.execute(select(*ENTRY_COLUMNS).where(EntryRow.id.in_(found)).order_by(EntryRow.id.desc())).all()
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


def _stands_back() -> ColumnElement[bool]:
    """Whether a newer entry of the same task is the one that the feed shows."""
    newer = aliased(EntryRow)
    return exists().where(newer.task_sid == EntryRow.task_sid, newer.id > EntryRow.id, newer.kind != EVENT)


def _lines() -> Select[Any]:
    """Walks the index of what is no event downwards, and skips what a newer entry of the same task stands for."""
    return (
        select(*ENTRY_COLUMNS)
        .where(NO_EVENT, EntryRow.id < bindparam("before"), ~_stands_back())
        .order_by(EntryRow.id.desc())
        .limit(bindparam("most"))
    )


def _version() -> Select[Any]:
    """The highest id of the lines; how many are not concluded, and of these how many broken off; how much is owed.

    One that was concluded while another came in moves the id, so no change hides behind equal counts.
    """
    highest = select(func.max(EntryRow.id)).where(NO_EVENT).scalar_subquery()
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
        told = entry_fields(row)
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
        .where(EntryRow.task_sid.in_(task_sids), NO_EVENT, EntryRow.worker_sid != "")
        .order_by(EntryRow.id)
    )
    return {row.task_sid: (row.worker_sid, row.worker_name) for row in session.execute(offered)}
