"""SQLite's engine: a file for its owner alone, in WAL mode, with a busy time-out of a few milliseconds."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection

from enrich import errors
from enrich.database.types import read_json

# SQLite's busy time-out, spent in C. Most writes of another process take less than a millisecond; and under load, when
# a turn of the event loop takes a hundred, a process that tries only once a turn would hardly find the lock free.
LOCK_WAIT_S = 0.005


def sqlite_engine(path: str | None, connections: int) -> Engine:
    """Return an engine for this file, whose folder is made if need be. Raises SettingsError.

    connections: kept in the pool; as many again are opened when needed, and closed after use.
    """
    if not path or path == ":memory:":
        raise errors.SettingsError(
            "DATABASE_URL: SQLite needs a file; a database in memory disappears with its connection"
        )
    try:
        Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise errors.SettingsError(f"DATABASE_URL: {Path(path).parent} cannot be created: {exc.strerror}") from exc
    engine = create_engine(
        f"sqlite:///{path}",
        connect_args={"timeout": LOCK_WAIT_S, "check_same_thread": False},
        pool_size=connections,
        max_overflow=connections,
        json_deserializer=read_json,
        hide_parameters=True,  # they are customers' data, and errors are logged
    )

    @event.listens_for(engine, "do_connect")
    def keep_private(_dialect: Any, _record: Any, _arguments: Any, _parameters: Any) -> None:
        """Make a new file readable for its owner alone. SQLite gives `-wal` and `-shm` the mode of the file.

        A file that exists is not opened: to close it would drop all locks of this process on it, as POSIX has it, and
        another process that closes its last connection would take the log away from under us.
        """
        with suppress(OSError):  # it exists; or what SQLite reports in its own way
            os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL, 0o600))

    @event.listens_for(engine, "connect")
    def set_up(connection: DBAPIConnection, _record: object) -> None:
        connection.isolation_level = None  # sqlite3 begins no transactions; `begin` below does
        cursor = connection.cursor()
        # NORMAL: a commit survives a crash of the process at once, and one of the machine from the next checkpoint on.
        # If every callback must survive the latter, use PostgreSQL.
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        options = connection.get_execution_options()
        if options.get("isolation_level") != "AUTOCOMMIT":
            connection.exec_driver_sql(f"BEGIN {options.get('sqlite_begin', 'DEFERRED')}")

    return engine
