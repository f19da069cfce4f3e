"""Refusals by TaskRouter's rate limit that web processes met, so that workers leave them more of it.

Each web process has a row of its own, written in the background, so that no callback waits for it or for another one.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import delete, func, insert, or_, select, update

from enrich.database.engine import Database
from enrich.journal.process_names import process_name
from enrich.journal.tables import RateLimitRow

RETENTION = timedelta(hours=1)


class RateLimits:
    """The refusals of the web processes of one database. Every method raises DatabaseError."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._process = process_name()

    def record(self, now: datetime) -> None:
        """Record that this process was refused just now."""
        mine = update(RateLimitRow).where(RateLimitRow.process == self._process)
        if self._database.write(mine.values(refused_at=now).returning(RateLimitRow.process)):
            return
        self._database.write(insert(RateLimitRow).values(process=self._process, refused_at=now))
        # Another process's row may be a moment ahead; one that is hours ahead has a wrong time.
        refused_at = RateLimitRow.refused_at
        self._database.write(
            delete(RateLimitRow).where(or_(refused_at < now - RETENTION, refused_at > now + RETENTION))
        )

    def last(self, now: datetime) -> datetime | None:
        """Return the time of the latest refusal that any web process met; None if there was none for an hour."""
        past = select(func.max(RateLimitRow.refused_at)).where(RateLimitRow.refused_at <= now)
        latest: datetime | None = self._database.read(past)[0][0]
        return latest
