"""The processes of a server share kept connections, also with one that could take none when they were opened."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from enrich.demo.processes import Processes
from tests.support.contact_centre import Service
from tests.support.waiting import wait_until

CLIENTS = 40
ESTABLISHED = "01"


def kept_by(process: int, port: int) -> int:
    """Return how many connections to this port the process has. Source: proc(5), `net/tcp` and `fd`."""
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    sockets = {
        f"socket:[{inode}]"
        for _, local, _, state, _, _, _, _, _, inode, *_ in rows
        if state == ESTABLISHED and int(local.rpartition(":")[2], 16) == port
    }
    links = []
    for file in Path(f"/proc/{process}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            links.append(str(file.readlink()))
    return len(sockets.intersection(links))


@contextmanager
def stopped(process: int) -> Iterator[None]:
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def test_a_process_that_could_take_none_gets_its_share(own_service: Service, processes: Processes) -> None:
    processes.start("web", "gunicorn", "app:create_app()", env={**own_service.environment, "WEB_CONCURRENCY": "2"})
    processes.wait_for("web", f"{own_service.url}/readyz", lambda: False)
    address = urlsplit(own_service.url)
    assert address.port

    def ask(client: HTTPConnection) -> int:
        client.request("GET", "/healthz")  # opens the connection anew if the last response closed it
        with client.getresponse() as response:
            response.read()
            return response.status

    def workers() -> list[int]:
        master = processes.pid("web")
        return [int(pid) for pid in Path(f"/proc/{master}/task/{master}/children").read_text().split()]

    wait_until(lambda: len(workers()) == 2, 10)
    one, other = workers()
    with ExitStack() as stack:
        clients = [
            stack.enter_context(closing(HTTPConnection(address.hostname or "", address.port, timeout=10)))
            for _ in range(CLIENTS)
        ]
        with stopped(one):
            assert {ask(client) for client in clients} == {200}

        def are_shared() -> bool:
            assert {ask(client) for client in clients} == {200}
            return min(kept_by(one, address.port or 0), kept_by(other, address.port or 0)) >= CLIENTS // 3

        wait_until(are_shared, 10)
