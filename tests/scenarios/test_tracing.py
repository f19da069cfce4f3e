"""Traces of the real service, sent to a real receiver: OTLP over HTTP on loopback."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from enrich.database import migrations
from enrich.database.engine import Database
from enrich.demo.processes import Processes
from taskrouter_emulator import EmulatorServer
from tests.support.contact_centre import ContactCentre, Service, service_environment
from tests.support.databases import seed_customers


class Receiver(ThreadingHTTPServer):
    """Takes what is exported, and keeps it."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, bytes]] = []
        received = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                received.requests.append((self.path, self.headers["X-Tenant"] or "", body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def spans(self, service: str = "taskrouter-enrich") -> list[Any]:
        found = []
        for _, _, body in list(self.requests):
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                named = {each.key: each.value.string_value for each in resource.resource.attributes}
                assert named["service.name"] == service
                found += [span for scope in resource.scope_spans for span in scope.spans]
        return found

    def wait_for(self, name: str) -> Any:
        until = time.monotonic() + 20
        while time.monotonic() < until:
            for span in self.spans():
                if span.name == name:
                    return span
            time.sleep(0.05)
        raise AssertionError(f"no {name}; there are {sorted(span.name for span in self.spans())}")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        yield receiver
        receiver.shutdown()


@pytest.fixture
def traced(emulator: EmulatorServer, receiver: Receiver, tmp_path: Path) -> Iterator[tuple[Service, Processes]]:
    """A service and its worker that send their traces to the receiver."""
    environment = service_environment(
        emulator.base_url,
        f"sqlite:///{tmp_path / 'enrich.db'}",
        ENRICH_BUDGET_S="0.5",
        OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url,
        OTEL_EXPORTER_OTLP_HEADERS="x-tenant=centre",
        OTEL_BSP_SCHEDULE_DELAY="200",
    )
    url = environment["PUBLIC_URL"]
    database = Database(environment["DATABASE_URL"])
    migrations.upgrade(database)
    seed_customers(database, datetime.now(UTC))
    with Processes({}, tmp_path / "logs") as processes:
        processes.start("web", "gunicorn", "app:create_app()", env=environment)
        processes.start("worker", "flask", "worker", env=environment)
        processes.wait_for("web", f"{url}/readyz", lambda: False)
        yield Service(url, database, environment), processes
    database.close()


def test_a_callback_and_its_follow_up_are_one_trace(
    traced: tuple[Service, Processes], receiver: Receiver, open_centre: Callable[..., ContactCentre]
) -> None:
    service, _ = traced
    centre = open_centre(service)
    centre.emulator.faults.status(500, path="/Tasks/WT")
    task_sid = centre.task_arrives({"from": "+14155550100", "name": "Zebedee Quill"})
    centre.answer(task_sid)
    centre.emulator.faults.clear()
    late = receiver.wait_for("follow-up enrich")
    callback = receiver.wait_for("assignment callback")
    (entry,) = service.entries(task_sid=task_sid, kind="assignment")
    assert callback.trace_id.hex() == late.trace_id.hex() == entry.reservation_sid[2:]
    assert [link.span_id for link in late.links] == [callback.span_id]
    beneath = {span.name for span in receiver.spans() if span.parent_span_id == callback.span_id}
    assert beneath == {"receive", "look_up", "fetch", "conclude"}
    fetches = {span.span_id for span in receiver.spans() if span.name == "fetch"}
    assert fetches & {span.parent_span_id for span in receiver.spans() if span.name == "GET"}
    path, tenant, _ = receiver.requests[0]
    assert (path, tenant) == ("/v1/traces", "centre")
    everything = b"".join(body for _, _, body in receiver.requests)
    assert [word for word in (b"4155550100", b"Zebedee", b"Lovelace") if word in everything] == []


def test_what_was_not_sent_yet_is_sent_when_the_process_ends(
    emulator: EmulatorServer,
    traced: tuple[Service, Processes],
    receiver: Receiver,
    make_callback: Callable[..., dict[str, str]],
) -> None:
    service, processes = traced
    for _ in range(5):
        assert service.post("/taskrouter/assignment", make_callback()).status_code == 200
    processes.signal("web", signal.SIGTERM)
    processes.wait_for_end("web")
    assert len([span for span in receiver.spans() if span.name == "assignment callback"]) == 5


def test_a_receiver_that_is_not_there_holds_nobody_up(
    emulator: EmulatorServer,
    traced: tuple[Service, Processes],
    receiver: Receiver,
    make_callback: Callable[..., dict[str, str]],
) -> None:
    service, _ = traced
    receiver.server_close()
    slowest = 0.0
    for _ in range(20):
        began = time.monotonic()
        assert service.post("/taskrouter/assignment", make_callback()).status_code == 200
        slowest = max(slowest, time.monotonic() - began)
    assert slowest < 1.0
