"""The follow-up queue: rows that workers claim, and then mark as done, put off or given up.

A claim is a lease: if its worker dies, the row can be claimed again once the lease ends. So each follow-up is executed
at least once, and its handler first checks whether it is still needed. Any number of workers may claim at once.

Follow-ups of a kind that this version does not know, left by a newer one before a roll-back, are claimed by nobody
here. They stay pending for a version that knows them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import aliased
from sqlalchemy.sql.dml import ReturningUpdate

from enrich.database.engine import Database
from enrich.database.types import UtcDateTime
from enrich.domain.deliveries import Followup, NewFollowup, OnExisting
from enrich.domain.outcomes import EntryKind, FollowupKind, Outcome, Reason
from enrich.errors import TaskGone
from enrich.journal.tables import EVENT, NO_EVENT, EntryRow, FollowupRow

# Much longer than one follow-up takes (5 s). A dead worker's rows wait this long.
LEASE = timedelta(seconds=60)
# No lease ends later, reckoned from now: whoever claims reads the clock, then waits for the database, and finds leases
# that others took meanwhile; and two machines' clocks are never quite the same.
LONGEST_LEASE = 2 * LEASE
# A callback is answered within 4 s. If it has no conclusion after 10 s, its process died.
ABANDONED_AFTER = timedelta(seconds=10)
GIVEN_UP_WINDOW = timedelta(days=1)
_IS_KNOWN = FollowupRow.kind.in_(tuple(FollowupKind))
# Counting stops here: beyond it the exact number changes nothing and takes time.
MAX_COUNT = 10_000


@dataclass(frozen=True, slots=True)
class FollowupSummary:
    """One follow-up that is not done. due_at: time of the next attempt; None once given up."""

    id: int
    kind: str
    attempts: int
    due_at: datetime | None
    given_up_at: datetime | None
    last_reason: str
    task_sid: str | None


@dataclass(frozen=True, slots=True)
class Figures:
    """The queue's size at one moment. Counts stop at 10,000.

    owed: open follow-ups, also of unknown kinds. overdue_s: seconds since the longest-waiting one became due, without
    unknown kinds; 0.0 if none is due.
    given_up: within the last day, except where the task had ended, which needs no repair.
    unconcluded: abandoned receipts that no worker has adopted yet.
    """

    owed: int
    overdue_s: float
    given_up: int
    unconcluded: int


class FollowupQueue:
    """The follow-ups of one database. announce: called when one became due. Every method raises DatabaseError."""

    def __init__(self, database: Database, *, announce: Callable[[], None] = lambda: None) -> None:
        self._database = database
        self._announce = announce
        self._ending = database.prepare(_ENDING)
        self._waking = database.prepare(_WAKE)

    def claim(
        self, now: datetime, *, at_most: int = 1, newest: int = 0, key: str | None = None
    ) -> tuple[Followup, ...]:
        """Return due follow-ups, oldest first, leased to the caller until the lease ends.

        The follow-ups of one task are claimed one at a time, in the order in which they are due. at_most: as many as
        can be executed within one lease. newest: so many of them are those that became due last, so that living tasks
        do not wait behind a backlog. key: claim only the follow-up with this key, if due, before older ones of its
        task.
        """
        due, leasing = (_DUE, _LEASING) if key is None else (_DUE_WITH_KEY, _LEASING_WITH_KEY)
        values = {"now": now, "until": now + LEASE, "latest": now + LONGEST_LEASE, "existing_key": key}
        # Usually nothing is due; reading first saves SQLite the write lock.
        if self._database.is_sqlite and not self._database.read(due, values | {"number": 1, "taken": ()}):
            return ()

        def lease(connection: Connection) -> Sequence[Row[*tuple[Any, ...]]]:
            ids: list[int] = []
            for number, statement in ((newest, _NEWEST), (at_most - newest, due)):
                if number > 0:
                    ids += connection.scalars(statement, values | {"number": number, "taken": ids})
            if not ids:
                return ()
            # Asked once more: on PostgreSQL a sibling may have been claimed between the first look and the lock.
            leased = connection.scalars(leasing, values | {"taken": ids})
            return connection.execute(_CLAIMED, {"taken": leased.all()}).all()

        return tuple(_followup(row) for row in self._database.commit(lease))

    def done(self, followup: Followup, now: datetime) -> None:
        """Mark it as done."""
        self._end(followup, done_at=now)

    def give_up(self, followup: Followup, now: datetime, reason: str) -> None:
        """Mark it as given up, for this reason."""
        self._end(followup, given_up_at=now, reason=reason)

    def put_off(self, followup: Followup, due_at: datetime, reason: str, *, counts: bool = True) -> None:
        """Record a failed attempt, and make it due again at this time. counts: False takes the attempt back."""
        attempts = followup.attempts if counts else followup.attempts - 1
        self._end(followup, due_at=due_at, reason=reason, attempts=attempts)

    def save_progress(self, followup: Followup, data: Mapping[str, Any]) -> None:
        """Store progress for the next attempt. No effect if another worker has claimed it since."""
        self._database.write(update(FollowupRow).where(*_still_ours(followup)).values(data=dict(data)))

    def add(self, entry_id: int, followups: Sequence[NewFollowup], *, at: datetime) -> None:
        """Create follow-ups of this entry."""
        inserts = FollowupInserts(self._database)
        self._database.commit(lambda connection: inserts.add(connection, entry_id, followups, at=at))
        self._announce()

    def ending(self, key: str) -> tuple[bool, str]:
        """Return whether the follow-up with this key has ended, and the reason of its last failure, or ""."""
        rows = self._database.read(select(FollowupRow.due_at, FollowupRow.last_reason).where(FollowupRow.key == key))
        return (rows[0].due_at is None, rows[0].last_reason) if rows else (True, "")

    def wake(self, followup: NewFollowup) -> None:
        """Make the follow-up with the same key due again. No effect if there is none."""
        self._database.write(self._waking, _parameters_of_wake(followup))
        self._announce()

    def adopt_abandoned(self, now: datetime) -> int:
        """Conclude receipts whose process died, and create follow-ups to enrich their tasks; return their number."""
        abandoned = _abandoned(now)
        if not self._database.read(select(EntryRow.id).where(*abandoned).limit(1)):
            return 0
        only_answered = EntryRow.reason != ""  # answered on purpose without work; the receipt has the reason
        with self._database.transaction() as session:
            adopted = session.execute(
                update(EntryRow)
                .where(*abandoned)
                .values(
                    concluded_at=now,
                    outcome=case((only_answered, Outcome.NOT_TRIED), else_=Outcome.FAILED),
                    reason=case((only_answered, EntryRow.reason), else_=Reason.INTERRUPTED),
                )
                .returning(EntryRow.id, EntryRow.task_sid)
            ).all()
            followups = [
                {"kind": FollowupKind.ENRICH, "of_entry": row.id, "created_at": now, "due_at": now}
                for row in adopted
                if row.task_sid
            ]
            if followups:
                session.connection().execute(INSERT_FOLLOWUP, followups)
        self._announce()
        return len(adopted)

    def retry(self, followup_ids: Iterable[int], now: datetime) -> int:
        """Make these due now, except those that are done; return their number."""
        with self._database.transaction() as session:
            rows = session.execute(
                update(FollowupRow)
                .where(FollowupRow.id.in_(list(followup_ids)), FollowupRow.done_at.is_(None))
                .values(due_at=now, leased_until=None, given_up_at=None, attempts=0)
                .returning(FollowupRow.id)
            ).all()
        self._announce()
        return len(rows)

    def overview(self, *, at_most: int = 100) -> tuple[FollowupSummary, ...]:
        """Return open and given-up follow-ups, newest first."""
        rows = self._database.read(
            select(
                FollowupRow.id,
                FollowupRow.kind,
                FollowupRow.attempts,
                FollowupRow.due_at,
                FollowupRow.given_up_at,
                FollowupRow.last_reason,
                EntryRow.task_sid,
            )
            .join(EntryRow, EntryRow.id == FollowupRow.entry_id)
            .where(FollowupRow.done_at.is_(None))
            .order_by(FollowupRow.id.desc())
            .limit(at_most)
        )
        return tuple(FollowupSummary(**row._asdict()) for row in rows)

    def figures(self, now: datetime) -> Figures:
        """Return the queue's figures. Each comes from a small index, and counting is bounded."""
        overdue_since = self._database.read(
            select(FollowupRow.due_at).where(FollowupRow.due_at <= now, _IS_KNOWN).order_by(FollowupRow.due_at).limit(1)
        )
        return Figures(
            owed=self.open_count(),
            overdue_s=max(0.0, (now - overdue_since[0].due_at).total_seconds()) if overdue_since else 0.0,
            given_up=self._count(
                select(FollowupRow.id).where(
                    FollowupRow.given_up_at > now - GIVEN_UP_WINDOW, FollowupRow.last_reason != TaskGone.reason
                )
            ),
            unconcluded=self._count(select(EntryRow.id).where(*_abandoned(now))),
        )

    def open_count(self) -> int:
        """Return the number of open follow-ups, at most 10,000."""
        return self._count(select(FollowupRow.id).where(FollowupRow.due_at.is_not(None)))

    def unknown_count(self) -> int:
        """Return the number of open follow-ups of a kind that this version does not know, at most 10,000."""
        return self._count(select(FollowupRow.id).where(FollowupRow.due_at.is_not(None), ~_IS_KNOWN))

    def _count(self, rows: Select[int]) -> int:
        bounded = rows.limit(MAX_COUNT).subquery()
        return int(self._database.read(select(func.count()).select_from(bounded))[0][0])

    def prune(self, older_than: datetime, *, at_most: int = 1000) -> int:
        """Delete entries received before this time, oldest first, with their follow-ups; return their number.

        Entries with a pending follow-up stay, however old. at_most: applies to events and to all others separately. An
        event that was caught up is deleted with the entries stored around it, up to an hour later.
        """
        row = EntryRow
        is_owed = exists().where(FollowupRow.entry_id == row.id, FollowupRow.due_at.is_not(None))
        is_old = (row.received_at < older_than, ~is_owed)
        others = select(row.id).where(NO_EVENT, *is_old).order_by(row.received_at).limit(at_most)
        # No index has the time of events, which are most of the rows; but their ids are in the order of receipt.
        oldest = select(row.id, row.received_at).where(row.kind == EVENT).order_by(row.id).limit(at_most).subquery()
        owed_event = exists().where(FollowupRow.entry_id == oldest.c.id, FollowupRow.due_at.is_not(None))
        events = select(oldest.c.id).where(oldest.c.received_at < older_than, ~owed_event)
        return self._delete(others) + self._delete(events)

    def _delete(self, entries: Select[int]) -> int:
        """Delete these entries; return their number. Reads first, so that no write lock is taken for nothing."""
        if not self._database.read(entries.limit(1)):
            return 0
        rows = self._database.write(delete(EntryRow).where(EntryRow.id.in_(entries)).returning(EntryRow.id))
        return len(rows)

    def _end(
        self,
        followup: Followup,
        *,
        due_at: datetime | None = None,
        done_at: datetime | None = None,
        given_up_at: datetime | None = None,
        reason: str = "",
        attempts: int | None = None,
    ) -> None:
        """End this attempt. No effect if another worker has claimed or ended it since.

        If it was made due again meanwhile it stays due, without waiting for our lease to end.
        """
        values = {
            "followup_id": followup.id,
            "attempt": followup.attempts,
            "next_due_at": due_at,
            "ended_at": done_at,
            "gave_up_at": given_up_at,
            "reason": reason,
            "attempts_made": followup.attempts if attempts is None else attempts,
        }
        if not self._database.write(self._ending, values):
            restarted = (FollowupRow.id == followup.id, FollowupRow.attempts == 0)
            self._database.write(update(FollowupRow).where(*restarted).values(leased_until=None))


