"""Many receipts in one statement, for when there are more than can be committed one by one.

Each waits for its turn. Whose turn it is commits all that wait by then, and the others find theirs done. Nobody waits
on purpose: alone, one is committed at once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from enrich import errors
from enrich.vocabulary import Receipt

# Two hundred rows are written in some ten milliseconds; nobody behind them waits much longer for that.
LARGEST = 200
# After a failure that may be over soon.
PAUSE_S = 0.1

Values = Mapping[str, Any]
Commit = Callable[[Sequence[Values], float], Sequence[Receipt]]


@dataclass(slots=True, eq=False)
class _Waiting:
    values: Values
    receipt: Receipt | None = None


class Crowd:
    """Those that wait to be committed together. commit: makes the receipts of these rows, in their order, in so many
    seconds; making one twice must do no harm. Safe to share between greenlets and threads."""

    def __init__(self, commit: Commit) -> None:
        self._commit = commit
        self._waiting: list[_Waiting] = []
        self._turn = threading.Lock()

    def receive(self, values: Values, *, timeout_s: float) -> Receipt:
        """The receipt of this row, committed. Raises DatabaseError; DatabaseBusy when its turn did not come in time."""
        mine = _Waiting(values)
        until = time.monotonic() + timeout_s
        self._waiting.append(mine)
        try:
            if not self._turn.acquire(timeout=max(0.0, timeout_s)):
                raise errors.DatabaseBusy("others were before us all the time")
            try:
                while mine.receipt is None:
                    self._commit_next(until)
            finally:
                self._turn.release()
        finally:
            if mine.receipt is None and mine in self._waiting:  # interrupted, or too late: nobody waits for it any more
                self._waiting.remove(mine)
        return mine.receipt

    def _commit_next(self, until: float) -> None:
        """Commits those that have waited longest. They stay where they are until it is done.

        Of those with the same delivery key only the first: one statement cannot meet the same row twice. A database
        that is locked, or left alone for a moment, is asked again: all of these can wait, and would be lost to the
        journal otherwise.
        """
        first = {one.values["delivery_key"]: one for one in reversed(self._waiting[:LARGEST])}
        crowd = [one for one in self._waiting[:LARGEST] if first[one.values["delivery_key"]] is one]
        try:
            receipts = self._commit([one.values for one in crowd], until - time.monotonic())
        except errors.DatabaseError as exc:
            if not exc.retryable or time.monotonic() + PAUSE_S >= until:
                raise
            time.sleep(PAUSE_S)
            return
        for one, receipt in zip(crowd, receipts, strict=True):
            one.receipt = receipt
        self._waiting = [one for one in self._waiting if one.receipt is None]
