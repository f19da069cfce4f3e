"""Arrival order: requests begin in the order in which they came in, and let the event loop look at its sockets between.

Under load a turn of the loop finds many requests. libev hands them out in reverse, so some callers would wait for two
turns and others not at all. And gevent runs up to a thousand callbacks before it looks at its sockets again: who asks
again at once would be served again and again, before those who have waited for longer.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable
from typing import Any

from gevent import get_hub
from gevent.hub import Waiter

# So long requests are begun before the loop looks at its sockets again: at connections to accept, which may have waited
# for longer, and at answers of the database. A request that does not wait for anything takes a fifth of this.
TURN_S = 0.005


class ArrivalOrder:
    """The requests that have been read and not begun, the oldest first. For the greenlets of one event loop.

    now: monotonic time.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._waiting: list[tuple[float, int, Any]] = []
        self._numbers = itertools.count()
        self._is_beginning = False
        self._until = 0.0  # of the turn

    def wait(self, waited_s: float) -> None:
        """Return when all requests that are older, among those found until now, have begun.

        waited_s: seconds since the request came in.
        """
        hub = get_hub()
        waiter: Any = Waiter(hub)
        heapq.heappush(self._waiting, (self._now() - waited_s, next(self._numbers), waiter))
        if not self._is_beginning:
            self._is_beginning = True
            hub.loop.run_callback(self._begin_first)
        waiter.get()

    def _begin_first(self) -> None:
        """Begin a request, the first of a turn."""
        self._until = self._now() + TURN_S
        self._begin_next()

    def _begin_next(self) -> None:
        """Begin a request, and have the next one begun: in this turn, while it lasts, or in another one."""
        *_, waiter = heapq.heappop(self._waiting)
        waiter.switch(None)
        loop = get_hub().loop
        if not self._waiting:
            self._is_beginning = False
        elif self._now() < self._until:
            loop.run_callback(self._begin_next)
        else:
            timer = loop.timer(0)
            timer.start(self._begin_after, timer)

    def _begin_after(self, timer: Any) -> None:
        """Begin a turn, once all sockets that were looked at with this timer have been read."""
        timer.close()
        get_hub().loop.run_callback(self._begin_first)


def next_turn() -> None:
    """Return after the event loop has looked at its sockets. `gevent.sleep(0)` does not wait for that."""
    hub = get_hub()
    hub.wait(hub.loop.timer(0))
