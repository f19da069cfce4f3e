"""A workspace without an event callback: its events come by Event Streams, from the emulator to the shipped service."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from twilio.rest import Client

from enrich.demo import workplace
from enrich.taskrouter.endpoints import EVENT_STREAMS, EVENTS, NEEDED_EVENTS
from taskrouter_emulator import EMULATOR_ONLY, EmulatorServer
from tests.support.app import run_command
from tests.support.contact_centre import ContactCentre, Service
from tests.support.event_sinks import TASKROUTER, types_of
from tests.support.worker import app_of, worker_of

FILE = """
[workspace]
name = "Streamed"
events = false
event_stream = true

[[queues]]
name = "Everyone"
workers = "1==1"

[[workers]]
name = "dana"
activity = "Offline"
attributes = { contact_uri = "client:dana" }
capacity = { default = 50 }

[[workflows]]
name = "All"
reservation_timeout_s = 120
default = "Everyone"
"""


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorServer]:
    """An account of its own: a sink gets the events of every workspace in its account."""
    with EmulatorServer() as emulator:
        yield emulator


@pytest.fixture(scope="module")
def workspaces(emulator: EmulatorServer) -> Any:
    client = Client(EMULATOR_ONLY.account_sid, EMULATOR_ONLY.auth_token)
    client.taskrouter.base_url = emulator.base_url
    return client.taskrouter.v1.workspaces


@pytest.fixture(scope="module")
def workspace(workspaces: Any) -> Any:
    return workspaces(workspaces.create(friendly_name="Streamed").sid)


@pytest.fixture(scope="module")
def service(emulator: EmulatorServer, workspace: Any, start_service: Callable[..., Service]) -> Service:
    """The service of this workspace alone."""
    return start_service(
        TASKROUTER_BASE_URL=emulator.base_url,
        TWILIO_EVENTS_BASE_URL=emulator.base_url,
        TWILIO_WORKSPACE_SID=workspace.fetch().sid,
    )


@pytest.fixture(scope="module")
def centre(
    emulator: EmulatorServer, workspace: Any, service: Service, tmp_path_factory: pytest.TempPathFactory
) -> ContactCentre:
    """The workspace, set up by `flask taskrouter provision`; its worker is away."""
    file: Path = tmp_path_factory.mktemp("streamed") / "taskrouter.toml"
    file.write_text(FILE)
    with app_of(service) as app:
        status, output = run_command(app, "taskrouter", "provision", str(file))
    assert status == 0, output
    return ContactCentre(emulator, workspace, workspace.fetch().sid, workspace.workers.list()[0].sid)


@pytest.fixture
def waiting_task(centre: ContactCentre) -> Iterator[str]:
    """A task of a known customer whose first events have been delivered; it is gone after the test."""
    set_available(centre, is_available=False)
    task_sid = centre.task_arrives({"from": "+14155550100"})
    centre.emulator.deliveries.wait_until_idle(10)
    yield task_sid
    centre.workspace.tasks(task_sid).delete()


def set_available(centre: ContactCentre, *, is_available: bool) -> None:
    activity = next(each.sid for each in centre.workspace.activities.list() if each.available is is_available)
    centre.workspace.workers(centre.worker_sid).update(activity_sid=activity)


def past_events(centre: ContactCentre, task_sid: str) -> dict[str, str]:
    """Return TaskRouter's own record of the task's events, as far as the service works with them: type by SID."""
    events = centre.workspace.events.list(task_sid=task_sid)
    return {event.sid: event.event_type for event in events if event.event_type in NEEDED_EVENTS}


def event_callbacks(centre: ContactCentre, task_sid: str) -> list[Any]:
    return [sent for sent in centre.emulator.deliveries.records("event") if sent.parameters.get("TaskSid") == task_sid]


def recorded_events(service: Service, task_sid: str) -> list[Any]:
    return service.entries(task_sid=task_sid, kind="event")


def counted(service: Service, result: str) -> float:
    """Return how many events have had this result."""
    token = {"Authorization": f"Bearer {service.environment['METRICS_TOKEN']}"}
    lines = requests.get(f"{service.url}/metrics", headers=token, timeout=5).text.splitlines()
    found = (line for line in lines if line.startswith("enrich_events_total") and f'result="{result}"' in line)
    return sum(float(line.rpartition(" ")[2]) for line in found)


def test_a_task_from_its_creation_to_its_end(centre: ContactCentre, service: Service, waiting_task: str) -> None:
    assert not centre.workspace.fetch().event_callback_url
    with worker_of(service) as work:
        work()
    assert centre.block(waiting_task)["customer_id"] == "C-1001"

    before = centre.emulator.log.last
    set_available(centre, is_available=True)
    assert centre.answer(waiting_task, after=before) == {"instruction": "accept"}
    centre.emulator.log.wait_for("reservation_accepted", 10, after=before, task_sid=waiting_task)
    asked = [entry["path"] for entry in centre.emulator.log.entries("rest_answered", after=before)]
    assert not [path for path in asked if waiting_task in path], "a warm task is not fetched again"

    centre.workspace.tasks(waiting_task).update(assignment_status="completed", reason="done")
    centre.emulator.deliveries.wait_until_idle(10)
    past, recorded = past_events(centre, waiting_task), recorded_events(service, waiting_task)
    assert {"task.created", "reservation.accepted", "reservation.completed", "task.completed"} <= set(past.values())
    assert {entry.delivery_key: entry.event_type for entry in recorded} == past
    assert {entry.reason for entry in recorded} == {"event_stream"}
    assert event_callbacks(centre, waiting_task) == []
    kinds = [entry.kind for entry in service.entries(task_sid=waiting_task) if entry.kind in ("warm", "assignment")]
    assert kinds == ["warm", "assignment"]


def test_an_event_that_comes_by_both_ways_is_recorded_once(centre: ContactCentre, service: Service) -> None:
    set_available(centre, is_available=False)
    events_filter = ",".join(sorted(NEEDED_EVENTS))
    centre.workspace.update(event_callback_url=service.url + EVENTS, events_filter=events_filter)
    try:
        task_sid = centre.task_arrives({"from": "+14155550100"})
        centre.workspace.tasks(task_sid).delete()
        centre.emulator.deliveries.wait_until_idle(10)
    finally:
        centre.workspace.update(event_callback_url="")
    callbacks = event_callbacks(centre, task_sid)
    streamed = [sent for sent in centre.emulator.deliveries.records("stream") if task_sid in sent.body]
    assert {sent.status for sent in callbacks + streamed} == {204}
    recorded = recorded_events(service, task_sid)
    assert {entry.delivery_key for entry in recorded} == {sent.parameters["Sid"] for sent in callbacks}
    assert all(any(entry.delivery_key in sent.body for sent in streamed) for entry in recorded)
    assert sorted(entry.event_type for entry in recorded) == ["task.created", "task.deleted"]


def test_events_of_another_workspace_are_counted_and_taken(
    centre: ContactCentre, service: Service, workspaces: Any
) -> None:
    before = counted(service, "other_workspace")
    theirs = workspaces(workspaces.create(friendly_name="Theirs").sid)
    queue = theirs.task_queues.create(friendly_name="Everyone", target_workers="1==1")
    routing = f'{{"task_routing": {{"default_filter": {{"queue": "{queue.sid}"}}}}}}'
    theirs.workflows.create(friendly_name="All", configuration=routing)
    task_sid = theirs.tasks.create(attributes='{"from":"+14155550100"}').sid
    centre.emulator.deliveries.wait_until_idle(10)
    (sent,) = [sent for sent in centre.emulator.deliveries.records("stream") if task_sid in sent.body]
    assert sent.status == 204
    assert service.entries(task_sid=task_sid) == []
    assert counted(service, "other_workspace") == before + sent.body.count('"specversion"')


def test_the_demos_file_can_choose_event_streams(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file, url = tmp_path / "workplace.toml", "http://127.0.0.1:9"
    file.write_text(re.sub("^# (event)", r"\1", workplace.SETUP.read_text(), flags=re.MULTILINE))
    monkeypatch.setattr(workplace, "SETUP", file)
    with EmulatorServer() as emulator:
        workplace.Workplace(emulator.base_url, *EMULATOR_ONLY).set_up(url)
        assert types_of(emulator, url + EVENT_STREAMS) == sorted(TASKROUTER + each for each in NEEDED_EVENTS)
        (workspace,) = emulator.state.workspaces.values()
        assert not workspace.event_callback_url
