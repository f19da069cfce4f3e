"""Places: so many do something at a time, and the others wait in turn.

Not a semaphore: who waits for one can be overtaken by whoever comes at the moment when a place is free, again and again
under load. And OutOfTime can end a wait anywhere, while threading's condition variables take a lock again on the way
out: interrupted there, they release a lock that another one holds.
"""

from __future__ import annotations

import queue
import threading
from collections import deque


class Places:
    """A number of places, for which greenlets and threads wait in turn. Whoever acquired one must release it."""

    def __init__(self, number: int) -> None:
        self._free = number
        # One queue for each that waits, which receives its place.
        self._waiting: deque[queue.SimpleQueue[None]] = deque()
        self._lock = threading.Lock()  # held for a few instructions each time

    def acquire(self, timeout_s: float) -> bool:
        """Return True with a place; False if none was handed over within `timeout_s`, in seconds."""
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            mine: queue.SimpleQueue[None] = queue.SimpleQueue()
            self._waiting.append(mine)
        try:
            mine.get(timeout=timeout_s)
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
                self._waiting.popleft().put(None)
            else:
                self._free += 1

    def _leave(self, mine: queue.SimpleQueue[None]) -> bool:
        """Stop waiting; return False if the place has been handed over meanwhile."""
        with self._lock:
            if mine in self._waiting:
                self._waiting.remove(mine)
                return True
            return False
