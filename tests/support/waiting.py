"""Waiting for something that happens in another process, which tells nobody."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(is_so: Callable[[], bool], within_s: float) -> None:
    """Return as soon as the condition holds. Fails if it does not within so many seconds."""
    until = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.05)
