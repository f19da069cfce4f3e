"""The brake: what leaves a source by accident stops before it is gone.

Pure. A truncated page, a filter that somebody set, a column that was renamed: each looks like thousands of deletions.
So records and identifiers that leave the index are counted over 24 hours, however they leave, and too many of them stop
the run until an operator says that they may go.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

COUNTED_FOR = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class BrakeLimits:
    """So many may leave within 24 hours: no more than `most`, and no more than this share if that is `few` or more."""

    share: float = 0.02
    few: int = 20
    most: int = 1000


@dataclass(frozen=True, slots=True)
class Removed:
    """Losses of the index: customers with all their identifiers, and identifiers of customers who stay."""

    records: int = 0
    identifiers: int = 0

    @property
    def most(self) -> int:
        """Return the larger of the two numbers."""
        return max(self.records, self.identifiers)

    def __add__(self, other: Removed) -> Removed:
        return Removed(self.records + other.records, self.identifiers + other.identifiers)


NOTHING = Removed()
DEFAULT_LIMITS = BrakeLimits()


@dataclass(frozen=True, slots=True)
class Removals:
    """Removals of the last 24 hours: rows of [seconds since 1970, records, identifiers]."""

    rows: tuple[tuple[int, int, int], ...] = ()

    @classmethod
    def stored(cls, rows: object) -> Removals:
        """Return what `StreamRow.removals` has; nothing of a row that this version does not know."""
        return cls(tuple((row[0], row[1], row[2]) for row in rows if _is_row(row)) if isinstance(rows, list) else ())

    def adding(self, removed: Removed, now: datetime) -> Removals:
        """Return these with what is removed now, without what is older than 24 hours."""
        since = (now - COUNTED_FOR).timestamp()
        kept = tuple(row for row in self.rows if row[0] > since)
        if removed == NOTHING:
            return Removals(kept)
        return Removals((*kept, (int(now.timestamp()), removed.records, removed.identifiers)))

    def total(self) -> Removed:
        """Return the sum."""
        return Removed(sum(row[1] for row in self.rows), sum(row[2] for row in self.rows))


def exceeds(removed: Removed, before: Removed, limits: BrakeLimits = DEFAULT_LIMITS) -> bool:
    """Return whether so many in 24 hours are too many. before: what was in the index; nothing: never too many."""
    return _is_too_many(removed.records, before.records, limits) or _is_too_many(
        removed.identifiers, before.identifiers, limits
    )


def _is_row(stored: object) -> bool:
    return isinstance(stored, list) and len(stored) == 3 and all(isinstance(one, int) for one in stored)


def _is_too_many(number: int, before: int, limits: BrakeLimits) -> bool:
    if not before:
        return False
    return number > limits.most or (number >= limits.few and number > limits.share * before)
