"""The cases of taskrouter/: each task's callback is signed, sent to the service, and answered as the case says.

The customers of a case are in the database, and its tasks at the emulator, where their block lands.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from flask import Flask
from sqlalchemy import select
from twilio.rest import Client
from werkzeug.test import TestResponse

from enrich.accounts import users
from enrich.accounts.tables import Role
from enrich.customers.fixtures import read_fixtures
from enrich.customers.seeding import seed
from enrich.journal.tables import EntryRow
from enrich.taskrouter import endpoints
from taskrouter_emulator import EMULATOR_ONLY, EmulatorServer
from tests.support.app import EMAIL, PASSWORD, make_settings, run_command, services_of, sign
from tests.support.contact_centre import sid
from tests.support.databases import SEEDED_AT
from tests.support.fixtures import MakeApp

CASES = Path(__file__).with_name("taskrouter")


def cases(key: str) -> Iterator[Any]:
    """Yield each member of the list `key` in the cases, with its case."""
    for path in sorted(CASES.glob("*.json")):
        case = json.loads(path.read_text(encoding="utf-8"))
        for number, member in enumerate(case.get(key, ())):
            yield pytest.param(path, member, id=f"{path.stem}-{number}")


@dataclass(frozen=True)
class Centre:
    """One workspace at the emulator, and the service with the settings and customers of one case."""

    app: Flask
    workspace: Any
    workspace_sid: str

    def arrives(self, attributes: Mapping[str, Any]) -> str:
        return str(self.workspace.tasks.create(attributes=json.dumps(attributes)).sid)

    def callback(self, task_sid: str, attributes: Mapping[str, Any]) -> Any:
        """Return the service's answer to the assignment callback of this task."""
        response = self._post(
            endpoints.ASSIGNMENT,
            TaskSid=task_sid,
            ReservationSid=sid("WR"),
            WorkerSid=sid("WK"),
            TaskQueueSid=sid("WQ"),
            TaskAttributes=json.dumps(attributes),
            WorkerAttributes='{"contact_uri":"client:dana"}',
        )
        return response.get_json()

    def event(self, event_type: str, task_sid: str, attributes: Mapping[str, Any], channel: str) -> None:
        response = self._post(
            endpoints.EVENTS,
            EventType=event_type,
            Sid=sid("EV"),
            TaskSid=task_sid,
            TaskAttributes=json.dumps(attributes),
            TaskChannelUniqueName=channel,
        )
        assert response.status_code == 204

    def entry(self, task_sid: str) -> Any:
        """Return the row of the task's assignment callback."""
        row = EntryRow.__table__.c
        callback_of = select(EntryRow.__table__).where(row.task_sid == task_sid, row.kind == "assignment")
        (found,) = services_of(self.app).database.read(callback_of)
        return found

    def listed(self, channel: str) -> str:
        """Return the page that lists the tasks of this channel."""
        self.app.config["WTF_CSRF_ENABLED"] = False
        client = self.app.test_client()
        client.post("/login", data={"email": EMAIL, "password": PASSWORD})
        return client.get("/", query_string={"channel": channel}).get_data(as_text=True)

    def _post(self, path: str, **parameters: str) -> TestResponse:
        form = {"AccountSid": EMULATOR_ONLY.account_sid, "WorkspaceSid": self.workspace_sid, **parameters}
        return self.app.test_client().post(
            path,
            data=urlencode(form),
            content_type="application/x-www-form-urlencoded",
            headers={"X-Twilio-Signature": sign(path, form, auth_token=EMULATOR_ONLY.auth_token)},
        )


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorServer]:
    with EmulatorServer() as emulator:
        yield emulator


@pytest.fixture
def open_centre(
    emulator: EmulatorServer, make_app: MakeApp, database_url: str, tmp_path: Path
) -> Iterator[Callable[[Path], Centre]]:
    client = Client(EMULATOR_ONLY.account_sid, EMULATOR_ONLY.auth_token)
    client.taskrouter.base_url = emulator.base_url
    opened: list[Centre] = []

    def open_centre(path: Path) -> Centre:
        case = json.loads(path.read_text(encoding="utf-8"))
        app = make_app(
            make_settings(
                tmp_path,
                TWILIO_ACCOUNT_SID=EMULATOR_ONLY.account_sid,
                TWILIO_AUTH_TOKEN=EMULATOR_ONLY.auth_token,
                TASKROUTER_BASE_URL=emulator.base_url,
                DATABASE_URL=database_url,
                **case.get("settings", {}),
            )
        )
        database = services_of(app).database
        seed(database, read_fixtures(path, region="US"), now=SEEDED_AT)
        users.add(database, email=EMAIL, role=Role.VIEWER, password=PASSWORD, name="Dana Whitfield")
        workspaces = client.taskrouter.v1.workspaces
        created = workspaces.create(friendly_name=path.stem)
        workspace = workspaces(created.sid)
        queue = workspace.task_queues.create(friendly_name="Everyone", target_workers="1==1")
        workspace.workflows.create(
            friendly_name="All",
            configuration=json.dumps({"task_routing": {"filters": [], "default_filter": {"queue": queue.sid}}}),
        )
        opened.append(Centre(app, workspace, created.sid))
        return opened[-1]

    yield open_centre
    for centre in opened:
        services_of(centre.app).adapters.taskrouter.close()
    client.http_client.session.close()


