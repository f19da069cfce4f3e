"""Numbers of records by state, counted now and then."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from enrich.customers.fixture_rows import read_customer
from enrich.customers.projection import RecordState
from enrich.customers.record_counts import FRESH_S, RecordCounts
from enrich.customers.seeding import seed
from enrich.customers.stream_states import StreamStates
from enrich.database.engine import Database
from tests.support.clock import ManualClock

pytestmark = pytest.mark.database

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)


def load(database: Database, *ids: str) -> None:
    seed(database, [read_customer({"id": one, "name": "Ada"}, "US") for one in ids], now=NOON)


def test_they_are_those_of_the_whole_table(database: Database) -> None:
    load(database, *(f"C-{number}" for number in range(10)))
    with database.transaction() as session:
        session.execute(text("UPDATE source_records SET state = 'archived' WHERE remote_id IN ('C-3', 'C-9')"))
    pauses: list[None] = []
    counts = RecordCounts(database, pause=lambda: pauses.append(None), slice_rows=3).latest()
    assert counts == {"file": {RecordState.LIVE: 8, RecordState.ARCHIVED: 2}}
    assert counts == StreamStates(database).records()
    assert len(pauses) == (5 if database.is_sqlite else 0)


def test_they_are_counted_once_a_minute(database: Database, clock: ManualClock) -> None:
    counts = RecordCounts(database, clock)
    assert counts.latest() == {}
    load(database, "C-1")
    clock.now_s += FRESH_S - 1
    assert counts.latest() == {}
    clock.now_s += 1
    assert counts.latest() == {"file": {RecordState.LIVE: 1}}


def test_nobody_waits_for_another_one_who_counts(sqlite_database: Database) -> None:
    load(sqlite_database, "C-1")
    meanwhile: list[object] = []
    counts = RecordCounts(sqlite_database, pause=lambda: meanwhile.append(counts.latest()))
    assert counts.latest() == {"file": {RecordState.LIVE: 1}}
    assert set(meanwhile) == {None}
