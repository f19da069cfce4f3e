"""The schema: the migrations make what the tables say, on both databases, and take it away again."""

from __future__ import annotations

import importlib

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect

from enrich import migrations
from enrich.db import Base, Database

for name in ("accounts", "customers", "journal"):
    importlib.import_module(f"enrich.{name}.tables")


def test_the_migrations_make_what_the_tables_say(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_down_leaves_nothing_and_up_works_again(database: Database) -> None:
    migrations.downgrade(database, "base")
    assert inspect(database.engine).get_table_names() == ["alembic_version"]
    migrations.upgrade(database)
    at, head = migrations.revisions(database)
    assert at == head


def test_an_empty_database_is_nowhere(database: Database) -> None:
    migrations.downgrade(database, "base")
    assert migrations.revisions(database)[0] is None
