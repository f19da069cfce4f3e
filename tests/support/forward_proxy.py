"""A real HTTP proxy: it forwards requests and makes tunnels, to where a test says that a host is."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class ForwardProxy:
    """Serves one connection after the other. hosts: the address of every host that it reaches. got: request heads."""

    listening: socket.socket
    hosts: dict[str, tuple[str, int]]
    got: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://dana:open%20sesame@127.0.0.1:{self.listening.getsockname()[1]}"

    def run(self) -> None:
        while True:
            try:
                client, _ = self.listening.accept()
            except OSError:
                return
            with client, suppress(OSError):
                self._serve(client)

    def _serve(self, client: socket.socket) -> None:
        head = client.recv(65_536)
        self.got.append(head)
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        host = target.rpartition(":")[0] if method == "CONNECT" else urlsplit(target).hostname or ""
        with socket.create_connection(self.hosts[host]) as server:
            if method == "CONNECT":
                client.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
            else:
                origin = target.removesuffix(urlsplit(target).path)
                server.sendall(head.replace(origin.encode(), b"", 1))
            _relay(client, server)


def _relay(client: socket.socket, server: socket.socket) -> None:
    """Pass on what either side sends, until one of them closes."""
    with selectors.DefaultSelector() as selector:
        selector.register(client, selectors.EVENT_READ, server)
        selector.register(server, selectors.EVENT_READ, client)
        while True:
            for key, _ in selector.select():
                chunk = key.fileobj.recv(65_536)  # type: ignore[union-attr]  # only sockets are registered
                if not chunk:
                    return
                key.data.sendall(chunk)


@contextmanager
def forward_proxy(hosts: dict[str, tuple[str, int]]) -> Iterator[ForwardProxy]:
    """Run a proxy for the block. Connections through it are closed before."""
    proxy = ForwardProxy(socket.create_server(("127.0.0.1", 0)), hosts)
    thread = threading.Thread(target=proxy.run)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.listening.shutdown(socket.SHUT_RDWR)
        proxy.listening.close()
        thread.join(10)
        assert not thread.is_alive()
