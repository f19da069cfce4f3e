"""Event callbacks in their recorded spelling, the filter, and the Events resource."""

import json

import pytest
from twilio.base.exceptions import TwilioException
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
    desk.set_reservation_status()
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


def test_every_other_event_is_held_back_by_switch(desk, listened, receiver):
    desk.workspace.update(events_filter="task.created")
    desk.emulator.deliveries.wait_until_idle()
    receiver.received.clear()
    desk.emulator.switches.swapped_events = True
    first, second, third = (desk.task() for _ in range(3))
    desk.emulator.deliveries.wait_until_idle()
    assert [one.form["TaskSid"] for one in receiver.on("/events")] == [second, first]
    desk.emulator.state.advance(1)
    desk.emulator.deliveries.wait_until_idle()
    assert [one.form["TaskSid"] for one in receiver.on("/events")] == [second, first, third]


def test_events_are_sent_twice_by_switch(desk, listened, receiver):
    desk.emulator.switches.duplicate_events = True
    desk.task()
    first, again = listened("task.created")
    assert first == again
    tokens = {one.headers["i-twilio-idempotency-token"] for one in receiver.on("/events") if one.form == first}
    assert len(tokens) == 1


def test_lost_events_can_be_caught_up_with(desk, listened):
    desk.emulator.switches.lost_events = True
    task_sid = desk.task()
    assert listened("task.created") == []
    assert [event.resource_sid for event in desk.workspace.events.list(event_type="task.created")] == [task_sid]
    assert desk.emulator.log.entries("event_lost", event_type="task.created")[0]["task_sid"] == task_sid


def test_what_is_set_up_is_told_too(desk, listened):
    workspace = desk.workspace
    activity = workspace.activities.create(friendly_name="Lunch", available=True)
    workspace.activities(activity.sid).update(friendly_name="Break")
    channel = workspace.task_channels.create(friendly_name="E-mail", unique_name="email")
    queue = workspace.task_queues.create(friendly_name="Gold")
    workspace.task_queues(queue.sid).update(target_workers="tier == 1")
    workspace.workflows(desk.workflow_sid).update(friendly_name="Primary")
    worker = workspace.workers(desk.worker())
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


def test_a_filter_for_what_never_happens_is_an_alert(desk):
    desk.workspace.update(events_filter="task.created,task.create,worker.activity")
    [alert] = desk.emulator.log.entries("alert")
    assert "task.create, worker.activity" in alert["message"]


@pytest.mark.parametrize("filters", [{"sid": "EV1"}, {"task_sid": "WT1"}, {"worker_sid": "WT" + "1" * 32}])
def test_the_events_resource_refuses_malformed_sids(desk, filters):
    with pytest.raises(TwilioException, match=r'400 \{"code":20001'):
        desk.workspace.events.list(**filters)


def test_an_event_points_at_what_it_is_about(desk, http):
    desk.worker()
    desk.task()
    for event in desk.workspace.events.list():
        assert http.get(event.resource_url).json()["sid"] == event.resource_sid, event.event_type
