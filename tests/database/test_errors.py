"""Faults told by their codes: what each means for the caller, and that its text stays out of the message."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import psycopg
import pytest

from enrich.database.errors import concerns_connection, translate
from enrich.errors import (
    DatabaseConflict,
    DatabaseError,
    DatabaseLocked,
    DatabaseNotWritable,
    DatabaseUnavailable,
    SchemaMissing,
)

ROW = "Failing row contains (C-1001, Ada Example, +14155550100)."
OF_POSTGRESQL = {
    error.sqlstate: error
    for error in vars(psycopg.errors).values()
    if isinstance(error, type) and issubclass(error, psycopg.Error) and error.sqlstate
}


@pytest.mark.parametrize(
    ("sqlstate", "expected", "is_replaced"),
    [
        pytest.param("25006", DatabaseNotWritable, True, id="read-only"),
        pytest.param("42501", DatabaseNotWritable, False, id="no privilege"),
        pytest.param("53100", DatabaseNotWritable, False, id="disk full"),
        pytest.param("58030", DatabaseNotWritable, True, id="input or output failed"),
        pytest.param("XX002", DatabaseNotWritable, False, id="index corrupted"),
        pytest.param("53200", DatabaseUnavailable, False, id="out of memory"),
        pytest.param("53300", DatabaseUnavailable, False, id="too many connections"),
        pytest.param("57014", DatabaseUnavailable, False, id="statement timed out"),
        pytest.param("57P01", DatabaseUnavailable, True, id="shut down"),
        pytest.param("57P03", DatabaseUnavailable, True, id="starting"),
        pytest.param("08006", DatabaseUnavailable, True, id="connection failed"),
        pytest.param("28P01", DatabaseUnavailable, False, id="wrong password"),
        pytest.param("3D000", DatabaseUnavailable, False, id="no such database"),
        pytest.param("40P01", DatabaseLocked, False, id="deadlock"),
        pytest.param("55P03", DatabaseLocked, False, id="lock timed out"),
        pytest.param("42P01", SchemaMissing, False, id="no such table"),
        pytest.param("23505", DatabaseConflict, False, id="repeated key"),
        pytest.param("22021", DatabaseError, False, id="text that cannot be stored"),
        pytest.param("54000", DatabaseError, False, id="row too large for its index"),
        pytest.param("XX000", DatabaseError, False, id="internal error"),
    ],
)
def test_a_fault_of_postgresql_is_told_by_its_sqlstate(
    sqlstate: str, expected: type[DatabaseError], is_replaced: bool
) -> None:
    error = OF_POSTGRESQL[sqlstate](ROW)
    assert type(translate(error, is_dead=False)) is expected
    assert concerns_connection(error) is is_replaced


@pytest.mark.parametrize("sqlstate", sorted(OF_POSTGRESQL))
def test_no_fault_of_postgresql_quotes_a_row(sqlstate: str) -> None:
    message = str(translate(OF_POSTGRESQL[sqlstate](ROW), is_dead=False))
    assert "Ada" not in message
    assert sqlstate in message or "flask db upgrade" in message


def test_a_subclass_of_a_drivers_error_is_what_its_parent_is() -> None:
    class ConnectionTimeoutOfALaterVersion(psycopg.errors.ConnectionTimeout):
        pass

    error = ConnectionTimeoutOfALaterVersion("connection timeout expired\nsecond line")
    assert type(translate(error, is_dead=False)) is DatabaseUnavailable
    assert str(translate(error, is_dead=False)) == "connection timeout expired"


class TestSQLite:
    """With the errors of real files."""

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        path = tmp_path / "customers.db"
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE customers (name TEXT)")
        connection.close()
        return path

    def test_a_file_that_may_only_be_read(self, path: Path) -> None:
        error = error_of(sqlite3.connect(f"file:{path}?mode=ro", uri=True), "INSERT INTO customers VALUES ('Ada')")
        assert type(translate(error, is_dead=False)) is DatabaseNotWritable
        assert str(translate(error, is_dead=False)) == "SQLITE_READONLY"

    def test_a_file_that_cannot_grow(self, path: Path) -> None:
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA max_page_count = 2")
        error = error_of(connection, "INSERT INTO customers VALUES (hex(zeroblob(100000)))")
        assert type(translate(error, is_dead=False)) is DatabaseNotWritable
        assert str(translate(error, is_dead=False)) == "SQLITE_FULL"

    def test_a_file_that_is_no_database(self, path: Path) -> None:
        path.write_bytes(b"Ada Example, +14155550100\n" * 100)
        error = error_of(sqlite3.connect(path), "SELECT * FROM customers")
        assert type(translate(error, is_dead=False)) is DatabaseUnavailable

    def test_a_file_that_is_not_there(self, path: Path) -> None:
        with pytest.raises(sqlite3.OperationalError) as caught:
            sqlite3.connect(path / "no" / "such.db").execute("SELECT 1")
        assert type(translate(caught.value, is_dead=False)) is DatabaseUnavailable

    def test_a_statement_that_is_wrong_says_nothing_about_the_database(self, path: Path) -> None:
        error = error_of(sqlite3.connect(path), "SELEKT 'Ada'")
        assert type(translate(error, is_dead=False)) is DatabaseError
        assert "Ada" not in str(translate(error, is_dead=False))


def error_of(connection: sqlite3.Connection, statement: str) -> sqlite3.Error:
    """Return the error that the statement ends with, and close the connection."""
    with pytest.raises(sqlite3.Error) as caught:
        connection.execute(statement)
    connection.close()
    return caught.value
