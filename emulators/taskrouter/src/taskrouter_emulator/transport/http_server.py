"""A small HTTP/1.1 server for one WSGI application: threaded, keep-alive, and quick to stop without leftovers.

Werkzeug's development server closes the connection after every response; clients of TaskRouter rely on keep-alive, and
faults (drips, resets) need access to the socket: the application may choose how its response is sent.
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

from taskrouter_emulator.model.errors import code_of_status, error_body

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

MAX_BODY_BYTES = 4_194_304

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
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body leave in one packet
    server: HttpServer

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
        """Release the socket even if the client is gone and the last bytes cannot be sent."""
        with suppress(OSError):
            super().finish()
        self.rfile.close()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse a request in TaskRouter's own form, and close the connection."""
        refusal = error_body(code, code_of_status(code), message or explain or HTTPStatus(code).phrase)
        body = json.dumps(refusal).encode()
        self.close_connection = True
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Write nothing: the emulator has its own log."""

    def _read_body(self) -> bytes | None:
        """Return the body, or None after a refusal: a body needs a length, of up to 4 MiB."""
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

    def _head(self, start_response: "_StartResponse", length: int) -> bytes:
        lines = [
            f"{self.protocol_version} {start_response.status}",
            f"Server: {self.version_string()}",
            f"Date: {self.date_time_string()}",
        ]
        lines += [f"{name}: {value}" for name, value in start_response.headers if name.lower() not in _SERVER_HEADERS]
        if not start_response.status.startswith("204 "):
            lines.append(f"Content-Length: {length}")
        return "\r\n".join((*lines, "", "")).encode("latin-1")


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
