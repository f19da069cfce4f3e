"""Customers that new records found: nothing is stored of them yet, so there is nothing to compare.

A first load is made of these. Their rows go in without the detour over the projection of a neighbourhood; what stands
in the store is the same, which a test shows.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Dialect, Table

from enrich.customers.identifiers import words_of
from enrich.customers.projection import StoredRecord, contents_of, identifiers_said
from enrich.customers.source_tables import SourceRecordRow
from enrich.customers.tables import CaseRow, CustomerRow, IdentifierRow, NoteRow, WordRow
from enrich.database.bulk import insert_rows, stored_time
from enrich.database.types import Base
from enrich.domain.lengths import CUSTOMER_TEXTS

_RECORDS, _CUSTOMERS, _IDENTIFIERS, _NOTES, _CASES, _WORDS = (
    Base.metadata.tables[row.__tablename__]
    for row in (SourceRecordRow, CustomerRow, IdentifierRow, NoteRow, CaseRow, WordRow)
)
_COLUMNS: dict[Table, Sequence[str]] = {
    # The last one is known only within the transaction.
    _RECORDS: ("source", "object", "remote_id", "home_id", "version", "hash", "state", "fields", "seq"),
    _CUSTOMERS: ("id", *CUSTOMER_TEXTS, "version", "projected_version", "is_gone", "created_at", "updated_at"),
    _IDENTIFIERS: ("customer_id", "kind", "value", "as_written", "source"),
    _WORDS: ("customer_id", "word"),
    _NOTES: ("customer_id", "position", "text"),
    _CASES: ("customer_id", "position", "id", "subject", "status", "opened_on"),
}
_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True)

Rows = dict[Table, list[tuple[Any, ...]]]


def founder_rows(dialect: Dialect, records: Sequence[StoredRecord], now: datetime) -> Rows:
    """Return the rows of these live records and of the customers that they found. now: the time of creation.

    Made before the transaction, so that SQLite's writer has nothing to do in its turn but to write.
    """
    stored_now = stored_time(dialect, _CUSTOMERS.c.created_at, now)
    rows: Rows = {table: [] for table in _COLUMNS}
    for record in records:
        fields, home = record.fields, record.home_id
        rows[_RECORDS].append((*record.key, home, record.version, record.hash, record.state, _JSON.encode(fields)))
        texts = [fields.get(name, "") for name in CUSTOMER_TEXTS]
        rows[_CUSTOMERS].append((home, *texts, 1, 1, False, stored_now, stored_now))
        said = identifiers_said(contents_of((home,), (record,), ()))
        rows[_IDENTIFIERS] += [(home, key.kind, key.value, *how) for key, how in said.items()]
        rows[_WORDS] += [(home, word) for word in words_of(texts[0], texts[1])]
        notes = dict.fromkeys(fields.get("notes", ()))
        rows[_NOTES] += [(home, position, note) for position, note in enumerate(notes)]
        rows[_CASES] += [(home, position, *case) for position, case in enumerate(fields.get("cases", ()))]
    return rows


def insert_founders(connection: Connection, rows: Rows, seq: int) -> None:
    """Insert these rows. seq: of the source, for this transaction.

    Of none of their homes is anything stored, not even a decision. Raises what SQLAlchemy raises.
    """
    for table, columns in _COLUMNS.items():
        of_table = [(*row, seq) for row in rows[table]] if table is _RECORDS else rows[table]
        insert_rows(connection, table, columns, of_table)
