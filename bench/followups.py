"""Follow-ups: how many a worker does in a second, and how soon a new task has its block.

The yardstick of the first is what two requests for each follow-up take when nothing else is done: the number in flight
divided by two round trips. That of the second is the two round trips.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from statistics import median
from urllib.parse import urlsplit

from sqlalchemy import func, insert, select

from bench.deliveries import EVENTS, Deliveries, created_form
from bench.figures import Figure, Line
from bench.serving import PUBLIC_URL, TOKEN, Site, processor_s
from bench.upstream import ATTRIBUTES
from enrich.database.engine import Database
from enrich.journal.tables import EntryRow, FollowupRow

IN_FLIGHT = (16, 64)
ENOUGH_PER_SECOND = 200.0
SHARE = 0.8
EVENTS_SENT = 20
EVENT_INTERVAL_S = 0.5
MAX_WAIT_S = 30.0
_WRITE = re.compile(r"^POST \S*/Tasks/(WT[0-9a-f]{32}) (\S+)$", re.MULTILINE)


class NotDone(Exception):
    """The worker did not do what was owed in time."""


def throughput(site: Site, delay_s: float, seconds: float) -> Iterator[Figure]:
    """Yield the follow-ups a second of one worker process with a full queue."""
    for in_flight in IN_FLIGHT:
        bare = in_flight / (2 * delay_s)
        wanted = min(SHARE * bare, ENOUGH_PER_SECOND) / bare
        against = f"two requests of {delay_s * 1000:.0f} ms each: {bare:.0f} a second"
        number = int(bare * seconds)
        with (
            closing(site.seeded_database(f"followups_{in_flight}")) as database,
            site.worker(site.upstream(delay_s), database, ENRICH_WORKER_CONCURRENCY=str(in_flight)),
        ):
            _owe(database, number)
            worker = site.processes.pid("worker")
            first, began_at, used_s = _wait_for(database, in_flight), time.monotonic(), processor_s(worker)
            last = _wait_for(database, number)
            rate = (last - first) / (time.monotonic() - began_at)
            each_ms = (processor_s(worker) - used_s) / (last - first) * 1000
        line = Line(f"follow-ups, {in_flight} in flight", site.database_kind, against, (round(wanted, 2),))
        yield Figure(line, (rate / bare,), note=f"{rate:.0f} a second, {each_ms:.1f} ms of processor each")


def freshness(site: Site, delay_s: float) -> Iterator[Figure]:
    """Yield the time from a `task.created` event to the write of the block, for one task at a time."""
    upstream = site.upstream(delay_s, tells=True)
    server, database = site.service(upstream)
    sent: dict[str, float] = {}
    with closing(database), site.worker(upstream, database):
        file = site.folder / "requests"
        size = Deliveries(PUBLIC_URL, EVENTS, created_form(ATTRIBUTES), TOKEN).write(file, EVENTS_SENT)
        with file.open("rb") as requests:
            while request := requests.read(size):
                task = request.rpartition(b"TaskSid=")[2][:34].decode()
                sent[task] = time.monotonic()
                _send(server.url, request)
                time.sleep(EVENT_INTERVAL_S)
        written = _written(site.processes.output(f"upstream {delay_s:g}"))
    waits = [(written[task] - at) * 1000 for task, at in sent.items()]
    against = f"two round trips of {delay_s * 1000:.0f} ms"
    line = Line("task.created to the block, added", site.database_kind, against, (100,))
    added = tuple(wait - 2 * delay_s * 1000 for wait in waits)
    yield Figure(line, added, "ms", at_least=False, note=f"median {median(waits):.0f} ms in all")


def _owe(database: Database, number: int) -> None:
    """Add a queue of `task.created` follow-ups, all due."""
    now = datetime.now(UTC)
    entry = {"kind": "event", "claim": "0" * 16, "received_at": now, "workspace_sid": "WS" + "0" * 32}
    entries = [entry | {"task_sid": f"WT{number:032x}"} for number in range(number)]
    followup = {"kind": "warm", "created_at": now, "due_at": now}
    with database.transaction() as session:
        rows = session.execute(insert(EntryRow).returning(EntryRow.id, EntryRow.task_sid), entries).all()
        session.execute(
            insert(FollowupRow), [followup | {"entry_id": row.id, "task_sid": row.task_sid} for row in rows]
        )


def _wait_for(database: Database, number: int) -> int:
    """Wait until so many follow-ups are done; return how many are. Raises NotDone."""
    until = time.monotonic() + MAX_WAIT_S
    while time.monotonic() < until:
        done = int(database.read(select(func.count()).where(FollowupRow.done_at.is_not(None)))[0][0])
        if done >= number:
            return done
        time.sleep(0.02)
    raise NotDone(f"{number} follow-ups were not done within {MAX_WAIT_S:.0f} s")


def _send(url: str, request: bytes) -> None:
    """Send the request on a connection of its own, and wait for its answer."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(request)
        answer = connection.recv(65536)
    if b" 204 " not in answer[:20]:
        raise NotDone(f"an event got {answer[:80]!r}")


def _written(output: str) -> Mapping[str, float]:
    """Return the monotonic time at which each task's write was answered, from what the upstream wrote down."""
    return {task: float(answered_at) for task, answered_at in _WRITE.findall(output)}
