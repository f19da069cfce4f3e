"""The manners of both databases, and the translation of their errors."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import NoReturn

import pytest
from sqlalchemy import bindparam, insert, literal, select, text

from enrich.customers.tables import CustomerRow
from enrich.database.engine import Database
from enrich.database.types import Base
from enrich.errors import DatabaseBusy, DatabaseError, DatabaseLocked, DatabaseUnavailable, SchemaMissing

LOCKS = Path("/proc/locks")
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ADA = {"id": "C-1", "name": "Ada", "company": "", "tier": "", "language": "", "owner": "", "updated_at": NOW}


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'enrich.db'}")
    Base.metadata.create_all(database.engine, [Base.metadata.tables[CustomerRow.__tablename__]])
    yield database
    database.close()


@pytest.fixture
def other(sqlite: Database) -> Iterator[sqlite3.Connection]:
    """Another process that has the write lock."""
    connection = sqlite3.connect(str(sqlite.url.database), isolation_level=None, check_same_thread=False)
    connection.execute("BEGIN IMMEDIATE")
    yield connection
    connection.close()


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("postgresql://u:secret%40@127.0.0.1:1/d?password=secret", "postgresql://127.0.0.1:1/d"),
        ("postgresql:///d?host=/run/postgresql&password=secret&sslpassword=secret", "postgresql:///d"),
        ("postgresql://u%40tenant:secret@[::1]/d", "postgresql://[::1]/d"),
    ],
)
def test_the_location_of_a_database_is_told_without_user_password_and_options(url: str, location: str) -> None:
    database = Database(url)
    assert database.location == location
    with pytest.raises(DatabaseUnavailable) as caught:
        database.read(select(literal(1)))
    assert "secret" not in str(caught.value)
    database.close()


def test_nobody_else_can_read_a_new_database(tmp_path: Path) -> None:
    path = tmp_path / "instance" / "enrich.db"
    before = os.umask(0o022)
    try:
        database = Database(f"sqlite:///{path}")
        Base.metadata.create_all(database.engine, [Base.metadata.tables[CustomerRow.__tablename__]])
        modes = {file.name: file.stat().st_mode & 0o777 for file in (path.parent, *path.parent.iterdir())}
        database.close()
    finally:
        os.umask(before)
    assert modes == {"instance": 0o700, "enrich.db": 0o600, "enrich.db-wal": 0o600, "enrich.db-shm": 0o600}


def test_the_mode_that_somebody_gave_a_database_stays(sqlite: Database) -> None:
    path = Path(sqlite.url.database or "")
    path.chmod(0o640)
    other = Database(f"sqlite:///{path}")
    other.read(select(literal(1)))
    other.close()
    assert path.stat().st_mode & 0o777 == 0o640


def test_what_is_written_is_there_when_the_call_returns(database: Database) -> None:
    rows = database.write(insert(CustomerRow).returning(CustomerRow.id), ADA)
    assert rows[0].id == "C-1"
    assert database.read(select(CustomerRow.name))[0].name == "Ada"


def test_a_transaction_is_whole_or_nothing(database: Database) -> None:
    def break_off() -> None:
        with database.transaction() as session:
            session.execute(insert(CustomerRow), ADA)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        break_off()
    assert database.read(select(CustomerRow.id)) == []


def test_moments_come_back_as_they_were_in_utc(database: Database) -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=5)))
    database.write(insert(CustomerRow), ADA | {"updated_at": elsewhere})
    ((moment,),) = database.read(select(CustomerRow.updated_at))
    assert (moment, moment.utcoffset()) == (NOW, timedelta(0))


def test_a_naive_moment_is_refused(database: Database) -> None:
    with pytest.raises(DatabaseError):
        database.write(insert(CustomerRow), ADA | {"updated_at": datetime(2026, 1, 1)})  # noqa: DTZ001


def test_a_lock_of_another_process_is_waited_for_no_longer_than_told(
    sqlite: Database, other: sqlite3.Connection
) -> None:
    with pytest.raises(DatabaseLocked):
        sqlite.write(insert(CustomerRow), ADA, timeout_s=0.05)
    with pytest.raises(DatabaseLocked), sqlite.transaction(timeout_s=0.05) as session:
        session.execute(insert(CustomerRow), ADA)
    assert sqlite.read(select(CustomerRow.id)) == []  # readers do not wait


def test_a_lock_that_is_given_back_in_time_is_no_error(sqlite: Database, other: sqlite3.Connection) -> None:
    waiting = threading.Event()

    def give_back() -> None:
        waiting.wait()
        other.execute("ROLLBACK")

    thread = threading.Thread(target=give_back)
    thread.start()
    waiting.set()
    sqlite.write(insert(CustomerRow), ADA, timeout_s=30)
    thread.join()
    assert len(sqlite.read(select(CustomerRow.id))) == 1


def test_writers_of_one_process_take_turns(sqlite: Database) -> None:
    with sqlite.transaction() as session:
        session.execute(insert(CustomerRow), ADA)
        with pytest.raises(DatabaseBusy):
            sqlite.write(insert(CustomerRow), ADA | {"id": "C-2"}, timeout_s=0.02)
    sqlite.write(insert(CustomerRow), ADA | {"id": "C-2"}, timeout_s=0.02)


def test_who_queues_behind_one_that_another_process_keeps_waiting_is_told_so(
    sqlite: Database, other: sqlite3.Connection
) -> None:
    def kept_waiting(_number: int) -> DatabaseError | None:
        try:
            sqlite.write(insert(CustomerRow), ADA, timeout_s=0.3)
        except DatabaseError as exc:
            return exc
        return None

    with ThreadPoolExecutor(3) as pool:
        told = list(pool.map(kept_waiting, range(3)))
    assert [type(exc) for exc in told] == [DatabaseLocked] * 3
    other.execute("ROLLBACK")
    with sqlite.transaction() as session:
        session.execute(insert(CustomerRow), ADA)
        with pytest.raises(DatabaseBusy):
            sqlite.write(insert(CustomerRow), ADA | {"id": "C-2"}, timeout_s=0.02)


def test_errors_are_ours_and_hold_nothing_of_the_customer(database: Database) -> None:
    database.write(insert(CustomerRow), ADA)
    with pytest.raises(DatabaseError) as caught:
        database.write(insert(CustomerRow), ADA | {"name": "Lovelace"})
    chain = [str(caught.value), str(caught.value.__cause__)]
    assert not any("Lovelace" in message for message in chain)


def test_a_statement_that_is_wrong_is_a_database_error(database: Database) -> None:
    with pytest.raises(DatabaseError):
        database.read(text("SELEKT 1"))


@pytest.mark.parametrize("statement", ["SELECT 1 FROM nowhere", "SELECT absent FROM customers"])
def test_a_table_of_another_version_says_what_to_do(database: Database, statement: str) -> None:
    with pytest.raises(SchemaMissing, match="flask db upgrade"):
        database.read(text(statement))


def test_a_server_that_is_not_there_is_unavailable() -> None:
    database = Database("postgresql://nobody@127.0.0.1:1/nothing")
    with pytest.raises(DatabaseUnavailable):
        database.read(text("SELECT 1"))
    database.close()


def test_connections_that_the_server_has_ended_are_replaced_at_once(postgresql: str) -> None:
    """After a failover or an idle cut the pool holds dead connections; the next statement must not be lost to them."""
    database, other = Database(postgresql), Database(postgresql)
    assert database.read(text("SELECT 1"))[0][0] == 1
    others = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname IS NOT NULL"
    )
    other.read(text(others))
    assert database.read(text("SELECT 2"))[0][0] == 2
    database.close()
    other.close()


def test_a_prepared_statement_gives_the_same_as_the_statement(database: Database) -> None:
    """Types, defaults and names of columns are SQLAlchemy's either way."""
    statement = insert(CustomerRow).returning(
        CustomerRow.id, CustomerRow.name, CustomerRow.tier, CustomerRow.updated_at
    )
    given = {"id": "C-1", "name": "Ada", "owner": "", "updated_at": NOW.astimezone(timezone(timedelta(hours=5)))}
    plain = tuple(database.write(statement, {**given, "id": "C-0"})[0])
    (made,) = database.write(database.prepare(statement, tuple(given)), given)
    assert tuple(made) == ("C-1", *plain[1:])
    assert (made.id, made.tier, made.updated_at) == ("C-1", "", NOW)
    found = database.read(
        database.prepare(select(CustomerRow.id).where(CustomerRow.name == bindparam("name"))), {"name": "Ada"}
    )
    assert sorted(each.id for each in found) == ["C-0", "C-1"]


