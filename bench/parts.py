"""The parts of the benchmark: each a comparison over real HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Protocol

from sqlalchemy import func, select

from bench import attack, figures, followups, load
from bench import loading as loads
from bench.deliveries import ASSIGNMENT, EVENTS, Deliveries, assignment_form, event_form
from bench.figures import Figure, Line, Load, Measured, Point
from bench.lookups import Lookups, new_token
from bench.overload import TIMES
from bench.overload import figures as overload_figures
from bench.serving import PUBLIC_URL, TOKEN, Server, Site
from bench.upstream import ATTRIBUTES
from enrich.customers import block, matching
from enrich.customers.key_rules import KeyRules
from enrich.customers.store import CustomerStore
from enrich.database.engine import Database
from enrich.journal.tables import EntryRow
from enrich.taskrouter import attributes

RTT_S = 0.1
# Callbacks in flight: for the 99th percentile; for the others, enough to keep two processes busy.
IN_FLIGHT = 64
BUSY = 32
# In flight at the points of growth, and the longest round of each; a database takes less than a minute.
GROWTH = (1, 4, 16, 64)
MAX_POINT_S = 2.0
# The most that the 99th percentile of look-ups may be with `IN_FLIGHT`; told beside it: with fewer.
MAX_LOOKUP_MS = 50.0
LOOKUPS_IN_FLIGHT = (1, IN_FLIGHT // 2, IN_FLIGHT)
# The part of the answers that may be the default instruction, because something else held the machine that long.
OTHERWISE = 0.01


@dataclass(frozen=True, slots=True)
class Pace:
    """The length and the tool of a measurement.

    rounds: of each side; seconds: of each round; customers: of a load.
    """

    rounds: int
    seconds: float
    with_wrk: bool
    customers: int = loads.CUSTOMERS


class NotTheWork(Exception):
    """The answers came, but the journal shows that it was not for the work that was to be measured."""


def full(site: Site, pace: Pace) -> Iterator[Figure]:
    """A callback from receipt to conclusion, with a GET and a POST on an upstream that answers at once."""
    with _service(site, site.upstream(0)) as service:
        deliveries = Deliveries(PUBLIC_URL, ASSIGNMENT, assignment_form(ATTRIBUTES), TOKEN)
        measured = _both(service, service.floor("full"), deliveries, pace)
        service.check(measured, ("assignment", "enriched", True))
        against = "a WSGI function, the same I/O"
        yield figures.throughput(Line("full callback", site.database_kind, against, (0.6, 0.8)), measured)
        if memory := service.server.memory_mb():
            yield Figure(Line("a web process", site.database_kind, "after that load"), tuple(memory), "MB")


def warm(site: Site, pace: Pace) -> Iterator[Figure]:
    """A callback whose task holds our whole block already: recorded, looked up, answered; nothing over REST."""
    with _service(site, site.upstream(0)) as service:
        form = assignment_form(_enriched(service.database))
        measured = _both(service, service.floor("warm"), Deliveries(PUBLIC_URL, ASSIGNMENT, form, TOKEN), pace)
        service.check(measured, ("assignment", "enriched", False))
        against = "a view: look-up, row, log, metrics"
        yield figures.throughput(Line("warm callback", site.database_kind, against, (0.8,)), measured)


def events(site: Site, pace: Pace) -> Iterator[Figure]:
    """An event: verified, kept, 204."""
    with _service(site, site.upstream(0)) as service:
        deliveries = Deliveries(PUBLIC_URL, EVENTS, event_form(ATTRIBUTES), TOKEN)
        measured = _both(service, service.floor("flask"), deliveries, pace)
        service.check(measured, ("event", None, False))
        against = "a bare Flask view, one insert"
        yield figures.throughput(Line("event intake", site.database_kind, against, (0.85,)), measured)


def slow_upstream(site: Site, pace: Pace) -> Iterator[Figure]:
    """The 99th percentile, when each request to TaskRouter takes 100 ms and 64 callbacks are in flight."""
    with _service(site, site.upstream(RTT_S)) as service:
        deliveries = Deliveries(PUBLIC_URL, ASSIGNMENT, assignment_form(ATTRIBUTES), TOKEN)
        measured = _both(service, service.floor("full"), deliveries, pace, connections=IN_FLIGHT)
        service.check(measured, ("assignment", "enriched", True))
        name = f"p99 added, {RTT_S * 1000:.0f} ms, {IN_FLIGHT} in flight"
        yield figures.added_p99(Line(name, site.database_kind, "the same function's p99", (50,)), measured)


def overload(site: Site, pace: Pace) -> Iterator[Figure]:
    """Five times what a closed loop of 64 was just served: nobody late, nobody forgotten."""
    with _service(site, site.upstream(0)) as service:
        deliveries = Deliveries(PUBLIC_URL, ASSIGNMENT, assignment_form(ATTRIBUTES), TOKEN)
        file = site.folder / "requests"
        carried = 0.0
        for _ in range(2):  # the first warms it up
            carried = _round(service.server, deliveries, file, _Rate().expected, pace, IN_FLIGHT).per_second
        size = deliveries.write(file, int(TIMES * carried * pace.seconds * 3))
        yield from overload_figures(service.database, site.database_kind, service.server.url, file, size, carried)


def lookup_api(site: Site, pace: Pace) -> Iterator[Figure]:
    """Look-ups over the API, asked without pause. Some are refused where the machine is busy: callbacks go first."""
    with _service(site, site.upstream(0), ENRICH_API_RATE="100000") as service:
        requests = Lookups(PUBLIC_URL, new_token(service.database))
        rounds: dict[int, list[Load]] = {in_flight: [] for in_flight in LOOKUPS_IN_FLIGHT}
        for number in range(pace.rounds + 1):  # the first warms it up
            for in_flight, there in rounds.items():
                file, expected = site.folder / "requests", _Rate().expected
                measured = _round(service.server, requests, file, expected, pace, in_flight, may_be_refused=True)
                there += [measured] if number else []
    for in_flight, there in rounds.items():
        wanted = (MAX_LOOKUP_MS,) if in_flight == IN_FLIGHT else ()
        line = Line(f"p99 of look-ups, {in_flight} in flight", site.database_kind, "asked without pause", wanted)
        note = ", ".join(f"{load.per_second:,.0f}" for load in there) + " a second"
        if refused := sum(load.failed for load in there):
            note += f"; {refused} of {sum(load.requests for load in there):,} refused"
        p99s_ms = tuple(load.p99_ms for load in there)
        yield Figure(line, p99s_ms, "ms", at_least=False, note=note, raw=[asdict(load) for load in there])


def followup_rate(site: Site, pace: Pace) -> Iterator[Figure]:
    """The follow-ups a second of one worker process, when each request to TaskRouter takes 100 ms."""
    yield from followups.throughput(site, RTT_S, pace.rounds, pace.seconds)


def freshness(site: Site, _pace: Pace) -> Iterator[Figure]:
    """The time from `task.created` to the block on the task, when each request to TaskRouter takes 100 ms."""
    yield from followups.freshness(site, RTT_S)


def loading(site: Site, pace: Pace) -> Iterator[Figure]:
    """A load of customers and the same again against a bare loop, and callbacks beside it."""
    yield from loads.figures(site, pace.rounds, pace.customers)


def growth(site: Site, pace: Pace) -> Iterator[Figure]:
    """Callbacks and follow-ups a second by how many are in flight. Each point is one short round."""
    pace = replace(pace, seconds=min(pace.seconds, MAX_POINT_S))
    with _service(site, site.upstream(0)) as service:
        floor = service.floor("full")
        deliveries = Deliveries(PUBLIC_URL, ASSIGNMENT, assignment_form(ATTRIBUTES), TOKEN)
        answered = 0
        for number, connections in enumerate((BUSY, *GROWTH)):
            ours, theirs = (
                _round(server, deliveries, site.folder / "requests", _Rate().expected, pace, connections)
                for server in (service.server, floor)
            )
            answered += ours.requests
            if number:  # the first warms them up
                point = Point("callbacks", connections, ours.per_second, theirs.per_second)
                yield _point("callbacks", site, point, "/s")
                yield _point("p99 of callbacks", site, Point("p99", connections, ours.p99_ms, theirs.p99_ms), "ms")
        service.check(Measured((), (), answered), ("assignment", "enriched", True))
    upstream = site.upstream(RTT_S)
    for in_flight in GROWTH:
        rounds = followups.both(site, upstream, in_flight, RTT_S, 1, pace.seconds)
        point = Point("followups", in_flight, rounds.ours[0].per_second, rounds.theirs[0].per_second)
        yield _point("follow-ups", site, point, "/s")


def _point(name: str, site: Site, point: Point, unit: str) -> Figure:
    against = f"bare: {point.theirs:.0f} {unit}"
    line = Line(f"{name}, {point.in_flight} in flight", site.database_kind, against)
    return Figure(line, (point.ours,), unit, at_least=unit != "ms", point=point)


def attacked(site: Site, pace: Pace) -> Iterator[Figure]:
    """Signed callbacks beside attacks without a secret. Each attack has one round."""
    yield from attack.figures(site, pace.seconds)


# In the order in which they run.
PARTS: dict[str, Callable[[Site, Pace], Iterator[Figure]]] = {
    "full": full,
    "warm": warm,
    "events": events,
    "p99": slow_upstream,
    "overload": overload,
    "lookup-api": lookup_api,
    "followups": followup_rate,
    "freshness": freshness,
    "growth": growth,
    "loading": loading,
    "attack": attacked,
}
# Not run unless asked for: they do not compare with a yardstick.
ON_REQUEST = ("attack",)


def _enriched(database: Database) -> str:
    """The task's attributes with the block that the service would write now."""
    store = CustomerStore(database)
    keys = matching.lookup_keys(attributes.parse(ATTRIBUTES), KeyRules.parse())
    found = store.look_up(keys)
    blocks = block.compose(matching.choose(keys, found.candidates), found.customer, block.BlockShape())
    spliced = attributes.splice(ATTRIBUTES, "crm", blocks)
    return getattr(spliced, "text", "")


