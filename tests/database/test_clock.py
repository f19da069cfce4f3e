"""The clock of a database: whatever the machine's own says, PostgreSQL's decides."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from enrich.database.clock import FIRST_INTERVAL_S, INTERVAL_S, SAMPLES, SKEW_S, DatabaseClock, clock_of
from enrich.database.engine import Database
from enrich.errors import DatabaseUnavailable

NOON_S = datetime(2026, 11, 24, 12, 0, tzinfo=UTC).timestamp()
HOUR_S = 3600.0


@dataclass
class Machines:
    """A machine, the server that it asks, and the seconds that a request and its response travel between them."""

    uptime_s: float = 1000.0
    wall_ahead_s: float = 0.0
    server_ahead_s: float = 0.0
    trips: list[tuple[float, float]] = field(default_factory=lambda: [(0.001, 0.001)])
    is_away: bool = False
    asked: int = 0

    def true_s(self) -> float:
        return NOON_S + self.uptime_s

    def uptime(self) -> float:
        return self.uptime_s

    def wall(self) -> float:
        return self.true_s() + self.wall_ahead_s

    def server_time(self) -> datetime:
        if self.is_away:
            raise DatabaseUnavailable("away")
        to_s, from_s = self.trips[self.asked % len(self.trips)]
        self.asked += 1
        self.uptime_s += to_s
        moment = datetime.fromtimestamp(self.true_s() + self.server_ahead_s, UTC)
        self.uptime_s += from_s
        return moment

    def clock(self) -> DatabaseClock:
        return DatabaseClock(self.server_time, wall=self.wall, uptime=self.uptime)

    def error_s(self, clock: DatabaseClock) -> float:
        """Return the seconds by which the clock is ahead of the server's."""
        return clock.now().timestamp() - self.true_s() - self.server_ahead_s


@pytest.fixture
def machines() -> Machines:
    return Machines()


def about(seconds: float) -> Any:
    return pytest.approx(seconds, abs=0.002)


@pytest.mark.parametrize("wall_ahead_s", [0.0, 8.0, HOUR_S, -HOUR_S, 100 * 24 * HOUR_S])
def test_the_time_is_the_servers(machines: Machines, wall_ahead_s: float) -> None:
    machines.wall_ahead_s = wall_ahead_s
    clock = machines.clock()
    assert clock.synchronize() == clock.now()
    assert machines.error_s(clock) == about(0)
    assert clock.ahead_s() == about(wall_ahead_s)


def test_it_goes_on_though_the_machines_clock_is_set(machines: Machines) -> None:
    clock = machines.clock()
    clock.synchronize()
    machines.wall_ahead_s = HOUR_S
    machines.uptime_s += 600
    assert machines.error_s(clock) == about(0)
    assert clock.ahead_s() == about(HOUR_S)


def test_half_of_the_round_trip_is_the_way_back(machines: Machines) -> None:
    machines.trips = [(0.2, 0.2)]
    clock = machines.clock()
    clock.synchronize()
    assert machines.error_s(clock) == about(0)


def test_of_several_round_trips_the_shortest_tells(machines: Machines) -> None:
    machines.trips = [(0.9, 0.0), (0.001, 0.001), (0.0, 0.9)]
    clock = machines.clock()
    clock.synchronize()
    assert machines.asked == SAMPLES == len(machines.trips)
    assert machines.error_s(clock) == about(0)


@pytest.mark.parametrize(("drift_s", "is_adopted"), [(0.19, False), (-0.19, False), (0.21, True), (-0.21, True)])
def test_a_difference_within_the_round_trip_proves_nothing(
    machines: Machines, drift_s: float, is_adopted: bool
) -> None:
    clock = machines.clock()
    clock.synchronize()
    machines.trips = [(0.2, 0.2)]
    machines.server_ahead_s = drift_s
    clock.synchronize()
    assert machines.error_s(clock) == about(0 if is_adopted else -drift_s)


