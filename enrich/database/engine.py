"""The database: one engine, short statements for the hot path, transactions for everything else.

Knows SQLite's and PostgreSQL's manners, and no table.

SQLite waits for a lock in C, where nothing can interrupt it and where, under gevent, it would hold every other
callback of the process. So it is told to wait a few milliseconds only; we try, yield, and try again until the time is
over, and the writers of one process queue on a lock of ours, which yields too. In WAL mode readers never wait.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    Executable,
    Row,
    Select,
    Text,
    bindparam,
    cast,
    column,
    create_engine,
    event,
    func,
    literal_column,
    make_url,
    select,
    true,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session
from sqlalchemy.sql.base import ReadOnlyColumnCollection
from sqlalchemy.sql.elements import KeyedColumnElement

from enrich import errors
from enrich.database.errors import is_locked, translated
from enrich.database.pool import Connections, Slots
from enrich.database.statements import Prepared
from enrich.domain.deadline import OutOfTime
from enrich.resilience.circuit_breaker import CircuitBreaker, Guard
from enrich.resilience.dns_cache import DnsCache

# Outside the server nobody holds a clock; a command may wait this long for its turn to write.
PATIENCE_S = 30.0
# For each of two kinds of statements. A process keeps a few busy: a statement takes about 1 ms, and what is done with
# its rows takes longer. Those that are interrupted are closed and made anew, which PostgreSQL has to be able to take.
POOL_SIZE = 10

# What SQLite may wait for a lock in C. Most writes of another process take less than a millisecond; and under load,
# when a turn of our loop takes a hundred, a process that only looks once a turn would hardly find the lock free.
LOCK_WAIT_S = 0.005

# What tells that the database itself is in trouble.
_TROUBLE = (errors.DatabaseUnavailable, errors.DatabaseLocked, OutOfTime)

T = TypeVar("T")
Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None
Statement = Executable | Prepared


class Database:
    """One database and the ways to use it. Made once per process; safe to share between greenlets and threads.

    url: any SQLAlchemy URL of SQLite or PostgreSQL; `postgres://` and `postgresql://` mean psycopg.
    """

    def __init__(self, url: str, *, addresses: DnsCache | None = None, breaker: CircuitBreaker | None = None) -> None:
        self.url = _known_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = (
            _sqlite_engine(self.url.database)
            if self.is_sqlite
            else _postgresql_engine(self.url, addresses or DnsCache())
        )
        self._breaker = breaker or CircuitBreaker()
        self._each_by_itself = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        # For those who are committed together, and must not queue behind a hundred who are not.
        self._one_for_many = (
            self.engine if self.is_sqlite else _postgresql_engine(self.url, addresses or DnsCache(), connections=1)
        ).execution_options(isolation_level="AUTOCOMMIT")
        # As many as SQLAlchemy's pool has, so that nobody ever waits in there.
        self._slots = Slots(2 * POOL_SIZE if self.is_sqlite else POOL_SIZE)
        self._of_prepared = Connections(self.engine, POOL_SIZE)
        self._prepared: dict[tuple[int, tuple[str, ...]], Prepared] = {}
        self._one_writer = threading.Lock()
        # Since when the one whose turn it is finds SQLite's lock with another process; None where it does not.
        self._locked_out_since: float | None = None

    def prepare(self, statement: Executable, given: Collection[str] = ()) -> Prepared:
        """The statement, compiled for this database the first time, for `read` and `write`. given: see `Prepared`."""
        known = (id(statement), tuple(given))
        prepared = self._prepared.get(known)
        if prepared is None:  # it keeps its statement, so no other can come by the same id
            prepared = self._prepared[known] = Prepared(statement, self.engine.dialect, given)
        return prepared

    def read(self, statement: Statement, parameters: Parameters = None) -> Sequence[Row[Any]]:
        """The rows of one SELECT, in a transaction of its own. Raises DatabaseError."""
        with self._asked():
            return self._execute(statement, parameters, self._each_by_itself)

    def write(
        self,
        statement: Statement,
        parameters: Parameters = None,
        *,
        timeout_s: float = PATIENCE_S,
        grouped: bool = False,
    ) -> Sequence[Row[Any]]:
        """Executes one statement, committed when this returns; the rows of its RETURNING, if it has one.

        timeout_s: how long to wait for SQLite's one writer. grouped: for group commits; on
        PostgreSQL it has a connection of its own. Raises DatabaseError; when the time is over, DatabaseLocked, or
        DatabaseBusy where it went to other writers of this process.
        """
        engine = self._one_for_many if grouped else self._each_by_itself
        if not self.is_sqlite:
            with self._asked():
                return self._execute(statement, parameters, engine)
        with self._turn_to_write(timeout_s) as until, self._asked():
            return self._until_unlocked(lambda: self._execute(statement, parameters, engine), until)

    def write_together(
        self, first: tuple[Executable, Parameters], *more: tuple[Executable, Parameters], timeout_s: float = PATIENCE_S
    ) -> Sequence[Row[Any]]:
        """Executes `first`, and the others only if it returned rows; all committed together. The rows of `first`.

        A transaction of the hot path, without a session. timeout_s, errors: as for `write`.
        """

        def work(connection: Connection) -> Sequence[Row[Any]]:
            rows = connection.execute(*first).all()
            for statement, parameters in more if rows else ():
                connection.execute(statement, parameters)
            return rows

        return self.commit(work, timeout_s=timeout_s)

    def rows_of_json(self, parameter: str, columns: Sequence[KeyedColumnElement[Any]]) -> Select[Any]:
        """A SELECT of these columns out of the JSON that `json_of_rows` made, given as that parameter.

        So any number of rows are one statement with one parameter: one round trip, and little work on our side.
        """
        given = bindparam(parameter, type_=Text())
        if not self.is_sqlite:
            rows = func.json_to_recordset(cast(given, postgresql.JSON)).table_valued(
                *(column(each.name, each.type) for each in columns)
            )
            return select(*rows.render_derived(with_types=True).c)
        each_row = func.json_each(given).table_valued("value")
        fields = (each_row.c.value.op("->>")(literal_column(f"'$.{each.name}'")) for each in columns)
        return select(*fields).where(true())  # without a WHERE, SQLite would take ON CONFLICT for a join's ON

    def json_of_rows(self, rows: Iterable[Mapping[str, Any]], columns: ReadOnlyColumnCollection[str, Any]) -> str:
        """The rows as JSON, each value as its column binds it."""
        dialect = self.engine.dialect
        bind: dict[str, Callable[[Any], Any]] = {}
        bound = []
        for row in rows:
            for name in row.keys() - bind.keys():
                bind[name] = columns[name].type.dialect_impl(dialect).bind_processor(dialect) or _as_it_is
            bound.append({name: bind[name](value) for name, value in row.items()})
        return json.dumps(bound, default=datetime.isoformat)

    def commit(self, work: Callable[[Connection], T], *, timeout_s: float = PATIENCE_S) -> T:
        """What `work` returns, once it is committed: a transaction of the hot path whose statements depend on rows.

        timeout_s, errors: as for `write`. On SQLite `work` may be called again, after nothing of it was kept.
        """

        def attempt() -> T:
            options = {"sqlite_begin": "IMMEDIATE"}
            with self._lent(self.engine) as connection:
                connection.execution_options(**options)
                with connection.begin():
                    return work(connection)

        if not self.is_sqlite:
            with self._asked():
                return attempt()
        with self._turn_to_write(timeout_s) as until, self._asked():
            return self._until_unlocked(attempt, until)

    @contextmanager
    def transaction(self, *, timeout_s: float = PATIENCE_S) -> Iterator[Session]:
        """A session whose changes are committed together at the end, or not at all. Raises DatabaseError."""
        if not self.is_sqlite:
            with self._slots, self._asked(), translated(), Session(self.engine) as session:
                yield session
                session.commit()
            return
        with (
            self._turn_to_write(timeout_s) as until,
            self._slots,
            self._asked(),
            translated(),
            Session(self.engine) as session,
        ):
            self._until_unlocked(lambda: _take_write_lock(session), until)
            yield session
            session.commit()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session to read with: one consistent view, nothing is committed. Raises DatabaseError."""
        with self._slots, self._asked(), translated(), Session(self.engine) as session:
            yield session

    def answered_since(self, moment: float) -> bool:
        """Whether it answered anybody of this process at that moment of `time.monotonic`, or later."""
        return self._breaker.answered_since(moment)

    def close(self) -> None:
        self._of_prepared.close()
        self.engine.dispose()
        self._one_for_many.dispose()

    def _asked(self) -> Guard:
        """A database that does not answer is left alone for a while. Waiting for our own turn is not its fault."""
        return self._breaker.guard(_TROUBLE, _resting)

    def _execute(self, statement: Statement, parameters: Parameters, engine: Engine) -> Sequence[Row[Any]]:
        """Once more on a fresh connection, when a pooled one turns out to be dead: the server was started anew."""
        if isinstance(statement, Prepared):
            return self._of_prepared.execute(statement, parameters or {})
        try:
            return self._execute_once(statement, parameters, engine)
        except errors.DatabaseUnavailable as exc:
            if not getattr(exc.__cause__, "connection_invalidated", False):
                raise
        return self._execute_once(statement, parameters, engine)

    def _execute_once(self, statement: Executable, parameters: Parameters, engine: Engine) -> Sequence[Row[Any]]:
        with self._lent(engine) as connection:
            result = connection.execute(statement, parameters)
            return result.all() if result.returns_rows else ()

    @contextmanager
    def _lent(self, engine: Engine) -> Iterator[Connection]:
        has_its_own = engine is self._one_for_many
        with nullcontext() if has_its_own else self._slots, translated(), engine.connect() as connection:
            yield connection

    @contextmanager
    def _turn_to_write(self, timeout_s: float) -> Iterator[float]:
        """Our turn among the writers of this process; yields the monotonic time until which to go on trying."""
        until = time.monotonic() + timeout_s
        if not self._one_writer.acquire(timeout=max(0.0, timeout_s)):
            raise self._kept_from_writing(timeout_s)
        try:
            yield until
        except errors.DatabaseLocked as exc:
            raise self._kept_from_writing(timeout_s) from exc.__cause__
        finally:
            self._one_writer.release()

    def _kept_from_writing(self, seconds: float) -> errors.DatabaseLocked:
        """Return DatabaseLocked if another process held the lock for at least half of the wait, else DatabaseBusy.

        Under load each of two processes finds the lock held by the other, but never for long.
        """
        since = self._locked_out_since
        if since is not None and time.monotonic() - since >= seconds / 2:
            return errors.DatabaseLocked("another process holds the write lock")
        return errors.DatabaseBusy("other writers of this process took all the time there was")

    def _until_unlocked(self, attempt: Callable[[], T], until: float) -> T:
        """What `attempt` returns, tried again while another process holds SQLite's write lock."""
        while True:
            try:
                done = attempt()
            except (errors.DatabaseLocked, DBAPIError) as exc:
                if isinstance(exc, DBAPIError) and not is_locked(exc.orig):
                    raise
                now = time.monotonic()
                if self._locked_out_since is None:
                    self._locked_out_since = now - LOCK_WAIT_S
                if now >= until:  # who had the time is told by `_turn_to_write`
                    raise errors.DatabaseLocked from exc
                pause_s = random.uniform(0.002, 0.010)  # noqa: S311 - so that two processes do not beat in step
                time.sleep(min(until - now, pause_s))
            else:
                self._locked_out_since = None
                return done


