"""Reads of personal data by other systems over the API: who read what when; not what it said."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from enrich.database.engine import Database
from enrich.journal import request_rows
from enrich.journal.tables import ReadRow


class Read(NamedTuple):
    """One read. Fields as in `ReadRow`."""

    at: datetime
    token_id: int
    operation: str
    subject: str | None
    number: int
    elapsed_ms: float


class Reads:
    """The reads of one database. Every method raises DatabaseError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, reads: Sequence[Read]) -> None:
        """Add these reads in one transaction."""
        request_rows.add(self._database, ReadRow, [read._asdict() for read in reads])

    def prune(self, before: datetime) -> int:
        """Delete some of the reads from before this time; return how many."""
        return request_rows.prune(self._database, ReadRow, before)
