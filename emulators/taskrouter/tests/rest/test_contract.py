"""The emulator and Twilio's published OpenAPI document: parameters and members have the same names."""

import json
import re
from dataclasses import dataclass, field
from typing import Any

import pytest
from requests import Session

from support.openapi_contract import Contract
from support.workspace_driver import WorkspaceDriver
from taskrouter_emulator import EmulatorServer


@pytest.fixture
def answered(contract: Contract, driver: WorkspaceDriver, http: Session) -> Any:
    """The response with a worker: method, path, status, headers, and the body to be spoiled."""
    answer = http.get(driver.workspace.workers(driver.worker()).fetch().url)
    path = answer.url.removeprefix(driver.emulator.base_url)
    return "GET", path, answer.status_code, dict(answer.headers), answer.json()


def test_what_the_emulator_answers_is_in_order(contract: Contract, answered: Any) -> None:
    method, path, status, headers, body = answered
    assert contract.complaints(method, path, status, headers, json.dumps(body)) == []


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        pytest.param(lambda body: body.pop("date_status_changed"), "'date_status_changed' is a required", id="missing"),
        pytest.param(lambda body: body.update(colour="red"), "'colour' was unexpected", id="invented"),
        pytest.param(lambda body: body.update(available="true"), "'true' is not of type 'boolean'", id="another type"),
        pytest.param(lambda body: body.update(sid="WK1"), "'WK1' does not match", id="malformed SID"),
        pytest.param(lambda body: body.update(date_created="yesterday"), "is not a 'date-time'", id="no date"),
        pytest.param(lambda body: body["links"].pop("channels"), "links", id="a link less"),
    ],
)
def test_what_is_not_in_order_is_noticed(contract: Contract, answered: Any, spoil: Any, complaint: str) -> None:
    method, path, status, headers, body = answered
    spoil(body)
    complaints = contract.complaints(method, path, status, headers, json.dumps(body))
    assert any(complaint in text for text in complaints), complaints


def test_a_missing_etag_another_status_and_an_unknown_path_are_noticed(contract: Contract, answered: Any) -> None:
    method, path, status, headers, body = answered
    text = json.dumps(body)
    without = {name: value for name, value in headers.items() if name.lower() != "etag"}
    assert contract.complaints(method, path, status, without, text) == ["FetchWorker: an ETag is missing"]
    assert contract.complaints(method, path, 201, headers, text) == ["FetchWorker: status 201 instead of 200"]
    assert "is no operation" in contract.complaints(method, "/v1/Workspaces/WS1/Nothing", 200, {}, "{}")[0]


def test_a_refusal_has_four_keys_and_no_other(contract: Contract) -> None:
    refusal = {"code": 20404, "message": "?", "more_info": "https://www.twilio.com/docs/errors/20404", "status": 404}
    assert contract.complaints("GET", "/v1/Workspaces/WS1", 404, {}, json.dumps(refusal)) == []
    assert contract.complaints("GET", "/v1/Workspaces/WS1", 404, {}, json.dumps(refusal | {"code": "20404"}))
    assert contract.complaints("GET", "/v1/Workspaces/WS1", 404, {}, json.dumps(refusal | {"user_error": True}))


@dataclass
class World:
    """One of every resource, created without HTTP."""

    emulator: EmulatorServer
    prefixes: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        setup = self.emulator.state.provisioning
        workspace = setup.create_workspace("Support")
        queue = setup.create_task_queue(workspace, "Everybody")
        self.configuration = json.dumps({"task_routing": {"default_filter": {"queue": queue.sid}}})
        workflow = setup.create_workflow(workspace, "Main", self.configuration)
        worker = setup.create_worker(workspace, "dana", activity=next(one for one in _activities(workspace, True)))
        task = self.emulator.state.tasks.create_task(workspace)
        [reservation] = task.reservations.values()
        activity = setup.create_activity(workspace, "Lunch")
        channel = setup.create_task_channel(workspace, "E-mail", "email")
        event = workspace.events[-1]
        records = (workspace, queue, workflow, worker, task, reservation, activity, channel, event)
        self.prefixes = {record.sid[:2]: record.sid for record in records} | {"CA": "CA" + "1" * 32}

    def path(self, operation: Any) -> Any:
        """Return the path of the operation's resource."""
        sids = {"WorkspaceSid": "WS", "TaskSid": "WT", "WorkerSid": "WK"}
        own = {"Workspaces": "WS", "Activities": "WA", "TaskChannels": "TC", "TaskQueues": "WQ", "Workflows": "WW"}
        own |= {"Workers": "WK", "Channels": "TC", "Tasks": "WT", "Reservations": "WR", "Events": "EV"}
        collection = operation.template.removesuffix("/{Sid}").rpartition("/")[2]
        path = operation.template.replace("{Sid}", self.prefixes[own[collection]])
        return re.sub(r"\{(\w+)\}", lambda found: self.prefixes[sids[found[1]]], path)

    def value(self, operation: Any, parameter: Any) -> Any:
        """Return a valid value for this parameter."""
        schema = parameter.schema
        if parameter.name in _VALUES:
            return _VALUES[parameter.name]
        if parameter.name == "Ordering":
            return {"ListTask": "Priority:desc", "ListWorker": "FriendlyName:asc"}.get(operation.id, "DateCreated:desc")
        if parameter.name in ("Configuration", "RoutingTarget"):
            return {"Configuration": self.configuration, "RoutingTarget": self.prefixes["WQ"]}[parameter.name]
        if "pattern" in schema:
            return self.prefixes[schema["pattern"][1:3]]
        if "enum" in schema:
            return schema["enum"][0]
        if schema.get("type") == "array":
            return schema["items"].get("enum", ["completed"])[0]
        kinds = {"date-time": "2026-01-01T00:00:00Z", "uri": "http://127.0.0.1:1/there"}
        return kinds.get(schema.get("format")) or {"integer": "2", "boolean": "true"}.get(schema.get("type"), "text")

    def send(self, http: Session, operation: Any, form: Any) -> Any:
        url = self.emulator.base_url + self.path(operation)
        where = {"params": form} if operation.method == "get" else {"data": form}
        return http.request(operation.method.upper(), url, **where)

    def companions(self, operation: Any, parameter: Any) -> Any:
        """Return what the parameter needs beside it: required parameters, and those that it depends on."""
        required = {one.name: self.value(operation, one) for one in operation.parameters if one.required}
        more = {"IgnoreCapacity": {"RoutingTarget": self.prefixes["WK"]}}
        return required | more.get(parameter.name, {}) | _COMPANIONS.get(parameter.name, {})


