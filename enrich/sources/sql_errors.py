"""Errors of a database that is a source, as errors of sources: refused, unavailable, or not as described."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from enrich import errors

# https://www.postgresql.org/docs/current/errcodes-appendix.html; SQL Server's driver has the same classes.
_REFUSED_STATES = ("28", "42501", "3D000")
_MISFIT_STATES = ("42", "22", "0A", "3F")
# https://mariadb.com/kb/en/mariadb-error-codes/
_REFUSED_NUMBERS = frozenset({1044, 1045, 1049, 1142, 1143, 1370, 1698})
_MISFIT_NUMBERS = frozenset({1054, 1064, 1146, 1267, 1305, 1366})
# Where there is neither: of connections to PostgreSQL that were not made, and of SQLite.
_REFUSED_TEXTS = ("authentication failed", "permission denied", "no pg_hba.conf entry", "does not exist")
_MISFIT_TEXTS = ("no such table", "no such column")


@contextmanager
def translated(source: str) -> Iterator[None]:
    """Raise SourceRefused, SourceUnavailable or SourceMisfit for what SQLAlchemy raises. Quotes no values of rows."""
    try:
        yield
    except PoolTimeout as exc:
        raise errors.SourceUnavailable(f"{source}: all connections are in use") from exc
    except DBAPIError as exc:
        raise _error_of(exc)(f"{source}: {_words(exc)}") from None
    except SQLAlchemyError as exc:
        raise errors.SourceMisfit(f"{source}: {type(exc).__name__}") from exc


def _error_of(exc: DBAPIError) -> type[errors.SourceError]:
    state = str(getattr(exc.orig, "sqlstate", None) or "")
    arguments = getattr(exc.orig, "args", ())
    number = arguments[0] if arguments and isinstance(arguments[0], int) else 0
    text = "" if state or number else str(exc.orig).lower()
    if number in _REFUSED_NUMBERS or state.startswith(_REFUSED_STATES) or _has(text, _REFUSED_TEXTS):
        return errors.SourceRefused
    if number in _MISFIT_NUMBERS or state.startswith(_MISFIT_STATES) or _has(text, _MISFIT_TEXTS):
        return errors.SourceMisfit
    return errors.SourceUnavailable


def _has(text: str, phrases: tuple[str, ...]) -> bool:
    return any(phrase in text for phrase in phrases)


def _words(exc: DBAPIError) -> str:
    """Return the first line of the database's message, unless it may quote a value: of data that does not fit."""
    state = str(getattr(exc.orig, "sqlstate", None) or "")
    kind = type(exc.orig).__name__
    if state.startswith("22") or kind == "DataError":
        return f"{kind} {state}".strip()
    return str(exc.orig).strip().splitlines()[0] if str(exc.orig).strip() else kind
