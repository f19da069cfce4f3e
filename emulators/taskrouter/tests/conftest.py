"""Fixtures: an emulator in frozen virtual time, reached through the official SDK, and a receiver of webhooks.

Every response to `client` and `http` is compared with Twilio's OpenAPI document, if it is available.
"""

import json
import os
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from urllib.parse import urlsplit

import hypothesis
import pytest
from playwright.sync_api import Browser, sync_playwright
from requests import Response, Session
from twilio.rest import Client

from support import openapi_contract as openapi
from support.browser import CHROMIUM
from support.npm import npm_pack
from support.receiver import Receiver
from support.workspace_driver import WorkspaceDriver
from taskrouter_emulator import EmulatorServer

# The same examples in every run; to look for more: HYPOTHESIS_PROFILE=search pytest emulators/taskrouter/tests
hypothesis.settings.register_profile("steady", derandomize=True, deadline=None)
hypothesis.settings.register_profile("search", max_examples=2000, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "scenario: starts programs, and needs seconds")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver.start() as running:
        yield running


@pytest.fixture
def emulator() -> Iterator[EmulatorServer]:
    with EmulatorServer(clock=lambda: NOON, ticking=False, seed="tests") as running:
        yield running


@pytest.fixture(scope="session")
def contract(request: pytest.FixtureRequest) -> openapi.Contract:
    """Twilio's OpenAPI document; tests that need it are skipped where it cannot be fetched."""
    cache = request.config.cache.mkdir("npm")
    return openapi.Contract.read(npm_pack(openapi.PACKAGE, openapi.INTEGRITY, cache))


@pytest.fixture(scope="session")
def contract_if_any(request: pytest.FixtureRequest) -> openapi.Contract | None:
    """Twilio's OpenAPI document, or None: for tests that check it only in passing."""
    try:
        contract: openapi.Contract = request.getfixturevalue("contract")
    except pytest.skip.Exception:
        return None
    return contract


@pytest.fixture
def held_to_the_contract(
    emulator: EmulatorServer, contract_if_any: openapi.Contract | None
) -> Iterator[Callable[[Session], None]]:
    """Compare every response of a session with the document, except those that a fault has spoiled."""
    complaints: list[str] = []

    def validate(response: Response, *_arguments: object, **_parameters: object) -> None:
        parts = urlsplit(response.url)
        method = response.request.method or ""
        if contract_if_any is None or method == "HEAD" or not parts.path.startswith("/v1/"):
            return
        if not emulator.log.entries("fault_struck", method=method, path=parts.path):
            found = contract_if_any.complaints(
                method, parts.path, response.status_code, response.headers, response.text
            )
            complaints.extend(f"{method} {parts.path}: {complaint}" for complaint in found)

    yield lambda session: session.hooks["response"].append(validate)
    assert not complaints, "\n".join(complaints)


def connect(emulator: EmulatorServer) -> Client:
    client = Client(emulator.account_sid, emulator.auth_token)
    client.taskrouter.base_url = emulator.base_url
    client.http_client.session.trust_env = False  # a tenth of all time was spent looking for proxies
    return client


@pytest.fixture
def client(emulator: EmulatorServer, held_to_the_contract: Callable[[Session], None]) -> Iterator[Client]:
    made = connect(emulator)
    held_to_the_contract(made.http_client.session)
    yield made
    made.http_client.session.close()


@pytest.fixture
def http(emulator: EmulatorServer, held_to_the_contract: Callable[[Session], None]) -> Iterator[Session]:
    """Plain requests with credentials, for what the SDK cannot do."""
    with Session() as session:
        held_to_the_contract(session)
        session.trust_env = False
        session.auth = (emulator.account_sid, emulator.auth_token)
        yield session


@pytest.fixture
def driver(emulator: EmulatorServer, client: Client) -> WorkspaceDriver:
    """A workspace that is set up without HTTP, for speed; `test_setup_resources` does it over REST."""
    setup = emulator.state.provisioning
    made = setup.create_workspace("Support")
    activities = {activity.friendly_name: activity.sid for activity in made.activities.values()}
    queue = setup.create_task_queue(made, "Everybody")
    configuration = json.dumps({"task_routing": {"filters": [], "default_filter": {"queue": queue.sid}}})
    workflow = setup.create_workflow(made, "Main", configuration, task_reservation_timeout=120)
    return WorkspaceDriver(client.taskrouter.v1.workspaces(made.sid), activities, queue.sid, workflow.sid, emulator)


@pytest.fixture
def unused_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A real browser, closed with its module: one Playwright runs at a time, and the service's tests have theirs."""
    quiet = ["--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *quiet])
        yield browser
        browser.close()
