"""Threads that cannot be started, and those that a test waits for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


class UnstartableThread(threading.Thread):
    """A thread that the operating system refuses."""

    def start(self) -> None:
        raise RuntimeError("can't start new thread")


def first_unstartable() -> Callable[..., threading.Thread]:
    """Return a maker of threads of which the first cannot be started."""
    made = 0

    def make(*arguments: Any, **named: Any) -> threading.Thread:
        nonlocal made
        made += 1
        return (UnstartableThread if made == 1 else threading.Thread)(*arguments, **named)

    return make


def wait_for_resolver() -> None:
    """Wait until no DNS cache of this process is looking anything up."""
    for thread in threading.enumerate():
        if thread.name == "addresses":
            thread.join()
