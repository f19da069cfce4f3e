"""A rate limit for log lines that strangers cause, so that a flood of refused requests does not fill the disk."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

LINES_PER_S = 5
# Longer than what the service itself says of a refusal, an address, or a header of Twilio's.
MAX_FIELD_LENGTH = 500


@dataclass(slots=True)
class _Second:
    """The second in which lines of one kind were last written, and their numbers."""

    began_at: float
    written: int = 0
    suppressed: int = 0


class LogRateLimit:
    """Writes at most `LINES_PER_S` lines a second of each event and reason.

    The first line after that says in `suppressed` how many were left out; the metrics count all of them.
    Reasons come from closed lists, so the memory is bounded.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._seconds: dict[tuple[str, str], _Second] = {}

    def warning(self, logger: logging.Logger, event: str, *, reason: str, **fields: object) -> None:
        """Log a refusal. fields: more of the line; text from outside is cut to `MAX_FIELD_LENGTH`."""
        suppressed = self.admit(event, reason)
        if suppressed is None:
            return
        cut = {name: value[:MAX_FIELD_LENGTH] if isinstance(value, str) else value for name, value in fields.items()}
        counted = {"suppressed": suppressed} if suppressed else {}
        logger.warning(event, extra={"reason": reason, **cut, **counted}, stacklevel=2)

    def admit(self, event: str, reason: str = "") -> int | None:
        """Return the number of lines left out since the last one; None if this one is to be left out, too."""
        now = self._now()
        second = self._seconds.setdefault((event, reason), _Second(now))
        if now - second.began_at >= 1.0:
            second.began_at, second.written = now, 0
        if second.written >= LINES_PER_S:
            second.suppressed += 1
            return None
        second.written += 1
        suppressed, second.suppressed = second.suppressed, 0
        return suppressed
