"""Whether anybody does what is owed: each worker leaves word every few seconds."""

from __future__ import annotations

import os
import secrets
import socket
from datetime import datetime, timedelta

from sqlalchemy import delete, func, insert, select, update

from enrich.database.engine import Database
from enrich.journal.tables import HeartbeatRow

EVERY = timedelta(seconds=10)
# A worker that has its hands full (ten follow-ups of five seconds each) comes by once a minute.
ALIVE = timedelta(seconds=90)
FORGOTTEN = timedelta(days=7)


class Heartbeats:
    """Those of every worker on one database. Both methods raise DatabaseError."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # Two machines may share a name, and a machine its process numbers over time.
        self._name = f"{socket.gethostname()[:80]}:{os.getpid()}:{secrets.token_hex(4)}"
        self._due_at: datetime | None = None

    def beat(self, now: datetime) -> None:
        """Leaves word that this process works, if it has not done so within the last ten seconds."""
        if self._due_at is not None and now < self._due_at:
            return
        mine = HeartbeatRow.worker == self._name
        known = self._database.write(
            update(HeartbeatRow).where(mine).values(beat_at=now).returning(HeartbeatRow.worker)
        )
        if not known:
            self._database.write(insert(HeartbeatRow).values(worker=self._name, beat_at=now))
            self._database.write(delete(HeartbeatRow).where(HeartbeatRow.beat_at < now - FORGOTTEN))
        self._due_at = now + EVERY

    def last(self) -> datetime | None:
        """When a worker last left word; None where none has within a week."""
        latest: datetime | None = self._database.read(select(func.max(HeartbeatRow.beat_at)))[0][0]
        return latest
