"""Connections that are made in a thread of their own."""

from __future__ import annotations

import queue
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from enrich.database.pool import ConnectionPool
from enrich.errors import DatabaseUnavailable


class Server(ConnectionPool):
    """Connections are numbers."""

    def __init__(self) -> None:
        engine = SimpleNamespace(dialect=SimpleNamespace(name="postgresql"))
        super().__init__(engine, limit=2)  # type: ignore[arg-type]  # of an engine only this much is asked here
        self.made = 0

    def _connect(self) -> Any:
        self.made += 1
        return self.made


def no_thread(_self: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_where_no_thread_can_be_started_all_are_told_and_the_next_one_tries_again() -> None:
    server = Server()
    other: queue.SimpleQueue[Any] = queue.SimpleQueue()  # of one that came a moment earlier
    server._waiting.append(other)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(DatabaseUnavailable):
            server._acquire()
    assert isinstance(other.get_nowait(), DatabaseUnavailable)
    assert server._acquire() == (1, False)
    server._release(1)
    assert server._acquire() == (1, True)
