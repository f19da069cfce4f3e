"""The number of requests in flight that an upstream bears: halved when it answers 429, raised again by what succeeds.

Additive increase, multiplicative decrease, as TCP does it: several processes that share one limit of the upstream find
their shares without knowing of each other.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

# What is in flight when the upstream begins to refuse will be refused, too: that counts as one refusal.
ONE_REFUSAL_S = 1.0


class InFlightLimit:
    """A limit between 1 and `highest`. Safe to share between greenlets and threads. now: monotonic time."""

    def __init__(self, highest: int, *, now: Callable[[], float] = time.monotonic) -> None:
        self._highest = highest
        self._now = now
        self._limit = float(highest)
        self._refused_at = float("-inf")
        self._lock = threading.Lock()

    @property
    def current(self) -> int:
        """Return the number of requests that may be in flight."""
        return int(self._limit)

    def refused(self) -> None:
        """Halve the limit, at most once a second."""
        with self._lock:
            now = self._now()
            if now - self._refused_at >= ONE_REFUSAL_S:
                self._refused_at = now
                self._limit = max(1.0, self._limit / 2)

    def succeeded(self) -> None:
        """Raise the limit by one for as many successes as it is high."""
        if self._limit < self._highest:
            with self._lock:
                self._limit = min(float(self._highest), self._limit + 1 / self._limit)
