"""Worker heartbeats: each worker records every ten seconds that it is alive, unless its clock is in doubt.

A clock that is far ahead would make everything in the journal look old enough to be pruned, and a heartbeat from the
future would hide that no worker is left. So a worker compares its time with the newest row of the database and with the
time since it started. If the clock is ahead of both by more than `MAX_JUMP`, it records the doubt, and no worker prunes
until a person has looked and confirmed the time (`flask worker --confirm-clock`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import delete, func, insert, select, update

from enrich.database.clock import seconds_since_boot
from enrich.database.engine import Database
from enrich.journal.process_names import process_name
from enrich.journal.tables import NO_EVENT, EntryRow, HeartbeatRow

INTERVAL = timedelta(seconds=10)
# A busy worker (ten follow-ups of five seconds each) records a heartbeat once a minute.
ALIVE = timedelta(seconds=90)
RETENTION = timedelta(days=7)
# Longer than any pause of all workers and callers that is not worth a look before data is deleted.
MAX_JUMP = timedelta(days=1)
# Clocks of machines that are kept in step differ by less.
MAX_SKEW = timedelta(minutes=1)

# The row that records a doubt, in the place of a worker's name; no host name has a space.
_IN_DOUBT = "clock in doubt"

log = logging.getLogger(__name__)


class Heartbeats:
    """The heartbeats of the workers of one database. Every method raises DatabaseError."""

    def __init__(self, database: Database, uptime: Callable[[], float] = seconds_since_boot) -> None:
        self._database = database
        self._uptime = uptime
        self._name = process_name()
        self._due_at_s: float | None = None
        self._is_plausible = True
        # The time of the last call, by both clocks.
        self._previous: tuple[datetime, float] | None = None

    def beat(self, now: datetime) -> bool:
        """Record a heartbeat of this process, at most every ten seconds, and return True.

        If its clock is far ahead, record the doubt instead and return False.
        """
        uptime_s = self._uptime()
        previous, self._previous = self._previous, (now, uptime_s)
        jumped = previous is not None and now - previous[0] - timedelta(seconds=uptime_s - previous[1]) > MAX_JUMP
        if not jumped and self._due_at_s is not None and uptime_s < self._due_at_s:
            return self._is_plausible
        self._due_at_s = uptime_s + INTERVAL.total_seconds()
        newest = self._newest_moment()
        self._is_plausible = not jumped and (newest is None or now - newest <= MAX_JUMP)
        if not self._is_plausible:
            self._doubt(now, newest)
            return False
        if newest is not None and newest > now + MAX_SKEW:
            self._forget_future(now)
        is_mine = HeartbeatRow.worker == self._name
        updated = self._database.write(
            update(HeartbeatRow).where(is_mine).values(beat_at=now).returning(HeartbeatRow.worker)
        )
        if not updated:
            self._database.write(insert(HeartbeatRow).values(worker=self._name, beat_at=now))
            is_old = HeartbeatRow.beat_at < now - RETENTION
            self._database.write(delete(HeartbeatRow).where(is_old, HeartbeatRow.worker != _IN_DOUBT))
        return True

    def last(self) -> datetime | None:
        """Return the time of the latest heartbeat of any worker, None if there was none within a week."""
        workers = select(func.max(HeartbeatRow.beat_at)).where(HeartbeatRow.worker != _IN_DOUBT)
        latest: datetime | None = self._database.read(workers)[0][0]
        return latest

    def clock_in_doubt_since(self) -> datetime | None:
        """Return the time of the newest row when a worker's clock was first found to be far ahead; None if none was."""
        rows = self._database.read(select(HeartbeatRow.beat_at).where(HeartbeatRow.worker == _IN_DOUBT))
        return rows[0].beat_at if rows else None

    def confirm_clock(self, now: datetime) -> None:
        """Record that the present time of this machine is right, so that workers prune again."""
        self._database.write(delete(HeartbeatRow).where(HeartbeatRow.worker == _IN_DOUBT))
        self._database.write(insert(HeartbeatRow).values(worker=self._name, beat_at=now))

    def _newest_moment(self) -> datetime | None:
        """Return the time of the newest heartbeat or entry; None in a new database."""
        newest = select(EntryRow.received_at).where(NO_EVENT).order_by(EntryRow.id.desc()).limit(1)
        moments = [self.last(), *(row.received_at for row in self._database.read(newest))]
        return max((moment for moment in moments if moment is not None), default=None)

    def _forget_future(self, now: datetime) -> None:
        """Delete heartbeats from the future: they would hide the silence of all workers until their time has come."""
        is_future = HeartbeatRow.beat_at > now + MAX_SKEW
        deleted = self._database.write(
            delete(HeartbeatRow).where(is_future, HeartbeatRow.worker != _IN_DOUBT).returning(HeartbeatRow.worker)
        )
        if deleted:
            log.warning("heartbeats from the future were deleted", extra={"count": len(deleted)})

    def _doubt(self, now: datetime, newest: datetime | None) -> None:
        if self.clock_in_doubt_since() is None:
            self._database.write(insert(HeartbeatRow).values(worker=_IN_DOUBT, beat_at=newest or now))
        log.error(
            "the clock is far ahead of the newest row; nothing is pruned until the time is confirmed",
            extra={"clock": now.isoformat(), "newest_row": newest.isoformat() if newest else ""},
        )