# A new follow-up names its entry as `of_entry`, and gets that entry's task.
_ENTRY_ID = bindparam("of_entry", type_=FollowupRow.entry_id.type)
_OF_ENTRY: dict[str, Any] = {
    "entry_id": _ENTRY_ID,
    "task_sid": select(EntryRow.task_sid).where(EntryRow.id == _ENTRY_ID).scalar_subquery(),
}
INSERT_FOLLOWUP = insert(FollowupRow).values(_OF_ENTRY)


class FollowupInserts:
    """Statements that create follow-ups, run in the transaction of the entry that causes them."""

    def __init__(self, database: Database) -> None:
        dialect = sqlite if database.is_sqlite else postgresql
        inserting = dialect.insert(FollowupRow).values(_OF_ENTRY)
        self._statements: Mapping[OnExisting, Any] = {
            OnExisting.KEEP: inserting.on_conflict_do_nothing(index_elements=[FollowupRow.key]),
            # The lease stays: two workers must not execute it at once, and the present one does not know of the
            # restart.
            OnExisting.RESTART: inserting.on_conflict_do_update(
                index_elements=[FollowupRow.key],
                set_=_RESTARTED | {"due_at": inserting.excluded.due_at, "data": inserting.excluded.data},
            ),
            OnExisting.REOPEN: inserting.on_conflict_do_update(
                index_elements=[FollowupRow.key],
                set_=_RESTARTED | {"due_at": inserting.excluded.due_at},
                # One that is executed just now may have looked already.
                where=or_(FollowupRow.due_at.is_(None), FollowupRow.leased_until.is_not(None)),
            ),
        }

    def add(self, connection: Connection, entry_id: int, followups: Sequence[NewFollowup], *, at: datetime) -> None:
        """Create follow-ups of this entry, or restart existing ones, as `on_existing` says."""
        for followup in followups:
            if followup.on_existing is OnExisting.RESTART_ONLY:
                self.wake(connection, followup)
                continue
            values = {
                "kind": followup.kind,
                "of_entry": entry_id,
                "created_at": at,
                "due_at": followup.due_at,
                "attempts": 0,
                "last_reason": "",
                "key": followup.key,
                "data": None if followup.data is None else dict(followup.data),
            }
            connection.execute(self._statements[followup.on_existing], values)

    @staticmethod
    def wake(connection: Connection, followup: NewFollowup) -> None:
        """Make the follow-up with the same key due again. No effect if there is none."""
        connection.execute(_WAKE, _parameters_of_wake(followup))


