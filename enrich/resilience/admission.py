"""Admission: the number of callbacks that a process works on, and its limit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

# A callback that waited longer than this before the process read it is answered at once, without work.
MAX_WAIT_S = 0.5
# Shedding starts when the average wait exceeds this. Under load one turn of the event loop takes as long, and a
# callback needs several turns, so work that starts now would run out of time.
MAX_AVERAGE_WAIT_S = 0.15
# Hysteresis: once shedding, keep shedding until the average wait falls below this. Otherwise a process under load stays
# just below its limit, where refused callbacks wait for the work of all admitted ones.
RESUME_BELOW_S = 0.05
# The average covers about this many callbacks: enough that a machine which stalls for a moment does not count as load.
AVERAGED_CALLBACKS = 32
# After this long without a callback the average starts again at zero.
FORGET_AFTER_S = 0.5
# A callback that ran out of time still costs this much processor and database time: its conclusion. These queue up.
CONCLUSION_COST_S = 0.006


class Admission:
    """Admits assignment callbacks up to a number in flight, and none while the process is behind.

    limit: the number of callbacks at a time. observe: called with the number in flight whenever it changes.
    now: monotonic time.
    """

    def __init__(
        self,
        limit: int,
        *,
        observe: Callable[[int], None] = lambda _count: None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = limit
        self._observe = observe
        self._now = now
        self._lock = threading.Lock()
        self._average_wait_s = 0.0
        self._is_shedding = False
        self._last_seen_at = float("-inf")
        self.in_flight = 0
        self.low_priority_in_flight = 0

    def refused(self, waited_s: float) -> str:
        """Return the reason to refuse a callback, `queue` or `in_flight`; "" admits it, and it must `leave`.

        waited_s: seconds that it waited before the process read it.
        """
        with self._lock:
            if self._is_behind(waited_s):
                return "queue"
            if self.in_flight >= self._limit:
                return "in_flight"
            self.in_flight += 1
            self._observe(self.in_flight)
            return ""

    def refused_low_priority(self, waited_s: float) -> str:
        """Return the reason to refuse a request that gives way to callbacks; "" admits it.

        An admitted one must `leave_low_priority`. It is refused long before a callback is: at half of the limit,
        callbacks counted in, and while callbacks are shed. It takes no callback's place, and its wait is not part of
        their average. waited_s: as in `refused`.
        """
        with self._lock:
            is_shedding = self._is_shedding and self._now() - self._last_seen_at <= FORGET_AFTER_S
            if is_shedding or waited_s > MAX_AVERAGE_WAIT_S:
                return "queue"
            if self.in_flight + self.low_priority_in_flight >= max(1, self._limit // 2):
                return "in_flight"
            self.low_priority_in_flight += 1
            return ""

    def leave_low_priority(self) -> None:
        with self._lock:
            self.low_priority_in_flight -= 1

    def leave(self) -> None:
        with self._lock:
            self.in_flight -= 1
            self._observe(self.in_flight)

    def _is_behind(self, waited_s: float) -> bool:
        now = self._now()
        if now - self._last_seen_at > FORGET_AFTER_S:
            self._average_wait_s = 0.0
        self._last_seen_at = now
        self._average_wait_s += (waited_s - self._average_wait_s) / AVERAGED_CALLBACKS
        max_average_s = RESUME_BELOW_S if self._is_shedding else MAX_AVERAGE_WAIT_S
        self._is_shedding = self._average_wait_s > max_average_s
        return waited_s > MAX_WAIT_S or self._is_shedding


def budget_s(max_budget_s: float, in_flight: int) -> float:
    """Return the seconds for the work of one callback when this many are in flight.

    A hundred callbacks that wait for the same dead upstream would all run out of time at once, and the last would be
    concluded long after the first. So each one gets a little less time than the one before, but at least half.
    """
    return max(max_budget_s / 2, max_budget_s - CONCLUSION_COST_S * (in_flight - 1))
