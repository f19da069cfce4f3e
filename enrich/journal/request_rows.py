"""Rows about requests of other systems, one table for each kind: added several at a time, and pruned by age."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select

from enrich.database.engine import Database
from enrich.journal.tables import LookupRow, ReadRow

PRUNED_AT_ONCE = 1000
WRITE_TIMEOUT_S = 1.0


def add(database: Database, table: type[LookupRow | ReadRow], rows: Sequence[dict[str, Any]]) -> None:
    """Add these rows in one transaction. Raises DatabaseError."""
    database.commit(lambda connection: connection.execute(insert(table), rows), timeout_s=WRITE_TIMEOUT_S)


def prune(database: Database, table: type[LookupRow | ReadRow], before: datetime) -> int:
    """Delete some of the rows from before this time; return how many. Raises DatabaseError."""
    old = select(table.id).where(table.at < before).order_by(table.at).limit(PRUNED_AT_ONCE)
    return len(database.write(delete(table).where(table.id.in_(old)).returning(table.id)))
