"""Loading of customers: a new file and the same file again, in one process and in two, against a bare loop.

The loop parses each line, normalises what it has, and inserts into four tables, which is the least without which nobody
is found by number, address and name. It compares nothing, and cannot be run again.

`python -m bench.loading WAY URL FILE` is one run in a process of its own, so that processor time and memory are its
own, too.
"""

from __future__ import annotations

import json
import os
import random
import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from bench import load, overload
from bench.deliveries import ASSIGNMENT, Deliveries, assignment_form
from bench.figures import Figure, Line, noise
from bench.serving import PUBLIC_URL, TOKEN, Site
from bench.upstream import ATTRIBUTES
from enrich.customers import identifiers
from enrich.customers.file_loads import begin_load
from enrich.customers.fixtures import Reading
from enrich.customers.reading_process import read_in_second_process
from enrich.customers.record_batches import read_batches
from enrich.customers.tables import CustomerRow
from enrich.database.bulk import stored_time
from enrich.database.engine import DEFAULT_TIMEOUT_S, Database
from enrich.database.types import Base

CUSTOMERS = 50_000
# A round of 50,000 customers is five loads, and takes a minute.
MAX_ROUNDS = 3
BARE, ONE, TWO = "bare", "one", "two"
_NAMES = {ONE: "one process", TWO: "two processes"}
# The longest that a writer may keep the others of SQLite waiting.
MAX_TURN_MS = 5
CALLBACKS_A_SECOND, MIN_CALLBACKS = 100, 50
# No load is faster.
MAX_CUSTOMERS_A_SECOND = 10_000

_REGION = "US"
_BARE_BATCH = 500
_COLUMNS = {
    "customers": "id, name, company, tier, language, owner, updated_at, version, is_gone",
    "identifiers": "customer_id, kind, value, as_written, source",
    "customer_words": "customer_id, word",
    "notes": "customer_id, position, text",
}
_FIRST_NAMES = ("Ada", "Grace", "Alan", "Edith", "Niklaus", "Barbara", "Tim", "Radia", "Donald", "Margaret")
_LAST_NAMES = ("Lovelace", "Hopper", "Turing", "Clarke", "Wirth", "Liskov", "Lee", "Perlman", "Knuth", "Hamilton")

Rows = dict[str, list[tuple[Any, ...]]]


def customer(number: int) -> dict[str, Any]:
    """Return an invented customer, the same one for the same number below a million."""
    pick = random.Random(number)
    line = 2_000_000 + 7 * number
    return {
        "id": f"C-{number:07}",
        "name": f"{pick.choice(_FIRST_NAMES)} {pick.choice(_LAST_NAMES)}",
        "company": f"Engines {pick.randrange(1000)}",
        "tier": pick.choice(("gold", "silver", "basic")),
        "phones": [f"+1415{line}", f"+1212{line}"],
        "emails": [f"person{number}@example.com"],
        "ids": {"account_number": f"A-{number}"},
        "notes": [f"Prefers to be called at {pick.randrange(8, 20)}:{pick.randrange(60):02}"],
    }


def write_file(path: Path, customers: int, first: int = 0) -> Path:
    """Write so many customers to this file, one a line; return it. first: the number of the first one."""
    with path.open("w") as file:
        file.writelines(f"{json.dumps(customer(number))}\n" for number in range(first, first + customers))
    return path


@dataclass(frozen=True, slots=True)
class Run:
    """One load.

    processor_s: of the process that used more, which is how long a load takes with a processor for each. peak_mb: of
    the process, and of the one that reads for it, if any. turns_ms: of its transactions, from the write lock to the end
    of the commit.
    """

    rows: int
    seconds: float
    processor_s: float
    peak_mb: Sequence[float]
    turns_ms: Sequence[float] = ()

    @property
    def per_second(self) -> float:
        return self.rows / self.seconds


