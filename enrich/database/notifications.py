"""The news that something was committed, for other processes: NOTIFY on PostgreSQL, `data_version` on SQLite.

`Database.notify` sends it, after the commit: inside a transaction NOTIFY would serialise commits. Whoever listens looks
at intervals as well.
"""

from __future__ import annotations

from typing import Any

from enrich.database.engine import CHANNEL, Database
from enrich.database.errors import translate


class Listener:
    """Waits for news of commits, on a connection of its own, which is opened again after a failure. For one thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: Any = None
        self._version: int | None = None

    def wait(self, timeout_s: float) -> bool:
        """Return whether there was news since the last call. Raises DatabaseError.

        On PostgreSQL it waits for news, at most so long; on SQLite it returns at once, and a commit of any kind counts.
        """
        if self._connection is None:
            self._connection = self._database.open_connection()
            if not self._database.is_sqlite:
                self._execute(f"LISTEN {CHANNEL}")
        if not self._database.is_sqlite:
            return self._notified(timeout_s)
        ((version,),) = self._execute("PRAGMA data_version").fetchall()
        previous, self._version = self._version, version
        return bool(previous != version)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _execute(self, statement: str) -> Any:
        try:
            return self._connection.execute(statement)
        except self._database.driver_error as exc:
            self.close()
            raise translate(exc, is_dead=True) from None

    def _notified(self, timeout_s: float) -> bool:
        try:
            return any(True for _ in self._connection.notifies(timeout=timeout_s, stop_after=1))
        except self._database.driver_error as exc:
            self.close()
            raise translate(exc, is_dead=True) from None
