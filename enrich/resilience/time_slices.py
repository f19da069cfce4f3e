"""Time slices: long work of low priority in a process that answers callbacks.

A callback waits for the event loop some ten times: for its request, the database, each packet of TaskRouter. If other
work only yields to the loop it is back after one turn, so each of these waits lasts a slice. Measured in November 2026
with one process and a program that reads pages of 500 tasks without end: when it yielded after each 20 rows, the median
callback took 130 ms instead of 4 ms. With pauses and smaller queries it takes 19 ms, and beside pages of 100 tasks as
long as without them, 8 ms on the busy machine of that day.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from enrich.domain.deadline import OutOfTime

# Shorter slices go on: a pause has a millisecond at least.
SLICE_S = 0.001
# A pause is so many times as long as the slice before, and the process is free for that share of the time.
PAUSE_FACTOR = 2.0
MAX_PAUSE_S = 0.1


class TimeSlices:
    """Work that is done one piece at a time, with a pause after each slice. Safe to share between greenlets, threads.

    now: monotonic time. sleep: lets others run. present: the number of those who have the turn or wait for it.
    """

    def __init__(
        self, *, now: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._now = now
        self._sleep = sleep
        self._lock = threading.Lock()
        self._began = 0.0
        self._counting = threading.Lock()
        self.present = 0

    @contextmanager
    def turn(self, timeout_s: float) -> Iterator[None]:
        """Wait until nobody else has the turn, and have it in the block. Raises OutOfTime after the time-out."""
        self._count(1)
        try:
            if not self._lock.acquire(timeout=timeout_s):
                raise OutOfTime
            try:
                self._began = self._now()
                yield
            finally:
                self._lock.release()
        finally:
            self._count(-1)

    def pause(self) -> None:
        """End the slice if it is long enough, and let others run. Only for the holder of the turn."""
        elapsed_s = self._now() - self._began
        if elapsed_s >= SLICE_S:
            self._sleep(min(elapsed_s * PAUSE_FACTOR, MAX_PAUSE_S))
            self._began = self._now()

    def _count(self, change: int) -> None:
        with self._counting:
            self.present += change
