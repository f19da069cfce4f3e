"""What is so of one task, counted from the journal: missed reservations, escalation, outcome, alarms.

Adapter over the `task_states` table and the events in `entries`. Counts are of different reservations, never of
deliveries; so the order in which events came, and how often, makes no difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, TextClause, bindparam, delete, exists, func, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from enrich.database.engine import Database
from enrich.domain.matches import MatchKind
from enrich.domain.outcomes import EntryKind
from enrich.journal.tables import HAS_ALARM, EntryRow, TaskStateRow

# Where no event tells that a task is over, its alarm ends when nothing more was heard for so long: facts section 0, the
# time that a task may wait by default.
ALARM_LASTS = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class StateCounts:
    """Of one task: different reservations by how they ended ("timeout"), and how many came to nothing in all.

    before: the state as it was until now.
    """

    endings: Mapping[str, int]
    assignments: int
    before: TaskState


@dataclass(frozen=True, slots=True)
class TaskState:
    """What is so of one task; see `journal.tables.TaskStateRow` for each part."""

    task_sid: str
    workspace_sid: str
    misses: int
    canceled: int
    assignments: int
    escalation: int
    outcome: str
    alarm: str
    alarm_since: datetime | None
    hand_overs: int
    handed_over_from: str | None
    handed_over_to: str | None
    updated_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class KeptEvent:
    """One event of a task as it is kept. received_at: when we got it; what it says itself is in `raw_form`."""

    event_type: str
    reservation_sid: str | None
    worker_sid: str
    worker_name: str
    received_at: datetime
    raw_form: str


class TaskStates:
    """The states of one database's tasks. Every method raises DatabaseError."""

    def __init__(self, database: Database) -> None:
        self._database = database
        dialect = sqlite if database.is_sqlite else postgresql
        self._make = dialect.insert(TaskStateRow).on_conflict_do_nothing(index_elements=[TaskStateRow.task_sid])

    def of(self, task_sid: str) -> TaskState | None:
        """None where nothing out of the ordinary has happened to the task."""
        rows = self._database.read(select(*_COLUMNS).where(TaskStateRow.task_sid == task_sid))
        return TaskState(**rows[0]._asdict()) if rows else None

    def marks(self, task_sid: str) -> dict[str, Any]:
        """What our block says of the task itself, beside the customer: `escalation` and `outcome`, where there are any.

        One indexed statement: the assignment callback asks it for tasks whose block has such a mark.
        """
        rows = self._database.read(_MARKS, {"task_sid": task_sid})
        return {name: value for name, value in rows[0]._asdict().items() if value} if rows else {}

    def count(
        self,
        task_sid: str,
        workspace_sid: str,
        at: datetime,
        misses: Sequence[str],
        decide: Callable[[StateCounts], Mapping[str, Any]],
    ) -> tuple[TaskState, TaskState]:
        """The state before and after, once the values that `decide` gives for the counts are kept.

        misses: the types of events that tell of a reservation which came to nothing. They alone are counted, since
        each of them gives occasion to count; what others tell would depend on when they came.
        Whoever counts holds the task's row: the last one has seen everything that the others have.
        """
        with self._database.transaction() as session:
            row = self._locked(session, task_sid, workspace_sid, at)
            before = _state(row)
            counts = _count(session, before, misses)
            kept = decide(counts)
            self._keep(row, {"canceled": counts.endings.get("canceled", 0), "assignments": counts.assignments, **kept})
            if row.alarm != before.alarm:
                row.alarm_since = at
            row.updated_at = at
            session.flush()
            return before, _state(row)

    def keep(self, task_sid: str, workspace_sid: str, at: datetime, **values: Any) -> None:
        """These values, from now on."""
        with self._database.transaction() as session:
            row = self._locked(session, task_sid, workspace_sid, at)
            self._keep(row, values)
            row.updated_at = at

    def ended(self, task_sid: str, at: datetime) -> None:
        """The task is over: nobody has to look at it any more. Nothing happens where there is no state of it."""
        still_open = (TaskStateRow.task_sid == task_sid, TaskStateRow.ended_at.is_(None))
        self._database.write(update(TaskStateRow).where(*still_open).values(ended_at=at))

    def alarms(self, now: datetime, *, at_most: int = 100) -> tuple[TaskState, ...]:
        """The tasks that a person has to look at, the newest alarm first."""
        rows = self._database.read(
            select(*_COLUMNS).where(*_alarmed(now)).order_by(TaskStateRow.alarm_since.desc()).limit(at_most)
        )
        return tuple(TaskState(**row._asdict()) for row in rows)

    def alarm_counts(self, now: datetime) -> dict[str, int]:
        """How many tasks have which alarm; what none has is not there."""
        rows = self._database.read(
            select(TaskStateRow.alarm, func.count().label("tasks")).where(*_alarmed(now)).group_by(TaskStateRow.alarm)
        )
        return {row.alarm: row.tasks for row in rows}

    def was_offered(self, task_sid: str) -> bool:
        """Whether a callback of the task has come."""
        kinds = (EntryKind.ASSIGNMENT, EntryKind.FALLBACK)
        rows = self._database.read(
            select(exists().where(EntryRow.task_sid == task_sid, EntryRow.kind.in_(kinds)).label("was"))
        )
        return bool(rows[0].was)

    def events(self, task_sid: str, event_types: Iterable[str]) -> tuple[KeptEvent, ...]:
        """The task's events of these types, in the order in which they were kept."""
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
        """Whose task it is, by the last that was found out; None where nobody knows."""
        rows = self._database.read(
            select(EntryRow.match, EntryRow.customer_id)
            .where(EntryRow.task_sid == task_sid, EntryRow.kind != EntryKind.EVENT, EntryRow.match.is_not(None))
            .order_by(EntryRow.id.desc())
            .limit(1)
        )
        return rows[0].customer_id if rows and rows[0].match == MatchKind.MATCHED else None

    def workspace_of(self, task_sid: str) -> str | None:
        """The workspace that the task's entries name; None where none does."""
        rows = self._database.read(
            select(EntryRow.workspace_sid)
            .where(EntryRow.task_sid == task_sid, EntryRow.workspace_sid != "")
            .order_by(EntryRow.id.desc())
            .limit(1)
        )
        return str(rows[0].workspace_sid) if rows else None

    def prune(self, older_than: datetime) -> None:
        """Deletes what was last changed before that moment."""
        self._database.write(delete(TaskStateRow).where(TaskStateRow.updated_at < older_than))

    def _locked(self, session: Session, task_sid: str, workspace_sid: str, at: datetime) -> TaskStateRow:
        new = {"task_sid": task_sid, "workspace_sid": workspace_sid, "updated_at": at, **_NOTHING}
        session.execute(self._make, new)
        return session.scalars(select(TaskStateRow).where(TaskStateRow.task_sid == task_sid).with_for_update()).one()

    @staticmethod
    def _keep(row: TaskStateRow, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            setattr(row, name, value)


_COLUMNS = [getattr(TaskStateRow, name) for name in TaskState.__slots__]
_NOTHING = {
    "misses": 0,
    "canceled": 0,
    "assignments": 0,
    "escalation": 0,
    "outcome": "",
    "alarm": "",
    "hand_overs": 0,
}
_MARKS = select(TaskStateRow.escalation, TaskStateRow.outcome).where(TaskStateRow.task_sid == bindparam("task_sid"))


def _state(row: TaskStateRow) -> TaskState:
    return TaskState(**{name: getattr(row, name) for name in TaskState.__slots__})


def _count(session: Session, before: TaskState, misses: Sequence[str]) -> StateCounts:
    of_task = (EntryRow.task_sid == before.task_sid, EntryRow.reservation_sid.is_not(None))
    different = func.count(EntryRow.reservation_sid.distinct())
    by_type = session.execute(
        select(EntryRow.event_type, different.label("number"))
        .where(*of_task, EntryRow.event_type.like("reservation.%"))
        .group_by(EntryRow.event_type)
    )
    return StateCounts(
        endings={row.event_type.removeprefix("reservation."): row.number for row in by_type},
        assignments=session.scalars(select(different).where(*of_task, EntryRow.event_type.in_(misses))).one(),
        before=before,
    )


def _alarmed(now: datetime) -> tuple[ColumnElement[bool] | TextClause, ...]:
    # The first condition is the index's own, to the letter: only then is it used.
    return (
        text(HAS_ALARM),
        TaskStateRow.ended_at.is_(None),
        TaskStateRow.updated_at > now - ALARM_LASTS,
    )