@dataclass(frozen=True, slots=True)
class _Service:
    """The service that is measured, its database, and where its yardsticks are started."""

    site: Site
    upstream: str
    server: Server
    database: Database

    def floor(self, which: str) -> Server:
        return self.site.floor(which, self.upstream)

    def check(self, measured: Measured, work: tuple[str, str | None, bool]) -> None:
        """This work was done as often as it was answered, but for `OTHERWISE`. Raises NotTheWork.

        work: kind and outcome of the entries, and whether they wrote.
        """
        entry = EntryRow
        ways = (entry.kind, entry.outcome, entry.attributes_after.is_not(None).label("wrote"))
        concluded = select(*ways, func.count().label("number")).where(
            entry.repeats == 0, entry.concluded_at.is_not(None)
        )
        rows = self.database.read(concluded.group_by(*ways))
        done = {(row.kind, row.outcome, bool(row.wrote)): int(row.number) for row in rows}
        if done.get(work, 0) < measured.answered * (1 - OTHERWISE):
            raise NotTheWork(f"{measured.answered} were answered as {work}; the journal holds {done}")


@contextmanager
def _service(site: Site, upstream: str, **settings: str) -> Iterator[_Service]:
    server, database = site.service(upstream, **settings)
    with closing(database):
        yield _Service(site, upstream, server, database)


