"""The limit of requests in flight: halved by refusals, raised by successes."""

from __future__ import annotations

import pytest

from enrich.resilience.in_flight_limit import ONE_REFUSAL_S, InFlightLimit
from tests.support.clock import ManualClock


@pytest.fixture
def limit(clock: ManualClock) -> InFlightLimit:
    return InFlightLimit(16, now=clock)


def test_without_refusals_it_is_the_highest(limit: InFlightLimit) -> None:
    limit.succeeded()
    assert limit.current == 16


def test_a_burst_of_refusals_counts_once(limit: InFlightLimit, clock: ManualClock) -> None:
    for _ in range(5):
        limit.refused()
    assert limit.current == 8
    clock.now_s += ONE_REFUSAL_S
    limit.refused()
    assert limit.current == 4


def test_it_never_falls_below_one(limit: InFlightLimit, clock: ManualClock) -> None:
    for _ in range(20):
        clock.now_s += ONE_REFUSAL_S
        limit.refused()
    assert limit.current == 1


def test_as_many_successes_as_it_is_high_raise_it_by_one(limit: InFlightLimit) -> None:
    limit.refused()
    for _ in range(8):
        limit.succeeded()
    assert limit.current == 8, "1/8 each, and a little less for each: not quite one"
    limit.succeeded()
    assert limit.current == 9


def test_it_is_back_at_the_highest_and_no_higher(limit: InFlightLimit) -> None:
    limit.refused()
    for _ in range(200):
        limit.succeeded()
    assert limit.current == 16
