"""The clock of a callback and its stopwatch, on a clock that the test turns."""

from __future__ import annotations

import pytest

from enrich.domain.deadline import Deadline, OutOfTime, StepName, Stopwatch
from enrich.errors import StaleTask
from tests.support.clock import ManualClock


def test_what_is_left_shrinks_and_is_never_negative() -> None:
    clock = ManualClock()
    deadline = Deadline.after(3.5, clock)
    clock.now_s += 3.0
    assert (deadline.remaining_s(), deadline.share_s(0.2), deadline.share_s(2.0)) == (0.5, 0.2, 0.5)
    assert deadline.elapsed_ms() == 3000.0
    clock.now_s += 0.000123
    assert deadline.elapsed_ms() == 3000.12
    clock.now_s -= 0.000123
    clock.now_s += 1.0
    assert (deadline.remaining_s(), deadline.share_s(0.2)) == (0.0, 0.0)


def test_steps_are_timed_in_order_and_say_why_they_failed() -> None:
    clock = ManualClock()
    stopwatch = Stopwatch(clock)
    with stopwatch.step(StepName.LOOK_UP):
        clock.now_s += 0.012506
    with pytest.raises(StaleTask), stopwatch.step(StepName.WRITE):
        raise StaleTask
    with pytest.raises(OutOfTime), stopwatch.step(StepName.FETCH):
        raise OutOfTime
    clock.now_s = 200.0
    with pytest.raises(ValueError, match="a bug"), stopwatch.step(StepName.FETCH):
        raise ValueError("a bug")
    assert [(step.name, step.elapsed_ms, step.failed) for step in stopwatch.steps] == [
        ("look_up", 12.51, ""),
        ("write", 0.0, "stale_task"),
        ("fetch", 0.0, "out_of_time"),
        ("fetch", 0.0, "failed"),
    ]
    assert [step.began_at for step in stopwatch.steps] == [100.0, 100.012506, 100.012506, 200.0]


def test_no_handler_of_ordinary_errors_swallows_the_end_of_time() -> None:
    assert not issubclass(OutOfTime, Exception)