_RESTARTED: dict[str, Any] = {"attempts": 0, "done_at": null(), "given_up_at": null()}
_WAKE = (
    update(FollowupRow)
    .where(FollowupRow.key == bindparam("existing_key"))
    .values(**_RESTARTED, due_at=bindparam("due_again_at"))
)


def _followup(row: Row[*tuple[Any, ...]]) -> Followup:
    is_readable = row.data is None or isinstance(row.data, dict)
    data = row.data if is_readable and row.data else {}
    return Followup(**(row._asdict() | {"kind": FollowupKind(row.kind), "data": data, "is_readable": is_readable}))


def _parameters_of_wake(followup: NewFollowup) -> dict[str, Any]:
    return {"existing_key": followup.key, "due_again_at": followup.due_at}


# The end of an attempt: only by the one who has the lease.
_ENDING = (
    update(FollowupRow)
    .where(
        FollowupRow.id == bindparam("followup_id"),
        FollowupRow.attempts == bindparam("attempt"),
        FollowupRow.due_at.is_not(None),
    )
    .values(
        leased_until=null(),
        due_at=bindparam("next_due_at"),
        done_at=bindparam("ended_at"),
        given_up_at=bindparam("gave_up_at"),
        last_reason=bindparam("reason"),
        attempts=bindparam("attempts_made"),
    )
    .returning(FollowupRow.id)
)

