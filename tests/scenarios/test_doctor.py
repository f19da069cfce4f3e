"""`flask taskrouter doctor` at a running service, at the emulator, and through proxies that do what proxies do."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import insert

from enrich.cli import doctor
from enrich.database import migrations
from enrich.database.clock import clock_of
from enrich.database.engine import Database
from enrich.demo.processes import Processes, free_port
from enrich.domain.findings import Finding, Level
from enrich.journal.tables import EntryRow
from enrich.services import Services
from enrich.taskrouter.endpoints import NEEDED_EVENTS
from taskrouter_emulator import EMULATOR_ONLY, EmulatorServer
from taskrouter_emulator.model.event_streams import SinkStatus
from tests.support.app import run_command
from tests.support.contact_centre import ContactCentre, Service
from tests.support.databases import copy_template
from tests.support.event_sinks import TASKROUTER, add_sink
from tests.support.worker import app_of

Findings = dict[str, Finding]


def examine(service: Service, *, ahead: timedelta = timedelta(0), **settings: str) -> Findings:
    """Return the doctor's findings with the service's settings, except for these: the worst of each check, by name.

    ahead: how far our clock is.
    """
    findings: Findings = {}
    with app_of(service, **settings) as app:
        services: Services = app.extensions["enrich"]
        clock = clock_of(services.database, wall=lambda: time.time() + ahead.total_seconds())
        for finding in doctor.examine(replace(services, clock=clock)):
            if finding.check not in findings or finding.level > findings[finding.check].level:
                findings[finding.check] = finding
    return findings


def told(finding: Finding) -> str:
    return f"{finding.found} | {finding.meaning} | {finding.todo}"


@dataclass
class Front:
    """A proxy on loopback: where it listens, what it leads to, and what it does to requests on the way."""

    address: str = ""
    to: str = ""
    strip: str = ""
    drop: str = ""
    redirect: str = ""
    answer: int | None = None
    edit_body: bool = False
    sort_query: bool = False


@pytest.fixture(scope="module")
def proxy() -> Iterator[Front]:
    """It has to be there first: the service is told its address at its start."""
    front = Front()

    class Handler(BaseHTTPRequestHandler):
        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if front.answer is not None or front.redirect:
                self.send_response(front.answer or 308)
                if front.redirect:
                    self.send_header("Location", front.redirect + self.path)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            headers = {name: value for name, value in self.headers.items() if name not in (front.drop, "Host")}
            if front.edit_body:
                body = body.replace(b"%2B", b"+")
                headers["Content-Length"] = str(len(body))
            path, mark, query = self.path.removeprefix(front.strip).partition("?")
            if front.sort_query:
                query = "&".join(sorted(query.split("&")))
            url = front.to + path + mark + query
            response = requests.request(self.command, url, data=body, headers=headers, timeout=10)
            self.send_response(response.status_code)
            self.send_header("Content-Length", str(len(response.content)))
            self.end_headers()
            self.wfile.write(response.content)

        do_GET = do_POST = _pass_on

        def log_message(self, format: str, *args: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        front.address = f"http://127.0.0.1:{server.server_address[1]}"
        yield front
        server.shutdown()
        thread.join()


@contextmanager
def tls_server(certificate: Path, key: Path) -> Iterator[str]:
    """The address of a server with a certificate that it has signed itself."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"https://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def front(proxy: Front) -> Front:
    """The proxy, with nothing in force."""
    for setting in fields(Front):
        if setting.name != "address":
            setattr(proxy, setting.name, setting.default)
    return proxy


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    with Processes({}, tmp_path_factory.mktemp("doctor") / "logs") as running:
        yield running


@pytest.fixture(scope="module")
def behind(start_service: Callable[..., Service], proxy: Front) -> Callable[..., Service]:
    """The service, told that its address is that of the proxy, in this form."""

    def behind(form: str = "{}") -> Service:
        return start_service(PUBLIC_URL=form.format(proxy.address), WEB_CONCURRENCY="1")

    return behind


@pytest.fixture(scope="module")
def here(start_service: Callable[..., Service], processes: Processes) -> Service:
    """A whole installation: service, worker, a long secret."""
    service = start_service(SECRET_KEY="0123456789abcdef" * 4, METRICS_TOKEN="0123456789abcdef")
    processes.start("worker", "flask", "worker", env=service.environment)
    details = {"Authorization": "Bearer 0123456789abcdef"}
    ready = threading.Event()
    for _ in range(300):
        told = requests.get(f"{service.url}/readyz", headers=details, timeout=5).json()
        if told["worker"] == "ok":
            ready.set()
            break
        ready.wait(0.1)
    assert ready.is_set(), told
    return service


