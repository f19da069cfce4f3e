"""The URL of a database: as we ship its driver, and checked without telling any part of a password."""

from __future__ import annotations

from sqlalchemy import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from enrich import errors

_URL_FORM = (
    "not of the form sqlite:////path or postgresql://user:password@host:5432/name; "
    "in user and password write @ as %40, : as %3A, / as %2F, % as %25"
)


def normal_url(url: str) -> str:
    """Return the URL with the driver we ship: `postgres://` and `postgresql://` become `postgresql+psycopg://`."""
    scheme, separator, rest = url.partition("://")
    return f"postgresql+psycopg://{rest}" if separator and scheme in ("postgres", "postgresql") else url


def checked_url(url: str) -> URL:
    """Return the URL parsed. Raises SettingsError, without any part that may be one of a password."""
    try:
        checked = make_url(normal_url(url))
    except (SQLAlchemyError, ValueError):  # ValueError: the port is no number
        raise errors.SettingsError(f"DATABASE_URL: {_URL_FORM}") from None
    if checked.drivername not in ("sqlite", "postgresql+psycopg"):
        raise errors.SettingsError(f"DATABASE_URL: {checked.drivername} is not supported; sqlite and postgresql are")
    if checked.drivername == "sqlite":
        return checked
    # After an unquoted @ or /, the rest of the password would be taken for a host or a database, and be told as such.
    is_split_wrongly = "@" in f"{checked.host}{checked.database}{''.join(checked.query)}"
    if is_split_wrongly or not (checked.port is None or 0 < checked.port < 65536):
        raise errors.SettingsError(f"DATABASE_URL: {_URL_FORM}")
    return checked
