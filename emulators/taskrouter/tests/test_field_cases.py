"""Cases from the field, one a file in `cases/`, each with what is right; the tests below them try others of their kind.

`python -m pytest -k case_14` runs the case of that number.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from requests import Session
from twilio.request_validator import RequestValidator

from support.receiver import Receiver
from support.workspace_driver import WorkspaceDriver
from taskrouter_emulator import EmulatorServer

CASES = Path(__file__).parent / "cases"
CALL_SID = "CA" + "1" * 32


def case(number: int) -> Any:
    [path] = CASES.glob(f"{number}-*.json")
    return json.loads(path.read_text())


def base(driver: WorkspaceDriver) -> str:
    return str(driver.workspace.fetch().url)


def reserved_workers(driver: WorkspaceDriver, task_sid: str) -> list[str]:
    return [one.worker_sid for one in driver.workspace.tasks(task_sid).reservations.list()]


def test_case_11_who_closes_says_so(emulator: EmulatorServer, http: Session) -> None:
    first, second = case(11)["steps"]
    path = first["request"].removeprefix("GET ")
    response = http.get(emulator.base_url + path, headers=first["headers"])
    assert response.status_code == first["right"]["status"]
    assert response.headers["Connection"] == first["right"]["headers"]["Connection"]
    for _ in range(3):
        assert http.get(emulator.base_url + path).status_code == second["right"]["status"]


def test_case_12_attributes_let_the_target_match(driver: WorkspaceDriver, http: Session) -> None:
    story = case(12)
    text = json.dumps(story["workflow"]).replace("<a queue with everybody>", driver.queue_sid)
    driver.workspace.workflows(driver.workflow_sid).update(configuration=text)
    amy = driver.worker("amy")
    _, create, update = story["steps"]
    created = http.post(f"{base(driver)}/Tasks", create["form"]).json()
    assert created["assignment_status"] == create["right"]["assignment_status"]
    form = {name: value.replace("<amy>", amy) for name, value in update["form"].items()}
    http.post(created["url"], form).raise_for_status()
    assert reserved_workers(driver, created["sid"]) == [amy]
    assert story["switches"].items() <= driver.emulator.switches.as_dict().items()


def test_case_13_conference_for_an_outbound_task(driver: WorkspaceDriver, http: Session) -> None:
    create, instruct, neither, inbound = case(13)["steps"]
    amy = driver.worker("amy")
    driver.workspace.workers(amy).worker_channels("voice").update(capacity=3)

    def conference(attributes: str) -> tuple[requests.Response, str]:
        form = create["form"] | {"RoutingTarget": amy, "Attributes": attributes}
        task = http.post(f"{base(driver)}/Tasks", form).json()
        [reservation] = http.get(task["links"]["reservations"]).json()["reservations"]
        return http.post(reservation["url"], instruct["form"]), task["sid"]

    response, task_sid = conference(create["form"]["Attributes"])
    assert response.status_code == instruct["right"]["status"]
    driver.settle()
    assert driver.status(task_sid) == "assigned"
    assert driver.reservation(task_sid).reservation_status == "accepted"
    response, _ = conference('{"from":"+14155550190"}')
    assert (response.status_code, response.json()["code"]) == (neither["right"]["status"], neither["right"]["code"])
    attributes = json.dumps({"call_sid": CALL_SID, "to": "+14155550190", "from": "+14155550151"})
    assert conference(attributes)[0].status_code == inbound["right"]["status"]


def test_case_14_events_on_the_way_are_about_the_task(
    driver: WorkspaceDriver, receiver: Receiver, http: Session
) -> None:
    driver.workspace.update(event_callback_url=receiver.answer("/events", "", status=204))
    driver.workspace.task_queues(driver.queue_sid).update(friendly_name="English")
    task_sid = driver.task()
    driver.emulator.deliveries.wait_until_idle()
    forms = {one.form["EventType"]: one.form for one in receiver.on("/events")}
    for right in case(14)["right"]:
        expected = {name: value.replace("WT...", task_sid) for name, value in right.items()}
        assert expected.items() <= forms[right["EventType"]].items()
        event = http.get(f"{base(driver)}/Events/{forms[right['EventType']]['Sid']}").json()
        assert (event["resource_type"], event["resource_sid"]) == ("task", task_sid)
        assert event["description"] == expected["EventDescription"]
        assert http.get(event["resource_url"]).json()["sid"] == task_sid


def test_case_14_every_event_on_the_way_is_about_the_task(driver: WorkspaceDriver) -> None:
    other = driver.workspace.task_queues.create(friendly_name="Other").sid
    targets = [{"queue": driver.queue_sid, "timeout": 5}, {"queue": other, "timeout": 5}]
    routing = {"task_routing": {"filters": [{"expression": "1==1", "targets": targets}]}}
    driver.workspace.workflows(driver.workflow_sid).update(configuration=json.dumps(routing))
    task_sid = driver.task()
    driver.emulator.state.advance(20)
    seen = {event.event_type: event for event in driver.workspace.events.list(task_sid=task_sid)}
    on_the_way = {"entered", "target-matched", "timeout", "moved"}
    assert on_the_way <= {event_type.partition(".")[2] for event_type in seen}
    for event in seen.values():
        assert (event.resource_type, event.resource_sid) == ("task", task_sid)
        assert event.description.startswith(f"Task {task_sid} ")
        assert event.resource_url.endswith(f"/Tasks/{task_sid}")


def test_case_15_an_empty_filter_filters_nothing(driver: WorkspaceDriver, http: Session) -> None:
    _, empty, never, _ = case(15)["steps"]
    driver.worker("amy")
    driver.worker("ben")
    for step in (empty, never):
        rows = http.get(f"{base(driver)}/{step['request'].removeprefix('GET ')}").json()["workers"]
        assert len(rows) == step["right"]["workers"]
    driver.workspace.task_queues(driver.queue_sid).update(target_workers="")
    assert reserved_workers(driver, driver.task()) == []


FILTERS = {
    "Workers": (
        "TargetWorkersExpression FriendlyName ActivitySid ActivityName Available TaskQueueSid TaskQueueName Ordering "
        "PageSize PageToken"
    ),
    "Tasks": (
        "EvaluateTaskAttributes Priority AssignmentStatus WorkflowSid WorkflowName TaskQueueSid TaskQueueName "
        "RoutingTarget HasAddons Ordering PageSize"
    ),
    "TaskQueues": "FriendlyName EvaluateWorkerAttributes WorkerSid Ordering",
    "Workflows": "FriendlyName",
    "Activities": "FriendlyName Available",
    "Events": "EventType TaskSid ReservationSid WorkerSid WorkflowSid TaskQueueSid TaskChannel StartDate Minutes Sid",
}


@pytest.mark.parametrize(
    ("resource", "name"), [(one, name) for one, names in FILTERS.items() for name in names.split()]
)
def test_case_15_no_list_is_filtered_by_an_empty_parameter(
    driver: WorkspaceDriver, http: Session, resource: str, name: str
) -> None:
    driver.worker("amy")
    driver.task()
    url = f"{base(driver)}/{resource}"

    def sids(address: str) -> list[str]:
        body = http.get(address).json()
        return [row["sid"] for row in body[body["meta"]["key"]]]

    assert sids(url)
    assert sids(f"{url}?{name}=") == sids(f"{url}?{name}=%20") == sids(url)


def test_case_16_a_queue_beside_a_routing_target(driver: WorkspaceDriver, receiver: Receiver, http: Session) -> None:
    _, create, _ = case(16)["steps"]
    driver.workspace.update(event_callback_url=receiver.answer("/events", "", status=204))
    driver.callbacks(receiver.answer("/assign", {}))
    outbound, amy = driver.workspace.task_queues.create(friendly_name="Outbound").sid, driver.worker("amy")
    names = {"<Outbound>": outbound, "<amy>": amy, "<workflow>": driver.workflow_sid}
    form = {name: names.get(value, value) for name, value in create["form"].items()}
    task = http.post(f"{base(driver)}/Tasks", form).json()
    assert (task["task_queue_sid"], task["routing_target"]) == (outbound, amy)
    assert reserved_workers(driver, task["sid"]) == [amy]
    driver.emulator.deliveries.wait_until_idle()
    assert receiver.on("/assign")[0].form["TaskQueueSid"] == outbound
    [created] = [one.form for one in receiver.on("/events") if one.form["EventType"] == "task.created"]
    assert created["TaskQueueSid"] == outbound
    listed = http.get(f"{base(driver)}/Tasks", params={"TaskQueueSid": outbound}).json()["tasks"]
    assert [one["sid"] for one in listed] == [task["sid"]]


def test_case_16_parameters_that_contradict_each_other_are_refused(driver: WorkspaceDriver, http: Session) -> None:
    other = driver.workspace.task_queues.create(friendly_name="Outbound").sid
    form = {"RoutingTarget": driver.queue_sid, "TaskQueueSid": other}
    response = http.post(f"{base(driver)}/Tasks", form)
    assert (response.status_code, response.json()["code"]) == (400, 20001)
    alone = http.post(f"{base(driver)}/Tasks", {"TaskQueueSid": other}).json()
    assert (alone["task_queue_sid"], alone["routing_target"]) == (other, None)


def check_received(receiver: Receiver, path: str, right: Mapping[str, str], token: str) -> None:
    received = receiver.wait_for(lambda one: one.path == path)
    assert received.headers["authorization"] == right["Authorization"]
    validator = RequestValidator(token)
    assert validator.validate(right["signed"], received.form, received.headers["x-twilio-signature"])


def test_case_17_credentials_in_the_event_address(emulator: EmulatorServer, receiver: Receiver, http: Session) -> None:
    create, callback = case(17)["steps"]
    port = str(urlsplit(receiver.base_url).port)
    form = {name: value.replace("<port>", port) for name, value in create["form"].items()}
    http.post(f"{emulator.base_url}/v1/Workspaces", form).raise_for_status()
    right = {name: value.replace("<port>", port) for name, value in callback["right"].items()}
    check_received(receiver, callback["callback"], right, emulator.auth_token)


def test_case_17_credentials_in_the_other_addresses(driver: WorkspaceDriver, receiver: Receiver) -> None:
    authority = receiver.base_url.replace("http://", "http://desk:pa%40ss@")
    receiver.answer("/assign", status=500)
    driver.callbacks(f"{authority}/assign", f"{authority}/fallback?x=1")
    driver.worker()
    driver.task()
    for path in ("/assign", "/fallback?x=1"):
        right = {"Authorization": "Basic ZGVzazpwYUBzcw==", "signed": receiver.base_url + path}
        check_received(receiver, path, right, driver.emulator.auth_token)


def test_case_17_an_address_that_is_not_ascii_is_requested_and_signed_as_it_travels(
    driver: WorkspaceDriver, receiver: Receiver
) -> None:
    driver.callbacks(f"{receiver.base_url}/zuteilung/grün?quelle=straße&a=%2F#rc=2")
    driver.worker()
    driver.task()
    path = "/zuteilung/gr%C3%BCn?quelle=stra%C3%9Fe&a=%2F"
    received = receiver.wait_for(lambda one: one.path == path)
    validator = RequestValidator(driver.emulator.auth_token)
    assert validator.validate(receiver.base_url + path, received.form, received.headers["x-twilio-signature"])


@pytest.mark.parametrize(
    "url", ["ftp://example.com/", "http://", "http://:80/", "http://example.com:x/", "http://a\nb/"]
)
def test_case_17_what_is_no_address_is_refused(driver: WorkspaceDriver, http: Session, url: str) -> None:
    for path, name in (("", "EventCallbackUrl"), (f"/Workflows/{driver.workflow_sid}", "AssignmentCallbackUrl")):
        response = http.post(base(driver) + path, {name: url})
        assert (response.status_code, response.json()["code"]) == (400, 20001)
