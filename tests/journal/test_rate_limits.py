"""Refusals by TaskRouter's rate limit that web processes met, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from enrich.database.engine import Database
from enrich.journal.rate_limits import RETENTION, RateLimits
from enrich.journal.tables import RateLimitRow

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def test_the_latest_of_all_processes_counts(database: Database) -> None:
    one, other = RateLimits(database), RateLimits(database)
    assert one.last(NOW) is None
    one.record(NOW - 9 * SECOND)
    other.record(NOW - 5 * SECOND)
    one.record(NOW - SECOND)
    assert other.last(NOW) == NOW - SECOND
    assert len(database.read(select(RateLimitRow.process))) == 2, "each process has one row"


def test_one_from_the_future_hides_no_later_one_and_goes(database: Database) -> None:
    RateLimits(database).record(NOW + timedelta(days=100))
    late = RateLimits(database)
    assert late.last(NOW) is None
    late.record(NOW)
    assert late.last(NOW) == NOW
    assert len(database.read(select(RateLimitRow.process))) == 1


def test_one_of_another_process_that_is_a_moment_ahead_stays(database: Database) -> None:
    RateLimits(database).record(NOW + SECOND)
    RateLimits(database).record(NOW)
    assert RateLimits(database).last(NOW + SECOND) == NOW + SECOND


def test_old_ones_go_with_the_next(database: Database) -> None:
    RateLimits(database).record(NOW - RETENTION - SECOND)
    RateLimits(database).record(NOW)
    assert len(database.read(select(RateLimitRow.process))) == 1