def _activities(workspace: Any, available: Any) -> Any:
    return [activity for activity in workspace.activities.values() if activity.available is available]


_VALUES = {
    "AssignmentStatus": "canceled",
    "Attributes": "{}",
    "Beep": "onEnter",
    "EvaluateTaskAttributes": "1==1",
    "EvaluateWorkerAttributes": "{}",
    "EventsFilter": "task.created",
    "Instruction": "redirect",
    "JitterBufferSize": "small",
    "Page": "0",
    "RecordingChannels": "dual",
    "ReservationStatus": "rejected",
    "ReEvaluateTasks": "true",
    "Supervisor": "client:lead",
    "TargetWorkers": "1==1",
    "TargetWorkersExpression": "1==1",
    "TaskChannel": "voice",
    "Template": "NONE",
    "UniqueName": "fresh",
}
_COMPANIONS = {
    "Instruction": {"RedirectUrl": "https://example.test/twiml", "RedirectCallSid": "CA" + "1" * 32},
    "CallUrl": {"Instruction": "call", "CallFrom": "+14155550199", "CallTo": "client:dana"},
    "CallStatusCallbackUrl": {
        "Instruction": "call",
        "CallFrom": "+14155550199",
        "CallTo": "client:dana",
        "CallUrl": "https://example.test/twiml",
    },
    "RedirectUrl": {"Instruction": "redirect", "RedirectCallSid": "CA" + "1" * 32},
    "RedirectCallSid": {"Instruction": "redirect", "RedirectUrl": "https://example.test/twiml"},
}


def _cases(contract: Contract) -> Any:
    return [(operation, one) for operation in contract.operations for one in operation.parameters]


def test_every_documented_parameter_is_known(contract: Contract, http: Session, emulator: EmulatorServer) -> None:
    """Sent with the required parameters, it is accepted, and not reported as unknown."""
    for operation, parameter in _cases(contract):
        if parameter.name in ("PageToken", "DequeueStatusCallbackUrl"):
            continue  # a token is what the emulator gave out; the other one needs a call, and has a test of its own
        world = World(emulator)
        form = world.companions(operation, parameter) | {parameter.name: world.value(operation, parameter)}
        answer = world.send(http, operation, form)
        assert answer.status_code == operation.status, (operation.id, form, answer.text)
    assert emulator.log.entries("parameters_ignored") == []


def test_every_required_parameter_is_required(contract: Contract, http: Session, emulator: EmulatorServer) -> None:
    for operation, parameter in _cases(contract):
        if parameter.required:
            world = World(emulator)
            form = world.companions(operation, parameter)
            del form[parameter.name]
            answer = world.send(http, operation, form)
            assert (answer.status_code, answer.json()["code"]) == (400, 20001), (operation.id, parameter.name)
            assert parameter.name in answer.json()["message"]


def _wrong(schema: Any) -> Any:
    """Return a value of another type than the schema's; None if every value is valid."""
    if "pattern" in schema:
        return "XX1"
    if "enum" in schema or "enum" in schema.get("items", {}):
        return "nonsense"
    by_format = {"date-time": "yesterday", "uri": "nowhere"}
    return by_format.get(schema.get("format")) or {"integer": "many", "boolean": "perhaps"}.get(schema.get("type"))


def test_every_parameter_of_a_wrong_kind_is_refused(
    contract: Contract, http: Session, emulator: EmulatorServer
) -> None:
    tried = 0
    for operation, parameter in _cases(contract):
        wrong = _wrong(parameter.schema)
        if wrong is None or parameter.name == "DequeueStatusCallbackUrl":
            continue
        world = World(emulator)
        answer = world.send(http, operation, world.companions(operation, parameter) | {parameter.name: wrong})
        assert answer.status_code == 400, (operation.id, parameter.name, wrong, answer.text)
        tried += 1
    assert tried > 140
