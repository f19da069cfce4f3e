"""Base and column types of all tables: constraint names, UTC times, and text from outside."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Integer, MetaData, String, Text
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator

from enrich.domain.lengths import MAX_SID_LENGTH

_CONSTRAINT_NAMES = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

# SQLite makes only INTEGER a rowid; in PostgreSQL an INTEGER would run out at two thousand million rows.
RowId = BigInteger().with_variant(Integer, "sqlite")
# PostgreSQL and SQLite's driver refuse a larger one, even to look for it.
MAX_ROW_ID = 2**63 - 1
Sid = String(MAX_SID_LENGTH)

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


class UnreadableJson:
    """The value of a JSON column whose text is no JSON that Python reads. Not None: something is stored there."""


UNREADABLE = UnreadableJson()


def texts_of(stored: object) -> tuple[str, ...]:
    """Return a stored list of texts; empty for JSON of another form, which a newer version may have written."""
    if not isinstance(stored, list) or not all(isinstance(one, str) for one in stored):
        return ()
    return tuple(stored)


def read_json(stored: str | bytes) -> Any:
    """Return the stored value; UNREADABLE if there is none, so that one row never fails a query for many."""
    try:
        return json.loads(stored)
    except (ValueError, TypeError, RecursionError):  # no JSON; no text; too deep. A long number is a ValueError
        return UNREADABLE


class Base(DeclarativeBase):
    """Base of all tables. Names constraints, so that migrations can refer to them."""

    metadata = MetaData(naming_convention=_CONSTRAINT_NAMES)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware time, stored in UTC. SQLite has no time zones: it is stored without, and returned with UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime for a column of times in UTC")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class AnyText(TypeDecorator[str]):
    """Text from outside. PostgreSQL stores neither NUL nor lone surrogates: both are stored as escapes.

    length: longer text is cut; None: no limit.
    """

    impl = Text
    cache_ok = True

    def __init__(self, length: int | None = None) -> None:
        super().__init__()
        self.length = length
        self.impl = String(length) if length else Text()  # type: ignore[assignment]  # an instance, on an instance

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        if not value.isascii() or "\0" in value:
            value = _UNSTORABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", value)
        return value[: self.length]
