"""Places: so many do something at a time, and the others wait in the order in which they came in.

Not a semaphore: who waits for one can be overtaken by whoever comes at the moment when a place is free, again and again
under load. Nor in the order in which they ask: whoever was accepted late has waited before that. And OutOfTime can end
a wait anywhere, while threading's condition variables take a lock again on the way out: interrupted there, they release
a lock that another one holds.
"""

from __future__ import annotations

import heapq
import itertools
import queue
import threading
import time

# When it came in, a number for those of one moment, and the queue that receives the place.
_Waiting = tuple[float, int, queue.SimpleQueue[None]]


class Places:
    """A number of places, for which greenlets and threads wait in turn. Whoever acquired one must release it."""

    def __init__(self, number: int) -> None:
        self._free = number
        self._waiting: list[_Waiting] = []  # a heap
        self._numbers = itertools.count()
        self._lock = threading.Lock()  # held for a few instructions each time

    def acquire(self, timeout_s: float, came_in: float | None = None) -> bool:
        """Return True with a place; False if none was handed over within `timeout_s`, in seconds.

        came_in: monotonic time since which the caller waits; None for now. Who waits for longest is the next.
        """
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            since = time.monotonic() if came_in is None else came_in
            mine: _Waiting = (since, next(self._numbers), queue.SimpleQueue())
            heapq.heappush(self._waiting, mine)
        try:
            mine[-1].get(timeout=timeout_s)
        except queue.Empty:
            return not self._leave(mine)
        except BaseException:  # such as OutOfTime: nobody would release the place
            if not self._leave(mine):
                self.release()
            raise
        return True

    def release(self) -> None:
        """Hand the place to whoever has waited for longest."""
        with self._lock:
            if self._waiting:
                *_, handed = heapq.heappop(self._waiting)
                handed.put(None)
            else:
                self._free += 1

    def _leave(self, mine: _Waiting) -> bool:
        """Stop waiting; return False if the place has been handed over meanwhile."""
        with self._lock:
            if mine in self._waiting:
                self._waiting.remove(mine)
                heapq.heapify(self._waiting)
                return True
            return False
