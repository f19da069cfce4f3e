"""`flask taskrouter provision` against a TaskRouter, over HTTP: planned, done, done again, and interrupted."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from twilio.rest import Client

from enrich.taskrouter.endpoints import NEEDED_EVENTS
from taskrouter_emulator import EMULATOR_ONLY, EmulatorServer
from taskrouter_emulator.model.event_streams import SinkStatus
from tests.support.app import run_command
from tests.support.contact_centre import Service
from tests.support.event_sinks import TASKROUTER, add_sink, sinks_of, types_of
from tests.support.fixtures import MakeApp
from tests.support.worker import app_of, worker_of

EXAMPLE = Path(__file__).parent.parent.parent / "docs" / "taskrouter.example.toml"
PUBLIC_URL = "https://hooks.example.test"
FILE = """
[workspace]
name = "{name}"
create = true
timeout_activity = "Missed"

[[activities]]
name = "Missed"
available = false

[[task_channels]]
unique_name = "callback"

[[queues]]
name = "Everyone"
workers = "1==1"

[[workers]]
name = "dana"
activity = "Available"
attributes = {{ contact_uri = "client:dana" }}
capacity = {{ voice = 2 }}

[[workflows]]
name = "Main"
reservation_timeout_s = 30
default = "Everyone"
"""


@pytest.fixture
def name() -> str:
    return f"Support {secrets.token_hex(4)}"


@pytest.fixture
def file(tmp_path: Path, name: str) -> Path:
    path = tmp_path / "taskrouter.toml"
    path.write_text(FILE.format(name=name))
    return path


@pytest.fixture
def make_provisioning_app(make_app: MakeApp, emulator: EmulatorServer) -> Callable[..., Flask]:
    """Makes applications that ask the emulator, without a secret key."""

    def make(**settings: str) -> Flask:
        environment = {
            "SECRET_KEY": "",
            "PUBLIC_URL": PUBLIC_URL,
            "TWILIO_ACCOUNT_SID": EMULATOR_ONLY.account_sid,
            "TWILIO_AUTH_TOKEN": EMULATOR_ONLY.auth_token,
            "TASKROUTER_BASE_URL": emulator.base_url,
        }
        return make_app(None, migrated=False, **(environment | settings))

    return make


@pytest.fixture
def provision(make_provisioning_app: Callable[..., Flask], file: Path) -> Callable[..., tuple[int, str]]:
    """Runs the command, and gives its status and what it told."""

    def provision(*options: str, **settings: str) -> tuple[int, str]:
        runner = make_provisioning_app(**settings).test_cli_runner()
        result = runner.invoke(args=["taskrouter", "provision", *options, str(file)])
        return result.exit_code, result.output

    return provision


@pytest.fixture
def find(emulator: EmulatorServer, name: str) -> Callable[[], Any]:
    """The workspace of this test through the SDK, or None."""
    client = Client(EMULATOR_ONLY.account_sid, EMULATOR_ONLY.auth_token)
    client.taskrouter.base_url = emulator.base_url

    def find() -> Any:
        workspaces = client.taskrouter.v1.workspaces
        found = workspaces.list(friendly_name=name)
        return workspaces(found[0].sid) if found else None

    return find


def only(resources: Any, name: str) -> Any:
    return next(each for each in resources.list() if each.friendly_name == name)


def test_a_plan_touches_nothing_and_says_that_there_is_something_to_do(
    provision: Callable[..., tuple[int, str]], find: Callable[[], Any]
) -> None:
    status, told = provision("--plan")
    assert status == 3
    assert "create  workflow 'Main'" in told
    assert find() is None


class TestEventStream:
    """A sink and a subscription, in an account of their own."""

    DESTINATION = f"{PUBLIC_URL}/taskrouter/event-streams"

    @pytest.fixture
    def emulator(self) -> Iterator[EmulatorServer]:
        """An emulator without the sinks of other tests: they are the account's, not the workspace's."""
        with EmulatorServer() as emulator:
            yield emulator

    @pytest.fixture
    def streams(self, emulator: EmulatorServer, file: Path) -> dict[str, str]:
        """The settings with which Event Streams is asked; the file wants it in the event callback's place."""
        file.write_text(file.read_text().replace("create = true", "create = true\nevents = false\nevent_stream = true"))
        return {"TWILIO_EVENTS_BASE_URL": emulator.base_url}

    def test_it_is_planned_made_and_then_left(
        self,
        provision: Callable[..., tuple[int, str]],
        emulator: EmulatorServer,
        streams: dict[str, str],
        find: Callable[[], Any],
    ) -> None:
        planned = provision("--plan", **streams)
        assert (planned[0], sinks_of(emulator)) == (3, [])
        assert f"create  event subscription '{self.DESTINATION}'" in planned[1]
        status, told = provision(**streams)
        assert status == 0, told
        assert types_of(emulator, self.DESTINATION) == sorted(TASKROUTER + each for each in NEEDED_EVENTS)
        assert [sink.batch_events for sink in sinks_of(emulator)] == [True]
        assert not find().fetch().event_callback_url
        again = provision("--plan", **streams)
        assert (again[0], "Nothing to do" in again[1]) == (0, True), again[1]

    def test_what_is_missing_is_added_and_what_is_more_is_drift(
        self, provision: Callable[..., tuple[int, str]], emulator: EmulatorServer, streams: dict[str, str]
    ) -> None:
        types = [TASKROUTER + each for each in sorted(NEEDED_EVENTS - {"task.created"})]
        add_sink(emulator, self.DESTINATION, *types, TASKROUTER + "worker.created")
        add_sink(emulator, "https://reports.example.test/twilio", TASKROUTER + "task.created")
        status, told = provision(**streams)
        assert status == 0, told
        assert "events: adds task.created\n" in told
        assert "drift   event subscription 'of worker.created'" in told
        assert "reports.example.test" not in told
        assert TASKROUTER + "task.created" in types_of(emulator, self.DESTINATION)
        assert len(sinks_of(emulator)) == 2

    def test_a_sink_that_failed_is_followed_by_a_new_one(
        self, provision: Callable[..., tuple[int, str]], emulator: EmulatorServer, streams: dict[str, str]
    ) -> None:
        add_sink(emulator, self.DESTINATION, TASKROUTER + "task.created", status=SinkStatus.FAILED)
        status, told = provision(**streams)
        assert status == 0, told
        assert f"drift   event sink '{self.DESTINATION}, failed'" in told
        assert [sink.status for sink in sinks_of(emulator)] == ["failed", "initialized"]

    def test_a_stop_in_between_is_gone_on_from(
        self, provision: Callable[..., tuple[int, str]], emulator: EmulatorServer, streams: dict[str, str]
    ) -> None:
        emulator.faults.status(503, method="POST", path="/v1/Subscriptions", times=1)
        status, told = provision(**streams)
        assert (status, types_of(emulator, self.DESTINATION)) == (1, []), told
        assert provision(**streams)[0] == 0
        assert (len(sinks_of(emulator)), len(types_of(emulator, self.DESTINATION))) == (1, len(NEEDED_EVENTS))

    def test_described_it_is_a_file_by_which_nothing_changes(
        self,
        provision: Callable[..., tuple[int, str]],
        streams: dict[str, str],
        name: str,
        file: Path,
        make_provisioning_app: Callable[..., Flask],
    ) -> None:
        provision(**streams)
        runner = make_provisioning_app(**streams).test_cli_runner()
        described = runner.invoke(args=["taskrouter", "describe", name])
        assert "\nevent_stream = true\n" in described.output
        file.write_text(described.output)
        planned = provision("--plan", **streams)
        assert (planned[0], "Nothing to do" in planned[1]) == (0, True), planned[1]

    def test_without_its_address_it_is_refused(
        self,
        provision: Callable[..., tuple[int, str]],
        emulator: EmulatorServer,
        streams: dict[str, str],
        find: Callable[[], Any],
    ) -> None:
        status, told = provision()
        assert (status, find()) == (1, None)
        assert "TWILIO_EVENTS_BASE_URL" in told
        emulator.faults.status(403, path="/v1/Sinks")
        status, told = provision(**streams)
        assert (status, "not_authorized" in told or "HTTP 403" in told) == (1, True), told


