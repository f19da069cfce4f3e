"""What is owed: rows that workers claim, do, and mark done, put off, or give up.

A row is claimed by a lease: a worker that dies leaves it to be claimed again when the lease is over. So everything is
done at least once, and whoever does it first asks whether it is still needed. Any number of workers may ask at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, bindparam, case, delete, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from enrich.database.engine import Database
from enrich.domain.deliveries import NewFollowup, OnExisting
from enrich.domain.outcomes import EntryKind, FollowupKind, Outcome, Reason
from enrich.errors import TaskGone
from enrich.journal.tables import EVENT, NO_EVENT, EntryRow, FollowupRow

# Much longer than one piece of work takes (5 s); a dead worker's rows wait that long.
LEASE = timedelta(seconds=60)
# A callback is answered within 4 s; one without a conclusion after 10 has lost its process.
ABANDONED_AFTER = timedelta(seconds=10)
GIVEN_UP_LATELY = timedelta(days=1)
# Ten thousand or a million: it is too much, and counting on would only take time.
COUNTED = 10_000


@dataclass(frozen=True, slots=True)
class Followup:
    """One claimed piece of work. attempts counts the present one: 1 at the first. data: as its kind needs it."""

    id: int
    kind: FollowupKind
    attempts: int
    entry_id: int
    workspace_sid: str
    task_sid: str | None
    reservation_sid: str | None
    worker_sid: str
    worker_name: str
    event_type: str = ""
    received_at: datetime | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FollowupSummary:
    """One follow-up that is not done. due_at: when it is tried next; None once it was given up."""

    id: int
    kind: str
    attempts: int
    due_at: datetime | None
    given_up_at: datetime | None
    last_reason: str
    task_sid: str | None


@dataclass(frozen=True, slots=True)
class Figures:
    """How much is owed at one moment. Counts end at 10,000.

    overdue_s: for how long the one that waits longest has been due; 0.0 when nothing is.
    given_up: within the last day, apart from those whose task was over: nobody has to mend that.
    unconcluded: receipts that no worker has adopted although it could have.
    """

    owed: int
    overdue_s: float
    given_up: int
    unconcluded: int


class FollowupQueue:
    """What is owed, in one database. Every method raises DatabaseError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, now: datetime, *, at_most: int = 1, key: str | None = None) -> tuple[Followup, ...]:
        """What is due, oldest first, leased to the caller; nobody else gets it before the lease is over.

        at_most: as many as can be done within one lease. key: only the one that is known by it, if it is due.
        """
        only = [] if key is None else [FollowupRow.key == key]
        due = (
            select(FollowupRow.id)
            .where(
                FollowupRow.due_at <= now,
                or_(FollowupRow.leased_until.is_(None), FollowupRow.leased_until <= now),
                *only,
            )
            .order_by(FollowupRow.due_at)
            .limit(at_most)
            .with_for_update(skip_locked=True)  # PostgreSQL's; SQLite has one writer at a time anyway
        )
        # Asking costs SQLite no write lock while there is nothing to do, which is nearly always.
        if self._database.is_sqlite and not self._database.read(due):
            return ()
        with self._database.transaction() as session:
            ids = session.scalars(due).all()
            if not ids:
                return ()
            session.execute(
                update(FollowupRow)
                .where(FollowupRow.id.in_(ids))
                .values(leased_until=now + LEASE, attempts=FollowupRow.attempts + 1)
            )
            rows = session.execute(
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
                .where(FollowupRow.id.in_(ids))
                .order_by(FollowupRow.due_at)
            ).all()
        return tuple(
            Followup(**(row._asdict() | {"kind": FollowupKind(row.kind), "data": row.data or {}})) for row in rows
        )

    def done(self, followup: Followup, now: datetime) -> None:
        self._end(followup, done_at=now, last_reason="")

    def give_up(self, followup: Followup, now: datetime, reason: str) -> None:
        self._end(followup, given_up_at=now, last_reason=reason)

    def put_off(self, followup: Followup, due_at: datetime, reason: str) -> None:
        """It failed, with this reason; it is due again at that moment."""
        self._end(followup, due_at=due_at, last_reason=reason)

    def reached(self, followup: Followup, data: Mapping[str, Any]) -> None:
        """It has got so far: whoever tries again begins with this data. Nothing happens once others have claimed it."""
        self._database.write(update(FollowupRow).where(*_still_ours(followup)).values(data=dict(data)))

    def owe(self, entry_id: int, owing: Sequence[NewFollowup], *, at: datetime) -> None:
        """These are owed from now on, because of that entry."""
        self._database.commit(lambda connection: Owes(self._database).add(connection, entry_id, owing, at=at))

    def ending(self, key: str) -> tuple[bool, str]:
        """Whether the one that is known by this key is over, and with which reason it last failed, "" for none."""
        rows = self._database.read(select(FollowupRow.due_at, FollowupRow.last_reason).where(FollowupRow.key == key))
        return (rows[0].due_at is None, rows[0].last_reason) if rows else (True, "")

    def wake(self, owing: NewFollowup) -> None:
        """The one that is known by the same key is due again; nothing happens where there is none."""
        self._database.commit(lambda connection: Owes.wake(connection, owing))

    def adopt_abandoned(self, now: datetime) -> int:
        """How many receipts were found whose process has died; each is concluded as such, and its enrichment owed."""
        abandoned = _abandoned(now)
        if not self._database.read(select(EntryRow.id).where(*abandoned).limit(1)):
            return 0
        only_answered = EntryRow.reason != ""  # on purpose, and it was said why when it was received
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
            owed = [
                {"kind": FollowupKind.ENRICH, "entry_id": row.id, "created_at": now, "due_at": now}
                for row in adopted
                if row.task_sid
            ]
            if owed:
                session.execute(insert(FollowupRow), owed)
        return len(adopted)

    def retry(self, followup_ids: Iterable[int], now: datetime) -> int:
        """How many of these are due again from now on; those that are done stay done."""
        with self._database.transaction() as session:
            rows = session.execute(
                update(FollowupRow)
                .where(FollowupRow.id.in_(list(followup_ids)), FollowupRow.done_at.is_(None))
                .values(due_at=now, leased_until=None, given_up_at=None, attempts=0)
                .returning(FollowupRow.id)
            ).all()
        return len(rows)

    def overview(self, *, at_most: int = 100) -> tuple[FollowupSummary, ...]:
        """What is not done, the newest first: what is still owed, and what was given up."""
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
        """How much is owed. Each number comes from an index that holds little else, and stops at a bound."""
        overdue_since = self._database.read(
            select(FollowupRow.due_at).where(FollowupRow.due_at <= now).order_by(FollowupRow.due_at).limit(1)
        )
        return Figures(
            owed=self.open_count(),
            overdue_s=max(0.0, (now - overdue_since[0].due_at).total_seconds()) if overdue_since else 0.0,
            given_up=self._count(
                select(FollowupRow.id).where(
                    FollowupRow.given_up_at > now - GIVEN_UP_LATELY, FollowupRow.last_reason != TaskGone.reason
                )
            ),
            unconcluded=self._count(select(EntryRow.id).where(*_abandoned(now))),
        )

    def open_count(self) -> int:
        """How many follow-ups are owed now; at most 10,000."""
        return self._count(select(FollowupRow.id).where(FollowupRow.due_at.is_not(None)))

    def _count(self, rows: Select[int]) -> int:
        bounded = rows.limit(COUNTED).subquery()
        return int(self._database.read(select(func.count()).select_from(bounded))[0][0])

    def prune(self, older_than: datetime, *, at_most: int = 1000) -> int:
        """How many entries received before that moment were deleted, oldest first, with their follow-ups.

        at_most: of events, and of all others. An event that was caught up goes with those that it came in among, which
        may be an hour later.
        """
        row = EntryRow
        lines = select(row.id).where(NO_EVENT, row.received_at < older_than).order_by(row.received_at).limit(at_most)
        # No index has the time of events, which are most of the rows; but they came in in the order of their ids.
        first = select(row.id, row.received_at).where(row.kind == EVENT).order_by(row.id).limit(at_most).subquery()
        events = select(first.c.id).where(first.c.received_at < older_than)
        return self._delete(lines) + self._delete(events)

    def _delete(self, entries: Select[int]) -> int:
        """How many there were. Nobody has to wait for a writer who finds nothing to do."""
        if not self._database.read(entries.limit(1)):
            return 0
        rows = self._database.write(delete(EntryRow).where(EntryRow.id.in_(entries)).returning(EntryRow.id))
        return len(rows)

    def _end(self, followup: Followup, **values: object) -> None:
        """Nothing happens where somebody else has claimed it since, or has done it: theirs is the last word.

        What was made due anew meanwhile stays due, and need not wait until our lease is over.
        """
        ended = {"due_at": None, "leased_until": None} | values
        ending = update(FollowupRow).where(*_still_ours(followup)).values(**ended).returning(FollowupRow.id)
        if not self._database.write(ending):
            rearmed = (FollowupRow.id == followup.id, FollowupRow.attempts == 0)
            self._database.write(update(FollowupRow).where(*rearmed).values(leased_until=None))


