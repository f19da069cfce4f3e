"""The examination of a database as a source."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import make_url, text

from enrich.domain.findings import Finding, Level
from enrich.sources.sql import SqlSource
from tests.support.sources import (
    AN_HOUR_AGO,
    PARTS,
    STAMP,
    SourceDatabase,
    declared,
    insert,
    make_customers,
    make_phones,
)

pytestmark = pytest.mark.database


def examine(source: SqlSource, now: datetime | None = None) -> list[Finding]:
    return list(source.check(now or datetime.now(UTC)))


def about(observations: list[Finding], check: str) -> list[str]:
    return [one.found for one in observations if one.check == check]


def faults(observations: list[Finding], *, without: tuple[str, ...] = ("rights",)) -> list[tuple[Level, str]]:
    """Return what is not OK. The tests' roles may write."""
    return [(one.level, one.check) for one in observations if one.level and one.check not in without]


def test_a_source_in_good_order(source_database: SourceDatabase) -> None:
    make_customers(source_database)
    make_phones(source_database)
    source_database.execute("CREATE INDEX changes ON customers (updated_at, id)")
    source_database.execute("CREATE INDEX phone_changes ON phones (updated_at, customer_id)")
    insert(source_database, (1, "Ada", AN_HOUR_AGO))
    found = examine(source_database.open(declared(parts=PARTS)))
    assert faults(found) == []
    assert about(found, "key") == ["customers.id identifies each row"]
    assert about(found, "index") == ["customers.updated_at has an index", "phones.updated_at has an index"]
    assert about(found, "columns")[1] == "phones has every column of the mapping"


def test_every_missing_column_is_named_at_once(source_database: SourceDatabase) -> None:
    make_customers(source_database)
    person = 'changed = "changed_at"\nphones = ["tel", "fax"]\ndeleted = "gone"'
    found = examine(source_database.open(declared(person=person, parts=PARTS)))
    assert faults(found) == [(Level.PROBLEM, "columns"), (Level.PROBLEM, "table")]
    (columns,) = about(found, "columns")
    assert columns.startswith("customers has no column fax, changed_at, gone; it has id, name, tel")
    assert "phones" in about(found, "table")[0]


def test_without_an_index(source_database: SourceDatabase) -> None:
    make_customers(source_database)
    found = examine(source_database.open(declared()))
    assert faults(found) == [(Level.WARNING, "index")]
    (index,) = [one for one in found if one.check == "index"]
    assert index.todo == "CREATE INDEX ON customers (updated_at, id)"


def test_rows_without_a_time_are_counted(source_database: SourceDatabase) -> None:
    make_customers(source_database)
    insert(source_database, (1, "Ada", None), (2, "Grace", None), (3, "Alan", AN_HOUR_AGO))
    found = examine(source_database.open(declared()))
    assert "customers.updated_at is NULL in 2 rows" in about(found, "change column")


def test_without_a_change_column(source_database: SourceDatabase) -> None:
    make_customers(source_database)
    found = examine(source_database.open(declared(person="")))
    assert faults(found) == [(Level.WARNING, "change column")]


def test_a_change_column_that_is_no_time(source_database: SourceDatabase) -> None:
    source_database.execute(
        "CREATE TABLE customers (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(80), version BIGINT)"
    )
    found = examine(source_database.open(declared(person='changed = "version"')))
    assert faults(found) == [(Level.PROBLEM, "change column"), (Level.PROBLEM, "index")]


def test_a_key_of_several_rows(source_database: SourceDatabase) -> None:
    stamp = STAMP[source_database.kind]
    source_database.execute(
        f"CREATE TABLE customers (id INTEGER, name VARCHAR(80), updated_at {stamp})",
        "INSERT INTO customers (id, name) VALUES (1, 'Ada'), (2, 'Grace'), (NULL, 'Nobody')",
    )
    source = source_database.open(declared(person=""))
    assert about(examine(source), "key") == ["customers.id is NULL in some rows"]
    source_database.execute("INSERT INTO customers (id, name) VALUES (2, 'Alan')")
    assert about(examine(source), "key") == ["customers.id has values that several rows have"]


def test_phone_numbers_in_a_number_column(source_database: SourceDatabase) -> None:
    source_database.execute("CREATE TABLE customers (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(80), tel BIGINT)")
    found = examine(source_database.open(declared(person='phones = "tel"')))
    assert about(found, "numbers") == ["customers.tel holds phone numbers as numbers"]
    found = examine(source_database.open(declared(person='phones = { field = "tel", prefix = "+" }')))
    assert about(found, "numbers") == []


def test_clocks_that_differ(source_database: SourceDatabase) -> None:
    make_customers(source_database)
    source = source_database.open(declared(person=""))
    late = datetime.now(UTC) + timedelta(minutes=5)
    assert (Level.WARNING, "clock") in faults(examine(source, late))
    assert (Level.WARNING, "clock") not in faults(examine(source))


def test_a_database_that_cannot_be_reached() -> None:
    source = SqlSource(declared(), "postgresql://reader:hunter2@127.0.0.1:1/crm")
    (observation,) = examine(source)
    assert (observation.level, observation.check) == (Level.PROBLEM, "connection")
    assert "hunter2" not in observation.found


def test_a_role_that_may_only_read(postgresql_source: SourceDatabase) -> None:
    make_customers(postgresql_source)
    name = f"reader_{make_url(postgresql_source.url).database}"
    postgresql_source.execute(f"CREATE ROLE {name} LOGIN", f"GRANT SELECT ON customers TO {name}")
    try:
        url = make_url(postgresql_source.url).set(username=name, password=None).render_as_string(hide_password=False)
        source = SqlSource(declared(person=""), url)
        assert about(examine(source), "rights") == ["this role may only read"]
        postgresql_source.execute(f"REVOKE SELECT ON customers FROM {name}")  # noqa: S608 - no statement for rows
        found = examine(source)
        source.close()
        assert [one.level for one in found if one.check == "key"] == [Level.WARNING]
    finally:
        postgresql_source.execute(f"DROP OWNED BY {name}", f"DROP ROLE {name}")
    owner = examine(postgresql_source.open(declared(person="")))
    assert about(owner, "rights") == ["this role may write to customers"]


def test_a_view_has_no_declared_key(source_database: SourceDatabase) -> None:
    make_customers(source_database)
    source_database.execute("CREATE INDEX changes ON customers (updated_at, id)")
    insert(source_database, (1, "Ada", AN_HOUR_AGO))
    with source_database.engine.begin() as connection:
        connection.execute(text("CREATE VIEW viewed AS SELECT id, name, updated_at FROM customers"))
    declaration = declared()
    source = source_database.open(replace(declaration, person=replace(declaration.person, table="viewed")))
    assert faults(examine(source)) == []
