"""A receiver of webhooks on loopback."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl


@dataclass(frozen=True)
class Received:
    """One webhook: the path with its query, the headers in lower case, the form ({} of another body), the body."""

    path: str
    headers: dict[str, str]
    form: dict[str, str]
    body: str = ""


@dataclass
class Receiver:
    """A web server that responds to webhooks. answers: path -> (status, content type, body).

    before: called with each webhook before the response. raw: path -> a function that writes to the socket instead.
    """

    answers: dict[str, tuple[int, str, str]] = field(default_factory=dict)
    before: Callable[[Received], object] = lambda _received: None
    raw: dict[str, Callable[[Any], None]] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)
    base_url: str = ""
    _grown: threading.Condition = field(default_factory=threading.Condition)

    def answer(self, path: str, answer: object = None, *, status: int = 200, kind: str = "application/json") -> str:
        """Set the response for a path, and return its URL."""
        body = answer if isinstance(answer, str) else json.dumps({} if answer is None else answer)
        self.answers[path] = (status, kind, body)
        return self.base_url + path

    def write_raw(self, path: str, write: Callable[[Any], None]) -> str:
        """Let a function write bytes to the socket instead of a response; return the path's URL."""
        self.raw[path] = write
        return self.base_url + path

    def wait_for(self, fits: Callable[[Received], bool], timeout: float = 5.0) -> Received:
        with self._grown:
            assert self._grown.wait_for(lambda: any(map(fits, self.received)), timeout), self.received
            return next(filter(fits, self.received))

    def on(self, path: str) -> list[Received]:
        with self._grown:
            return [one for one in self.received if one.path == path]

    def take(self, received: Received) -> tuple[int, str, str]:
        self.before(received)
        with self._grown:
            self.received.append(received)
            self._grown.notify_all()
        return self.answers.get(received.path.partition("?")[0], (204, "application/json", ""))

    @classmethod
    @contextmanager
    def start(cls) -> "Iterator[Self]":
        """Serve on a free port until the end of the block."""
        receiver = cls()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                headers = {name.lower(): value for name, value in self.headers.items()}
                is_form = headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
                fields = parse_qsl(body, keep_blank_values=True, strict_parsing=bool(body)) if is_form else []
                status, kind, answer = receiver.take(Received(self.path, headers, dict(fields), body))
                if self.path in receiver.raw:
                    receiver.raw[self.path](self.wfile)
                    return
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.end_headers()
                self.wfile.write(answer.encode())

            def log_message(self, format: str, *args: Any) -> None:
                return

        class Server(ThreadingHTTPServer):
            daemon_threads = False

            def handle_error(self, request: Any, client_address: Any) -> None:
                """The emulator hangs up on purpose when its deadline has passed."""

        with Server(("127.0.0.1", 0), Handler) as server:
            receiver.base_url = f"http://127.0.0.1:{server.server_address[1]}"
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            yield receiver
            server.shutdown()
            thread.join()
