"""Slices of long work: pauses as long as the work was, and one piece of work at a time."""

from __future__ import annotations

import threading

import pytest

from enrich.domain.deadline import OutOfTime
from enrich.resilience.time_slices import MAX_PAUSE_S, PAUSE_FACTOR, SLICE_S, TimeSlices


class Clock:
    """A clock that only its owner puts forward, and that counts the time slept."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def slices(clock: Clock) -> TimeSlices:
    return TimeSlices(now=lambda: clock.now, sleep=clock.sleep)


def test_a_pause_is_in_proportion_to_the_slice_before_it(clock: Clock, slices: TimeSlices) -> None:
    with slices.turn(1.0):
        for worked_s in (0.002, 0.010, 0.004):
            clock.now += worked_s
            slices.pause()
    assert clock.pauses == pytest.approx([0.002 * PAUSE_FACTOR, 0.010 * PAUSE_FACTOR, 0.004 * PAUSE_FACTOR])


def test_short_slices_add_up_until_a_pause_is_worth_it(clock: Clock, slices: TimeSlices) -> None:
    with slices.turn(1.0):
        for _ in range(8):
            clock.now += SLICE_S * 0.3
            slices.pause()
    assert len(clock.pauses) == 2


def test_a_long_slice_does_not_stop_the_work_for_long(clock: Clock, slices: TimeSlices) -> None:
    with slices.turn(1.0):
        clock.now += 60.0
        slices.pause()
    assert clock.pauses == [MAX_PAUSE_S]


def test_the_time_between_two_turns_is_no_slice(clock: Clock, slices: TimeSlices) -> None:
    with slices.turn(1.0):
        pass
    clock.now += 5.0
    with slices.turn(1.0):
        slices.pause()
    assert not clock.pauses


def test_one_has_the_turn_and_the_next_gets_it_then(slices: TimeSlices) -> None:
    had_it = threading.Event()

    def wait() -> None:
        with slices.turn(5.0):
            had_it.set()

    other = threading.Thread(target=wait)
    with slices.turn(1.0):
        other.start()
        with pytest.raises(OutOfTime), slices.turn(0.01):
            pass
        assert not had_it.is_set()
    other.join(5.0)
    assert had_it.is_set()


def test_work_that_fails_gives_the_turn_back(slices: TimeSlices) -> None:
    with pytest.raises(ZeroDivisionError), slices.turn(1.0):
        _ = 1 / 0
    with slices.turn(0.0):
        assert slices.present == 1
    assert slices.present == 0