def test_everything_is_made_as_the_file_says(
    provision: Callable[..., tuple[int, str]], find: Callable[[], Any]
) -> None:
    status, told = provision()
    assert status == 0, told
    workspace = find()
    made = workspace.fetch()
    assert made.event_callback_url == f"{PUBLIC_URL}/taskrouter/events#rc=2&rp=5xx,ct,rt"
    assert "task.created" in made.events_filter.split(",")
    assert made.timeout_activity_name == "Missed"
    workflow = only(workspace.workflows, "Main")
    assert workflow.assignment_callback_url == f"{PUBLIC_URL}/taskrouter/assignment"
    assert workflow.fallback_assignment_callback_url == f"{PUBLIC_URL}/taskrouter/assignment/fallback"
    assert workflow.task_reservation_timeout == 30
    queue = only(workspace.task_queues, "Everyone")
    assert json.loads(workflow.configuration)["task_routing"]["default_filter"] == {"queue": queue.sid}
    worker = only(workspace.workers, "dana")
    assert (worker.activity_name, json.loads(worker.attributes)) == ("Available", {"contact_uri": "client:dana"})
    assert workspace.workers(worker.sid).worker_channels("voice").fetch().configured_capacity == 2
    assert "callback" in {each.unique_name for each in workspace.task_channels.list()}


