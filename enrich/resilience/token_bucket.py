"""Token buckets: at most so many requests a second for each key, with a burst on top, in this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable


class TokenBuckets:
    """One bucket for each key, full at first. Its keys come from a closed set: buckets are not forgotten.

    per_s: tokens that a bucket gains a second. burst: tokens that it holds at most. now: monotonic time.
    """

    def __init__(self, per_s: float, burst: float, *, now: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._burst = burst
        self._now = now
        self._lock = threading.Lock()
        self._buckets: dict[Hashable, tuple[float, float]] = {}

    def take(self, key: Hashable) -> float:
        """Take a token from the bucket of this key and return 0.0; or the seconds until there is one again."""
        with self._lock:
            now = self._now()
            level, at = self._buckets.get(key, (self._burst, now))
            level = min(self._burst, level + (now - at) * self._per_s)
            is_taken = level >= 1.0
            self._buckets[key] = (level - 1.0 if is_taken else level, now)
            return 0.0 if is_taken else (1.0 - level) / self._per_s
