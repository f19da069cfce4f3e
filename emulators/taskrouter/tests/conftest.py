"""A fresh emulator per test, in frozen virtual time, reached through the official SDK; and a receiver of webhooks.

Whatever it answers to `client` and `http` is held against Twilio's OpenAPI document, if that can be had.
"""

import asyncio
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import hypothesis
import pytest
from playwright.sync_api import Browser, sync_playwright
from requests import Response, Session
from twilio.rest import Client

from support import openapi_contract as openapi
from support.browser import CHROMIUM
from support.npm import npm_pack
from taskrouter_emulator import EmulatorServer

# The same examples in every run; to look for more: HYPOTHESIS_PROFILE=search pytest emulators/taskrouter/tests
hypothesis.settings.register_profile("steady", derandomize=True, deadline=None)
hypothesis.settings.register_profile("search", max_examples=2000, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "scenario: starts programs, and needs seconds")


@dataclass(frozen=True)
class Received:
    """One webhook: the path with its query, the headers in lower case, the form."""

    path: str
    headers: dict[str, str]
    form: dict[str, str]


@dataclass
class Receiver:
    """A web server on loopback that answers webhooks as it is told. answers: path -> (status, content type, body)."""

    answers: dict[str, tuple[int, str, str]] = field(default_factory=dict)
    before: Callable[[Received], None] = lambda _received: None
    raw: dict[str, Callable[[Any], None]] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)
    base_url: str = ""
    _grown: threading.Condition = field(default_factory=threading.Condition)

    def answer(self, path: str, answer: object = None, *, status: int = 200, kind: str = "application/json") -> str:
        """Sets the answer for a path and gives its URL."""
        body = answer if isinstance(answer, str) else json.dumps({} if answer is None else answer)
        self.answers[path] = (status, kind, body)
        return self.base_url + path

    def write_raw(self, path: str, write: Callable[[Any], None]) -> str:
        """Lets a function write bytes to the socket instead of an answer, and gives the path's URL."""
        self.raw[path] = write
        return self.base_url + path

    def wait_for(self, fits: Callable[[Received], bool], timeout: float = 5.0) -> Received:
        with self._grown:
            assert self._grown.wait_for(lambda: any(map(fits, self.received)), timeout), self.received
            return next(filter(fits, self.received))

    def on(self, path: str) -> list[Received]:
        with self._grown:
            return [one for one in self.received if one.path == path]

    def take(self, received: Received) -> tuple[int, str, str]:
        self.before(received)
        with self._grown:
            self.received.append(received)
            self._grown.notify_all()
        return self.answers.get(received.path.partition("?")[0], (204, "application/json", ""))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    taking = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = dict(parse_qsl(body, keep_blank_values=True, strict_parsing=bool(body)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, kind, answer = taking.take(Received(self.path, headers, form))
            if self.path in taking.raw:
                taking.raw[self.path](self.wfile)
                return
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, format: str, *args: Any) -> None:
            return

    class Server(ThreadingHTTPServer):
        daemon_threads = False

        def handle_error(self, request: Any, client_address: Any) -> None:
            """The emulator hangs up on purpose when its deadline has passed."""

    with Server(("127.0.0.1", 0), Handler) as server:
        taking.base_url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield taking
        server.shutdown()
        thread.join()


@pytest.fixture
def emulator() -> Iterator[EmulatorServer]:
    with EmulatorServer(clock=lambda: NOON, ticking=False, seed="tests") as running:
        yield running


@pytest.fixture(scope="session")
def contract(request: pytest.FixtureRequest) -> openapi.Contract:
    """Twilio's OpenAPI document; whoever asks for it is skipped where it cannot be fetched."""
    cache = request.config.cache.mkdir("npm")
    return openapi.Contract.read(npm_pack(openapi.PACKAGE, openapi.INTEGRITY, cache))


@pytest.fixture(scope="session")
def contract_if_any(request: pytest.FixtureRequest) -> openapi.Contract | None:
    """The same, or None: for tests that are about something else and are held to it on the way."""
    try:
        return request.getfixturevalue("contract")
    except pytest.skip.Exception:
        return None


@pytest.fixture
def held_to_the_contract(
    emulator: EmulatorServer, contract_if_any: openapi.Contract | None
) -> Iterator[Callable[[Session], None]]:
    """Validates every answer that comes out of a session; answers that a fault has spoiled are left alone."""
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
    """Plain requests, signed in, for what the SDK cannot do."""
    with Session() as session:
        held_to_the_contract(session)
        session.trust_env = False
        session.auth = (emulator.account_sid, emulator.auth_token)
        yield session


@dataclass
class Desk:
    """A workspace with one queue for everybody and one workflow; makes workers and tasks, through the SDK."""

    workspace: Any
    activities: dict[str, str]
    queue_sid: str
    workflow_sid: str
    emulator: EmulatorServer

    def worker(self, name: str = "dana", activity: str = "Available", **attributes: object) -> str:
        attributes = {"contact_uri": f"client:{name}", **attributes}
        worker = self.workspace.workers.create(
            friendly_name=name, activity_sid=self.activities[activity], attributes=json.dumps(attributes)
        )
        return str(worker.sid)

    def task(self, attributes: str = '{"from":"+14155550100"}', **parameters: object) -> str:
        return str(self.workspace.tasks.create(attributes=attributes, **parameters).sid)

    def status(self, task_sid: str) -> str:
        return str(self.workspace.tasks(task_sid).fetch().assignment_status)

    def reservation(self, task_sid: str) -> Any:
        """The newest reservation of the task."""
        return self.workspace.tasks(task_sid).reservations.list()[-1]

    def callbacks(self, url: str, fallback: str | None = None, **parameters: object) -> None:
        more = {"fallback_assignment_callback_url": fallback} if fallback else {}
        self.workspace.workflows(self.workflow_sid).update(assignment_callback_url=url, **more, **parameters)

    def set_reservation_status(self) -> None:
        """Lets every callback under way end, and every worker who is dialled answer."""
        self.emulator.deliveries.wait_until_idle()
        self.emulator.state.advance(1)
        self.emulator.deliveries.wait_until_idle()

    def kinds(self, *wanted: str) -> list[str]:
        return [str(entry["kind"]) for entry in self.emulator.log.entries() if entry["kind"] in wanted]

    def alerts(self) -> list[object]:
        return [entry["code"] or entry["alert"] for entry in self.emulator.log.entries("alert")]


@pytest.fixture
def desk(emulator: EmulatorServer, client: Client) -> Desk:
    """Set up without HTTP, which took a third of the time of all tests; `test_setup_resources` does it by REST."""
    setup = emulator.state.provisioning
    made = setup.create_workspace("Support")
    activities = {activity.friendly_name: activity.sid for activity in made.activities.values()}
    queue = setup.create_task_queue(made, "Everybody")
    configuration = json.dumps({"task_routing": {"filters": [], "default_filter": {"queue": queue.sid}}})
    workflow = setup.create_workflow(made, "Main", configuration, task_reservation_timeout=120)
    return Desk(client.taskrouter.v1.workspaces(made.sid), activities, queue.sid, workflow.sid, emulator)


@pytest.fixture
def unused_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A real browser, closed with its module: a thread runs one Playwright at a time, and the service has its own."""
    if asyncio._get_running_loop() is not None:
        pytest.skip("another Playwright is at work in this process: run these tests first, or alone")
    quiet = ["--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *quiet])
        yield browser
        browser.close()
