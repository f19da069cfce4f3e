"""Invariants that hold in long random lives of a contact centre, and hostile configurations."""

import json
import random
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskrouter_emulator.engine.state import State
from taskrouter_emulator.model import expressions, workflow_configuration
from taskrouter_emulator.model.clock import VirtualClock
from taskrouter_emulator.model.errors import ApiError
from taskrouter_emulator.model.instructions import Instruction, InstructionName, RefusedInstruction, interpret_response
from taskrouter_emulator.model.log import Log
from taskrouter_emulator.model.records import OPEN, ReservationStatus, TaskStatus
from taskrouter_emulator.model.routing import next_worker
from taskrouter_emulator.model.switches import Switches

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SKILLS = ("sales", "support")
STEPS = [
    {"timeout": 30, "expression": "worker.level >= task.level", "order_by": "worker.level DESC"},
    {"timeout": 30, "skip_if": "workers.available == 0", "priority": 3},
    {"timeout": 200, "known_worker_friendly_name": "task.agent"},
    {},
]


class Centre:
    """A workspace in which anything may happen next, and the rules that must hold after it."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        clock = VirtualClock(lambda: NOON)
        switches = Switches(
            timeout_moves_worker=self.dice.random() < 0.3,
            next_target_after_reservation_timeout=self.dice.random() < 0.5,
            target_timeouts_accumulate=self.dice.random() < 0.5,
            assigned_after_s=self.dice.choice([0.0, 2.0]),
            worker_answers=self.dice.random() < 0.7,
            worker_answers_after_s=5.0,
        )
        self.state = State("AC" + "0" * 32, clock, Log(clock.now), switches, str(seed))
        setup = self.state.provisioning
        self.workspace = setup.create_workspace("Centre", multi_task_enabled=self.dice.random() < 0.8)
        queues = [
            setup.create_task_queue(
                self.workspace,
                skill,
                target_workers=f'skills HAS "{skill}"',
                max_reserved_workers=self.dice.choice([1, 3]),
                task_order=self.dice.choice(["FIFO", "LIFO"]),
            )
            for skill in SKILLS
        ]
        filters = [
            {"expression": f'kind == "{skill}"', "targets": [{"queue": queue.sid} | step for step in STEPS]}
            for skill, queue in zip(SKILLS, queues, strict=True)
        ]
        routing = {"task_routing": {"filters": filters, "default_filter": {"queue": queues[0].sid}}}
        self.workflow = setup.create_workflow(
            self.workspace, "Main", json.dumps(routing), task_reservation_timeout=self.dice.choice([10, 60])
        )
        for name in "abcdef":
            skills = self.dice.sample(SKILLS, self.dice.choice([1, 2]))
            attributes = {"skills": skills, "level": self.dice.randrange(4), "contact_uri": f"client:{name}"}
            setup.create_worker(self.workspace, name, attributes=json.dumps(attributes), activity=self.activity())

    def activity(self) -> Any:
        offline, unavailable, available = self.workspace.activities.values()
        return self.dice.choice([offline, unavailable, available, available, available, available])

    def step(self) -> None:
        doing = self.dice.choice(
            [
                self.arrive,
                self.arrive,
                self.decide,
                self.decide,
                self.decide,
                self.move,
                self.wait,
                self.change,
                self.end,
            ]
        )
        with suppress(ApiError, RefusedInstruction):  # what is refused must leave everything in order, too
            doing()

    def arrive(self) -> None:
        attributes = {"kind": self.dice.choice([*SKILLS, "else"]), "level": self.dice.randrange(5)}
        attributes |= {"agent": self.dice.choice("abcxyz"), "call_sid": "CA" + "1" * 32, "to": "+14155550199"}
        workers = list(self.workspace.workers.values())
        self.state.tasks.create_task(
            self.workspace,
            attributes=json.dumps(attributes),
            priority=self.dice.randrange(4),
            timeout=self.dice.choice([100, 86_400]),
            routing_target=self.dice.choice(workers) if self.dice.random() < 0.1 else None,
        )

    def decide(self) -> None:
        reservations = [one for task in self.workspace.tasks.values() for one in task.reservations.values()]
        if not reservations:
            return
        still_open = [one for one in reservations if one.status in OPEN]
        reservation = self.dice.choice(still_open if still_open and self.dice.random() < 0.8 else reservations)
        if self.dice.random() < 0.3:
            instruction = Instruction(
                self.dice.choice([InstructionName.DEQUEUE, InstructionName.CONFERENCE]), from_="+14155550199"
            )
            self.state.reservations.execute(reservation, instruction, via="rest")
        else:
            status = self.dice.choice(["accepted", "accepted", "rejected", "wrapping", "completed"])
            self.state.reservations.update(reservation, status)

    def move(self) -> None:
        worker = self.dice.choice(list(self.workspace.workers.values()))
        reject = self.dice.random() < 0.3
        self.state.reservations.move_worker(worker, self.workspace, self.activity(), reject=reject)
        channel = self.dice.choice(list(worker.channels.values()))
        self.state.provisioning.update_worker_channel(self.workspace, channel, capacity=self.dice.choice([0, 1, 2, 3]))

    def wait(self) -> None:
        self.state.advance(self.dice.choice([1, 5, 20, 90]))

    def change(self) -> None:
        if self.workspace.tasks:
            task = self.dice.choice(list(self.workspace.tasks.values()))
            self.state.tasks.update_task(task, priority=self.dice.randrange(9), virtual_start_time=NOON)
        queue = self.dice.choice(list(self.workspace.task_queues.values()))
        self.state.tasks.reorder_queue(
            self.workspace,
            queue,
            task_order=self.dice.choice(["FIFO", "LIFO", None]),
            max_reserved_workers=self.dice.choice([1, 2, None]),
        )
        if self.dice.random() < 0.1:
            self.state.provisioning.update_workflow(self.workspace, self.workflow, re_evaluate_tasks=True)

    def end(self) -> None:
        if not self.workspace.tasks:
            return
        task = self.dice.choice(list(self.workspace.tasks.values()))
        status = self.dice.choice(["canceled", "wrapping", "completed", None, "hangup"])
        if status is None:
            self.state.tasks.delete_task(task)
        elif status == "hangup":
            self.state.reservations.hang_up(task)
        else:
            self.state.tasks.update_task(task, assignment_status=status, reason="test")

    def check(self) -> None:
        queued = [task.sid for task in self.state.transitions.backlog(self.workspace).waiting]
        assert len(queued) == len(set(queued)), "no task is in two groups"
        for task in self.workspace.tasks.values():
            self.check_task(task)
            assert (task.sid in queued) == (task.needs_worker and task.task_queue is not None)
        for worker in self.workspace.workers.values():
            mine = {
                one.sid
                for task in self.workspace.tasks.values()
                for one in task.reservations.values()
                if one.worker is worker and one.status in OPEN
            }
            assert set(worker.open_reservations) == mine
            by_channel = [sid for channel in worker.channels.values() for sid in channel.open_reservations]
            assert sorted(by_channel) == sorted(mine)

    def check_task(self, task: Any) -> None:
        states = [one.status for one in task.open_reservations]
        accepted = states.count(ReservationStatus.ACCEPTED) + states.count(ReservationStatus.WRAPPING)
        assert accepted <= 1, "nobody shares a task"
        assert len({one.worker.sid for one in task.open_reservations}) == len(states), "nobody is reserved twice"
        match task.status:
            case TaskStatus.PENDING:
                assert states == []
            case TaskStatus.RESERVED:
                assert states
            case TaskStatus.ASSIGNED:
                assert states == [ReservationStatus.ACCEPTED]
            case TaskStatus.WRAPPING:
                assert states == [ReservationStatus.WRAPPING]
            case _:
                assert states == []
        if task.needs_worker and task.task_queue is not None:
            assert next_worker(self.workspace, task) is None, "whoever can be reserved has been"


@pytest.mark.parametrize("seed", range(30))
def test_whatever_happens_some_things_are_always_true(seed: int) -> None:
    centre = Centre(seed)
    for _ in range(250):
        centre.step()
        centre.check()
    assert centre.state.log.entries("reservation_accepted"), "a life in which nothing happens proves nothing"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(STEPS[0])), inner, max_size=3),
    max_leaves=6,
)
_MEMBERS = ["queue", "priority", "timeout", "expression", "order_by", "skip_if", "known_worker_sid", "colour"]
_TARGETS = st.dictionaries(st.sampled_from(_MEMBERS), _JSON, max_size=4)
_FILTERS = st.dictionaries(
    st.sampled_from(["expression", "targets", "filter_friendly_name"]), _JSON | st.lists(_TARGETS, max_size=2)
)


@given(filters=_JSON | st.lists(_FILTERS, max_size=2), default=_JSON | _TARGETS)
def test_a_configuration_is_read_or_refused(filters: Any, default: Any) -> None:
    with suppress(ApiError):
        workflow_configuration.read(json.dumps({"task_routing": {"filters": filters, "default_filter": default}}))


_WORDS = st.sampled_from(
    [
        *("a", "a.b[0]", "worker.level", '"x"', "'", "1", "-2.5", "null", "TRUE"),
        *("==", "<-", ">-", "HAS", "NOT", "IN", "AND", "OR", "(", ")", "[", "]", ","),
        *("9" * 5000, "a[" + "9" * 5000 + "]", "²", "\ud83d"),
    ]
)


@given(words=st.lists(_WORDS, max_size=9), glue=st.sampled_from(["", " "]))
def test_an_expression_is_understood_or_refused(words: Any, glue: Any) -> None:
    scope = {"a": {"b": ["x", 3]}, "worker": {"level": 10**400}}
    with suppress(expressions.MalformedExpression):
        expressions.parse(glue.join(words))(scope)


@given(
    answer=_JSON
    | st.dictionaries(st.sampled_from(["instruction", "timeout", "accept", "to"]), _JSON | st.just("9" * 5000))
)
def test_any_answer_is_read(answer: Any) -> None:
    interpret_response(200, "application/json", json.dumps(answer))
