"""How much a process is working on, and how much more it may take."""

from __future__ import annotations

import threading
from collections.abc import Callable

# What waited so long before we came to look at it is answered at once: there are more than we can work on.
LONGEST_WAIT_S = 0.5
# What a callback that ran out of time still costs the processor and the database: its conclusion. They queue.
CONCLUSION_COST_S = 0.006


class InFlight:
    """Counts the assignment callbacks that are worked on at the same time.

    most: how many there may be. observe: told how many there are, whenever that changes.
    """

    def __init__(self, most: int, *, observe: Callable[[int], None] = lambda _count: None) -> None:
        self._most = most
        self._observe = observe
        self._lock = threading.Lock()
        self._count = 0

    def enter(self) -> int | None:
        """How many there are now, this one included; None when it would be one too many. Who entered must leave."""
        with self._lock:
            if self._count >= self._most:
                return None
            self._count += 1
            self._observe(self._count)
            return self._count

    def leave(self) -> None:
        with self._lock:
            self._count -= 1
            self._observe(self._count)


def budget_s(longest_s: float, in_flight: int) -> float:
    """Seconds for the work of one callback, when so many are in flight.

    A hundred that wait for the same dead upstream would run out of time in the same instant, and the last would be
    concluded long after the first. So each newcomer's time ends a little earlier than that of the one before; never
    earlier than half of it.
    """
    return max(longest_s / 2, longest_s - CONCLUSION_COST_S * (in_flight - 1))
