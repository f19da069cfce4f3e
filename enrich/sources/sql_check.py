"""Examination of a database as a source: whether it is as the sources file says, and what its reading will cost.

Everything that is found out is reported; what cannot be found out for an error before it is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, bindparam, func, inspect, select, types
from sqlalchemy.exc import SQLAlchemyError

from enrich import errors
from enrich.domain.findings import Finding, ok, problem, warning
from enrich.sources.change_times import SECOND_US, microseconds_of
from enrich.sources.file import ChangeColumn, Part, Person, SqlDeclaration
from enrich.sources.mapping import Expression
from enrich.sources.sql_dialects import database_time
from enrich.sources.sql_tables import ReflectedTable, change_times, reflect

# A transaction that only reads; a new one with each call. Raises SourceError for what the database raises within.
Reading = Callable[[], AbstractContextManager[Connection]]

MAX_COUNTED = 1_000
MAX_CLOCK_OFFSET_S = 60
_WRITING = ("INSERT", "UPDATE", "DELETE")


@dataclass(frozen=True, slots=True)
class _Examined:
    """One table of the declaration. key: its column with the customer's key."""

    declared: Person | Part
    key: str
    table: ReflectedTable


def examine(declaration: SqlDeclaration, reading: Reading, now: datetime) -> Iterator[Finding]:
    """Yield every observation. now: our own time. Raises nothing for what it examines."""
    try:
        with reading() as connection:
            database_us = database_time(connection, declaration.name)
            version = ".".join(str(part) for part in connection.dialect.server_version_info or ())
            kind = connection.dialect.name
    except errors.SourceRefused as exc:
        yield problem(
            "connection", str(exc), "nothing can be read", "correct user, password, database and their rights"
        )
        return
    except errors.SourceError as exc:
        yield problem("connection", str(exc), "nothing can be read", "correct the URL, or let this machine reach it")
        return
    yield ok("connection", f"connects: {kind} {version}")
    yield _clock(database_us, now)
    tables: list[_Examined] = []
    declared: tuple[Person | Part, ...] = (declaration.person, *declaration.parts)
    for one in declared:
        yield from _table(reading, one, tables)
    for examined in tables:
        yield from _examine_table(declaration, reading, examined)
    if tables and tables[0].table.name == declaration.person.table:
        yield from _guarded(reading, "key", lambda connection: _key(connection, tables[0]))
    yield from _guarded(reading, "rights", lambda connection: _rights(connection, tables))


def _clock(database_us: int, now: datetime) -> Finding:
    offset_s = (database_us - microseconds_of(now)) / SECOND_US
    found = f"its clock is {abs(offset_s):.1f} s {'ahead of' if offset_s > 0 else 'behind'} ours"
    if abs(offset_s) <= MAX_CLOCK_OFFSET_S:
        return ok("clock", found)
    return warning(
        "clock", found, "reading goes by its clock; a replica may be behind", "synchronize both, or see to the replica"
    )


def _table(reading: Reading, one: Person | Part, tables: list[_Examined]) -> Iterator[Finding]:
    """Yield what is wrong with table and columns; add what is right to the tables."""
    try:
        with reading() as connection:
            table = reflect(connection, one.table)
    except errors.SourceError as exc:
        yield problem("table", str(exc), "nothing of it can be read", "correct its name, or grant SELECT on it")
        return
    key = one.parent if isinstance(one, Part) else one.key
    names = [key, *one.fields.columns()]
    names += [one.changed.column] if one.changed else []
    names += [one.deleted.column] if isinstance(one, Person) and one.deleted else []
    missing = []
    for name in dict.fromkeys(names):
        try:
            table.name_of(name)
        except errors.SourceMisfit:
            missing.append(name)
    if missing:
        found = f"{one.table} has no column {', '.join(missing)}; it has {', '.join(table.types)}"
        yield problem("columns", found, "nothing can be read", "correct the names in the sources file")
        return
    yield ok("columns", f"{one.table} has every column of the mapping")
    tables.append(_Examined(one, key, table))


def _examine_table(declaration: SqlDeclaration, reading: Reading, examined: _Examined) -> Iterator[Finding]:
    yield from _numbers(examined)
    changed = examined.declared.changed
    name = examined.table.name
    if changed is None:
        meaning = (
            "every pass reads all of it" if isinstance(examined.declared, Person) else "only full passes see changes"
        )
        yield warning("change column", f"{name} has none", meaning, "name one as changed, if there is one")
        return
    yield from _guarded(
        reading, "change column", lambda connection: _stamps(connection, examined, changed, declaration.timezone)
    )
    yield from _guarded(reading, "index", lambda connection: _index(connection, examined, changed, declaration))


def _stamps(connection: Connection, examined: _Examined, changed: ChangeColumn, timezone: str) -> Iterator[Finding]:
    place = f"{examined.table.name}.{changed.column}"
    times = change_times(connection, examined.table, changed, timezone)
    column = examined.table.column(changed.column)
    some = select(column).where(column.is_(None)).limit(MAX_COUNTED).subquery()
    count = connection.execute(select(func.count()).select_from(some)).scalar_one()
    yield ok("change column", f"{place} is a time: {times.form}, {timezone} where it names no zone")
    if count:
        found = f"{place} is NULL in {count if count < MAX_COUNTED else f'{MAX_COUNTED:,} or more'} rows"
        yield warning(
            "change column", found, "these rows come in full passes alone", "fill it, with a trigger or default"
        )