def _resting() -> errors.DatabaseCircuitOpen:
    return errors.DatabaseCircuitOpen("it failed several times in a row a moment ago")


def _as_it_is(value: Any) -> Any:
    return value


def normal_url(url: str) -> str:
    """The same URL with the driver we ship: `postgres://` and `postgresql://` become `postgresql+psycopg://`."""
    scheme, separator, rest = url.partition("://")
    return f"postgresql+psycopg://{rest}" if separator and scheme in ("postgres", "postgresql") else url


def _known_url(url: str) -> URL:
    try:
        made = make_url(normal_url(url))
    except SQLAlchemyError:
        raise errors.SettingsError("DATABASE_URL: not of the form sqlite:////path or postgresql://...") from None
    if made.drivername not in ("sqlite", "postgresql+psycopg"):
        raise errors.SettingsError(f"DATABASE_URL: {made.drivername} is not supported; sqlite and postgresql are")
    return made


def _take_write_lock(session: Session) -> None:
    """Begins with the lock held: a transaction that reads first and then finds it taken has to be done anew."""
    try:
        session.connection(execution_options={"sqlite_begin": "IMMEDIATE"})
    except BaseException:
        session.rollback()
        raise


def _sqlite_engine(path: str | None) -> Engine:
    if not path or path == ":memory:":
        raise errors.SettingsError("DATABASE_URL: SQLite needs a file; one in memory is gone with its connection")
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise errors.SettingsError(f"DATABASE_URL: {Path(path).parent} cannot be made: {exc.strerror}") from exc
    engine = create_engine(
        f"sqlite:///{path}",
        connect_args={"timeout": LOCK_WAIT_S, "check_same_thread": False},
        pool_size=POOL_SIZE,
        max_overflow=POOL_SIZE,
        hide_parameters=True,  # they are customers' data, and errors end up in logs
    )

    @event.listens_for(engine, "connect")
    def set_up(connection: DBAPIConnection, _record: object) -> None:
        connection.isolation_level = None  # sqlite3 begins nothing by itself; `begin` below does
        cursor = connection.cursor()
        # NORMAL: a commit survives the death of the process at once, and that of the machine from the next
        # checkpoint on. Who needs the latter for every callback uses PostgreSQL.
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        options = connection.get_execution_options()
        if options.get("isolation_level") != "AUTOCOMMIT":
            connection.exec_driver_sql(f"BEGIN {options.get('sqlite_begin', 'DEFERRED')}")

    return engine


def _postgresql_engine(url: URL, addresses: DnsCache, connections: int = POOL_SIZE) -> Engine:
    engine = create_engine(
        url,
        pool_size=connections,
        # A connection costs PostgreSQL a process, and more of them than it has cores for do no more work: under load
        # it is better to wait for one than to open one and close it again.
        max_overflow=0,
        connect_args={"connect_timeout": 3},
        hide_parameters=True,
    )

    @event.listens_for(engine, "do_connect")
    def keep_address(_dialect: Any, _record: Any, _arguments: Any, parameters: dict[str, Any]) -> None:
        """libpq asks the resolver in C, where nothing can interrupt it; so it is given the address, beside the name."""
        host = parameters.get("host")
        if host and not host.startswith("/") and "," not in host and "hostaddr" not in parameters:
            try:
                parameters["hostaddr"] = addresses.of(host)[0]
            except OSError as exc:
                raise errors.DatabaseUnavailable(str(exc)) from exc

    return engine
