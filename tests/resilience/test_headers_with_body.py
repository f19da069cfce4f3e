"""A response's headers and body, over a real connection."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from enrich.resilience.headers_with_body import MAX_JOINED_BYTES, HeadersWithBody

HEADERS = b"HTTP/1.1 200 OK\r\n\r\n"


@pytest.fixture
def pair() -> Iterator[tuple[HeadersWithBody, socket.socket]]:
    """The connection of a response, and the client's end of it."""
    here, there = socket.socketpair()
    with here, there:
        there.settimeout(10)
        yield HeadersWithBody(here), there


def read(there: socket.socket, number: int) -> bytes:
    content = b""
    while len(content) < number:
        content += there.recv(number - len(content))
    return content


def assert_that_nothing_came(there: socket.socket) -> None:
    there.setblocking(False)
    with pytest.raises(BlockingIOError):
        there.recv(1)
    there.settimeout(10)


def test_headers_wait_for_the_body(pair: tuple[HeadersWithBody, socket.socket]) -> None:
    connection, there = pair
    connection.sendall(HEADERS)
    assert_that_nothing_came(there)
    connection.sendall(b"body")
    assert there.recv(100) == HEADERS + b"body"


def test_what_comes_after_is_sent_at_once(pair: tuple[HeadersWithBody, socket.socket]) -> None:
    """A streamed response's reader waits for each part."""
    connection, there = pair
    connection.sendall(HEADERS)
    for part in (b"one", b"two"):
        connection.sendall(part)
    assert there.recv(100) == HEADERS + b"onetwo"
    connection.sendall(b"three")
    assert there.recv(100) == b"three"


def test_without_a_body_they_are_sent_when_told(pair: tuple[HeadersWithBody, socket.socket]) -> None:
    connection, there = pair
    connection.send_held()
    assert_that_nothing_came(there)
    connection.sendall(HEADERS)
    connection.send_held()
    connection.send_held()
    assert there.recv(100) == HEADERS
    assert_that_nothing_came(there)


def test_a_large_body_is_sent_behind_them(pair: tuple[HeadersWithBody, socket.socket]) -> None:
    connection, there = pair
    body = b"x" * (MAX_JOINED_BYTES + 1)
    connection.sendall(HEADERS)
    connection.sendall(body)
    assert read(there, len(HEADERS) + len(body)) == HEADERS + body


def test_a_file_is_sent_behind_them(pair: tuple[HeadersWithBody, socket.socket], tmp_path: Path) -> None:
    connection, there = pair
    path = tmp_path / "style.css"
    path.write_bytes(b"body {}")
    connection.sendall(HEADERS)
    with path.open("rb") as file:
        assert connection.sendfile(file, offset=0, count=4) == 4
    assert read(there, len(HEADERS) + 4) == HEADERS + b"body"


def test_anything_else_is_asked_of_the_connection(pair: tuple[HeadersWithBody, socket.socket]) -> None:
    connection, _ = pair
    assert connection.family is socket.AF_UNIX