# The claim, from statements that are made once. `taken` are ids that were chosen already.
_NOW = bindparam("now", type_=UtcDateTime())
_TAKEN: BindParameter[Sequence[int]] = bindparam("taken", expanding=True)
_Other = aliased(FollowupRow)
# Another follow-up of the same task.
_IS_SIBLING = (_Other.task_sid == FollowupRow.task_sid, _Other.due_at.is_not(None), _Other.id != FollowupRow.id)
# A lease that ends later than any was taken by a clock that was far ahead: it counts as ended.
_LATEST = bindparam("latest", type_=UtcDateTime())
_IS_LEASED = and_(_Other.leased_until > _NOW, _Other.leased_until <= _LATEST)
# One of an unknown kind counts only while a newer version executes it: otherwise it would hold up all others.
_COMES_FIRST = and_(
    _Other.kind.in_(tuple(FollowupKind)),
    or_(_Other.due_at < FollowupRow.due_at, and_(_Other.due_at == FollowupRow.due_at, _Other.id < FollowupRow.id)),
)
_IS_DUE = (
    FollowupRow.due_at <= _NOW,
    _IS_KNOWN,
    or_(FollowupRow.leased_until.is_(None), FollowupRow.leased_until <= _NOW, FollowupRow.leased_until > _LATEST),
)
_IS_CLAIMABLE = (*_IS_DUE, ~exists().where(*_IS_SIBLING, or_(_IS_LEASED, _COMES_FIRST)))
_IS_CLAIMABLE_BY_KEY = (
    FollowupRow.key == bindparam("existing_key"),
    *_IS_DUE,
    ~exists().where(*_IS_SIBLING, _IS_LEASED),
)


