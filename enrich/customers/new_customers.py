"""Customers that new records found: nothing is stored of them yet, so there is nothing to compare.

A first load is made of these. Their rows go in without the detour over the projection of a neighbourhood; what stands
in the store is the same, which a test shows.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table

from enrich.customers.identifiers import FROM_CRM, words_of
from enrich.customers.projection import IDENTIFIER_FIELDS, StoredRecord, own_identifiers
from enrich.customers.source_tables import SourceRecordRow
from enrich.customers.tables import CaseRow, CustomerRow, IdentifierRow, NoteRow, WordRow
from enrich.database.bulk import insert_rows, stored_time
from enrich.database.types import Base
from enrich.domain.lengths import CUSTOMER_TEXTS

_RECORDS, _CUSTOMERS, _IDENTIFIERS, _NOTES, _CASES, _WORDS = (
    Base.metadata.tables[row.__tablename__]
    for row in (SourceRecordRow, CustomerRow, IdentifierRow, NoteRow, CaseRow, WordRow)
)
_RECORD_COLUMNS = (
    *("source", "object", "remote_id", "home_id", "version", "hash", "state", "into_remote_id", "seq", "fields"),
)
_CUSTOMER_COLUMNS = ("id", *CUSTOMER_TEXTS, "version", "projected_version", "is_gone", "created_at", "updated_at")
_IDENTIFIER_COLUMNS = ("customer_id", "kind", "value", "as_written", "source")
_CASE_COLUMNS = ("customer_id", "position", "id", "subject", "status", "opened_on")
_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True)

Rows = list[tuple[Any, ...]]


def insert_founders(connection: Connection, records: Sequence[StoredRecord], seq: int, now: datetime) -> None:
    """Insert these live records and the customers that they found. now: the time of creation.

    Of none of their homes is anything stored, not even a decision. Raises what SQLAlchemy raises.
    """
    stored_now = stored_time(connection, _CUSTOMERS.c.created_at, now)
    of_table: dict[Table, Rows] = {table: [] for table in (_RECORDS, _CUSTOMERS, _IDENTIFIERS, _WORDS, _NOTES, _CASES)}
    for record in records:
        fields, home = record.fields, record.home_id
        of_table[_RECORDS].append(
            (*record.key, home, record.version, record.hash, record.state, None, seq, _JSON.encode(fields))
        )
        texts = [fields.get(name, "") for name in CUSTOMER_TEXTS]
        of_table[_CUSTOMERS].append((home, *texts, 1, 1, False, stored_now, stored_now))
        of_table[_IDENTIFIERS] += _identifiers(record)
        of_table[_WORDS] += [(home, word) for word in words_of(texts[0], texts[1])]
        notes = dict.fromkeys(fields.get("notes", ()))
        of_table[_NOTES] += [(home, position, note) for position, note in enumerate(notes)]
        of_table[_CASES] += [(home, position, *case) for position, case in enumerate(fields.get("cases", ()))]
    for table, columns in _COLUMNS.items():
        insert_rows(connection, table, columns, of_table[table])


_COLUMNS: dict[Table, Sequence[str]] = {
    _RECORDS: _RECORD_COLUMNS,
    _CUSTOMERS: _CUSTOMER_COLUMNS,
    _IDENTIFIERS: _IDENTIFIER_COLUMNS,
    _WORDS: ("customer_id", "word"),
    _NOTES: ("customer_id", "position", "text"),
    _CASES: _CASE_COLUMNS,
}


def _identifiers(record: StoredRecord) -> Rows:
    home = record.home_id
    found = {
        (key.kind, key.value): as_written for key, as_written in own_identifiers(home, record.source, record.remote_id)
    }
    for name in IDENTIFIER_FIELDS:
        for kind, value, as_written in record.fields.get(name, ()):
            found.setdefault((kind, value), as_written)
    return [(home, kind, value, as_written, FROM_CRM) for (kind, value), as_written in found.items()]