def _both(service: _Service, floor: Server, deliveries: Deliveries, pace: Pace, *, connections: int = BUSY) -> Measured:
    """The rounds of both sides, turn by turn. One round of each before that warms it up and does not count."""
    sides = {service.server: _Rate(), floor: _Rate()}
    file = service.site.folder / "requests"
    answered = 0
    for number in range(pace.rounds + 1):
        for server, rate in sides.items():
            measured = _round(server, deliveries, file, rate.expected, pace, connections)
            rate.expected = max(rate.expected, measured.per_second)
            answered += measured.requests if server is service.server else 0
            if number:
                rate.rounds.append(measured)
    return Measured(sides[service.server].rounds, sides[floor].rounds, answered)


@dataclass
class _Rate:
    """The rounds of one server, and the requests a second that it may reach in the next."""

    expected: float = 3000.0
    rounds: list[Load] = field(default_factory=list)


class Requests(Protocol):
    """Requests that can be prepared in a file, all equally long."""

    def write(self, file: Path, number: int) -> int:
        """The length of one request, in bytes, after so many were written to the file."""
        ...


def _round(
    server: Server,
    requests: Requests,
    file: Path,
    expected: float,
    pace: Pace,
    connections: int,
    *,
    may_be_refused: bool = False,
) -> Load:
    """One round; once more with more requests prepared, where it was faster than expected."""
    while True:
        size = requests.write(file, int(expected * pace.seconds * 1.5) + 2 * connections)
        before = server.processor_s()
        try:
            measured = load.send(
                server.url,
                file,
                size,
                connections=connections,
                seconds=pace.seconds,
                with_wrk=pace.with_wrk,
                may_be_refused=may_be_refused,
            )
        except load.OutOfRequests:
            expected *= 2
            continue
        after = server.processor_s()
        used = None if before is None or after is None else (after - before) / measured.requests
        return replace(measured, processor_s=used)
