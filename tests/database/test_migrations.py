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

# What code from before 20261128_followups_in_order writes: its columns, as parameters or literals.
ROWS_OF_OLD_CODE = {
    "users": {
        "id": ":number",
        "email": ":email",
        "created_at": ":moment",
        "active": "true",
        **dict.fromkeys(("name", "password_hash", "role"), "'x'"),
    },
    "entries": {
        "id": ":number",
        "kind": "'assignment'",
        "task_sid": ":task",
        "received_at": ":moment",
        "repeats": "0",
        **dict.fromkeys(("claim", "workspace_sid", "worker_sid", "worker_name", "event_type", "raw_form"), "''"),
        **dict.fromkeys(("reason", "by", "trust", "customer_name"), "''"),
    },
    "followups": {
        "id": ":number",
        "kind": "'enrich'",
        "entry_id": ":number",
        "created_at": ":moment",
        "due_at": ":due_at",
        "attempts": "0",
        "last_reason": "''",
    },
}
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


def test_rows_of_the_version_before_live_on_the_newer_schema(database: Database) -> None:
    """It writes them before the migration and after it, and they stay when that is taken back."""
    before, due = "20261128_words_without_accents", "2026-11-24 00:00:00"

    def write(number: int, due_at: str | None) -> None:
        with database.engine.begin() as connection:
            for table, values in ROWS_OF_OLD_CODE.items():
                statement = f"INSERT INTO {table} ({', '.join(values)}) VALUES ({', '.join(values.values())})"  # noqa: S608 - our own names
                names = {"number": number, "email": f"{number}@example.com", "task": f"WT{number}"}
                connection.execute(text(statement), names | {"moment": due, "due_at": due_at})

    def tasks() -> list[str | None]:
        return [row.task_sid for row in database.read(text("SELECT task_sid FROM followups ORDER BY id"))]

    migrations.downgrade(database, before)
    write(1, due)
    write(2, None)
    migrations.upgrade(database)
    write(3, due)
    assert tasks() == ["WT1", None, None]
    assert not any(row.password_by_admin for row in database.read(text("SELECT password_by_admin FROM users")))
    migrations.downgrade(database, before)
    migrations.upgrade(database)
    assert tasks() == ["WT1", None, "WT3"]
    for table in ROWS_OF_OLD_CODE:
        assert database.read(text(f"SELECT count(*) FROM {table}"))[0][0] == 3  # noqa: S608 - our own names
