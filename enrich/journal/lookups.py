"""Look-ups of other systems over the API: who asked when, by what kind of key, and what came of it; not the key."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from enrich.database.engine import Database
from enrich.journal import request_rows
from enrich.journal.tables import LookupRow


class Lookup(NamedTuple):
    """One look-up. Fields as in `LookupRow`."""

    at: datetime
    token_id: int
    key_kind: str
    trust: str
    match: str
    reason: str
    customer_id: str | None
    elapsed_ms: float


class Lookups:
    """The look-ups of one database. Every method raises DatabaseError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, lookups: Sequence[Lookup]) -> None:
        """Add these look-ups in one transaction."""
        request_rows.add(self._database, LookupRow, [lookup._asdict() for lookup in lookups])

    def prune(self, before: datetime) -> int:
        """Delete some of the look-ups from before this time; return how many."""
        return request_rows.prune(self._database, LookupRow, before)
