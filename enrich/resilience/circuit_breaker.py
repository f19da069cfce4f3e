"""A circuit breaker: who has just failed several times in a row is left alone for a while, then asked once.

A failure counts only if nobody else was answered meanwhile, and a time that is over only if our own clock was in time.
Under load a hundred run out of time in the same instant, and that says something of us, not of who was asked.

Pure, but for the clock that comes in. What counts as a failure, its user decides.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from enrich.domain.deadline import OutOfTime


class CircuitOpen(Exception):
    """Not asked: it failed too often a moment ago."""


class CircuitBreaker:
    """Closed while all is well; open, for `rest_s`, after `failures` in a row; then one probe decides.

    observe: told whenever it opens and closes: whether it is open from now on. Safe to share between greenlets and
    threads.
    """

    def __init__(
        self,
        *,
        failures: int = 5,
        rest_s: float = 2.0,
        now: Callable[[], float] = time.monotonic,
        observe: Callable[[bool], None] = lambda _is_open: None,
    ) -> None:
        self._most = failures
        self._rest_s = rest_s
        self._now = now
        self._observe = observe
        self._lock = threading.Lock()
        self._failed = 0
        self._ask_again_at = 0.0
        self._answered_at = float("-inf")

    @property
    def is_open(self) -> bool:
        """Return whether the next request might be refused."""
        return self._failed >= self._most

    def guard(
        self, failures: tuple[type[BaseException], ...], resting: Callable[[], BaseException] = CircuitOpen
    ) -> Guard:
        """Runs the block and counts how it ended: `failures` count against it, everything else is a sign of life.

        Raises what `resting` makes, without running the block, while it is open.
        """
        return Guard(self, failures, resting)

    def enter(self) -> float:
        """The moment at which one that may ask begins to. Raises Resting."""
        if self._failed >= self._most:
            self._ask_again()
        return self._now()

    def leave(self, began_at: float, exc: BaseException | None, failures: tuple[type[BaseException], ...]) -> None:
        """One that has asked since then ended so. exc: None for well."""
        if isinstance(exc, failures):
            was_us = isinstance(exc, OutOfTime) and exc.came_late(self._now)
            if not (was_us or self.answered_since(began_at)):
                self._count_failure()
        elif exc is None or isinstance(exc, Exception):  # an answer all the same: whoever refuses is alive
            self._is_well()

    def answered_since(self, moment: float) -> bool:
        """Return whether a request succeeded at this moment of the breaker's clock or later."""
        return self._answered_at >= moment

    def _is_well(self) -> None:
        self._answered_at = self._now()
        if self._failed:
            was_open = self.is_open
            self._failed = 0
            if was_open:
                self._observe(False)

    def _ask_again(self) -> None:
        """Raise CircuitOpen unless this request is the probe.

        The probe starts the next pause, so that no other request follows before the probe has returned.
        """
        with self._lock:
            if self._now() < self._ask_again_at:
                raise CircuitOpen
            self._ask_again_at = self._now() + self._rest_s

    def _count_failure(self) -> None:
        with self._lock:
            self._failed += 1
            if self._failed >= self._most:
                self._ask_again_at = self._now() + self._rest_s
            has_opened = self._failed == self._most
        if has_opened:
            self._observe(True)


class Guard:
    """One block that is run under a breaker; see `CircuitBreaker.guard`."""

    __slots__ = ("_began_at", "_breaker", "_failures", "_resting")

    def __init__(
        self, breaker: CircuitBreaker, failures: tuple[type[BaseException], ...], resting: Callable[[], BaseException]
    ) -> None:
        self._breaker = breaker
        self._failures = failures
        self._resting = resting

    def __enter__(self) -> None:
        try:
            self._began_at = self._breaker.enter()
        except CircuitOpen:
            raise self._resting() from None

    def __exit__(self, _kind: object, exc: BaseException | None, _trace: object) -> None:
        self._breaker.leave(self._began_at, exc, self._failures)
