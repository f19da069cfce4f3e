"""Connections by RFC 9112: persistence, framing of bodies, `Expect: 100-continue`, and what is refused."""

import base64
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from taskrouter_emulator import EmulatorServer

HEALTH = b"GET /_emulator/healthz HTTP/1.1\r\nHost: localhost\r\n"


class Connection:
    """A connection on which tests write bytes, and read responses one by one."""

    def __init__(self, emulator: EmulatorServer) -> None:
        self.authorization = b"Authorization: Basic " + base64.b64encode(
            f"{emulator.account_sid}:{emulator.auth_token}".encode()
        )
        parts = urlsplit(emulator.base_url)
        self._socket = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=5)
        self._file = self._socket.makefile("rb")

    def send(self, *lines: bytes, body: bytes = b"") -> None:
        self._socket.sendall(b"\r\n".join((*lines, b"", b"")) + body)

    def send_raw(self, octets: bytes) -> None:
        self._socket.sendall(octets)

    def post(
        self, *headers: bytes, body: bytes = b"", path: bytes = b"/v1/Workspaces", version: bytes = b"1.1"
    ) -> None:
        self.send(
            b"POST " + path + b" HTTP/" + version,
            b"Host: localhost",
            self.authorization,
            b"Content-Type: application/x-www-form-urlencoded",
            *headers,
            body=body,
        )

    def status(self) -> int:
        return int(self._file.readline().split(b" ")[1])

    def response(self, *, without_body: bool = False) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers by lower-case name, and body of the next response."""
        status, headers = self.status(), {}
        while line := self._file.readline().strip():
            name, _, value = line.decode().partition(": ")
            headers[name.lower()] = value
        return status, headers, b"" if without_body else self._file.read(int(headers.get("content-length", "0")))

    @property
    def is_closed(self) -> bool:
        """Return whether the server closed the connection in order; a reset raises."""
        return self._file.read(1) == b""

    def close(self) -> None:
        self._file.close()
        self._socket.close()


@pytest.fixture
def connection(emulator: EmulatorServer) -> Iterator[Connection]:
    opened = Connection(emulator)
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("version", "option", "announced", "closes"),
    [
        pytest.param(b"1.1", None, None, False, id="1.1"),
        pytest.param(b"1.1", b"keep-alive", None, False, id="1.1 keep-alive"),
        pytest.param(b"1.1", b"close", "close", True, id="1.1 close"),
        pytest.param(b"1.1", b"TE, Close", "close", True, id="1.1 close among others"),
        pytest.param(b"1.1", b"keep-alive, close", "close", True, id="1.1 both"),
        pytest.param(b"1.0", None, "close", True, id="1.0"),
        pytest.param(b"1.0", b"Keep-Alive", "keep-alive", False, id="1.0 keep-alive"),
    ],
)
@pytest.mark.parametrize("path", [b"/_emulator/healthz", b"/v1/Workspaces", b"/nowhere"])
def test_a_response_says_whether_the_connection_closes(
    connection: Connection, path: bytes, version: bytes, option: bytes | None, announced: str | None, closes: bool
) -> None:
    head = [b"GET " + path + b" HTTP/" + version, b"Host: localhost"]
    connection.send(*head, *([b"Connection: " + option] if option else []))
    _, headers, _ = connection.response()
    assert headers.get("connection") == announced
    if closes:
        assert connection.is_closed
    else:
        connection.send(HEALTH.rstrip(), b"Connection: close")
        assert connection.response()[0] == 200


def test_pipelined_requests_are_answered_in_order(connection: Connection) -> None:
    connection.send_raw(
        HEALTH
        + b"\r\n"
        + b"GET /v1/Workspaces HTTP/1.1\r\nHost: localhost\r\n\r\n"
        + HEALTH
        + b"Connection: close\r\n\r\n"
    )
    assert [connection.response()[0] for _ in range(3)] == [200, 401, 200]
    assert connection.is_closed


def test_a_refused_request_with_a_body_keeps_the_connection(connection: Connection) -> None:
    connection.send(b"POST /v1/Workspaces HTTP/1.1", b"Host: localhost", b"Content-Length: 14", body=b"FriendlyName=x")
    status, headers, _ = connection.response()
    assert (status, headers.get("connection")) == (401, None)
    connection.send(HEALTH.rstrip())
    assert connection.response()[0] == 200


def test_a_body_that_is_too_large_is_refused_and_the_close_is_orderly(connection: Connection) -> None:
    """The client is still sending: an early close would reset the connection, and lose the refusal."""
    connection.post(b"Content-Length: 5000000", body=b"x" * 3_000_000)
    status, headers, _ = connection.response()
    assert (status, headers["connection"]) == (413, "close")
    assert connection.is_closed


@pytest.mark.parametrize("framing", [b"Content-Length: 14", b"Transfer-Encoding: chunked"])
def test_a_body_is_invited_where_the_client_asks(connection: Connection, framing: bytes) -> None:
    body = b"FriendlyName=x" if b"Length" in framing else b"E\r\nFriendlyName=x\r\n0\r\n\r\n"
    connection.post(framing, b"Expect: 100-Continue")
    assert connection.response(without_body=True) == (100, {}, b"")
    connection.send_raw(body)
    assert connection.response()[0] == 201


def test_a_body_that_is_not_wanted_is_not_invited(connection: Connection) -> None:
    connection.post(b"Content-Length: 99999999", b"Expect: 100-continue")
    status, headers, _ = connection.response()
    assert (status, headers["connection"]) == (413, "close")


def test_nobody_is_invited_without_a_body_or_by_http_1_0(connection: Connection) -> None:
    connection.send(HEALTH.rstrip(), b"Expect: 100-continue")
    assert connection.response()[0] == 200
    connection.post(b"Content-Length: 14", b"Expect: 100-continue", body=b"FriendlyName=x", version=b"1.0")
    assert connection.response()[0] == 201


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"E\r\nFriendlyName=x\r\n0\r\n\r\n", id="one chunk"),
        pytest.param(b"4;note=1\r\nFrie\r\n00a\r\nndlyName=x\r\n0\r\n\r\n", id="several, with an extension"),
        pytest.param(b"e\r\nFriendlyName=x\r\n0\r\nDigest: x\r\n\r\n", id="trailers"),
    ],
)
def test_chunked_bodies_are_read_whole(connection: Connection, body: bytes) -> None:
    connection.post(b"Transfer-Encoding: chunked", body=body)
    status, _, created = connection.response()
    assert status == 201
    assert b'"friendly_name":"x"' in created.replace(b": ", b":")
    connection.send(HEALTH.rstrip())
    assert connection.response()[0] == 200


def test_head_has_the_headers_of_get_and_no_body(connection: Connection) -> None:
    connection.send(b"HEAD /_emulator/healthz HTTP/1.1", b"Host: localhost")
    status, headers, _ = connection.response(without_body=True)
    assert (status, int(headers["content-length"]) > 0) == (200, True)
    connection.send(HEALTH.rstrip())
    assert connection.response()[2] == b'{"status":"ok"}\n'


def test_empty_lines_before_a_request_and_absolute_targets_are_accepted(connection: Connection) -> None:
    connection.send_raw(b"\r\n" + HEALTH + b"\r\n\r\n")
    assert connection.response()[0] == 200
    connection.send(b"GET http://localhost/_emulator/healthz?x=1 HTTP/1.1", b"Host: localhost")
    assert connection.response()[0] == 200


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"GET /\r\n\r\n", id="no version"),
        pytest.param(b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n", id="two spaces"),
        pytest.param(b"G(T / HTTP/1.1\r\nHost: x\r\n\r\n", id="no method"),
        pytest.param(b"GET / HTTP/one\r\nHost: x\r\n\r\n", id="no number"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="no host"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", id="two hosts"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n", id="no colon"),
        pytest.param(b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", id="white space before the colon"),
        pytest.param(b"GET / HTTP/1.1\r\n Host: x\r\n\r\n", id="white space before the first field"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", id="folded line"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1x\r\n\r\n", id="no length"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", id="negative length"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", id="two lengths"),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="both"
        ),
        pytest.param(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", id="no chunk size"),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n", id="long chunk"
        ),
    ],
)
def test_bad_requests_are_refused_and_the_connection_closes(connection: Connection, octets: bytes) -> None:
    connection.send_raw(octets)
    status, headers, body = connection.response()
    assert (status, headers["connection"]) == (400, "close")
    assert b'"code": 20001' in body
    assert connection.is_closed
