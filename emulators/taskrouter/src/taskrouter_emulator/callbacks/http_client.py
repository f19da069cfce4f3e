"""One HTTP POST under one total deadline.

The time-outs of HTTP clients count per read: a server that drips one byte a second is never too slow for them. Here
every wait on the socket gets what is left of the whole, so connecting, sending, headers and body together end in time.
The look-up of a host name is the one thing that cannot be interrupted; loopback addresses need none.
"""

import http.client
import io
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

MAX_ANSWER_BYTES = 1_048_576


class NoAnswer(Exception):
    """There was no complete HTTP answer; the message says why.

    connected: whether the server was reached at all. timed_out: whether it was too slow.
    """

    def __init__(self, why: str, *, connected: bool, timed_out: bool = False) -> None:
        super().__init__(why)
        self.connected = connected
        self.timed_out = timed_out


@dataclass(frozen=True)
class Answer:
    """A complete HTTP answer. content_type: as the header says it, empty if there was none."""

    status: int
    content_type: str
    body: str


class Connections:
    """Sends POST requests, and can cut all that are under way."""

    def __init__(self) -> None:
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._cut = False

    def post(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        ends_at: float,
        *,
        connect_s: float = 15.0,
        read_s: float = 15.0,
    ) -> Answer:
        """The answer to one POST on a connection of its own; redirects are not followed.

        ends_at: the deadline, as `time.monotonic()` counts. connect_s: seconds for the connection; read_s: seconds for
        each wait after it; neither goes beyond the deadline. Raises NoAnswer.
        """
        try:
            parts = urlsplit(url)
            connected = _connect(parts, min(ends_at, time.monotonic() + connect_s))
        except (OSError, ValueError) as problem:
            raise NoAnswer(f"could not connect: {_said(problem)}", connected=False) from problem
        with connected:
            self._enter(connected)
            try:
                return _exchange(_DeadlineSocket(connected, ends_at, read_s), parts, body, headers)
            except (OSError, ValueError, http.client.HTTPException) as problem:
                timed_out = isinstance(problem, TimeoutError)
                raise NoAnswer(_said(problem), connected=True, timed_out=timed_out) from problem
            finally:
                self._leave(connected)

    def cut(self) -> None:
        """Ends every request under way, and every later one, with NoAnswer."""
        with self._lock:
            self._cut = True
            for connected in self._open:
                _shut(connected)

    def _enter(self, connected: socket.socket) -> None:
        with self._lock:
            self._open.add(connected)
            if self._cut:
                _shut(connected)

    def _leave(self, connected: socket.socket) -> None:
        with self._lock:
            self._open.discard(connected)


def _connect(parts: SplitResult, ends_at: float) -> socket.socket:
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"not an http URL: {parts.geturl()}")
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    connected = socket.create_connection((parts.hostname, port), timeout=_left(ends_at))
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if parts.scheme == "http":
        return connected
    connected.settimeout(_left(ends_at))
    try:
        return ssl.create_default_context().wrap_socket(connected, server_hostname=parts.hostname)
    except (OSError, ValueError):
        connected.close()
        raise


def _exchange(connected: "_DeadlineSocket", parts: SplitResult, body: bytes, headers: Mapping[str, str]) -> Answer:
    connection = http.client.HTTPConnection(parts.netloc.rpartition("@")[2])
    connection.sock = connected
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection.request("POST", target, body, dict(headers))
    with connection.getresponse() as response:
        raw_body = response.read(MAX_ANSWER_BYTES)
    return Answer(response.status, response.headers.get("Content-Type", ""), raw_body.decode("utf-8", "replace"))


class _DeadlineSocket:
    """As much of a socket as `http.client` uses. Closing is left to whoever opened the real one."""

    def __init__(self, connected: socket.socket, ends_at: float, read_s: float) -> None:
        self._connected = connected
        self._ends_at = ends_at
        self._read_s = read_s

    def sendall(self, octets: "ReadableBuffer") -> None:
        self._connected.settimeout(_left(self._ends_at))
        self._connected.sendall(octets)  # the time-out counts for all of it, as of Python 3.5

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_DeadlineReader(self._connected, self._ends_at, self._read_s))

    def close(self) -> None:
        return


class _DeadlineReader(io.RawIOBase):
    def __init__(self, connected: socket.socket, ends_at: float, read_s: float) -> None:
        super().__init__()
        self._connected = connected
        self._ends_at = ends_at
        self._read_s = read_s

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        self._connected.settimeout(min(_left(self._ends_at), self._read_s))
        return self._connected.recv_into(buffer)


def _left(ends_at: float) -> float:
    left_s = ends_at - time.monotonic()
    if left_s <= 0:
        raise TimeoutError("timed out")
    return left_s


def _said(problem: Exception) -> str:
    return str(problem) or type(problem).__name__


def _shut(connected: socket.socket) -> None:
    with suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)
