"""Rollups of the journal: counts per time span, computed by the worker, so that a page sums a few hundred rows.

Entries are counted by the minute, minutes are summed into quarters of an hour, and those into spans of two hours. A
span is counted once all its entries have ended; the time since the last count is read from the journal itself. So the
counts are exact, and a week of a million entries costs as much to read as a week of a thousand. Only durations are
rounded, to buckets seven per cent wide.

The number of open follow-ups cannot be counted afterwards: a worker samples it every 20 s.

Any number of workers may count at once: each moves the mark that it read, unless another worker moved it first.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import and_, delete, insert, or_, select, update

from enrich.database.engine import Database
from enrich.journal.tables import NO_EVENT, EntryRow, RollupMarkRow, RollupRow

MINUTE_S, QUARTER_S, HOURS_S = 60, 900, 7200
# Retention of each span's rows: twice the range that a page shows.
RETENTION = {MINUTE_S: timedelta(hours=4), QUARTER_S: timedelta(days=3), HOURS_S: timedelta(days=60)}
# A callback ends after 4 s, and an entry that a dead process left behind some ten seconds later.
OVER_AFTER = timedelta(seconds=60)
MAX_BACKLOG = timedelta(days=8)
INTERVAL = timedelta(seconds=20)
# Limits of one call, because the worker has other work: seconds, and spans per statement.
MAX_COUNT_S = 0.4
SPANS_PER_CHUNK = {MINUTE_S: 20, QUARTER_S: 24, HOURS_S: 24}
# Uncounted entries that a page reads at most. With a worker running, two minutes' worth are uncounted.
MAX_UNCOUNTED = 20_000

BUCKET_RATIO = 1.07
# Kind of the rows that sample the open follow-ups. Each has the number, and one "time" that counts the sample, so that
# samples add up like other rows and give the average of any span.
OPEN_FOLLOWUPS = "owed"

Key = tuple[datetime, str, str, str, str]  # beginning of the span, kind, outcome, match, reason


@dataclass(slots=True)
class RollupCount:
    """A number of entries, and the histogram of their durations: {bucket: number}.

    is_readable: False if the histogram of a row has another shape; its durations are missing then.
    """

    number: int = 0
    times: Counter[int] = field(default_factory=Counter)
    is_readable: bool = True

    def add(self, other: RollupCount) -> None:
        self.number += other.number
        self.times.update(other.times)
        self.is_readable &= other.is_readable


@dataclass(frozen=True, slots=True)
class Rollup:
    """The count of entries with one kind and ending, received within the span that began at `began_at`."""

    began_at: datetime
    kind: str
    outcome: str
    match: str
    reason: str
    count: RollupCount


@dataclass(frozen=True, slots=True)
class RollupReport:
    """The rollups of a period. is_whole: False if too many entries were uncounted, so that the oldest are missing."""

    rows: tuple[Rollup, ...]
    is_whole: bool

    @property
    def is_readable(self) -> bool:
        """Return whether no row's durations are missing because they have another shape."""
        return all(row.count.is_readable for row in self.rows)


def bucket_of(elapsed_ms: float) -> int:
    """Return the histogram bucket of a duration; 0 for a millisecond or less."""
    return max(0, math.ceil(math.log(elapsed_ms) / math.log(BUCKET_RATIO))) if elapsed_ms > 1 else 0


def percentile(times: Counter[int], fraction: float) -> float | None:
    """Return the duration in ms below which this fraction (0 to 1) lies, to 3.5 per cent; None without durations."""
    total = sum(times.values())
    if not total:
        return None
    rank, seen = math.ceil(fraction * total), 0
    for bucket in sorted(times):
        seen += times[bucket]
        if seen >= rank:
            return float(BUCKET_RATIO ** (bucket - 0.5))
    raise AssertionError("fraction is greater than 1")


def begin(moment: datetime, span_s: int) -> datetime:
    """Return the beginning of the span that contains this moment."""
    seconds = int(moment.timestamp())
    return datetime.fromtimestamp(seconds - seconds % span_s, UTC)


def _is_due(due_at: datetime | None, now: datetime) -> bool:
    """Return whether it is time; a time further off than one interval was taken from a clock that was ahead."""
    return due_at is None or not now < due_at <= now + INTERVAL


