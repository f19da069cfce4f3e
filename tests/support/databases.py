"""Databases for tests: migrated, empty, quick to make."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, event, make_url, text

from enrich.customers.fixtures import builtin_path, read_fixtures
from enrich.customers.seeding import seed
from enrich.database import migrations
from enrich.database.engine import Database

ROLES = Path(__file__).parents[2] / "docs" / "operations" / "postgresql" / "roles.sql"
SEEDED_AT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def make_template(path: Path) -> Path:
    """Migrate a new SQLite database, once for all tests, which copy the file."""
    database = Database(f"sqlite:///{path}")
    migrations.upgrade(database)
    database.close()  # the last one to close it merges the write-ahead log into the file
    return path


def copy_template(template: Path, path: Path) -> str:
    """Copy the migrated SQLite database to this path and return its URL."""
    shutil.copy(template, path)
    return f"sqlite:///{path}"


def create_database(server_url: str, name: str) -> str:
    """Create an empty database on a PostgreSQL server and return its URL, as the server's superuser."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return make_url(server_url).set(database=name).render_as_string(hide_password=False)


def make_postgresql(server_url: str, name: str) -> tuple[str, str]:
    """Make a database with the roles that operators are told to make; return its URLs: as the owner, as the service."""
    superuser_url = create_database(server_url, name)
    with psycopg.connect(superuser_url) as connection:
        connection.execute(ROLES.read_bytes())
    url = make_url(superuser_url)
    owner, service = (url.set(username=role) for role in ("enrich", "enrich_service"))
    return owner.render_as_string(hide_password=False), service.render_as_string(hide_password=False)


# How a PostgreSQL database looked after its migrations, by its URL.
_migrated: dict[str, list[tuple[str, ...]]] = {}
_SCHEMA = text(
    "SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns"
    " WHERE table_schema = 'public'"
    " UNION ALL SELECT tablename, indexname, indexdef, '' FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2, 3"
)


def empty_postgresql(database: Database) -> None:
    """Bring a PostgreSQL database to the newest schema and empty it.

    Where its schema is still what the migrations made, only its tables are emptied: 30 ms instead of the 80 ms that
    making them takes, or copying a template database and removing it.
    """
    url = str(database.url)
    with database.engine.begin() as connection:
        schema = _schema_of(connection)
        is_migrated = schema == _migrated.get(url)
        if is_migrated:
            tables = {table for table, *_ in schema} - {"alembic_version", ""}
            connection.execute(text(f"TRUNCATE {', '.join(sorted(tables))} RESTART IDENTITY CASCADE"))
        else:
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
            # What the service's role may do was granted on the schema that is gone.
            connection.connection.cursor().execute(ROLES.read_text())
    if not is_migrated:
        migrations.upgrade(database)
        with database.engine.connect() as connection:
            _migrated[url] = _schema_of(connection)


def _schema_of(connection: Connection) -> list[tuple[str, ...]]:
    """Return every column and every index, and the revision."""
    schema = [(row[0], row[1], row[2], row[3]) for row in connection.execute(_SCHEMA).all()]
    return [*schema, ("", str(MigrationContext.configure(connection).get_current_revision()))]


def meanwhile(database: Database, statement: str, act: Callable[[], object]) -> None:
    """Call `act` once, when the database is about to execute a statement that begins so."""
    outstanding = [act]

    def listen(_connection: object, _cursor: object, sql: str, *_rest: object) -> None:
        if outstanding and sql.startswith(statement):
            outstanding.pop()()

    event.listen(database.engine, "before_cursor_execute", listen)


def seed_customers(database: Database, now: datetime = SEEDED_AT) -> None:
    """Load the invented customers that the service comes with."""
    seed(database, read_fixtures(builtin_path(), region="US"), now=now)
