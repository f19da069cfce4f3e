"""Worker heartbeats: each worker records every ten seconds that it is alive."""

from __future__ import annotations

import os
import secrets
import socket
from datetime import datetime, timedelta

from sqlalchemy import delete, func, insert, select, update

from enrich.database.engine import Database
from enrich.journal.tables import HeartbeatRow

INTERVAL = timedelta(seconds=10)
# A busy worker (ten follow-ups of five seconds each) records a heartbeat once a minute.
ALIVE = timedelta(seconds=90)
RETENTION = timedelta(days=7)


class Heartbeats:
    """The heartbeats of the workers of one database. Both methods raise DatabaseError."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # Host names can repeat between machines, and process ids over time.
        self._name = f"{socket.gethostname()[:80]}:{os.getpid()}:{secrets.token_hex(4)}"
        self._due_at: datetime | None = None

    def beat(self, now: datetime) -> None:
        """Record a heartbeat of this process, at most every ten seconds."""
        if self._due_at is not None and now < self._due_at:
            return
        is_mine = HeartbeatRow.worker == self._name
        updated = self._database.write(
            update(HeartbeatRow).where(is_mine).values(beat_at=now).returning(HeartbeatRow.worker)
        )
        if not updated:
            self._database.write(insert(HeartbeatRow).values(worker=self._name, beat_at=now))
            self._database.write(delete(HeartbeatRow).where(HeartbeatRow.beat_at < now - RETENTION))
        self._due_at = now + INTERVAL

    def last(self) -> datetime | None:
        """Return the time of the latest heartbeat of any worker, None if there was none within a week."""
        latest: datetime | None = self._database.read(select(func.max(HeartbeatRow.beat_at)))[0][0]
        return latest
