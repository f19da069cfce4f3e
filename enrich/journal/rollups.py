"""The journal in numbers: counted once by the worker, span by span, so that a page adds up a few hundred rows.

Entries are counted by the minute, minutes into quarters of an hour, those into spans of two hours. A span is counted
when it is over and nothing of it can still be under way; what lies between the last count and now is read from the
journal itself. So the numbers are exact, and a week of a million entries costs what a week of a thousand does. Only
times are rounded, to steps of seven per cent.

What is owed is the one thing that cannot be counted afterwards: a worker looks, and the look is kept.

Any number of workers may count: each moves the mark that it read, or finds that another did.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, insert, select, update

from enrich.database.engine import Database
from enrich.journal.tables import NO_EVENT, EntryRow, RollupMarkRow, RollupRow

MINUTE_S, QUARTER_S, HOURS_S = 60, 900, 7200
# Each is counted from the one before it. How long the rows of each are kept: twice what a page shows of them.
KEPT = {MINUTE_S: timedelta(hours=4), QUARTER_S: timedelta(days=3), HOURS_S: timedelta(days=60)}
# A callback is over after 4 s, and what a dead process left is concluded after some ten more.
OVER_AFTER = timedelta(seconds=60)
FURTHEST = timedelta(days=8)
EVERY = timedelta(seconds=20)
# Of one go of the worker, which has other work: so long, so many spans at once.
AT_MOST_S = 0.4
CHUNK = {MINUTE_S: 20, QUARTER_S: 24, HOURS_S: 24}
# Of what is not counted yet, a page reads no more than this; with a worker running it is two minutes' worth.
MOST_UNCOUNTED = 20_000

STEP = 1.07
# The kind of the rows that tell how much was owed: of each look at it the number, and one "time" for the look itself,
# so that looks add up as everything else does, and what was owed on average can be told of any span.
OWED = "owed"

Key = tuple[datetime, str, str, str, str]  # span's beginning, kind, outcome, match, reason


@dataclass(slots=True)
class Tally:
    """How many, and how long they took: {step: how many}."""

    number: int = 0
    times: Counter[int] = field(default_factory=Counter)

    def add(self, other: Tally) -> None:
        self.number += other.number
        self.times.update(other.times)


@dataclass(frozen=True, slots=True)
class Counted:
    """One row of the numbers: of entries received within the span that began then."""

    began_at: datetime
    kind: str
    outcome: str
    match: str
    reason: str
    tally: Tally


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers between two moments. is_whole: False when too much was not counted yet, and the oldest is missing."""

    rows: tuple[Counted, ...]
    is_whole: bool


def step_of(elapsed_ms: float) -> int:
    """The step that so many milliseconds lie in; 0 for a millisecond or less."""
    return max(0, math.ceil(math.log(elapsed_ms) / math.log(STEP))) if elapsed_ms > 1 else 0


def percentile(times: Counter[int], part: float) -> float | None:
    """The milliseconds within which this part of them was done, to within 3.5 per cent; None for none."""
    total = sum(times.values())
    if not total:
        return None
    wanted, seen = math.ceil(part * total), 0
    for step in sorted(times):
        seen += times[step]
        if seen >= wanted:
            return float(STEP ** (step - 0.5))
    raise AssertionError("the parts are more than the whole")


def begin(moment: datetime, span_s: int) -> datetime:
    """The beginning of the span that this moment lies in."""
    seconds = int(moment.timestamp())
    return datetime.fromtimestamp(seconds - seconds % span_s, UTC)


