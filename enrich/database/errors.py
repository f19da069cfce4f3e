"""Translation of SQLAlchemy's and the drivers' errors to those of errors.py, without statements and parameters."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from enrich import errors


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
    if is_locked(exc):
        return errors.DatabaseLocked("another process holds the write lock")
    if _is_schema(exc):
        return errors.SchemaMissing("tables are missing or of another version: flask db upgrade")
    if is_dead or type(exc).__name__ in ("OperationalError", "InterfaceError"):
        # A driver's message about a connection has host and reason, but no data.
        return errors.DatabaseUnavailable(str(exc).partition("\n")[0])
    return errors.DatabaseError(f"{type(exc).__name__}")


def is_locked(exc: BaseException | None) -> bool:
    """Return whether another process or connection holds SQLite's lock."""
    code = getattr(exc, "sqlite_errorcode", 0) or 0
    return code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _is_schema(exc: BaseException | None) -> bool:
    """Return whether a table or column is unknown: by SQLSTATE in PostgreSQL, by the message in SQLite."""
    if getattr(exc, "sqlstate", None) in ("42P01", "42703"):
        return True
    return isinstance(exc, sqlite3.OperationalError) and str(exc).startswith(("no such table", "no such column"))