class Rollups:
    """The rollups of one database. Every method raises DatabaseError.

    max_uncounted: entries that are counted on the spot at most, where nobody has counted them yet.
    """

    def __init__(self, database: Database, *, max_uncounted: int = MAX_UNCOUNTED) -> None:
        self._database = database
        self._max_uncounted = max_uncounted
        self._count_due_at: datetime | None = None
        self._sample_due_at: datetime | None = None

    def sample_open_followups(self, now: datetime, count: Callable[[], int]) -> None:
        """Store the number of open follow-ups, at most every 20 s."""
        if not _is_due(self._sample_due_at, now):
            return
        self._sample_due_at = now + INTERVAL
        span = {"span_s": MINUTE_S, "began_at": begin(now, MINUTE_S), "kind": OPEN_FOLLOWUPS}
        sample = {"outcome": "", "match": "", "reason": "", "number": count(), "times": {"0": 1}}
        self._database.write(insert(RollupRow), span | sample)

    def count(self, now: datetime) -> None:
        """Count the spans that have ended, at most every 20 s and for less than a second.

        The rest is left to the next call.
        """
        if not _is_due(self._count_due_at, now):
            return
        until = time.monotonic() + MAX_COUNT_S
        self._reset_future_marks(now)
        is_done = self._count_span(MINUTE_S, begin(now - OVER_AFTER, MINUTE_S), self._of_entries, now, until)
        for span_s, finer in ((QUARTER_S, MINUTE_S), (HOURS_S, QUARTER_S)):
            marks = self._marks()
            if finer in marks:
                over = begin(marks[finer], span_s)
                is_done &= self._count_span(span_s, over, self._of_spans(finer), now, until)
        if is_done:
            for span_s, retention in RETENTION.items():
                old = (RollupRow.span_s == span_s, RollupRow.began_at < now - retention)
                if self._database.read(select(RollupRow.id).where(*old).limit(1)):
                    self._database.write(delete(RollupRow).where(*old))
            self._count_due_at = now + INTERVAL

    def between(self, since: datetime, now: datetime, span_s: int) -> RollupReport:
        """Return the rollups of everything received since then, in spans of this length (`MINUTE_S`, ...)."""
        marks = self._marks()
        if _are_future(marks, now):
            marks = {}
        counts: dict[Key, RollupCount] = {}
        covered_until = since
        for stored_span_s in (HOURS_S, QUARTER_S, MINUTE_S):
            if stored_span_s <= span_s and marks.get(stored_span_s, since) > covered_until:
                _merge(counts, self._stored(stored_span_s, covered_until, marks[stored_span_s]), span_s)
                covered_until = marks[stored_span_s]
        uncounted = self._of_entries(covered_until, now + timedelta(seconds=1), limit=self._max_uncounted)
        _merge(counts, uncounted.items(), span_s)
        is_whole = sum(count.number for count in uncounted.values()) < self._max_uncounted
        samples = self._stored(MINUTE_S, covered_until, now + timedelta(seconds=1))
        _merge(counts, (sample for sample in samples if sample[0][1] == OPEN_FOLLOWUPS), span_s)
        return RollupReport(tuple(Rollup(*key, count) for key, count in sorted(counts.items())), is_whole)

    def _marks(self) -> dict[int, datetime]:
        rows = self._database.read(select(RollupMarkRow.span_s, RollupMarkRow.until))
        return {row.span_s: row.until for row in rows}

    def _reset_future_marks(self, now: datetime) -> None:
        """Have everything of the last eight days counted again if the marks stand in the future.

        Then somebody counted with a clock that was ahead, and what came in since is missing from the counts.
        """
        marks = self._marks()
        if not _are_future(marks, now):
            return
        first = self._first_moment(now)
        # Open follow-ups cannot be sampled afterwards: their rows stay, and summing them once more leaves the average.
        is_recounted = and_(RollupRow.began_at >= first, RollupRow.kind != OPEN_FOLLOWUPS)
        is_read = and_(RollupMarkRow.span_s == MINUTE_S, RollupMarkRow.until == marks[MINUTE_S])
        with self._database.transaction() as session:
            moved = update(RollupMarkRow).where(is_read).values(until=first).returning(RollupMarkRow.span_s)
            if session.execute(moved).all():  # else another worker was faster
                session.execute(update(RollupMarkRow).where(RollupMarkRow.until > first).values(until=first))
                session.execute(delete(RollupRow).where(or_(is_recounted, RollupRow.began_at > now)))

    def _count_span(
        self,
        span_s: int,
        over: datetime,
        read: Callable[[datetime, datetime], dict[Key, RollupCount]],
        now: datetime,
        until: float,
    ) -> bool:
        """Count the spans of this length up to `over`; return False if some are left."""
        mark = self._marks().get(span_s) or self._first_mark(span_s, now)
        while mark < over and time.monotonic() < until:
            end = min(over, mark + timedelta(seconds=span_s * SPANS_PER_CHUNK[span_s]))
            counts: dict[Key, RollupCount] = {}
            _merge(counts, read(mark, end).items(), span_s)
            if not self._store(span_s, mark, end, counts):
                return False  # another worker counted it, and continues from there
            mark = end
        return mark >= over

    def _first_mark(self, span_s: int, now: datetime) -> datetime:
        """Store and return the first mark."""
        first = self._first_moment(now)
        with self._database.transaction() as session:
            if session.get(RollupMarkRow, span_s) is None:
                session.add(RollupMarkRow(span_s=span_s, until=first))
        return self._marks()[span_s]

    def _first_moment(self, now: datetime) -> datetime:
        """Return the beginning of the longest span with the oldest entry of the last eight days, or with now."""
        oldest = self._database.read(
            select(EntryRow.received_at)
            .where(EntryRow.received_at >= now - MAX_BACKLOG, NO_EVENT)
            .order_by(EntryRow.received_at)
            .limit(1)
        )
        return begin(oldest[0].received_at if oldest else now, HOURS_S)

    def _store(self, span_s: int, mark: datetime, end: datetime, counts: dict[Key, RollupCount]) -> bool:
        """Store the counts and move the mark; return False if another worker has moved it."""
        with self._database.transaction() as session:
            moved = session.execute(
                update(RollupMarkRow)
                .where(RollupMarkRow.span_s == span_s, RollupMarkRow.until == mark)
                .values(until=end)
                .returning(RollupMarkRow.span_s)
            ).all()
            if moved and counts:
                names = ("began_at", "kind", "outcome", "match", "reason")
                session.execute(
                    insert(RollupRow),
                    [
                        dict(zip(names, key, strict=True))
                        | {
                            "span_s": span_s,
                            "number": count.number,
                            "times": {str(bucket): number for bucket, number in count.times.items()},
                        }
                        for key, count in counts.items()
                    ],
                )
        return bool(moved)

    def _of_entries(self, since: datetime, until: datetime, limit: int | None = None) -> dict[Key, RollupCount]:
        """Count the entries received in this period, or the newest of them up to a limit, by the minute."""
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
            .limit(limit)
        )
        counts: dict[Key, RollupCount] = {}
        for row in rows:
            key = (begin(row.received_at, MINUTE_S), row.kind, row.outcome or "", row.match or "", row.reason)
            count = counts.setdefault(key, RollupCount())
            count.number += 1
            if row.elapsed_ms is not None:
                count.times[bucket_of(row.elapsed_ms)] += 1
        return counts

    def _of_spans(self, span_s: int) -> Callable[[datetime, datetime], dict[Key, RollupCount]]:
        def read(since: datetime, until: datetime) -> dict[Key, RollupCount]:
            counts: dict[Key, RollupCount] = {}
            _merge(counts, self._stored(span_s, since, until), span_s)  # each sample of open follow-ups is its own row
            return counts

        return read

    def _stored(self, span_s: int, since: datetime, until: datetime) -> Iterable[tuple[Key, RollupCount]]:
        rows = self._database.read(
            select(RollupRow.__table__).where(
                RollupRow.span_s == span_s, RollupRow.began_at >= since, RollupRow.began_at < until
            )
        )
        for row in rows:
            times = _times(row.times)
            count = RollupCount(row.number, times or Counter(), is_readable=times is not None)
            yield (row.began_at, row.kind, row.outcome, row.match, row.reason), count


def _are_future(marks: Mapping[int, datetime], now: datetime) -> bool:
    """Return whether somebody counted with a clock that was ahead. Minutes are counted first, so theirs is ahead."""
    return MINUTE_S in marks and marks[MINUTE_S] > now


def _times(stored: object) -> Counter[int] | None:
    """Return the histogram stored in `RollupRow.times`; None if it is of another shape."""
    if not isinstance(stored, dict):
        return None
    is_histogram = all(bucket.isdecimal() and type(number) is int for bucket, number in stored.items())
    return Counter({int(bucket): number for bucket, number in stored.items()}) if is_histogram else None


def _merge(counts: dict[Key, RollupCount], more: Iterable[tuple[Key, RollupCount]], span_s: int) -> None:
    """Add each count to the one of its span of this length."""
    for (began_at, *ending), count in more:
        kind, outcome, match, reason = ending
        counts.setdefault((begin(began_at, span_s), kind, outcome, match, reason), RollupCount()).add(count)
