"""Twilio's official Python SDK calls every operation, and the document has no other."""

import json
from typing import Any

import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

from support.openapi_contract import Contract
from support.workspace_driver import WorkspaceDriver
from taskrouter_emulator import EmulatorServer


def drive_everything(client: Client, emulator: EmulatorServer) -> None:  # noqa: PLR0915 - one story, every operation once
    """One small contact centre from an empty account to an empty account, through every operation of the API."""
    assert client.taskrouter.v1.workspaces.list() == []
    created = client.taskrouter.v1.workspaces.create(friendly_name="Support")
    workspace = client.taskrouter.v1.workspaces(created.sid)
    assert workspace.fetch().friendly_name == "Support"
    assert workspace.update(friendly_name="Help").friendly_name == "Help"

    lunch = workspace.activities.create(friendly_name="Lunch", available=False)
    assert workspace.activities(lunch.sid).update(friendly_name="Break").friendly_name == "Break"
    assert workspace.activities(lunch.sid).fetch().available is False
    activities = {activity.friendly_name: activity.sid for activity in workspace.activities.list()}

    email = workspace.task_channels.create(friendly_name="E-mail", unique_name="email")
    assert workspace.task_channels("email").update(channel_optimized_routing=True).channel_optimized_routing is True
    assert workspace.task_channels(email.sid).fetch().unique_name == "email"
    assert len(workspace.task_channels.list()) == 6

    queue = workspace.task_queues.create(friendly_name="Everybody", target_workers='skills HAS "post"')
    assert workspace.task_queues(queue.sid).update(max_reserved_workers=1).task_order == "FIFO"
    assert workspace.task_queues(queue.sid).fetch().target_workers == 'skills HAS "post"'
    assert [one.sid for one in workspace.task_queues.list(evaluate_worker_attributes='{"skills":["post"]}')] == [
        queue.sid
    ]
    assert workspace.task_queues.list(evaluate_worker_attributes="{}") == []

    routing = {"task_routing": {"default_filter": {"queue": queue.sid}}}
    workflow = workspace.workflows.create(friendly_name="Main", configuration=json.dumps(routing))
    assert workspace.workflows(workflow.sid).update(task_reservation_timeout=30).task_reservation_timeout == 30
    assert json.loads(workspace.workflows(workflow.sid).fetch().configuration) == routing
    assert [one.sid for one in workspace.workflows.list(friendly_name="Main")] == [workflow.sid]

    dana = workspace.workers.create(friendly_name="dana", attributes='{"skills":["post"]}')
    worker = workspace.workers(dana.sid)
    assert worker.fetch().activity_name == "Offline"
    assert worker.worker_channels("email").update(capacity=2).configured_capacity == 2
    assert worker.worker_channels(email.sid).fetch().available_capacity_percentage == 100
    assert len(worker.worker_channels.list()) == 6
    assert worker.update(activity_sid=activities["Available"]).available is True
    assert [one.sid for one in workspace.workers.list(ordering="FriendlyName:desc")] == [dana.sid]

    tasks = [workspace.tasks.create(attributes="{}", task_channel="email").sid for _ in range(2)]
    assert len(workspace.tasks.list(assignment_status="reserved")) == 2
    first, second = (workspace.tasks(sid) for sid in tasks)
    [reservation] = first.reservations.list()
    assert first.reservations(reservation.sid).fetch().worker_name == "dana"
    assert first.reservations(reservation.sid).update(reservation_status="accepted").reservation_status == "accepted"
    of_second = next(one for one in worker.reservations.list() if one.task_sid == tasks[1])
    assert worker.reservations(of_second.sid).update(reservation_status="rejected").reservation_status == "rejected"
    assert worker.reservations(of_second.sid).fetch().task_sid == tasks[1]
    assert first.update(assignment_status="completed", reason="done").reason == "done"
    assert second.delete()
    assert first.fetch().assignment_status == "completed"

    events = workspace.events.list(task_sid=tasks[0])
    assert {"task.created", "reservation.accepted", "task.completed"} <= {event.event_type for event in events}
    assert workspace.events(events[0].sid).fetch().event_type == events[0].event_type

    emulator.state.advance(300)
    worker.update(activity_sid=activities["Offline"])
    for used in (worker, workspace.workflows(workflow.sid), workspace.task_queues(queue.sid)):
        assert used.delete()
    assert workspace.task_channels("email").delete()
    assert workspace.activities(lunch.sid).delete()
    assert workspace.delete()
    assert client.taskrouter.v1.workspaces.list() == []


def test_the_python_sdk_drives_every_resource(client: Client, emulator: EmulatorServer) -> None:
    drive_everything(client, emulator)
    assert emulator.log.entries("parameters_ignored") == []
    assert emulator.log.entries("alert") == []


def test_that_was_every_operation_of_the_document(contract: Contract, client: Client, emulator: EmulatorServer) -> None:
    contract.seen.clear()
    drive_everything(client, emulator)
    assert {operation.id for operation in contract.operations} - contract.seen == set()


@pytest.mark.parametrize("what", ["statistics", "real_time_statistics", "cumulative_statistics"])
def test_statistics_are_not_emulated_and_say_so(driver: WorkspaceDriver, what: Any) -> None:
    with pytest.raises(TwilioRestException, match="Not emulated") as refused:
        getattr(driver.workspace, what)().fetch()
    assert (refused.value.status, refused.value.code) == (400, 20001)