def test_a_second_time_changes_nothing(provision: Callable[..., tuple[int, str]], emulator: EmulatorServer) -> None:
    provision()
    before = emulator.log.last
    for options, status in (((), 0), (("--plan",), 0)):
        assert provision(*options)[0] == status
    written = [each for each in emulator.log.entries("rest_answered", after=before) if each["method"] != "GET"]
    assert written == []


def test_what_somebody_changed_is_shown_and_put_back_and_what_is_theirs_is_left(
    provision: Callable[..., tuple[int, str]], find: Callable[[], Any]
) -> None:
    provision()
    workspace = find()
    workflow = only(workspace.workflows, "Main")
    workspace.workflows(workflow.sid).update(task_reservation_timeout=120)
    workspace.task_queues.create(friendly_name="Theirs", target_workers="1==2")
    worker = only(workspace.workers, "dana")
    workspace.workers(worker.sid).update(attributes='{"contact_uri":"client:other","level":7}')
    status, told = provision("--plan")
    assert status == 3
    assert "reservation_timeout_s: 120 -> 30" in told
    assert "attributes.contact_uri: client:other -> client:dana" in told
    assert "drift   queue 'Theirs'" in told
    assert provision()[0] == 0
    assert only(workspace.workflows, "Main").task_reservation_timeout == 30
    assert json.loads(only(workspace.workers, "dana").attributes) == {"contact_uri": "client:dana", "level": 7}
    assert only(workspace.task_queues, "Theirs").target_workers == "1==2"


def test_two_writers_of_one_workers_attributes(
    provision: Callable[..., tuple[int, str]], find: Callable[[], Any], emulator: EmulatorServer
) -> None:
    """Somebody wrote between our read and our write: 412, and it is merged anew."""
    provision()
    workspace = find()
    worker = only(workspace.workers, "dana")
    workspace.workers(worker.sid).update(attributes='{"level":7}')
    emulator.faults.set({"kind": "precondition_failed", "times": 1})
    status, told = provision()
    assert status == 0, told
    assert json.loads(only(workspace.workers, "dana").attributes) == {"contact_uri": "client:dana", "level": 7}


def test_after_a_failure_half_way_it_goes_on_where_it_stopped(
    provision: Callable[..., tuple[int, str]], find: Callable[[], Any], emulator: EmulatorServer
) -> None:
    emulator.faults.set({"kind": "status", "status": 503, "method": "POST", "path": "/Workers$"})
    status, told = provision()
    assert status == 1
    assert "5 of 7 steps were done" in told
    assert "create worker 'dana': HTTP 503" in told
    emulator.faults.clear()
    status, told = provision()
    assert (status, "2 done." in told) == (0, True), told
    assert find().fetch().timeout_activity_name == "Missed"


@pytest.mark.parametrize(("options", "moves"), [((), False), (("--reevaluate",), True)])
def test_tasks_that_wait_are_routed_anew_when_asked_for(
    provision: Callable[..., tuple[int, str]],
    find: Callable[[], Any],
    file: Path,
    options: tuple[str, ...],
    moves: bool,
) -> None:
    file.write_text(file.read_text() + '\n[[queues]]\nname = "Others"\nworkers = "1==2"\n')
    file.write_text(file.read_text().replace('default = "Everyone"', 'default = "Others"'))
    provision()
    workspace = find()
    task_sid = workspace.tasks.create(attributes="{}").sid
    file.write_text(file.read_text().replace('default = "Others"', 'default = "Everyone"'))
    status, told = provision(*options)
    assert (status, "routing.default.queue: Others -> Everyone" in told) == (0, True), told
    assert workspace.tasks(task_sid).fetch().task_queue_friendly_name == ("Everyone" if moves else "Others")


