"""Differences between databases: read-only connections, limits of statements, and the database's own clock.

Connections only read, in short transactions. No statement runs longer than the source's `statement_timeout`, and none
waits long for a lock that somebody else has.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from enrich import errors
from enrich.database.urls import normal_url
from enrich.sources.change_times import microseconds_of

CONNECT_TIMEOUT_S = 10
LOCK_TIMEOUT_MS = 2_000
# A connection is given up this long after the statement should have ended.
NETWORK_GRACE_S = 5
# Steps of SQLite's virtual machine between looks at the time: about a millisecond.
SQLITE_STEPS = 100_000
APPLICATION_NAME = "taskrouter-enrich"

# SQLAlchemy's own choice would be a driver that has to be compiled.
_DRIVERS = {"mysql": "mysql+pymysql", "mariadb": "mysql+pymysql", "mysql+pymysql": "mysql+pymysql"}
_EXTRAS = {"pymysql": "mysql"}


@dataclass(frozen=True, slots=True)
class Dialect:
    """One kind of database.

    clock: statement that returns its present time, with a zone or in UTC; on a replica, the time until which it has
    replayed. connect_args: by the seconds of a statement. begin: statements at the start of each transaction, in one
    text. connected: what a new connection is told.
    """

    clock: str
    connect_args: Callable[[int], dict[str, Any]] = lambda _timeout_s: {}
    begin: Callable[[int], str] = lambda _timeout_s: ""
    connected: Callable[[Any, int], None] = lambda _connection, _timeout_s: None
    isolation_level: str | None = None


def engine_of(url_text: str, variable: str, timeout_s: int) -> Engine:
    """Return an engine for reading. Connects to nothing yet.

    variable: the environment variable that the URL comes from. Raises SourceMisfit, without any part of the URL.
    """
    try:
        url = make_url(normal_url(url_text))
        url = url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))
        dialect = dialect_of(url.get_backend_name())
        options: dict[str, Any] = {"pool_size": 1, "max_overflow": 1, "pool_pre_ping": True, "pool_recycle": 1_800}
        if dialect.isolation_level:
            options["isolation_level"] = dialect.isolation_level
        if url.get_backend_name() == "sqlite":
            options["creator"] = _opener(url)
        engine = create_engine(url, connect_args=dialect.connect_args(timeout_s), hide_parameters=True, **options)
    except (ArgumentError, NoSuchModuleError, ValueError, KeyError):
        message = "not the URL of a database that can be read, such as postgresql://reader:password@host/name"
        raise errors.SourceMisfit(f"{variable}: {message}") from None
    except ModuleNotFoundError as exc:
        extra = _EXTRAS.get(str(exc.name).lower())
        install = f"pip install 'taskrouter-enrich[{extra}]'" if extra else f"install {exc.name}"
        raise errors.SourceMisfit(f"{variable}: the driver {exc.name} is missing; {install}") from None

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _record: Any) -> None:
        dialect.connected(connection, timeout_s)

    return engine


def dialect_of(backend: str) -> Dialect:
    """Return what is known of this kind of database. Raises KeyError for one that is not supported."""
    return _DIALECTS[backend]


def begin_reading(connection: Connection, timeout_s: int) -> None:
    """Tell a connection that has just begun a transaction that it only reads, and for how long at most."""
    if statements := dialect_of(connection.dialect.name).begin(timeout_s):
        connection.exec_driver_sql(statements)


def database_time(connection: Connection, source: str) -> int:
    """Return the database's own time, in microseconds. Raises SourceUnavailable.

    source: its name, for the message.
    """
    value = connection.exec_driver_sql(dialect_of(connection.dialect.name).clock).scalar_one()
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    if not isinstance(moment, datetime):
        raise errors.SourceUnavailable(f"{source}: a replica that has replayed nothing yet")
    return microseconds_of(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


# --- PostgreSQL


def _begin_postgresql(timeout_s: int) -> str:
    return (
        f"SET TRANSACTION READ ONLY; SET LOCAL statement_timeout = {timeout_s * 1000};"
        f" SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}; SET LOCAL idle_in_transaction_session_timeout = 60000;"
        " SET LOCAL TIME ZONE 'UTC'"
    )


def _connect_postgresql(timeout_s: int) -> dict[str, Any]:
    return {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "application_name": APPLICATION_NAME,
        "tcp_user_timeout": (timeout_s + NETWORK_GRACE_S) * 1000,
        # Behind PgBouncer, a prepared statement may be on another connection.
        "prepare_threshold": None,
    }


# A replica knows nothing of what its primary did later.
_POSTGRESQL_CLOCK = (
    "SELECT CASE WHEN pg_is_in_recovery() THEN least(pg_last_xact_replay_timestamp(), clock_timestamp())"
    " ELSE clock_timestamp() END"
)


# --- MySQL and MariaDB


def _connected_mysql(connection: Any, timeout_s: int) -> None:
    with connection.cursor() as cursor:
        # TIMESTAMP columns are told in the session's zone.
        cursor.execute("SET SESSION time_zone = '+00:00'")
        cursor.execute("SET SESSION TRANSACTION READ ONLY")
        cursor.execute(f"SET SESSION lock_wait_timeout = {max(LOCK_TIMEOUT_MS // 1000, 1)}")
        cursor.execute("SELECT VERSION()")
        is_mariadb = "mariadb" in str(cursor.fetchone()[0]).lower()
        limit = f"max_statement_time = {timeout_s}" if is_mariadb else f"max_execution_time = {timeout_s * 1000}"
        cursor.execute(f"SET SESSION {limit}")
    connection.commit()


def _connect_mysql(timeout_s: int) -> dict[str, Any]:
    return {"connect_timeout": CONNECT_TIMEOUT_S, "read_timeout": timeout_s + NETWORK_GRACE_S}


# --- SQL Server


def _connected_sql_server(connection: Any, timeout_s: int) -> None:
    connection.timeout = timeout_s


# --- SQLite


def _opener(url: URL) -> Callable[[], sqlite3.Connection]:
    """Return a function that opens the file for reading; SQLite alone would create one that is missing."""
    path = url.database or ""
    address = path if path.startswith("file:") else f"file:{quote(str(Path(path).absolute()))}?mode=ro"
    return lambda: sqlite3.connect(address, uri=True, timeout=LOCK_TIMEOUT_MS / 1000, check_same_thread=False)


def _connected_sqlite(connection: Any, timeout_s: int) -> None:
    connection.execute("PRAGMA query_only = ON")
    started = [time.monotonic()]

    def is_too_late() -> bool:
        return time.monotonic() - started[0] > timeout_s

    connection.set_progress_handler(is_too_late, SQLITE_STEPS)
    connection.set_trace_callback(lambda _statement: started.__setitem__(0, time.monotonic()))


_DIALECTS = {
    "postgresql": Dialect(_POSTGRESQL_CLOCK, _connect_postgresql, _begin_postgresql, isolation_level="READ COMMITTED"),
    "mysql": Dialect(
        "SELECT UTC_TIMESTAMP(6)",
        _connect_mysql,
        connected=_connected_mysql,
        isolation_level="READ COMMITTED",
    ),
    "mssql": Dialect(
        "SELECT SYSUTCDATETIME()",
        begin=lambda _timeout_s: f"SET LOCK_TIMEOUT {LOCK_TIMEOUT_MS}",
        connected=_connected_sql_server,
    ),
    "sqlite": Dialect("SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')", connected=_connected_sqlite),
}