def test_where_the_servers_clock_is_set_back_so_is_the_time(machines: Machines) -> None:
    clock = machines.clock()
    before = clock.synchronize()
    machines.server_ahead_s = -60.0
    assert (clock.synchronize() - before).total_seconds() == pytest.approx(-60, abs=0.1)


def test_while_the_database_is_away_the_last_offset_is_kept(machines: Machines) -> None:
    clock = machines.clock()
    clock.synchronize()
    machines.is_away = True
    machines.wall_ahead_s = HOUR_S
    clock.synchronize()
    assert machines.error_s(clock) == about(0)


def test_until_the_server_has_responded_the_machines_time_is_all_there_is(machines: Machines) -> None:
    machines.is_away = True
    machines.wall_ahead_s = 8.0
    clock = machines.clock()
    clock.synchronize()
    assert (machines.error_s(clock), clock.ahead_s()) == (about(8), None)


def test_a_difference_is_logged_once_and_its_end_too(machines: Machines, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock = machines.clock()
    for wall_ahead_s in (SKEW_S / 2, HOUR_S, HOUR_S + SKEW_S / 2, 0.0, 0.0):
        machines.wall_ahead_s = wall_ahead_s
        clock.synchronize()
    logged = [(record.levelname, vars(record)["ahead_s"]) for record in caplog.records]
    assert logged == [("WARNING", HOUR_S), ("INFO", 0.0)]


def test_a_started_clock_asks_at_once_and_then_every_half_minute(machines: Machines) -> None:
    pauses: list[float] = []
    has_paused, may_go_on = threading.Semaphore(0), threading.Semaphore(0)

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        has_paused.release()
        may_go_on.acquire()

    machines.is_away = True
    machines.wall_ahead_s = 8.0
    clock = DatabaseClock(machines.server_time, wall=machines.wall, uptime=machines.uptime, pause=pause)
    clock.start()
    has_paused.acquire()
    assert machines.error_s(clock) == about(8)
    machines.is_away = False
    for _ in range(2):
        may_go_on.release()
        has_paused.acquire()
    assert machines.error_s(clock) == about(0)
    assert machines.asked == 2 * SAMPLES
    assert pauses == [FIRST_INTERVAL_S, INTERVAL_S, INTERVAL_S]


def test_a_process_starts_though_the_database_does_not_respond() -> None:
    never = threading.Event()

    def server_time() -> datetime:
        never.wait()
        return datetime.now(UTC)

    clock = DatabaseClock(server_time)
    clock.start()
    assert clock.ahead_s() is None
    never.set()


class TestDatabases:
    @pytest.fixture
    def server(self, postgresql: str) -> Iterator[Database]:
        database = Database(postgresql)
        yield database
        database.close()

    @pytest.mark.parametrize("ahead_s", [-HOUR_S, 8.0, HOUR_S])
    def test_postgresql_tells_its_time(self, server: Database, ahead_s: float) -> None:
        clock = clock_of(server, wall=lambda: time.time() + ahead_s)
        before: datetime = server.read(select(func.clock_timestamp()))[0][0]
        now = clock.synchronize()
        after: datetime = server.read(select(func.clock_timestamp()))[0][0]
        tolerance = timedelta(seconds=0.5)  # of a round trip on a machine with other work
        assert before - tolerance < now < after + tolerance
        assert clock.ahead_s() == pytest.approx(ahead_s, abs=0.5)

    def test_postgresql_that_is_away_is_no_error(self) -> None:
        server = Database("postgresql://nobody@127.0.0.1:1/none")
        assert clock_of(server).synchronize().tzinfo is UTC

    def test_sqlite_has_no_clock_of_its_own(self, sqlite_database: Database) -> None:
        clock = clock_of(sqlite_database, wall=lambda: NOON_S)
        clock.start()
        assert clock.synchronize().timestamp() == NOON_S
        assert clock.ahead_s() is None
