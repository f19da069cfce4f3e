"""The schema: the migrations make what the tables say, on both databases, and take it away again."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text

from enrich.customers.identifiers import words_of
from enrich.database import migrations
from enrich.database.engine import Database
from enrich.database.types import Base
from enrich.resources import resource

VERSIONS = sorted((resource("migrations") / "versions").glob("*.py"))

for name in ("accounts", "customers", "journal"):
    importlib.import_module(f"enrich.{name}.tables")


@pytest.fixture
def database(owned_database: Database) -> Database:
    return owned_database


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


def test_a_schema_that_a_newer_version_has_made_is_left_as_it_is(database: Database) -> None:
    """The version before goes on serving on it, and can be started anew on it."""
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '99991231_of_the_future'"))
    migrations.upgrade(database)
    assert migrations.revisions(database) == ("99991231_of_the_future", "99991231_of_the_future")


def test_a_schema_that_is_older_is_not_enough(database: Database) -> None:
    migrations.downgrade(database, "-1")
    at, wanted = migrations.revisions(database)
    assert at != wanted
    migrations.upgrade(database)
    assert migrations.revisions(database) == (wanted, wanted)


@pytest.mark.parametrize("path", VERSIONS, ids=lambda path: path.stem)
def test_a_migration_imports_nothing_of_the_package(path: Path) -> None:
    """Its rules are frozen: the package changes afterwards."""
    assert not re.search(r"^\s*(?:from|import) enrich\b", path.read_text(), re.MULTILINE)


def test_words_without_accents_are_added_to_those_that_old_code_looks_for(database: Database) -> None:
    """In more than one page; what new code writes is the same as what the migration adds."""
    names = {"C-1": "José Ramírez", "C-2": "Ada Lovelace", "C-3": "Łukasz Žæþ", "C-4": "がく"}
    names |= {f"D-{number:05}": "Müller" for number in range(5_001)}
    migrations.downgrade(database, "20261126_received_at_of_lines")
    with database.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO customers (id, name, company, tier, language, owner, updated_at)"
                " VALUES (:id, :name, 'Société', '', '', '', '2026-11-24 00:00:00')"
            ),
            [{"id": customer_id, "name": name} for customer_id, name in names.items()],
        )
        connection.execute(
            text("INSERT INTO customer_words (customer_id, word) VALUES (:id, :word)"),
            [
                {"id": "C-1", "word": "josé"},
                {"id": "C-1", "word": "ramírez"},
                {"id": "C-2", "word": "ada"},
                {"id": "C-2", "word": "societe"},
            ],
        )
    migrations.upgrade(database)
    words: dict[str, set[str]] = {}
    for row in database.read(text("SELECT customer_id, word FROM customer_words")):
        words.setdefault(row.customer_id, set()).add(row.word)
    assert words["C-1"] == {"josé", "ramírez", "jose", "ramirez", "societe"}
    assert words["C-2"] == {"ada", "lovelace", "societe"}
    assert all(words[one] >= set(words_of(name, "Société")) for one, name in names.items())
