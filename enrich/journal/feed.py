"""The feed: the newest tasks, one line each, filtered on request; and a cheap version for polling.

Reads only, loads no long texts, and returns frozen records. Every query walks the primary key or an index from its end,
so that a million rows cost as much as a thousand; a search for rare rows has a time limit.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, bindparam, case, exists, func, or_, select, true
from sqlalchemy.orm import Session, aliased

from enrich.database.engine import Database
from enrich.database.types import MAX_ROW_ID
from enrich.domain.outcomes import FollowupKind
from enrich.journal.filters import Filters, alternatives, bounds
from enrich.journal.followups import ABANDONED_AFTER
from enrich.journal.records import ENTRY_COLUMNS, Entry, entry_fields
from enrich.journal.tables import EVENT, NO_EVENT, EntryRow, FollowupRow

# Range of ids per query, for filters with and without an index.
INDEXED_RANGE = 100_000
UNINDEXED_RANGE = 5_000
# After a query faster than this, the next range is four times as long.
FAST_QUERY_S = 0.005


@dataclass(frozen=True, slots=True)
class TaskLine(Entry):
    """One task in the feed: its newest entry that is not an event.

    has_open_followup: an enrichment or hand-over is still to be done for any entry of the task.
    worker_sid, worker_name: if the entry has none, those of the task's newest assignment.
    """

    has_open_followup: bool


@dataclass(frozen=True, slots=True)
class FoundTasks:
    """Lines that match. continue_before: continue the search with this `before`; None if it is complete.

    matches: for each line, the id of the entry that matched: its own, unless the filter is for an incident. It gives
    the next page's `before`.
    """

    lines: tuple[TaskLine, ...]
    matches: tuple[int, ...]
    continue_before: int | None


@dataclass(frozen=True, slots=True)
class ArrivedTask:
    """One task: when it arrived, and its newest entry that is not an event.

    arrived_at: time of its first entry that is not an event.
    """

    arrived_at: datetime
    newest: TaskLine


@dataclass(frozen=True, slots=True)
class ArrivedIds:
    """Ids of the first entries of tasks. continue_before: the `before` of the next ones; None if these are the last."""

    entry_ids: tuple[int, ...]
    continue_before: int | None


def recent_tasks(database: Database, *, limit: int = 50, before: int | None = None) -> tuple[TaskLine, ...]:
    """Return the newest tasks, one line each, newest first. An entry without a task has its own line.

    before: only lines with a lower entry id; the last line's id gives the next page. Raises DatabaseError.
    """
    with database.reading() as session:
        rows = session.execute(_LINES, {"before": before or MAX_ROW_ID, "limit": limit}).all()
        return _task_lines(session, rows)


def find_tasks(
    database: Database,
    filters: Filters,
    *,
    limit: int = 50,
    before: int | None = None,
    timeout_s: float = 0.25,
    range_size: int | None = None,
    fast_query_s: float = FAST_QUERY_S,
) -> FoundTasks:
    """Return the newest tasks that match, as `recent_tasks`, and where to continue after the time-out.

    Raises DatabaseError.

    range_size: ids in the first range; None: as the filters advise. fast_query_s: after a faster query, the next range
    is four times as large.
    """
    low, high = _bounds(database, filters, before)
    range_size = range_size or (INDEXED_RANGE if filters.is_indexed else UNINDEXED_RANGE)
    search = _Search(database, alternatives(filters), _is_superseded(filters), range_size, fast_query_s)
    entry_ids, floor = search.run(low, high, limit, timeout_s)
    is_complete = floor <= low or len(entry_ids) >= limit
    with database.reading() as session:
        shown = (
            _newest_of_tasks(session, entry_ids)
            if filters.is_incident
            else {entry_id: entry_id for entry_id in entry_ids}
        )
        rows = session.execute(select(*ENTRY_COLUMNS).where(EntryRow.id.in_(shown.values()))).all()
        lines = {line.id: line for line in _task_lines(session, rows)}
    matches = tuple(entry_id for entry_id in entry_ids if shown.get(entry_id) in lines)
    return FoundTasks(
        tuple(lines[shown[entry_id]] for entry_id in matches), matches, continue_before=None if is_complete else floor
    )


def arrived_ids(
    database: Database,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int,
    before: int | None = None,
    timeout_s: float = 0.25,
    range_size: int = UNINDEXED_RANGE,
) -> ArrivedIds:
    """Return the first entries of the tasks that arrived in this period, the last to arrive first.

    A task has its place by its first entry that is not an event, which later ones do not change: so whoever continues
    misses none and sees none twice, whatever happens meanwhile. Works through ranges as `find_tasks`; after the
    time-out there are fewer than `limit`, or none, and yet a place to continue. Raises DatabaseError.
    """
    filters = Filters(since=since, until=until)
    low, high = _bounds(database, filters, before)
    conditions = [and_(EntryRow.task_sid.is_not(None), condition) for condition in alternatives(filters)]
    search = _Search(database, conditions, _has_older_entry(), range_size, FAST_QUERY_S)
    entry_ids, floor = search.run(low, high, limit + 1, timeout_s)
    shown = entry_ids[:limit]
    return ArrivedIds(
        tuple(shown), continue_before=shown[-1] if len(entry_ids) > limit else floor if floor > low else None
    )


def arrived_tasks(database: Database, entry_ids: Sequence[int]) -> tuple[ArrivedTask, ...]:
    """Return the tasks that arrived with these entries, in this order, without deleted ones. Raises DatabaseError."""
    with database.reading() as session:
        first = session.execute(select(EntryRow.id, EntryRow.received_at).where(EntryRow.id.in_(entry_ids)))
        arrived_at = {row.id: row.received_at for row in first}
        newest = _newest_of_tasks(session, list(arrived_at))
        rows = session.execute(select(*ENTRY_COLUMNS).where(EntryRow.id.in_(newest.values()))).all()
        lines = {line.id: line for line in _task_lines(session, rows)}
    return tuple(
        ArrivedTask(arrived_at[entry_id], lines[newest[entry_id]])
        for entry_id in entry_ids
        if newest.get(entry_id) in lines
    )


def arrived_task(database: Database, task_sid: str) -> ArrivedTask | None:
    """Return one task; of one with only events, its last event. None if there is no entry. Raises DatabaseError."""
    row = EntryRow
    with database.reading() as session:
        for is_shown in (NO_EVENT, true()):
            of_task = select(*ENTRY_COLUMNS).where(row.task_sid == task_sid, is_shown).limit(1)
            newest = session.execute(of_task.order_by(row.id.desc())).all()
            if newest:
                first = session.execute(of_task.order_by(row.id)).one()
                return ArrivedTask(first.received_at, _task_lines(session, newest)[0])
    return None


def received_at(database: Database, entry_id: int) -> datetime | None:
    """Return when the first entry from this id on was received; None if there is none. Raises DatabaseError."""
    first = select(EntryRow.received_at).where(EntryRow.id >= entry_id).order_by(EntryRow.id).limit(1)
    return next((row.received_at for row in database.read(first)), None)


def _bounds(database: Database, filters: Filters, before: int | None) -> tuple[int, int]:
    """Return the range of ids to search: the first, and the one after the last."""
    low, high = bounds(database, filters)
    top = database.read(select(func.max(EntryRow.id)).where(NO_EVENT))[0][0] or 0
    return low, min(high, before or high, top + 1)


@dataclass(frozen=True, slots=True)
class _Search:
    """A search for the entries that fulfil one of the conditions and are not superseded by another of their task.

    Queries one range of ids after the other and yields in between: SQLite runs in C, where nothing can interrupt it
    while callbacks wait.
    """

    database: Database
    conditions: Sequence[ColumnElement[bool]]
    is_superseded: ColumnElement[bool]
    range_size: int
    fast_query_s: float

    def run(self, low: int, high: int, limit: int, timeout_s: float) -> tuple[list[int], int]:
        """Return the highest ids in this range, and the id down to which it was searched."""
        began, range_size = time.monotonic(), self.range_size
        entry_ids: list[int] = []
        if not self.conditions:
            return entry_ids, low
        while low < high and len(entry_ids) < limit:
            query_began = time.monotonic()
            floor = max(low, high - range_size)
            entry_ids += self._matching_ids(floor, high, limit - len(entry_ids))
            high = floor
            if time.monotonic() - began >= timeout_s:
                break
            if time.monotonic() - query_began < self.fast_query_s:
                range_size *= 4
            time.sleep(0)
        return entry_ids, high

    def _matching_ids(self, floor: int, before: int, limit: int) -> Sequence[int]:
        in_range = (EntryRow.id >= floor, EntryRow.id < before, ~self.is_superseded)
        entry_ids: set[int] = set()
        for condition in self.conditions:
            statement = select(EntryRow.id).where(condition, *in_range).order_by(EntryRow.id.desc()).limit(limit)
            entry_ids |= {row.id for row in self.database.read(statement)}
        return sorted(entry_ids, reverse=True)[:limit]


def feed_version(database: Database, now: datetime) -> str:
    """Return a short text that changes whenever the newest lines do.

    Reads the end of the primary key and two small indexes, so that every open page may poll every two seconds.
    Raises DatabaseError.
    """
    since = now - ABANDONED_AFTER
    (row,) = database.read(_VERSION, {"since": since})
    return "-".join(str(number or 0) for number in row)


def _has_newer_entry() -> ColumnElement[bool]:
    """Return the condition that the feed shows a newer entry of the same task instead."""
    newer = aliased(EntryRow)
    return exists().where(newer.task_sid == EntryRow.task_sid, newer.id > EntryRow.id, newer.kind != EVENT)


def _has_older_entry() -> ColumnElement[bool]:
    """Return the condition that the task has an older entry that is not an event."""
    older = aliased(EntryRow)
    return exists().where(older.task_sid == EntryRow.task_sid, older.id < EntryRow.id, older.kind != EVENT)


def _is_superseded(filters: Filters) -> ColumnElement[bool]:
    """Return the condition that the feed shows a newer entry instead: for an incident, only one that matches, too."""
    if not filters.is_incident:
        return _has_newer_entry()
    newer = aliased(EntryRow)
    return exists().where(
        newer.task_sid == EntryRow.task_sid, newer.id > EntryRow.id, or_(*alternatives(filters, newer))
    )


def _newest_of_tasks(session: Session, entry_ids: Sequence[int]) -> dict[int, int]:
    """Return for each of these entries the id of its task's newest entry that is not an event, or its own."""
    newest = aliased(EntryRow)
    of_task = (
        select(func.max(newest.id)).where(newest.task_sid == EntryRow.task_sid, newest.kind != EVENT).scalar_subquery()
    )
    rows = session.execute(select(EntryRow.id, func.coalesce(of_task, EntryRow.id)).where(EntryRow.id.in_(entry_ids)))
    return {row[0]: row[1] for row in rows}


