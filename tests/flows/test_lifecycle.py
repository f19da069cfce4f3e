"""Events in any order, any of them twice, lead to the same end; and what each of them causes."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

import pytest
from hypothesis import Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import select

from app import create_app
from enrich.database.engine import Database
from enrich.domain.deliveries import Delivery
from enrich.domain.outcomes import EntryKind, FollowupKind
from enrich.domain.tasks import Task
from enrich.flows.adapters import Adapters
from enrich.flows.dispatcher import FollowupDispatcher
from enrich.flows.lifecycle import Lifecycle, caused_by
from enrich.flows.rules import Rules
from enrich.journal.tables import EntryRow, FollowupRow
from enrich.policy.file import Policy
from enrich.policy.timeouts import EscalationStep, TimeoutPolicy
from enrich.policy.wrapup import WrapupPolicy
from enrich.services import flows_of
from enrich.taskrouter.client import TaskRouterClient
from tests.support.app import make_settings, services_of
from tests.support.databases import copy_template, seed_customers

NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
POLICY = Policy(
    timeouts=TimeoutPolicy(
        steps=(
            EscalationStep(1, raise_priority_to=10),
            EscalationStep(2, escalation=1),
            EscalationStep(4, raise_priority_to=90, escalation=3),
        ),
        alarm_canceled=2,
    ),
)


@dataclass
class TaskRouter:
    """The tasks of a TaskRouter, as far as a follow-up asks for them: text and priority under one version."""

    tasks: dict[str, Task] = field(default_factory=dict)

    def fetch_task(self, _workspace_sid: str, task_sid: str, *, timeout_s: float) -> Task:
        new = Task(task_sid, '{"from":"+14155550100"}', '"0"', "pending")
        return self.tasks.setdefault(task_sid, new)

    def update_attributes(self, _ws: str, task_sid: str, text: str, *, if_match: str, timeout_s: float) -> None:
        self._write(task_sid, if_match, raw_attributes=text)

    def update_priority(self, _ws: str, task_sid: str, priority: int, *, if_match: str, timeout_s: float) -> None:
        self._write(task_sid, if_match, priority=priority)

    def _write(self, task_sid: str, if_match: str, **values: Any) -> None:
        task = self.tasks[task_sid]
        assert if_match == task.etag
        self.tasks[task_sid] = replace(task, etag=f'"{int(task.etag[1:-1]) + 1}"', **values)


@dataclass
class Bench:
    """One database, one TaskRouter, and a clock that is turned by hand."""

    database: Database
    adapters: Adapters
    rules: Rules
    lifecycle: Lifecycle
    dispatcher: FollowupDispatcher
    taskrouter: TaskRouter
    now: list[datetime]

    def deliver(self, event: Delivery) -> None:
        self.lifecycle.receive(replace(event, received_at=self.now[0]), timeout_s=5)

    def work(self) -> None:
        while self.dispatcher.run_batch():
            pass

    def end_state(self, task_sid: str) -> tuple[Any, ...]:
        """Everything that is to be the same: counts and level, priority and block, and the customer's history."""
        state = self.adapters.task_states.of(task_sid)
        task = self.taskrouter.tasks.get(task_sid)
        kept = self.adapters.store.interactions_of("C-1001", at_most=10_000)
        return (
            state and (state.misses, state.canceled, state.assignments, state.escalation, state.alarm),
            state and state.ended_at is not None,
            task and (task.priority, json.loads(task.raw_attributes)["crm"]),
            [replace(each, task_sid="") for each in kept if each.task_sid == task_sid],
        )


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("lifecycle")
    copy_template(sqlite_template, folder / "enrich.db")
    services = services_of(create_app(make_settings(folder)))
    seed_customers(services.database, NOON)
    now, taskrouter = [NOON], TaskRouter()
    adapters = replace(
        services.adapters,
        taskrouter=cast(TaskRouterClient, taskrouter),
        time_limit=lambda _: nullcontext(),
        now=lambda: now[0],
        pause=lambda _: None,
    )
    rules = replace(services.rules, policy=POLICY)
    flows = flows_of(adapters, rules)
    yield Bench(services.database, adapters, rules, flows["lifecycle"], flows["dispatcher"], taskrouter, now)
    services.database.close()


def life(task_sid: str, endings: list[str], *, is_completed: bool) -> list[Delivery]:
    """A task's events in the order in which they happened: so many reservations that came to nothing, and an end."""
    events = [make_event(task_sid, "task.created", 0), make_event(task_sid, "workflow.entered", 0)]
    for number, ending in enumerate(endings):
        reservation = f"WR{random.Random(f'{task_sid}{number}').getrandbits(128):032x}"
        at_s = 10 * number + 5
        events += [make_event(task_sid, type_, at_s, reservation) for type_ in ("reservation.created", ending)]
    if is_completed:
        last = f"WR{random.Random(task_sid).getrandbits(128):032x}"
        events.append(make_event(task_sid, "reservation.created", 500, last))
        for event_type, at_s in (
            ("reservation.accepted", 505),
            ("task.wrapup", 560),
            ("reservation.completed", 570),
            ("task.completed", 570),
        ):
            events.append(make_event(task_sid, event_type, at_s, last))
    return events


