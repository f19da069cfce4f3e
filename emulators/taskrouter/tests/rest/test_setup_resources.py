"""Workspaces, activities, channels, queues, workflows and workers: created, fetched, changed and listed by the SDK."""

import json
from typing import Any

import pytest
from requests import Session
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

from support.workspace_driver import WorkspaceDriver
from taskrouter_emulator import EmulatorServer


def refusal(call: Any, *arguments: Any, **parameters: Any) -> Any:
    """Return status and code with which this call is refused."""
    with pytest.raises(TwilioRestException) as caught:
        call(*arguments, **parameters)
    return caught.value.status, caught.value.code


def configuration(*filters: Any, default: Any = None) -> Any:
    return json.dumps({"task_routing": {"filters": list(filters), "default_filter": default}})


def test_a_new_workspace_has_twilios_default_activities_and_channels(client: Client) -> None:
    workspace = client.taskrouter.v1.workspaces.create(friendly_name="Support")
    context = client.taskrouter.v1.workspaces(workspace.sid)
    activities = {activity.friendly_name: activity.available for activity in context.activities.list()}
    assert activities == {"Offline": False, "Unavailable": False, "Available": True}
    channels = {channel.unique_name for channel in context.task_channels.list()}
    assert channels == {"default", "voice", "sms", "chat", "video"}
    assert (workspace.default_activity_name, workspace.timeout_activity_name) == ("Offline", "Offline")
    assert workspace.multi_task_enabled is True
    assert workspace.date_created.isoformat() == "2026-01-01T12:00:00+00:00"


def test_a_workspace_is_updated_found_by_name_and_keeps_the_rest(client: Client, driver: WorkspaceDriver) -> None:
    available = driver.activities["Available"]
    driver.workspace.update(event_callback_url="http://127.0.0.1:1/events", timeout_activity_sid=available)
    updated = driver.workspace.update(events_filter="task.created")
    assert updated.event_callback_url == "http://127.0.0.1:1/events"
    assert (updated.events_filter, updated.timeout_activity_name) == ("task.created", "Available")
    found = client.taskrouter.v1.workspaces.list(friendly_name="Support")
    assert [workspace.sid for workspace in found] == [updated.sid]
    assert client.taskrouter.v1.workspaces.list(friendly_name="Sales") == []
    assert driver.workspace.update(event_callback_url="").event_callback_url is None


def test_activities_are_created_renamed_and_filtered(driver: WorkspaceDriver) -> None:
    lunch = driver.workspace.activities.create(friendly_name="Lunch")
    assert (lunch.available, driver.workspace.activities(lunch.sid).fetch().friendly_name) == (False, "Lunch")
    assert driver.workspace.activities(lunch.sid).update(friendly_name="Break").friendly_name == "Break"
    assert [activity.friendly_name for activity in driver.workspace.activities.list(available="true")] == ["Available"]
    assert [activity.sid for activity in driver.workspace.activities.list(friendly_name="Break")] == [lunch.sid]


def test_a_task_channel_is_reached_by_sid_and_by_name(driver: WorkspaceDriver) -> None:
    email = driver.workspace.task_channels.create(friendly_name="E-mail", unique_name="email")
    assert driver.workspace.task_channels("email").fetch().sid == email.sid
    assert driver.workspace.task_channels(email.sid).update(friendly_name="Post").friendly_name == "Post"
    assert refusal(driver.workspace.task_channels.create, "E-mail", "email") == (400, 20001)
    assert refusal(driver.workspace.task_channels.create, "E-mail", "2nd-mail") == (400, 20001)
    assert refusal(driver.workspace.task_channels("fax").fetch) == (404, 20404)


def test_a_queue_keeps_its_expression_and_lists_by_worker(driver: WorkspaceDriver) -> None:
    gold = driver.workspace.task_queues.create(friendly_name="Gold", target_workers='tier == "gold"')
    worker_sid = driver.worker("dana", tier="gold")
    driver.worker("eve")
    queues = driver.workspace.task_queues.list(worker_sid=worker_sid)
    assert [queue.friendly_name for queue in queues] == ["Everybody", "Gold"]
    fetched = driver.workspace.task_queues(gold.sid).fetch()
    assert (fetched.target_workers, fetched.max_reserved_workers, fetched.task_order) == ('tier == "gold"', 1, "FIFO")
    assert driver.workspace.task_queues(gold.sid).update(target_workers="").target_workers == ""
    assert driver.workspace.workers.list(task_queue_name="Gold") == []
    assert refusal(driver.workspace.task_queues.create, "Odd", target_workers="tier ~ 3") == (400, 20001)


