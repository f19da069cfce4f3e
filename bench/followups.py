"""Follow-ups: how many a worker does in a second, and how soon a new task has its block.

The yardstick of the first is a bare loop (`bare_worker`) with as many in flight in the same minute, turn by turn. The
note tells the share of what two requests for each follow-up allow when nothing else takes time: the number in flight
divided by two round trips. The yardstick of the second is the two round trips.
"""

from __future__ import annotations

import re
import secrets
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from statistics import median
from urllib.parse import urlsplit

from sqlalchemy import func, insert, select

from bench import load
from bench.deliveries import EVENTS, Deliveries, created_form
from bench.figures import Figure, Line, noise
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


@dataclass(frozen=True, slots=True)
class Round:
    """The follow-ups that were done in that time. processor_s: of the process that did them."""

    done: int
    seconds: float
    processor_s: float

    @property
    def per_second(self) -> float:
        return self.done / self.seconds

    @property
    def each_ms(self) -> float:
        """Processor time of one."""
        return self.processor_s / self.done * 1000


@dataclass(frozen=True, slots=True)
class Rounds:
    """The rounds of both sides, turn by turn."""

    ours: list[Round]
    theirs: list[Round]


def throughput(site: Site, delay_s: float, rounds: int, seconds: float) -> Iterator[Figure]:
    """Yield the follow-ups a second of one worker process with a full queue, against a bare loop."""
    upstream = site.upstream(delay_s)
    for in_flight in IN_FLIGHT:
        ideal = _ideal(in_flight, delay_s)
        measured = both(site, upstream, in_flight, delay_s, rounds, seconds)
        rate = median(each.per_second for each in measured.ours)
        ours_ms, bare_ms = (median(each.each_ms for each in side) for side in (measured.ours, measured.theirs))
        wanted = round(min(SHARE, ENOUGH_PER_SECOND / ideal), 2)
        yield Figure(
            Line(
                f"follow-ups, {in_flight} in flight", site.database_kind, "a bare gevent loop, the same I/O", (wanted,)
            ),
            tuple(
                ours.per_second / theirs.per_second for ours, theirs in zip(measured.ours, measured.theirs, strict=True)
            ),
            noise=noise([each.per_second for each in measured.theirs]),
            note=(
                f"{rate:.0f} a second, {ours_ms:.1f} ms of processor each (bare {bare_ms:.1f}), "
                f"{rate / ideal:.2f} of {in_flight} / two round trips"
            ),
            raw=asdict(measured),
        )


def both(site: Site, upstream: str, in_flight: int, delay_s: float, rounds: int, seconds: float) -> Rounds:
    """Measure one worker process and the bare loop, turn by turn. delay_s: of the upstream."""
    number = in_flight + max(1, int(_ideal(in_flight, delay_s) * seconds))
    measured = Rounds([], [])
    bare_database = site.floor_database(f"bare_{in_flight}")
    with (
        closing(site.seeded_database(f"followups_{in_flight}")) as database,
        site.worker(upstream, database, ENRICH_WORKER_CONCURRENCY=str(in_flight)),
    ):
        for _ in range(rounds):
            measured.ours.append(_ours(database, site.processes.pid("worker"), in_flight, number))
            measured.theirs.append(_theirs(upstream, bare_database, in_flight, number))
    return measured


def _ideal(in_flight: int, delay_s: float) -> float:
    """Return the follow-ups a second if nothing took time but their two requests."""
    return in_flight / (2 * delay_s)


def _ours(database: Database, worker: int, in_flight: int, number: int) -> Round:
    before = _done(database)
    _owe(database, number)
    first, began_at, used_s = _wait_for(database, before + in_flight), time.monotonic(), processor_s(worker)
    last = _wait_for(database, before + number)
    return Round(last - first, time.monotonic() - began_at, processor_s(worker) - used_s)


def _theirs(upstream: str, database_url: str, in_flight: int, number: int) -> Round:
    command = ["gevent.monkey", "--module", "bench.bare_worker", upstream, str(in_flight), str(number)]
    return Round(**load.run_module(*command, env={"DATABASE_URL": database_url}))


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
    entries = [entry | {"task_sid": f"WT{secrets.token_hex(16)}"} for _ in range(number)]
    followup = {"kind": "warm", "created_at": now, "due_at": now}
    with database.transaction() as session:
        rows = session.execute(insert(EntryRow).returning(EntryRow.id, EntryRow.task_sid), entries).all()
        session.execute(
            insert(FollowupRow), [followup | {"entry_id": row.id, "task_sid": row.task_sid} for row in rows]
        )


def _done(database: Database) -> int:
    return int(database.read(select(func.count()).where(FollowupRow.done_at.is_not(None)))[0][0])


def _wait_for(database: Database, number: int) -> int:
    """Wait until so many follow-ups are done; return how many are. Raises NotDone."""
    until = time.monotonic() + MAX_WAIT_S
    while time.monotonic() < until:
        done = _done(database)
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
