"""Group commit: many receipts in one statement, for when there are more than can be committed one by one.

Each caller adds its row to the open batch and waits. A worker, a thread that is a greenlet in the server, commits batch
after batch while there are any, and wakes all callers of a batch at once. More workers start while full batches wait.

A row stays in its batch when its caller cannot wait any longer: the answer has to leave in time, and the row is
committed a moment later. Rows are given up only after the database has failed for a long time.
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

# Two hundred rows take some ten milliseconds to write, which delays the next batch little.
MAX_ROWS = 200
# Of some 3 kB a row: a few seconds of three times the load that a process accepts.
MAX_BATCHES = 100
# The first of a batch waits this long for others. Under load they are there already, but have not had their turn of
# the event loop, because SQLite blocks the loop while it commits.
GATHER_S = 0.01
# One attempt to commit, the pause after a failed one, and the time after which a batch is given up.
ATTEMPT_S = 5.0
PAUSE_S = 0.1
MAX_ATTEMPTS_S = 30.0

Values = Mapping[str, Any]
Commit = Callable[[Sequence[Values], float], Sequence[Receipt]]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a group commit: rows per statement, waiting batches, batches committed at a time, times in seconds."""

    rows_per_batch: int = MAX_ROWS
    waiting_batches: int = MAX_BATCHES
    workers: int = 1
    gather_s: float = GATHER_S
    pause_s: float = PAUSE_S
    patience_s: float = MAX_ATTEMPTS_S


@dataclass(slots=True, eq=False)
class Batch:
    """Rows that are committed together, by delivery key: one statement cannot upsert the same row twice.

    until: when to give up, in monotonic time. receipts: by delivery key, once committed. error: set once given up.
    """

    until: float
    rows: dict[str, Values] = field(default_factory=dict)
    ended: threading.Event = field(default_factory=threading.Event)
    receipts: Mapping[str, Receipt] = field(default_factory=dict)
    error: errors.DatabaseError | None = None

    def receipt_of(self, values: Values, *, timeout_s: float) -> Receipt:
        """Return the receipt of a row of this batch, once it is committed. Raises as `GroupCommit.receive` does."""
        if not self.ended.wait(timeout_s):
            raise errors.NotYetRecorded("its batch was not committed in time")
        if self.error:
            raise type(self.error)(str(self.error))
        return self.receipts[values["delivery_key"]]


class GroupCommit:
    """A queue of rows that are committed in groups. Safe to share between greenlets and threads.

    commit: commits these rows within a time-out and returns their receipts in order; must be idempotent.
    on_failure: called with rows that were given up, and the error. time_limit: as in `enrich.resilience.timeouts`.
    make_thread: makes the worker, as `threading.Thread` does.
    """

    def __init__(
        self,
        commit: Commit,
        *,
        on_failure: Callable[[Sequence[Values], errors.DatabaseError], None] = lambda _rows, _error: None,
        time_limit: Callable[[float], AbstractContextManager[Any]] = lambda _seconds: nullcontext(),
        limits: Limits = Limits(),
        make_thread: Callable[..., threading.Thread] = threading.Thread,
    ) -> None:
        self._commit = commit
        self._on_failure = on_failure
        self._time_limit = time_limit
        self._limits = limits
        self._make_thread = make_thread
        self._batches: deque[Batch] = deque()
        self._working = 0
        self._workers: list[threading.Thread] = []
        self._lock = threading.Lock()  # held for a few instructions each time

    def receive(self, values: Values, *, timeout_s: float) -> Receipt:
        """Commit the row with others, and return its receipt.

        Raises NotYetRecorded after the time-out: the row stays, as it does when OutOfTime ends the wait, and is
        committed later. Raises another DatabaseError if it was given up.
        """
        return self.join(values).receipt_of(values, timeout_s=timeout_s)

    def finish(self, timeout_s: float) -> None:
        """Wait until all batches are committed, or until the time-out."""
        until = time.monotonic() + timeout_s
        for worker in tuple(self._workers):
            worker.join(max(0.0, until - time.monotonic()))

    def join(self, values: Values) -> Batch:
        """Add the row to a batch, start a worker if there is none or a full batch waits, and return the batch.

        Raises DatabaseUnavailable when too many rows wait, NotYetRecorded when no thread can be started.
        """
        key = values["delivery_key"]
        with self._lock:
            batch = self._batches[-1] if self._batches else None
            if batch is None or len(batch.rows) >= self._limits.rows_per_batch or key in batch.rows:
                if len(self._batches) >= self._limits.waiting_batches:
                    raise errors.DatabaseUnavailable("too many receipts wait to be recorded")
                batch = Batch(time.monotonic() + self._limits.patience_s)
                self._batches.append(batch)
            batch.rows[key] = values
            must_start = not self._working or (len(self._batches) > 1 and self._working < self._limits.workers)
            self._working += must_start
        if must_start:
            self._start()
        return batch

    def _start(self) -> None:
        """Start a worker. Raises NotYetRecorded if there can be none; the next caller tries again."""
        worker = self._make_thread(target=self._work, name="group-commit", daemon=True)
        try:
            worker.start()
        except RuntimeError:
            with self._lock:
                self._working -= 1
                if self._working:  # they will take the batch
                    return
            raise errors.NotYetRecorded("no thread could be started") from None
        with self._lock:
            self._workers = [*filter(threading.Thread.is_alive, self._workers), worker]

    def _work(self) -> None:
        """Commit batch after batch until there is none."""
        time.sleep(self._limits.gather_s)
        while batch := self._next():
            try:
                self._commit_patiently(batch)
            except errors.DatabaseError as exc:
                batch.error = exc
            except Exception as exc:  # internal error, which must not keep the other batches from being recorded
                log.exception("receipts failed")
                batch.error = errors.DatabaseError(type(exc).__name__)
            batch.ended.set()
            if batch.error:
                self._on_failure(list(batch.rows.values()), batch.error)

    def _next(self) -> Batch | None:
        with self._lock:
            if self._batches:
                return self._batches.popleft()
            self._working -= 1
            return None

    def _commit_patiently(self, batch: Batch) -> None:
        """Commit a batch, retrying while the database cannot be reached or written to. Raises DatabaseError."""
        rows = list(batch.rows.values())
        while True:
            try:
                with self._time_limit(ATTEMPT_S):
                    batch.receipts = dict(zip(batch.rows, self._commit(rows, ATTEMPT_S), strict=True))
                return
            except (errors.DatabaseLocked, errors.DatabaseNotWritable, errors.DatabaseUnavailable):
                if time.monotonic() >= batch.until:
                    raise
            except OutOfTime:
                if time.monotonic() >= batch.until:
                    raise errors.DatabaseUnavailable("the database does not respond") from None
            time.sleep(self._limits.pause_s)
