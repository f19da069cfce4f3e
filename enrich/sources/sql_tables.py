"""Tables of a database as it describes them: their columns, the form of their times, and the values of their keys."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, FromClause, column, inspect, select, table, types
from sqlalchemy.exc import NoSuchTableError, SAWarning
from sqlalchemy.types import TypeEngine

from enrich import errors
from enrich.sources.change_times import ChangeTimes, Form, zone_of
from enrich.sources.file import ChangeColumn, SqlDeclaration
from enrich.sources.mapping import text_of

PERSONS = -1  # in place of a part's number
MAX_INTEGER = 2**63


@dataclass(frozen=True, slots=True)
class ReflectedTable:
    """A table or view as the database describes it. types: of its columns, by name."""

    name: str
    clause: FromClause
    types: Mapping[str, TypeEngine[Any]]

    def column(self, name: str) -> ColumnElement[Any]:
        """Return the column of this name; case counts only where two columns differ in nothing else."""
        return self.clause.c[self.name_of(name)]

    def name_of(self, name: str) -> str:
        if name in self.types:
            return name
        similar = [known for known in self.types if known.lower() == name.lower()]
        if len(similar) != 1:
            raise errors.SourceMisfit(f"{self.name} has no column {name!r}; it has {', '.join(self.types)}")
        return similar[0]

    def type_of(self, name: str) -> TypeEngine[Any]:
        return self.types[self.name_of(name)]


@dataclass(frozen=True, slots=True)
class Layout:
    """A declaration's tables and columns, found in the database. times: of the change columns, of persons first."""

    persons: ReflectedTable
    parts: tuple[ReflectedTable, ...]
    times: Mapping[int, ChangeTimes]


def lay_out(connection: Connection, declaration: SqlDeclaration) -> Layout:
    """Return the declaration's tables and the form of their times. Raises SourceMisfit."""
    persons = reflect(connection, declaration.person.table)
    parts = tuple(reflect(connection, part.table) for part in declaration.parts)
    times = {}
    if declaration.person.changed is not None:
        times[PERSONS] = change_times(connection, persons, declaration.person.changed, declaration.timezone)
        for number, (part, of) in enumerate(zip(declaration.parts, parts, strict=True)):
            if part.changed is not None:
                times[number] = change_times(connection, of, part.changed, declaration.timezone)
    return Layout(persons, parts, times)


def reflect(connection: Connection, name: str) -> ReflectedTable:
    """Return the table as the database describes it: this one alone, which needs no rights on others."""
    schema, _, own = name.rpartition(".")
    with warnings.catch_warnings():
        # A type that SQLAlchemy does not know is read as the driver gives it.
        warnings.simplefilter("ignore", SAWarning)
        try:
            columns = inspect(connection).get_columns(own, schema or None)
        except NoSuchTableError:
            raise errors.SourceMisfit(f"there is no table or view {name}, or its columns may not be read") from None
    clause = table(own, *(column(one["name"]) for one in columns), schema=schema or None)
    return ReflectedTable(name, clause, {one["name"]: one["type"] for one in columns})


def change_times(connection: Connection, of: ReflectedTable, changed: ChangeColumn, timezone: str) -> ChangeTimes:
    """Return how the change column holds times. timezone: of those without one. Raises SourceMisfit."""
    zone = zone_of(timezone)
    kind = of.type_of(changed.column)
    place = f"{of.name}.{changed.column}"
    if isinstance(kind, types.Integer | types.Numeric) or changed.unit:
        is_number = isinstance(kind, types.Integer | types.Numeric)
        if not is_number and connection.dialect.name != "sqlite":
            raise errors.SourceMisfit(f"{place} is no number: leave its unit out")
        if not changed.unit:
            raise errors.SourceMisfit(f'{place} is a number: say its unit, as {{ field = …, unit = "ms" }}')
        return ChangeTimes(Form.NUMBER, unit=changed.unit)
    if connection.dialect.name == "sqlite" or isinstance(kind, types.String):
        present = of.column(changed.column)
        sample = connection.execute(select(present).where(present.is_not(None)).limit(1)).scalar_one_or_none()
        times = ChangeTimes.of_text(sample, zone)
        if times is None:
            raise errors.SourceMisfit(f"{place} is text that does not sort as times: write 2026-11-28 09:30:00")
        return times
    name = type(kind).__name__
    if isinstance(kind, types.DateTime):
        if kind.timezone or name == "DATETIMEOFFSET":
            return ChangeTimes(Form.AWARE)
        is_utc = connection.dialect.name == "mysql" and name == "TIMESTAMP"
        return ChangeTimes(Form.LOCAL, UTC if is_utc else zone)
    if isinstance(kind, types.Date):
        return ChangeTimes(Form.DAY, zone)
    raise errors.SourceMisfit(f"{place} is of the type {name}, which is no time; leave changed out for full passes")


def key_values(kind: TypeEngine[Any], remote_id: str) -> Iterator[Any]:
    """Yield the values of a column of this type that are written as this id; none if it can have no such value."""
    try:
        values = _values_written_as(kind, remote_id)
    except (ValueError, InvalidOperation):
        return
    yield from (value for value in values if text_of(value) == remote_id and "\0" not in remote_id)


def _values_written_as(kind: TypeEngine[Any], remote_id: str) -> tuple[Any, ...]:
    if isinstance(kind, types.Integer | types.Numeric):
        number = Decimal(remote_id)
        if number != number.to_integral_value():
            # As text, because SQLite's driver knows no decimals; each database reads it as the column's type.
            return () if isinstance(kind, types.Integer) else (remote_id,)
        return (int(number),) if abs(number) < MAX_INTEGER else ()
    if isinstance(kind, types.Uuid):
        return (UUID(remote_id),)
    if isinstance(kind, types.LargeBinary | types.BINARY | types.VARBINARY):
        is_hex = len(remote_id) % 2 == 0 and set(remote_id) <= set("0123456789abcdef")
        return (remote_id.encode(), *((bytes.fromhex(remote_id),) if is_hex else ()))
    return (remote_id,)
