"""Many receipts in one statement, for when there are more than can be committed one by one.

Whoever comes puts its row into the batch that is open, and waits for it. One thread, a greenlet in the server, commits
batch after batch for as long as there are any, and tells all of a batch at once.

A row stays when the one that brought it cannot wait any longer: its answer has to leave in time, and the journal has it
a moment later. Only what the database does not take for a long time is given up.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from enrich import errors
from enrich.domain.deadline import OutOfTime
from enrich.domain.deliveries import Receipt

# Two hundred rows are written in some ten milliseconds; nobody behind them waits much longer for that.
LARGEST = 200
# As many batches wait at most, of some 3 kB a row: what three times the load that we carry brings in a few seconds.
MOST = 100
# How long the first of a batch waits for others: under load they are there already, and have only not had their turn
# of the loop, because a database that is a file does not let go of the loop while it commits.
GATHER_S = 0.01
# One try to commit, and the pause after one that failed; and how long a batch is tried at all.
TRY_S = 5.0
PAUSE_S = 0.1
PATIENCE_S = 30.0

Values = Mapping[str, Any]
Commit = Callable[[Sequence[Values], float], Sequence[Receipt]]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is committed together and waits at most, and how long is waited and tried, in seconds."""

    rows_per_batch: int = LARGEST
    waiting_batches: int = MOST
    gather_s: float = GATHER_S
    pause_s: float = PAUSE_S
    patience_s: float = PATIENCE_S


@dataclass(slots=True, eq=False)
class Batch:
    """Rows that are committed together, by their delivery key: one statement cannot meet the same row twice.

    until: how long it is tried, in monotonic time. receipts: by delivery key, once they are committed. error: why none
    of them ever will be.
    """

    until: float
    rows: dict[str, Values] = field(default_factory=dict)
    is_over: threading.Event = field(default_factory=threading.Event)
    receipts: Mapping[str, Receipt] = field(default_factory=dict)
    error: errors.DatabaseError | None = None

    def receipt_of(self, values: Values, *, timeout_s: float) -> Receipt:
        """Return the receipt of a row of this batch, once it is committed. Raises as `GroupCommit.receive` does."""
        if not self.is_over.wait(timeout_s):
            raise errors.NotYetRecorded("others were before us all the time")
        if self.error:
            raise type(self.error)(str(self.error))
        return self.receipts[values["delivery_key"]]


class GroupCommit:
    """Those that wait to be committed together. Safe to share between greenlets and threads.

    commit: makes the receipts of these rows, in their order, in so many seconds; making one twice must do no harm.
    given_up: told of rows that were not committed, and why. time_limit: as in `enrich.resilience.timeouts`.
    """

    def __init__(
        self,
        commit: Commit,
        *,
        given_up: Callable[[Sequence[Values], errors.DatabaseError], None] = lambda _rows, _error: None,
        time_limit: Callable[[float], AbstractContextManager[Any]] = lambda _seconds: nullcontext(),
        limits: Limits = Limits(),
    ) -> None:
        self._commit = commit
        self._given_up = given_up
        self._time_limit = time_limit
        self._limits = limits
        self._batches: deque[Batch] = deque()
        self._is_working = False
        self._worker: threading.Thread | None = None  # the latest
        self._door = threading.Lock()  # for a few instructions each time

    def receive(self, values: Values, *, timeout_s: float) -> Receipt:
        """The receipt of this row, committed.

        Raises NotYetRecorded when that takes longer: the row stays, also when the clock ends the wait, and is committed
        as soon as the database takes it. Raises any other DatabaseError when it will not be.
        """
        return self.join(values).receipt_of(values, timeout_s=timeout_s)

    def finish(self, timeout_s: float) -> None:
        """Returns when nobody waits any more, or after so long."""
        if self._worker:
            self._worker.join(timeout_s)

    def join(self, values: Values) -> Batch:
        """Put the row into the open batch and return that; start the thread that commits where none works.

        Raises DatabaseUnavailable when too many are waiting, NotYetRecorded when no thread can be started.
        """
        key = values["delivery_key"]
        with self._door:
            batch = self._batches[-1] if self._batches else None
            if batch is None or len(batch.rows) >= self._limits.rows_per_batch or key in batch.rows:
                if len(self._batches) >= self._limits.waiting_batches:
                    raise errors.DatabaseUnavailable("too many are waiting to be recorded")
                batch = Batch(time.monotonic() + self._limits.patience_s)
                self._batches.append(batch)
            batch.rows[key] = values
            starts, self._is_working = not self._is_working, True
        if starts:
            self._start()
        return batch

    def _start(self) -> None:
        """Raises NotYetRecorded where the machine gives no thread: the next one who comes tries again."""
        self._worker = threading.Thread(target=self._work, name="crowd", daemon=True)
        try:
            self._worker.start()
        except RuntimeError:
            with self._door:
                self._is_working, self._worker = False, None
            raise errors.NotYetRecorded("no thread could be started") from None

    def _work(self) -> None:
        """Commits batch after batch, until there is none."""
        time.sleep(self._limits.gather_s)
        while batch := self._next():
            try:
                self._commit_patiently(batch)
            except errors.DatabaseError as exc:
                batch.error = exc
            except Exception as exc:  # a mistake of ours, which must not keep the others from being recorded
                log.exception("receipts failed")
                batch.error = errors.DatabaseError(type(exc).__name__)
            batch.is_over.set()
            if batch.error:
                self._given_up(list(batch.rows.values()), batch.error)

    def _next(self) -> Batch | None:
        with self._door:
            self._is_working = bool(self._batches)
            return self._batches.popleft() if self._batches else None

    def _commit_patiently(self, batch: Batch) -> None:
        """A database that is locked, slow, or left alone for a moment is asked again. Raises DatabaseError."""
        rows = list(batch.rows.values())
        while True:
            try:
                with self._time_limit(TRY_S):
                    batch.receipts = dict(zip(batch.rows, self._commit(rows, TRY_S), strict=True))
                return
            except (errors.DatabaseLocked, errors.DatabaseUnavailable):
                if time.monotonic() >= batch.until:
                    raise
            except OutOfTime:
                if time.monotonic() >= batch.until:
                    raise errors.DatabaseUnavailable("it does not answer") from None
            time.sleep(self._limits.pause_s)
