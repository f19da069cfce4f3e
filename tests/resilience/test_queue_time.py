"""The time that a request has waited, as the kernel reports it."""

from __future__ import annotations

import socket
import struct
import sys
import time
from collections.abc import Iterator

import pytest

from enrich.resilience.queue_time import waited_s

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="TCP_INFO's layout is Linux's")


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A client, and the server's end of its connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
        with client, server:
            yield client, server


def test_it_grows_while_nobody_looks_and_begins_anew_with_the_next_request(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    client, server = pair
    client.sendall(b"x")
    sent = time.monotonic()
    server.recv(1)
    while waited_s({"gunicorn.socket": server}) < 0.02:
        assert time.monotonic() - sent < 10
    assert waited_s({"gunicorn.socket": server}) <= time.monotonic() - sent + 0.02
    client.sendall(b"y")
    server.recv(1)
    assert waited_s({"gunicorn.socket": server}) < 0.02


def test_the_kernel_is_asked_once_for_a_request() -> None:
    connection = Connection(1_500)
    environ = {"gunicorn.socket": connection}
    first = waited_s(environ)
    assert 1.5 <= first <= waited_s(environ)
    assert connection.asked == 1


@pytest.mark.parametrize("connection", [None, socket.socket(socket.AF_UNIX)])
def test_where_it_cannot_be_known_the_wait_begins_with_the_first_look(connection: socket.socket | None) -> None:
    environ = {"gunicorn.socket": connection}
    assert waited_s(environ) == 0.0
    assert 0.0 < waited_s(environ) < 1
    if connection:
        connection.close()


def test_another_server_is_no_error() -> None:
    assert waited_s({}) == 0.0


class Connection:
    """A connection whose last byte came in so many milliseconds ago."""

    def __init__(self, milliseconds: int) -> None:
        self._milliseconds = milliseconds
        self.asked = 0

    def getsockopt(self, *_: object) -> bytes:
        self.asked += 1
        return bytes(8 + 11 * 4) + struct.pack("@I", self._milliseconds)


@pytest.mark.parametrize(("milliseconds", "expected_s"), [(0, 0.0), (1_500, 1.5), (60_000, 60.0), (60_001, 0.0)])
def test_more_than_a_minute_is_taken_for_a_mistake(milliseconds: int, expected_s: float) -> None:
    # Approximately: it is the difference to a time that is kept.
    assert waited_s({"gunicorn.socket": Connection(milliseconds)}) == pytest.approx(expected_s, abs=1e-9)