class TestAllIsWell:
    def test_a_whole_installation_has_no_findings(
        self, here: Service, emulator: EmulatorServer, tmp_path: Path
    ) -> None:
        file = tmp_path / "taskrouter.toml"
        file.write_text(
            '[workspace]\nname = "Examined"\ncreate = true\n[[queues]]\nname = "All"\n'
            '[[workflows]]\nname = "Main"\ndefault = "All"\n'
        )
        with app_of(here) as app:
            code, output = run_command(app, "taskrouter", "provision", str(file))
        assert code == 0, output
        sid = output.rpartition("TWILIO_WORKSPACE_SID=")[2].strip()

        findings = examine(here, TWILIO_WORKSPACE_SID=sid)
        assert {name: each.level for name, each in findings.items() if each.level} == {}
        assert "is in the journal" in findings["round_trip"].found
        assert {"worker", "migrations", "credentials", "assignment_url", "events_filter"} <= set(findings)

    def test_the_command_tells_programs_and_people(self, here: Service) -> None:
        """Without a workspace of its own there is something to tell: the status is that of the worst finding."""
        with app_of(here, TWILIO_WORKSPACE_SID="WS" + "f" * 32) as app:
            runner = app.test_cli_runner()
            for_people = runner.invoke(args=["taskrouter", "doctor"])
            for_programs = runner.invoke(args=["taskrouter", "doctor", "--json"])
        assert for_people.exit_code == for_programs.exit_code == 2
        assert "problem  workspace" in for_people.output
        assert "Fix" in for_people.output
        document = json.loads(for_programs.output)
        assert document["status"] == "problem"
        assert {"level", "check", "found", "meaning", "todo"} == set(document["findings"][0])

    def test_a_clock_that_is_wrong(self, here: Service) -> None:
        findings = examine(here, ahead=timedelta(minutes=5))
        assert findings["clock_taskrouter"].level is Level.PROBLEM
        assert "ahead of TaskRouter's" in findings["clock_taskrouter"].found

    def test_a_worker_that_is_gone(self, here: Service) -> None:
        assert examine(here)["worker"].level is Level.OK
        assert examine(here, ahead=timedelta(minutes=5))["worker"].level is Level.PROBLEM

    def test_credentials(self, here: Service) -> None:
        assert examine(here, TWILIO_AUTH_TOKEN="wrong")["credentials"].level is Level.PROBLEM
        findings = examine(here, TWILIO_API_KEY="SK" + "0" * 32, TWILIO_API_SECRET="x")
        assert findings["credentials"].level is Level.PROBLEM
        assert findings["auth_token"].level is Level.OK
        assert "does not respond" in examine(here, TASKROUTER_BASE_URL="http://127.0.0.1:1")["credentials"].found


