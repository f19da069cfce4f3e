"""HTTP over kept connections, against servers that say exactly what a test wants them to say."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from enrich.resilience.dns_cache import DnsCache
from enrich.taskrouter.http import HttpResponse, NotHttp, Wire
from tests.support.scripted_server import ScriptedServer

LARGEST = 10_000
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


@pytest.fixture
def wire_to() -> Iterator[Callable[[ScriptedServer], Wire]]:
    made: list[Wire] = []

    def wire_to(server: ScriptedServer) -> Wire:
        made.append(Wire(server.url, addresses=DnsCache(), connections=2, largest=LARGEST))
        return made[-1]

    yield wire_to
    for wire in made:
        wire.close()


def ask(wire: Wire, body: bytes | None = None, *, timeout_s: float = 10) -> HttpResponse:
    return wire.exchange("GET" if body is None else "POST", "/v1/x?y=z", {"Accept": "a/b"}, body, timeout_s=timeout_s)


def test_a_request_is_whole_and_its_connection_is_used_again(
    serve: Callable[..., ScriptedServer], wire_to: Callable[[ScriptedServer], Wire]
) -> None:
    server = serve(b'HTTP/1.1 200 OK\r\nETag: "3"\r\nContent-Length: 2\r\n\r\nhi', OK)
    wire = wire_to(server)
    assert ask(wire) == HttpResponse(200, {"etag": '"3"', "content-length": "2"}, b"hi")
    assert ask(wire, b"a=b").data == b"hi"
    host = server.url.removeprefix("http://").encode()
    assert server.got == [
        b"GET /v1/x?y=z HTTP/1.1\r\nHost: " + host + b"\r\nAccept: a/b\r\n\r\n",
        b"POST /v1/x?y=z HTTP/1.1\r\nHost: " + host + b"\r\nAccept: a/b\r\nContent-Length: 3\r\n\r\na=b",
    ]
    assert server.connections == 1


@pytest.mark.parametrize(
    ("said", "status", "data"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n3;x=y\r\n ho\r\n0\r\n\r\n", 200, b"hi ho"),
        (b"HTTP/1.1 412 No\r\nContent-Length: 0\r\n\r\n", 412, b""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, 200, b"hi"),
    ],
)
def test_an_answer_is_read_to_its_end(
    serve: Callable[..., ScriptedServer],
    wire_to: Callable[[ScriptedServer], Wire],
    said: bytes,
    status: int,
    data: bytes,
) -> None:
    server = serve(said, OK)
    wire = wire_to(server)
    answer = ask(wire)
    assert (answer.status, answer.data) == (status, data)
    assert ask(wire).data == b"hi"
    assert server.connections == 1


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi", id="it says that it closes"
        ),
        pytest.param(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", id="HTTP/1.0"),
        pytest.param(OK + OK, id="another answer that nobody asked for"),
    ],
)
def test_what_cannot_be_used_again_is_not(
    serve: Callable[..., ScriptedServer], wire_to: Callable[[ScriptedServer], Wire], said: bytes
) -> None:
    server = serve(said, OK)
    wire = wire_to(server)
    assert [ask(wire).data, ask(wire).data] == [b"hi", b"hi"]
    assert server.connections == 2


def test_a_body_may_end_with_its_connection(
    serve: Callable[..., ScriptedServer], wire_to: Callable[[ScriptedServer], Wire]
) -> None:
    assert ask(wire_to(serve(b"HTTP/1.1 200 OK\r\n\r\nhi"))).data == b"hi"


def test_a_connection_that_the_server_closed_meanwhile_is_not_used(
    serve: Callable[..., ScriptedServer], wire_to: Callable[[ScriptedServer], Wire]
) -> None:
    """TaskRouter's servers do that after a while; the request would be lost with it."""
    server = serve(OK)
    wire = wire_to(server)
    assert ask(wire).data == b"hi"
    assert server.closed.acquire(timeout=20)
    server.says.append(OK)
    assert ask(wire).data == b"hi"
    assert server.connections == 2


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"HTTP/1.1 200 O", id="in its first line"),
        pytest.param(b"HTTP/1.1 200 OK\r\nETag:", id="in a header"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi", id="in its body"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", id="before the last chunk"),
    ],
)
def test_an_answer_that_breaks_off_is_none(
    serve: Callable[..., ScriptedServer], wire_to: Callable[[ScriptedServer], Wire], said: bytes
) -> None:
    with pytest.raises(NotHttp):
        ask(wire_to(serve(said)))


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"<html>hi</html>", id="no HTTP"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi!", id="two lengths"),
        pytest.param(b"HTTP/1.1 101 Well\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", id="another protocol"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"x" * LARGEST, id="headers without end"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * LARGEST, id="a body without end"),
    ],
)
def test_what_is_no_answer_is_none_and_its_connection_is_not_used_again(
    serve: Callable[..., ScriptedServer], wire_to: Callable[[ScriptedServer], Wire], said: bytes
) -> None:
    server = serve(said, OK)
    wire = wire_to(server)
    with pytest.raises(NotHttp):
        ask(wire)
    assert ask(wire).data == b"hi"
    assert server.connections == 2  # the first one was not kept


def test_a_server_that_says_nothing_is_waited_for_no_longer_than_told(
    serve: Callable[..., ScriptedServer], wire_to: Callable[[ScriptedServer], Wire]
) -> None:
    server = serve(b"HTTP/1.1 200 OK\r\n", OK)
    wire = wire_to(server)
    with pytest.raises(TimeoutError):
        ask(wire, timeout_s=0.05)
    assert ask(wire).data == b"hi"


@pytest.mark.parametrize(("target", "value"), [("/x y", "v"), ("/x\r\nA: b", "v"), ("x", "v"), ("/x", "v\r\nA: b")])
def test_nothing_can_be_smuggled_into_a_request(
    serve: Callable[..., ScriptedServer], wire_to: Callable[[ScriptedServer], Wire], target: str, value: str
) -> None:
    server = serve(OK)
    with pytest.raises(ValueError, match="not a"):
        wire_to(server).exchange("GET", target, {"If-Match": value}, None, timeout_s=10)
    assert server.got == []


def test_under_tls_the_server_has_to_be_who_it_says(
    serve: Callable[..., ScriptedServer],
    wire_to: Callable[[ScriptedServer], Wire],
    self_signed: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    certificate, key = self_signed
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listening = context.wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True)
    server = serve(OK, OK, listening=listening, scheme="https")

    with pytest.raises(OSError, match="certificate"):
        ask(wire_to(server))
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    wire = wire_to(server)
    assert [ask(wire).data, ask(wire).data] == [b"hi", b"hi"]
    assert server.connections == 1


def test_every_address_of_the_name_is_tried_and_the_one_that_failed_comes_last(
    serve: Callable[..., ScriptedServer],
) -> None:
    port = serve(OK).url.rpartition(":")[2]
    addresses = DnsCache(lambda _host: ("127.0.0.2", "127.0.0.1"))
    wire = Wire(f"http://api.example.org:{port}", addresses=addresses, connections=2, largest=LARGEST)
    assert ask(wire).data == b"hi"
    assert addresses.of("api.example.org") == ("127.0.0.1", "127.0.0.2")
    wire.close()
