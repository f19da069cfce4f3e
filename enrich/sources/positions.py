"""Values of a database as JSON and back, for positions in a pass. Pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from enrich import errors

# The first that fits counts: a datetime is a date, too.
_FORMS: tuple[tuple[type, str, Callable[[Any], str], Callable[[str], Any]], ...] = (
    (datetime, "datetime", datetime.isoformat, datetime.fromisoformat),
    (date, "date", date.isoformat, date.fromisoformat),
    (timedelta, "seconds", lambda value: str(value.total_seconds()), lambda text: timedelta(seconds=float(text))),
    (Decimal, "decimal", str, Decimal),
    (UUID, "uuid", str, UUID),
    (bytes, "bytes", bytes.hex, bytes.fromhex),
)


def to_json(value: Any) -> Any:
    """Return a value of a column as JSON. Raises SourceMisfit for what no key is."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, bytearray | memoryview):
        value = bytes(value)
    for kind, name, write, _ in _FORMS:
        if isinstance(value, kind):
            return {name: write(value)}
    raise errors.SourceMisfit(f"values of the type {type(value).__name__} cannot be keys or times of change")


def from_json(value: Any) -> Any:
    """Return the value of which `to_json` gave this."""
    if not isinstance(value, dict):
        return value
    ((name, text),) = value.items()
    return next(read for _, known, _, read in _FORMS if known == name)(text)
