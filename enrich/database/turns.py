"""Turns at SQLite's one write lock: whoever writes a great deal leaves gaps for those who write a little.

SQLite keeps no queue. A writer that finds the lock taken looks again after one or two milliseconds. A load that takes
it again at once is in its next turn by then: callbacks waited up to 30 ms, although most turns took less than 3.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from sqlalchemy import Connection

from enrich.database.engine import Database

# Longer than the two milliseconds that pass between two looks of one who waits.
GAP_S = 0.003
# After somebody else wrote, gaps are left for so long. Servers write to tell that they are there more often than that.
COURTEOUS_FOR_S = 60.0
# So many turns apart the log is emptied, after a turn. A turn of 32 new customers changes some 70 pages, and with a
# thousand in the log SQLite empties it itself, in a commit, for which everybody waits.
TURNS_PER_CHECKPOINT = 5


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
        self._seen: tuple[object, int] | None = None
        self._turns_in_log = 0

    def note(self, connection: Connection) -> None:
        """Note in a turn if somebody else has written since the last turn of this connection.

        Source: sqlite.org/pragma.html, `data_version`: of one connection it changes when another one commits.
        """
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
        if self._now() - self._others_wrote_at < COURTEOUS_FOR_S:
            self._sleep(GAP_S)
        self._turns_in_log += 1
        if self._turns_in_log >= TURNS_PER_CHECKPOINT:
            self._database.checkpoint()
            self._turns_in_log = 0
