"""Admission: the number of callbacks that a process works on, and its limit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

# What waited so long before we came to look at it is answered at once: there are more than we can work on.
MAX_WAIT_S = 0.5
# The same, when those before it waited so long on average. A turn of the loop under load is as long as that; and each
# callback takes several turns, so that work which is begun now would run out of time.
USUAL_WAIT_S = 0.15
# From then on until they wait only so long: else a process under load stays just below its limit, where those who are
# turned away wait for the work of all who were let in.
CAUGHT_UP_S = 0.05
# Of how many it is the average, roughly: of so many that a machine which stands still for a moment is no load. And
# after how long a silence it tells nothing.
LATELY = 32
SILENCE_S = 0.5
# What a callback that ran out of time still costs the processor and the database: its conclusion. They queue.
CONCLUSION_COST_S = 0.006


class Admission:
    """Admits assignment callbacks up to a number in flight, and none while the process is behind.

    most: how many at a time. observe: told how many there are, whenever that changes. now: monotonic time.
    """

    def __init__(
        self,
        most: int,
        *,
        observe: Callable[[int], None] = lambda _count: None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = most
        self._observe = observe
        self._now = now
        self._lock = threading.Lock()
        self._usual_wait_s = 0.0
        self._is_catching_up = False
        self._asked_at = float("-inf")
        self.in_flight = 0

    def refused(self, waited_s: float) -> str:
        """Return the reason to refuse a callback, `queue` or `in_flight`; "" admits it, and it must `leave`.

        waited_s: how long it lay there before we came to look at it.
        """
        with self._lock:
            if self._is_behind(waited_s):
                return "queue"
            if self.in_flight >= self._most:
                return "in_flight"
            self.in_flight += 1
            self._observe(self.in_flight)
            return ""

    def leave(self) -> None:
        with self._lock:
            self.in_flight -= 1
            self._observe(self.in_flight)

    def _is_behind(self, waited_s: float) -> bool:
        now = self._now()
        if now - self._asked_at > SILENCE_S:
            self._usual_wait_s = 0.0
        self._asked_at = now
        self._usual_wait_s += (waited_s - self._usual_wait_s) / LATELY
        too_long_s = CAUGHT_UP_S if self._is_catching_up else USUAL_WAIT_S
        self._is_catching_up = self._usual_wait_s > too_long_s
        return waited_s > MAX_WAIT_S or self._is_catching_up


def budget_s(longest_s: float, in_flight: int) -> float:
    """Seconds for the work of one callback, when so many are in flight.

    A hundred that wait for the same dead upstream would run out of time in the same instant, and the last would be
    concluded long after the first. So each newcomer's time ends a little earlier than that of the one before; never
    earlier than half of it.
    """
    return max(longest_s / 2, longest_s - CONCLUSION_COST_S * (in_flight - 1))