@pytest.mark.parametrize(("path", "task"), list(cases("tasks")))
def test_each_task_is_answered_and_looked_up_right(
    path: Path, task: dict[str, Any], open_centre: Callable[[Path], Centre]
) -> None:
    centre, right = open_centre(path), task["right"]
    task_sid = centre.arrives(task["attributes"])
    answer = centre.callback(task_sid, task["attributes"])
    entry = centre.entry(task_sid)
    found = {
        "answer": answer,
        "match": entry.match,
        "customer_id": entry.customer_id,
        "candidates": [candidate["customer_id"] for candidate in entry.finding["candidates"]],
    }
    looked_up = {name: value for name, value in right.items() if name in found}
    assert {name: found[name] for name in looked_up} == looked_up
    assert json.loads(centre.workspace.tasks(task_sid).fetch().attributes)["crm"]["match"] == entry.match


@pytest.mark.parametrize("default", ["auto", "dequeue"])
@pytest.mark.parametrize(("path", "task"), [one for one in cases("tasks") if "01-" in str(one.id)])
def test_no_default_accepts_a_call_that_is_still_to_be_made(
    path: Path, task: dict[str, Any], default: str, make_app: MakeApp
) -> None:
    app = make_app(ENRICH_DEFAULT_INSTRUCTION=default)
    form = {"WorkspaceSid": sid("WS"), "TaskSid": sid("WT"), "ReservationSid": sid("WR")}
    form["TaskAttributes"] = json.dumps(task["attributes"])
    path_of_fallback = endpoints.FALLBACK
    response = app.test_client().post(
        path_of_fallback,
        data=urlencode(form),
        content_type="application/x-www-form-urlencoded",
        headers={"X-Twilio-Signature": sign(path_of_fallback, form)},
    )
    assert response.get_json() == task["right"]["answer"]


@pytest.mark.parametrize("order", ["before", "after", "both"])
@pytest.mark.parametrize(("path", "task"), [one for one in cases("tasks") if "06-" in str(one.id)])
def test_the_feed_finds_the_channel_that_an_event_named(
    path: Path, task: dict[str, Any], order: str, open_centre: Callable[[Path], Centre]
) -> None:
    centre, attributes = open_centre(path), task["attributes"]
    task_sid = centre.arrives(attributes)
    if order != "after":
        centre.event("task.created", task_sid, attributes, task["channel"])
    centre.callback(task_sid, attributes)
    if order != "before":
        centre.event("reservation.accepted", task_sid, attributes, task["channel"])
    wanted = attributes.get("channelType", task["channel"])
    assert f'id="line-{task_sid}"' in centre.listed(wanted)
    for other in {"voice", "chat", "default", task["channel"]} - {wanted}:
        assert f'id="line-{task_sid}"' not in centre.listed(other)


@pytest.mark.parametrize(("path", "callback"), list(cases("callbacks")))
def test_each_callback_is_decided_right(path: Path, callback: dict[str, Any], app: Flask, tmp_path: Path) -> None:
    right, case = callback["right"], json.loads(path.read_text(encoding="utf-8"))
    policy, form = tmp_path / "policy.toml", tmp_path / "callback.json"
    policy.write_text(case["policy"])
    form.write_text(json.dumps({name: value for name, value in callback.items() if name.endswith("Attributes")}))
    status, output = run_command(app, "taskrouter", "policy", "test", str(form), "--policy", str(policy))
    assert status == 0, output
    answer = next(line for line in output.splitlines() if line.startswith("answer"))
    assert json.loads(answer.removeprefix("answer")) == right["answer"]
    assert ("rule" not in right) or f"decided by rule {right['rule']!r}" in output
