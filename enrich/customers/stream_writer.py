"""Application of the records of a stream, batch by batch, each batch in short transactions.

Files, databases and systems that send their customers all come in here. What has to be written is found out, and new
rows are made, before the transactions: on SQLite a writer's turn has to be short, so that the journal of a running
server does not wait for it. Each transaction checks the lease, counts for the brake what leaves the index, and notes in
the audit trail what it changed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import count
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, and_, delete, except_, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from enrich import errors
from enrich.customers import audit, quarantine, streams
from enrich.customers.arrivals import Arrival, Origin, RecordOutcome
from enrich.customers.brake import DEFAULT_LIMITS, NOTHING, BrakeLimits, Removed, exceeds
from enrich.customers.erasure import empty_trail
from enrich.customers.new_customers import founder_rows, insert_founders
from enrich.customers.projection import RecordState, StoredRecord
from enrich.customers.record_batches import BATCH_ROWS
from enrich.customers.record_intake import Applied, apply_records, plan_records, prepare_records
from enrich.customers.record_reading import ReadRecord
from enrich.customers.source_tables import SeenRow, SourceRecordRow
from enrich.customers.streams import ChangeCounter, Lease
from enrich.customers.tables import IdentifierRow
from enrich.database.engine import Database
from enrich.database.turns import Turns, TurnSize
from enrich.database.types import Base

# New and changed customers per transaction, at most; beside others fewer where they take long. Processor time of a turn
# of SQLite on a busy machine: 2.7 ms (p99 5.0) with 40 new ones, 2.3 ms (4.3) with 32; 2.7 ms (4.2) with 10 changed
# ones. Fewer hold the lock for longer in all.
_TURN_ON_SQLITE, _TURN_ON_POSTGRESQL = (32, 10), (BATCH_ROWS, 100)
# Of a transaction that others get in the way of.
_ATTEMPTS = 5

T = TypeVar("T")

_RECORDS, _SEEN = (Base.metadata.tables[row.__tablename__] for row in (SourceRecordRow, SeenRow))


@dataclass(frozen=True, slots=True)
class BatchResult:
    """The result of a batch. outcomes: by remote id. settled: remote ids over which a decision of staff stands."""

    outcomes: Mapping[str, RecordOutcome]
    settled: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Done:
    """The result of one transaction. counter: the state of the store after it, None if it is not known."""

    lease: Lease
    outcomes: Mapping[str, RecordOutcome] = field(default_factory=dict)
    settled: Collection[str] = ()
    counter: ChangeCounter | None = None


class StreamWriter:
    """Writes the records of one stream.

    lease: of the stream, as it stands after the last transaction. now: the database's time. by: stands in the audit
    trail, as "customers.csv". is_partial: as `arrivals.Origin` has it. limits, accepted: the brake's, and the number of
    customers, or identifiers of others, that an operator lets go within 24 hours. pause: called before and between
    transactions, so that whatever else the process does goes on.
    """

    def __init__(
        self,
        database: Database,
        lease: Lease,
        now: Callable[[], datetime],
        *,
        by: str,
        is_partial: bool = False,
        limits: BrakeLimits = DEFAULT_LIMITS,
        accepted: int | None = None,
        pause: Callable[[], None] = lambda: None,
    ) -> None:
        self.lease = lease
        self._database = database
        self._now = now
        self._by = by
        self._is_partial = is_partial
        self._limits = limits
        self._accepted = accepted
        self._pause = pause
        self._turns = Turns(database)
        founding, changing = _TURN_ON_SQLITE if database.is_sqlite else _TURN_ON_POSTGRESQL
        self._founding, self._changing = TurnSize(founding), TurnSize(changing)
        self._before: Removed | None = None
        self._result: tuple[dict[str, RecordOutcome], set[str]] = {}, set()
        self._written: list[RecordOutcome] = []  # since the last conclusion

    def apply(
        self,
        arrivals: Sequence[Arrival],
        *,
        read_after: int | None,
        seen: Collection[str] = (),
        read: Iterable[tuple[ReadRecord, Mapping[str, Any]]] = (),
        **values: Any,
    ) -> BatchResult:
        """Write these records, of different remote ids, and conclude their batch; arguments and errors as there."""
        result = self.write(arrivals, read_after=read_after)
        self.conclude(seen=seen, read=read, **values)
        return result

    def write(self, arrivals: Sequence[Arrival], *, read_after: int | None) -> BatchResult:
        """Write these records, of different remote ids.

        read_after: as `arrivals.Origin` has it. Raises DatabaseError, LeaseLost and BrakeApplied; what was committed
        before stays.
        """
        self._result = {}, set()
        origin = self._origin(read_after)
        with self._database.reading() as session:
            counter = streams.change_counter(session)  # first: what is changed from now on shows
            plan = plan_records(session, origin, arrivals)
        self._pause()
        self._add(plan.outcomes, plan.settled)
        by_id = {one.record.remote_id: one for one in arrivals}
        for founders in self._turns.portions(plan.founders, self._founding):
            counter = self._found(origin, founders, [by_id[one.remote_id] for one in founders], counter)
        for others in self._turns.portions(plan.others, self._changing):
            change = self._prepared_change(origin, others) if self._database.is_sqlite else None
            self._pause()
            self._in_turn(change or partial(self._change, origin, others))
        outcomes, settled = self._result
        return BatchResult(outcomes, frozenset(settled))

    def overtaken(self, result: BatchResult, read_after: int) -> Sequence[str]:
        """Return which of these records others applied after they were read, so that they have to be read again.

        read_after: with which they were written. Not those that are erased, which no reading brings back.
        """
        older = [one for one, outcome in result.outcomes.items() if outcome is RecordOutcome.OLDER]
        if not older:
            return ()
        of_stream = (_RECORDS.c.source == self.lease.source, _RECORDS.c.object == self.lease.stream)
        is_newer = (_RECORDS.c.seq > read_after, _RECORDS.c.state != RecordState.ERASED)
        rows = select(_RECORDS.c.remote_id).where(*of_stream, *is_newer, _RECORDS.c.remote_id.in_(older))
        with self._database.reading() as session:
            return sorted(session.scalars(rows))

    def conclude(
        self,
        *,
        seen: Collection[str] = (),
        read: Iterable[tuple[ReadRecord, Mapping[str, Any]]] = (),
        **values: Any,
    ) -> None:
        """Store that the records of a batch are written.

        seen: remote ids that the pass has seen, for `unseen`; even such as cannot be stored. read: how the records were
        read, those that could not be read included, for the quarantine. values: of the stream. Raises DatabaseError
        and LeaseLost.
        """
        read = tuple(read)
        if seen or read or values or self._written:
            self._in_turn(partial(self._conclude, seen, read, values))
        self._written = []

    def counter(self) -> int:
        """Return the source's counter: what is applied from now on has a higher one, as `read_after` wants it."""
        with self._database.reading() as session:
            return streams.seq(session, self.lease.source)

    def unknown(self, remote_ids: Collection[str]) -> Iterator[Sequence[str]]:
        """Yield those of these that are not live in the store, and not in quarantine either, in batches."""
        for some in portions(sorted(remote_ids), BATCH_ROWS):
            by_stored_id = {quarantine.stored_id(one): one for one in some}
            with self._database.reading() as session:
                live = select(_RECORDS.c.remote_id).where(self._is_live(), _RECORDS.c.remote_id.in_(by_stored_id))
                known = set(session.scalars(live))
                known |= quarantine.quarantined_ids(session, self.lease.source, self.lease.stream, by_stored_id)
            if unknown := [one for stored, one in by_stored_id.items() if stored not in known]:
                yield unknown

    def end_pass(self, **values: Any) -> None:
        """End a pass, and store values of the stream with its end. Raises LeaseLost."""
        with self._database.transaction() as session:
            self.lease = streams.commit(
                session, self.lease, self._now(), position=None, run=self.lease.run + 1, **values
            )
        self._forget_seen()

    def _forget_seen(self) -> None:
        """Delete what earlier passes have seen, in short transactions: it is a row for each record of the source."""
        earlier = select(_SEEN.c.run, _SEEN.c.remote_id).where(*self._of_stream(), _SEEN.c.run < self.lease.run)
        while rows := self._database.read(earlier.limit(BATCH_ROWS)):
            runs, remote_ids = {row.run for row in rows}, [row.remote_id for row in rows]
            seen = delete(_SEEN).where(*self._of_stream(), _SEEN.c.run.in_(runs), _SEEN.c.remote_id.in_(remote_ids))
            self._database.write(seen)

    def unseen(self) -> Iterator[Sequence[str]]:
        """Yield the remote ids of live records that this pass has not seen, in batches.

        The caller applies something to each of a batch before the next. Raises BrakeApplied before the first if more
        are missing than may leave.
        """
        live = select(_RECORDS.c.remote_id).where(self._is_live())
        with self._database.reading() as session:
            missing = self._without_seen(session, live)
            if missing:  # all of them at once: it stops before the first one, not in the middle
                removals = streams.removals(session, self.lease)
                self._check_brake(session, removals.adding(Removed(records=len(missing)), self._now()).total())
        yield from portions(missing, BATCH_ROWS)

    def release_unseen(self) -> None:
        """Take out of quarantine what this pass has not seen. Raises LeaseLost."""
        source, stream = self.lease.source, self.lease.stream
        with self._database.reading() as session:
            missing = self._without_seen(session, quarantine.ids_of(source, stream))
        for some in portions(missing, BATCH_ROWS):
            with self._database.transaction() as session:
                quarantine.release(session, source, stream, some)
                self.lease = streams.commit(session, self.lease, self._now())

    def release(self) -> None:
        """Give the lease back, if it is still ours."""
        with self._database.transaction() as session:
            streams.release(session, self.lease)

    def _origin(self, read_after: int | None) -> Origin:
        return Origin(
            self.lease.source,
            self.lease.stream,
            read_after,
            self._is_partial,
            self.lease.shared_kinds,
            self.lease.placeholders,
        )

    def _add(self, outcomes: Mapping[str, RecordOutcome], settled: Collection[str]) -> None:
        self._result[0].update(outcomes)
        self._result[1].update(settled)

    def _in_turn(self, work: Callable[[Session, datetime], _Done]) -> _Done:
        """Return the result of this work in a transaction, done again if another one was in its way."""
        for attempt in count(1):
            try:
                with self._database.transaction() as session:
                    self._turns.note(session.connection())
                    done = work(session, self._now())
                break
            except (errors.DatabaseLocked, errors.DatabaseConflict):
                if attempt == _ATTEMPTS:
                    raise
        self.lease = done.lease
        self._add(done.outcomes, done.settled)
        self._written += done.outcomes.values()
        self._turns.end()
        self._pause()
        return done

    def _next_seq(self, session: Session) -> int:
        return streams.next_seq(session, self.lease.source, self.lease.kind)

    def _found(
        self, origin: Origin, founders: Sequence[StoredRecord], arrivals: Sequence[Arrival], counter: ChangeCounter
    ) -> ChangeCounter:
        """Insert new customers, of which nothing was stored at this state of the store; return the next state."""
        rows = founder_rows(self._database.engine.dialect, founders, self._now())

        def insert(session: Session, now: datetime) -> _Done:
            if streams.change_counter(session) != counter:  # somebody changed something, perhaps about these
                return self._change(origin, arrivals, session, now)
            insert_founders(session.connection(), rows, self._next_seq(session))
            outcomes = {one.remote_id: RecordOutcome.CREATED for one in founders}
            newest_change, seqs = counter
            return _Done(streams.commit(session, self.lease, now), outcomes, counter=(newest_change, seqs + 1))

        return self._in_turn(insert).counter or counter

    def _prepared_change(self, origin: Origin, arrivals: Sequence[Arrival]) -> Callable[[Session, datetime], _Done]:
        """Return the application of these records, computed already: on SQLite its turn consists of writes then.

        Not on PostgreSQL, where others may change the same customers between the check and the writes; there they are
        locked, and nobody else waits.
        """
        with self._database.reading() as session:
            counter = streams.change_counter(session)
            prepared = prepare_records(session, origin, arrivals, self._now())

        def change(session: Session, now: datetime) -> _Done:
            if prepared is None or streams.change_counter(session) != counter:
                return self._change(origin, arrivals, session, now)
            return self._changed(prepared.write(session, self._next_seq(session)), session, now)

        return change

    def _change(self, origin: Origin, arrivals: Sequence[Arrival], session: Session, now: datetime) -> _Done:
        """Apply records of which something is stored."""
        return self._changed(apply_records(session, origin, arrivals, now, seq=self._next_seq(session)), session, now)

    def _changed(self, applied: Applied, session: Session, now: datetime) -> _Done:
        """Note in the same transaction what was changed."""
        audit.note_source_changes(session, applied.recomputed, self._by, now)
        if applied.erased:
            empty_trail(session, applied.erased)
        values = {}
        if applied.removed != NOTHING:
            values["removals"] = streams.removals(session, self.lease).adding(applied.removed, now)
            self._check_brake(session, values["removals"].total())
        return _Done(streams.commit(session, self.lease, now, **values), applied.outcomes, applied.settled)

    def _conclude(
        self,
        seen: Collection[str],
        read: Collection[tuple[ReadRecord, Mapping[str, Any]]],
        values: Mapping[str, Any],
        session: Session,
        now: datetime,
    ) -> _Done:
        """Store what the batch has seen, what could not be read, and that it is done."""
        self._see(session, seen)
        quarantine.put(session, self.lease.source, self.lease.stream, read, now)
        if self._written:
            audit.note_load(session, self._by, now, self._written)
        return _Done(streams.commit(session, self.lease, now, **values))

    def _see(self, session: Session, remote_ids: Iterable[str]) -> None:
        stream = {"source": self.lease.source, "stream": self.lease.stream, "run": self.lease.run}
        rows = [{**stream, "remote_id": one} for one in sorted(set(map(quarantine.stored_id, remote_ids)))]
        if rows:
            dialect = sqlite if self._database.is_sqlite else postgresql
            session.execute(dialect.insert(_SEEN).on_conflict_do_nothing(), rows)

    def _check_brake(self, session: Session, total: Removed) -> None:
        """Raise BrakeApplied if so much within 24 hours is more than may leave."""
        if self._accepted is not None and total.most <= self._accepted:
            return
        if self._before is None:
            self._before = self._in_index(session) + streams.removals(session, self.lease).total()
        if exceeds(total, self._before, self._limits):
            raise errors.BrakeApplied(
                f"{total.records:,} of {self._before.records:,} customers would be gone within 24 hours, and"
                f" {total.identifiers:,} of {self._before.identifiers:,} numbers, addresses and ids of others",
                removed=total.most,
                records=total.records,
                of_records=self._before.records,
            )

    def _in_index(self, session: Session) -> Removed:
        """Return the numbers of live records of this stream, and of all identifiers."""
        records = session.execute(select(func.count()).select_from(_RECORDS).where(self._is_live())).scalar_one()
        identifiers = session.execute(select(func.count()).select_from(IdentifierRow)).scalar_one()
        return Removed(records, identifiers)

    def _of_stream(self) -> tuple[ColumnElement[bool], ...]:
        return _SEEN.c.source == self.lease.source, _SEEN.c.stream == self.lease.stream

    def _is_live(self) -> ColumnElement[bool]:
        return and_(
            _RECORDS.c.source == self.lease.source,
            _RECORDS.c.object == self.lease.stream,
            _RECORDS.c.state == RecordState.LIVE,
        )

    def _without_seen(self, session: Session, remote_ids: Select[tuple[str]]) -> Sequence[str]:
        """Return those of these remote ids that this pass has not seen.

        EXCEPT, because PostgreSQL runs NOT EXISTS as a loop in a loop where it does not know yet how many rows the
        tables have got: of 30,000 rows that were just written, that took more than 60 s, and this takes 0.02 s.
        """
        seen = select(_SEEN.c.remote_id).where(*self._of_stream(), _SEEN.c.run == self.lease.run)
        return sorted(row[0] for row in session.execute(except_(remote_ids, seen)))


def portions(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield the items in consecutive portions of this size, the last one of what is left."""
    return (items[start : start + size] for start in range(0, len(items), size))