class Rollups:
    """The numbers of one database. Every method raises DatabaseError.

    max_uncounted: entries that are counted on the spot at most, where nobody has counted them yet.
    """

    def __init__(self, database: Database, *, max_uncounted: int = MOST_UNCOUNTED) -> None:
        self._database = database
        self._max_uncounted = max_uncounted
        self._due_at: datetime | None = None
        self._look_at: datetime | None = None

    def note_owed(self, now: datetime, how_many: Callable[[], int]) -> None:
        """Keeps how many follow-ups are owed at this moment, if that was not done within the last 20 s."""
        if self._look_at is not None and now < self._look_at:
            return
        self._look_at = now + EVERY
        span = {"span_s": MINUTE_S, "began_at": begin(now, MINUTE_S), "kind": OWED}
        look = {"outcome": "", "match": "", "reason": "", "number": how_many(), "times": {"0": 1}}
        self._database.write(insert(RollupRow), span | look)

    def count(self, now: datetime) -> None:
        """Counts what is over and not counted yet, if that was not done within the last 20 s; for less than a second.

        What is left then is counted the next time.
        """
        if self._due_at is not None and now < self._due_at:
            return
        until = time.monotonic() + AT_MOST_S
        is_done = self._count_span(MINUTE_S, begin(now - OVER_AFTER, MINUTE_S), self._of_entries, now, until)
        for span_s, finer in ((QUARTER_S, MINUTE_S), (HOURS_S, QUARTER_S)):
            marks = self._marks()
            if finer in marks:
                over = begin(marks[finer], span_s)
                is_done &= self._count_span(span_s, over, self._of_spans(finer), now, until)
        if is_done:
            for span_s, kept in KEPT.items():
                old = (RollupRow.span_s == span_s, RollupRow.began_at < now - kept)
                if self._database.read(select(RollupRow.id).where(*old).limit(1)):
                    self._database.write(delete(RollupRow).where(*old))
            self._due_at = now + EVERY

    def between(self, since: datetime, now: datetime, span_s: int) -> Numbers:
        """The numbers of everything received since then, in spans of that length (of `MINUTE_S`, ...)."""
        marks = self._marks()
        found: dict[Key, Tally] = {}
        covered = since
        for each in (HOURS_S, QUARTER_S, MINUTE_S):
            if each <= span_s and marks.get(each, since) > covered:
                _merge(found, self._stored(each, covered, marks[each]), span_s)
                covered = marks[each]
        rows = self._of_entries(covered, now + timedelta(seconds=1), at_most=self._max_uncounted)
        _merge(found, rows.items(), span_s)
        is_whole = sum(tally.number for tally in rows.values()) < self._max_uncounted
        looks = self._stored(MINUTE_S, covered, now + timedelta(seconds=1))
        _merge(found, (look for look in looks if look[0][1] == OWED), span_s)
        return Numbers(tuple(Counted(*key, tally) for key, tally in sorted(found.items())), is_whole)

    def _marks(self) -> dict[int, datetime]:
        rows = self._database.read(select(RollupMarkRow.span_s, RollupMarkRow.until))
        return {row.span_s: row.until for row in rows}

    def _count_span(
        self,
        span_s: int,
        over: datetime,
        read: Callable[[datetime, datetime], dict[Key, Tally]],
        now: datetime,
        until: float,
    ) -> bool:
        """Whether all spans of this length until `over` are counted."""
        mark = self._marks().get(span_s) or self._first_mark(span_s, now)
        while mark < over and time.monotonic() < until:
            end = min(over, mark + timedelta(seconds=span_s * CHUNK[span_s]))
            found: dict[Key, Tally] = {}
            _merge(found, read(mark, end).items(), span_s)
            if not self._store(span_s, mark, end, found):
                return False  # another worker did; it goes on from there
            mark = end
        return mark >= over

    def _first_mark(self, span_s: int, now: datetime) -> datetime:
        """Where counting begins: with the oldest entry of the last days, or now."""
        oldest = self._database.read(
            select(EntryRow.received_at)
            .where(EntryRow.received_at >= now - FURTHEST, NO_EVENT)
            .order_by(EntryRow.received_at)
            .limit(1)
        )
        first = begin(oldest[0].received_at if oldest else now, HOURS_S)
        with self._database.transaction() as session:
            if session.get(RollupMarkRow, span_s) is None:
                session.add(RollupMarkRow(span_s=span_s, until=first))
        return self._marks()[span_s]

    def _store(self, span_s: int, mark: datetime, end: datetime, found: dict[Key, Tally]) -> bool:
        """Whether these were stored: not if another has counted the same meanwhile."""
        with self._database.transaction() as session:
            moved = session.execute(
                update(RollupMarkRow)
                .where(RollupMarkRow.span_s == span_s, RollupMarkRow.until == mark)
                .values(until=end)
                .returning(RollupMarkRow.span_s)
            ).all()
            if moved and found:
                names = ("began_at", "kind", "outcome", "match", "reason")
                session.execute(
                    insert(RollupRow),
                    [
                        dict(zip(names, key, strict=True))
                        | {
                            "span_s": span_s,
                            "number": tally.number,
                            "times": {str(step): number for step, number in tally.times.items()},
                        }
                        for key, tally in found.items()
                    ],
                )
        return bool(moved)

    def _of_entries(self, since: datetime, until: datetime, at_most: int | None = None) -> dict[Key, Tally]:
        """Entries received in between, by the minute; at most so many, the newest."""
        rows = self._database.read(
            select(
                EntryRow.received_at,
                EntryRow.kind,
                EntryRow.outcome,
                EntryRow.match,
                EntryRow.reason,
                EntryRow.elapsed_ms,
            )
            .where(
                EntryRow.received_at >= since,
                EntryRow.received_at < until,
                NO_EVENT,
            )
            .order_by(EntryRow.received_at.desc())
            .limit(at_most)
        )
        found: dict[Key, Tally] = {}
        for row in rows:
            key = (begin(row.received_at, MINUTE_S), row.kind, row.outcome or "", row.match or "", row.reason)
            tally = found.setdefault(key, Tally())
            tally.number += 1
            if row.elapsed_ms is not None:
                tally.times[step_of(row.elapsed_ms)] += 1
        return found

    def _of_spans(self, span_s: int) -> Callable[[datetime, datetime], dict[Key, Tally]]:
        def read(since: datetime, until: datetime) -> dict[Key, Tally]:
            found: dict[Key, Tally] = {}
            _merge(found, self._stored(span_s, since, until), span_s)  # each look at what is owed is a row of its own
            return found

        return read

    def _stored(self, span_s: int, since: datetime, until: datetime) -> Iterable[tuple[Key, Tally]]:
        rows = self._database.read(
            select(RollupRow.__table__).where(
                RollupRow.span_s == span_s, RollupRow.began_at >= since, RollupRow.began_at < until
            )
        )
        for row in rows:
            times = Counter({int(step): number for step, number in row.times.items()})
            yield (row.began_at, row.kind, row.outcome, row.match, row.reason), Tally(row.number, times)


def _merge(found: dict[Key, Tally], more: Iterable[tuple[Key, Tally]], span_s: int) -> None:
    """Adds these, each to the span of that length that it lies in."""
    for (began_at, *ending), tally in more:
        kind, outcome, match, reason = ending
        found.setdefault((begin(began_at, span_s), kind, outcome, match, reason), Tally()).add(tally)
