"""An HTTP server that sends exactly what a test gives it."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class ScriptedServer:
    """Sends `says`, one for each request, one connection after the other; an empty one closes. got: the requests.

    reply: makes the response of a request, in place of `says`, for as long as there are requests.
    """

    listening: socket.socket
    says: list[bytes] = field(default_factory=list)
    got: list[bytes] = field(default_factory=list)
    connections: int = 0
    closed: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    scheme: str = "http"
    reply: Callable[[bytes], bytes] | None = None
    _active: socket.socket | None = None

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.listening.getsockname()[1]}"

    def run(self) -> None:
        while True:
            try:
                connection, _ = self.listening.accept()
            except ssl.SSLError:  # who does not trust us
                continue
            except OSError:
                return
            self.connections += 1
            with connection:
                self._active = connection
                self._serve(connection)
            self.closed.release()

    def end(self) -> None:
        """Take no more connections, and end the one that a client has left open."""
        for open_socket in (self.listening, self._active):
            with suppress(OSError):
                if open_socket:
                    open_socket.shutdown(socket.SHUT_RDWR)
        self.listening.close()

    def _serve(self, connection: socket.socket) -> None:
        while self.says or self.reply:
            try:
                request = connection.recv(65_536)
            except OSError:
                return
            if not request:
                return
            self.got.append(request)
            said = self.reply(request) if self.reply else self.says.pop(0)
            if not said:
                return
            try:
                connection.sendall(said)
            except OSError:  # who has read enough
                return


def response(body: bytes, *, status: int = 200, headers: str = "") -> bytes:
    """Return a whole response. headers: beside the length, each with its line end."""
    return f"HTTP/1.1 {status} Said\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


@contextmanager
def scripted_servers() -> Iterator[Callable[..., ScriptedServer]]:
    """Return a function that starts servers; all of them end with the block."""
    running: list[tuple[ScriptedServer, threading.Thread]] = []

    def serve(
        *says: bytes,
        listening: socket.socket | None = None,
        scheme: str = "http",
        reply: Callable[[bytes], bytes] | None = None,
    ) -> ScriptedServer:
        server = ScriptedServer(
            listening or socket.create_server(("127.0.0.1", 0)), list(says), scheme=scheme, reply=reply
        )
        thread = threading.Thread(target=server.run)
        thread.start()
        running.append((server, thread))
        return server

    yield serve
    for server, thread in running:
        server.end()
        thread.join(10)
        assert not thread.is_alive()