@dataclass
class _Rounds:
    """Runs by way, round by round."""

    bare: list[Run] = field(default_factory=list)
    first: dict[str, list[Run]] = field(default_factory=lambda: {ONE: [], TWO: []})
    again: dict[str, list[Run]] = field(default_factory=lambda: {ONE: [], TWO: []})


def figures(site: Site, rounds: int, customers: int) -> Iterator[Figure]:
    """Yield how long loads take against the loop, what they need, and what they cost callbacks beside them."""
    path = write_file(site.folder / "customers.jsonl", customers)
    kind, told = site.database_kind, _Rounds()
    for number in range(min(rounds, MAX_ROUNDS)):
        told.bare.append(_run(BARE, _new_url(site, f"bare{number}"), path))
        for way in (ONE, TWO):
            url = _new_url(site, f"{way}{number}")
            told.first[way].append(_run(way, url, path))
            told.again[way].append(_run(way, url, path))
    for way, wanted in ((ONE, 3), (TWO, 2.2)):
        yield _against(Line(f"load, {_NAMES[way]}", kind, "a bare loop", (wanted,)), told.first[way], told.bare)
    one, two = (_against(Line("", kind, ""), told.again[way], told.first[way]) for way in (ONE, TWO))
    yield replace(
        two,
        line=Line("load again, two processes", kind, "the first load", (0.7,)),
        note=f"{two.note}; in one process {one.median:.2f} x, {one.note}",
    )
    yield _rate(kind, told)
    yield memory(Line("a loading process", kind, f"{customers:,} customers"), told.first[TWO])
    yield from _beside_callbacks(site, min(rounds, MAX_ROUNDS), customers)


def _against(line: Line, ours: Sequence[Run], theirs: Sequence[Run]) -> Figure:
    """Return the ratio of our time to theirs, with that of processor time in the note."""
    by_processor = median(run.processor_s / other.processor_s for run, other in zip(ours, theirs, strict=True))
    return Figure(
        line,
        tuple(run.seconds / other.seconds for run, other in zip(ours, theirs, strict=True)),
        at_least=False,
        noise=noise([run.seconds for run in theirs]),
        note=f"by processor time of the busier process {by_processor:.2f} x",
        raw={"ours": [_raw(run) for run in ours], "theirs": [_raw(run) for run in theirs]},
    )


def _raw(run: Run) -> dict[str, Any]:
    return {name: value for name, value in asdict(run).items() if name != "turns_ms"}


def _rate(kind: str, told: _Rounds) -> Figure:
    others = (
        ("again", told.again[TWO]),
        ("one process", told.first[ONE]),
        ("again", told.again[ONE]),
        ("bare loop", told.bare),
    )
    return Figure(
        Line("customers loaded a second", kind, "two processes"),
        tuple(run.per_second for run in told.first[TWO]),
        "/s",
        note=", ".join(f"{name} {median(run.per_second for run in runs):,.0f}" for name, runs in others),
    )


def memory(line: Line, runs: Sequence[Run]) -> Figure:
    """Return the peak memory of the writing process, with the highest one of the reading process in the note.

    Without a note if the reading processes had ended before they were looked at, as after a single batch.
    """
    reading_mb = [run.peak_mb[1] for run in runs if len(run.peak_mb) > 1]
    note = f"the one that reads: {max(reading_mb):.0f} MB" if reading_mb else ""
    return Figure(line, tuple(run.peak_mb[0] for run in runs if run.peak_mb), "MB", note=note)


def _turns(kind: str, runs: Sequence[Run]) -> Iterator[Figure]:
    """Yield how long a load beside callbacks holds the write lock of SQLite, for which the journal has to wait."""
    against = f"{sum(len(run.turns_ms) for run in runs):,} transactions"
    for name, values in (
        ("a load's turn at writing, p99", tuple(_p99(run.turns_ms) for run in runs)),
        ("a load's turn at writing, longest", tuple(max(run.turns_ms) for run in runs)),
    ):
        yield Figure(Line(name, kind, against, (MAX_TURN_MS,)), values, "ms", at_least=False)


