"""The mapping: how the columns of a row become the fields of a customer. Pure.

A mapped row has the form of a customer in a file: `id`, `name`, `company`, …, lists of `phones` and `emails`, a table
of `ids`. What a row lacks is empty, not absent: a record of a source is whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

ELSE = "*"  # in `map`: every value that is not named
# A float holds each whole number up to this one.
_MAX_EXACT_FLOAT = 2**53

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Expression:
    """One value of a row.

    columns: their texts, joined by a space. split: separator of several values in one text. prefix: put before a text
    that does not begin with it, as the + that a number column has lost. map: replaces values; ELSE stands for others.
    """

    columns: tuple[str, ...]
    split: str = ""
    prefix: str = ""
    map: Mapping[str, str] = field(default_factory=dict)

    def values(self, row: Row) -> Iterator[str]:
        """Yield the values that are not empty."""
        text = " ".join(filter(None, (text_of(row.get(column)) for column in self.columns)))
        for part in text.split(self.split) if self.split else (text,):
            value = part.strip()
            if self.map:
                value = self.map.get(value, self.map.get(ELSE, value))
            if value and not value.startswith(self.prefix):
                value = self.prefix + value
            if value:
                yield value


@dataclass(frozen=True, slots=True)
class Deleted:
    """The column that says that a row is deleted. equals: its values that do; without any, each that is not empty."""

    column: str
    equals: tuple[str, ...] = ()

    def of(self, row: Row) -> bool:
        text = text_of(row.get(self.column))
        return text in self.equals if self.equals else text.lower() not in _NOT_DELETED


# Of a column for a time, or for yes and no.
_NOT_DELETED = frozenset({"", "0", "false", "f", "n", "no"})


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of customers that a table has. texts: of each, the first value that is not empty counts."""

    texts: Mapping[str, tuple[Expression, ...]] = field(default_factory=dict)
    phones: tuple[Expression, ...] = ()
    emails: tuple[Expression, ...] = ()
    ids: Mapping[str, tuple[Expression, ...]] = field(default_factory=dict)
    notes: tuple[Expression, ...] = ()

    def columns(self) -> tuple[str, ...]:
        """Return the names of the columns, each once, in the order of the file."""
        lists = (*self.texts.values(), self.phones, self.emails, *self.ids.values(), self.notes)
        return tuple(dict.fromkeys(column for one in lists for expression in one for column in expression.columns))


def customer_of(
    remote_id: str, fields: Fields, row: Row, children: Iterable[tuple[Fields, Row]] = ()
) -> dict[str, Any]:
    """Return the row, and the rows of its child tables, as a customer in the form of a file."""
    customer: dict[str, Any] = {"id": remote_id}
    for name, expressions in fields.texts.items():
        customer[name] = next(_values(expressions, row), "")
    sources = [(fields, row), *children]
    for name in ("phones", "emails", "notes"):
        found = (value for part, values in sources for value in _values(getattr(part, name), values))
        customer[name] = list(dict.fromkeys(found))
    ids: dict[str, list[str]] = {}
    for part, values in sources:
        for kind, expressions in part.ids.items():
            known = ids.setdefault(kind, [])
            known += [value for value in _values(expressions, values) if value not in known]
    customer["ids"] = {kind: values for kind, values in ids.items() if values}
    return customer


def _values(expressions: Sequence[Expression], row: Row) -> Iterator[str]:
    for expression in expressions:
        yield from expression.values(row)


def text_of(value: Any) -> str:
    """Return the text of a column's value, as people would write it; "" for NULL.

    char(n) pads with spaces; a number that is a key or a phone number in truth comes as 4155550100.00 or 4.15555e9.
    """
    match value:
        case None:
            return ""
        case str():
            return value.strip()
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer() and abs(value) <= _MAX_EXACT_FLOAT:
            return str(int(value))
        case Decimal() if value.is_finite():
            return str(int(value)) if value == value.to_integral_value() else f"{value.normalize():f}"
        case bytes() | bytearray() | memoryview():
            return _text_of_bytes(bytes(value))
        case datetime() | date() | time():
            return value.isoformat()
        case _:
            return str(value).strip()


def _text_of_bytes(value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return value.hex()
    return text.strip() if text.isprintable() else value.hex()
