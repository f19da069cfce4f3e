"""Translation of SQLAlchemy's and the drivers' errors to those of errors.py, without statements and parameters.

A fault is told by its code, not by its text: PostgreSQL's SQLSTATE
(https://www.postgresql.org/docs/current/errcodes-appendix.html) and SQLite's result code
(https://www.sqlite.org/rescode.html). Both stand in the message; the driver's own text can quote a row.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from enrich import errors

# SQLSTATEs, by their first characters.
_SCHEMA = ("42P01", "42703")
# Another transaction was in the way: serialization failure, deadlock, lock time-out.
_CONFLICT = ("40", "55P03")
# Unique violation.
_DUPLICATE = "23505"
# No write succeeds: read-only, no privilege, disk full, failing storage, corrupted data or index.
_NOT_WRITABLE = ("25006", "42501", "53100", "58", "XX001", "XX002")
# The server cannot serve: connection, sign-in, unknown database, resources, operator intervention, configuration.
_UNAVAILABLE = ("08", "28", "3D", "53", "57", "F0")
# Of this connection: another one may lead to a server that can.
_CONNECTION = ("08", "25006", "57P", "58")

# The same, by SQLite's primary result codes.
_SQLITE_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_SQLITE_NOT_WRITABLE = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY)
_SQLITE_UNAVAILABLE = (
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_PROTOCOL,
)


@contextmanager
def translated() -> Iterator[None]:
    """Translate SQLAlchemy's errors from the block. Parameters can be personal data, so messages leave them out."""
    try:
        yield
    except PoolTimeoutError as exc:
        raise errors.DatabaseUnavailable("every connection is in use") from exc
    except DBAPIError as exc:
        raise translate(exc.orig, is_dead=exc.connection_invalidated) from exc
    except (SQLAlchemyError, UnicodeError) as exc:  # UnicodeError: the driver cannot encode a text
        raise errors.DatabaseError(type(exc).__name__) from None


def translate(exc: BaseException | None, *, is_dead: bool) -> errors.DatabaseError:
    """Return the translation of a driver's error. is_dead: the connection cannot be used any more."""
    sqlstate, code = _sqlstate(exc), _sqlite_code(exc)
    if is_locked(exc):
        return errors.DatabaseLocked("another process holds the write lock")
    if sqlstate.startswith(_CONFLICT):
        return errors.DatabaseLocked(_described(exc))
    if sqlstate == _DUPLICATE:
        return errors.DatabaseConflict(_described(exc))
    if _is_schema(exc):
        return errors.SchemaMissing("tables are missing or of another version: flask db upgrade")
    if sqlstate.startswith(_NOT_WRITABLE) or code in _SQLITE_NOT_WRITABLE:
        return errors.DatabaseNotWritable(_described(exc))
    # Without an SQLSTATE the driver itself reports that there is no connection.
    has_no_connection = isinstance(exc, psycopg.OperationalError | psycopg.InterfaceError) and not sqlstate
    if is_dead or has_no_connection or sqlstate.startswith(_UNAVAILABLE) or code in _SQLITE_UNAVAILABLE:
        return errors.DatabaseUnavailable(_described(exc))
    return errors.DatabaseError(_described(exc))


def is_locked(exc: BaseException | None) -> bool:
    """Return whether another process or connection holds SQLite's lock."""
    return _sqlite_code(exc) in _SQLITE_LOCKED


def concerns_connection(exc: BaseException | None) -> bool:
    """Return whether PostgreSQL's error means that this connection, even if it is alive, should be replaced."""
    return _sqlstate(exc).startswith(_CONNECTION)


def _sqlstate(exc: BaseException | None) -> str:
    return (exc.sqlstate or "") if isinstance(exc, psycopg.Error) else ""


def _sqlite_code(exc: BaseException | None) -> int:
    """Return SQLite's primary result code; 0 if the error has none."""
    return (getattr(exc, "sqlite_errorcode", 0) or 0) & 0xFF


def _described(exc: BaseException | None) -> str:
    """Return the error's code and name, or what the driver says about a connection: host and reason, but no data."""
    if sqlstate := _sqlstate(exc):
        return f"{sqlstate} {type(exc).__name__}"
    if isinstance(exc, psycopg.OperationalError | psycopg.InterfaceError):
        return str(exc).partition("\n")[0]
    return getattr(exc, "sqlite_errorname", None) or type(exc).__name__


def _is_schema(exc: BaseException | None) -> bool:
    """Return whether a table or column is unknown: by SQLSTATE in PostgreSQL, by the message in SQLite."""
    if _sqlstate(exc) in _SCHEMA:
        return True
    return isinstance(exc, sqlite3.OperationalError) and str(exc).startswith(("no such table", "no such column"))