def _index(
    connection: Connection, examined: _Examined, changed: ChangeColumn, declaration: SqlDeclaration
) -> Iterator[Finding]:
    """Ask the database how it would find what changed lately."""
    times = change_times(connection, examined.table, changed, declaration.timezone)
    stamp, key = examined.table.column(changed.column), examined.table.column(examined.key)
    now = database_time(connection, declaration.name)
    low, _ = times.bounds(now, now)
    statement = (
        select(key).where(stamp >= bindparam(None, low, types.NullType(), unique=True)).order_by(stamp, key).limit(1)
    )
    place = f"{examined.table.name}.{changed.column}"
    if _uses_index(connection, statement, examined.table, str(stamp.name)):
        yield ok("index", f"{place} has an index")
        return
    create = f"CREATE INDEX ON {examined.table.name} ({stamp.name}, {key.name})"
    yield warning("index", f"{place} has no index", "each pass reads the whole table at the database", create)


def _uses_index(connection: Connection, statement: Select[Any], table: ReflectedTable, column: str) -> bool:
    compiled = statement.compile(dialect=connection.dialect)
    kind = connection.dialect.name
    parameters: Any = compiled.params
    if compiled.positional:
        parameters = tuple(compiled.params[name] for name in compiled.positiontup or ())
    if kind == "postgresql":
        # Without this, a small table is scanned whether there is an index or not.
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        plan = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {compiled}", parameters).scalar_one()
        return any(column in condition for condition in _index_conditions(plan[0]["Plan"]))
    if kind == "sqlite":
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", parameters).all()
        return any(f"{column}>" in row[-1] for row in plan)
    if kind == "mysql":
        plan = connection.exec_driver_sql(f"EXPLAIN {compiled}", parameters).mappings().all()
        return all(row["possible_keys"] for row in plan)
    schema, _, own = table.name.rpartition(".")
    indexes = inspect(connection).get_indexes(own, schema or None)
    return any((index["column_names"] or [None])[0] == column for index in indexes)


def _index_conditions(plan: dict[str, Any]) -> Iterator[str]:
    if condition := plan.get("Index Cond"):
        yield condition
    for part in plan.get("Plans", ()):
        yield from _index_conditions(part)


def _numbers(examined: _Examined) -> Iterator[Finding]:
    for expression in examined.declared.fields.phones:
        for name in _numeric(expression, examined.table):
            yield warning(
                "numbers",
                f"{examined.table.name}.{name} holds phone numbers as numbers",
                "they have lost + and leading zeros, and are taken for national ones",
                f'write it as {{ field = "{name}", prefix = "+" }} if they begin with the country code',
            )


def _numeric(expression: Expression, table: ReflectedTable) -> Iterator[str]:
    if not expression.prefix:
        for name in expression.columns:
            if isinstance(table.type_of(name), types.Integer | types.Numeric):
                yield name


def _key(connection: Connection, examined: _Examined) -> Iterator[Finding]:
    key = examined.table.column(examined.key)
    place = f"{examined.table.name}.{examined.key}"
    if not _is_declared_unique(connection, examined.table, str(key.name)):
        twice = select(key).group_by(key).having(func.count() > 1).limit(1)
        if connection.execute(twice).first() is not None:
            found = f"{place} has values that several rows have"
            yield problem(
                "key", found, "of these rows, only one is read", "name a column, or a view, with one row each"
            )
            return
    without = select(key).where(key.is_(None)).limit(1)
    if connection.execute(without).first() is not None:
        yield warning("key", f"{place} is NULL in some rows", "these rows are not read", "give them a key")
        return
    yield ok("key", f"{place} identifies each row")


def _is_declared_unique(connection: Connection, table: ReflectedTable, column: str) -> bool:
    schema, _, own = table.name.rpartition(".")
    inspector = inspect(connection)
    try:
        primary = inspector.get_pk_constraint(own, schema or None)["constrained_columns"]
        unique = [one["column_names"] for one in inspector.get_unique_constraints(own, schema or None)]
    except (SQLAlchemyError, NotImplementedError):
        # A view has none.
        return False
    return [column] in [primary, *unique]


def _rights(connection: Connection, tables: Sequence[_Examined]) -> Iterator[Finding]:
    may_write: list[str] = []
    if connection.dialect.name == "postgresql":
        for examined in tables:
            name = connection.dialect.identifier_preparer.format_table(examined.table.clause)
            parameters = {"table": name, "rights": ", ".join(_WRITING)}
            statement = "SELECT has_table_privilege(%(table)s, %(rights)s)"
            if connection.exec_driver_sql(statement, parameters).scalar_one():
                may_write.append(examined.table.name)
    elif connection.dialect.name == "mysql":
        grants = " ".join(str(row[0]) for row in connection.exec_driver_sql("SHOW GRANTS"))
        if any(right in grants for right in (*_WRITING, "ALL PRIVILEGES")):
            may_write = [examined.table.name for examined in tables]
    else:
        return
    if may_write:
        found = f"this role may write to {', '.join(may_write)}"
        yield warning("rights", found, "whoever learns the URL may, too", "use a role with SELECT alone")
    else:
        yield ok("rights", "this role may only read")


def _guarded(reading: Reading, check: str, examination: Callable[[Connection], Iterator[Finding]]) -> Iterator[Finding]:
    """Yield what the examination finds, in a transaction of its own, or that it could not be carried out."""
    try:
        with reading() as connection:
            found = list(examination(connection))
    except errors.SourceMisfit as exc:
        yield problem(check, str(exc), "nothing can be read", "correct the sources file")
    except errors.SourceError as exc:
        yield warning(check, f"could not be examined: {exc}", "", "")
    else:
        yield from found