def test_a_workspace_is_found_by_its_sid_and_never_mistaken(
    provision: Callable[..., tuple[int, str]], find: Callable[[], Any], file: Path, name: str
) -> None:
    provision()
    sid = find().fetch().sid
    assert provision("--plan", TWILIO_WORKSPACE_SID=sid)[0] == 0
    file.write_text(file.read_text().replace(name, "Another"))
    status, told = provision(TWILIO_WORKSPACE_SID=sid)
    assert (status, "never renamed" in told) == (1, True)
    status, told = provision(TWILIO_WORKSPACE_SID="WS" + "f" * 32)
    assert (status, "HTTP 404" in told) == (1, True)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"TWILIO_AUTH_TOKEN": "wrong"}, "not_authorized"),
        ({"TWILIO_AUTH_TOKEN": ""}, "TWILIO_AUTH_TOKEN"),
        ({"PUBLIC_URL": ""}, "PUBLIC_URL"),
        ({"TWILIO_AUTH_TOKEN": "wrong", "TWILIO_WORKSPACE_SID": "WS" + "0" * 32}, "not_authorized"),
        ({"TASKROUTER_BASE_URL": "http://127.0.0.1:1"}, "taskrouter_unreachable"),
    ],
)
def test_what_is_missing_or_wrong_is_told_in_words(
    provision: Callable[..., tuple[int, str]], settings: dict[str, str], told: str
) -> None:
    status, output = provision(**settings)
    assert status == 1
    assert told in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "html", "status": 200},
        {"kind": "broken_json"},
        {"kind": "reset"},
    ],
    ids=lambda fault: fault["kind"],
)
def test_nonsense_from_in_between_is_told_in_words(
    provision: Callable[..., tuple[int, str]], emulator: EmulatorServer, fault: dict[str, Any]
) -> None:
    emulator.faults.set(fault)
    status, output = provision()
    assert (status, "reading the workspace" in output, "Traceback" in output) == (1, True, False), output


def test_a_file_with_mistakes_asks_nothing_of_taskrouter(
    provision: Callable[..., tuple[int, str]], file: Path, emulator: EmulatorServer
) -> None:
    file.write_text(file.read_text().replace("reservation_timeout_s = 30", "reservation_timeout_s = 0"))
    before = emulator.log.last
    status, told = provision()
    assert status == 1
    assert "workflows 1, reservation_timeout_s: must be a whole number from 1 to 86400, not 0" in told
    assert emulator.log.entries("rest_answered", after=before) == []


@pytest.mark.parametrize(
    ("written", "status", "told"),
    [
        pytest.param(b"\xef\xbb\xbf", 3, "create  workspace", id="a byte order mark, as Windows writes it"),
        pytest.param(b"# \xff\n", 1, "not UTF-8 at byte 2", id="another encoding"),
    ],
)
def test_files_of_other_editors(
    provision: Callable[..., tuple[int, str]], file: Path, written: bytes, status: int, told: str
) -> None:
    file.write_bytes(written + file.read_bytes())
    done, output = provision("--plan")
    assert (done, told in output) == (status, True), output


def test_a_customer_is_routed_by_what_the_service_knows(
    service: Service, emulator: EmulatorServer, find: Callable[[], Any], name: str, tmp_path: Path
) -> None:
    """The whole way: provisioned, held in the intake, enriched on task.created, sent where gold customers go."""
    file = tmp_path / "example.toml"
    file.write_text(EXAMPLE.read_text().replace('name = "Support"', f'name = "{name}"'))
    with app_of(service) as app:
        code, output = run_command(app, "taskrouter", "provision", str(file))
    assert code == 0, output
    workspace = find()
    dana, available = only(workspace.workers, "dana"), only(workspace.activities, "Available")
    workspace.workers(dana.sid).update(activity_sid=available.sid)

    # No attribute of the task says who is calling but the number; the tier is known to the service alone.
    task_sid = workspace.tasks.create(attributes='{"from":"+14155550100"}', task_channel="chat").sid
    emulator.log.wait_for("event_answered", 10, task_sid=task_sid, event_type="task.created")
    with worker_of(service) as work:
        work()
    assert workspace.tasks(task_sid).fetch().task_queue_friendly_name == "Intake"
    # The intake's three seconds pass on their own: the clock of the shared emulator is not put forward.
    answered = emulator.log.wait_for("assignment_callback_answered", 10, task_sid=task_sid)
    assert json.loads(str(answered["answer"])) == {"instruction": "accept"}
    task = workspace.tasks(task_sid).fetch()
    assert (task.task_queue_friendly_name, task.priority) == ("Key accounts", 10)
    assert json.loads(task.attributes)["crm"]["tier"] == "gold"


