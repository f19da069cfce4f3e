"""DELETE: what is used stays, with a sentence about the use; what is not is gone."""

import json

import pytest
from twilio.base.exceptions import TwilioRestException


def refusal(delete):
    """The sentence with which this deletion is refused."""
    with pytest.raises(TwilioRestException) as caught:
        delete()
    assert (caught.value.status, caught.value.code) == (400, 20001)
    return caught.value.msg


def is_gone(context):
    with pytest.raises(TwilioRestException) as caught:
        context.fetch()
    return (caught.value.status, caught.value.code) == (404, 20404)


def events(desk, event_type):
    return [event.resource_sid for event in desk.workspace.events.list(event_type=event_type)]


def test_an_activity_goes_when_nobody_is_in_it(desk):
    lunch = desk.workspace.activities(desk.workspace.activities.create(friendly_name="Lunch").fetch().sid)
    worker = desk.workspace.workers(desk.worker())
    worker.update(activity_sid=lunch.fetch().sid)
    assert "a worker is in it" in refusal(lunch.delete)
    worker.update(activity_sid=desk.activities["Offline"])
    sid = lunch.fetch().sid
    assert lunch.delete()
    assert is_gone(lunch)
    assert events(desk, "activity.deleted") == [sid]


def test_the_activities_that_something_names_stay(desk):
    busy = desk.workspace.activities.create(friendly_name="Busy")
    desk.workspace.task_queues.create(friendly_name="Old", assignment_activity_sid=busy.sid)
    assert "names it" in refusal(desk.workspace.activities(busy.sid).delete)
    assert "default" in refusal(desk.workspace.activities(desk.activities["Offline"]).delete)


def test_a_task_channel_goes_from_the_workers_too(desk):
    worker = desk.workspace.workers(desk.worker())
    task_sid = desk.task(task_channel="video")
    assert "there are tasks on it" in refusal(desk.workspace.task_channels("video").delete)
    desk.workspace.tasks(task_sid).update(assignment_status="canceled", reason="test")
    assert desk.workspace.task_channels("video").delete()
    assert {one.task_channel_unique_name for one in worker.worker_channels.list()} == {
        "default",
        "voice",
        "sms",
        "chat",
    }
    assert "without a channel" in refusal(desk.workspace.task_channels("default").delete)


def test_a_queue_goes_when_no_workflow_names_it_and_no_task_waits_in_it(desk):
    other = desk.workspace.task_queues.create(friendly_name="Other")
    task_sid = desk.task(task_queue_sid=other.sid)
    everybody, other = desk.workspace.task_queues(desk.queue_sid), desk.workspace.task_queues(other.sid)
    assert "names it" in refusal(everybody.delete)
    assert "there are tasks in it" in refusal(other.delete)
    desk.workspace.tasks(task_sid).delete()
    assert other.delete()
    assert is_gone(other)


def test_a_workflow_goes_when_its_tasks_are_over(desk):
    workflow = desk.workspace.workflows(desk.workflow_sid)
    task_sid = desk.task()
    assert "there are tasks in it" in refusal(workflow.delete)
    desk.workspace.tasks(task_sid).update(assignment_status="canceled", reason="test")
    assert workflow.delete()
    assert is_gone(workflow)
    assert desk.workspace.tasks(task_sid).fetch().workflow_friendly_name == "Main", "what is over keeps its names"


def test_a_worker_goes_when_unavailable_and_without_reservations(desk, http):
    worker = desk.workspace.workers(desk.worker())
    task_sid = desk.task()
    assert "the worker has reservations" in refusal(worker.delete)
    desk.workspace.tasks(task_sid).delete()
    assert "unavailable activity first" in refusal(worker.delete)
    worker.update(activity_sid=desk.activities["Offline"])
    fetched = worker.fetch_with_http_info()
    assert http.delete(fetched.data.url, headers={"If-Match": "0"}).status_code == 412
    assert http.delete(fetched.data.url, headers={"If-Match": fetched.headers["ETag"]}).status_code == 204
    assert is_gone(worker)
    assert events(desk, "worker.deleted") == [fetched.data.sid]


def test_a_workspace_goes_with_everything_in_it(desk, client):
    desk.worker()
    task_sid = desk.task()
    assert desk.status(task_sid) == "reserved"
    assert desk.workspace.delete()
    assert is_gone(desk.workspace)
    assert client.taskrouter.v1.workspaces.list() == []
    before = len(desk.emulator.log.entries())
    desk.emulator.state.advance(86_400)
    assert desk.kinds("reservation_created") == ["reservation_created"], "nobody is reserved for what is gone"
    assert len(desk.emulator.log.entries()) <= before + 5


def test_a_workspace_is_made_from_nothing_by_the_old_template(client):
    made = client.taskrouter.v1.workspaces.create(friendly_name="Old", template="FIFO")
    workspace = client.taskrouter.v1.workspaces(made.sid)
    assert [activity.friendly_name for activity in workspace.activities.list()] == [
        "Offline",
        "Idle",
        "Busy",
        "Reserved",
    ]
    [queue], [workflow] = workspace.task_queues.list(), workspace.workflows.list()
    assert (queue.reservation_activity_name, queue.assignment_activity_name) == ("Reserved", "Busy")
    assert json.loads(workflow.configuration)["task_routing"]["default_filter"] == {"queue": queue.sid}
    assert workspace.tasks.create(attributes="{}").task_queue_friendly_name == queue.friendly_name
