"""Event callbacks in their recorded spelling, the filter, and the Events resource."""

import json
from typing import Any

import pytest
from requests import Session
from twilio.base.exceptions import TwilioException
from twilio.request_validator import RequestValidator

from support.receiver import Receiver
from support.workspace_driver import WorkspaceDriver


@pytest.fixture
def listened(driver: WorkspaceDriver, receiver: Receiver) -> Any:
    """The workspace sends its events to the receiver; gives the forms of one kind once they are there."""
    driver.workspace.update(event_callback_url=receiver.answer("/events", "", status=204))

    def forms(event_type: str) -> Any:
        driver.emulator.deliveries.wait_until_idle()
        return [one.form for one in receiver.on("/events") if one.form["EventType"] == event_type]

    return forms


def test_task_created_says_what_was_recorded(driver: WorkspaceDriver, listened: Any) -> None:
    task_sid = driver.task('{"name":"Zoë"}', priority=3, task_channel="chat")
    [form] = listened("task.created")
    assert form["Sid"].startswith("EV")
    chat = driver.workspace.task_channels("chat").fetch()
    assert {name: form[name] for name in form if name != "Sid"} == {
        "EventType": "task.created",
        "AccountSid": driver.emulator.account_sid,
        "WorkspaceSid": chat.workspace_sid,
        "WorkspaceName": "Support",
        "EventDescription": f"Task {task_sid} created",
        "ResourceType": "task",
        "ResourceSid": task_sid,
        "Timestamp": "1767268800",
        "TimestampMs": "1767268800000",
        "TaskSid": task_sid,
        "TaskAttributes": '{"name":"Zoë"}',
        "TaskAge": "0",
        "TaskPriority": "3",
        "TaskAssignmentStatus": "pending",
        "TaskAddons": "{}",
        "TaskChannelSid": chat.sid,
        "TaskChannelUniqueName": "chat",
        "TaskQueueSid": driver.queue_sid,
        "TaskQueueName": "Everybody",
        "TaskQueueTargetExpression": "1==1",
        "WorkflowSid": driver.workflow_sid,
        "WorkflowName": "Main",
        "OperatingUnitSid": "OU" + "0" * 32,
        "TaskVersion": "0",
        "TaskTimeout": "86400",
        "TaskDateCreated": "2026-01-01T12:00:00Z",
        "TaskVirtualStartTime": "2026-01-01T12:00:00Z",
        "TaskQueueEnteredDate": "2026-01-01T12:00:00Z",
        "TaskAgeInQueue": "0",
    }


def test_reservation_timeout_comes_with_the_task_pending_again(driver: WorkspaceDriver, listened: Any) -> None:
    worker_sid = driver.worker("dana")
    task_sid = driver.task()
    reservation_sid = driver.reservation(task_sid).sid
    driver.emulator.state.advance(120)
    [form] = listened("reservation.timeout")
    wanted = {
        "ResourceType": "reservation",
        "ResourceSid": reservation_sid,
        "ReservationSid": reservation_sid,
        "TaskSid": task_sid,
        "TaskAssignmentStatus": "pending",
        "TaskAge": "120",
        "WorkerSid": worker_sid,
        "WorkerName": "dana",
        "WorkerAttributes": '{"contact_uri": "client:dana"}',
        "EventDescription": f"Reservation {reservation_sid} timed out",
    }
    assert {name: form[name] for name in wanted} == wanted
    [moved] = listened("worker.activity.update")
    assert (moved["WorkerPreviousActivityName"], moved["WorkerActivityName"]) == ("Available", "Offline")
    assert (moved["WorkerTimeInPreviousActivity"], moved["ResourceType"]) == ("120", "worker")


def test_a_whole_life_is_told_with_reasons(driver: WorkspaceDriver, listened: Any) -> None:
    driver.worker()
    task_sid = driver.task()
    sid = driver.reservation(task_sid).sid
    task = driver.workspace.tasks(task_sid)
    task.reservations(sid).update(reservation_status="accepted")
    task.update(attributes='{"case":"K-9"}')
    task.update(assignment_status="wrapping", reason="hung up")
    task.update(assignment_status="completed", reason="solved")
    for event_type in ("reservation.created", "reservation.accepted", "reservation.wrapup", "reservation.completed"):
        [form] = listened(event_type)
        assert (form["ReservationSid"], form["WorkerName"]) == (sid, "dana")
    [updated], [wrapping], [completed] = map(listened, ("task.updated", "task.wrapup", "task.completed"))
    assert updated["TaskAttributes"] == '{"case":"K-9"}'
    assert wrapping["TaskAssignmentStatus"] == "wrapping"
    assert (completed["TaskCompletedReason"], completed["WorkerName"]) == ("solved", "dana")
    assert "ReservationSid" not in completed
    canceled = driver.task()
    driver.workspace.tasks(canceled).update(assignment_status="canceled", reason="hangup")
    [form] = listened("task.canceled")
    assert (form["TaskSid"], form["TaskCanceledReason"]) == (canceled, "hangup")


def test_the_filter_lets_only_its_events_through(driver: WorkspaceDriver, listened: Any, receiver: Receiver) -> None:
    driver.workspace.update(events_filter="task.created, reservation.created")
    driver.emulator.deliveries.wait_until_idle()
    receiver.received.clear()
    driver.worker()
    driver.task()
    driver.emulator.deliveries.wait_until_idle()
    assert sorted(one.form["EventType"] for one in receiver.on("/events")) == ["reservation.created", "task.created"]


