"""A database that cannot be written to, and one that moves: what is refused, what goes on, how it is found again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, func, insert, literal, make_url, select, text

from enrich.customers.tables import CustomerRow
from enrich.database.engine import WRITE_FAILURE_S, Database
from enrich.errors import DatabaseNotWritable, DatabaseUnavailable
from enrich.resilience.circuit_breaker import CircuitBreaker
from enrich.resilience.dns_cache import RETRY_S, DnsCache
from tests.support.clock import ManualClock
from tests.support.databases import empty_postgresql
from tests.support.forwarder import Forwarder
from tests.support.threads import wait_for_resolver

NAME = "database.example.org"
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
INSERT = insert(CustomerRow)
CLOSE_FAILURES = 3


def customer(number: int) -> dict[str, object]:
    texts = dict.fromkeys(("company", "tier", "language", "owner"), "")
    return {"id": f"C-{number}", "name": "Ada Example", "updated_at": NOW, **texts}


class TestNotWritable:
    """SQLite refuses by `PRAGMA query_only`, PostgreSQL by the session's default, as a demoted server does."""

    @pytest.fixture
    def database(self, database_url: str, clock: ManualClock) -> Iterator[Database]:
        database = Database(database_url, write_breaker=CircuitBreaker(failures=CLOSE_FAILURES, now=clock))
        yield database
        database.close()

    @pytest.fixture
    def make_read_only(self, database: Database) -> Callable[[bool], None]:
        """Makes the sessions that are opened from now on read-only, or not, and ends those that are open."""
        is_read_only = False
        setting = "PRAGMA query_only = {:d}" if database.is_sqlite else "SET default_transaction_read_only = {:d}"

        @event.listens_for(database.engine, "connect")
        def set_up(connection: Any, _record: object) -> None:
            connection.execute(setting.format(is_read_only))
            connection.commit()

        def make(wanted: bool) -> None:
            nonlocal is_read_only
            is_read_only = wanted
            database.close()

        return make

    def test_it_is_told_and_can_be_read_and_is_written_to_again(
        self, database: Database, clock: ManualClock, make_read_only: Callable[[bool], None]
    ) -> None:
        database.check_writable()
        make_read_only(True)
        for number in range(CLOSE_FAILURES):
            with pytest.raises(DatabaseNotWritable, match=r"25006|SQLITE_READONLY"):
                database.write(INSERT, customer(number))
            assert database.read(select(CustomerRow.id)) == []
        with pytest.raises(DatabaseNotWritable, match=r"circuit open.*(25006|SQLITE_READONLY)"):
            database.write(INSERT, customer(1))
        with pytest.raises(DatabaseNotWritable):
            database.check_writable()

        make_read_only(False)
        clock.now_s += 2.0  # the breaker's rest
        database.write(INSERT, customer(1))
        database.check_writable()
        assert len(database.read(select(CustomerRow.id))) == 1

    def test_a_failed_write_is_not_told_for_ever_if_nobody_writes(
        self, database: Database, clock: ManualClock, make_read_only: Callable[[bool], None]
    ) -> None:
        make_read_only(True)
        with pytest.raises(DatabaseNotWritable):
            database.write(INSERT, customer(1))
        make_read_only(False)
        clock.now_s += WRITE_FAILURE_S - 1
        with pytest.raises(DatabaseNotWritable):
            database.check_writable()
        clock.now_s += 1
        database.check_writable()

    def test_a_row_that_is_refused_says_nothing_about_the_database(self, database: Database) -> None:
        database.write(INSERT, customer(1))
        for _ in range(CLOSE_FAILURES + 1):
            with pytest.raises(Exception, match=r"23505|SQLITE_CONSTRAINT"):
                database.write(INSERT, customer(1))
        database.check_writable()
        database.write(INSERT, customer(2))

    def test_every_way_of_writing_is_refused_by_the_open_circuit(
        self, database: Database, make_read_only: Callable[[bool], None]
    ) -> None:
        make_read_only(True)

        def in_session() -> None:
            with database.transaction() as session:
                session.execute(INSERT, customer(1))

        ways: list[Callable[[], object]] = [
            lambda: database.write(INSERT, customer(1)),
            lambda: database.write(database.prepare(INSERT, tuple(customer(1))), customer(1)),
            lambda: database.write_together((INSERT.returning(CustomerRow.id), customer(1))),
            in_session,
        ]
        for write in ways:
            with pytest.raises(DatabaseNotWritable):
                write()
        for write in ways:
            with pytest.raises(DatabaseNotWritable, match="circuit open"):
                write()


