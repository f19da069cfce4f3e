"""A circuit breaker: after several failures in a row an upstream gets no requests for a while, then one probe.

A failure counts only if no other request succeeded meanwhile, and a time-out only if it was noticed on time. Under load
a hundred requests run out of time at once, which says something about this process and nothing about the upstream.

Pure, except for the clock, which is an argument. The caller decides which exceptions are failures.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from enrich.domain.deadline import OutOfTime


class CircuitOpen(Exception):
    """The request was not sent: the upstream failed several times in a row a moment ago."""


class CircuitBreaker:
    """Closed normally; open for `rest_s` after `failures` in a row; then one probe decides.

    observe: called with True when it opens and False when it closes. Safe to share between greenlets and threads.
    """

    def __init__(
        self,
        *,
        failures: int = 5,
        rest_s: float = 2.0,
        now: Callable[[], float] = time.monotonic,
        observe: Callable[[bool], None] = lambda _is_open: None,
    ) -> None:
        self._max_failures = failures
        self._rest_s = rest_s
        self._now = now
        self._observe = observe
        # Called when it opens, for whoever knows what could help the next probe.
        self.on_open: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._failure_count = 0
        self._probe_at = 0.0
        self._answered_at = float("-inf")
        self._failed_at = float("-inf")
        # Message of the last failure; empty after a success.
        self.failure = ""

    @property
    def is_open(self) -> bool:
        """Return whether the next request might be refused."""
        return self._failure_count >= self._max_failures

    def rest_s(self) -> float:
        """Return the seconds until a request may be sent again, 0.0 if one may be sent now."""
        return max(0.0, self._probe_at - self._now()) if self.is_open else 0.0

    def guard(
        self, failures: tuple[type[BaseException], ...], resting: Callable[[], BaseException] = CircuitOpen
    ) -> Guard:
        """Return a context manager that runs a block and counts its result: `failures` are failures, all else success.

        While the breaker is open it raises what `resting` returns, without running the block.
        """
        return Guard(self, failures, resting)

    def enter(self) -> float:
        """Return the time at which an admitted request starts. Raises CircuitOpen."""
        if self._failure_count >= self._max_failures:
            self._start_probe()
        return self._now()

    def leave(self, began_at: float, exc: BaseException | None, failures: tuple[type[BaseException], ...]) -> None:
        """Count the end of a request. began_at: from `enter`. exc: None for success."""
        if isinstance(exc, failures):
            was_our_delay = isinstance(exc, OutOfTime) and exc.came_late(self._now)
            if not (was_our_delay or self.answered_since(began_at)):
                self._count_failure(str(exc))
        elif exc is None or isinstance(exc, Exception):
            # Any other exception is a response, too: an upstream that refuses is alive.
            self._count_success()

    def answered_since(self, moment: float) -> bool:
        """Return whether a request succeeded at this moment of the breaker's clock or later."""
        return self._answered_at >= moment

    def failing_for_less_than(self, seconds: float) -> bool:
        """Return whether the last request failed, no longer ago than this."""
        return self._failure_count > 0 and self._now() - self._failed_at < seconds

    def _count_success(self) -> None:
        self._answered_at = self._now()
        if self._failure_count:
            was_open = self.is_open
            self._failure_count, self.failure = 0, ""
            if was_open:
                self._observe(False)

    def _start_probe(self) -> None:
        """Raise CircuitOpen unless this request is the probe.

        The probe starts the next pause, so that no other request follows before the probe has returned.
        """
        with self._lock:
            if self._now() < self._probe_at:
                raise CircuitOpen
            self._probe_at = self._now() + self._rest_s

    def _count_failure(self, message: str) -> None:
        with self._lock:
            self._failure_count += 1
            self._failed_at, self.failure = self._now(), message
            if self._failure_count >= self._max_failures:
                self._probe_at = self._now() + self._rest_s
            has_opened = self._failure_count == self._max_failures
        if has_opened:
            self._observe(True)
            self.on_open()


class Guard:
    """A block that runs under a circuit breaker; see `CircuitBreaker.guard`."""

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
