"""Connections for prepared statements: a few, lent and given back, and made anew when a server was.

Under `db.py`, which decides what is executed on them. Knows the drivers' connections, and no table.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from sqlalchemy import Engine

from enrich import errors
from enrich.database.errors import ours, translated
from enrich.database.statements import Prepared

# How long to wait for a connection, where nobody holds a clock.
POOL_S = 30.0


class Slots:
    """So many may be in use at a time; one is, for as long as a `with` block of it runs.

    A queue, not a semaphore: the clock may end a wait anywhere, and what threading builds on a condition variable takes
    a lock once more on its way out; ended there, too, it gives back what another one holds. To put into a queue never
    waits, and to get is one wait.
    """

    def __init__(self, most: int) -> None:
        self._free: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(most):
            self._free.put(None)

    def __enter__(self) -> None:
        """Raises DatabaseUnavailable when none was given back for a long time."""
        try:
            self._free.get(timeout=POOL_S)
        except queue.Empty:
            raise errors.DatabaseUnavailable("every connection is in use") from None

    def __exit__(self, *_: object) -> None:
        self._free.put(None)


class Connections:
    """Connections of their own for prepared statements, each statement committed by itself.

    Each is lent by its one cursor, which is kept: to make one is a quarter of what psycopg does for a statement. The
    one that was given back last is lent first: what it has read lately is still in its memory. most: how many may be
    in use at a time; SQLite needs no such limit, since its calls let nobody else run.

    A connection to a server is made in a thread of its own, one after the other, and is made to its end: under load
    that takes longer than a callback may wait for its receipt, and one that is begun and dropped, again and again,
    costs the server more than one that is used, until it takes no more.
    """

    def __init__(self, engine: Engine, most: int) -> None:
        self._engine = engine
        self._idle: list[Any] = []
        self._slots = None if engine.dialect.name == "sqlite" else Slots(most)
        # Of each one that waits for a connection, where it finds it, or the error that all of them get.
        self._waiting: deque[queue.SimpleQueue[Any]] = deque()
        self._is_connecting = False
        self._door = threading.Lock()  # for a few instructions each time

    def execute(self, prepared: Prepared, values: Any) -> Sequence[Any]:
        """The rows of one statement, once more on a fresh connection where an idle one turned out to be dead.

        Raises DatabaseError.
        """
        try:
            arguments = prepared.arguments(values)
        except (LookupError, ValueError) as exc:  # a mistake of ours, or a text that cannot be encoded
            raise errors.DatabaseError(type(exc).__name__) from None
        with self._slots or nullcontext():
            return self._execute(prepared, arguments)

    def close(self) -> None:
        """Closes those that are idle."""
        while self._idle:
            self._idle.pop().connection.close()

    def _execute(self, prepared: Prepared, arguments: Any) -> Sequence[Any]:
        while True:
            cursor, was_idle = self._take()
            try:
                cursor.execute(prepared.text, arguments)
                rows = prepared.rows(cursor.fetchall()) if prepared.returns_rows else ()
            except self._driver_error as exc:
                is_dead = self._engine.dialect.is_disconnect(exc, cursor.connection, None)
                if not is_dead:
                    self._give(cursor)
                    raise ours(exc, is_dead=False) from None
                cursor.connection.close()
                self.close()  # those beside it are of the same server
                if not was_idle:
                    raise ours(exc, is_dead=True) from None
            except UnicodeError as exc:  # a text that the driver cannot encode never left
                self._give(cursor)
                raise errors.DatabaseError(type(exc).__name__) from None
            except BaseException:  # OutOfTime among them: nobody knows what state it is in
                cursor.connection.close()
                raise
            else:
                self._give(cursor)
                return rows

    def _take(self) -> tuple[Any, bool]:
        """The cursor of one, and whether it was idle before: then the server may have left it meanwhile."""
        try:
            return self._idle.pop(), True  # which nobody can come between
        except IndexError:
            pass
        if self._slots is None:
            return self._connect(), False
        mine: queue.SimpleQueue[Any] = queue.SimpleQueue()
        with self._door:
            self._waiting.append(mine)
            starts, self._is_connecting = not self._is_connecting, True
        try:
            if starts:
                self._start()  # a wait, too
            made = mine.get()
        except BaseException:  # OutOfTime: nobody is to give us anything any more, and what somebody has is for others
            with self._door:
                if mine in self._waiting:
                    self._waiting.remove(mine)
            if not mine.empty() and not isinstance(given := mine.get(), Exception):
                self._give(given)
            raise
        if isinstance(made, Exception):
            raise made
        return made, False

    def _start(self) -> None:
        """Where the machine gives no thread, all who wait are told, and the next one who comes tries again."""
        try:
            threading.Thread(target=self._connect_for_all, daemon=True).start()
        except RuntimeError:
            with self._door:
                self._is_connecting = False
            self._tell_all(errors.DatabaseUnavailable("no thread could be started"))

    def _give(self, cursor: Any) -> None:
        if self._slots is None:  # nobody ever waits
            self._idle.append(cursor)
            return
        with self._door:
            if self._waiting:
                self._waiting.popleft().put(cursor)
            else:
                self._idle.append(cursor)

    def _connect_for_all(self) -> None:
        """Makes connections for as long as somebody waits for one; after a failure all who wait are told."""
        while True:
            with self._door:
                if not self._waiting:
                    self._is_connecting = False
                    return
            try:
                self._give(self._connect())
            except Exception as exc:  # noqa: BLE001 - those who wait are told, whatever it is
                self._tell_all(
                    exc if isinstance(exc, errors.DatabaseError) else errors.DatabaseError(type(exc).__name__)
                )

    def _tell_all(self, failed: errors.DatabaseError) -> None:
        with self._door:
            while self._waiting:
                self._waiting.popleft().put(failed)

    def _connect(self) -> Any:
        """One more, made as SQLAlchemy's pool makes them, and then no longer the pool's."""
        try:
            with translated():
                lent = self._engine.raw_connection()
                lent.detach()
        except self._driver_error as exc:
            raise ours(exc, is_dead=True) from None
        connection: Any = lent.dbapi_connection  # of the driver; not None, as it may be once it is given back
        # What SQLAlchemy leaves behind in a connection that others had before is not always what was set at first.
        self._engine.dialect.set_isolation_level(connection, "AUTOCOMMIT")
        return connection.cursor()

    @property
    def _driver_error(self) -> Any:
        return self._engine.dialect.loaded_dbapi.Error
