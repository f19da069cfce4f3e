"""News of commits, from one connection to another, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from sqlalchemy import text

from enrich import errors
from enrich.database.engine import Database
from enrich.database.notifications import Listener
from enrich.resilience.circuit_breaker import CircuitBreaker
from tests.support.journal import Make

PATIENCE_S = 20.0


@pytest.fixture
def listener(database: Database) -> Iterator[Listener]:
    listener = Listener(database)
    listener.wait(0.01)  # connected, and up to date
    yield listener
    listener.close()


def test_news_arrive(database: Database, listener: Listener, make_entry: Make) -> None:
    assert not listener.wait(0.01)
    make_entry()
    database.notify()
    assert listener.wait(PATIENCE_S)
    assert not listener.wait(0.01)


def test_what_came_before_the_wait_is_not_missed(database: Database, listener: Listener, make_entry: Make) -> None:
    for _ in range(3):
        make_entry()
        database.notify()
    assert listener.wait(PATIENCE_S)


class TestPostgresql:
    @pytest.fixture
    def database_url(self, postgresql: str) -> str:
        """The server's own database: nothing is stored here."""
        return postgresql

    def test_news_arrive_while_it_waits(self, database: Database, listener: Listener) -> None:
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(listener.wait, PATIENCE_S)
            database.notify()
            assert waiting.result(PATIENCE_S)

    def test_news_arrive_after_the_connections_were_replaced(self, postgresql: str, listener: Listener) -> None:
        """As after a fail-over: the circuit opened, and the next statements connect anew."""
        breaker = CircuitBreaker()
        with closing(Database(postgresql, breaker=breaker)) as database:
            database.notify()
            assert listener.wait(PATIENCE_S)
            breaker.on_open()
            database.notify()
            assert listener.wait(PATIENCE_S)

    def test_no_news_are_sent_after_it_was_closed(self, postgresql: str, listener: Listener) -> None:
        database = Database(postgresql)
        database.close()
        database.notify()
        assert not listener.wait(0.01)

    def test_a_broken_connection_is_told_and_replaced(self, database: Database, listener: Listener) -> None:
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        with database.engine.connect() as connection:
            connection.execute(text(f"{others} AND datname = current_database() AND query LIKE 'LISTEN%'"))
        with pytest.raises(errors.DatabaseUnavailable):
            listener.wait(PATIENCE_S)
        listener.wait(0.01)
        database.notify()
        assert listener.wait(PATIENCE_S)
