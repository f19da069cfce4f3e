"""A small HTTP/1.1 server for one WSGI application: threaded, keep-alive, and quick to end without leaving anything.

Werkzeug's own development server closes the connection after every answer; clients of TaskRouter rely on keep-alive,
and faults (dripping, resets) need the socket in our own hands: an application may say how its answer is to be sent.
"""

import io
import json
import selectors
import socket
import socketserver
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from taskrouter_emulator.model.errors import code_of_status
from taskrouter_emulator.rest.wire import error

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

MAX_BODY_BYTES = 4_194_304

Send = Callable[[socket.socket, bytes, bytes], bool]
"""Sends an answer, status line and headers first, then the body; whether the connection may serve another request."""

SEND = "emulator.send"
"""Under this name the application may leave, in the environ of a request, a `Send` for its answer."""


class HttpServer(socketserver.ThreadingTCPServer):
    """Bound and listening once constructed: clients can connect, and are answered as soon as `start` was called.

    Raises OSError if the port is taken.
    """

    allow_reuse_address = True
    daemon_threads = True
    timeout = 0.0  # of `handle_request`: a client that was ready and has gone must not make it wait for another one
    request_queue_size = 256

    def __init__(self, host: str, port: int, application: "WSGIApplication") -> None:
        self.application = application
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._lock = threading.Lock()
        self._ending = False
        super().__init__((host, port), _Handler)
        self._told_to_stop, self._tell_to_stop = socket.socketpair()
        self._acceptor = threading.Thread(target=self._accept, name="emulator-http", daemon=True)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def start(self) -> None:
        self._acceptor.start()

    def stop(self) -> None:
        """Ends accepting, closes every connection and waits for their threads."""
        self._tell_to_stop.close()
        self._acceptor.join()
        self._told_to_stop.close()
        with self._lock:
            self._ending = True
            connections = dict(self._connections)
        for connection, thread in connections.items():
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join()
        self.server_close()

    def _accept(self) -> None:
        """Waits for clients and for being told to stop; `serve_forever` would look for the latter every so often."""
        with selectors.DefaultSelector() as selector:
            selector.register(self, selectors.EVENT_READ)
            stop = selector.register(self._told_to_stop, selectors.EVENT_READ)
            while (stop, selectors.EVENT_READ) not in selector.select():
                self.handle_request()

    def process_request(self, request: Any, client_address: Any) -> None:
        thread = threading.Thread(
            target=self.process_request_thread, args=(request, client_address), name="emulator-connection", daemon=True
        )
        with self._lock:
            self._connections[request] = thread
        thread.start()

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._connections.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away in the middle is no error of ours; anything else is told."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body leave in one packet
    server: HttpServer

    def do_GET(self) -> None:
        body = self._read_body()
        if body is None:
            return
        started = _Start()
        environ = self._environ(body)
        result = self.server.application(environ, started)
        try:
            content = b"".join(result)
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                close()
        head = self._head(started, len(content))
        send: Send = environ.get(SEND, _send_at_once)
        if not send(self.connection, head, b"" if self.command == "HEAD" else content):
            self.close_connection = True

    do_POST = do_DELETE = do_PUT = do_PATCH = do_HEAD = do_OPTIONS = do_GET

    def finish(self) -> None:
        """Lets go of the socket even if the client is gone and the last words cannot be sent."""
        with suppress(OSError):
            super().finish()
        self.rfile.close()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """A refusal by the server itself, in TaskRouter's own form; the connection ends with it."""
        refusal = error(code, code_of_status(code), message or explain or HTTPStatus(code).phrase)
        body = json.dumps(refusal).encode()
        self.close_connection = True
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """The emulator's own log says what matters."""

    def _read_body(self) -> bytes | None:
        """The body, or None after a refusal: we take bodies with a length, up to 4 MiB."""
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not length.isdecimal():
            self.send_error(411)
            return None
        if len(length) > 12 or int(length) > MAX_BODY_BYTES:
            self.send_error(413)
            return None
        body = self.rfile.read(int(length))
        return body if len(body) == int(length) else None

    def _environ(self, body: bytes) -> "WSGIEnvironment":
        path, _, query = self.path.partition("?")
        host, port = self.server.server_address[:2]
        environ: WSGIEnvironment = {
            "REQUEST_METHOD": self.command,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote(path, "latin-1"),
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
        }
        for name, value in self.headers.items():
            environ[f"HTTP_{name.upper().replace('-', '_')}"] = value
        return environ

    def _head(self, started: "_Start", length: int) -> bytes:
        lines = [
            f"{self.protocol_version} {started.status}",
            f"Server: {self.version_string()}",
            f"Date: {self.date_time_string()}",
        ]
        lines += [f"{name}: {value}" for name, value in started.headers if name.lower() not in _OURS]
        if not started.status.startswith("204 "):
            lines.append(f"Content-Length: {length}")
        return "\r\n".join((*lines, "", "")).encode("latin-1")


_OURS = ("content-length", "date", "server", "connection")


def _send_at_once(connection: socket.socket, head: bytes, body: bytes) -> bool:
    connection.sendall(head + body)
    return True


class _Start:
    """The `start_response` of one request: remembers what the application says."""

    def __init__(self) -> None:
        self.status = "500 Internal Server Error"
        self.headers: list[tuple[str, str]] = []

    def __call__(self, status: str, headers: list[tuple[str, str]], exc_info: object = None, /) -> Any:
        self.status = status
        self.headers = headers
        return lambda _content: None


if TYPE_CHECKING:
    _is_start_response: StartResponse = _Start()
