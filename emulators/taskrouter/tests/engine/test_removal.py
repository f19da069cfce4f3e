"""DELETE: resources in use stay, with a message about the use; others are deleted."""

import json
from typing import Any

import pytest
from requests import Session
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

from support.workspace_driver import WorkspaceDriver


def refusal(delete: Any) -> Any:
    """Return the message with which this deletion is refused."""
    with pytest.raises(TwilioRestException) as caught:
        delete()
    assert (caught.value.status, caught.value.code) == (400, 20001)
    return caught.value.msg


def is_gone(context: Any) -> Any:
    with pytest.raises(TwilioRestException) as caught:
        context.fetch()
    return (caught.value.status, caught.value.code) == (404, 20404)


def events(driver: WorkspaceDriver, event_type: str) -> Any:
    return [event.resource_sid for event in driver.workspace.events.list(event_type=event_type)]


def test_an_activity_goes_when_nobody_is_in_it(driver: WorkspaceDriver) -> None:
    lunch = driver.workspace.activities(driver.workspace.activities.create(friendly_name="Lunch").fetch().sid)
    worker = driver.workspace.workers(driver.worker())
    worker.update(activity_sid=lunch.fetch().sid)
    assert "a worker is in it" in refusal(lunch.delete)
    worker.update(activity_sid=driver.activities["Offline"])
    sid = lunch.fetch().sid
    assert lunch.delete()
    assert is_gone(lunch)
    assert events(driver, "activity.deleted") == [sid]


def test_the_activities_that_something_names_stay(driver: WorkspaceDriver) -> None:
    busy = driver.workspace.activities.create(friendly_name="Busy")
    driver.workspace.task_queues.create(friendly_name="Old", assignment_activity_sid=busy.sid)
    assert "names it" in refusal(driver.workspace.activities(busy.sid).delete)
    assert "default" in refusal(driver.workspace.activities(driver.activities["Offline"]).delete)


def test_a_task_channel_goes_from_the_workers_too(driver: WorkspaceDriver) -> None:
    worker = driver.workspace.workers(driver.worker())
    task_sid = driver.task(task_channel="video")
    assert "there are tasks on it" in refusal(driver.workspace.task_channels("video").delete)
    driver.workspace.tasks(task_sid).update(assignment_status="canceled", reason="test")
    assert driver.workspace.task_channels("video").delete()
    assert {one.task_channel_unique_name for one in worker.worker_channels.list()} == {
        "default",
        "voice",
        "sms",
        "chat",
    }
    assert "without a channel" in refusal(driver.workspace.task_channels("default").delete)


def test_a_queue_goes_when_no_workflow_names_it_and_no_task_waits_in_it(driver: WorkspaceDriver) -> None:
    other = driver.workspace.task_queues.create(friendly_name="Other")
    task_sid = driver.task(task_queue_sid=other.sid)
    everybody, other = driver.workspace.task_queues(driver.queue_sid), driver.workspace.task_queues(other.sid)
    assert "names it" in refusal(everybody.delete)
    assert "there are tasks in it" in refusal(other.delete)
    driver.workspace.tasks(task_sid).delete()
    assert other.delete()
    assert is_gone(other)


def test_a_workflow_goes_when_its_tasks_are_over(driver: WorkspaceDriver) -> None:
    workflow = driver.workspace.workflows(driver.workflow_sid)
    task_sid = driver.task()
    assert "there are tasks in it" in refusal(workflow.delete)
    driver.workspace.tasks(task_sid).update(assignment_status="canceled", reason="test")
    assert workflow.delete()
    assert is_gone(workflow)
    assert driver.workspace.tasks(task_sid).fetch().workflow_friendly_name == "Main", "what is over keeps its names"


def test_a_worker_goes_when_unavailable_and_without_reservations(driver: WorkspaceDriver, http: Session) -> None:
    worker = driver.workspace.workers(driver.worker())
    task_sid = driver.task()
    assert "the worker has reservations" in refusal(worker.delete)
    driver.workspace.tasks(task_sid).delete()
    assert "unavailable activity first" in refusal(worker.delete)
    worker.update(activity_sid=driver.activities["Offline"])
    fetched = worker.fetch_with_http_info()
    assert http.delete(fetched.data.url, headers={"If-Match": "0"}).status_code == 412
    assert http.delete(fetched.data.url, headers={"If-Match": fetched.headers["ETag"]}).status_code == 204
    assert is_gone(worker)
    assert events(driver, "worker.deleted") == [fetched.data.sid]


def test_a_workspace_goes_with_everything_in_it(driver: WorkspaceDriver, client: Client) -> None:
    driver.worker()
    task_sid = driver.task()
    assert driver.status(task_sid) == "reserved"
    assert driver.workspace.delete()
    assert is_gone(driver.workspace)
    assert client.taskrouter.v1.workspaces.list() == []
    before = len(driver.emulator.log.entries())
    driver.emulator.state.advance(86_400)
    assert driver.kinds("reservation_created") == ["reservation_created"], "nobody is reserved for what is gone"
    assert len(driver.emulator.log.entries()) <= before + 5


def test_a_workspace_is_made_from_nothing_by_the_old_template(client: Client) -> None:
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
