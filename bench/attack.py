"""Attacks without a secret, and the signed callbacks beside each: how late the latest of them is answered.

The attacker (`attacker`) is a process of its own. The callbacks leave when they are due, answered or not (`overload`),
every second one on a connection of its own. All of it shares the machine with the service, so that the figures are
worse than those of an attacker who is elsewhere.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench import load, overload
from bench.attacker import ATTACKS
from bench.deliveries import ASSIGNMENT, Deliveries, assignment_form
from bench.figures import Figure, Line
from bench.nginx import NGINX, nginx
from bench.serving import PUBLIC_URL, TOKEN, Server, Site
from bench.upstream import ATTRIBUTES
from enrich.database.engine import Database

# Of signed callbacks beside an attack. TaskRouter itself waits 5 s (docs/taskrouter.md, "Time limits").
LATEST_S = 0.5
CALLBACKS_A_SECOND = 20


def figures(site: Site, seconds: float) -> Iterator[Figure]:
    """Yield the figures of every attack: on one process and on two, straight and through nginx where there is one."""
    upstream = site.upstream(0)
    for processes in (1, 2):
        name = f"service{processes}"
        server, database = site.service(
            upstream,
            name,
            WEB_CONCURRENCY=str(processes),
            ENRICH_TRUSTED_PROXIES="1",
            ENRICH_BREAKER_FAILURES="1000000",
        )
        with closing(database):
            for through in ("straight", "nginx") if NGINX else ("straight",):
                folder = site.folder / f"{name}-{through}"
                folder.mkdir()
                front = nginx(folder, urlsplit(server.url).netloc) if through == "nginx" else nullcontext(server.url)
                with front as url:
                    against = f"{processes} process{'es' * (processes > 1)}, {through}"
                    yield from beside_all(Service(server, database, url, folder), seconds, site.database_kind, against)


@dataclass(frozen=True, slots=True)
class Service:
    """The service that is attacked. url: where; folder: for files."""

    server: Server
    database: Database
    url: str
    folder: Path


def beside_all(service: Service, seconds: float, kind: str, against: str) -> Iterator[Figure]:
    """Yield a figure for no attack and for each on this service, and one of callbacks missing in the journal."""
    missing = 0
    beside(service, "", 1.0)  # warms it up
    for name in ("", *ATTACKS):
        told = beside(service, name, seconds)
        missing += told["unrecorded"]
        yield Figure(
            Line(name or "nothing beside", kind, against, (LATEST_S,)),
            (told["slowest_s"],),
            "s",
            at_least=False,
            note=(
                f"median {told['p50_s'] * 1000:.0f} ms, p99 {told['p99_s'] * 1000:.0f} ms of {told['requests']}, "
                f"{told['connections']:,} connections, "
                f"{' → '.join(f'{megabytes:.0f}' for megabytes in told['memory_mb'])} MB"
            ),
            raw=told,
        )
    yield Figure(Line("answered, not recorded", kind, against, (0,)), (missing,), "", at_least=False)


def beside(service: Service, name: str, seconds: float) -> dict[str, Any]:
    """Return what became of signed callbacks beside this attack ("" for none).

    memory_mb: of all processes, before, at the end of the attack, and after it.
    """
    file = service.folder / "requests"
    deliveries = Deliveries(PUBLIC_URL, ASSIGNMENT, assignment_form(ATTRIBUTES), TOKEN)
    size = deliveries.write(file, max(2, round(seconds * CALLBACKS_A_SECOND)))
    memory = [sum(service.server.memory_mb())]
    with _attack(service.url, name) as counts:
        told, unanswered = overload.send(service.url, file, size, rate=CALLBACKS_A_SECOND, fresh=2)
        memory.append(sum(service.server.memory_mb()))
    at_once, missing = overload.unrecorded(service.database, file, unanswered)
    memory.append(sum(service.server.memory_mb()))
    return {
        **told,
        "slowest_s": overload.MAX_ANSWER_S if unanswered else told["slowest_s"],
        "recorded_later": at_once,
        "unrecorded": missing,
        "memory_mb": memory,
        "connections": 0,
        **counts,
    }


@contextmanager
def _attack(url: str, name: str) -> Iterator[dict[str, int]]:
    """Attack while in the context; then the dict has what the attacker counted."""
    counts: dict[str, int] = {}
    if not name:
        yield counts
        return
    command = [sys.executable, "-m", "bench.attacker", url, name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        if process.stdout.readline() != "begun\n":
            raise load.Failed(f"the attack {name!r} did not begin")
        yield counts
        out, _ = process.communicate()
        counts |= json.loads(out)
