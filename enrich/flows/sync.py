"""The sync of one source: keeps its customers in the store like those at the source.

    full     every record is applied; what the source does not have any more is gone
    window   what changed since the last pass is applied
    keys     the ids alone are compared: what is new is read, what the source does not have any more is gone

A pass is read page by page. Each page is applied together with the position behind it, so that a run that ends in the
middle goes on there; a page may be applied twice. What is missing at the end of a pass is read once more before it
counts as gone: a row that was inserted behind the reader is not missing. What others applied to a record after its page
was read may be newer than the page, or older, as a push that was late; so it is read again, before the page is done.

One runner reads a source at a time, by a lease that each transaction checks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from enrich import errors
from enrich.customers.arrivals import Arrival, RecordOutcome
from enrich.customers.projection import RecordState
from enrich.customers.record_reading import ReadRecord, read_record, remote_id_problem
from enrich.customers.source_record import SourceRecord
from enrich.domain.streams import BRAKE_RETRY, Intervals, Pass, Question, StreamState, due_pass
from enrich.sources.pages import Page, Position, PulledRecord

if TYPE_CHECKING:
    from enrich.customers.stream_states import StreamStates
    from enrich.customers.stream_writer import StreamWriter
    from enrich.customers.streams import Lease

# Records that are read between two pauses, so that whatever else the process does goes on.
READ_TOGETHER = 50
# A record that is pushed each time while it is read is left at what was pushed.
READ_AGAIN_AT_MOST = 3


class Connector(Protocol):
    """The connection to one source. Each call raises SourceRefused, SourceUnavailable or SourceMisfit."""

    def start(self, pass_: Pass, watermark: int | None = None) -> Position:
        """Return the position at which a pass begins."""

    def pages(self, position: Position) -> Iterator[Page]:
        """Yield the pages of a pass from this position on."""

    def read(self, remote_ids: Iterable[str]) -> tuple[PulledRecord, ...]:
        """Return the present state of these records; what is missing is gone."""


@dataclass(frozen=True, slots=True)
class SyncedSource:
    """A source as its declaration has it. fingerprint: of its mapping. region, kinds: as `read_record` has them.

    lease: longer than the reading and writing of a page takes.
    """

    name: str
    kind: str
    intervals: Intervals
    fingerprint: str
    region: str
    kinds: frozenset[str] = frozenset()
    lease: timedelta = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class SyncAdapters:
    """Everything through which a sync reaches database, source and clock.

    writer: of the stream of this lease; so many may leave it, if an operator has said so. now: the database's time.
    pause: lets others work.
    is_over: whether the process is to end. owner: the name of this process.
    """

    states: StreamStates
    connector: Connector
    writer: Callable[[Lease, int | None], StreamWriter]
    now: Callable[[], datetime]
    pause: Callable[[], None]
    owner: str
    is_over: Callable[[], bool] = lambda: False


@dataclass(slots=True)
class Run:
    """One run. counts: records by outcome, with `read`, `quarantined` and `incomplete`. is_complete: to its end.

    question: of the brake, if the source lacks more than may leave; they are still in the store. earlier: the part of
    the counts from before an interruption.
    """

    pass_: Pass
    counts: Counter[str] = field(default_factory=Counter)
    is_complete: bool = False
    question: Question | None = None
    earlier: Counter[str] = field(default_factory=Counter)


class Sync:
    """The sync of one source. progress: called after each page."""

    def __init__(
        self, source: SyncedSource, adapters: SyncAdapters, progress: Callable[[Run], None] = lambda _run: None
    ) -> None:
        self._source = source
        self._adapters = adapters
        self._progress = progress
        self._was_tried = False

    def run_due(self) -> Run | None:
        """Run the pass that is due, or the retry that an operator wants; None if none is, or another process reads.

        Raises what `run` raises. A source that refuses us, or does not fit, is tried once by each process, whose
        settings may be the cure.
        """
        now = self._adapters.now()
        state = self._adapters.states.of(self._source.name, now) or StreamState(self._source.name, self._source.kind)
        if state.wants_retry:
            return self.retry()
        if state.is_stopped and not self._was_tried:
            state = replace(state, problem=None)
        pass_ = due_pass(state, self._source.intervals, self._source.fingerprint, now)
        return None if pass_ is None else self.run(pass_)

    def run(self, pass_: Pass) -> Run | None:
        """Run this pass, from where an earlier run of it was interrupted; None if another process reads the source.

        A source that was never read whole, or by another mapping, is read whole. A failure is stored, and raised:
        SourceRefused, SourceUnavailable, SourceMisfit, BrakeApplied; DatabaseError and LeaseLost are only raised.
        """
        self._was_tried = True
        adapters, name = self._adapters, self._source.name
        try:
            lease = self._take()
        except errors.StreamTaken:
            return None
        state = adapters.states.of(name, adapters.now()) or StreamState(name, self._source.kind)
        writer = adapters.writer(lease, state.accepted)
        try:
            with self._storing_failures(lease, state.interrupted or pass_):
                return self._run(pass_, lease, state, writer)
        finally:
            writer.release()

    def retry(self) -> Run | None:
        """Read the records in quarantine again, as `read_again` does; None if another process reads the source.

        A failure is stored, and raised, as by `run`.
        """
        self._was_tried = True
        adapters, run = self._adapters, Run(Pass.WINDOW)
        try:
            lease = self._take()
        except errors.StreamTaken:
            return None
        adapters.states.begin_retry(lease, adapters.now())
        writer = adapters.writer(lease, None)
        reading = _Reading(run, self._source, adapters, writer, self._progress, is_of_pass=False)
        try:
            with self._storing_failures(lease, Pass.KEYS):
                for remote_ids in adapters.states.quarantined_ids(self._source.name):
                    if adapters.is_over():
                        return run
                    reading.read_again(remote_ids)
                    self._progress(run)
        finally:
            writer.release()
        run.is_complete = True
        return run

    def read_again(self, remote_ids: Sequence[str]) -> Run:
        """Read these records at the source, and apply them as they are there now; what is missing there is gone.

        Raises StreamTaken while another process reads the source, and what `run` raises; stores no failure.
        """
        writer = self._adapters.writer(self._take(), None)
        run = Run(Pass.WINDOW)
        try:
            reading = _Reading(run, self._source, self._adapters, writer, self._progress, is_of_pass=False)
            reading.read_again(remote_ids)
        finally:
            writer.release()
        run.is_complete = True
        return run

    def rewind(self, watermark: int) -> None:
        """Have the next window begin at this watermark, unless it begins earlier anyway.

        Raises StreamTaken while another process reads the source: the end of its pass would set the watermark anew.
        """
        now = self._adapters.now()
        state = self._adapters.states.of(self._source.name, now)
        if state is not None and state.watermark is not None:
            self._adapters.states.rewind(self._take(), min(watermark, state.watermark), now)

    @contextmanager
    def _storing_failures(self, lease: Lease, pass_: Pass) -> Iterator[None]:
        """Store a failure of the source, and raise it. pass_: that the brake asks for."""
        states, now = self._adapters.states, self._adapters.now
        try:
            yield
        except errors.BrakeApplied as exc:
            states.fail(lease, exc, now(), question=question_of(exc, pass_), due_in=BRAKE_RETRY)
            raise
        except errors.LeaseLost:
            raise
        except errors.SourceError as exc:
            states.fail(lease, exc, now())
            raise

    def _take(self) -> Lease:
        adapters, source = self._adapters, self._source
        return adapters.states.take(
            source.name, source.kind, owner=adapters.owner, now=adapters.now(), lasts=source.lease
        )

    def _run(self, pass_: Pass, lease: Lease, state: StreamState, writer: StreamWriter) -> Run:
        is_same_mapping = state.fingerprint == self._source.fingerprint
        if not (is_same_mapping and state.full_at and self._source.intervals.has_windows):
            pass_ = Pass.FULL
        began_at, at, until, run = self._adapters.now(), None, None, Run(pass_)
        if is_same_mapping and lease.position is not None and state.interrupted is pass_:
            began_at = state.began_at or began_at
            at, until = lease.position.get("at"), lease.position.get("until")
            run.counts.update(state.counts)
            run.earlier.update(state.counts)
            self._adapters.states.resume(lease, began_at)
        else:
            at = self._adapters.connector.start(pass_, state.watermark)
            fingerprint = None if is_same_mapping else self._source.fingerprint
            writer.lease = self._adapters.states.begin(lease, fingerprint, began_at)
        reading = _Reading(run, self._source, self._adapters, writer, self._progress, until, is_of_pass=True)
        if at is not None and not reading.read_pages(at):
            return run
        if run.pass_ is not Pass.WINDOW:
            try:
                reading.remove_missing()
            except errors.BrakeApplied as exc:  # windows go on meanwhile
                run.question = question_of(exc, run.pass_)
        question = run.question if run.question or is_answered_by(run.pass_, state.question) else state.question
        self._adapters.states.end(
            writer,
            self._adapters.now(),
            dict.fromkeys(_COMPLETED_BY[run.pass_], began_at),
            counts=run.counts,
            watermark=reading.until,
            question=question,
            is_accepted=state.accepted is not None,
        )
        run.is_complete = True
        return run


# The times of complete passes that each pass stands for.
_COMPLETED_BY = {
    Pass.FULL: ("full_at", "keys_at", "window_at"),
    Pass.KEYS: ("keys_at",),
    Pass.WINDOW: ("window_at",),
}


class _Reading:
    """The reading of one run. until: the watermark that it gives; None before its last page, and without one.

    is_of_pass: False for some records alone, whose counts are not those of the pass that is shown as the last one, or
    goes on later.
    """

    def __init__(
        self,
        run: Run,
        source: SyncedSource,
        adapters: SyncAdapters,
        writer: StreamWriter,
        progress: Callable[[Run], None],
        until: int | None = None,
        *,
        is_of_pass: bool,
    ) -> None:
        self.run = run
        self.until = until
        self._source = source
        self._adapters = adapters
        self._writer = writer
        self._progress = progress
        self._is_of_pass = is_of_pass

    def read_pages(self, at: Position) -> bool:
        """Apply the pages from here to the end of the pass; False if the process has to end before."""
        pages = self._adapters.connector.pages(at)
        while True:
            read_after = self._writer.counter()  # first: what is applied from now on is newer than the page
            page = next(pages, None)
            if page is None:
                return True
            self.until = page.watermark
            position = {"pass": self.run.pass_.value, "at": page.position, "until": page.watermark}
            for unknown in self._writer.unknown(page.keys):
                self.read_again(unknown)
            seen = {*page.keys, *(one.remote_id for one in (*page.records, *page.gone))}
            self.run.counts["read"] += len(seen)
            self._apply(
                (*page.records, *page.gone),
                read_after,
                seen=() if self.run.pass_ is Pass.WINDOW else seen,
                position=position,
            )
            self._progress(self.run)
            if page.position is not None and self._adapters.is_over():
                return False

    def remove_missing(self) -> None:
        """Read once more what the pass has not seen, and remove what the source does not have. Raises BrakeApplied."""
        self._writer.release_unseen()
        for remote_ids in self._writer.unseen():
            self.read_again(remote_ids)
            self._progress(self.run)

    def read_again(self, remote_ids: Collection[str]) -> None:
        """Read these records, and apply them as they are now; what is missing is gone."""
        self._apply(*self._read_again(remote_ids))

    def _apply(
        self, pulled: Sequence[PulledRecord], read_after: int, seen: Collection[str] = (), **values: Any
    ) -> None:
        """Apply these records; those that others applied since are read again before the batch is concluded."""
        read: dict[str, tuple[ReadRecord, Mapping[str, Any]]] = {}
        outcomes: dict[str, RecordOutcome] = {}
        for attempt in range(1, READ_AGAIN_AT_MOST + 2):
            result = self._writer.write(self._arrivals(pulled, read), read_after=read_after)
            outcomes |= result.outcomes
            overtaken = self._writer.overtaken(result, read_after)
            if not overtaken or attempt > READ_AGAIN_AT_MOST:
                break
            pulled, read_after = self._read_again(overtaken)
        counts = self.run.counts
        counts.update(outcome.value for outcome in outcomes.values())
        counts["quarantined"] += sum(found.record is None and bool(found.problems) for found, _ in read.values())
        counts["incomplete"] += sum(found.record is not None and bool(found.problems) for found, _ in read.values())
        if self._is_of_pass:
            values["counts"] = dict(counts)
        self._writer.conclude(seen=seen, read=read.values(), **values)

    def _read_again(self, remote_ids: Collection[str]) -> tuple[Sequence[PulledRecord], int]:
        """Return the present state of these records, missing ones as deleted, and the counter before the reading."""
        read_after = self._writer.counter()
        found = self._adapters.connector.read(remote_ids)
        missing = set(remote_ids) - {one.remote_id for one in found}
        return (*found, *(PulledRecord(one, None, {}, is_deleted=True) for one in sorted(missing))), read_after

    def _arrivals(
        self, pulled: Sequence[PulledRecord], read: dict[str, tuple[ReadRecord, Mapping[str, Any]]]
    ) -> Sequence[Arrival]:
        """Return these records as they are applied. read: is told how each was read."""
        arrivals: dict[str, Arrival] = {}
        for number, one in enumerate(pulled):
            if number % READ_TOGETHER == READ_TOGETHER - 1:
                self._adapters.pause()
            found = self._read(one)
            read[one.remote_id] = found, one.customer
            if found.record is not None:
                state = RecordState.ARCHIVED if one.is_deleted else RecordState.LIVE
                arrivals[one.remote_id] = Arrival(found.record, state, one.version)
        return tuple(arrivals.values())

    def _read(self, one: PulledRecord) -> ReadRecord:
        if one.is_deleted:
            # Of a key that cannot be an id nothing is stored that could go.
            is_storable = not remote_id_problem(one.remote_id)
            return ReadRecord(one.remote_id, SourceRecord.tombstone(one.remote_id) if is_storable else None)
        return read_record(one.remote_id, one.customer, self._source.region, kinds=self._source.kinds, is_lenient=True)


def is_answered_by(pass_: Pass, question: Question | None) -> bool:
    """Return whether a complete pass without a question of its own shows that this one is none any more."""
    if question is None or pass_ is Pass.FULL:
        return True
    return (pass_ is Pass.WINDOW) is (question.pass_ is Pass.WINDOW)


def question_of(error: errors.BrakeApplied, pass_: Pass) -> Question:
    """Return the question for an operator. pass_: the one that asks."""
    return Question(error.removed, error.records, error.of_records, str(error), pass_)
