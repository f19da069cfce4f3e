"""Time-outs that interrupt work from outside: a `gevent.Timeout`, for everything that waits.

It interrupts every wait that yields to gevent's loop: connecting, reading headers or a slow body, a pool, a lock, a
frozen PostgreSQL. Code that does not yield is short by itself: SQLite's calls (they wait five milliseconds for a lock,
see `database/engine.py`), parsing (sizes are limited first), password hashing (in a thread). Outside the server, where
gevent has patched nothing, the same code runs with the ordinary time-outs of its waits.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import gevent
from gevent import monkey

from enrich.domain.deadline import OutOfTime


def time_limit(seconds: float) -> AbstractContextManager[Any]:
    """Return a context manager that raises OutOfTime in its block after `seconds`, whatever the block waits for."""
    if not monkey.is_module_patched("socket"):
        return nullcontext()
    return gevent.Timeout(seconds, OutOfTime(time.monotonic() + seconds))
