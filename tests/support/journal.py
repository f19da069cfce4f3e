"""Rows for the journal, and how SQLite answers a question about them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from sqlalchemy import event

from enrich.database.engine import Database
from enrich.journal.tables import EntryRow, FollowupRow

Make = Callable[..., int]
PlansOf = Callable[..., list[list[str]]]


def insert_entry(database: Database, **differences: Any) -> int:
    """Insert one journal entry and return its id: a matched assignment, but for the differences."""
    now = datetime.now(UTC)
    values = {
        "kind": "assignment",
        "claim": "0" * 16,
        "received_at": now,
        "workspace_sid": "WS" + "0" * 32,
        "task_sid": "WT" + "0" * 32,
        "reservation_sid": "WR" + "0" * 32,
        "worker_sid": "WK" + "0" * 32,
        "worker_name": "Grace Hopper",
        "concluded_at": now,
        "outcome": "enriched",
        "match": "matched",
        "by": "phone",
        "trust": "verified",
        "customer_id": "C-1001",
        "customer_name": "Ada Lovelace",
        "finding": {
            "keys": [{"kind": "phone", "value": "+14155550100", "trust": "verified", "attribute": "from", "found": 1}],
            "withheld": [],
            "candidates": [{"customer_id": "C-1001", "name": "Ada Lovelace"}],
        },
        "attributes_before": '{"from":"+14155550100"}',
        "attributes_after": '{"from":"+14155550100","crm":{"match":"matched","name":"Ada Lovelace"}}',
        "answer": '{"instruction":"accept"}',
        "steps": [
            {"name": "look_up", "elapsed_ms": 4.2, "failed": ""},
            {"name": "write", "elapsed_ms": 31.0, "failed": ""},
        ],
        "elapsed_ms": 41.0,
    }
    with database.transaction() as session:
        row = EntryRow(**(values | differences))
        session.add(row)
        session.flush()
        return row.id


@pytest.fixture
def plans_of(database: Database) -> Callable[..., list[list[str]]]:
    """Asks these questions, and gives the steps in which SQLite answers each of their SELECTs."""

    def plans_of(*questions: Callable[[], object]) -> list[list[str]]:
        asked: list[tuple[str, tuple[object, ...]]] = []

        def note(_c: object, _cursor: object, sql: str, given: tuple[object, ...], *_: object) -> None:
            asked.append((sql, given))

        event.listen(database.engine, "before_cursor_execute", note)
        for ask in questions:
            ask()
        event.remove(database.engine, "before_cursor_execute", note)
        with closing(sqlite3.connect(str(database.url.database))) as connection:
            return [
                [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", given)]
                for sql, given in asked
                if sql.startswith("SELECT")
            ]

    return plans_of


@pytest.fixture
def make_entry(database: Database) -> Callable[..., int]:
    """Inserts one journal entry and gives its id: a matched assignment, but for what is said otherwise."""
    return partial(insert_entry, database)


@pytest.fixture
def make_followup(database: Database) -> Callable[..., int]:
    """Inserts one follow-up for an entry and gives its id: owed, but for what is said otherwise."""

    def make(entry_id: int, **differences: Any) -> int:
        now = datetime.now(UTC)
        values = {"kind": "enrich", "entry_id": entry_id, "created_at": now, "due_at": now}
        with database.transaction() as session:
            entry = session.get_one(EntryRow, entry_id)
            row = FollowupRow(**(values | {"task_sid": entry.task_sid} | differences))
            session.add(row)
            session.flush()
            return row.id

    return make