class TestTheWayThroughProxies:
    def test_a_proxy_that_takes_the_prefix_off(self, behind: Callable[..., Service], front: Front) -> None:
        service = behind("{}/enrich")
        front.to, front.strip = service.url, "/enrich"
        assert examine(service)["round_trip"].level is Level.OK

    def test_a_proxy_that_passes_the_prefix_on(self, behind: Callable[..., Service], front: Front) -> None:
        service = behind("{}/enrich")
        front.to = service.url
        finding = examine(service)["round_trip"]
        assert finding.level is Level.PROBLEM
        assert "take /enrich off" in told(finding)

    def test_a_service_that_believes_in_https_behind_http(
        self, start_service: Callable[..., Service], front: Front
    ) -> None:
        https = front.address.replace("http:", "https:")
        service = start_service(PUBLIC_URL=https, WEB_CONCURRENCY="1")
        front.to = service.url
        finding = examine(service, PUBLIC_URL=front.address)["round_trip"]
        assert finding.level is Level.PROBLEM
        assert f"has the PUBLIC_URL {https}" in finding.found

    def test_a_service_that_believes_in_its_own_port(self, service: Service, front: Front) -> None:
        """It was started without the public address, as on a developer's machine."""
        front.to = service.url
        finding = examine(service, PUBLIC_URL=front.address)["round_trip"]
        assert finding.level is Level.PROBLEM
        assert "has the PUBLIC_URL http://127.0.0.1, whatever the port" in finding.found

    @pytest.mark.parametrize(
        ("setting", "value", "expected"),
        [
            ("drop", "X-Twilio-Signature", "passes on X-Twilio-Signature"),
            ("edit_body", True, "leaves body, path and query as they are"),
            ("redirect", "https://www.example.test", "a redirect to https://www.example.test/taskrouter/events"),
            ("answer", 401, "asks for a password"),
            ("answer", 502, "start gunicorn"),
            ("answer", 200, "204 was expected"),
        ],
    )
    def test_a_proxy_that_spoils_it(
        self, behind: Callable[..., Service], front: Front, setting: str, value: Any, expected: str
    ) -> None:
        service = behind()
        front.to = service.url
        assert examine(service)["round_trip"].level is Level.OK
        setattr(front, setting, value)
        finding = examine(service)["round_trip"]
        assert finding.level is Level.PROBLEM
        assert expected in told(finding)

    def test_a_proxy_that_sorts_the_query(
        self, behind: Callable[..., Service], front: Front, open_centre: Callable[..., ContactCentre]
    ) -> None:
        """The round trip has the query that is configured at TaskRouter."""
        service = behind()
        front.to = service.url
        centre = open_centre(service)
        url = f"{front.address}/taskrouter/events?site=north&by=sip:desk@example.com#rc=2"
        centre.workspace.update(event_callback_url=url)
        assert examine(service, TWILIO_WORKSPACE_SID=centre.workspace_sid)["round_trip"].level is Level.OK
        front.sort_query = True
        finding = examine(service, TWILIO_WORKSPACE_SID=centre.workspace_sid)["round_trip"]
        assert finding.level is Level.PROBLEM
        assert "order of its parameters" in told(finding)

    def test_a_certificate_that_nobody_vouches_for(self, service: Service, self_signed: tuple[Path, Path]) -> None:
        with tls_server(*self_signed) as address:
            finding = examine(service, PUBLIC_URL=address)["round_trip"]
        assert finding.level is Level.PROBLEM
        assert "its certificate is invalid (certificate verify failed: self-signed" in finding.found

    def test_a_name_that_nobody_knows(self, service: Service) -> None:
        finding = examine(service, PUBLIC_URL="http://hooks.nowhere.invalid")["round_trip"]
        assert "its name does not resolve" in finding.found

    def test_nobody_is_there(self, service: Service) -> None:
        finding = examine(service, PUBLIC_URL=f"http://127.0.0.1:{free_port(0)}")["round_trip"]
        assert "the connection is refused" in finding.found

    def test_another_installation_is_there(self, service: Service, sqlite_template: Path, tmp_path: Path) -> None:
        """The same account, and another database: what is sent there is not found here."""
        url = copy_template(sqlite_template, tmp_path / "other.db")
        finding = examine(service, DATABASE_URL=url)["round_trip"]
        assert "is not in this database" in finding.found


class TestTaskRouterIsSetUpOtherwise:
    @pytest.fixture
    def there(self, open_centre: Callable[..., ContactCentre], service: Service) -> tuple[Service, ContactCentre]:
        return service, open_centre(service, events="task.created")

    def look(self, there: tuple[Service, ContactCentre]) -> Findings:
        return examine(there[0], TWILIO_WORKSPACE_SID=there[1].workspace_sid)

    def workflow(self, centre: ContactCentre) -> Any:
        return centre.workspace.workflows(centre.workspace.workflows.list()[0].sid)

    def test_urls_that_are_not_public_urls(self, there: tuple[Service, ContactCentre]) -> None:
        service, centre = there
        https = service.url.replace("http:", "https:")
        self.workflow(centre).update(
            assignment_callback_url=f"{https}/taskrouter/assignment",
            fallback_assignment_callback_url=f"{https}/taskrouter/assignment",
            task_reservation_timeout=5,
        )
        findings = self.look(there)
        assert "scheme https there, http here" in findings["assignment_url"].todo
        assert findings["fallback_url"].level is Level.WARNING
        assert findings["reservation_timeout"].level is Level.PROBLEM

    def test_events_that_are_held_back(self, there: tuple[Service, ContactCentre]) -> None:
        findings = self.look(there)
        assert "task.completed" in findings["events_filter"].found
        assert findings["event_retries"].level is Level.WARNING
        centre = there[1]
        centre.workspace.update(event_callback_url="https://else.example.test/events")
        assert self.look(there)["events_url"].level is Level.WARNING

    def test_a_workspace_that_does_not_exist(self, service: Service) -> None:
        findings = examine(service, TWILIO_WORKSPACE_SID="WS" + "f" * 32)
        assert findings["workspace"].level is Level.PROBLEM
        # The running service takes every workspace, so the event itself arrives.
        assert findings["round_trip"].level is Level.OK


