"""The one clock of a callback, and the stopwatch that tells where its time went.

Knows monotonic time only, which comes in as a callable, so that tests can turn it. What interrupts work when the time
is over is the edge's business (`clock.py`); here one can only ask how much is left.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

Monotonic = Callable[[], float]

# A turn of the loop takes a few milliseconds; under more load than we carry, a tenth of a second and more.
LATE_S = 0.1


class OutOfTime(BaseException):
    """The callback's time is over.

    A BaseException, as `gevent.Timeout` is: no `except Exception` on the way up, ours or a library's, may take it for
    a failure of its own and go on working. Libraries that hold a connection close it on their way out.

    due_at: when it was to end, in monotonic time; None where nobody knows.
    """

    def __init__(self, due_at: float | None = None) -> None:
        super().__init__()
        self._due_at = due_at

    def came_late(self, now: Monotonic = time.monotonic) -> bool:
        """Whether the clock itself had to wait for its turn: then we were slow, and nobody else needs to have been."""
        return self._due_at is not None and now() - self._due_at > LATE_S


@dataclass(frozen=True, slots=True)
class Deadline:
    """From one moment in monotonic time to another, in seconds, and the clock that both belong to."""

    began_at: float
    ends_at: float
    now: Monotonic = time.monotonic

    @classmethod
    def after(cls, seconds: float, now: Monotonic = time.monotonic, *, waited_s: float = 0.0) -> Deadline:
        """The deadline that lasts so long, and began so long ago."""
        began_at = now() - waited_s
        return cls(began_at, began_at + seconds, now)

    def shortened_to(self, seconds: float) -> Deadline:
        """The same beginning, and an end so long after it; never later than this one's."""
        return Deadline(self.began_at, min(self.ends_at, self.began_at + seconds), self.now)

    def remaining_s(self) -> float:
        """Seconds left; 0.0 when it is over, never negative."""
        return max(0.0, self.ends_at - self.now())

    def share_s(self, at_most_s: float) -> float:
        """Seconds that one wait may take: what is left, and no more than `at_most_s`."""
        return min(self.remaining_s(), at_most_s)

    def elapsed_ms(self) -> float:
        return round((self.now() - self.began_at) * 1000, 2)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the work: its name, how long it took, and the `reason` it failed with, or "" when it went well.

    began_at: in monotonic time; 0.0 for one that was read back from the journal.
    """

    name: str
    elapsed_ms: float
    failed: str = ""
    began_at: float = 0.0


@dataclass(slots=True)
class Stopwatch:
    """Collects the steps of one piece of work in the order in which they ended."""

    now: Monotonic = time.monotonic
    steps: list[Step] = field(default_factory=list)

    def step(self, name: str) -> Timing:
        """Times the block as one step; a step that raises is recorded too, with the error's reason."""
        return Timing(self, name)


class Timing:
    """One block that is being timed; the stopwatch has its step when it is left."""

    __slots__ = ("_began", "_name", "_stopwatch")

    def __init__(self, stopwatch: Stopwatch, name: str) -> None:
        self._stopwatch = stopwatch
        self._name = name

    def __enter__(self) -> None:
        self._began = self._stopwatch.now()

    def __exit__(self, _kind: object, exc: BaseException | None, _trace: object) -> None:
        failed = ""
        if isinstance(exc, Exception):
            failed = str(getattr(exc, "reason", "failed"))
        elif exc is not None:  # OutOfTime, or gevent.Timeout: it is the clock, under its own name
            failed = "out_of_time"
        elapsed_ms = round((self._stopwatch.now() - self._began) * 1000, 2)
        self._stopwatch.steps.append(Step(self._name, elapsed_ms, failed, self._began))
