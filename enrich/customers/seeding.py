"""A load of customers from a file, batch by batch; file_loads.py reads the batches from the file.

A file is a source like any other: each row is a record of the source `file`, applied in small transactions. A row that
says what it said last time is known by its hash, and nothing is written for it. What staff decided stands above it.

A load that was interrupted goes on where it was when the same file is loaded again. With `replace`, customers of files
that the file does not have any more leave the store; the brake stops that if there are more than usual.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import count
from typing import Any, TypeVar

from sqlalchemy import and_, delete, exists, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from enrich import errors
from enrich.customers import audit, streams
from enrich.customers.arrivals import Arrival, Origin, RecordOutcome
from enrich.customers.brake import DEFAULT_LIMITS, NOTHING, BrakeLimits, Removed, exceeds
from enrich.customers.fixture_rows import BadRow, CustomerFixture, IncompleteRow
from enrich.customers.lease_owners import has_ended_here
from enrich.customers.new_customers import founder_rows, insert_founders
from enrich.customers.projection import CUSTOMER, FILE, RecordState, StoredRecord
from enrich.customers.record_batches import BATCH_ROWS, RecordBatch
from enrich.customers.record_intake import Applied, apply_records, plan_records, prepare_records
from enrich.customers.source_record import SourceRecord
from enrich.customers.source_tables import SeenRow, SourceRecordRow
from enrich.customers.streams import Counter, Lease
from enrich.customers.tables import IdentifierRow
from enrich.database.engine import Database
from enrich.database.types import Base

# New and changed customers per transaction. On SQLite a writer's turn has to be short, so that the journal of a running
# server does not wait for it. Processor time of a turn on a busy machine: 3.1 ms (p99 5.3) with 40 new ones, 3.3 (5.8)
# with 50; 3.4 ms with 10 changed ones, 2.7 with 5, which hold the lock for longer in all.
_TURN_ON_SQLITE, _TURN_ON_POSTGRESQL = (40, 10), (BATCH_ROWS, 100)
# Bad rows that a report has, so that a file of another kind does not fill the memory.
MAX_BAD_ROWS = 10_000
# Of a transaction that others get in the way of.
_ATTEMPTS = 5
# Later than every counter of a source.
_NEVER_OLDER = 2**63 - 1

T = TypeVar("T")

_RECORDS, _SEEN = (Base.metadata.tables[row.__tablename__] for row in (SourceRecordRow, SeenRow))


@dataclass(frozen=True, slots=True)
class SeedReport:
    """The result of a load: numbers of customers, and the rows that were not loaded, or not with all their values.

    bad: in the file's order, at most MAX_BAD_ROWS; more_bad: the number of further ones. settled: customers, of all
    these, where a change by staff was kept. removed: that the file does not have any more.
    """

    created: int
    changed: int
    unchanged: int
    bad: tuple[BadRow | IncompleteRow, ...]
    settled: int = 0
    removed: int = 0
    more_bad: int = 0

    @property
    def not_loaded(self) -> int:
        """The number of rows that were not loaded, of those in `bad`."""
        return sum(row.rows for row in self.bad if isinstance(row, BadRow))

    @property
    def incomplete(self) -> int:
        """The number of rows that were loaded without some of their values, of those in `bad`."""
        return sum(1 for row in self.bad if isinstance(row, IncompleteRow))


@dataclass(frozen=True, slots=True)
class LoadRules:
    """Rules of a load. replaces: the file has all customers, and others of files leave the store. limits: the brake's.

    accepted: an operator said that so many customers, and so many identifiers of others, may leave within 24 hours;
    None: no more than the limits allow.
    """

    replaces: bool = False
    accepted: int | None = None
    limits: BrakeLimits = DEFAULT_LIMITS


DEFAULT_RULES = LoadRules()


def seed(
    database: Database,
    rows: Iterable[CustomerFixture | BadRow | IncompleteRow],
    *,
    now: datetime,
    progress: Callable[[int], None] = lambda _rows: None,
    rules: LoadRules = DEFAULT_RULES,
) -> SeedReport:
    """Load these customers, as `Load` does."""
    return Load(database, lambda: now, rules=rules).run(_batches(rows, BATCH_ROWS), progress)


def _batches(rows: Iterable[CustomerFixture | BadRow | IncompleteRow], size: int) -> Iterator[RecordBatch]:
    """Yield batches without repeated ids: of several rows with the same id, the last one counts."""
    batch: list[SourceRecord | BadRow | IncompleteRow] = []
    ids: set[str] = set()
    rows_read = 0
    for row in rows:
        if isinstance(row, CustomerFixture):
            if len(ids) == size or row.id in ids:
                yield RecordBatch(tuple(batch), rows_read)
                batch, ids = [], set()
            ids.add(row.id)
        batch.append(SourceRecord.of_fixture(row) if isinstance(row, CustomerFixture) else row)
        rows_read += 1
    if batch:
        yield RecordBatch(tuple(batch), rows_read)


def _portions(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


@dataclass(frozen=True, slots=True)
class _Done:
    """The result of one transaction. counter: the state of the store after it, None if it is not known."""

    lease: Lease
    outcomes: Mapping[str, RecordOutcome] = field(default_factory=dict)
    settled: Collection[str] = ()
    counter: Counter | None = None


@dataclass(slots=True)
class _Totals:
    outcomes: dict[RecordOutcome, int] = field(default_factory=lambda: dict.fromkeys(RecordOutcome, 0))
    settled: int = 0
    bad: list[BadRow | IncompleteRow] = field(default_factory=list)
    more_bad: int = 0
    has_row_of_nobody: bool = False

    def add_bad(self, rows: Sequence[BadRow | IncompleteRow]) -> None:
        room = MAX_BAD_ROWS - len(self.bad)
        self.bad += rows[:room]
        self.more_bad += len(rows[room:])
        self.has_row_of_nobody |= any(row.customer_id is None for row in rows)

    def add(self, outcomes: Mapping[str, RecordOutcome], settled: Collection[str] = ()) -> None:
        for outcome in outcomes.values():
            self.outcomes[outcome] += 1
        self.settled += len(settled)

    def report(self) -> SeedReport:
        of = self.outcomes
        return SeedReport(
            of[RecordOutcome.CREATED],
            of[RecordOutcome.CHANGED],
            of[RecordOutcome.UNCHANGED] + of[RecordOutcome.OLDER],
            tuple(self.bad),
            self.settled,
            of[RecordOutcome.REMOVED],
            self.more_bad,
        )


class Load:
    """One load of a file. now: the database's time. owner: shown to whoever wants to load meanwhile.

    by: stands in the audit trail, as "customers.csv".

    digest: by which the file is known when it is loaded again; None if it cannot be. rows_done: so many rows of the
    file were loaded before an interruption.
    Raises DatabaseError, StreamTaken, LeaseLost and BrakeApplied; what was committed before stays.
    """

    def __init__(
        self,
        database: Database,
        now: Callable[[], datetime],
        *,
        owner: str = "flask crm seed",
        by: str = "a file",
        digest: str | None = None,
        rules: LoadRules = DEFAULT_RULES,
    ) -> None:
        self._database = database
        self._now = now
        self._by = by
        self._digest = digest
        self._rules = rules
        self._before: Removed | None = None
        self._totals = _Totals()
        self._written: list[RecordOutcome] = []  # of this batch
        with database.transaction() as session:
            self._lease = streams.take(
                session, FILE, CUSTOMER, kind=FILE, owner=owner, now=now(), is_dead=has_ended_here
            )
            self.rows_done = self._rows_done()
            if not self.rows_done:
                session.execute(delete(_SEEN).where(*_OF_STREAM))

    def _rows_done(self) -> int:
        position = self._lease.position if isinstance(self._lease.position, dict) else {}
        # A pass that replaces cannot go on from one that did not note what it saw.
        is_same = (position.get("digest"), position.get("replaces")) == (self._digest, self._rules.replaces)
        rows = position.get("rows")
        return rows if is_same and self._digest is not None and isinstance(rows, int) else 0

    def run(self, batches: Iterable[RecordBatch], progress: Callable[[int], None] = lambda _rows: None) -> SeedReport:
        """Load these batches, which begin behind `rows_done`, and return the report.

        progress: called with the number of rows read, after each batch.
        """
        try:
            for batch in batches:
                self._apply_batch(batch)
                progress(batch.rows_read)
            if self._rules.replaces:
                self._remove_unseen()
            with self._database.transaction() as session:
                streams.commit(session, self._lease, self._now(), position=None, run=self._lease.run + 1)
                session.execute(delete(_SEEN).where(*_OF_STREAM))
        finally:
            with self._database.transaction() as session:
                streams.release(session, self._lease)
        return self._totals.report()

    def _apply_batch(self, batch: RecordBatch) -> None:
        position = {"digest": self._digest, "rows": batch.rows_read, "replaces": self._rules.replaces}
        records = [row for row in batch.rows if isinstance(row, SourceRecord)]
        bad = [row for row in batch.rows if not isinstance(row, SourceRecord)]
        # A row that could not be read is in the file all the same.
        seen = {one.remote_id for one in records} | {row.customer_id for row in bad if row.customer_id}
        seen = seen if self._rules.replaces else set()
        self._apply([Arrival(one) for one in records], seen, position=position if self._digest else None)
        self._totals.add_bad(bad)

    def _apply(self, arrivals: Sequence[Arrival], seen: Collection[str] = (), **values: Any) -> None:
        """Apply these records in as many transactions as keep each short. values: of the stream, stored with the last.

        What has to be written is found out, and new rows are made, before the first one.
        """
        with self._database.reading() as session:
            counter = streams.change_counter(session)  # first: what is changed from now on shows
            plan = plan_records(session, self._origin(), arrivals)
        self._totals.add(plan.outcomes, plan.settled)
        by_id = {one.record.remote_id: one for one in arrivals}
        founding, changing = _TURN_ON_SQLITE if self._database.is_sqlite else _TURN_ON_POSTGRESQL
        for founders in _portions(plan.founders, founding):
            counter = self._found(founders, [by_id[one.remote_id] for one in founders], counter)
        for others in _portions(plan.others, changing):
            self._in_turn(self._prepared_change(others) if self._database.is_sqlite else partial(self._change, others))
        self._in_turn(partial(self._conclude, seen, values))
        self._written = []

    def _in_turn(self, work: Callable[[Session, datetime], _Done]) -> _Done:
        """Return the result of this work in a transaction, done again if another one was in its way."""
        for attempt in count(1):
            try:
                with self._database.transaction() as session:
                    done = work(session, self._now())
                break
            except (errors.DatabaseLocked, errors.DatabaseConflict):
                if attempt == _ATTEMPTS:
                    raise
        self._lease = done.lease
        self._totals.add(done.outcomes, done.settled)
        self._written += done.outcomes.values()
        return done

    def _origin(self) -> Origin:
        # Nothing but a load writes records of files, and the lease keeps another one out: nothing is older.
        return Origin(FILE, CUSTOMER, read_after=_NEVER_OLDER, is_partial=True)

    def _found(self, founders: Sequence[StoredRecord], arrivals: Sequence[Arrival], counter: Counter) -> Counter:
        """Insert new customers, of which nothing was stored at this state of the store; return the next state."""
        created_at = self._now()
        rows = founder_rows(self._database.engine.dialect, founders, created_at)

        def insert(session: Session, now: datetime) -> _Done:
            if streams.change_counter(session) != counter:  # somebody changed something, perhaps about these
                return self._change(arrivals, session, now)
            insert_founders(session.connection(), rows, streams.next_seq(session, FILE, FILE))
            outcomes = {one.remote_id: RecordOutcome.CREATED for one in founders}
            newest_change, seqs = counter
            return _Done(streams.commit(session, self._lease, now), outcomes, counter=(newest_change, seqs + 1))

        return self._in_turn(insert).counter or counter

    def _prepared_change(self, arrivals: Sequence[Arrival]) -> Callable[[Session, datetime], _Done]:
        """Return the application of these records, computed already: on SQLite its turn consists of writes then.

        Not on PostgreSQL, where others may change the same customers between the check and the writes; there they are
        locked, and nobody else waits.
        """
        with self._database.reading() as session:
            counter = streams.change_counter(session)
            prepared = prepare_records(session, self._origin(), arrivals, self._now())

        def change(session: Session, now: datetime) -> _Done:
            if prepared is None or streams.change_counter(session) != counter:
                return self._change(arrivals, session, now)
            return self._changed(prepared.write(session, streams.next_seq(session, FILE, FILE)), session, now)

        return change

    def _change(self, arrivals: Sequence[Arrival], session: Session, now: datetime) -> _Done:
        """Apply records of which something is stored."""
        seq = streams.next_seq(session, FILE, FILE)
        return self._changed(apply_records(session, self._origin(), arrivals, now, seq=seq), session, now)

    def _changed(self, applied: Applied, session: Session, now: datetime) -> _Done:
        """Note in the same transaction what was changed."""
        audit.note_source_changes(session, applied.recomputed, self._by, now)
        removals = self._lease.removals.adding(applied.removed, now)
        if applied.removed != NOTHING:
            self._check_brake(session, removals.total())
        lease = streams.commit(session, self._lease, now, removals=removals)
        return _Done(lease, applied.outcomes, applied.settled)

    def _conclude(self, seen: Collection[str], values: Mapping[str, Any], session: Session, now: datetime) -> _Done:
        """Store what the batch has seen, and that it is done."""
        self._see(session, seen)
        if self._written:
            audit.note_load(session, self._by, now, self._written)
        return _Done(streams.commit(session, self._lease, now, **values))

    def _see(self, session: Session, remote_ids: Iterable[str]) -> None:
        rows = [{**_STREAM, "run": self._lease.run, "remote_id": one} for one in sorted(remote_ids)]
        if rows:
            dialect = sqlite if self._database.is_sqlite else postgresql
            session.execute(dialect.insert(_SEEN).on_conflict_do_nothing(), rows)

    def _remove_unseen(self) -> None:
        """Take out of the index the customers of files that this pass has not seen."""
        if self._totals.has_row_of_nobody:
            raise errors.FixtureFileError(
                "nothing was removed, because a row that could not be read does not say which customer it is about;"
                " mend it, and load the file again"
            )
        with self._database.reading() as session:
            number = session.execute(select(func.count()).select_from(_RECORDS).where(_IS_UNSEEN)).scalar_one()
            total = self._lease.removals.adding(Removed(records=number), self._now()).total()
            if number:  # all of them at once: it stops before the first one, not in the middle
                self._check_brake(session, total)
        while number:
            with self._database.reading() as session:
                rows = session.scalars(select(_RECORDS.c.remote_id).where(_IS_UNSEEN).limit(BATCH_ROWS)).all()
            if not rows:
                return
            self._apply([Arrival(SourceRecord.tombstone(one), RecordState.ARCHIVED) for one in rows])

    def _check_brake(self, session: Session, total: Removed) -> None:
        """Raise BrakeApplied if so much within 24 hours is more than may leave."""
        if self._rules.accepted is not None and total.most <= self._rules.accepted:
            return
        if self._before is None:
            self._before = _in_index(session) + self._lease.removals.total()
        if exceeds(total, self._before, self._rules.limits):
            raise errors.BrakeApplied(
                f"{total.records:,} of {self._before.records:,} customers would be gone within 24 hours, and"
                f" {total.identifiers:,} of {self._before.identifiers:,} numbers, addresses and ids of others",
                removed=total.most,
            )


_STREAM = {"source": FILE, "stream": CUSTOMER}
_OF_STREAM = (_SEEN.c.source == FILE, _SEEN.c.stream == CUSTOMER)
_IS_UNSEEN = and_(
    _RECORDS.c.source == FILE,
    _RECORDS.c.object == CUSTOMER,
    _RECORDS.c.state == RecordState.LIVE,
    ~exists().where(*_OF_STREAM, _SEEN.c.remote_id == _RECORDS.c.remote_id),
)


def _in_index(session: Session) -> Removed:
    """Return the numbers of live records of files, and of all identifiers."""
    is_live = and_(_RECORDS.c.source == FILE, _RECORDS.c.object == CUSTOMER, _RECORDS.c.state == RecordState.LIVE)
    records = session.execute(select(func.count()).select_from(_RECORDS).where(is_live)).scalar_one()
    identifiers = session.execute(select(func.count()).select_from(IdentifierRow)).scalar_one()
    return Removed(records, identifiers)
