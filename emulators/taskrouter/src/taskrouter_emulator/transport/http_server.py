"""A small HTTP/1.1 server for one WSGI application: threaded, keep-alive, and quick to stop without leftovers.

Werkzeug's development server closes the connection after every response; clients of TaskRouter rely on keep-alive, and
faults (drips, resets) need access to the socket: the application may choose how its response is sent.
"""

import io
import json
import re
import selectors
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from email.message import Message
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from taskrouter_emulator.model.errors import code_of_status, error_body

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

MAX_BODY_BYTES = 4_194_304
MAX_LINE_BYTES = 65_536
MAX_LENGTH_DIGITS = 12
MAX_TRAILERS = 100
MAX_EMPTY_LINES = 4
DRAIN_S = 1.0

ResponseSender = Callable[[socket.socket, bytes, bytes], bool]
"""Sends a response: head, then body. Returns whether the connection may serve another request."""

SENDER_KEY = "emulator.send"
"""Key in the WSGI environ under which the application may put a `ResponseSender` for its response."""


class HttpServer(socketserver.ThreadingTCPServer):
    """A server that is bound and listening once constructed; clients are served after `start`.

    Raises OSError if the port is taken.
    """

    allow_reuse_address = True
    daemon_threads = True
    timeout = 0.0  # of `handle_request`: it must not wait when the client that was ready is gone
    request_queue_size = 256

    def __init__(self, host: str, port: int, application: "WSGIApplication") -> None:
        self.application = application
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._finishing: set[threading.Thread] = set()  # their connections are closed, they may still run
        self._lock = threading.Lock()
        self._ending = False
        super().__init__((host, port), _Handler)
        self._stop_receiver, self._stop_sender = socket.socketpair()
        self._acceptor = threading.Thread(target=self._accept, name="emulator-http", daemon=True)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def start(self) -> None:
        self._acceptor.start()

    def stop(self) -> None:
        """Stop accepting, close every connection, and wait for their threads."""
        self._stop_sender.close()
        self._acceptor.join()
        self._stop_receiver.close()
        with self._lock:
            self._ending = True
            connections = dict(self._connections)
            finishing = [thread for thread in self._finishing if thread.is_alive()]
        for connection, thread in connections.items():
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join()
        for thread in finishing:
            thread.join()
        self.server_close()

    def _accept(self) -> None:
        """Wait for clients and for the stop signal; `serve_forever` would poll for the latter."""
        with selectors.DefaultSelector() as selector:
            selector.register(self, selectors.EVENT_READ)
            stop = selector.register(self._stop_receiver, selectors.EVENT_READ)
            while (stop, selectors.EVENT_READ) not in selector.select():
                self.handle_request()

    def process_request(self, request: Any, client_address: Any) -> None:
        thread = threading.Thread(
            target=self.process_request_thread, args=(request, client_address), name="emulator-connection", daemon=True
        )
        with self._lock:
            self._connections[request] = thread
            self._finishing = {thread for thread in self._finishing if thread.is_alive()}
        thread.start()

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            if thread := self._connections.pop(request, None):
                self._finishing.add(thread)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that disconnect in the middle; report everything else."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One connection. Its persistence, framing and refusals follow RFC 9112, sections 3, 6, 7 and 9."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body leave in one packet
    raw_requestline: bytes
    server: HttpServer

    def parse_request(self) -> bool:
        """Read the request line and the header fields, and refuse what HTTP/1.1 requires to be refused."""
        for _ in range(MAX_EMPTY_LINES):
            if self.raw_requestline.strip(b"\r\n") or not self.raw_requestline:
                break
            self.raw_requestline = self.rfile.readline(MAX_LINE_BYTES)
        if self.raw_requestline and not _REQUEST_LINE.fullmatch(self.raw_requestline):
            self.command, self.requestline = "", ""
            self.send_error(400, "The request line is malformed")
            return False
        if not super().parse_request():
            return False
        problem = _header_problem(self.request_version, self.headers)
        if problem is not None:
            self.send_error(400, problem)
            return False
        options = {option.strip().lower() for option in ",".join(self.headers.get_all("Connection", ())).split(",")}
        self.close_connection = "close" in options or (
            self.request_version == "HTTP/1.0" and "keep-alive" not in options
        )
        return True

    def handle_expect_100(self) -> bool:
        """Leave `100 Continue` to `_read_body`, which first decides whether it wants the body."""
        return True

    def do_GET(self) -> None:
        body = self._read_body()
        if body is None:
            return
        start_response = _StartResponse()
        environ = self._environ(body)
        result = self.server.application(environ, start_response)
        try:
            content = b"".join(result)
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                close()
        head = self._head(start_response, len(content))
        send: ResponseSender = environ.get(SENDER_KEY, _send_at_once)
        if not send(self.connection, head, b"" if self.command == "HEAD" else content):
            self.close_connection = True

    do_POST = do_DELETE = do_PUT = do_PATCH = do_HEAD = do_OPTIONS = do_GET  # noqa: N815 - http.server's names

    def finish(self) -> None:
        """Release the socket even if the client is gone and the last bytes cannot be sent.

        After a refusal the client may still be sending. Closing at once would reset the connection, and with it the
        response on its way (RFC 9112, 9.6): what arrives meanwhile is read and dropped first.
        """
        with suppress(OSError):
            super().finish()
        self.rfile.close()
        if self._is_refused:
            with suppress(OSError):
                _drain(self.connection)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse a request in TaskRouter's own form, and close the connection: its framing is not certain any more."""
        refusal = error_body(code, code_of_status(code), message or explain or HTTPStatus(code).phrase)
        body = json.dumps(refusal).encode()
        self.close_connection = True
        self._is_refused = True
        self.request_version = self.protocol_version  # an unreadable request line leaves HTTP/0.9, without headers
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Write nothing: the emulator has its own log."""

    _is_refused = False

    def _read_body(self) -> bytes | None:
        """Return the body, or None after a refusal; up to 4 MiB, with a length or chunked."""
        chunked = "Transfer-Encoding" in self.headers
        digits = self.headers.get("Content-Length", "0").lstrip("0")
        length = int(digits[:MAX_LENGTH_DIGITS] or "0")  # more digits are more than enough for a refusal
        if chunked and self.headers["Transfer-Encoding"].strip().lower() != "chunked":
            self.send_error(501, "Only the transfer coding chunked is supported")
            return None
        if length > MAX_BODY_BYTES:
            self.send_error(413)
            return None
        expectation = self.headers.get("Expect", "").strip().lower()
        if expectation == "100-continue" and (chunked or length) and self.request_version != "HTTP/1.0":
            self.connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if chunked:
            return self._read_chunks()
        body = self.rfile.read(length)
        if len(body) < length:
            self.close_connection = True
            return None
        return body

    def _read_chunks(self) -> bytes | None:
        """Return a chunked body without its framing and trailers, or None after a refusal (RFC 9112, 7.1)."""
        body = bytearray()
        while True:
            line = self.rfile.readline(MAX_LINE_BYTES)
            digits = line.partition(b";")[0].strip()
            if not line.endswith(b"\n") or not _HEX.fullmatch(digits):
                self.send_error(400, "A chunk has no valid size")
                return None
            size = int(digits, 16)
            if len(body) + size > MAX_BODY_BYTES:
                self.send_error(413)
                return None
            if size == 0:
                break
            body += self.rfile.read(size)
            if self.rfile.readline(MAX_LINE_BYTES).strip(b"\r\n"):
                self.send_error(400, "A chunk is longer than its size")
                return None
        for _ in range(MAX_TRAILERS):
            if self.rfile.readline(MAX_LINE_BYTES) in (b"\r\n", b"\n", b""):
                return bytes(body)
        self.send_error(431)
        return None

    def _environ(self, body: bytes) -> "WSGIEnvironment":
        path, _, query = _ORIGIN.sub("", self.path, count=1).partition("?")  # an absolute form names the origin first
        host, port = self.server.server_address[:2]
        environ: WSGIEnvironment = {
            "REQUEST_METHOD": self.command,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote(path or "/", "latin-1"),
            "QUERY_STRING": query,
            "SERVER_NAME": str(host),
            "SERVER_PORT": str(port),
            "SERVER_PROTOCOL": self.request_version,
            "REMOTE_ADDR": self.client_address[0],
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "wsgi.input_terminated": True,
        }
        for name, value in self.headers.items():
            environ[f"HTTP_{name.upper().replace('-', '_')}"] = value
        return environ

    def _head(self, start_response: "_StartResponse", length: int) -> bytes:
        lines = [
            f"{self.protocol_version} {start_response.status}",
            f"Server: {self.version_string()}",
            f"Date: {self.date_time_string()}",
        ]
        lines += [f"{name}: {value}" for name, value in start_response.headers if name.lower() not in _SERVER_HEADERS]
        if not start_response.status.startswith(("204 ", "304 ")):
            stated = [value for name, value in start_response.headers if name.lower() == "content-length"]
            lines.append(f"Content-Length: {stated[0] if self.command == 'HEAD' and stated else length}")
        if self.close_connection:
            lines.append("Connection: close")
        elif self.request_version == "HTTP/1.0":
            lines.append("Connection: keep-alive")
        return "\r\n".join((*lines, "", "")).encode("latin-1")


_HEX = re.compile(rb"[0-9A-Fa-f]{1,8}")
_REQUEST_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ [\x21-\xff]+ HTTP/[0-9]\.[0-9]\r?\n")
_ORIGIN = re.compile(r"^https?://[^/?#]*", re.IGNORECASE)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def _header_problem(version: str, headers: Message) -> str | None:
    """Return the reason to refuse this request head with 400, None if it is in order.

    RFC 9112: 2.2 (no white space before the first field), 3.2 (one Host), 5.1 (none before the colon), 5.2 (no folded
    lines), 6.3 (one length, or chunked, never both). `http.client` ends the header at a line that is no field; what it
    leaves over is the message's payload.
    """
    if headers.defects or headers.get_payload() or not all(map(_TOKEN.fullmatch, headers.keys())):
        return "A header field has no valid name"
    if any("\n" in value or "\r" in value or "\0" in value for value in headers.values()):
        return "A header field has no valid value"
    hosts = headers.get_all("Host", ())
    if len(hosts) > 1 or (not hosts and version == "HTTP/1.1"):
        return "HTTP/1.1 needs exactly one Host"
    lengths = set(headers.get_all("Content-Length", ()))
    if len(lengths) > 1 or not all(text.isascii() and text.isdecimal() for text in lengths):
        return "Content-Length is not one number"
    if lengths and "Transfer-Encoding" in headers:
        return "Content-Length and Transfer-Encoding exclude each other"
    if "Transfer-Encoding" in headers and version == "HTTP/1.0":
        return "HTTP/1.0 has no Transfer-Encoding"
    return None


def _drain(connection: socket.socket) -> None:
    """Read and drop what the client still sends, until it closes or DRAIN_S has passed."""
    connection.shutdown(socket.SHUT_WR)
    ends_at = time.monotonic() + DRAIN_S
    while (left_s := ends_at - time.monotonic()) > 0:
        connection.settimeout(left_s)
        if not connection.recv(65_536):
            return


_SERVER_HEADERS = ("content-length", "date", "server", "connection")


def _send_at_once(connection: socket.socket, head: bytes, body: bytes) -> bool:
    connection.sendall(head + body)
    return True


class _StartResponse:
    """The `start_response` of one request: keeps the status and headers that the application sets."""

    def __init__(self) -> None:
        self.status = "500 Internal Server Error"
        self.headers: list[tuple[str, str]] = []

    def __call__(self, status: str, headers: list[tuple[str, str]], _exc_info: object = None, /) -> Any:
        self.status = status
        self.headers = headers
        return lambda _content: None


if TYPE_CHECKING:
    _is_start_response: StartResponse = _StartResponse()
