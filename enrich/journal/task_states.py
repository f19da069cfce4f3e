"""Task states, derived from the journal: missed reservations, escalation, outcome and alarms.

Adapter over the `task_states` table and the events in `entries`. Counts are of distinct reservations, not deliveries,
so the order and repetition of events make no difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, TextClause, bindparam, delete, exists, func, or_, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from enrich.database.engine import Database
from enrich.domain.matches import MatchKind
from enrich.domain.outcomes import EntryKind, Outcome
from enrich.domain.tasks import StateCounts, TaskState
from enrich.journal.tables import HAS_ALARM, NO_EVENT, EntryRow, TaskStateRow

# If no event says that a task has ended, its alarm ends this long after the last change (docs/taskrouter.md,
# "Time limits"): the time that a task may wait by default.
ALARM_LIFETIME = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class EnrichmentState:
    """The progress of a task's enrichment: done, or under way in a callback."""

    is_done: bool
    is_under_way: bool


@dataclass(frozen=True, slots=True)
class KeptEvent:
    """One stored event of a task. received_at: our time of receipt; TaskRouter's own is in `raw_form`."""

    event_type: str
    reservation_sid: str | None
    worker_sid: str
    worker_name: str
    received_at: datetime
    raw_form: str


class TaskStates:
    """The task states of one database. Every method raises DatabaseError."""

    def __init__(self, database: Database) -> None:
        self._database = database
        dialect = sqlite if database.is_sqlite else postgresql
        self._marks = database.prepare(_MARKS)
        self._was_offered = database.prepare(_WAS_OFFERED)
        self._insert = dialect.insert(TaskStateRow).on_conflict_do_nothing(index_elements=[TaskStateRow.task_sid])

    def of(self, task_sid: str) -> TaskState | None:
        """Return the state of a task; None if it needed nothing but the usual assignment."""
        rows = self._database.read(select(*_COLUMNS).where(TaskStateRow.task_sid == task_sid))
        return TaskState(**rows[0]._asdict()) if rows else None

    def marks(self, task_sid: str) -> dict[str, Any]:
        """Return the block's members about the task itself, `escalation` and `outcome`, without empty ones.

        One indexed statement: the assignment callback runs it for tasks whose block has such a member.
        """
        rows = self._database.read(self._marks, {"task_sid": task_sid})
        return {name: value for name, value in rows[0]._asdict().items() if value} if rows else {}

    def count(
        self,
        task_sid: str,
        workspace_sid: str,
        at: datetime,
        misses: Sequence[str],
        decide: Callable[[StateCounts], Mapping[str, Any]],
    ) -> tuple[TaskState, TaskState]:
        """Count the task's reservations, store the values that `decide` returns, and return the state before and after.

        misses: types of the events of reservations that were not accepted. Only these are counted, because each of them
        causes a count; with others the result would depend on the time of counting.
        The task's row is locked meanwhile, so that the last count has seen what the others have.
        """
        with self._database.transaction() as session:
            row = self._locked(session, task_sid, workspace_sid, at)
            before = _state(row)
            counts = _count(session, before, misses)
            counted = {"canceled": counts.endings.get("canceled", 0), "assignments": counts.assignments}
            self._assign(row, {**counted, **decide(counts)})
            if row.alarm != before.alarm:
                row.alarm_since = at
            row.updated_at = at
            session.flush()
            return before, _state(row)

    def keep(self, task_sid: str, workspace_sid: str, at: datetime, **values: Any) -> None:
        """Store these values in the task's state."""
        with self._database.transaction() as session:
            row = self._locked(session, task_sid, workspace_sid, at)
            self._assign(row, values)
            row.updated_at = at

    def ended(self, task_sid: str, at: datetime) -> None:
        """Record that the task has ended, which ends its alarm. No effect if it has no state."""
        still_open = (TaskStateRow.task_sid == task_sid, TaskStateRow.ended_at.is_(None))
        self._database.write(update(TaskStateRow).where(*still_open).values(ended_at=at))

    def alarms(self, now: datetime, *, at_most: int = 100) -> tuple[TaskState, ...]:
        """Return the tasks with an alarm, newest alarm first."""
        rows = self._database.read(
            select(*_COLUMNS).where(*_alarmed(now)).order_by(TaskStateRow.alarm_since.desc()).limit(at_most)
        )
        return tuple(TaskState(**row._asdict()) for row in rows)

    def alarm_counts(self, now: datetime) -> dict[str, int]:
        """Return the number of tasks by alarm, without alarms that no task has."""
        rows = self._database.read(
            select(TaskStateRow.alarm, func.count().label("tasks")).where(*_alarmed(now)).group_by(TaskStateRow.alarm)
        )
        return {row.alarm: row.tasks for row in rows}

    def was_offered(self, task_sid: str) -> bool:
        """Return whether the task has had an assignment or fallback callback."""
        return bool(self._database.read(self._was_offered, {"task_sid": task_sid})[0].was)

    def enrichment(self, task_sid: str) -> EnrichmentState:
        """Return whether the task's block was ever written, or found on it."""
        of_task = (EntryRow.task_sid == task_sid, NO_EVENT)
        rows = self._database.read(
            select(
                exists().where(*of_task, EntryRow.outcome == Outcome.ENRICHED).label("is_done"),
                exists().where(*of_task, EntryRow.concluded_at.is_(None)).label("is_under_way"),
            )
        )
        return EnrichmentState(bool(rows[0].is_done), bool(rows[0].is_under_way))

    def last_written(self, task_sid: str) -> str | None:
        """Return the task's attributes as we wrote them last; None if we wrote none."""
        rows = self._database.read(_LAST_WRITTEN, {"task_sid": task_sid})
        return str(rows[0].attributes_after) if rows else None

    def events(self, task_sid: str, event_types: Iterable[str]) -> tuple[KeptEvent, ...]:
        """Return the task's events of these types, in the order in which they were stored."""
        rows = self._database.read(
            select(
                EntryRow.event_type,
                EntryRow.reservation_sid,
                EntryRow.worker_sid,
                EntryRow.worker_name,
                EntryRow.received_at,
                EntryRow.raw_form,
            )
            .where(
                EntryRow.task_sid == task_sid,
                EntryRow.kind == EntryKind.EVENT,
                EntryRow.event_type.in_(list(event_types)),
            )
            .order_by(EntryRow.id)
        )
        return tuple(KeptEvent(**row._asdict()) for row in rows)

    def customer_of(self, task_sid: str) -> str | None:
        """Return the customer of the task's last look-up; None if there is none."""
        rows = self._database.read(
            select(EntryRow.match, EntryRow.customer_id)
            .where(EntryRow.task_sid == task_sid, EntryRow.kind != EntryKind.EVENT, EntryRow.match.is_not(None))
            .order_by(EntryRow.id.desc())
            .limit(1)
        )
        return rows[0].customer_id if rows and rows[0].match == MatchKind.MATCHED else None

    def workspace_of(self, task_sid: str) -> str | None:
        """Return the workspace from the task's entries; None if none has it."""
        rows = self._database.read(
            select(EntryRow.workspace_sid)
            .where(EntryRow.task_sid == task_sid, EntryRow.workspace_sid != "")
            .order_by(EntryRow.id.desc())
            .limit(1)
        )
        return str(rows[0].workspace_sid) if rows else None

    def prune(self, older_than: datetime) -> None:
        """Delete states last changed before this time."""
        self._database.write(delete(TaskStateRow).where(TaskStateRow.updated_at < older_than))

    def _locked(self, session: Session, task_sid: str, workspace_sid: str, at: datetime) -> TaskStateRow:
        new = {"task_sid": task_sid, "workspace_sid": workspace_sid, "updated_at": at, **_EMPTY_STATE}
        session.execute(self._insert, new)
        return session.scalars(select(TaskStateRow).where(TaskStateRow.task_sid == task_sid).with_for_update()).one()

    @staticmethod
    def _assign(row: TaskStateRow, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            setattr(row, name, value)


_COLUMNS = [getattr(TaskStateRow, name) for name in TaskState.__slots__]
_EMPTY_STATE = {
    "misses": 0,
    "canceled": 0,
    "assignments": 0,
    "escalation": 0,
    "outcome": "",
    "alarm": "",
    "hand_overs": 0,
}
_LAST_WRITTEN = (
    select(EntryRow.attributes_after)
    .where(EntryRow.task_sid == bindparam("task_sid"), EntryRow.attributes_after.is_not(None))
    .order_by(EntryRow.id.desc())
    .limit(1)
)
_WAS_OFFERED = select(
    exists()
    .where(
        EntryRow.task_sid == bindparam("task_sid"),
        or_(EntryRow.kind == EntryKind.ASSIGNMENT, EntryRow.kind == EntryKind.FALLBACK),
    )
    .label("was")
)
_MARKS = select(TaskStateRow.escalation, TaskStateRow.outcome).where(TaskStateRow.task_sid == bindparam("task_sid"))


def _state(row: TaskStateRow) -> TaskState:
    return TaskState(**{name: getattr(row, name) for name in TaskState.__slots__})


def _count(session: Session, before: TaskState, misses: Sequence[str]) -> StateCounts:
    of_task = (EntryRow.task_sid == before.task_sid, EntryRow.reservation_sid.is_not(None))
    distinct = func.count(EntryRow.reservation_sid.distinct())
    by_type = session.execute(
        select(EntryRow.event_type, distinct.label("number"))
        .where(*of_task, EntryRow.event_type.like("reservation.%"))
        .group_by(EntryRow.event_type)
    )
    return StateCounts(
        endings={row.event_type.removeprefix("reservation."): row.number for row in by_type},
        assignments=session.scalars(select(distinct).where(*of_task, EntryRow.event_type.in_(misses))).one(),
        before=before,
    )


def _alarmed(now: datetime) -> tuple[ColumnElement[bool] | TextClause, ...]:
    # The first condition is the index's own, literally, so that the index is used.
    return (
        text(HAS_ALARM),
        TaskStateRow.ended_at.is_(None),
        TaskStateRow.updated_at > now - ALARM_LIFETIME,
    )
