"""The emulator and Twilio's published OpenAPI document: what is sent and what is answered have the same names."""

import json
import re
from dataclasses import dataclass, field

import pytest

from taskrouter_emulator import EmulatorServer


@pytest.fixture
def answered(contract, desk, http):
    """A worker as the emulator answers it: method, path, status, headers, and the body to be spoiled."""
    answer = http.get(desk.workspace.workers(desk.worker()).fetch().url)
    path = answer.url.removeprefix(desk.emulator.base_url)
    return "GET", path, answer.status_code, dict(answer.headers), answer.json()


def test_what_the_emulator_answers_is_in_order(contract, answered):
    *where, body = answered
    assert contract.complaints(*where, json.dumps(body)) == []


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
def test_what_is_not_in_order_is_noticed(contract, answered, spoil, complaint):
    *where, body = answered
    spoil(body)
    found = contract.complaints(*where, json.dumps(body))
    assert any(complaint in one for one in found), found


def test_a_missing_etag_another_status_and_an_unknown_path_are_noticed(contract, answered):
    method, path, status, headers, body = answered
    text = json.dumps(body)
    without = {name: value for name, value in headers.items() if name.lower() != "etag"}
    assert contract.complaints(method, path, status, without, text) == ["FetchWorker: an ETag is missing"]
    assert contract.complaints(method, path, 201, headers, text) == ["FetchWorker: status 201 instead of 200"]
    assert "is no operation" in contract.complaints(method, "/v1/Workspaces/WS1/Nothing", 200, {}, "{}")[0]


def test_a_refusal_has_four_keys_and_no_other(contract):
    refusal = {"code": 20404, "message": "?", "more_info": "https://www.twilio.com/docs/errors/20404", "status": 404}
    assert contract.complaints("GET", "/v1/Workspaces/WS1", 404, {}, json.dumps(refusal)) == []
    assert contract.complaints("GET", "/v1/Workspaces/WS1", 404, {}, json.dumps(refusal | {"code": "20404"}))
    assert contract.complaints("GET", "/v1/Workspaces/WS1", 404, {}, json.dumps(refusal | {"user_error": True}))


@dataclass
class World:
    """One of everything, made without HTTP, in an emulator of its own test."""

    emulator: EmulatorServer
    prefixes: dict[str, str] = field(default_factory=dict)

    def __post_init__(self):
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

    def path(self, operation):
        """Where the operation finds its resource here."""
        sids = {"WorkspaceSid": "WS", "TaskSid": "WT", "WorkerSid": "WK"}
        own = {"Workspaces": "WS", "Activities": "WA", "TaskChannels": "TC", "TaskQueues": "WQ", "Workflows": "WW"}
        own |= {"Workers": "WK", "Channels": "TC", "Tasks": "WT", "Reservations": "WR", "Events": "EV"}
        collection = operation.template.removesuffix("/{Sid}").rpartition("/")[2]
        path = operation.template.replace("{Sid}", self.prefixes[own[collection]])
        return re.sub(r"\{(\w+)\}", lambda found: self.prefixes[sids[found[1]]], path)

    def value(self, operation, parameter):
        """Something that this parameter takes."""
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

    def send(self, http, operation, form):
        url = self.emulator.base_url + self.path(operation)
        where = {"params": form} if operation.method == "get" else {"data": form}
        return http.request(operation.method.upper(), url, **where)

    def companions(self, operation, parameter):
        """What has to come along for the parameter to be right: everything required, and what it depends on."""
        required = {one.name: self.value(operation, one) for one in operation.parameters if one.required}
        more = {"IgnoreCapacity": {"RoutingTarget": self.prefixes["WK"]}}
        return required | more.get(parameter.name, {}) | _COMPANIONS.get(parameter.name, {})


def _activities(workspace, available):
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


def _cases(contract):
    return [(operation, one) for operation in contract.operations for one in operation.parameters]


def test_every_documented_parameter_is_known(contract, http, emulator):
    """Sent alone, with what is required, it is taken, and not reported as unknown."""
    for operation, parameter in _cases(contract):
        if parameter.name in ("PageToken", "DequeueStatusCallbackUrl"):
            continue  # a token is what the emulator gave out; the other one needs a call, and has a test of its own
        world = World(emulator)
        form = world.companions(operation, parameter) | {parameter.name: world.value(operation, parameter)}
        answer = world.send(http, operation, form)
        assert answer.status_code == operation.status, (operation.id, form, answer.text)
    assert emulator.log.entries("parameters_ignored") == []


def test_every_required_parameter_is_required(contract, http, emulator):
    for operation, parameter in _cases(contract):
        if parameter.required:
            world = World(emulator)
            form = world.companions(operation, parameter)
            del form[parameter.name]
            answer = world.send(http, operation, form)
            assert (answer.status_code, answer.json()["code"]) == (400, 20001), (operation.id, parameter.name)
            assert parameter.name in answer.json()["message"]


def _wrong(schema):
    """A value that is not of the kind that the schema asks for; None if anything will do."""
    if "pattern" in schema:
        return "XX1"
    if "enum" in schema or "enum" in schema.get("items", {}):
        return "nonsense"
    by_format = {"date-time": "yesterday", "uri": "nowhere"}
    return by_format.get(schema.get("format")) or {"integer": "many", "boolean": "perhaps"}.get(schema.get("type"))


def test_every_parameter_of_a_wrong_kind_is_refused(contract, http, emulator):
    tried = 0
    for operation, parameter in _cases(contract):
        wrong = _wrong(parameter.schema)
        if wrong is None or parameter.name in ("DequeueStatusCallbackUrl",):
            continue
        world = World(emulator)
        answer = world.send(http, operation, world.companions(operation, parameter) | {parameter.name: wrong})
        assert answer.status_code == 400, (operation.id, parameter.name, wrong, answer.text)
        tried += 1
    assert tried > 140
