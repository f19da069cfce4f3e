"""The real nginx with the configuration that is shipped, in front of the service under gunicorn."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

from bench.nginx import NGINX, nginx
from enrich.demo.processes import free_port
from enrich.domain.lengths import MAX_FORM_BYTES
from tests.support.contact_centre import ContactCentre, Service

ASSIGNMENT = "/taskrouter/assignment"
TOKEN = {"Authorization": "Bearer not-a-real-token"}

pytestmark = pytest.mark.skipif(not NGINX, reason="nginx is not installed (Debian: nginx-light)")


@pytest.fixture
def behind(
    request: pytest.FixtureRequest, start_service: Callable[..., Service], tmp_path: Path
) -> Iterator[tuple[Service, Service]]:
    """The service as TaskRouter sees it, through nginx; and itself, without.

    A parameter is the PUBLIC_URL instead of nginx's own address.
    """
    port = free_port(0)
    public_url = getattr(request, "param", f"http://127.0.0.1:{port}")
    service = start_service(PUBLIC_URL=public_url, ENRICH_TRUSTED_PROXIES="1", ENRICH_MAX_IN_FLIGHT="5")
    with nginx(tmp_path, service.environment["BIND"], port) as url:
        yield replace(service, url=url), service


@pytest.fixture
def tls(tmp_path: Path, self_signed: tuple[Path, Path]) -> str:
    """The address of nginx over https, by a file as docs/operations.md has it mounted."""
    port, (certificate, key) = free_port(0), self_signed
    (tmp_path / "tls").mkdir()
    lines = f"listen 127.0.0.1:{port} ssl;\nssl_certificate {certificate};\nssl_certificate_key {key};\n"
    (tmp_path / "tls" / "service.conf").write_text(lines)
    return f"https://127.0.0.1:{port}"


@pytest.mark.parametrize("behind", ["https://hooks.example.test", "http://127.0.0.1:1"], indirect=True)
def test_browsers_are_kept_to_https_by_every_response_over_it(
    tls: str, self_signed: tuple[Path, Path], behind: tuple[Service, Service]
) -> None:
    """Told once; over http, where TLS may have ended in front of nginx, as the service says."""
    through, service = behind

    def told(url: str, **more: Any) -> str | None:
        return requests.get(url, timeout=5, **more).headers.get("Strict-Transport-Security")

    for path in ("/login", "/healthz", "/metrics", "/taskrouter/assignment", "/nowhere"):
        assert told(tls + path, verify=str(self_signed[0])) == "max-age=31536000", path
    is_https = service.environment["PUBLIC_URL"].startswith("https:")
    assert told(through.url + "/login") == ("max-age=31536000" if is_https else None)


def in_flight(service: Service) -> float:
    text = requests.get(service.url + "/metrics", headers=TOKEN, timeout=5).text
    (line,) = (line for line in text.splitlines() if line.startswith("enrich_in_flight "))
    return float(line.split()[1])


def test_a_task_is_enriched_through_it(
    behind: tuple[Service, Service], open_centre: Callable[..., ContactCentre]
) -> None:
    """Signatures are of the public address, and hold."""
    service, _ = behind
    centre = open_centre(service, events="task.created")
    task_sid = centre.task_arrives({"from": "+14155550100"})
    assert centre.answer(task_sid) == {"instruction": "accept"}
    assert centre.block(task_sid)["customer_id"] == "C-1001"


def test_a_replica_that_is_down_costs_nobody_an_answer(
    behind: tuple[Service, Service], make_callback: Callable[..., dict[str, str]]
) -> None:
    service, _ = behind
    for _ in range(10):
        assert service.post(ASSIGNMENT, make_callback()).json() == {"instruction": "accept"}


@pytest.mark.parametrize("part", ["headers", "body"])
def test_who_drips_does_not_occupy_the_service(
    behind: tuple[Service, Service], make_callback: Callable[..., dict[str, str]], part: str
) -> None:
    """Sixty clients that never come to an end, where the service works on five callbacks at once."""
    service, itself = behind
    before = len(service.entries())
    with ExitStack() as stack:
        for _ in range(60):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", int(service.url.rpartition(":")[2]))))
            head = f"POST {ASSIGNMENT} HTTP/1.1\r\nHost: x\r\nX-Twilio-Signature: {'A' * 27}=\r\n"
            rest = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 4000\r\n\r\nTaskSid=WT"
            client.sendall((head if part == "headers" else head + rest).encode())
        assert in_flight(itself) == 0
        for _ in range(10):
            began = time.monotonic()
            answer = service.post(ASSIGNMENT, make_callback())
            assert answer.json() == {"instruction": "accept"}
            assert time.monotonic() - began < 2.0
    assert [entry.reason for entry in service.entries()[before:]] == ["task_gone"] * 10  # none was shed


def test_without_it_the_same_clients_take_every_place(
    behind: tuple[Service, Service],
) -> None:
    """The reason for the proxy: the same sixty clients, at the service itself."""
    _, itself = behind
    with ExitStack() as stack:
        for _ in range(60):
            host, _, port = itself.environment["BIND"].partition(":")
            client = stack.enter_context(socket.create_connection((host, int(port))))
            head = f"POST {ASSIGNMENT} HTTP/1.1\r\nHost: x\r\nX-Twilio-Signature: {'A' * 27}=\r\n"
            client.sendall(
                f"{head}Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 4000\r\n\r\nT".encode()
            )
        until = time.monotonic() + 3
        while in_flight(itself) < 5 and time.monotonic() < until:
            time.sleep(0.05)
        assert in_flight(itself) >= 5


@pytest.mark.parametrize("path", ["/metrics", "/readyz"])
def test_what_is_for_us_is_not_there_from_outside(behind: tuple[Service, Service], path: str) -> None:
    service, itself = behind
    assert requests.get(service.url + path, headers=TOKEN, timeout=5).status_code == 404
    assert requests.get(itself.url + path, headers=TOKEN, timeout=5).status_code == 200


def test_the_page_is_served_through_it(behind: tuple[Service, Service]) -> None:
    service, _ = behind
    page = requests.get(service.url + "/", timeout=5, headers={"Accept": "text/html"})
    assert page.url.startswith(service.url + "/login")
    assert "csrf_token" in page.text


def test_the_longest_body_that_is_read_gets_through(behind: tuple[Service, Service]) -> None:
    """nginx keeps it in a file, and the service is the one that refuses it."""
    service, _ = behind
    headers = {"X-Twilio-Signature": "A" * 27 + "="}
    answer = requests.post(service.url + ASSIGNMENT, data=b"x" * MAX_FORM_BYTES, headers=headers, timeout=5)
    assert answer.status_code == 403


def test_a_body_beyond_all_measure_never_gets_to_the_service(behind: tuple[Service, Service]) -> None:
    service, _ = behind
    answer = requests.post(service.url + ASSIGNMENT, data=b"x" * 2_000_000, timeout=5)
    assert (answer.status_code, answer.headers["Server"]) == (413, "nginx")
