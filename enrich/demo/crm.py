"""The CRM of the demo: a database of its own, which the worker reads as the sources file declares."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import delete

from enrich.customers.source_tables import StreamRow
from enrich.customers.stream_states import StreamStates
from enrich.database.engine import Database

SOURCE = "crm"
SOURCES_FILE = Path(__file__).parent / "sources.toml"
URL_VARIABLE = "DEMO_CRM_URL"
# The reader holds its lock for milliseconds.
LOCK_TIMEOUT_S = 5.0
_SCHEMA = Path(__file__).parent / "crm.sql"
# Contacts from this number on are those of the plan (changes.py).
_FIRST_OF_PLAN = 101


@dataclass(frozen=True, slots=True)
class Crm:
    """The CRM's database in this file, as its owner uses it."""

    path: Path

    @property
    def url(self) -> str:
        return f"sqlite:///{self.path}"

    def create(self) -> None:
        """Create its tables with the customers of `crm.sql`; what an earlier demo has left is gone."""
        with closing(self._connect()) as connection:
            connection.executescript(_SCHEMA.read_text(encoding="utf-8"))

    def change(self, sql: str) -> None:
        """Execute these statements in one transaction."""
        with closing(self._connect()) as connection:
            connection.executescript(f"BEGIN IMMEDIATE; {sql}; COMMIT;")

    def phones(self) -> tuple[str, ...]:
        """Return the numbers of the customers to whom nothing happens in the plan."""
        with closing(self._connect()) as connection:
            rows = connection.execute("SELECT number FROM phones WHERE contact_id < ?", (_FIRST_OF_PLAN,))
            return tuple(row[0] for row in rows)

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=LOCK_TIMEOUT_S)


def forget_passes(database: Database) -> None:
    """Have the source read whole again: it is another database than that of the demo before.

    What left the CRM in earlier demos is forgotten, too: else the brake would stop the seventh demo of a day.
    """
    with database.transaction() as session:
        session.execute(delete(StreamRow).where(StreamRow.source == SOURCE))


def is_read(database: Database, now: datetime) -> bool:
    """Return whether the service has read the whole CRM."""
    state = StreamStates(database).of(SOURCE, now)
    return state is not None and state.full_at is not None