def _p99(values: Sequence[float]) -> float:
    return sorted(values)[len(values) * 99 // 100]


def _beside_callbacks(site: Site, rounds: int, customers: int) -> Iterator[Figure]:
    """Yield the turns of a load in two processes beside callbacks, and by how much their 99th percentile is higher."""
    server, database = site.service(site.upstream(0), "beside")
    url = database.url.render_as_string(hide_password=False)
    file = site.folder / "requests"
    deliveries = Deliveries(PUBLIC_URL, ASSIGNMENT, assignment_form(ATTRIBUTES), TOKEN)
    # A load is slower than that, so that it outlasts them.
    number = max(MIN_CALLBACKS, customers * CALLBACKS_A_SECOND // MAX_CUSTOMERS_A_SECOND)

    def callbacks() -> dict[str, Any]:
        size = deliveries.write(file, number)
        told, unanswered = overload.send(server.url, file, size, rate=CALLBACKS_A_SECOND)
        if unanswered:
            raise load.Failed(f"{len(unanswered)} callbacks got no answer")
        return told

    without, beside = [], []
    runs: list[Run] = []
    with closing(database):
        callbacks()  # warms it up
        for round_number in range(rounds):
            without.append(callbacks())
            first = round_number * customers
            path = write_file(site.folder / f"beside{round_number}.jsonl", customers, first)
            with _loading(database, url, path, first):
                beside.append(callbacks())
            runs.append(Run(**json.loads(_result_of(path).read_text())))
    if site.database_kind == "sqlite":
        yield from _turns(site.database_kind, runs)
    yield Figure(
        Line("p99 of callbacks, added by a load", site.database_kind, f"the p99 of {number} without", (10,)),
        tuple((one["p99_s"] - other["p99_s"]) * 1000 for one, other in zip(beside, without, strict=True)),
        "ms",
        at_least=False,
        noise=noise([one["p99_s"] for one in without]),
        note=", ".join(f"{_ms(one, 'p99_s')} (slowest {_ms(one, 'slowest_s')})" for one in beside),
        raw={"beside": beside, "without": without},
    )


@contextmanager
def _loading(database: Database, url: str, path: Path, first: int) -> Iterator[None]:
    """Load this file meanwhile. Raises Failed if that fails, and is left when it is done and its result written."""
    known = select(CustomerRow.id).where(CustomerRow.id == customer(first)["id"])
    command = [sys.executable, "-m", "bench.loading", TWO, url, str(path)]
    with _result_of(path).open("wb") as output, subprocess.Popen(command, stdout=output) as process:
        while not database.read(known) and process.poll() is None:
            time.sleep(0.02)
        yield
        if process.wait():
            raise load.Failed(f"a load ended with status {process.returncode}")


def _result_of(path: Path) -> Path:
    """Return where the result of a load of this file is written."""
    return path.with_suffix(".json")


def _ms(told: Mapping[str, Any], name: str) -> str:
    return f"{told[name] * 1000:.0f} ms"


def _new_url(site: Site, name: str) -> str:
    with closing(site.empty_database(name)) as database:
        return database.url.render_as_string(hide_password=False)


def _run(way: str, url: str, path: Path) -> Run:
    return Run(**load.run_module("bench.loading", way, url, str(path)))


class _TimedDatabase(Database):
    """A database that notes how long each transaction has held SQLite's write lock."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.turns_ms: list[float] = []

    @contextmanager
    def transaction(self, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> Iterator[Session]:
        """Yield a session as Database does."""
        with super().transaction(timeout_s=timeout_s) as session:
            began = time.perf_counter()
            yield session
            session.commit()
            self.turns_ms.append((time.perf_counter() - began) * 1000)


def _measured(way: str, url: str, path: Path) -> Run:
    """Load the file in this process, and return what that took."""
    peak_mb: list[float] = []
    with closing(_TimedDatabase(url)) as database:
        began, processor_began = time.perf_counter(), _processors_s()
        load_rows = _load_bare if way == BARE else partial(_load, way, lambda _: _note_peaks(peak_mb))
        rows = load_rows(database, path)
        seconds = time.perf_counter() - began
        processor_s = max(now - before for now, before in zip(_processors_s(), processor_began, strict=True))
        _note_peaks(peak_mb)
        return Run(rows, seconds, processor_s, peak_mb, database.turns_ms)


def _processors_s() -> Sequence[float]:
    """Return the processor time of this process and of its children that have ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return [one.ru_utime + one.ru_stime for one in used]


def _note_peaks(peak_mb: list[float]) -> None:
    """Store the peak memory of this process, and of its child while there is one; nothing where there is no /proc.

    Not `ru_maxrss`, which a child takes over from its parent.
    """
    own = os.getpid()
    with suppress(OSError):
        children = Path(f"/proc/{own}/task/{own}/children").read_text().split()
        for place, process in enumerate((str(own), *children[:1])):
            if peak := _peak_mb(process):
                peak_mb[place : place + 1] = [peak]


def _peak_mb(process: str) -> float:
    """Return the peak memory of this process; 0 if it has just ended."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0) / 1024


def _load(way: str, progress: Callable[[int], None], database: Database, path: Path) -> int:
    """Load the file as `flask crm seed` does. Raises Failed if a row was not loaded."""
    reading = Reading(_REGION)
    load_of_file = begin_load(database, path, reading, now=lambda: datetime.now(UTC))
    read = {ONE: read_batches, TWO: read_in_second_process}[way]
    report = load_of_file.run(read(path, reading), progress)
    if report.bad:
        raise load.Failed(f"{len(report.bad)} rows were not loaded: {report.bad[0]}")
    return report.created + report.changed + report.unchanged


def _load_bare(database: Database, path: Path) -> int:
    """Load the file as the yardstick does, and return the number of its rows."""
    stored_now = stored_time(
        database.engine.dialect, Base.metadata.tables[CustomerRow.__tablename__].c.updated_at, datetime.now(UTC)
    )
    rows: Rows = {table: [] for table in _COLUMNS}
    number = 0
    with closing(database.open_connection()) as connection, path.open() as file:
        for number, line in enumerate(file, 1):
            _add(rows, json.loads(line), stored_now)
            if number % _BARE_BATCH == 0:
                _insert(connection, rows)
        _insert(connection, rows)
    return number


def _add(rows: Rows, row: Mapping[str, Any], stored_now: Any) -> None:
    key = row["id"]
    rows["customers"].append((key, row["name"], row["company"], row["tier"], "", "", stored_now, 1, False))
    values = [("customer_id", key), *row["ids"].items()]
    values += [("phone", phone) for phone in row["phones"]] + [("email", email) for email in row["emails"]]
    for kind, text in values:
        rows["identifiers"] += [
            (key, one.kind, one.value, text, "crm") for one in identifiers.normalise(kind, text, _REGION)
        ]
    rows["customer_words"] += [(key, word) for word in identifiers.words_of(row["name"], row["company"])]
    rows["notes"] += [(key, position, note) for position, note in enumerate(row["notes"])]


def _insert(connection: Any, rows: Rows) -> None:
    """Insert these rows in one transaction, as the driver does it best, and empty them."""
    cursor = connection.cursor()
    cursor.execute("BEGIN")
    for table, columns in _COLUMNS.items():
        if isinstance(connection, sqlite3.Connection):
            places = ", ".join("?" * len(columns.split(", ")))
            # The names are of this module, and the values are parameters.
            cursor.executemany(f"INSERT INTO {table} ({columns}) VALUES ({places})", rows[table])  # noqa: S608
        else:
            with cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
                for row in rows[table]:
                    copy.write_row(row)
        rows[table].clear()
    cursor.execute("COMMIT")
    cursor.close()


if __name__ == "__main__":
    _way, _url, _file = sys.argv[1:]
    json.dump(asdict(_measured(_way, _url, Path(_file))), sys.stdout)
