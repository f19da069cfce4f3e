"""HTTP client for callbacks: one POST under one total deadline.

The time-outs of common HTTP clients count per read, so a server that sends one byte a second never exceeds them. Here
every wait on the socket gets what is left of the deadline: connecting, sending, headers and body together end in time.
Only the look-up of a host name cannot be interrupted; loopback addresses need none.
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

MAX_RESPONSE_BYTES = 1_048_576


class NoResponse(Exception):
    """No complete HTTP response was received; the message gives the reason.

    connected: whether a connection was made. timed_out: whether the server was too slow.
    """

    def __init__(self, reason: str, *, connected: bool, timed_out: bool = False) -> None:
        super().__init__(reason)
        self.connected = connected
        self.timed_out = timed_out


@dataclass(frozen=True)
class HttpResponse:
    """A complete HTTP response. content_type: as in the header, "" without one."""

    status: int
    content_type: str
    body: str


class CallbackClient:
    """Sends POST requests, and can abort all that are in progress."""

    def __init__(self) -> None:
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._aborted = False

    def post(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        ends_at: float,
        *,
        connect_s: float = 15.0,
        read_s: float = 15.0,
    ) -> HttpResponse:
        """Send one POST on a connection of its own and return the response; redirects are not followed.

        ends_at: the deadline, on `time.monotonic()`. connect_s: time limit for the connection; read_s: time limit for
        each wait after it; neither extends the deadline. Raises NoResponse.
        """
        try:
            parts = urlsplit(url)
            sock = _connect(parts, min(ends_at, time.monotonic() + connect_s))
        except (OSError, ValueError) as exc:
            raise NoResponse(f"could not connect: {_error_text(exc)}", connected=False) from exc
        with sock:
            self._register(sock)
            try:
                return _exchange(_DeadlineSocket(sock, ends_at, read_s), parts, body, headers)
            except (OSError, ValueError, http.client.HTTPException) as exc:
                timed_out = isinstance(exc, TimeoutError)
                raise NoResponse(_error_text(exc), connected=True, timed_out=timed_out) from exc
            finally:
                self._unregister(sock)

    def abort(self) -> None:
        """End every request in progress, and every later one, with NoResponse."""
        with self._lock:
            self._aborted = True
            for sock in self._open:
                _shut_down(sock)

    def _register(self, sock: socket.socket) -> None:
        with self._lock:
            self._open.add(sock)
            if self._aborted:
                _shut_down(sock)

    def _unregister(self, sock: socket.socket) -> None:
        with self._lock:
            self._open.discard(sock)


def _connect(parts: SplitResult, ends_at: float) -> socket.socket:
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"not an http URL: {parts.geturl()}")
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    sock = socket.create_connection((parts.hostname, port), timeout=_remaining_s(ends_at))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if parts.scheme == "http":
        return sock
    sock.settimeout(_remaining_s(ends_at))
    try:
        return ssl.create_default_context().wrap_socket(sock, server_hostname=parts.hostname)
    except (OSError, ValueError):
        sock.close()
        raise


def _exchange(sock: "_DeadlineSocket", parts: SplitResult, body: bytes, headers: Mapping[str, str]) -> HttpResponse:
    connection = http.client.HTTPConnection(parts.netloc.rpartition("@")[2])
    connection.sock = sock
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection.request("POST", target, body, dict(headers))
    with connection.getresponse() as response:
        raw_body = response.read(MAX_RESPONSE_BYTES)
    return HttpResponse(response.status, response.headers.get("Content-Type", ""), raw_body.decode("utf-8", "replace"))


class _DeadlineSocket:
    """The methods of a socket that `http.client` uses. The real socket is closed by its owner."""

    def __init__(self, sock: socket.socket, ends_at: float, read_s: float) -> None:
        self._socket = sock
        self._ends_at = ends_at
        self._read_s = read_s

    def sendall(self, octets: "ReadableBuffer") -> None:
        self._socket.settimeout(_remaining_s(self._ends_at))
        self._socket.sendall(octets)  # the time-out is for all of it

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_DeadlineReader(self._socket, self._ends_at, self._read_s))

    def close(self) -> None:
        return


class _DeadlineReader(io.RawIOBase):
    def __init__(self, sock: socket.socket, ends_at: float, read_s: float) -> None:
        super().__init__()
        self._socket = sock
        self._ends_at = ends_at
        self._read_s = read_s

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        self._socket.settimeout(min(_remaining_s(self._ends_at), self._read_s))
        return self._socket.recv_into(buffer)


def _remaining_s(ends_at: float) -> float:
    left_s = ends_at - time.monotonic()
    if left_s <= 0:
        raise TimeoutError("timed out")
    return left_s


def _error_text(exc: Exception) -> str:
    return str(exc) or type(exc).__name__


def _shut_down(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
