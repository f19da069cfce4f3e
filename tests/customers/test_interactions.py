"""Interactions, from the events of a task's end in any order."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrich.customers.interactions import finished
from enrich.domain.deliveries import TaskEvent

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def event(event_type: str, at_s: int, reservation: str = "", worker: str = "", **form: str) -> TaskEvent:
    form = {"Sid": f"EV{event_type}{at_s}{reservation}", "TaskChannelUniqueName": "voice", **form}
    sid = f"WK{worker}" if worker else ""
    return TaskEvent(event_type, NOON + timedelta(seconds=at_s), reservation, sid, worker, form)


ACCEPTED = event("reservation.accepted", 10, "WR1", "dana")
PART = event("reservation.completed", 70, "WR1", "dana")
DONE = event("task.completed", 70, worker="dana", TaskCompletedReason="all said")
WHOLE = [ACCEPTED, PART, DONE]
TRANSFERRED = [
    *WHOLE[:1],
    event("reservation.accepted", 40, "WR2", "samir"),
    event("reservation.completed", 45, "WR1", "dana"),
    event("reservation.completed", 90, "WR2", "samir"),
]


def test_who_when_and_how_long() -> None:
    interaction = finished("WT1", WHOLE)
    assert interaction is not None
    assert (interaction.worker_name, interaction.channel, interaction.reason) == ("dana", "voice", "all said")
    assert (interaction.began_at, interaction.lasted_s) == (NOON + timedelta(seconds=10), 60.0)


@given(st.permutations([*TRANSFERRED, DONE, ACCEPTED, DONE]))
def test_neither_order_nor_repeats_make_a_difference(events: list[TaskEvent]) -> None:
    assert finished("WT1", events) == finished("WT1", [*TRANSFERRED, DONE])


@pytest.mark.parametrize(
    "events",
    [
        pytest.param([], id="nothing told"),
        pytest.param([ACCEPTED], id="still at it"),
        pytest.param(TRANSFERRED[:3], id="one of two has finished their part"),
        pytest.param([event("task.deleted", 5)], id="deleted before anybody had it"),
    ],
)
def test_what_is_not_finished_is_no_interaction(events: list[TaskEvent]) -> None:
    assert finished("WT1", events) is None


@pytest.mark.parametrize(
    ("events", "worker", "lasted_s"),
    [
        pytest.param(TRANSFERRED, "samir", 80.0, id="every part completed, the task's own event missing"),
        pytest.param([DONE], "dana", None, id="nobody told when it began"),
        pytest.param([PART, DONE], "dana", None, id="nor of its acceptance"),
        pytest.param([ACCEPTED, event("task.system-deleted", 100)], "dana", 90.0, id="deleted after a day"),
    ],
)
def test_what_is_missing_is_made_up_for(events: list[TaskEvent], worker: str, lasted_s: float | None) -> None:
    interaction = finished("WT1", events)
    assert interaction is not None
    assert (interaction.worker_name, interaction.lasted_s) == (worker, lasted_s)


@pytest.mark.parametrize(
    ("attributes", "outcome"),
    [
        (json.dumps({"conversations": {"outcome": "sold"}}), "sold"),
        (json.dumps({"conversations": {"outcome": 7}}), ""),
        (json.dumps({"conversations": []}), ""),
        ("[1", ""),
        ("[" * 100_000, ""),
    ],
)
def test_an_outcome_that_somebody_else_wrote_is_kept(attributes: str, outcome: str) -> None:
    interaction = finished("WT1", [ACCEPTED, event("task.completed", 70, TaskAttributes=attributes)])
    assert interaction is not None
    assert interaction.outcome == outcome
