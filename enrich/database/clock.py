"""The clock that all processes of one database share.

Due times, leases and "without a conclusion for ten seconds" compare times that different machines wrote. If one clock
were wrong, callbacks in flight would be taken for abandoned, or due work would wait. So on PostgreSQL the time is the
server's: asked for at start and every 30 s, and counted on from there by a clock that nobody sets. With SQLite all
processes run on one machine and share its clock already.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import func, select

from enrich import errors
from enrich.database.engine import Database
from enrich.domain.deadline import OutOfTime
from enrich.resilience.timeouts import time_limit

INTERVAL_S = 30.0
# The interval until the server has responded for the first time.
FIRST_INTERVAL_S = 1.0
# The start of a process waits this long for the first response.
START_S = 1.0
# Later nobody waits.
MAX_WAIT_S = 5.0
# Of several round trips the shortest tells the most: one may have waited for a connection, or for the event loop.
SAMPLES = 3
# A difference that is worth a log line.
SKEW_S = 1.0

log = logging.getLogger(__name__)


def seconds_since_boot() -> float:
    """Return the seconds that this machine has been running, with its sleep; nobody sets this clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class DatabaseClock:
    """The time of PostgreSQL's server; on SQLite, and until the server has responded, this machine's.

    The time can step back, if the server's clock was set back. Holding it until the server has caught up would keep
    this process apart from all others for as long, which is the harm to prevent. The journal is ordered by id, and
    durations are measured by the monotonic clock.

    server_time: asks the server, and raises DatabaseError; None if there is no server. wall: the machine's clock, in
    seconds since 1970. uptime: a clock that nobody sets. pause: waits so many seconds.
    """

    def __init__(
        self,
        server_time: Callable[[], datetime] | None,
        *,
        wall: Callable[[], float] = time.time,
        uptime: Callable[[], float] = seconds_since_boot,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._server_time = server_time
        self._wall = wall
        self._uptime = uptime
        self._pause = pause
        # The server's time at `uptime` 0; None until it has responded.
        self._offset_s: float | None = None
        self._logged_s = 0.0

    def now(self) -> datetime:
        """Return the time, aware, in UTC. Asks nobody."""
        offset_s = self._offset_s
        return datetime.fromtimestamp(self._wall() if offset_s is None else self._uptime() + offset_s, UTC)

    def ahead_s(self) -> float | None:
        """Return the seconds by which this machine's clock is ahead of the server's; None if that is not known."""
        return None if self._offset_s is None else self._wall() - self._uptime() - self._offset_s

    def synchronize(self) -> datetime:
        """Ask the server for its time, and return the time. While it does not respond, the last offset is kept."""
        if self._server_time is not None:
            try:
                with time_limit(MAX_WAIT_S):
                    samples = [self._sample(self._server_time) for _ in range(SAMPLES)]
            except (errors.DatabaseError, OutOfTime):
                pass  # told by those who need more of the database than its time
            else:
                self._adopt(*min(samples))
        return self.now()

    def start(self) -> None:
        """Synchronize now and every 30 s, in a thread. Waits a second at most for the first time."""
        if self._server_time is None:
            return
        asked = threading.Event()

        def run() -> None:
            while True:
                try:
                    self.synchronize()
                except Exception:  # an internal error must not leave the clock alone for good
                    log.exception("the clock was not synchronized")
                asked.set()
                self._pause(FIRST_INTERVAL_S if self._offset_s is None else INTERVAL_S)

        threading.Thread(target=run, name="clock", daemon=True).start()
        asked.wait(START_S)

    def _sample(self, server_time: Callable[[], datetime]) -> tuple[float, float]:
        """Return the seconds of one round trip, and the offset if the server responded at its middle."""
        sent_s = self._uptime()
        moment = server_time()
        received_s = self._uptime()
        return received_s - sent_s, moment.timestamp() - (sent_s + received_s) / 2

    def _adopt(self, round_trip_s: float, offset_s: float) -> None:
        """Take this offset over, unless it differs by no more than the round trip leaves uncertain."""
        if self._offset_s is None or abs(offset_s - self._offset_s) > round_trip_s / 2:
            self._offset_s = offset_s
        ahead_s = self.ahead_s() or 0.0
        if abs(ahead_s - self._logged_s) >= SKEW_S:
            self._logged_s = ahead_s
            level = logging.WARNING if abs(ahead_s) >= SKEW_S else logging.INFO
            log.log(level, "this machine's clock against the database's", extra={"ahead_s": round(ahead_s, 1)})


def clock_of(database: Database, *, wall: Callable[[], float] = time.time) -> DatabaseClock:
    """Return the clock of this database. wall: as for `DatabaseClock`."""

    def server_time() -> datetime:
        moment: datetime = database.read(_SERVER_TIME)[0][0]
        return moment

    return DatabaseClock(None if database.is_sqlite else server_time, wall=wall)


# Not `now()`, which is the time at which the transaction began.
_SERVER_TIME = select(func.clock_timestamp())
