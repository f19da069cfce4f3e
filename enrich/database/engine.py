"""The database: one engine, short statements for the hot path, transactions for everything else.

Handles the differences between SQLite and PostgreSQL; knows no table.

SQLite waits for a lock in C, where nothing can interrupt it and where, under gevent, it would block every other
callback of the process. So its busy time-out is a few milliseconds; we retry, yielding in between, until the time-out,
and the writers of one process queue on a cooperative lock. In WAL mode readers never wait.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import (
    URL,
    Boolean,
    Connection,
    Engine,
    Executable,
    Row,
    Select,
    Text,
    bindparam,
    cast,
    column,
    func,
    literal_column,
    select,
    text,
    true,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from sqlalchemy.sql.base import ReadOnlyColumnCollection
from sqlalchemy.sql.elements import KeyedColumnElement

from enrich import errors
from enrich.database.errors import is_locked, translated
from enrich.database.pool import ConnectionPool, Slots
from enrich.database.server import Server
from enrich.database.sqlite import LOCK_WAIT_S, sqlite_engine
from enrich.database.statements import PreparedStatement
from enrich.database.urls import checked_url
from enrich.domain.deadline import OutOfTime
from enrich.resilience.circuit_breaker import CircuitBreaker, Guard
from enrich.resilience.dns_cache import DnsCache

# Commands have no deadline: they wait this long for the write lock.
DEFAULT_TIMEOUT_S = 30.0
# Of each pool: prepared and other statements have one each. A process uses a few at a time: a statement takes about
# 1 ms, and the work with its rows longer. Interrupted connections are closed and replaced, which is a load that
# PostgreSQL must bear.
POOL_SIZE = 10
# Group commits at a time. Each takes several turns of the event loop: the 600 kB of 200 rows do not fit into the
# socket at once. At five times its load a process has some twenty turns a second, and one commit at a time took 1,200
# rows; the callbacks beyond that waited until their answer was due.
GROUP_CONNECTIONS = 4

# The channel of PostgreSQL's notifications.
CHANNEL = "enrich_followups"
# `check_writable` reports a failed write for this long, if no other write succeeds. Not for ever: a process to which a
# load balancer sends nothing because of it would never find out that it can write again.
WRITE_FAILURE_S = 30.0

# True on a standby, too.
_IS_READ_ONLY = select(cast(func.current_setting("transaction_read_only"), Boolean).label("is_read_only"))

# The errors that open the circuit breaker.
_FAILURES = (errors.DatabaseUnavailable, errors.DatabaseLocked, OutOfTime)

T = TypeVar("T")
Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None
Statement = Executable | PreparedStatement


class Database:
    """One database. Created once per process; safe to share between greenlets and threads.

    url: any SQLAlchemy URL of SQLite or PostgreSQL; `postgres://` and `postgresql://` mean psycopg.
    """

    def __init__(
        self,
        url: str,
        *,
        addresses: DnsCache | None = None,
        breaker: CircuitBreaker | None = None,
        write_breaker: CircuitBreaker | None = None,
    ) -> None:
        self.url = checked_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._server = None if self.is_sqlite else Server(self.url, addresses or DnsCache())
        self.engine = self._server.engine(POOL_SIZE) if self._server else sqlite_engine(self.url.database, POOL_SIZE)
        self._breaker = breaker or CircuitBreaker()
        # A database can be well enough to be read and not to be written to. So what `DatabaseNotWritable` tells is
        # counted apart: reads neither close this breaker nor wait for it.
        self._write_breaker = write_breaker or CircuitBreaker()
        if self._server:
            self._breaker.on_open = self._connect_anew
        self._autocommit = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        # Connections of their own for group commits, which must not queue behind a hundred single ones.
        self.group_connections = GROUP_CONNECTIONS if self._server else 1
        group_engine = self._server.engine(GROUP_CONNECTIONS) if self._server else self.engine
        self._group_engine = group_engine.execution_options(isolation_level="AUTOCOMMIT")
        # As many as SQLAlchemy's pool has, so that no caller ever waits in that pool.
        self._slots = Slots(2 * POOL_SIZE if self.is_sqlite else POOL_SIZE)
        leave_server = self._server.leave if self._server else None
        self._prepared_pool = ConnectionPool(self.engine, POOL_SIZE, leave_server=leave_server)
        # One more connection: what it sends must not queue behind statements, nor they behind it.
        self._notifying_pool = ConnectionPool(self.engine, 1, leave_server=leave_server)
        self._notification = PreparedStatement(text(f"NOTIFY {CHANNEL}"), self.engine.dialect)
        self._closed = threading.Event()
        self._before_close: list[Callable[[], None]] = []
        self._prepared: dict[tuple[int, tuple[str, ...]], PreparedStatement] = {}
        self._write_lock = threading.Lock()
        # Monotonic time since which another process has held SQLite's write lock; None if it does not.
        self._locked_out_since: float | None = None

    @property
    def location(self) -> str:
        """Host and name of the database, or its file: no user, no password, no option of the URL."""
        return str(URL.create(self.url.get_backend_name(), None, None, self.url.host, self.url.port, self.url.database))

    def prepare(self, statement: Executable, columns: Collection[str] = ()) -> PreparedStatement:
        """Return the statement compiled for this database, for `read` and `write`; cached. columns: of an INSERT."""
        cache_key = (id(statement), tuple(columns))
        prepared = self._prepared.get(cache_key)
        if prepared is None:  # it keeps its statement alive, so the id stays unique
            prepared = self._prepared[cache_key] = PreparedStatement(statement, self.engine.dialect, columns)
        return prepared

    def read(self, statement: Statement, parameters: Parameters = None) -> Sequence[Row[Any]]:
        """Return the rows of one SELECT, run in a transaction of its own. Raises DatabaseError."""
        with self._guard():
            return self._execute(statement, parameters, self._autocommit)

    def write(
        self,
        statement: Statement,
        parameters: Parameters = None,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        grouped: bool = False,
    ) -> Sequence[Row[Any]]:
        """Execute and commit one statement; return the rows of its RETURNING, if it has one.

        timeout_s: wait for SQLite's write lock. grouped: a group commit, which has its own connection on PostgreSQL.
        Raises DatabaseError; after the time-out DatabaseLocked, or DatabaseBusy if other writers of this process held
        the lock.
        """
        engine = self._group_engine if grouped else self._autocommit
        if not self.is_sqlite:
            with self._write_guard(), self._guard():
                return self._execute(statement, parameters, engine)
        with self._exclusive_write(timeout_s) as until, self._write_guard(), self._guard():
            return self._until_unlocked(lambda: self._execute(statement, parameters, engine), until)

    def write_together(
        self,
        first: tuple[Executable, Parameters],
        *more: tuple[Executable, Parameters],
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> Sequence[Row[Any]]:
        """Execute `first`, and the others only if it returned rows; commit, and return the rows of `first`.

        A transaction of the hot path, without a session. timeout_s, errors: as for `write`.
        """

        def work(connection: Connection) -> Sequence[Row[Any]]:
            rows = connection.execute(*first).all()
            for statement, parameters in more if rows else ():
                connection.execute(statement, parameters)
            return rows

        return self.commit(work, timeout_s=timeout_s)

    def rows_of_json(self, parameter: str, columns: Sequence[KeyedColumnElement[Any]]) -> Select[Any]:
        """Return a SELECT of these columns from the JSON of `json_of_rows`, passed as this parameter.

        So any number of rows is one statement with one parameter: one round trip, and little work in Python.
        """
        json_text = bindparam(parameter, type_=Text())
        if not self.is_sqlite:
            rows = func.json_to_recordset(cast(json_text, postgresql.JSON)).table_valued(
                *(column(one.name, one.type) for one in columns)
            )
            return select(*rows.render_derived(with_types=True).c)
        each_row = func.json_each(json_text).table_valued("value")
        fields = (each_row.c.value.op("->>")(literal_column(f"'$.{one.name}'")) for one in columns)
        return select(*fields).where(true())  # without a WHERE, SQLite parses ON CONFLICT as a join's ON

    def json_of_rows(self, rows: Iterable[Mapping[str, Any]], columns: ReadOnlyColumnCollection[str, Any]) -> str:
        """Return the rows as JSON, each value processed by its column's type."""
        dialect = self.engine.dialect
        bind: dict[str, Callable[[Any], Any]] = {}
        bound = []
        for row in rows:
            for name in row.keys() - bind.keys():
                bind[name] = columns[name].type.dialect_impl(dialect).bind_processor(dialect) or _unchanged
            bound.append({name: bind[name](value) for name, value in row.items()})
        return json.dumps(bound, default=datetime.isoformat)

    def commit(self, work: Callable[[Connection], T], *, timeout_s: float = DEFAULT_TIMEOUT_S) -> T:
        """Run `work` in one transaction, commit, and return its result; for statements that depend on rows.

        timeout_s, errors: as for `write`. On SQLite `work` may be called again, after a rollback.
        """

        def attempt() -> T:
            options = {"sqlite_begin": "IMMEDIATE"}
            with self._connect(self.engine) as connection:
                connection.execution_options(**options)
                with connection.begin():
                    return work(connection)

        if not self.is_sqlite:
            with self._write_guard(), self._guard():
                return attempt()
        with self._exclusive_write(timeout_s) as until, self._write_guard(), self._guard():
            return self._until_unlocked(attempt, until)

    @contextmanager
    def transaction(self, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> Iterator[Session]:
        """Yield a session that is committed at the end of the block, or rolled back. Raises DatabaseError."""
        if not self.is_sqlite:
            with self._slots, self._write_guard(), self._guard(), translated(), Session(self.engine) as session:
                yield session
                session.commit()
            return
        with (
            self._exclusive_write(timeout_s) as until,
            self._slots,
            self._write_guard(),
            self._guard(),
            translated(),
            Session(self.engine) as session,
        ):
            self._until_unlocked(lambda: _take_write_lock(session), until)
            yield session
            session.commit()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Yield a session for reading in one transaction, without a commit. Raises DatabaseError."""
        with self._slots, self._guard(), translated(), Session(self.engine) as session:
            yield session

    def checkpoint(self) -> None:
        """Move what was committed from SQLite's log into its file; nothing on PostgreSQL. Raises DatabaseError.

        SQLite does so by itself at the end of a commit, every thousand pages. Whoever writes much does it between the
        transactions: it takes some 10 ms, needs no lock that a writer waits for, and hits no callback's commit then.
        """
        if self.is_sqlite:
            with translated(), self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")

    def notify(self) -> None:
        """Tell listeners that something was committed (`notifications.py`). Raises DatabaseError.

        On SQLite there is nothing to do, because they see it in the file.
        """
        if self.is_sqlite or self._closed.is_set():
            return
        self._notifying_pool.execute(self._notification, {})
        if self._closed.is_set():  # meanwhile: nobody else would close the connection
            self._notifying_pool.close()

    def open_connection(self) -> Any:
        """Return a new connection of the driver, in autocommit and outside of the pools; the caller closes it.

        Raises DatabaseError.
        """
        with self._slots, translated():
            pooled = self.engine.raw_connection()
            pooled.detach()
        connection: Any = pooled.dbapi_connection
        self.engine.dialect.set_isolation_level(connection, "AUTOCOMMIT")
        return connection

    @property
    def driver_error(self) -> type[Exception]:
        """Return the class of the driver's own errors."""
        driver: Any = self.engine.dialect.loaded_dbapi
        error: type[Exception] = driver.Error
        return error

    def answered_since(self, moment: float) -> bool:
        """Return whether it has answered this process since this monotonic time."""
        return self._breaker.answered_since(moment)

    def check_writable(self) -> None:
        """Raise DatabaseNotWritable if it is read-only, or if the last write failed for such a reason a moment ago.

        Reads, but does not write. Raises another DatabaseError if it cannot be read.
        """
        if self.is_sqlite:
            is_read_only = not os.access(str(self.url.database), os.W_OK)
        else:
            is_read_only = self.read(self.prepare(_IS_READ_ONLY))[0].is_read_only
        if is_read_only:
            self._connect_anew()
            raise errors.DatabaseNotWritable("read-only")
        if self._write_breaker.failing_for_less_than(WRITE_FAILURE_S):
            raise errors.DatabaseNotWritable(self._write_breaker.failure)

    def before_close(self, end: Callable[[], None]) -> None:
        """Have `close` call this first, so that work in the background ends before its connections do."""
        self._before_close.append(end)

    def close(self) -> None:
        """Close idle connections, and send no notification any more."""
        for end in self._before_close:
            end()
        self._closed.set()
        self._close_idle()

    def _close_idle(self) -> None:
        self._prepared_pool.close()
        self._notifying_pool.close()
        self.engine.dispose()
        self._group_engine.dispose()

    def _guard(self) -> Guard:
        """Return the circuit breaker's guard. Waits for our own write lock stay outside: not the database's fault."""
        return self._breaker.guard(_FAILURES, _circuit_open)

    def _write_guard(self) -> Guard:
        """Return the guard of the circuit breaker for writes; the other guard stands inside, and counts the rest."""
        return self._write_breaker.guard((errors.DatabaseNotWritable,), self._write_circuit_open)

    def _write_circuit_open(self) -> errors.DatabaseNotWritable:
        return errors.DatabaseNotWritable(f"circuit open after failures in a row: {self._write_breaker.failure}")

    def _connect_anew(self) -> None:
        """Let the next statements open new connections, to where the server's name leads by then."""
        self._close_idle()
        if self._server:
            self._server.resolve_again()

    def _execute(self, statement: Statement, parameters: Parameters, engine: Engine) -> Sequence[Row[Any]]:
        """Execute a statement, retrying once on a new connection if the pooled one led to a server that failed."""
        if isinstance(statement, PreparedStatement):
            return self._prepared_pool.execute(statement, parameters or {})
        try:
            return self._execute_once(statement, parameters, engine)
        except (errors.DatabaseUnavailable, errors.DatabaseNotWritable) as exc:
            if not getattr(exc.__cause__, "connection_invalidated", False):
                raise
        return self._execute_once(statement, parameters, engine)

    def _execute_once(self, statement: Executable, parameters: Parameters, engine: Engine) -> Sequence[Row[Any]]:
        with self._connect(engine) as connection:
            result = connection.execute(statement, parameters)
            return result.all() if result.returns_rows else ()

    @contextmanager
    def _connect(self, engine: Engine) -> Iterator[Connection]:
        needs_no_slot = engine is self._group_engine
        with nullcontext() if needs_no_slot else self._slots, translated(), engine.connect() as connection:
            yield connection

    @contextmanager
    def _exclusive_write(self, timeout_s: float) -> Iterator[float]:
        """Hold the write lock of this process; yield the monotonic time until which to retry."""
        until = time.monotonic() + timeout_s
        if not self._write_lock.acquire(timeout=max(0.0, timeout_s)):
            raise self._write_timeout(timeout_s)
        try:
            yield until
        except errors.DatabaseLocked as exc:
            raise self._write_timeout(timeout_s) from exc.__cause__
        finally:
            self._write_lock.release()

    def _write_timeout(self, seconds: float) -> errors.DatabaseLocked:
        """Return DatabaseLocked if another process held the lock for at least half of the wait, else DatabaseBusy.

        Under load each of two processes finds the lock held by the other, but never for long.
        """
        since = self._locked_out_since
        if since is not None and time.monotonic() - since >= seconds / 2:
            return errors.DatabaseLocked("another process holds the write lock")
        return errors.DatabaseBusy("other writers of this process used the whole wait")

    def _until_unlocked(self, attempt: Callable[[], T], until: float) -> T:
        """Return the result of `attempt`, retried while another process holds SQLite's write lock."""
        while True:
            try:
                result = attempt()
            except (errors.DatabaseLocked, DBAPIError) as exc:
                if isinstance(exc, DBAPIError) and not is_locked(exc.orig):
                    raise
                now = time.monotonic()
                if self._locked_out_since is None:
                    self._locked_out_since = now - LOCK_WAIT_S
                if now >= until:  # `_exclusive_write` decides whose wait it was
                    raise errors.DatabaseLocked from exc
                pause_s = random.uniform(0.002, 0.010)  # noqa: S311 - jitter between processes
                time.sleep(min(until - now, pause_s))
            else:
                self._locked_out_since = None
                return result


def _circuit_open() -> errors.DatabaseCircuitOpen:
    return errors.DatabaseCircuitOpen("circuit open after several failures in a row")


def _unchanged(value: Any) -> Any:
    return value


def _take_write_lock(session: Session) -> None:
    """Begin the transaction with the write lock: one that reads first and then finds it taken has to start over."""
    try:
        session.connection(execution_options={"sqlite_begin": "IMMEDIATE"})
    except BaseException:
        session.rollback()
        raise