def test_a_prepared_statement_is_committed_whatever_its_connection_was_used_for_before(database: Database) -> None:
    database.write(insert(CustomerRow), ADA)
    with database.transaction() as session:
        session.execute(insert(CustomerRow), ADA | {"id": "C-2"})
    database.write(database.prepare(insert(CustomerRow), tuple(ADA)), ADA | {"id": "C-3"})
    other = Database(database.url.render_as_string(hide_password=False))
    assert len(other.read(select(CustomerRow.id))) == 3
    other.close()


def test_a_prepared_statement_is_compiled_once(database: Database) -> None:
    statement = select(CustomerRow.id)
    assert database.prepare(statement) is database.prepare(statement)


def test_what_would_be_computed_each_time_cannot_be_prepared(database: Database) -> None:
    with pytest.raises(TypeError, match="list"):
        database.prepare(select(CustomerRow.id).where(CustomerRow.id.in_(bindparam("ids", expanding=True))))


def test_errors_of_prepared_statements_are_ours_too(database: Database) -> None:
    adding = database.prepare(insert(CustomerRow), tuple(ADA))
    database.write(adding, ADA)
    with pytest.raises(DatabaseError) as caught:
        database.write(adding, ADA | {"name": "Lovelace"})
    assert "Lovelace" not in str(caught.value)
    assert caught.value.__cause__ is None
    with pytest.raises(DatabaseError):
        database.write(adding, ADA | {"id": "C-2", "updated_at": datetime(2026, 1, 1)})  # noqa: DTZ001
    with pytest.raises(SchemaMissing):
        database.read(database.prepare(text("SELECT absent FROM customers")))
    assert len(database.read(database.prepare(select(CustomerRow.id)))) == 1


