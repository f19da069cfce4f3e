"""Declared sources, and streams in any state."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import update

from enrich.customers import quarantine, streams
from enrich.customers.projection import CUSTOMER
from enrich.customers.record_reading import read_record
from enrich.customers.source_tables import SourceRow, StreamRow
from enrich.database.engine import Database
from enrich.services import Services, declared_databases, synced_source
from tests.support.sources import sources_file

FILE = sources_file(parts='[sources.shop]\nkind = "push"\nsecret_env = "SHOP_SECRET"')
HELD = {
    "removed": 1204,
    "records": 1204,
    "of_records": 20000,
    "detail": "1,204 of 20,000 customers would be gone within 24 hours, and 31 of 40,100 numbers, addresses and ids of"
    " others",
    "pass": "keys",
}


def write_sources_file(folder: Path, text: str = FILE) -> str:
    """Write a sources file with a database and a system that sends, and return its path."""
    path = folder / "sources.toml"
    path.write_text(text)
    return str(path)


def store_stream(services: Services, source: str, kind: str = "sql", **values: Any) -> None:
    """Store a stream of this source, as read by the mapping in use, with these values of its row."""
    database = services.database
    declaration = declared_databases(services).get(source)
    fingerprint = synced_source(services, declaration).fingerprint if declaration else ""
    with database.transaction() as session:
        streams.join(session, source, CUSTOMER, kind=kind)
        of_source = update(SourceRow).where(SourceRow.name == source)
        session.execute(of_source.values(mapping_fingerprint=fingerprint))
        if values:
            session.execute(update(StreamRow).where(StreamRow.source == source).values(**values))


def held_stream(**values: Any) -> dict[str, Any]:
    """Return the values of a stream whose pass over the keys has asked whether many customers may go."""
    at = datetime.now(UTC) - timedelta(seconds=20)
    times = dict.fromkeys(("window_at", "keys_at", "full_at", "began_at"), at)
    counts = {"read": 18796, "unchanged": 18796, "quarantined": 0}
    return {**times, "ended_at": at + timedelta(seconds=4), "counts": counts, "held": HELD, **values}


def quarantine_rows(database: Database, source: str, rows: Iterable[dict[str, Any]]) -> None:
    """Put the rows that cannot be read, or not whole, into quarantine; each has its id under `key`."""
    read = [(read_record(str(row.pop("key")), row, "US", is_lenient=True), row) for row in rows]
    with database.transaction() as session:
        quarantine.put(session, source, CUSTOMER, read, datetime.now(UTC))
