"""Connection pool for prepared statements: connections are reused, and replaced after a server restart.

Used by engine.py. Works with the drivers' connections; knows no table.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

from sqlalchemy import Engine

from enrich import errors
from enrich.database.errors import concerns_connection, translate, translated
from enrich.database.statements import PreparedStatement
from enrich.resilience.places import Places

# The wait for a connection outside of deadlines.
POOL_TIMEOUT_S = 30.0


class Slots:
    """Context manager that limits the number of `with` blocks at a time; the others wait in turn."""

    def __init__(self, limit: int) -> None:
        self._places = Places(limit)

    def __enter__(self) -> None:
        """Raise DatabaseUnavailable if no slot becomes free within the time-out."""
        if not self._places.acquire(POOL_TIMEOUT_S):
            raise errors.DatabaseUnavailable("every connection is in use")

    def __exit__(self, *_: object) -> None:
        self._places.release()


class ConnectionPool:
    """A pool of connections for prepared statements, in autocommit.

    Each connection is represented by one cursor, which is reused: creating a cursor is a quarter of psycopg's work for
    a statement. The last one released is acquired first, because its cache is warm. limit: connections in use at a
    time; SQLite needs none, because its calls let no other greenlet run.

    Connections to a server are opened in a thread, one after the other, and always to completion: under load opening
    takes longer than a callback may wait for its receipt, and connections that are begun and dropped again and again
    would exhaust the server. make_thread: makes that thread, as `threading.Thread` does. leave_server: called with a
    connection whose server answers, but should not be used again.
    """

    def __init__(
        self,
        engine: Engine,
        limit: int,
        *,
        make_thread: Callable[..., threading.Thread] = threading.Thread,
        leave_server: Callable[[Any], None] | None = None,
    ) -> None:
        self._engine = engine
        self._leave_server = leave_server
        self._make_thread = make_thread
        self._idle: list[Any] = []
        self._slots = None if engine.dialect.name == "sqlite" else Slots(limit)
        # One queue for each waiting caller, which receives a cursor or an error.
        self._waiting: deque[queue.SimpleQueue[Any]] = deque()
        self._is_connecting = False
        self._lock = threading.Lock()  # held for a few instructions each time

    def execute(self, prepared: PreparedStatement, values: Any) -> Sequence[Any]:
        """Return the rows of one statement, retried on a new connection if an idle one led to a server that failed.

        Raises DatabaseError.
        """
        try:
            arguments = prepared.arguments(values)
        except (LookupError, ValueError) as exc:  # internal error, or a text that cannot be encoded
            raise errors.DatabaseError(type(exc).__name__) from None
        with self._slots or nullcontext():
            return self._execute(prepared, arguments)

    def close(self) -> None:
        """Close idle connections."""
        while self._idle:
            self._idle.pop().connection.close()

    def _execute(self, prepared: PreparedStatement, arguments: Any) -> Sequence[Any]:
        while True:
            cursor, was_idle = self._acquire()
            try:
                cursor.execute(prepared.text, arguments)
                rows = prepared.rows(cursor.fetchall()) if prepared.returns_rows else ()
            except self._driver_error as exc:
                is_dead = self._engine.dialect.is_disconnect(exc, cursor.connection, None)
                if not (is_dead or concerns_connection(exc)):
                    self._release(cursor)
                    raise translate(exc, is_dead=False) from None
                if self._leave_server and not is_dead:
                    self._leave_server(cursor.connection)
                cursor.connection.close()
                self.close()  # the other idle ones have the same server
                self._engine.dispose()
                if not was_idle:
                    raise translate(exc, is_dead=True) from None
            except UnicodeError as exc:  # a text that the driver cannot encode never left
                self._release(cursor)
                raise errors.DatabaseError(type(exc).__name__) from None
            except BaseException:  # including OutOfTime: the connection's state is unknown
                cursor.connection.close()
                raise
            else:
                self._release(cursor)
                return rows

    def _acquire(self) -> tuple[Any, bool]:
        """Return a cursor, and whether it was idle before: then its server may be gone."""
        try:
            return self._idle.pop(), True  # atomic
        except IndexError:
            pass
        if self._slots is None:
            return self._connect(), False
        mine: queue.SimpleQueue[Any] = queue.SimpleQueue()
        with self._lock:
            self._waiting.append(mine)
            must_start, self._is_connecting = not self._is_connecting, True
        try:
            if must_start:
                self._start()  # can wait, too
            result = mine.get()
        except BaseException:  # OutOfTime: leave the queue, and pass on a cursor that has already arrived
            with self._lock:
                if mine in self._waiting:
                    self._waiting.remove(mine)
            if not mine.empty() and not isinstance(result := mine.get(), Exception):
                self._release(result)
            raise
        if isinstance(result, Exception):
            raise result
        return result, False

    def _start(self) -> None:
        """Start the connecting thread. If that fails, all waiting callers fail, and the next one tries again."""
        try:
            self._make_thread(target=self._connect_for_all, daemon=True).start()
        except RuntimeError:
            with self._lock:
                self._is_connecting = False
            self._fail_all(errors.DatabaseUnavailable("no thread could be started"))

    def _release(self, cursor: Any) -> None:
        if self._slots is None:  # no caller ever waits
            self._idle.append(cursor)
            return
        with self._lock:
            if self._waiting:
                self._waiting.popleft().put(cursor)
            else:
                self._idle.append(cursor)

    def _connect_for_all(self) -> None:
        """Open connections while callers wait; after a failure all waiting callers fail."""
        while True:
            with self._lock:
                if not self._waiting:
                    self._is_connecting = False
                    return
            try:
                self._release(self._connect())
            except Exception as exc:  # noqa: BLE001 - every waiting caller gets it, whatever it is
                self._fail_all(
                    exc if isinstance(exc, errors.DatabaseError) else errors.DatabaseError(type(exc).__name__)
                )

    def _fail_all(self, error: errors.DatabaseError) -> None:
        with self._lock:
            while self._waiting:
                self._waiting.popleft().put(error)

    def _connect(self) -> Any:
        """Open a connection as SQLAlchemy's pool does, detached from that pool; return its cursor."""
        try:
            with translated():
                pooled = self._engine.raw_connection()
                pooled.detach()
        except self._driver_error as exc:
            raise translate(exc, is_dead=True) from None
        connection: Any = pooled.dbapi_connection  # the driver's; None only after it is returned
        # SQLAlchemy does not always reset the isolation level of a connection that was in use before.
        self._engine.dialect.set_isolation_level(connection, "AUTOCOMMIT")
        return connection.cursor()

    @property
    def _driver_error(self) -> Any:
        return self._engine.dialect.loaded_dbapi.Error
