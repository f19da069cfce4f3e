"""The one clock of the emulator: somebody's time, and what was added to it by hand."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


def utc_now() -> datetime:
    """The time of this machine, aware, UTC."""
    return datetime.now(UTC)


class VirtualClock:
    """A clock that can be put forward, never back.

    base: gives aware datetimes; a frozen one makes time stand still between two calls of `advance_to`.
    """

    def __init__(self, base: Callable[[], datetime] = utc_now) -> None:
        self._base = base
        self._offset = timedelta(0)
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """The current virtual time, UTC."""
        return self._base().astimezone(UTC) + self._offset

    def advance_to(self, instant: datetime) -> None:
        """Puts the clock forward to this instant; an instant that has passed changes nothing."""
        with self._lock:
            self._offset += max(instant - self.now(), timedelta(0))
