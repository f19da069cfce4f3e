"""What SQLAlchemy and the drivers raise, as errors of errors.py. Of a statement only its kind is told."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from enrich import errors


@contextmanager
def translated() -> Iterator[None]:
    """No SQLAlchemy error leaves the block. A statement's parameters can be personal data: only its kind is told."""
    try:
        yield
    except PoolTimeoutError as exc:
        raise errors.DatabaseUnavailable("every connection is in use") from exc
    except DBAPIError as exc:
        raise ours(exc.orig, is_dead=exc.connection_invalidated) from exc
    except (SQLAlchemyError, UnicodeError) as exc:  # a driver's own, where a text cannot be encoded
        raise errors.DatabaseError(type(exc).__name__) from None


def ours(exc: BaseException | None, *, is_dead: bool) -> errors.DatabaseError:
    """What a driver's error is to us. is_dead: whether the connection is."""
    if is_locked(exc):
        return errors.DatabaseLocked("another process holds the write lock")
    if _is_schema(exc):
        return errors.SchemaMissing("tables are missing or of another version: flask db upgrade")
    if is_dead or type(exc).__name__ in ("OperationalError", "InterfaceError"):
        # What a driver says of a connection names host and reason, and nothing of anybody's data.
        return errors.DatabaseUnavailable(str(exc).partition("\n")[0])
    return errors.DatabaseError(f"{type(exc).__name__}")


def is_locked(exc: BaseException | None) -> bool:
    """Whether another process, or another connection, holds SQLite's lock."""
    code = getattr(exc, "sqlite_errorcode", 0) or 0
    return code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _is_schema(exc: BaseException | None) -> bool:
    """An unknown table or column: in PostgreSQL by its SQLSTATE, in SQLite by what it says."""
    if getattr(exc, "sqlstate", None) in ("42P01", "42703"):
        return True
    return isinstance(exc, sqlite3.OperationalError) and str(exc).startswith(("no such table", "no such column"))
