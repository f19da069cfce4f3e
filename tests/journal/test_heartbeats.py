"""Workers leave word that they live, on SQLite and on PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select

from enrich.database.engine import Database
from enrich.journal.heartbeats import INTERVAL, RETENTION, Heartbeats
from enrich.journal.tables import HeartbeatRow

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def rows(database: Database) -> int:
    return int(database.read(select(func.count()).select_from(HeartbeatRow))[0][0])


def test_nobody_has_worked_yet(database: Database) -> None:
    assert Heartbeats(database).last() is None


def test_the_last_of_all_workers_is_what_counts(database: Database) -> None:
    one, other = Heartbeats(database), Heartbeats(database)
    one.beat(NOW)
    other.beat(NOW + SECOND)
    assert rows(database) == 2
    assert Heartbeats(database).last() == NOW + SECOND


def test_a_worker_has_one_row_and_writes_it_at_most_every_ten_seconds(database: Database) -> None:
    worker = Heartbeats(database)
    worker.beat(NOW)
    worker.beat(NOW + INTERVAL - SECOND)
    assert worker.last() == NOW
    worker.beat(NOW + INTERVAL)
    assert (worker.last(), rows(database)) == (NOW + INTERVAL, 1)


def test_workers_of_long_ago_are_forgotten(database: Database) -> None:
    Heartbeats(database).beat(NOW)
    Heartbeats(database).beat(NOW + RETENTION + SECOND)
    assert rows(database) == 1
