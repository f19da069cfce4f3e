"""Event callbacks in their recorded spelling, the filter, and the Events resource."""

import json

import pytest
from twilio.request_validator import RequestValidator


@pytest.fixture
def listened(desk, receiver):
    """The workspace sends its events to the receiver; gives the forms of one kind once they are there."""
    desk.workspace.update(event_callback_url=receiver.answer("/events", "", status=204))

    def forms(event_type):
        desk.emulator.deliveries.wait_until_idle()
        return [one.form for one in receiver.on("/events") if one.form["EventType"] == event_type]

    return forms


def test_task_created_says_what_was_recorded(desk, listened):
    task_sid = desk.task('{"name":"Zoë"}', priority=3, task_channel="chat")
    [form] = listened("task.created")
    assert form["Sid"].startswith("EV")
    chat = desk.workspace.task_channels("chat").fetch()
    assert {name: form[name] for name in form if name != "Sid"} == {
        "EventType": "task.created",
        "AccountSid": desk.emulator.account_sid,
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
        "TaskQueueSid": desk.queue_sid,
        "TaskQueueName": "Everybody",
        "TaskQueueTargetExpression": "1==1",
        "WorkflowSid": desk.workflow_sid,
        "WorkflowName": "Main",
    }


def test_reservation_timeout_comes_with_the_task_pending_again(desk, listened):
    worker_sid = desk.worker("dana")
    task_sid = desk.task()
    reservation_sid = desk.reservation(task_sid).sid
    desk.emulator.state.advance(120)
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


def test_a_whole_life_is_told_with_reasons(desk, listened):
    desk.worker()
    task_sid = desk.task()
    sid = desk.reservation(task_sid).sid
    task = desk.workspace.tasks(task_sid)
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
    canceled = desk.task()
    desk.workspace.tasks(canceled).update(assignment_status="canceled", reason="hangup")
    [form] = listened("task.canceled")
    assert (form["TaskSid"], form["TaskCanceledReason"]) == (canceled, "hangup")


def test_the_filter_lets_only_its_events_through(desk, listened, receiver):
    desk.workspace.update(events_filter="task.created, reservation.created")
    desk.emulator.deliveries.wait_until_idle()
    receiver.received.clear()
    desk.worker()
    desk.task()
    desk.emulator.deliveries.wait_until_idle()
    assert sorted(one.form["EventType"] for one in receiver.on("/events")) == ["reservation.created", "task.created"]


def test_events_are_signed_and_never_executed(desk, listened, receiver):
    receiver.answer("/events", {"instruction": "accept"})
    desk.worker()
    task_sid = desk.task()
    desk.settle()
    one = receiver.on("/events")[0]
    validator = RequestValidator(desk.emulator.auth_token)
    assert validator.validate(receiver.base_url + "/events", one.form, one.headers["x-twilio-signature"])
    assert desk.reservation(task_sid).reservation_status == "pending"
    sent = desk.emulator.log.entries("event_sent", event_type="reservation.created")
    assert sent[0]["task_sid"] == task_sid


def test_the_events_resource_lists_and_filters(desk):
    first, second = desk.task(), desk.task()
    created = desk.workspace.events.list(event_type="task.created")
    assert [event.resource_sid for event in created] == [first, second]
    [event] = desk.workspace.events.list(task_sid=second, event_type="task.created")
    data = event.event_data if isinstance(event.event_data, dict) else json.loads(event.event_data)
    assert (data["task_sid"], data["task_queue_name"], event.resource_type) == (second, "Everybody", "task")
    assert desk.workspace.events(event.sid).fetch().description == f"Task {second} created"
    desk.emulator.state.advance(16 * 60)
    assert desk.workspace.events.list() == []
    assert len(desk.workspace.events.list(minutes=20, event_type="task.created")) == 2
