"""The deadline of a callback, and the stopwatch that times its steps.

Works in monotonic time, read through a callable that tests can replace. Nothing here interrupts work: the edge sets the
time limit, and a `Deadline` only tells how much is left.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

Monotonic = Callable[[], float]

# A turn of the event loop takes a few milliseconds; under overload, a tenth of a second and more.
LATE_S = 0.1


class OutOfTime(BaseException):
    """The callback's time is over.

    A BaseException, as `gevent.Timeout` is: no `except Exception` on the way up, in our code or a library's, may take
    it for an ordinary failure and go on. Libraries close the connection that they were using when it is raised.

    due_at: when the time was over, in monotonic time; None if unknown.
    """

    def __init__(self, due_at: float | None = None) -> None:
        super().__init__()
        self._due_at = due_at

    def came_late(self, now: Monotonic = time.monotonic) -> bool:
        """Return True if the time-out itself fired late: then this process was too busy, not the other side."""
        return self._due_at is not None and now() - self._due_at > LATE_S


@dataclass(frozen=True, slots=True)
class Deadline:
    """A start and an end in monotonic seconds, and the clock that both belong to."""

    began_at: float
    ends_at: float
    now: Monotonic = time.monotonic

    @classmethod
    def after(cls, seconds: float, now: Monotonic = time.monotonic, *, waited_s: float = 0.0) -> Deadline:
        """Return a deadline of this length that began `waited_s` ago."""
        began_at = now() - waited_s
        return cls(began_at, began_at + seconds, now)

    def shortened_to(self, seconds: float) -> Deadline:
        """Return this deadline, ending at most `seconds` after its beginning."""
        return Deadline(self.began_at, min(self.ends_at, self.began_at + seconds), self.now)

    def remaining_s(self) -> float:
        """Return the seconds left; 0.0 once it is over."""
        return max(0.0, self.ends_at - self.now())

    def share_s(self, at_most_s: float) -> float:
        """Return the seconds that one wait may take: the time left, but at most `at_most_s`."""
        return min(self.remaining_s(), at_most_s)

    def elapsed_ms(self) -> float:
        """Return the milliseconds since the beginning."""
        return round((self.now() - self.began_at) * 1000, 2)


class StepName(StrEnum):
    """The steps of a callback, as journal, log, metrics and page name them."""

    RECEIVE = "receive"
    LOOK_UP = "look_up"
    CHANNEL = "channel"
    FETCH = "fetch"
    WRITE = "write"
    ACCEPT = "accept"
    INSTRUCT = "instruct"  # an instruction other than accept, carried out over REST
    CONCLUDE = "conclude"


@dataclass(frozen=True, slots=True)
class Step:
    """One timed step of the work.

    failed: the `reason` of its error, "" if it succeeded. began_at: monotonic; 0.0 for a step read from the journal.
    """

    name: str
    elapsed_ms: float
    failed: str = ""
    began_at: float = 0.0


@dataclass(slots=True)
class Stopwatch:
    """Collects the steps of one piece of work, in the order in which they end."""

    now: Monotonic = time.monotonic
    steps: list[Step] = field(default_factory=list)

    def step(self, name: StepName) -> Timing:
        """Time the `with` block as one step; a step that raises is recorded with the error's reason."""
        return Timing(self, name)


class Timing:
    """Context manager that times one block and adds its step to the stopwatch."""

    __slots__ = ("_began", "_name", "_stopwatch")

    def __init__(self, stopwatch: Stopwatch, name: StepName) -> None:
        self._stopwatch = stopwatch
        self._name = name

    def __enter__(self) -> None:
        self._began = self._stopwatch.now()

    def __exit__(self, _kind: object, exc: BaseException | None, _trace: object) -> None:
        failed = ""
        if isinstance(exc, Exception):
            failed = str(getattr(exc, "reason", "failed"))
        elif exc is not None:  # OutOfTime or gevent.Timeout
            failed = "out_of_time"
        elapsed_ms = round((self._stopwatch.now() - self._began) * 1000, 2)
        self._stopwatch.steps.append(Step(self._name, elapsed_ms, failed, self._began))
