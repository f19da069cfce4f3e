"""Connections that are made in a thread of their own."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from enrich.connections import Connections
from enrich.errors import DatabaseUnavailable


class Server(Connections):
    """Connections are numbers."""

    def __init__(self) -> None:
        super().__init__(SimpleNamespace(dialect=SimpleNamespace(name="postgresql")), most=2)  # type: ignore[arg-type]
        self.made = 0

    def _connect(self) -> Any:
        self.made += 1
        return self.made


def no_thread(_self: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_where_no_thread_can_be_started_the_next_one_tries_again() -> None:
    server = Server()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(DatabaseUnavailable):
            server._take()
    assert server._take() == (1, False)
    server._give(1)
    assert server._take() == (1, True)
