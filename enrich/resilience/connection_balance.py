"""Connection balance: the processes that accept on one socket keep about as many connections each.

The kernel wakes all of them for a new connection, and the first to look takes it. A client keeps its connections open,
so what was taken unevenly stays so: of 64 that were opened at once, it happened that one of two processes had all, and
who asks the fuller one waits for longer. So a process that has its share leaves the next connections to the others for
a moment; after `PAUSE_S` it takes some all the same, since the others may be stuck. And one that has too many has
clients open theirs anew, which also gives a process that was started later its share.
"""

from __future__ import annotations

import mmap

# More than one machine runs, and few enough to look through for each new connection: two microseconds.
PLACES = 64
# A process has its share with so many connections more than the one with the fewest, and a sixteenth of those; with
# more than that it has too many. With a smaller lead a process that is offered many at once pauses more often: with 4,
# in three of eight rounds some of 64 look-ups waited for longer than 150 ms and were refused; with 8, in none of eight.
LEAD = 8
PROPORTION = 16
# Longer than a process with nothing to do needs to wake up, and short beside the work for one request.
PAUSE_S = 0.002
# So many connections are taken after a pause, which under load lasts a turn of the loop.
TAKEN_AFTER_PAUSE = 32

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
        """Return whether the process at this place should leave the next connections to others."""
        ahead, lead = self._ahead(place)
        return ahead >= lead

    def has_too_many(self, place: int) -> bool:
        """Return whether the process at this place should have clients open their connections anew."""
        ahead, lead = self._ahead(place)
        return ahead > lead

    def _ahead(self, place: int) -> tuple[int, int]:
        """Return how many more connections it has than the process with the fewest, and with how many it has enough."""
        fewest = min((count for count in self._counts.tolist() if count >= 0), default=0)
        return self._counts[place] - fewest, fewest // PROPORTION + LEAD