class TestReadOnlyConnection:
    """Sessions that were opened on a server when it was read-only, or that stay on one that has been demoted."""

    @pytest.fixture
    def database(self, postgresql: str) -> Iterator[Database]:
        database = Database(postgresql)
        empty_postgresql(database)
        yield database
        database.close()

    @pytest.mark.parametrize("is_prepared", [True, False])
    def test_a_write_goes_to_a_new_connection(self, database: Database, is_prepared: bool) -> None:
        spoil = text("SET default_transaction_read_only = on")
        database.read(database.prepare(spoil) if is_prepared else spoil)
        write = database.prepare(INSERT, tuple(customer(1))) if is_prepared else INSERT
        database.write(write, customer(1))
        assert len(database.read(select(CustomerRow.id))) == 1

    def test_a_write_finds_none_in_the_other_pool(self, database: Database) -> None:
        spoil = text("SET default_transaction_read_only = on")
        database.read(database.prepare(spoil))
        database.read(spoil)
        database.write(database.prepare(INSERT, tuple(customer(1))), customer(1))
        assert len(database.read(select(CustomerRow.id))) == 1

    def test_a_transaction_that_fails_leaves_none_behind(self, database: Database) -> None:
        database.read(text("SET default_transaction_read_only = on"))

        def work(connection: Connection) -> None:
            connection.execute(INSERT, customer(1))

        with pytest.raises(DatabaseNotWritable):
            database.commit(work)
        database.commit(work)
        assert len(database.read(select(CustomerRow.id))) == 1

    def test_readiness_leaves_none_behind_either(self, database: Database) -> None:
        database.read(database.prepare(text("SET default_transaction_read_only = on")))
        with pytest.raises(DatabaseNotWritable):
            database.check_writable()
        database.check_writable()


class TestServerByName:
    @pytest.fixture
    def socket_path(self, postgresql: str) -> str:
        folder = Path(str(make_url(postgresql).query["host"]))
        return str(next(path for path in folder.glob(".s.PGSQL.*") if path.is_socket()))

    @pytest.fixture
    def forward(self, socket_path: str) -> Iterator[Callable[..., Forwarder]]:
        with ExitStack() as stack:

            def forward(address: str, port: int = 0) -> Forwarder:
                forwarder = Forwarder(address, socket_path, port)
                stack.callback(forwarder.close)
                return forwarder

            yield forward

    def test_every_address_is_tried_and_the_one_that_failed_comes_last(
        self, postgresql: str, forward: Callable[..., Forwarder]
    ) -> None:
        addresses = DnsCache(lambda _host: ("127.0.0.2", "127.0.0.1"))
        database = Database(by_name(postgresql, forward("127.0.0.1").port), addresses=addresses)
        assert database.read(text("SELECT 1"))[0][0] == 1
        assert database.read(database.prepare(select(literal(2))))[0][0] == 2
        assert addresses.of(NAME) == ("127.0.0.1", "127.0.0.2")
        database.close()

    def test_no_address_answers(self, postgresql: str, forward: Callable[..., Forwarder]) -> None:
        closed = forward("127.0.0.1")
        closed.close()
        addresses = DnsCache(lambda _host: ("127.0.0.2", "127.0.0.1"))
        database = Database(by_name(postgresql, closed.port), addresses=addresses)
        with pytest.raises(DatabaseUnavailable, match=r"127\.0\.0\.1"):
            database.read(text("SELECT 1"))
        database.close()

    @pytest.mark.parametrize("is_prepared", [True, False])
    def test_a_server_that_moves_is_followed_before_its_address_is_old(
        self, postgresql: str, forward: Callable[..., Forwarder], clock: ManualClock, is_prepared: bool
    ) -> None:
        leads_to = ["127.0.0.1"]
        addresses = DnsCache(lambda _host: tuple(leads_to), clock)
        first = forward("127.0.0.1")
        database = Database(by_name(postgresql, first.port), addresses=addresses)
        one = database.prepare(select(literal(1))) if is_prepared else select(literal(1))
        assert database.read(one)[0][0] == 1
        first.close()
        forward("127.0.0.2", first.port)
        leads_to[0] = "127.0.0.2"
        clock.now_s += RETRY_S
        with pytest.raises(DatabaseUnavailable):
            database.read(one)
        wait_for_resolver()
        assert database.read(one)[0][0] == 1
        database.close()

    def test_a_server_that_is_read_only_is_left_for_the_next_address(
        self, postgresql: str, forward: Callable[..., Forwarder]
    ) -> None:
        addresses = DnsCache(lambda _host: ("127.0.0.1", "127.0.0.2"))
        port = forward("127.0.0.1").port
        forward("127.0.0.2", port)
        database = Database(by_name(postgresql, port), addresses=addresses)
        empty_postgresql(database)
        database.read(text("SET default_transaction_read_only = on"))
        database.write(INSERT, customer(1))
        assert addresses.of(NAME) == ("127.0.0.2", "127.0.0.1")
        database.close()

    def test_after_failures_in_a_row_connections_are_opened_anew(
        self, postgresql: str, forward: Callable[..., Forwarder], clock: ManualClock
    ) -> None:
        """A server that vanishes says nothing: its connections look whole, and a statement on them just waits."""
        leads_to, breaker = ["127.0.0.1"], CircuitBreaker(failures=3, now=clock)
        addresses = DnsCache(lambda _host: tuple(leads_to), clock)
        database = Database(by_name(postgresql, forward("127.0.0.1").port), addresses=addresses, breaker=breaker)
        process = database.prepare(select(func.pg_backend_pid()))
        before = database.read(process)
        leads_to[0] = "127.0.0.2"
        clock.now_s += RETRY_S
        for _ in range(3):
            with suppress(TimeoutError), breaker.guard((TimeoutError,)):
                raise TimeoutError
        wait_for_resolver()
        assert addresses.of(NAME) == ("127.0.0.2",)
        leads_to[0] = "127.0.0.1"
        clock.now_s += 100.0
        addresses.of(NAME)
        wait_for_resolver()
        assert database.read(process) != before
        database.close()


def by_name(url: str, port: int) -> str:
    by_socket = make_url(url)
    return f"postgresql://{by_socket.username}@{NAME}:{port}/{by_socket.database}"
