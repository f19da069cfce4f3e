"""An HTTP server that sends exactly what a test gives it."""

from __future__ import annotations

import socket
import ssl
import threading
from dataclasses import dataclass, field


@dataclass
class ScriptedServer:
    """Sends `says`, one for each request, one connection after the other; an empty one closes. got: the requests."""

    listening: socket.socket
    says: list[bytes] = field(default_factory=list)
    got: list[bytes] = field(default_factory=list)
    connections: int = 0
    closed: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    scheme: str = "http"

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
                self._serve(connection)
            self.closed.release()

    def _serve(self, connection: socket.socket) -> None:
        while self.says:
            try:
                request = connection.recv(65_536)
            except OSError:
                return
            if not request:
                return
            self.got.append(request)
            said = self.says.pop(0)
            if not said:
                return
            connection.sendall(said)