def _lines() -> Select[Any]:
    """Return the query that walks the index of non-events downwards, without entries that have a newer one."""
    return (
        select(*ENTRY_COLUMNS)
        .where(NO_EVENT, EntryRow.id < bindparam("before"), ~_has_newer_entry())
        .order_by(EntryRow.id.desc())
        .limit(bindparam("limit"))
    )


def _version() -> Select[Any]:
    """Return the query for the highest id, the numbers of open and interrupted entries, and the open follow-ups.

    If one entry ends while another arrives, the counts are equal but the highest id differs.
    """
    highest = select(func.max(EntryRow.id)).where(NO_EVENT).scalar_subquery()
    open_ = (
        select(func.count().label("all"), func.count(case((EntryRow.received_at < bindparam("since"), 1))).label("old"))
        .where(EntryRow.concluded_at.is_(None))
        .subquery()
    )
    followups = (
        select(func.count(), func.max(FollowupRow.id).label("last")).where(FollowupRow.due_at.is_not(None)).subquery()
    )
    return select(highest, *open_.c, *followups.c).select_from(open_.join(followups, true()))


# Built once, so that SQLAlchemy's cache has one key for each.
_LINES = _lines()
_VERSION = _version()


def _task_lines(session: Session, rows: Sequence[Row[Any]]) -> tuple[TaskLine, ...]:
    pending = _with_open_followup(session, rows)
    workers = _workers(session, [row.task_sid for row in rows if row.task_sid and not row.worker_sid])
    lines = []
    for row in rows:
        fields = entry_fields(row)
        if not fields["worker_sid"] and row.task_sid in workers:
            fields["worker_sid"], fields["worker_name"] = workers[row.task_sid]
        lines.append(TaskLine(**fields, has_open_followup=(row.task_sid or row.id) in pending))
    return tuple(lines)