def test_events_are_signed_and_never_executed(driver: WorkspaceDriver, listened: Any, receiver: Receiver) -> None:
    receiver.answer("/events", {"instruction": "accept"})
    driver.worker()
    task_sid = driver.task()
    driver.settle()
    one = receiver.on("/events")[0]
    validator = RequestValidator(driver.emulator.auth_token)
    assert validator.validate(receiver.base_url + "/events", one.form, one.headers["x-twilio-signature"])
    assert driver.reservation(task_sid).reservation_status == "pending"
    sent = driver.emulator.log.entries("event_sent", event_type="reservation.created")
    assert sent[0]["task_sid"] == task_sid


def test_the_events_resource_lists_and_filters(driver: WorkspaceDriver) -> None:
    first, second = driver.task(), driver.task()
    created = driver.workspace.events.list(event_type="task.created")
    assert [event.resource_sid for event in created] == [first, second]
    [event] = driver.workspace.events.list(task_sid=second, event_type="task.created")
    data = event.event_data if isinstance(event.event_data, dict) else json.loads(event.event_data)
    assert (data["task_sid"], data["task_queue_name"], event.resource_type) == (second, "Everybody", "task")
    assert driver.workspace.events(event.sid).fetch().description == f"Task {second} created"
    driver.emulator.state.advance(16 * 60)
    assert driver.workspace.events.list() == []
    assert len(driver.workspace.events.list(minutes=20, event_type="task.created")) == 2


def test_every_other_event_is_held_back_by_switch(driver: WorkspaceDriver, listened: Any, receiver: Receiver) -> None:
    driver.workspace.update(events_filter="task.created")
    driver.emulator.deliveries.wait_until_idle()
    receiver.received.clear()
    driver.emulator.switches.swapped_events = True
    first, second, third = (driver.task() for _ in range(3))
    driver.emulator.deliveries.wait_until_idle()
    assert [one.form["TaskSid"] for one in receiver.on("/events")] == [second, first]
    driver.emulator.state.advance(1)
    driver.emulator.deliveries.wait_until_idle()
    assert [one.form["TaskSid"] for one in receiver.on("/events")] == [second, first, third]


def test_events_are_sent_twice_by_switch(driver: WorkspaceDriver, listened: Any, receiver: Receiver) -> None:
    driver.emulator.switches.duplicate_events = True
    driver.task()
    first, again = listened("task.created")
    assert first == again
    tokens = {one.headers["i-twilio-idempotency-token"] for one in receiver.on("/events") if one.form == first}
    assert len(tokens) == 1


def test_lost_events_can_be_caught_up_with(driver: WorkspaceDriver, listened: Any) -> None:
    driver.emulator.switches.lost_events = True
    task_sid = driver.task()
    assert listened("task.created") == []
    assert [event.resource_sid for event in driver.workspace.events.list(event_type="task.created")] == [task_sid]
    assert driver.emulator.log.entries("event_lost", event_type="task.created")[0]["task_sid"] == task_sid


def test_what_is_set_up_is_told_too(driver: WorkspaceDriver, listened: Any) -> None:
    workspace = driver.workspace
    activity = workspace.activities.create(friendly_name="Lunch", available=True)
    workspace.activities(activity.sid).update(friendly_name="Break")
    channel = workspace.task_channels.create(friendly_name="E-mail", unique_name="email")
    queue = workspace.task_queues.create(friendly_name="Gold")
    workspace.task_queues(queue.sid).update(target_workers="tier == 1")
    workspace.workflows(driver.workflow_sid).update(friendly_name="Primary")
    worker = workspace.workers(driver.worker())
    worker.worker_channels("email").update(capacity=4, available=False)
    told = {
        "activity.created": {"ActivitySid": activity.sid, "ActivityName": "Lunch", "ActivityAvailable": "true"},
        "activity.updated": {"ResourceSid": activity.sid, "ActivityName": "Break"},
        "task-channel.created": {"TaskChannelSid": channel.sid, "TaskChannelUniqueName": "email"},
        "task-queue.created": {"TaskQueueSid": queue.sid, "TaskQueueTargetExpression": "1==1"},
        "task-queue.expression.updated": {"TaskQueueTargetExpression": "tier == 1"},
        "workflow.updated": {"WorkflowName": "Primary"},
        "worker.created": {"WorkerName": "dana"},
        "worker.capacity.update": {"WorkerChannelPreviousCapacity": "1", "WorkerChannelAvailableCapacity": "4"},
        "worker.channel.availability.update": {"WorkerChannelAvailable": "false", "TaskChannelUniqueName": "email"},
    }
    for event_type, wanted in told.items():
        [form] = listened(event_type)
        assert {name: form.get(name) for name in wanted} == wanted, event_type
        assert form["ResourceType"] == event_type.partition(".")[0]


def test_a_filter_for_what_never_happens_is_an_alert(driver: WorkspaceDriver) -> None:
    driver.workspace.update(events_filter="task.created,task.create,worker.activity")
    [alert] = driver.emulator.log.entries("alert")
    assert "task.create, worker.activity" in alert["message"]


@pytest.mark.parametrize("filters", [{"sid": "EV1"}, {"task_sid": "WT1"}, {"worker_sid": "WT" + "1" * 32}])
def test_the_events_resource_refuses_malformed_sids(driver: WorkspaceDriver, filters: Any) -> None:
    with pytest.raises(TwilioException, match=r'400 \{"code":20001'):
        driver.workspace.events.list(**filters)


def test_an_event_points_at_what_it_is_about(driver: WorkspaceDriver, http: Session) -> None:
    driver.worker()
    driver.task()
    for event in driver.workspace.events.list():
        assert http.get(event.resource_url).json()["sid"] == event.resource_sid, event.event_type