def test_a_workflow_takes_a_default_filter_or_one_filter_for_all(driver: WorkspaceDriver) -> None:
    one = {"expression": "1==1", "targets": [{"queue": driver.queue_sid, "priority": "5"}]}
    workflow = driver.workspace.workflows.create(friendly_name="Urgent", configuration=configuration(one))
    fetched = driver.workspace.workflows(workflow.sid).fetch()
    assert (json.loads(fetched.configuration)["task_routing"]["filters"], fetched.task_reservation_timeout) == (
        [one],
        120,
    )
    task = driver.workspace.tasks.create(workflow_sid=workflow.sid)
    assert (task.priority, task.workflow_friendly_name, task.task_queue_friendly_name) == (5, "Urgent", "Everybody")


@pytest.mark.parametrize(
    "unsupported",
    [
        pytest.param(lambda queue: configuration({"expression": "a ~ 1", "targets": [{"queue": queue}]}), id="expr"),
        pytest.param(lambda queue: configuration({"targets": [{"queue": queue}]}), id="no expression"),
        pytest.param(lambda queue: configuration({"expression": "1==1", "targets": []}), id="no target"),
        pytest.param(lambda queue: configuration({"expression": "1==1", "targets": [{"timeout": 5}]}), id="no queue"),
        *(
            pytest.param(
                lambda queue, wrong=wrong: configuration({"expression": "1==1", "targets": [{"queue": queue} | wrong]}),
                id=str(wrong),
            )
            for wrong in (
                {"timeout": 0},
                {"timeout": "soon"},
                {"timeout": True},
                {"priority": -1},
                {"priority": 2**31},
                {"skip_if": "workers.available"},
                {"expression": 7},
                {"order_by": "worker.level SIDEWAYS"},
                {"order_by": "level DESC"},
                {"known_worker_sid": "agent"},
                {"known_worker_sid": "task.agent", "known_worker_friendly_name": "task.name"},
            )
        ),
        pytest.param(lambda queue: configuration(default={"queue": "WQ" + "9" * 32}), id="unknown queue"),
        pytest.param(lambda queue: configuration(), id="no way to go"),
        pytest.param(lambda queue: "[]", id="not an object"),
        pytest.param(lambda queue: "{", id="not JSON"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(driver: WorkspaceDriver, unsupported: Any) -> None:
    create = driver.workspace.workflows.create
    assert refusal(create, friendly_name="Odd", configuration=unsupported(driver.queue_sid)) == (400, 20001)


def test_workers_are_created_updated_and_filtered(driver: WorkspaceDriver) -> None:
    dana = driver.worker("dana", skills=["billing"])
    driver.worker("eve", "Offline")
    listed = driver.workspace.workers.list
    assert [worker.friendly_name for worker in listed(available="true")] == ["dana"]
    assert [worker.friendly_name for worker in listed(activity_name="Offline")] == ["eve"]
    assert [worker.sid for worker in listed(friendly_name="dana")] == [dana]
    assert [worker.sid for worker in listed(target_workers_expression='skills HAS "billing"')] == [dana]
    updated = driver.workspace.workers(dana).update_with_http_info(attributes='{"skills":[]}')
    assert (updated.data.attributes, updated.headers["ETag"]) == ('{"skills":[]}', '"1"')
    assert refusal(driver.workspace.workers(dana).update, attributes="{}", if_match="0") == (412, 20412)
    moved = driver.workspace.workers(dana).update(activity_sid=driver.activities["Unavailable"])
    assert (moved.activity_name, moved.available) == ("Unavailable", False)


def test_worker_names_are_unique_whatever_their_case(driver: WorkspaceDriver) -> None:
    driver.worker("Dana")
    assert refusal(driver.worker, "dANA") == (400, 20001)


def test_a_worker_channel_has_capacity_and_availability(driver: WorkspaceDriver) -> None:
    channels = driver.workspace.workers(driver.worker("dana")).worker_channels
    assert {channel.configured_capacity for channel in channels.list()} == {1}
    assert len(channels.list()) == 5
    changed = channels("chat").update(capacity=4, available=False)
    assert (changed.configured_capacity, changed.available) == (4, False)
    assert channels(changed.sid).fetch().task_channel_unique_name == "chat"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_the_sdk_follows_pages_of_any_size_to_the_end(driver: WorkspaceDriver, size: str) -> None:
    names = [f"worker {number}" for number in range(7)]
    for name in names:
        driver.worker(name)
    assert [worker.friendly_name for worker in driver.workspace.workers.list(page_size=size)] == names


def test_neighbouring_pages_point_at_the_emulator_and_keep_the_filters(driver: WorkspaceDriver, http: Session) -> None:
    for number in range(5):
        driver.worker(f"worker {number}")
    base = driver.emulator.base_url
    url = f"{base}/v1/Workspaces/{driver.workspace.fetch().sid}/Workers?Available=true&PageSize=2"
    first = http.get(url).json()
    second = http.get(first["meta"]["next_page_url"]).json()
    third = http.get(second["meta"]["next_page_url"]).json()
    assert [len(page["workers"]) for page in (first, second, third)] == [2, 2, 1]
    assert (first["meta"]["key"], second["meta"]["page"], first["meta"]["page_size"]) == ("workers", 1, 2)
    assert (first["meta"]["previous_page_url"], third["meta"]["next_page_url"]) == (None, None)
    assert http.get(third["meta"]["previous_page_url"]).json()["workers"] == second["workers"]
    assert http.get(second["meta"]["first_page_url"]).json()["workers"] == first["workers"]
    for page in (first, second):
        assert page["meta"]["next_page_url"].startswith(base + "/v1/")
        assert "Available=true" in page["meta"]["next_page_url"]


@pytest.mark.parametrize(("size", "code"), [("1001", 20007), ("0", 20001), ("many", 20001)])
def test_a_page_size_out_of_bounds_is_refused(driver: WorkspaceDriver, http: Session, size: str, code: int) -> None:
    answer = http.get(driver.workspace.fetch().links["workers"], params={"PageSize": size})
    assert (answer.status_code, answer.json()["code"]) == (400, code)


def test_what_a_parameter_may_not_be_is_refused(driver: WorkspaceDriver, client: Client) -> None:
    workspaces, workers = client.taskrouter.v1.workspaces, driver.workspace.workers
    assert refusal(workspaces.create, friendly_name="") == (400, 20001)
    assert refusal(workspaces.create, friendly_name="x" * 65) == (400, 20001)
    assert refusal(workspaces.create, friendly_name="x", template="LIFO") == (400, 20001)
    assert refusal(workspaces.create, friendly_name="x", event_callback_url="ftp://x") == (400, 20001)
    assert refusal(workspaces.create, friendly_name="x", prioritize_queue_order="RANDOM") == (400, 20001)
    assert refusal(workers.create, friendly_name="x", activity_sid="WA1") == (400, 20001)
    assert refusal(workers.create, friendly_name="x", activity_sid="WA" + "9" * 32) == (400, 20001)
    assert refusal(driver.workspace.task_queues.create, "x", max_reserved_workers=51) == (400, 20001)
    assert refusal(driver.workspace.workflows(driver.workflow_sid).update, task_reservation_timeout=86401) == (
        400,
        20001,
    )


@pytest.mark.parametrize("resource", ["workspaces", "workers", "activities", "task_queues", "workflows"])
def test_what_is_not_there_is_404(driver: WorkspaceDriver, client: Client, resource: Any) -> None:
    parent = client.taskrouter.v1 if resource == "workspaces" else driver.workspace
    assert refusal(getattr(parent, resource)("XX" + "9" * 32).fetch) == (404, 20404)


def test_wrong_credentials_are_401(driver: WorkspaceDriver, http: Session) -> None:
    for auth in (None, ("AC" + "0" * 32, "wrong"), ("AC" + "1" * 32, driver.emulator.auth_token)):
        http.auth = auth
        answer = http.get(f"{driver.emulator.base_url}/v1/Workspaces")
        assert (answer.status_code, answer.json()["code"]) == (401, 20003)
        assert "Basic" in answer.headers["WWW-Authenticate"]


def test_an_error_has_the_four_keys(http: Session, emulator: EmulatorServer) -> None:
    answer = http.get(f"{emulator.base_url}/v1/Workspaces/WS1/Nothing")
    assert answer.json() == {
        "code": 20404,
        "message": "The requested resource /v1/Workspaces/WS1/Nothing was not found",
        "more_info": "https://www.twilio.com/docs/errors/20404",
        "status": 404,
    }


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_there_is_no_patch_and_no_put(driver: WorkspaceDriver, http: Session, method: str) -> None:
    url = driver.workspace.tasks(driver.task()).fetch().url
    answer = http.request(method, url, data={"Attributes": "{}"})
    assert (answer.status_code, answer.json()["code"]) == (405, 20004)


def test_parameters_that_nobody_knows_are_ignored_and_noted(driver: WorkspaceDriver, http: Session) -> None:
    url = driver.workspace.fetch().links["tasks"]
    assert http.post(url, data={"Attributes": "{}", "Colour": "blue"}).status_code == 201
    assert driver.emulator.log.wait_for("parameters_ignored")["names"] == ["Colour"]
