"""A monotonic clock for tests."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class ManualClock:
    """A monotonic clock that stands still until a test moves it."""

    now_s: float = 100.0

    def __call__(self) -> float:
        return self.now_s
