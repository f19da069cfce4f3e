"""A load of customers from a file, batch by batch; file_loads.py reads the batches from the file.

A file is a source like any other: each row is a record of the source `file`, applied in small transactions. A row that
says what it said last time is known by its hash, and nothing is written for it. What staff decided stands above it.

A load that was interrupted goes on where it was when the same file is loaded again. With `replace`, customers of files
that the file does not have any more leave the store; the brake stops that if there are more than usual.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from enrich import errors
from enrich.customers import streams
from enrich.customers.arrivals import Arrival, RecordOutcome
from enrich.customers.brake import DEFAULT_LIMITS, BrakeLimits
from enrich.customers.fixture_rows import BadRow, CustomerFixture, IncompleteRow
from enrich.customers.lease_owners import has_ended_here
from enrich.customers.projection import CUSTOMER, FILE, RecordState
from enrich.customers.record_batches import BATCH_ROWS, RecordBatch
from enrich.customers.source_record import SourceRecord
from enrich.customers.stream_writer import BatchResult, StreamWriter
from enrich.customers.streams import Lease
from enrich.database.engine import Database

# Bad rows that a report has, so that a file of another kind does not fill the memory.
MAX_BAD_ROWS = 10_000
# Later than every counter of a source.
_NEVER_OLDER = 2**63 - 1


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

    def add(self, batch: BatchResult) -> None:
        for outcome in batch.outcomes.values():
            self.outcomes[outcome] += 1
        self.settled += len(batch.settled)

    def counts(self) -> dict[str, int]:
        """Return the numbers of rows by outcome, as runs of other sources have them."""
        bad = self.report()
        outcomes = {outcome.value: number for outcome, number in self.outcomes.items() if number}
        return {
            "read": sum(self.outcomes.values()) + bad.not_loaded,
            **outcomes,
            "quarantined": bad.not_loaded,
            "incomplete": bad.incomplete,
        }

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
        self._digest = digest
        self._rules = rules
        self._totals = _Totals()
        self._now = now
        with database.transaction() as session:
            lease = streams.take(session, FILE, CUSTOMER, kind=FILE, owner=owner, now=now(), is_dead=has_ended_here)
            self.rows_done = self._rows_done(lease)
            if not self.rows_done:
                lease = streams.begin_pass(session, lease, now(), began_at=now(), ended_at=None, counts={})
        self._writer = StreamWriter(
            database, lease, now, by=by, is_partial=True, limits=rules.limits, accepted=rules.accepted
        )

    def _rows_done(self, lease: Lease) -> int:
        position = lease.position if isinstance(lease.position, dict) else {}
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
            self._writer.end_pass(ended_at=self._now(), counts=self._totals.counts())
        finally:
            self._writer.release()
        return self._totals.report()

    def _apply_batch(self, batch: RecordBatch) -> None:
        position = {"digest": self._digest, "rows": batch.rows_read, "replaces": self._rules.replaces}
        records = [row for row in batch.rows if isinstance(row, SourceRecord)]
        bad = [row for row in batch.rows if not isinstance(row, SourceRecord)]
        # A row that could not be read is in the file all the same.
        seen = {one.remote_id for one in records} | {row.customer_id for row in bad if row.customer_id}
        seen = seen if self._rules.replaces else set()
        self._apply([Arrival(one) for one in records], seen=seen, position=position if self._digest else None)
        self._totals.add_bad(bad)

    def _apply(self, arrivals: Sequence[Arrival], **values: Any) -> None:
        # Nothing but a load writes records of files, and the lease keeps another one out: nothing is older.
        self._totals.add(self._writer.apply(arrivals, read_after=_NEVER_OLDER, **values))

    def _remove_unseen(self) -> None:
        """Take out of the index the customers of files that this pass has not seen."""
        if self._totals.has_row_of_nobody:
            raise errors.FixtureFileError(
                "nothing was removed, because a row that could not be read does not say which customer it is about;"
                " mend it, and load the file again"
            )
        for remote_ids in self._writer.unseen():
            self._apply([Arrival(SourceRecord.tombstone(one), RecordState.ARCHIVED) for one in remote_ids])
