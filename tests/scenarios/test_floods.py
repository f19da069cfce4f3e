"""Clients without a secret that send as fast as they can: others keep their turn, and no work is done for them."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from enrich.domain.lengths import MAX_FORM_BYTES
from tests.support.contact_centre import Service

EVENTS = "/taskrouter/events"
# Far more than a process answers while one callback waits.
FLOOD = 4_000


@pytest.fixture
def service(start_service: Callable[..., Service]) -> Service:
    """One process: two would share the clients between them."""
    return start_service(WEB_CONCURRENCY="1")


def connect(service: Service) -> socket.socket:
    host, _, port = service.url.rpartition("/")[2].partition(":")
    return socket.create_connection((host, int(port)), timeout=30)


def request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: service", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Flood:
    """One connection that sends requests back to back, and reads the answers beside it."""

    def __init__(self, client: socket.socket, text: bytes, times: int) -> None:
        self.answered = 0
        self.has_begun = threading.Event()
        self._client = client
        self._sending = threading.Thread(target=self._send, args=(text, times))
        self._reading = threading.Thread(target=self._read)

    def _send(self, text: bytes, times: int) -> None:
        try:
            for _ in range(times):
                self._client.sendall(text)
        except OSError:
            return  # the connection was closed, as it should be for a refused client

    def _read(self) -> None:
        tail = b""
        try:
            while received := self._client.recv(65_536):
                tail = (tail + received)[-len(received) - 20 :]
                self.answered += len(re.findall(rb"HTTP/1\.1 \d{3}", received))
                self.has_begun.set()
        except OSError:
            return
        finally:
            self.has_begun.set()

    def start(self) -> None:
        self._sending.start()
        self._reading.start()

    def join(self) -> None:
        self._sending.join()
        with suppress(OSError):  # closed already by the other side
            self._client.shutdown(socket.SHUT_WR)
        self._reading.join()


@contextmanager
def flooding(service: Service, text: bytes, times: int = FLOOD) -> Iterator[Flood]:
    with connect(service) as client:
        flood = Flood(client, text, times)
        flood.start()
        yield flood
        flood.join()


def test_a_client_that_pipelines_leaves_the_others_their_turn(
    service: Service, make_callback: Callable[..., dict[str, str]]
) -> None:
    with flooding(service, request("GET", "/healthz")) as flood:
        flood.has_begun.wait()
        answer = service.post("/taskrouter/assignment/fallback", make_callback())
        answered_before = flood.answered
    assert answer.status_code == 200
    assert answered_before < flood.answered, "the callback waited for the whole flood"
    assert flood.answered == FLOOD


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(request("POST", EVENTS), id="no signature"),
        pytest.param(request("POST", EVENTS, X_Twilio_Signature="A" * 27 + "="), id="a wrong signature"),
        pytest.param(request("POST", EVENTS, b"%" * MAX_FORM_BYTES), id="percent signs"),
        pytest.param(request("GET", "/taskrouter/nothing"), id="no page"),
        pytest.param(request("POST", "/login", b"email=a&password=b"), id="no token"),
    ],
)
def test_a_refused_client_loses_its_connection(service: Service, text: bytes) -> None:
    with flooding(service, text, times=50) as flood:
        pass
    assert flood.answered <= 1, "0 where the answer was lost to the reset"


@pytest.mark.parametrize(("path", "is_closed"), [("/healthz", False), ("/taskrouter/nothing", True)])
def test_a_response_says_that_its_connection_is_closed(service: Service, path: str, *, is_closed: bool) -> None:
    """A client that keeps its connections would send the next request on a closed one otherwise (RFC 9112, 9.6)."""
    with connect(service) as client:
        client.sendall(request("GET", path))
        head = client.recv(65_536).partition(b"\r\n\r\n")[0].lower()
        assert (b"\r\nconnection: close" in head) is is_closed


def test_who_keeps_connections_open_leaves_places_for_others(start_service: Callable[..., Service]) -> None:
    """With eight places, each further client is answered, although the ones before keep their connections."""
    service = start_service(WEB_CONCURRENCY="1", GUNICORN_CMD_ARGS="--worker-connections 8")
    is_kept = []
    with ExitStack() as clients:
        for _ in range(30):
            client = clients.enter_context(connect(service))
            client.sendall(request("GET", "/healthz"))
            is_kept.append(b"connection: close" not in client.recv(65_536).lower())
    assert is_kept[0], "while there is room, a connection is kept"
    assert not is_kept[-1]


def test_a_body_is_not_read_for_a_client_without_a_signature(service: Service) -> None:
    with connect(service) as client:
        head = request("POST", EVENTS).replace(b"Content-Length: 0", b"Content-Length: 100000")
        client.sendall(head + b"x" * 10)
        assert client.recv(65_536).startswith(b"HTTP/1.1 403"), "it waited for the rest of the body"


@pytest.mark.parametrize("path", ["/login", "/customers/C-1001/edit", "/staff"])
def test_a_stranger_may_send_the_page_no_more_than_signing_in_needs(service: Service, path: str) -> None:
    with connect(service) as client:
        client.sendall(
            request("POST", path, b"a&" * 5_000, Content_Type="application/x-www-form-urlencoded", Accept="text/html")
        )
        assert client.recv(65_536).startswith(b"HTTP/1.1 413")