def make_event(task_sid: str, event_type: str, at_s: int, reservation_sid: str | None = None) -> Delivery:
    sid = f"EV{random.Random(f'{task_sid}{event_type}{reservation_sid}').getrandbits(128):032x}"
    form = {
        "Sid": sid,
        "EventType": event_type,
        "TimestampMs": str(int((NOON + timedelta(seconds=at_s)).timestamp() * 1000)),
        "TaskSid": task_sid,
        "ReservationSid": reservation_sid or "",
        "WorkerSid": "WK" + "6" * 32,
        "WorkerName": "dana",
        "TaskChannelUniqueName": "voice",
        "TaskCompletedReason": "done" if event_type == "task.completed" else "",
    }
    return Delivery(
        kind=EntryKind.EVENT,
        received_at=NOON,
        delivery_key=sid,
        workspace_sid="WS" + "1" * 32,
        task_sid=task_sid,
        reservation_sid=reservation_sid,
        worker_sid=form["WorkerSid"],
        worker_name="dana",
        event_type=event_type,
        body=urlencode(form).encode(),
    )


numbers = iter(range(1, 1_000_000))
ENDINGS = [f"reservation.{ending}" for ending in ("timeout", "rejected", "canceled", "rescinded")]


# The SIDs are new for each example, since all share one database; nothing that is drawn depends on them.
@hypothesis_settings(max_examples=40, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(st.lists(st.sampled_from(ENDINGS), max_size=6), st.booleans(), st.randoms(use_true_random=False))
def test_any_order_and_any_repeats_lead_to_the_same_end(
    bench: Bench, endings: list[str], is_completed: bool, chance: random.Random
) -> None:
    """A worker works in between, at any moment: what it did too early is put right by what comes later."""
    in_order, shuffled = (f"WT{next(numbers):032x}" for _ in range(2))
    for event in life(in_order, endings, is_completed=is_completed):
        bench.deliver(event)
    bench.work()

    events = life(shuffled, endings, is_completed=is_completed)
    doubled = events + chance.sample(events, min(len(events), 5))
    chance.shuffle(doubled)
    for event in doubled:
        bench.deliver(event)
        if chance.random() < 0.4:
            bench.now[0] += timedelta(seconds=chance.choice([0, 1, 10]))
            bench.work()
    bench.now[0] += timedelta(seconds=10)
    bench.work()

    assert bench.end_state(shuffled) == bench.end_state(in_order)
    misses = sum(ending != "reservation.rescinded" for ending in endings)
    (state, _, task, history) = bench.end_state(in_order)
    assert (state[0] if state else 0) == misses
    assert (task[1].get("escalation", 0) if task else 0) == (3 if misses >= 4 else 1 if misses >= 2 else 0)
    assert [each.lasted_s for each in history] == ([65.0] if is_completed else [])


def causes(event_type: str, bench: Bench, **rules: Any) -> list[str]:
    event = replace(make_event("WT" + "4" * 32, event_type, 0, "WR" + "5" * 32), **rules)
    return [followup.kind for followup in caused_by(event, bench.rules)]


@pytest.mark.parametrize(
    ("event_type", "kinds"),
    [
        ("task.created", [FollowupKind.WARM]),
        ("reservation.timeout", [FollowupKind.MISSED]),
        ("reservation.rejected", [FollowupKind.MISSED]),
        ("reservation.canceled", [FollowupKind.MISSED]),
        ("reservation.rescinded", []),
        ("reservation.created", []),
        ("task.updated", []),
        ("task.wrapup", []),  # the policy says nothing about it
        ("task.completed", [FollowupKind.FINISHED]),
        ("worker.activity.update", []),
        ("something.new", []),
        ("", []),
    ],
)
def test_what_an_event_causes(bench: Bench, event_type: str, kinds: list[str]) -> None:
    assert causes(event_type, bench) == kinds


def test_an_event_without_a_task_causes_nothing(bench: Bench) -> None:
    assert causes("task.created", bench, task_sid=None) == []


def test_wrapping_has_its_time(bench: Bench) -> None:
    rules = replace(bench.rules, policy=Policy(wrapup=WrapupPolicy(complete_after_s=90)))
    (followup,) = caused_by(make_event("WT" + "4" * 32, "task.wrapup", 0), rules)
    assert (followup.kind, followup.due_at) == (FollowupKind.COMPLETE, NOON + timedelta(seconds=90))


def test_an_event_that_causes_nothing_is_one_row_and_one_that_does_is_two(bench: Bench) -> None:
    """The follow-up is there as soon as the event is, and only once."""
    task_sid = f"WT{next(numbers):032x}"
    for event_type in ("task.updated", "task.created", "task.created"):
        bench.deliver(make_event(task_sid, event_type, 0))
    entries = bench.database.read(select(EntryRow.id, EntryRow.event_type).where(EntryRow.task_sid == task_sid))
    assert [entry.event_type for entry in entries] == ["task.updated", "task.created"]
    owed = bench.database.read(
        select(FollowupRow.kind).where(FollowupRow.entry_id.in_([entry.id for entry in entries]))
    )
    assert [row.kind for row in owed] == ["warm"]
    bench.work()