class Owes:
    """The statements that make follow-ups, inside the transaction of their cause."""

    def __init__(self, database: Database) -> None:
        dialect = sqlite if database.is_sqlite else postgresql
        adding = dialect.insert(FollowupRow)
        self._add = adding.on_conflict_do_nothing(index_elements=[FollowupRow.key])
        # The lease stays: who is at it now has not seen what made it due again, and two must not work on it at once.
        self._restart = adding.on_conflict_do_update(
            index_elements=[FollowupRow.key],
            set_=_ANEW | {"due_at": adding.excluded.due_at, "data": adding.excluded.data},
        )

    def add(self, connection: Connection, entry_id: int, owing: Sequence[NewFollowup], *, at: datetime) -> None:
        for each in owing:
            if each.on_existing is OnExisting.RESTART_ONLY:
                self.wake(connection, each)
                continue
            values = {
                "kind": each.kind,
                "entry_id": entry_id,
                "created_at": at,
                "due_at": each.due_at,
                "attempts": 0,
                "last_reason": "",
                "key": each.key,
                "data": None if each.data is None else dict(each.data),
            }
            connection.execute(self._restart if each.on_existing is OnExisting.RESTART else self._add, values)

    @staticmethod
    def wake(connection: Connection, owing: NewFollowup) -> None:
        connection.execute(_WAKE, {"woken": owing.key, "due_again_at": owing.due_at})


_ANEW: dict[str, Any] = {"attempts": 0, "done_at": None, "given_up_at": None}
_WAKE = (
    update(FollowupRow).where(FollowupRow.key == bindparam("woken")).values(**_ANEW, due_at=bindparam("due_again_at"))
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
