"""Connections that are made in a thread of their own."""

from __future__ import annotations

import queue
from types import SimpleNamespace
from typing import Any

import pytest

from enrich.database.pool import ConnectionPool
from enrich.errors import DatabaseUnavailable
from tests.support.threads import first_unstartable


class Server(ConnectionPool):
    """Connections are numbers. The first thread cannot be started."""

    def __init__(self) -> None:
        engine: Any = SimpleNamespace(dialect=SimpleNamespace(name="postgresql"))
        super().__init__(engine, limit=2, make_thread=first_unstartable())
        self.made = 0

    def _connect(self) -> Any:
        self.made += 1
        return self.made


def test_where_no_thread_can_be_started_all_are_told_and_the_next_one_tries_again() -> None:
    server = Server()
    other: queue.SimpleQueue[Any] = queue.SimpleQueue()  # of one that came a moment earlier
    server._waiting.append(other)
    with pytest.raises(DatabaseUnavailable):
        server._acquire()
    assert isinstance(other.get_nowait(), DatabaseUnavailable)
    assert server._acquire() == (1, False)
    server._release(1)
    assert server._acquire() == (1, True)
