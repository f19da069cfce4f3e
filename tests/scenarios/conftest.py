"""The service under gunicorn, the emulator, and both meeting over real HTTP on loopback."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from twilio.rest import Client

from enrich.database import migrations
from enrich.database.engine import Database
from enrich.demo.processes import Processes
from enrich.services import Services
from taskrouter_emulator import EMULATOR_ONLY, EmulatorServer
from tests.support.contact_centre import ContactCentre, Service, service_environment, sid
from tests.support.databases import seed_customers
from tests.support.worker import services_of


@pytest.fixture(scope="session")
def shared_emulator() -> Iterator[EmulatorServer]:
    """The emulator that `service` calls. Its clock is never put forward, so that it agrees with the service's."""
    with EmulatorServer() as emulator:
        yield emulator


@pytest.fixture(scope="session")
def emulator(shared_emulator: EmulatorServer) -> EmulatorServer:
    """The emulator of a test. Modules that put the clock forward override it with `emulator_ahead`."""
    return shared_emulator


@pytest.fixture(scope="session")
def emulator_ahead() -> Iterator[EmulatorServer]:
    """The emulator of tests that put its clock forward, which cannot be undone; their services call no other."""
    with EmulatorServer() as emulator:
        yield emulator


@pytest.fixture(autouse=True)
def _no_fault_outlives_its_test(emulator: EmulatorServer) -> Iterator[None]:
    yield
    emulator.faults.clear()


@pytest.fixture(scope="session")
def start_service(
    shared_emulator: EmulatorServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Service]]:
    """Starts the service as it is shipped, under gunicorn; once for the same settings, since that takes a second."""
    running: dict[tuple[tuple[str, str], ...], Service] = {}
    folder = tmp_path_factory.mktemp("services")
    with Processes({}, folder / "logs") as processes:

        def start(**settings: str) -> Service:
            key = tuple(sorted(settings.items()))
            if key not in running:
                running[key] = _start(f"web{len(running)}", processes, folder, shared_emulator.base_url, settings)
            return running[key]

        yield start
        for service in running.values():
            service.database.close()


def _start(name: str, processes: Processes, folder: Path, taskrouter: str, settings: Mapping[str, str]) -> Service:
    defaults = {
        "METRICS_TOKEN": "not-a-real-token",
        # One test's failures must not be the next one's; what a breaker does has tests of its own.
        "ENRICH_BREAKER_FAILURES": "1000000",
    }
    environment = service_environment(taskrouter, f"sqlite:///{folder / name}.db", **{**defaults, **settings})
    url = f"http://{environment['BIND']}"
    database = Database(environment["DATABASE_URL"])
    migrations.upgrade(database)
    seed_customers(database, datetime.now(UTC))
    processes.start(name, "gunicorn", "app:create_app()", env=environment)
    processes.wait_for(name, f"{url}/readyz", lambda: False)
    return Service(url, database, environment)


@pytest.fixture(scope="session")
def service(start_service: Callable[..., Service]) -> Service:
    """The service with its default settings."""
    return start_service()


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Starts processes, which end with the test."""
    with Processes({}, tmp_path / "logs") as processes:
        yield processes


@pytest.fixture
def own_service(database: Database, emulator: EmulatorServer) -> Service:
    """A service with a database of its own, of both kinds. Its processes are started by the test."""
    seed_customers(database, datetime.now(UTC))
    environment = service_environment(emulator.base_url, database.url.render_as_string(hide_password=False))
    return Service(environment["PUBLIC_URL"], database, environment)


@pytest.fixture
def open_centre(emulator: EmulatorServer) -> Callable[..., ContactCentre]:
    """Makes a workspace whose workflow asks the given service; each test has its own."""
    client = Client(EMULATOR_ONLY.account_sid, EMULATOR_ONLY.auth_token)
    client.taskrouter.base_url = emulator.base_url
    opened: list[ContactCentre] = []

    def open_centre(service: Service, *, reservation_timeout_s: int = 120, events: str = "") -> ContactCentre:
        workspaces = client.taskrouter.v1.workspaces
        created = workspaces.create(
            friendly_name="Scenario",
            **({"event_callback_url": f"{service.url}/taskrouter/events", "events_filter": events} if events else {}),
        )
        workspace = workspaces(created.sid)
        available = next(each.sid for each in workspace.activities.list() if each.available)
        worker = workspace.workers.create(
            friendly_name="dana", activity_sid=available, attributes='{"contact_uri":"client:dana"}'
        )
        for channel in ("default", "voice", "chat"):
            workspace.workers(worker.sid).worker_channels(channel).update(capacity=50)
        queue = workspace.task_queues.create(friendly_name="Everyone", target_workers="1==1")
        workspace.workflows.create(
            friendly_name="All",
            configuration=json.dumps({"task_routing": {"filters": [], "default_filter": {"queue": queue.sid}}}),
            assignment_callback_url=f"{service.url}/taskrouter/assignment",
            fallback_assignment_callback_url=f"{service.url}/taskrouter/assignment/fallback",
            task_reservation_timeout=reservation_timeout_s,
        )
        opened.append(ContactCentre(emulator, workspace, created.sid, worker.sid))
        return opened[-1]

    return open_centre


@pytest.fixture
def centre(open_centre: Callable[..., ContactCentre], service: Service) -> ContactCentre:
    """A contact centre that asks the service with its default settings."""
    return open_centre(service)


@pytest.fixture
def make_callback() -> Callable[..., dict[str, str]]:
    """Builds the form of an assignment callback; every SID is new unless given."""

    def make_callback(**changes: str) -> dict[str, str]:
        return {
            "AccountSid": EMULATOR_ONLY.account_sid,
            "WorkspaceSid": sid("WS"),
            "WorkflowSid": sid("WW"),
            "TaskQueueSid": sid("WQ"),
            "TaskSid": sid("WT"),
            "ReservationSid": sid("WR"),
            "WorkerSid": sid("WK"),
            "TaskAge": "0",
            "TaskPriority": "0",
            "TaskAttributes": '{"from":"+14155550100"}',
            "WorkerAttributes": '{"contact_uri":"client:dana"}',
            **changes,
        }

    return make_callback


@pytest.fixture
def services(service: Service) -> Iterator[Services]:
    """The services of the default service, in this process."""
    with services_of(service) as services:
        yield services
