"""The whole service logs what it did, and nobody's data, whatever goes wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import text

from enrich.database import migrations
from enrich.database.engine import Database
from enrich.demo.processes import Processes
from taskrouter_emulator import EmulatorServer
from tests.support.contact_centre import ContactCentre, Service, service_environment, sid
from tests.support.databases import seed_customers
from tests.support.waiting import wait_until

ASSIGNMENT = "/taskrouter/assignment"
NUMBER, EMAIL, NAME = "+14155550100", "ada.private@example.com", "Zebedee Quill"
# As it could stand in a line, quoted, escaped or taken apart.
PERSONAL = (
    "4155550100",
    "ada.private",
    "Zebedee",
    "Quill",
    "Lovelace",
    "Analytical",
    "Dana Private",
    "s3cret-word",
)

Run = Callable[[str], tuple[Service, Callable[[], str]]]


@pytest.fixture
def run(emulator: EmulatorServer, tmp_path: Path, postgresql: str) -> Iterator[Run]:
    """Starts a service and its worker on PostgreSQL; gives it, and how to read all that both have written."""
    database = Database(postgresql)
    with database.engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    migrations.upgrade(database)
    seed_customers(database, datetime.now(UTC))
    with Processes({}, tmp_path / "logs") as processes:

        def start(application: str) -> tuple[Service, Callable[[], str]]:
            environment = service_environment(
                emulator.base_url,
                postgresql,
                SECRET_KEY="not-a-real-key-but-one-to-look-for",
                METRICS_TOKEN="a-metrics-token-to-look-for",
                ENRICH_BUDGET_S="0.5",
                ENRICH_BREAKER_FAILURES="1000000",
                FLASK_APP=application,
            )
            url = environment["PUBLIC_URL"]
            processes.start("web", "gunicorn", application, env=environment)
            processes.start("worker", "flask", "worker", env=environment)
            processes.wait_for("web", f"{url}/readyz", lambda: False)
            folder = tmp_path / "logs"
            return (
                Service(url, database, environment),
                lambda: "".join(path.read_text() for path in sorted(folder.glob("*.log"))),
            )

        yield start
    database.close()


def attributes() -> dict[str, Any]:
    return {"from": NUMBER, "name": NAME, "email": EMAIL, "customer_id": NAME, "call_sid": "CA" + "1" * 32}


def test_nothing_personal_and_no_secret_is_logged_whatever_goes_wrong(
    run: Run,
    open_centre: Callable[..., ContactCentre],
    make_callback: Callable[..., dict[str, str]],
) -> None:
    service, written = run("tests.scenarios.broken:create_app()")
    centre = open_centre(service, events="task.created")
    # Internal error that quotes whom it was looking for, in the web process and then in the worker.
    task_sid = centre.task_arrives(attributes())
    centre.answer(task_sid)
    # Callbacks that cannot be understood, that nobody signed, and that a constraint of the database refuses.
    worker = json.dumps({"full_name": "Dana Private", "email": EMAIL})
    service.post(ASSIGNMENT, make_callback(TaskAttributes=f'{{"from":"{NUMBER}"', WorkerAttributes=worker))
    service.post(f"{ASSIGNMENT}?q={EMAIL}", make_callback(TaskAttributes=json.dumps(attributes())), "forged")
    with service.database.engine.begin() as connection:
        connection.execute(
            text("ALTER TABLE entries ADD CONSTRAINT quoting CHECK (worker_name <> 'Dana Private') NOT VALID")
        )
    service.post(ASSIGNMENT, make_callback(TaskAttributes=json.dumps(attributes()), WorkerAttributes=worker))
    event = {"Sid": sid("EV"), "EventType": "task.created", "WorkerName": "Dana Private", "TaskAttributes": EMAIL}
    assert service.post("/taskrouter/events", event).status_code == 503
    # A page that fails on the way to the database, with an address that holds a name; and a wrong password.
    session = requests.Session()
    form = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', session.get(service.url + "/login", timeout=5).text)
    assert form
    sign_in = {"email": EMAIL, "password": "s3cret-word", "csrf_token": form[1]}
    assert session.post(service.url + "/login", data=sign_in, timeout=10).status_code == 401
    with service.database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE users RENAME COLUMN password_hash TO gone"))
    assert session.post(f"{service.url}/login?next=/?q={EMAIL}", data=sign_in, timeout=10).status_code == 503
    wait_until(lambda: "follow-up failed" in written(), 30)

    log = written()
    assert [word for word in PERSONAL if word in log] == []
    secret = (service.environment[name] for name in ("SECRET_KEY", "TWILIO_AUTH_TOKEN", "METRICS_TOKEN"))
    assert [word for word in secret if word in log] == []
    # All of that was told nevertheless: where, what, and of which reservation.
    lines = [json.loads(line) for line in log.splitlines()]
    mistake = next(line for line in lines if line["event"] == "assignment failed")
    assert mistake["task_sid"] == task_sid
    assert "in look_up" in mistake["exception"]
    assert mistake["exception"].endswith("ValueError")
    events = {line["event"] for line in lines}
    assert events >= {"assignment", "refused", "receipt not recorded", "event not recorded", "follow-up failed"}


def test_a_follow_up_is_found_by_the_entry_of_its_callback(run: Run, open_centre: Callable[..., ContactCentre]) -> None:
    service, written = run("app:create_app()")
    centre = open_centre(service)
    centre.emulator.faults.status(500, path="/Tasks/WT")
    task_sid = centre.task_arrives(attributes())
    centre.answer(task_sid)
    centre.emulator.faults.clear()
    (callback,) = (line for line in _lines(written) if line["event"] == "assignment")
    wait_until(
        lambda: any(line["event"] == "follow-up" and line["outcome"] == "enriched" for line in _lines(written)), 30
    )
    late = next(line for line in _lines(written) if line["event"] == "follow-up" and line["outcome"] == "enriched")
    assert callback["entry"] == late["entry"] == service.entries(task_sid=task_sid)[0].id
    assert callback["reservation_sid"] == late["reservation_sid"]
    assert (callback["outcome"], callback["reason"]) == ("could_not_write", "taskrouter_failed")
    assert callback["steps"].keys() >= {"receive", "look_up", "fetch", "conclude"}
    assert callback["left_ms"] >= 0
    assert callback["idempotency_token"]


def _lines(written: Callable[[], str]) -> list[Any]:
    return [json.loads(line) for line in written().splitlines(keepends=True) if line.endswith("\n")]
