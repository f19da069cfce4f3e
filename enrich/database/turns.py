"""Turns at SQLite's one write lock: whoever writes a great deal leaves gaps for those who write a little.

SQLite keeps no queue. A writer that finds the lock taken looks again after one or two milliseconds. A load that takes
it again at once is in its next turn by then: callbacks waited up to 30 ms, although most turns took less than 3.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from sqlalchemy import Connection

from enrich.database.engine import Database

# Longer than the two milliseconds that pass between two looks of one who waits.
GAP_S = 0.003
# After somebody else wrote, gaps are left for so long. Servers write to tell that they are there more often than that.
COURTEOUS_FOR_S = 60.0
# Beside others a turn should take so long. Half of the five milliseconds that a callback should wait at most: some rows
# take longer than others, and nobody knows before.
TURN_S = 0.0025
# From one turn to the next its size grows or falls by no more than this.
MAX_GROWTH, MAX_FALL = 1.25, 0.5
# So many turns apart the log is emptied, after a turn. A turn of 32 new customers changes some 70 pages, and with a
# thousand in the log SQLite empties it itself, in a commit, for which everybody waits.
TURNS_PER_CHECKPOINT = 5
# A turn has at least this share of its highest number. Most of a short turn takes as long whatever the number, so fewer
# would only make more turns: where one new customer took 2.9 ms and eight took 2.2 to 2.8, turns came down to one, and
# a load beside callbacks to 200 customers a second.
LEAST_SHARE = 0.25

T = TypeVar("T")


class TurnSize:
    """The number of items of one kind in a turn beside others: as many as take `TURN_S` on this machine, at this time.

    With a fixed number turns that took 3 ms took 18 where the machine was slower and the store had a million customers.
    highest: the number in a turn without others.
    """

    def __init__(self, highest: int) -> None:
        self.highest = highest
        self._size = float(highest)

    @property
    def current(self) -> int:
        """Return the number of items for the next turn, at least one."""
        return round(self._size)

    def took(self, seconds: float) -> None:
        """Note how long a turn of the current size took."""
        change = min(MAX_GROWTH, max(MAX_FALL, TURN_S / max(seconds, 1e-6)))
        least = max(1.0, LEAST_SHARE * self.highest)
        self._size = min(float(self.highest), max(least, self._size * change))


class Turns:
    """The turns of one writer. Without another one, and on PostgreSQL, where nobody waits, it leaves no gaps.

    now: monotonic time. sleep: lets others run.
    """

    def __init__(
        self,
        database: Database,
        *,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._database = database
        self._now = now
        self._sleep = sleep
        self._others_wrote_at = float("-inf")
        self._began_at = self._took_s = 0.0
        self._seen: tuple[object, int] | None = None
        self._turns_in_log = 0

    @property
    def is_beside_others(self) -> bool:
        """Return whether somebody else has written lately."""
        return self._now() - self._others_wrote_at < COURTEOUS_FOR_S

    def portions(self, items: Sequence[T], size: TurnSize) -> Iterator[Sequence[T]]:
        """Yield the items in portions, for each of which the caller has one turn, and note how long the turn took.

        size: of turns beside others, which it learns from these; changed in place.
        """
        start = 0
        while start < len(items):
            is_short = self.is_beside_others
            portion = items[start : start + (size.current if is_short else size.highest)]
            yield portion
            if is_short and len(portion) >= size.current:
                size.took(self._took_s)
            start += len(portion)

    def note(self, connection: Connection) -> None:
        """Note in a turn, at its beginning, if somebody else has written since the last turn of this connection.

        Source: sqlite.org/pragma.html, `data_version`: of one connection it changes when another one commits.
        """
        self._began_at = self._now()
        if connection.dialect.name != "sqlite":
            return
        driver_connection = connection.connection.dbapi_connection
        version = int(connection.exec_driver_sql("PRAGMA data_version").scalar_one())
        if self._seen and self._seen[0] is driver_connection and self._seen[1] != version:
            self._others_wrote_at = self._now()
        self._seen = driver_connection, version

    def end(self) -> None:
        """Leave a gap after a turn if somebody else has written lately, and empty the log now and then.

        Raises DatabaseError.
        """
        self._took_s = self._now() - self._began_at
        if self.is_beside_others:
            self._sleep(GAP_S)
        self._turns_in_log += 1
        if self._turns_in_log >= TURNS_PER_CHECKPOINT:
            self._database.checkpoint()
            self._turns_in_log = 0
