"""The clock of the emulator: a base clock plus an offset that users add."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


def utc_now() -> datetime:
    """Return the time of this machine, aware, UTC."""
    return datetime.now(UTC)


class VirtualClock:
    """A clock that can be put forward, never back.

    base: returns aware datetimes; with a frozen base, time stands still between calls of `advance_to`.
    """

    def __init__(self, base: Callable[[], datetime] = utc_now) -> None:
        self._base = base
        self._offset = timedelta(0)
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """Return the current virtual time, UTC."""
        return self._base().astimezone(UTC) + self._offset

    def advance_to(self, instant: datetime) -> None:
        """Put the clock forward to this instant; an instant in the past changes nothing."""
        with self._lock:
            self._offset += max(instant - self.now(), timedelta(0))
