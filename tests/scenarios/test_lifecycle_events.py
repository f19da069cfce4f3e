"""Events in order at one service, shuffled and doubled at another: both end in the same state."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from enrich.customers.store import CustomerStore
from enrich.journal.task_states import TaskStates
from enrich.taskrouter.endpoints import NEEDED_EVENTS
from taskrouter_emulator import EmulatorServer
from tests.support.contact_centre import ContactCentre, Service, sid
from tests.support.worker import services_of, worker_of

RINGS_S = 30
EVENTS = ",".join(sorted(NEEDED_EVENTS))


@pytest.fixture
def emulator(emulator_ahead: EmulatorServer) -> EmulatorServer:
    return emulator_ahead


def work_on(service: Service) -> None:
    with worker_of(service, later=timedelta(seconds=10)) as work:
        work()


def end_state(service: Service, task_sid: str) -> Any:
    state = TaskStates(service.database).of(task_sid)
    kept = CustomerStore(service.database).interactions_of("C-1001", at_most=1000)
    return (
        state and (state.misses, state.canceled, state.assignments, state.alarm, state.ended_at is not None),
        [each for each in kept if each.task_sid == task_sid],
    )


@pytest.mark.parametrize("chance", [1, 2])
def test_shuffled_and_doubled(
    open_centre: Callable[..., ContactCentre],
    start_service: Callable[..., Service],
    emulator: EmulatorServer,
    make_callback: Callable[..., dict[str, str]],
    chance: int,
) -> None:
    settings = {"TASKROUTER_BASE_URL": emulator.base_url, "ENRICH_DEFAULT_INSTRUCTION": "defer"}
    told = start_service(**settings)
    centre = open_centre(told, reservation_timeout_s=RINGS_S, events=EVENTS)
    available = next(each.sid for each in centre.workspace.activities.list() if each.available)
    centre.workspace.update(timeout_activity_sid=available)
    began = datetime.now(UTC) - timedelta(hours=1)

    task_sid = centre.task_arrives({"from": "+14155550100"})
    centre.answer(task_sid)
    for _ in range(2):
        before = centre.emulator.log.last
        centre.emulator.state.advance(RINGS_S + 1)
        centre.emulator.log.wait_for("assignment_callback_answered", 10, after=before, task_sid=task_sid)
    reservations = centre.workspace.tasks(task_sid).reservations
    reservations(reservations.list(reservation_status="pending")[0].sid).update(reservation_status="accepted")
    centre.workspace.tasks(task_sid).update(assignment_status="wrapping")
    centre.workspace.tasks(task_sid).update(assignment_status="completed", reason="done")
    centre.emulator.log.wait_for("event_answered", 10, task_sid=task_sid, event_type="task.completed")
    work_on(told)

    later = centre.emulator.clock.now() + timedelta(hours=1)
    with services_of(told) as services:
        pages = list(services.adapters.taskrouter.list_events(centre.workspace_sid, began, later, timeout_s=10))
    events = [event for page in pages for event in page if event and event.form.get("TaskSid") == task_sid]
    assert {"task.created", "reservation.timeout", "reservation.accepted", "task.completed"} <= {
        event.form["EventType"] for event in events
    }
    other = start_service(**settings, ENRICH_KEEP_DAYS="40")
    # Whose task it is, the other one hears as well: from a callback that comes when the task is over already.
    callback = make_callback(WorkspaceSid=centre.workspace_sid, TaskSid=task_sid)
    other.post("/taskrouter/assignment", callback)
    forms = [dict(each.form) for each in events] * 2
    random.Random(chance).shuffle(forms)
    for number, form in enumerate(forms):
        assert other.post("/taskrouter/events", form).status_code == 204
        if number % 7 == 0:
            work_on(other)
    work_on(other)
    state, history = end_state(told, task_sid)
    assert end_state(other, task_sid) == end_state(told, task_sid)
    assert state == (2, 0, 2, "", True)
    assert [(each.worker_name, each.reason) for each in history] == [("dana", "done")]


def test_an_unknown_event_is_kept_and_causes_nothing(service: Service) -> None:
    task_sid = sid("WT")
    form = {"Sid": sid("EV"), "EventType": "task.sang-a-song", "TaskSid": task_sid, "WorkspaceSid": sid("WS")}
    assert service.post("/taskrouter/events", form).status_code == 204
    assert [entry.event_type for entry in service.entries(task_sid=task_sid)] == ["task.sang-a-song"]
    assert service.owed(task_sid) == []
