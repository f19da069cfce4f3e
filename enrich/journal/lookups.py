"""Look-ups of other systems over the API: who asked when, by what kind of key, and what came of it; not the key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import delete, insert, select

from enrich.database.engine import Database
from enrich.journal.tables import LookupRow

PRUNED_AT_ONCE = 1000
WRITE_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class Lookup:
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
        rows = [asdict(lookup) for lookup in lookups]
        self._database.commit(lambda connection: connection.execute(insert(LookupRow), rows), timeout_s=WRITE_TIMEOUT_S)

    def prune(self, before: datetime) -> int:
        """Delete some of the look-ups from before this time; return how many."""
        old = select(LookupRow.id).where(LookupRow.at < before).order_by(LookupRow.at).limit(PRUNED_AT_ONCE)
        return len(self._database.write(delete(LookupRow).where(LookupRow.id.in_(old)).returning(LookupRow.id)))
