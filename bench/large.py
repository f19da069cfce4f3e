"""Databases with a great many rows, filled past the service, since it would take hours to ask it for each.

They are kept in a folder and used again; migrations that have come since are applied.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import make_url

from bench.serving import database_on, new_database
from enrich.database import migrations
from enrich.database.engine import Database

Rows = Iterator[Sequence[Any]]
Fill = Callable[[str, int], None]

_BATCH = 20_000
_PER_CUSTOMER = 2  # identifiers
_AT = datetime(2026, 11, 2, 9, tzinfo=UTC)
_SID = "0" * 22


def kept(what: str, number: int, kind: str, folder: Path, server: str | None) -> Database:
    """The database with so many `identifiers` or journal `entries`, filled the first time."""
    name = f"{what}_{number}"
    if server is not None:
        url = database_on(server, name)
        if not _exists(server, name):
            _fill_new(new_database(server, f"{name}_part"), what, number)
            with psycopg.connect(server, autocommit=True) as connection:
                connection.execute(f"ALTER DATABASE {name}_part RENAME TO {name}")
    else:
        file = folder / f"{name}.db"
        url = f"sqlite:///{file.absolute()}"
        if not file.exists():
            folder.mkdir(parents=True, exist_ok=True)
            part = file.with_suffix(".part")
            part.unlink(missing_ok=True)
            _fill_new(f"sqlite:///{part.absolute()}", what, number)
            part.rename(file)
    database = Database(url)
    migrations.upgrade(database)
    return database


def customer_of(number: int) -> tuple[str, str]:
    """Phone and e-mail of one of the customers, each of whom has both."""
    return f"+1{2_000_000_000 + number * 7}", f"person{number:09d}@example.com"


def _exists(server: str, name: str) -> bool:
    with psycopg.connect(server) as connection:
        return connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone() is not None


def _fill_new(url: str, what: str, number: int) -> None:
    database = Database(url)
    migrations.upgrade(database)
    database.close()
    tables = _customers(number // _PER_CUSTOMER) if what == "identifiers" else _journal(number)
    for table, columns, rows in tables:
        (_fill_sqlite if url.startswith("sqlite") else _fill_postgresql)(url, table, columns, rows)


def _fill_sqlite(url: str, table: str, columns: Sequence[str], rows: Rows) -> None:
    import sqlite3

    connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    # No journal of its own while it is made: whoever breaks it off begins anew.
    for pragma in ("synchronous = OFF", "journal_mode = WAL", "cache_size = -400000"):
        connection.execute(f"PRAGMA {pragma}")
    places = ", ".join("?" * len(columns))
    names = ", ".join(f'"{column}"' for column in columns)
    while batch := list(itertools.islice(rows, _BATCH)):
        connection.execute("BEGIN")
        connection.executemany(f"INSERT INTO {table} ({names}) VALUES ({places})", batch)  # noqa: S608 - our own names
        connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def _fill_postgresql(url: str, table: str, columns: Sequence[str], rows: Rows) -> None:
    names = ", ".join(f'"{column}"' for column in columns)
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain) as connection, connection.cursor() as cursor:
        with cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        connection.commit()
        connection.autocommit = True
        cursor.execute(f"VACUUM ANALYZE {table}")


def _customers(number: int) -> Iterator[tuple[str, tuple[str, ...], Rows]]:
    now = _moment(_AT)
    columns = ("id", "name", "company", "tier", "language", "owner", "updated_at")
    people = ((f"C-{each:09d}", f"Person {each}", "", "gold", "en", "dana@example.com", now) for each in range(number))
    yield "customers", columns, people
    phones = (
        (f"C-{each:09d}", "phone", value, value, "crm") for each in range(number) for value in customer_of(each)[:1]
    )
    emails = (
        (f"C-{each:09d}", "email", value, value, "crm") for each in range(number) for value in customer_of(each)[1:]
    )
    # In the order of the index (kind, value): built that way it takes minutes, at random an hour.
    numbered = ((at, *row) for at, row in enumerate(itertools.chain(emails, phones), 1))
    yield "identifiers", ("id", "customer_id", "kind", "value", "as_written", "source"), numbered
    notes = ((at, f"C-{each:09d}", 0, "Prefers mornings") for at, each in enumerate(range(0, number, 5), 1))
    yield "notes", ("id", "customer_id", "position", "text"), notes
    cases = ((f"C-{each:09d}", "K-1", 0, "Broken gear", "open", "2026-11-02") for each in range(0, number, 10))
    yield "cases", ("customer_id", "id", "position", "subject", "status", "opened_on"), cases


_ENTRY = (
    *("id", "kind", "delivery_key", "claim", "received_at", "repeats", "workspace_sid", "task_sid"),
    *("reservation_sid", "worker_sid", "worker_name", "event_type", "raw_form", "concluded_at"),
    *("outcome", "reason", "match", "by", "trust", "customer_id", "customer_name", "finding"),
    *("attributes_before", "attributes_after", "answer", "steps", "elapsed_ms"),
)


def _journal(number: int) -> Iterator[tuple[str, tuple[str, ...], Rows]]:
    yield "entries", _ENTRY, (_entry(each) for each in range(1, number + 1))


def _entry(each: int) -> Sequence[Any]:
    """Of ten entries seven are events; ten entries belong to one task."""
    task_sid, reservation_sid = f"WT{_SID}{each // 10:010d}", f"WR{_SID}{each:010d}"
    at = _moment(_AT + timedelta(milliseconds=120 * each))
    is_event = each % 10 < 7
    text = '{"from":"+14155550100","language":"en","queue":"support"}'
    finding = {
        "keys": [{"kind": "phone", "value": "+14155550100", "trust": "verified", "attribute": "from", "found": 1}],
        "withheld": [],
        "candidates": [{"customer_id": "C-1001", "name": "Ada Lovelace"}],
    }
    steps = [{"name": name, "elapsed_ms": 4.2, "failed": ""} for name in ("receive", "look_up", "fetch", "write")]
    received: tuple[Any, ...] = (
        each,
        "event" if is_event else "assignment",
        f"EV{_SID}{each:010d}" if is_event else reservation_sid,
        "0" * 16,
        at,
        0,
        "WS" + "0" * 32,
        task_sid,
        reservation_sid,
        "WK" + "0" * 32,
        "dana",
        "reservation.accepted" if is_event else "",
        "TaskAttributes=%7B%7D&" * 12,
        at,
    )
    if is_event:
        return (*received, None, "", None, "", "", None, "", None, None, None, None, None, None)
    concluded = ("enriched", "", "matched", "phone", "verified", "C-1001", "Ada Lovelace", json.dumps(finding))
    return (*received, *concluded, text, text, '{"instruction":"accept"}', json.dumps(steps), 12.5)


def _moment(at: datetime) -> str:
    """As both databases read it: SQLite's text has no time zone, and in PostgreSQL it is taken for UTC."""
    return at.strftime("%Y-%m-%d %H:%M:%S.%f")
