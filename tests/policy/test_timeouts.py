"""The steps after missed reservations, and the errors in a table that is wrong."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrich.policy.problems import Problems
from enrich.policy.timeouts import Alarm, EscalationStep, HandOver, MissCount, TimeoutPolicy, decide, parse_timeouts

WORKFLOW, ACTIVITY = "WW" + "1" * 32, "WA" + "2" * 32
EXAMPLE = f"""
    misses = ["timeout", "rejected"]
    alarm_canceled = 3
    alarm_assignments = 900
    worker_activity = {{ timeout = "{ACTIVITY}" }}

    [[steps]]
    after = 5
    hand_over = {{ workflow = "{WORKFLOW}", priority = 99 }}

    [[steps]]
    after = 2
    raise_priority_to = 50
    escalation = 1
"""


def parse(table: dict[str, Any]) -> tuple[TimeoutPolicy, list[str]]:
    problems = Problems()
    return parse_timeouts(table, problems), [str(problem) for problem in problems.found]


def test_a_table_as_documented_is_read_whole() -> None:
    policy, wrong = parse(tomllib.loads(EXAMPLE))
    assert wrong == []
    assert policy == TimeoutPolicy(
        steps=(
            EscalationStep(2, raise_priority_to=50, escalation=1),
            EscalationStep(5, hand_over=HandOver(WORKFLOW, 99)),
        ),
        misses=frozenset({"timeout", "rejected"}),
        worker_activity={"timeout": ACTIVITY},
        alarm_canceled=3,
        alarm_assignments=900,
    )


def test_without_a_table_the_task_is_left_where_it_is() -> None:
    policy, wrong = parse({})
    assert (policy, wrong) == (TimeoutPolicy(), [])
    decision = decide(policy, MissCount({"timeout": 40}, assignments=40))
    assert decision.leaves_it
    assert (decision.misses, decision.alarm) == (40, Alarm.NONE)


POLICY, _ = parse(tomllib.loads(EXAMPLE))


@pytest.mark.parametrize(
    ("endings", "priority", "escalation", "hand_over"),
    [
        pytest.param({"timeout": 1}, None, 0, None, id="before the first step"),
        pytest.param({"timeout": 1, "rejected": 1}, 50, 1, None, id="every ending that counts is a miss"),
        pytest.param({"timeout": 1, "canceled": 7}, None, 0, None, id="others are none"),
        pytest.param({"timeout": 9, "rescinded": 3}, 50, 1, HandOver(WORKFLOW, 99), id="all steps that are reached"),
    ],
)
def test_what_holds_follows_from_the_number_of_misses(
    endings: dict[str, int], priority: int | None, escalation: int, hand_over: HandOver | None
) -> None:
    decision = decide(POLICY, MissCount(endings))
    assert (decision.priority, decision.escalation, decision.hand_over) == (priority, escalation, hand_over)


@pytest.mark.parametrize(
    ("tally", "alarm"),
    [
        (MissCount({"canceled": 2}, assignments=2), Alarm.NONE),
        (MissCount({"canceled": 3}, assignments=3), Alarm.LOOP),
        (MissCount({"timeout": 899}, assignments=900), Alarm.LIMIT),
        (MissCount({"canceled": 900}, assignments=900), Alarm.LIMIT),
        (MissCount({"timeout": 5}, hand_overs=1), Alarm.HANDED_OVER_BEFORE),
    ],
)
def test_what_a_person_has_to_look_at_raises_an_alarm(tally: MissCount, alarm: str) -> None:
    assert decide(POLICY, tally).alarm == alarm


def test_work_is_handed_over_once_and_not_in_a_circle() -> None:
    assert decide(POLICY, MissCount({"timeout": 5}, hand_overs=1)).hand_over is None


@given(
    st.lists(
        st.builds(EscalationStep, st.integers(1, 9), st.none() | st.integers(0, 9), st.integers(0, 9)), max_size=5
    ),
    st.integers(0, 12),
)
def test_more_misses_never_give_less(steps: list[EscalationStep], misses: int) -> None:
    policy = TimeoutPolicy(tuple(steps))
    less, more = (decide(policy, MissCount({"timeout": number})) for number in (misses, misses + 1))
    assert more.escalation >= less.escalation
    assert (more.priority or 0) >= (less.priority or 0)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"stepps": []}, "timeouts, stepps: is not known here"),
        ({"steps": {}}, "timeouts, steps: must be a list of tables"),
        ({"steps": [{}]}, "timeouts.steps 1, after: is missing"),
        ({"steps": [{"after": 1}]}, "timeouts.steps 1: does nothing"),
        ({"steps": [{"after": 0, "escalation": 1}]}, "timeouts.steps 1, after: must be a whole number from 1 to 1,000"),
        ({"steps": [{"after": True, "escalation": 1}]}, "timeouts.steps 1, after: must be a whole number"),
        ({"steps": [{"after": 1, "raise_priority_to": -1}]}, "timeouts.steps 1, raise_priority_to: must be"),
        ({"steps": [{"after": 1, "escalation": "high"}]}, "timeouts.steps 1, escalation: must be"),
        ({"steps": [{"after": 1, "hand_over": "WW1"}]}, "timeouts.steps 1, hand_over: must be true, or a table"),
        ({"steps": [{"after": 1, "hand_over": {"workflow": "x"}}]}, "timeouts.steps 1.hand_over, workflow: must be"),
        ({"steps": [{"after": 1, "hand_over": {"to": "x"}}]}, "timeouts.steps 1.hand_over, to: is not known"),
        ({"misses": ["rescinded"]}, "timeouts, misses: must be a list"),
        ({"misses": "timeout"}, "timeouts, misses: must be a list"),
        ({"worker_activity": "WA"}, "timeouts, worker_activity: must be a table"),
        ({"worker_activity": {"timeout": "Offline"}}, "timeouts.worker_activity, timeout: must be the SID"),
        ({"worker_activity": {"lunch": ACTIVITY}}, "timeouts.worker_activity, lunch: is not known here"),
        ({"alarm_canceled": 1}, "timeouts, alarm_canceled: must be a whole number from 2"),
        ({"alarm_assignments": 1001}, "timeouts, alarm_assignments: must be a whole number from 2 to 1,000"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_the_rest_still_holds(table: dict[str, Any], message: str) -> None:
    policy, wrong = parse(table)
    assert len(wrong) == 1
    assert wrong[0].startswith(message)
    assert policy.alarm_canceled == 5
