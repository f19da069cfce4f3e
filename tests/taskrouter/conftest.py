"""Servers that say what a test wants them to say."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.support.scripted_server import ScriptedServer


@pytest.fixture
def serve() -> Iterator[Callable[..., ScriptedServer]]:
    running: list[tuple[ScriptedServer, threading.Thread]] = []

    def serve(*says: bytes, listening: socket.socket | None = None, scheme: str = "http") -> ScriptedServer:
        server = ScriptedServer(listening or socket.create_server(("127.0.0.1", 0)), list(says), scheme=scheme)
        thread = threading.Thread(target=server.run)
        thread.start()
        running.append((server, thread))
        return server

    yield serve
    for server, thread in running:
        server.listening.shutdown(socket.SHUT_RDWR)
        server.listening.close()
        thread.join(10)
        assert not thread.is_alive()
