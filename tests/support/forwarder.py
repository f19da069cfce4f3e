"""An address that leads to a server elsewhere, as a load balancer or a name that moves does."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

BYTES = 65_536


class Forwarder:
    """Forwards connections at this address to a Unix socket, until it is closed, and its connections with it.

    port: 0 for any free one.
    """

    def __init__(self, address: str, target: str, port: int = 0) -> None:
        self._target = target
        self._listening = socket.create_server((address, port))
        self.port: int = self._listening.getsockname()[1]
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for connection in (self._listening, *self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                caller, _ = self._listening.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._target)
                self._connections += [caller, server]
                for source, sink in ((caller, server), (server, caller)):
                    threading.Thread(target=_forward, args=(source, sink), daemon=True).start()


def _forward(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(BYTES):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