class TestTheExampleOfTheDocumentation:
    """Carried out at a TaskRouter whose time stands still, so that the intake can be seen at work."""

    @pytest.fixture
    def emulator(self) -> Iterator[EmulatorServer]:
        noon = datetime(2026, 11, 24, 12, tzinfo=UTC)
        with EmulatorServer(clock=lambda: noon, ticking=False) as emulator:
            yield emulator

    @pytest.fixture
    def workspace(self, emulator: EmulatorServer, make_provisioning_app: Callable[..., Flask]) -> Any:
        # Nobody listens at the public address; what is not answered stays pending, which is all that is needed here.
        runner = make_provisioning_app(PUBLIC_URL="http://127.0.0.1:1").test_cli_runner()
        done = runner.invoke(args=["taskrouter", "provision", str(EXAMPLE)])
        assert done.exit_code == 0, done.output
        again = runner.invoke(args=["taskrouter", "provision", "--plan", str(EXAMPLE)])
        assert (again.exit_code, "Nothing to do" in again.output) == (0, True), again.output
        client = Client(EMULATOR_ONLY.account_sid, EMULATOR_ONLY.auth_token)
        client.taskrouter.base_url = emulator.base_url
        workspaces = client.taskrouter.v1.workspaces
        return workspaces(workspaces.list()[0].sid)

    def test_described_it_is_a_file_by_which_nothing_changes(
        self, workspace: Any, make_provisioning_app: Callable[..., Flask], tmp_path: Path
    ) -> None:
        """The next step after that is to change a line and see the plan."""
        runner = make_provisioning_app(PUBLIC_URL="http://127.0.0.1:1").test_cli_runner()
        described = runner.invoke(args=["taskrouter", "describe"])
        assert described.exit_code == 0, described.output
        file = tmp_path / "described.toml"
        file.write_text(described.output)
        planned = runner.invoke(args=["taskrouter", "provision", "--plan", str(file)])
        assert (planned.exit_code, "Nothing to do" in planned.output) == (0, True), planned.output
        file.write_text(described.output.replace("reservation_timeout_s = 30", "reservation_timeout_s = 45"))
        planned = runner.invoke(args=["taskrouter", "provision", "--plan", str(file)])
        assert (planned.exit_code, "reservation_timeout_s: 30 -> 45" in planned.output) == (3, True), planned.output

    def test_a_workspace_that_is_not_there_is_not_described(self, make_provisioning_app: Callable[..., Flask]) -> None:
        described = make_provisioning_app().test_cli_runner().invoke(args=["taskrouter", "describe", "Nowhere"])
        assert (described.exit_code, "no workspace 'Nowhere'" in described.output) == (1, True)

    def queue_of(self, workspace: Any, sid: str) -> str:
        return str(workspace.tasks(sid).fetch().task_queue_friendly_name)

    @pytest.mark.parametrize(
        ("enriched", "queue", "priority"),
        [
            pytest.param({"match": "matched", "tier": "gold"}, "Key accounts", 10, id="enriched while it was held"),
            pytest.param(None, "Everyone", 0, id="not enriched in time: the last filter takes it"),
        ],
    )
    def test_a_task_is_held_a_moment_and_then_routed_as_it_is_by_then(
        self, workspace: Any, emulator: EmulatorServer, enriched: dict[str, str] | None, queue: str, priority: int
    ) -> None:
        task_sid = workspace.tasks.create(attributes='{"from":"+14155550100"}', task_channel="voice").sid
        assert self.queue_of(workspace, task_sid) == "Intake"
        if enriched:
            attributes = json.dumps({"from": "+14155550100", "crm": enriched})
            workspace.tasks(task_sid).update(attributes=attributes)
        emulator.state.advance(2.9)
        assert self.queue_of(workspace, task_sid) == "Intake"
        emulator.state.advance(0.2)
        assert self.queue_of(workspace, task_sid) == queue
        assert workspace.tasks(task_sid).fetch().priority == priority
        assert workspace.tasks(task_sid).fetch().assignment_status == "pending"
