"""Admission: the limit on the work that a process takes on."""

from __future__ import annotations

import pytest

from enrich.resilience.admission import (
    AVERAGED_CALLBACKS,
    FORGET_AFTER_S,
    MAX_AVERAGE_WAIT_S,
    MAX_WAIT_S,
    RESUME_BELOW_S,
    Admission,
)
from tests.support.clock import ManualClock


@pytest.fixture
def admission(clock: ManualClock) -> Admission:
    return Admission(3, now=clock)


def test_no_more_than_may_be_are_let_in_at_a_time(admission: Admission) -> None:
    assert [admission.refused(0.0) for _ in range(5)] == ["", "", "", "in_flight", "in_flight"]
    admission.leave()
    assert (admission.refused(0.0), admission.in_flight) == ("", 3)


def test_how_many_there_are_is_told_whenever_it_changes() -> None:
    told: list[int] = []
    admission = Admission(1, observe=told.append)
    admission.refused(0.0)
    admission.refused(0.0)
    admission.leave()
    assert told == [1, 0]


def test_one_that_waited_too_long_is_too_much_and_the_next_is_not(admission: Admission) -> None:
    assert [admission.refused(MAX_WAIT_S + 0.01), admission.refused(0.0)] == ["queue", ""]


def test_when_all_of_them_wait_even_a_little_none_is_let_in(admission: Admission) -> None:
    """A callback admitted now takes several turns of a loop that is slow already."""
    waited_s = 1.5 * MAX_AVERAGE_WAIT_S
    refused = [admission.refused(waited_s) for _ in range(3 * AVERAGED_CALLBACKS)]
    assert refused[0] == ""
    assert refused[-AVERAGED_CALLBACKS:] == ["queue"] * AVERAGED_CALLBACKS
    assert admission.in_flight <= 3
    assert [admission.refused(0.0) for _ in range(2 * AVERAGED_CALLBACKS)][-1] != "queue"


def test_a_process_that_is_behind_catches_up_before_it_takes_on_more(admission: Admission) -> None:
    """A wait that would let everybody in before is still too long after it."""
    between = (RESUME_BELOW_S + MAX_AVERAGE_WAIT_S) / 2
    assert "queue" not in [admission.refused(between) for _ in range(3 * AVERAGED_CALLBACKS)]
    for _ in range(3 * AVERAGED_CALLBACKS):
        admission.refused(2 * MAX_AVERAGE_WAIT_S)
    assert [admission.refused(between) for _ in range(5 * AVERAGED_CALLBACKS)] == ["queue"] * 5 * AVERAGED_CALLBACKS
    assert [admission.refused(0.5 * RESUME_BELOW_S) for _ in range(5 * AVERAGED_CALLBACKS)][-1] != "queue"


def test_a_machine_that_stands_still_for_a_moment_turns_nobody_away(admission: Admission) -> None:
    assert "queue" not in [admission.refused(0.3) for _ in range(AVERAGED_CALLBACKS // 2)]


def test_after_a_silence_nothing_is_held_against_the_next(admission: Admission, clock: ManualClock) -> None:
    for _ in range(3 * AVERAGED_CALLBACKS):
        admission.refused(MAX_WAIT_S + 0.01)
    assert admission.refused(0.0) == "queue"
    clock.now_s += FORGET_AFTER_S + 0.01
    assert admission.refused(0.0) == ""


def test_what_gives_way_is_refused_at_half_of_the_limit_and_takes_no_callbacks_place(clock: ManualClock) -> None:
    admission = Admission(4, now=clock)
    assert [admission.refused_low_priority(0.0) for _ in range(3)] == ["", "", "in_flight"]
    assert [admission.refused(0.0) for _ in range(5)] == ["", "", "", "", "in_flight"]
    admission.leave_low_priority()
    assert admission.refused_low_priority(0.0) == "in_flight"  # the callbacks alone are more than half


def test_what_gives_way_is_refused_while_callbacks_are_shed(clock: ManualClock) -> None:
    admission = Admission(100, now=clock)
    assert admission.refused_low_priority(MAX_AVERAGE_WAIT_S) == ""
    assert admission.refused_low_priority(MAX_AVERAGE_WAIT_S + 0.01) == "queue"
    for _ in range(AVERAGED_CALLBACKS):
        admission.refused(MAX_WAIT_S)
    assert admission.refused_low_priority(0.0) == "queue"
    clock.now_s += FORGET_AFTER_S + 0.01
    assert admission.refused_low_priority(0.0) == ""