def test_a_lock_is_waited_for_by_a_prepared_statement_too(sqlite: Database, other: sqlite3.Connection) -> None:
    adding = sqlite.prepare(insert(CustomerRow), tuple(ADA))
    with pytest.raises(DatabaseLocked):
        sqlite.write(adding, ADA, timeout_s=0.05)
    other.execute("ROLLBACK")
    sqlite.write(adding, ADA, timeout_s=0.05)


def test_a_prepared_statement_survives_connections_that_the_server_has_ended(postgresql: str) -> None:
    database, other = Database(postgresql), Database(postgresql)
    one = database.prepare(select(literal(1)))
    assert database.read(one)[0][0] == 1
    others = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname IS NOT NULL"
    )
    other.read(text(others))
    assert database.read(one)[0][0] == 1
    database.close()
    other.close()


def test_an_interrupted_prepared_statement_leaves_no_connection_behind(postgresql: str) -> None:
    """The next caller must not read the answer to somebody else's question."""
    database = Database(postgresql)

    class Interrupted(BaseException):
        pass

    def interrupt(*_: object) -> NoReturn:
        raise Interrupted

    one, two = database.prepare(select(literal(1))), database.prepare(select(literal(2)))
    one.rows = interrupt  # type: ignore[method-assign, assignment]  # after the server has answered, before it was read
    with pytest.raises(Interrupted):
        database.read(one)
    assert database.read(two)[0][0] == 2
    assert other_connections(database) == 1  # the second statement's; the first one's is closed
    database.close()


def test_a_server_that_is_not_there_is_unavailable_for_prepared_statements() -> None:
    database = Database("postgresql://nobody@127.0.0.1:1/nothing")
    with pytest.raises(DatabaseUnavailable):
        database.read(database.prepare(select(literal(1))))
    database.close()


def other_connections(database: Database) -> int:
    """Return the number of connections besides the one that asks."""
    asking = "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
    return int(database.read(text(asking))[0][0])


@pytest.mark.skipif(not LOCKS.exists(), reason="the kernel tells its locks on Linux alone")
def test_a_further_connection_leaves_the_locks_of_the_first(sqlite: Database) -> None:
    """Without them a command that closes its last connection takes SQLite's log away from a running server."""

    def locks() -> int:
        inode, process = Path(str(sqlite.url.database)).stat().st_ino, str(os.getpid())
        rows = (line.split() for line in LOCKS.read_text().splitlines())
        return sum(row[4] == process and row[5].endswith(f":{inode}") for row in rows if len(row) > 5)

    with sqlite.engine.connect() as first, sqlite.engine.connect() as second:
        first.execute(text("SELECT id FROM customers"))
        held = locks()
        assert held
        second.execute(text("SELECT id FROM customers"))
        with sqlite.engine.connect():
            assert locks() >= held