class TestWhatTheJournalShows:
    @pytest.fixture
    def alone(self, service: Service, sqlite_database: Database) -> Service:
        """The settings of the service, with a database of the test's own."""
        environment = {**service.environment, "DATABASE_URL": str(sqlite_database.url)}
        return replace(service, database=sqlite_database, environment=environment)

    def keep(self, service: Service, **values: Any) -> None:
        row = {"kind": "assignment", "claim": "0", "received_at": datetime.now(UTC), "raw_form": ""}
        service.database.write(insert(EntryRow).values(**(row | values)))

    def test_accepting_calls(self, alone: Service) -> None:
        self.keep(alone, raw_form="TaskAttributes=%7B%22topic%22%3A%22bill%22%7D")
        assert examine(alone, ENRICH_DEFAULT_INSTRUCTION="accept")["instruction"].level is Level.OK
        self.keep(alone, raw_form="TaskAttributes=%7B%22call_sid%22%3A%22CA1%22%7D")
        finding = examine(alone, ENRICH_DEFAULT_INSTRUCTION="accept")["instruction"]
        assert finding.level is Level.PROBLEM
        assert "1 of the last 2 tasks were calls" in finding.found
        assert examine(alone)["instruction"].level is Level.OK

    def test_attributes_that_leave_no_room(self, alone: Service) -> None:
        self.keep(alone, attributes_before="{}", attributes_after='{"a":1,"crm":{"match":"matched"}}')
        assert examine(alone)["headroom"].level is Level.OK
        self.keep(alone, attributes_before="{}", attributes_after='{"crm":{"match":"matched","trimmed":true}}')
        assert examine(alone)["headroom"].level is Level.WARNING
        self.keep(alone, attributes_before="x" * 4_090, reason="no_room")
        finding = examine(alone)["headroom"]
        assert finding.level is Level.PROBLEM
        assert "the longest attributes had 4,090 of 4,096" in finding.found

    def test_a_database_without_its_tables(self, alone: Service) -> None:
        migrations.downgrade(alone.database, "base")
        findings = examine(alone)
        assert findings["migrations"].level is Level.PROBLEM
        assert "worker" not in findings

    def test_a_database_that_is_not_there(self, alone: Service) -> None:
        finding = examine(alone, DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")["database"]
        assert (finding.level, "database_unavailable" in finding.found) == (Level.PROBLEM, True)


def test_a_postgresql_tells_its_time_and_what_it_logs(service: Service, postgresql: str) -> None:
    findings = examine(service, DATABASE_URL=postgresql)
    assert findings["clock_the_database"].level is Level.OK
    assert findings["server_log"].level is Level.OK
    findings = examine(service, ahead=timedelta(hours=1), DATABASE_URL=postgresql)
    assert findings["clock_the_database"].found == "our clock is 3600 s ahead of the database's"
    assert findings["clock_the_database"].level is Level.PROBLEM
    assert findings["clock_taskrouter"].level is Level.OK, "the service works by the database's clock"


def test_event_streams_is_a_way_in(service: Service) -> None:
    """The callback is taken; a sink delivers. Where the API may not be asked, that is said."""
    # Sinks are the account's, and the shared emulator has those of other tests.
    with EmulatorServer() as streams:
        assert "event_stream" not in examine(service, TWILIO_EVENTS_BASE_URL=streams.base_url)
        sink = add_sink(streams, f"{service.url}/taskrouter/event-streams", *(TASKROUTER + e for e in NEEDED_EVENTS))
        assert examine(service, TWILIO_EVENTS_BASE_URL=streams.base_url)["event_stream"].level is Level.OK
        sink.status = SinkStatus.FAILED
        assert examine(service, TWILIO_EVENTS_BASE_URL=streams.base_url)["event_stream"].level is Level.PROBLEM
        streams.faults.status(403, path="/v1/Sinks")
        findings = examine(service, TWILIO_EVENTS_BASE_URL=streams.base_url, PUBLIC_URL="http://127.0.0.1:9")
        assert "not_authorized" in told(findings["event_stream"])


def test_a_policy_file_that_is_wrong(service: Service, tmp_path: Path) -> None:
    """Through the real command: the service would not start, and the doctor says so instead of failing itself."""
    file = tmp_path / "policy.toml"
    file.write_text("nonsense = 1\n")
    environment = {**os.environ, **service.environment, "ENRICH_POLICY": str(file)}
    command = [sys.executable, "-m", "flask", "taskrouter", "doctor", "--json"]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 2, run.stderr
    (finding,) = [each for each in json.loads(run.stdout)["findings"] if each["check"] == "policy"]
    assert (finding["level"], "nonsense" in finding["found"]) == ("problem", True)
    worker = subprocess.run(
        [sys.executable, "-m", "flask", "worker", "--once"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (worker.returncode, "nonsense" in worker.stderr) == (1, True)


def test_settings_that_are_missing(emulator: EmulatorServer, tmp_path: Path) -> None:
    """It examines what it can, and says what it cannot do without."""
    nothing = Service("", None, {"ENRICH_INSTANCE_PATH": str(tmp_path)})  # type: ignore[arg-type]
    findings = examine(nothing)
    assert "SECRET_KEY, PUBLIC_URL, TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN" in findings["settings"].found
    assert "round_trip" not in findings
    weak = examine(nothing, SECRET_KEY="secret", TWILIO_ACCOUNT_SID=EMULATOR_ONLY.account_sid)
    assert weak["secret_key"].level is Level.PROBLEM
