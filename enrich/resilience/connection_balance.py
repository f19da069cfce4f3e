"""Connection balance: the processes that accept on one socket keep about as many connections each.

The kernel wakes all of them for a new connection, and the first to look takes it. A client keeps its connections open,
so what was taken unevenly stays so: of 64 that were opened at once, it happened that one of two processes had all. So a
process that has its share leaves the next connection to the others for a moment, and after `PAUSE_S` takes it all the
same, since they may be stuck.
"""

from __future__ import annotations

import mmap

# More than one machine runs, and few enough to look through for each new connection: two microseconds.
PLACES = 64
# A process has its share with so many connections more than the one with the fewest, and an eighth of those. With a
# lead of 2 a process that is offered many at once pauses so often that some wait for a tenth of a second.
LEAD = 8
PROPORTION = 8
# Longer than a process with nothing to do needs to wake up, and short beside the work for one request.
PAUSE_S = 0.002

_FREE = -2
_NOT_ACCEPTING = -1
_BYTES = 4


class ConnectionCounts:
    """The number of open connections of each process, in memory that they share.

    Made by the parent before it forks. The parent reserves and releases places; a number is written by the process at
    that place alone, so that there is no lock.
    """

    def __init__(self) -> None:
        self._counts = memoryview(mmap.mmap(-1, PLACES * _BYTES)).cast("i")
        for place in range(PLACES):
            self._counts[place] = _FREE

    def reserve(self) -> int:
        """Return a place for a process. The last one is for all processes beyond it, which may have too few then."""
        counts = self._counts.tolist()
        place = counts.index(_FREE) if _FREE in counts else PLACES - 1
        self._counts[place] = _NOT_ACCEPTING
        return place

    def release(self, place: int) -> None:
        """Free the place of a process that has ended."""
        self._counts[place] = _FREE

    def begin(self, place: int) -> None:
        """Count the process at this place, which accepts connections now and has none."""
        self._counts[place] = 0

    def end(self, place: int) -> None:
        """Count the process no longer: it accepts no more connections."""
        self._counts[place] = _NOT_ACCEPTING

    def opened(self, place: int) -> None:
        """Count one connection more, if the process accepts any."""
        if self._counts[place] >= 0:
            self._counts[place] += 1

    def closed(self, place: int) -> None:
        """Count one connection less; none of a process that accepts no more."""
        if self._counts[place] > 0:
            self._counts[place] -= 1

    def has_its_share(self, place: int) -> bool:
        """Return whether the process at this place should leave the next connection to others."""
        fewest = min((count for count in self._counts.tolist() if count >= 0), default=0)
        return self._counts[place] >= fewest + fewest // PROPORTION + LEAD
