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
    ColumnElement,
    Connection,
    Row,
    Select,
    case,
    delete,
    exists,
    func,
    select,
    update,
)

from enrich.database.engine import Database
from enrich.domain.deliveries import Followup, NewFollowup
from enrich.domain.outcomes import EntryKind, FollowupKind, Outcome, Reason
from enrich.errors import TaskGone
from enrich.journal import followup_claims as claims
from enrich.journal.followup_inserts import INSERT_FOLLOWUP, WAKE, FollowupInserts, wake_parameters
from enrich.journal.tables import EVENT, NO_EVENT, EntryRow, FollowupRow

# Much longer than one follow-up takes (5 s). A dead worker's rows wait this long.
LEASE = timedelta(seconds=60)
# No lease ends later, reckoned from now: whoever claims reads the clock, then waits for the database, and finds leases
# that others took meanwhile; and two machines' clocks are never quite the same.
LONGEST_LEASE = 2 * LEASE
# A callback is answered within 4 s. If it has no conclusion after 10 s, its process died.
ABANDONED_AFTER = timedelta(seconds=10)
GIVEN_UP_WINDOW = timedelta(days=1)
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
        self._ending = database.prepare(claims.ENDING)
        self._saving_progress = database.prepare(claims.SAVING_PROGRESS)
        self._waking = database.prepare(WAKE)

    def claim(
        self, now: datetime, *, at_most: int = 1, newest: int = 0, key: str | None = None
    ) -> tuple[Followup, ...]:
        """Return due follow-ups, oldest first, leased to the caller until the lease ends.

        The follow-ups of one task are claimed one at a time, in the order in which they are due. at_most: as many as
        can be executed within one lease. newest: so many of them are those that became due last, so that living tasks
        do not wait behind a backlog. key: claim only the follow-up with this key, if due, before older ones of its
        task.
        """
        due, leasing = (claims.DUE, claims.LEASING) if key is None else (claims.DUE_WITH_KEY, claims.LEASING_WITH_KEY)
        values = {"now": now, "until": now + LEASE, "latest": now + LONGEST_LEASE, "existing_key": key}
        # Usually nothing is due; reading first saves SQLite the write lock.
        if self._database.is_sqlite and not self._database.read(due, values | {"number": 1, "taken": ()}):
            return ()

        def lease(connection: Connection) -> Sequence[Row[*tuple[Any, ...]]]:
            ids: list[int] = []
            for number, statement in ((newest, claims.NEWEST), (at_most - newest, due)):
                if number > 0:
                    ids += connection.scalars(statement, values | {"number": number, "taken": ids})
            if not ids:
                return ()
            # Asked once more: on PostgreSQL a sibling may have been claimed between the first look and the lock.
            leased = connection.scalars(leasing, values | {"taken": ids})
            return connection.execute(claims.CLAIMED, {"taken": leased.all()}).all()

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
        values = {"followup_id": followup.id, "attempt": followup.attempts, "progress": dict(data)}
        self._database.write(self._saving_progress, values)

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
        self._database.write(self._waking, wake_parameters(followup))
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
            select(FollowupRow.due_at)
            .where(FollowupRow.due_at <= now, claims.IS_KNOWN)
            .order_by(FollowupRow.due_at)
            .limit(1)
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
        return self._count(select(FollowupRow.id).where(FollowupRow.due_at.is_not(None), ~claims.IS_KNOWN))

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


def _followup(row: Row[*tuple[Any, ...]]) -> Followup:
    is_readable = row.data is None or isinstance(row.data, dict)
    data = row.data if is_readable and row.data else {}
    return Followup(**(row._asdict() | {"kind": FollowupKind(row.kind), "data": data, "is_readable": is_readable}))


def _abandoned(now: datetime) -> tuple[ColumnElement[bool], ...]:
    return (
        EntryRow.concluded_at.is_(None),
        EntryRow.received_at < now - ABANDONED_AFTER,
        EntryRow.kind.in_((EntryKind.ASSIGNMENT, EntryKind.FALLBACK)),
    )