def _with_open_followup(session: Session, rows: Sequence[Row[Any]]) -> frozenset[str | int]:
    """Return the SIDs of tasks, and the ids of entries without a task, that have an open follow-up."""
    task_sids = [row.task_sid for row in rows if row.task_sid]
    entry_ids = [row.id for row in rows if not row.task_sid]
    # Scheduled work, such as a completion after some minutes of wrapping, is not shown as pending.
    is_shown = FollowupRow.kind.in_((FollowupKind.ENRICH, FollowupKind.HAND_OVER))
    is_open = (FollowupRow.done_at.is_(None), FollowupRow.given_up_at.is_(None), is_shown)
    of_tasks = (
        select(EntryRow.task_sid)
        .join(FollowupRow, FollowupRow.entry_id == EntryRow.id)
        .where(EntryRow.task_sid.in_(task_sids), *is_open)
    )
    of_entries = select(FollowupRow.entry_id).where(FollowupRow.entry_id.in_(entry_ids), *is_open)
    return frozenset(task_sid for task_sid in session.scalars(of_tasks) if task_sid) | frozenset(
        session.scalars(of_entries)
    )


def _workers(session: Session, task_sids: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return SID and name of the worker that each of these tasks was last offered to."""
    if not task_sids:
        return {}
    offered = (
        select(EntryRow.task_sid, EntryRow.worker_sid, EntryRow.worker_name)
        .where(EntryRow.task_sid.in_(task_sids), NO_EVENT, EntryRow.worker_sid != "")
        .order_by(EntryRow.id)
    )
    return {row.task_sid: (row.worker_sid, row.worker_name) for row in session.execute(offered)}
