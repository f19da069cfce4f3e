"""Many receipts in one statement, for when there are more than can be committed one by one.

Who comes first opens a batch and leads it: waits for its turn, commits what has gathered by then, and tells all the
others at once. Whoever comes later joins the batch that is open. A leader that finds nobody before it waits a moment
for others: under load they are there already, and have only not had their turn of the loop, because a database that is
a file does not let go of the loop while it commits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from enrich import errors
from enrich.vocabulary import Receipt

# Two hundred rows are written in some ten milliseconds; nobody behind them waits much longer for that.
LARGEST = 200
# How long one waits that is alone: a few turns of a busy loop, and nothing that a caller would notice.
GATHER_S = 0.01
# After a failure that may be over soon.
PAUSE_S = 0.1

Values = Mapping[str, Any]
Commit = Callable[[Sequence[Values], float], Sequence[Receipt]]


@dataclass(slots=True, eq=False)
class _Batch:
    """Rows that are committed together, by their delivery key: one statement cannot meet the same row twice.

    receipts: by delivery key, once they are committed. error: why none of them ever will be. Neither, when it is over:
    its leader had no time left, and who has some tries again.
    """

    rows: dict[str, Values] = field(default_factory=dict)
    is_over: threading.Event = field(default_factory=threading.Event)
    receipts: Mapping[str, Receipt] = field(default_factory=dict)
    error: errors.DatabaseError | None = None


class Crowd:
    """Those that wait to be committed together. commit: makes the receipts of these rows, in their order, in so many
    seconds; making one twice must do no harm. Safe to share between greenlets and threads."""

    def __init__(self, commit: Commit) -> None:
        self._commit = commit
        self._open: _Batch | None = None
        self._door = threading.Lock()  # for a few instructions each time
        self._turn = threading.Lock()

    def receive(self, values: Values, *, timeout_s: float) -> Receipt:
        """The receipt of this row, committed. Raises DatabaseError; DatabaseBusy when its turn did not come in time.

        A row of which that is not told may be committed all the same.
        """
        key, until = values["delivery_key"], time.monotonic() + timeout_s
        while (left_s := until - time.monotonic()) > 0:
            batch, leads = self._join(key, values)
            if leads:
                self._lead(batch, until)
            else:
                batch.is_over.wait(left_s)
            if batch.error:
                raise type(batch.error)(str(batch.error))
            if key in batch.receipts and batch.rows[key] is values:
                return batch.receipts[key]
        raise errors.DatabaseBusy("others were before us all the time")

    def _join(self, key: str, values: Values) -> tuple[_Batch, bool]:
        """The batch that is open, and whether we are to lead it. Where it has our key already, it goes without us."""
        with self._door:
            leads = self._open is None or len(self._open.rows) >= LARGEST
            if self._open is None or leads:
                self._open = _Batch()
            self._open.rows.setdefault(key, values)
            return self._open, leads

    def _lead(self, batch: _Batch, until: float) -> None:
        """Commits the batch, while there is time; then it is over, whatever happened. Raises what `_commit` raises."""
        try:
            if not self._turn.locked():
                time.sleep(max(0.0, min(GATHER_S, until - time.monotonic())))
            if self._turn.acquire(timeout=max(0.0, until - time.monotonic())):
                try:
                    self._close(batch)
                    self._commit_patiently(batch, until)
                finally:
                    self._turn.release()
        finally:
            self._close(batch)
            batch.is_over.set()

    def _close(self, batch: _Batch) -> None:
        with self._door:
            if self._open is batch:
                self._open = None

    def _commit_patiently(self, batch: _Batch, until: float) -> None:
        """A database that is locked, or left alone for a moment, is asked again: all of these can wait, and would be
        lost to the journal otherwise."""
        rows = list(batch.rows.values())
        while True:
            try:
                batch.receipts = dict(zip(batch.rows, self._commit(rows, until - time.monotonic()), strict=True))
                return
            except (errors.DatabaseLocked, errors.DatabaseUnavailable):
                if time.monotonic() + PAUSE_S >= until:
                    raise
            except errors.DatabaseError as exc:
                batch.error = exc
                raise
            time.sleep(PAUSE_S)