def _choice(condition: Sequence[ColumnElement[bool]], order: ColumnElement[Any]) -> Select[int]:
    """Return the SELECT of the ids of at most `number` rows. SKIP LOCKED is PostgreSQL's; SQLite has one writer."""
    chosen = select(FollowupRow.id).where(*condition, FollowupRow.id.not_in(_TAKEN)).order_by(order)
    return chosen.limit(bindparam("number")).with_for_update(skip_locked=True)


def _leasing(condition: Sequence[ColumnElement[bool]]) -> ReturningUpdate[int]:
    return (
        update(FollowupRow)
        .where(FollowupRow.id.in_(_TAKEN), *condition)
        .values(leased_until=bindparam("until", type_=UtcDateTime()), attempts=FollowupRow.attempts + 1)
        .returning(FollowupRow.id)
    )


_DUE = _choice(_IS_CLAIMABLE, FollowupRow.due_at.asc())
_NEWEST = _choice(_IS_CLAIMABLE, FollowupRow.due_at.desc())
_DUE_WITH_KEY = _choice(_IS_CLAIMABLE_BY_KEY, FollowupRow.due_at.asc())
_LEASING, _LEASING_WITH_KEY = _leasing(_IS_CLAIMABLE), _leasing(_IS_CLAIMABLE_BY_KEY)
_CLAIMED = (
    select(
        FollowupRow.id,
        FollowupRow.kind,
        FollowupRow.attempts,
        FollowupRow.entry_id,
        EntryRow.workspace_sid,
        EntryRow.task_sid,
        EntryRow.reservation_sid,
        EntryRow.worker_sid,
        EntryRow.worker_name,
        EntryRow.event_type,
        EntryRow.received_at,
        FollowupRow.data,
    )
    .join(EntryRow, EntryRow.id == FollowupRow.entry_id)
    .where(FollowupRow.id.in_(_TAKEN))
    .order_by(FollowupRow.due_at, FollowupRow.id)
)


def _still_ours(followup: Followup) -> tuple[ColumnElement[bool], ...]:
    return (
        FollowupRow.id == followup.id,
        FollowupRow.attempts == followup.attempts,
        FollowupRow.due_at.is_not(None),
    )


def _abandoned(now: datetime) -> tuple[ColumnElement[bool], ...]:
    return (
        EntryRow.concluded_at.is_(None),
        EntryRow.received_at < now - ABANDONED_AFTER,
        EntryRow.kind.in_((EntryKind.ASSIGNMENT, EntryKind.FALLBACK)),
    )
