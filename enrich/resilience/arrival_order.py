"""Arrival order: requests begin in the order in which they came in, and let the event loop look at its sockets between.

Under load a turn of the loop finds many requests. libev hands them out in reverse, so some callers would wait for two
turns and others not at all. And gevent runs up to a thousand callbacks before it looks at its sockets again: who asks
again at once would be served again and again, before those who have waited for longer.
"""

from __future__ import annotations

import heapq
import itertools
import time
from typing import Any

from gevent import get_hub
from gevent.hub import Waiter


class ArrivalOrder:
    """The requests that have been read and not begun, the oldest first. For the greenlets of one event loop."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, Any]] = []
        self._numbers = itertools.count()

    def wait(self, waited_s: float) -> None:
        """Return when all requests that are older, among those found in this turn of the loop, have begun.

        waited_s: seconds since the request came in.
        """
        hub = get_hub()
        waiter: Any = Waiter(hub)
        heapq.heappush(self._waiting, (time.monotonic() - waited_s, next(self._numbers), waiter))
        hub.loop.run_callback(self._begin_next)
        waiter.get()

    def _begin_next(self) -> None:
        *_, waiter = heapq.heappop(self._waiting)
        waiter.switch(None)


def next_turn() -> None:
    """Return after the event loop has looked at its sockets. `gevent.sleep(0)` does not wait for that."""
    hub = get_hub()
    hub.wait(hub.loop.timer(0))
