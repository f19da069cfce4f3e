"""The circuit breaker, on a clock that the test turns."""

from __future__ import annotations

import pytest

from enrich.domain.deadline import LATE_S, OutOfTime
from enrich.resilience.circuit_breaker import CircuitBreaker, CircuitOpen
from tests.support.clock import ManualClock


def ask(breaker: CircuitBreaker, error: BaseException | None = None) -> None:
    with breaker.guard((OSError, OutOfTime)):
        if error:
            raise error


def fail(breaker: CircuitBreaker, times: int, error: BaseException | None = None) -> None:
    for _ in range(times):
        with pytest.raises(type(error or OSError())):
            ask(breaker, error or OSError())


@pytest.fixture
def breaker(clock: ManualClock) -> CircuitBreaker:
    return CircuitBreaker(failures=3, rest_s=2.0, now=clock)


def test_a_few_failures_do_not_open_it(breaker: CircuitBreaker, clock: ManualClock) -> None:
    fail(breaker, 2)
    ask(breaker)
    clock.now_s += 0.1  # else they began before the success, and would not count
    fail(breaker, 2)
    ask(breaker)


def test_it_tells_once_that_it_opens_and_once_that_it_closes(clock: ManualClock) -> None:
    told: list[bool] = []
    breaker = CircuitBreaker(failures=2, now=clock, observe=told.append)
    fail(breaker, 1)
    ask(breaker)
    clock.now_s += 0.1
    fail(breaker, 1)
    assert told == []
    fail(breaker, 1)
    assert told == [True]
    clock.now_s += 2.0
    fail(breaker, 1)  # the probe
    assert told == [True]
    clock.now_s += 2.0
    ask(breaker)
    ask(breaker)
    assert told == [True, False]


def test_a_success_at_the_moment_at_which_a_failure_began_counts_as_later(breaker: CircuitBreaker) -> None:
    moment = breaker.enter()
    assert not breaker.answered_since(moment)
    ask(breaker)
    assert breaker.answered_since(moment)


def test_it_opens_after_five_failures_for_two_seconds(clock: ManualClock) -> None:
    """Unless told otherwise; so the settings' help says."""
    breaker = CircuitBreaker(now=clock)
    fail(breaker, 4)
    assert not breaker.is_open
    fail(breaker, 1)
    clock.now_s += 1.999
    with pytest.raises(CircuitOpen):
        ask(breaker)
    clock.now_s += 0.001
    ask(breaker)


def test_after_several_in_a_row_it_rests(breaker: CircuitBreaker, clock: ManualClock) -> None:
    fail(breaker, 3)
    for _ in range(5):
        with pytest.raises(CircuitOpen):
            ask(breaker)
    clock.now_s += 1.9
    with pytest.raises(CircuitOpen):
        ask(breaker)


def test_then_one_probe_goes_through_and_its_success_closes_it(breaker: CircuitBreaker, clock: ManualClock) -> None:
    fail(breaker, 3)
    clock.now_s += 2.0
    ask(breaker)
    ask(breaker)
    assert not breaker.is_open


def test_nobody_follows_the_probe_before_it_is_back(breaker: CircuitBreaker, clock: ManualClock) -> None:
    fail(breaker, 3)
    clock.now_s += 2.0
    with breaker.guard((OSError,)), pytest.raises(CircuitOpen):
        ask(breaker)


def test_a_probe_that_fails_begins_the_next_rest(breaker: CircuitBreaker, clock: ManualClock) -> None:
    fail(breaker, 3)
    clock.now_s += 2.0
    fail(breaker, 1)
    clock.now_s += 1.9
    with pytest.raises(CircuitOpen):
        ask(breaker)
    clock.now_s += 0.1
    ask(breaker)


def test_a_probe_that_never_comes_back_does_not_close_the_door_for_good(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    fail(breaker, 3)
    clock.now_s += 2.0
    probe = breaker.guard((OSError,))
    probe.__enter__()
    clock.now_s += 2.0
    ask(breaker)


def test_running_out_of_time_counts(breaker: CircuitBreaker) -> None:
    fail(breaker, 3, OutOfTime())
    assert breaker.is_open


def test_an_error_that_is_not_its_fault_is_a_sign_of_life(breaker: CircuitBreaker) -> None:
    fail(breaker, 2)
    fail(breaker, 1, ValueError())
    fail(breaker, 2)
    assert not breaker.is_open


def test_who_fails_while_others_are_answered_does_not_count(breaker: CircuitBreaker, clock: ManualClock) -> None:
    """A hundred run out of time at once, while the database goes on answering: it is us."""
    waiting = [breaker.guard((OutOfTime,)) for _ in range(10)]
    for each in waiting:
        each.__enter__()
    clock.now_s += 0.5
    ask(breaker)
    for each in waiting:
        each.__exit__(OutOfTime, OutOfTime(), None)
    assert not breaker.is_open
    clock.now_s += 0.1
    fail(breaker, 3)
    assert breaker.is_open


def test_a_clock_that_came_late_itself_says_nothing_of_who_was_asked(
    breaker: CircuitBreaker, clock: ManualClock
) -> None:
    """The loop had too much to do; the answer may have lain there all the time."""
    fail(breaker, 20, OutOfTime(clock() - LATE_S - 0.01))
    assert not breaker.is_open
    fail(breaker, 3, OutOfTime(clock()))
    assert breaker.is_open


def test_it_tells_when_it_opens_and_not_again_before_it_was_closed(breaker: CircuitBreaker, clock: ManualClock) -> None:
    opened: list[float] = []
    breaker.on_open = lambda: opened.append(clock())
    fail(breaker, 3)
    clock.now_s += 2.0
    fail(breaker, 1)
    assert opened == [100.0]
    clock.now_s += 2.0
    ask(breaker)
    clock.now_s += 1.0
    fail(breaker, 3)
    assert opened == [100.0, 105.0]


def test_the_last_failure_is_known_until_a_success(breaker: CircuitBreaker, clock: ManualClock) -> None:
    assert not breaker.failing_for_less_than(10.0)
    fail(breaker, 1, OSError("disk full"))
    clock.now_s += 9.9
    assert (breaker.failing_for_less_than(10.0), breaker.failure) == (True, "disk full")
    clock.now_s += 0.1
    assert not breaker.failing_for_less_than(10.0)
    fail(breaker, 1, OSError("disk full"))
    ask(breaker)
    assert (breaker.failing_for_less_than(10.0), breaker.failure) == (False, "")
