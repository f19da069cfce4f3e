"""Heartbeats of workers, and doubts about their clocks, on SQLite and on PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select

from enrich.database.engine import Database
from enrich.journal.heartbeats import INTERVAL, MAX_SKEW, RETENTION, Heartbeats
from enrich.journal.tables import HeartbeatRow
from tests.support.journal import Make

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


class Uptime:
    """A clock that nobody sets."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds

    def passes(self, time: timedelta) -> None:
        self.seconds += time.total_seconds()


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
    uptime = Uptime()
    worker = Heartbeats(database, uptime)
    worker.beat(NOW)
    uptime.passes(INTERVAL - SECOND)
    worker.beat(NOW + INTERVAL - SECOND)
    assert worker.last() == NOW
    uptime.passes(SECOND)
    worker.beat(NOW + INTERVAL)
    assert (worker.last(), rows(database)) == (NOW + INTERVAL, 1)


def test_workers_of_long_ago_are_forgotten(database: Database) -> None:
    Heartbeats(database).beat(NOW)
    Heartbeats(database).confirm_clock(NOW + RETENTION)
    Heartbeats(database).beat(NOW + RETENTION + SECOND)
    assert rows(database) == 2


def test_a_heartbeat_from_the_future_goes_with_the_next_one(database: Database) -> None:
    """It was left by a worker whose clock was ahead; whoever works on need not be restarted."""
    uptime = Uptime()
    worker = Heartbeats(database, uptime)
    worker.beat(NOW)
    Heartbeats(database).beat(NOW + timedelta(hours=3))
    uptime.passes(INTERVAL)
    worker.beat(NOW + INTERVAL)
    assert (worker.last(), rows(database)) == (NOW + INTERVAL, 1)


def test_heartbeats_of_clocks_that_differ_little_stay(database: Database) -> None:
    Heartbeats(database).beat(NOW + MAX_SKEW)
    Heartbeats(database).beat(NOW)
    assert rows(database) == 2


class TestClock:
    """A clock that is far ahead would have everything pruned."""

    def test_a_pause_of_a_night_is_no_doubt(self, database: Database) -> None:
        Heartbeats(database).beat(NOW)
        assert Heartbeats(database).beat(NOW + timedelta(hours=14))
        assert Heartbeats(database).clock_in_doubt_since() is None

    def test_a_clock_far_ahead_of_the_newest_heartbeat_is_in_doubt(self, database: Database) -> None:
        Heartbeats(database).beat(NOW)
        assert not Heartbeats(database).beat(NOW + timedelta(days=100))
        assert Heartbeats(database).last() == NOW, "a heartbeat from the future would hide that no worker is left"
        assert Heartbeats(database).clock_in_doubt_since() == NOW

    def test_a_clock_far_ahead_of_the_newest_entry_is_in_doubt(self, database: Database, make_entry: Make) -> None:
        make_entry(received_at=NOW)
        assert not Heartbeats(database).beat(NOW + timedelta(days=100))

    def test_a_jump_is_noticed_though_others_write_with_the_same_clock(
        self, database: Database, make_entry: Make
    ) -> None:
        uptime = Uptime()
        worker = Heartbeats(database, uptime)
        assert worker.beat(NOW)
        uptime.passes(SECOND)
        make_entry(received_at=NOW + timedelta(days=100))
        assert not worker.beat(NOW + timedelta(days=100) + SECOND)

    def test_a_machine_that_slept_has_not_jumped(self, database: Database, make_entry: Make) -> None:
        uptime = Uptime()
        worker = Heartbeats(database, uptime)
        worker.beat(NOW)
        uptime.passes(timedelta(days=3))
        make_entry(received_at=NOW + timedelta(days=3) - SECOND)
        assert worker.beat(NOW + timedelta(days=3))

    def test_the_doubt_stays_until_the_time_is_confirmed(self, database: Database) -> None:
        Heartbeats(database).beat(NOW)
        Heartbeats(database).beat(NOW + timedelta(days=100))
        assert Heartbeats(database).beat(NOW + SECOND), "another worker, or the same one with its clock set right"
        assert Heartbeats(database).clock_in_doubt_since() == NOW
        Heartbeats(database).confirm_clock(NOW + timedelta(days=100))
        assert Heartbeats(database).clock_in_doubt_since() is None
        assert Heartbeats(database).beat(NOW + timedelta(days=100) + SECOND)
