"""How much a process takes on."""

from __future__ import annotations

import pytest

from enrich.resilience.admission import CAUGHT_UP_S, LATELY, MAX_WAIT_S, SILENCE_S, USUAL_WAIT_S, Admission
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
    """What is begun now takes several turns of a loop that is slow already."""
    waited_s = 1.5 * USUAL_WAIT_S
    refused = [admission.refused(waited_s) for _ in range(3 * LATELY)]
    assert refused[0] == ""
    assert refused[-LATELY:] == ["queue"] * LATELY
    assert admission.in_flight <= 3
    assert [admission.refused(0.0) for _ in range(2 * LATELY)][-1] != "queue"


def test_a_process_that_is_behind_catches_up_before_it_takes_on_more(admission: Admission) -> None:
    """A wait that would let everybody in before is still too long after it."""
    between = (CAUGHT_UP_S + USUAL_WAIT_S) / 2
    assert "queue" not in [admission.refused(between) for _ in range(3 * LATELY)]
    for _ in range(3 * LATELY):
        admission.refused(2 * USUAL_WAIT_S)
    assert [admission.refused(between) for _ in range(5 * LATELY)] == ["queue"] * 5 * LATELY
    assert [admission.refused(0.5 * CAUGHT_UP_S) for _ in range(5 * LATELY)][-1] != "queue"


def test_a_machine_that_stands_still_for_a_moment_turns_nobody_away(admission: Admission) -> None:
    assert "queue" not in [admission.refused(0.3) for _ in range(LATELY // 2)]


def test_after_a_silence_nothing_is_held_against_the_next(admission: Admission, clock: ManualClock) -> None:
    for _ in range(3 * LATELY):
        admission.refused(MAX_WAIT_S + 0.01)
    assert admission.refused(0.0) == "queue"
    clock.now_s += SILENCE_S + 0.01
    assert admission.refused(0.0) == ""
