"""The journal in numbers: whatever was counted by whom and when, the page gets what the journal holds."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, func, insert, select

from enrich.database.engine import Database
from enrich.journal import rollups
from enrich.journal.rollups import HOURS_S, MINUTE_S, QUARTER_S, RollupReport, Rollups
from enrich.journal.tables import EntryRow, RollupMarkRow, RollupRow

NOW = datetime(2026, 11, 24, 16, 7, 30, tzinfo=UTC)
MARKS = select(RollupMarkRow.span_s, RollupMarkRow.until).order_by(RollupMarkRow.span_s)


@pytest.fixture
def entries(database: Database) -> Callable[..., None]:
    """Inserts entries that were received so many seconds ago."""

    def make(*seconds_ago: float, **differences: Any) -> None:
        rows = [
            {
                "kind": "assignment",
                "claim": "0" * 16,
                "received_at": NOW - timedelta(seconds=ago),
                "concluded_at": NOW - timedelta(seconds=ago),
                "outcome": "enriched",
                "match": "matched",
                "reason": "",
                "elapsed_ms": 40.0,
                **differences,
            }
            for ago in seconds_ago
        ]
        with database.transaction() as session:
            session.execute(insert(EntryRow), rows)

    return make


def count_all(database: Database, now: datetime = NOW) -> None:
    """Count until the marks stand still: each goes on where the last one had to stop."""
    before: list[tuple[Any, ...]] | None = None
    while True:
        Rollups(database).count(now)  # a new one has no memory of when it counted
        marks = [tuple(row) for row in database.read(MARKS)]
        if marks == before:
            return
        before = marks


def summed(numbers: RollupReport) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for row in numbers.rows:
        found[row.outcome, row.match] += row.count.number
    return found


@pytest.mark.parametrize(("span_s", "spans"), [(MINUTE_S, 60), (QUARTER_S, 96), (HOURS_S, 84)])
def test_the_numbers_are_the_same_before_and_after_counting(
    database: Database, entries: Callable[..., None], span_s: int, spans: int
) -> None:
    chance = random.Random(4)
    entries(*(chance.uniform(0, 8 * 86400) for _ in range(300)))
    entries(*(chance.uniform(0, 7200) for _ in range(100)), outcome="could_not_look", match=None, reason="failed")
    entries(*(chance.uniform(0, 7200) for _ in range(50)), kind="event", outcome=None)
    since = rollups.begin(NOW, span_s) - timedelta(seconds=span_s * (spans - 1))
    before = Rollups(database).between(since, NOW, span_s)
    (held,) = database.read(
        select(func.count()).where(EntryRow.received_at >= since, EntryRow.kind != "event").select_from(EntryRow)
    )
    assert sum(summed(before).values()) == held[0]
    count_all(database)
    assert database.read(select(func.count()).select_from(RollupRow))[0][0] > 0
    after = Rollups(database).between(since, NOW, span_s)
    assert [(row.began_at, row.outcome, row.count) for row in after.rows] == [
        (row.began_at, row.outcome, row.count) for row in before.rows
    ]


def test_what_is_counted_is_not_read_again(database: Database, entries: Callable[..., None]) -> None:
    entries(*range(0, 6 * 86400, 1800))
    count_all(database)
    read: list[Any] = []

    def listen(_c: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        if "FROM entries" in statement:
            read.append(parameters)

    event.listen(database.engine, "before_cursor_execute", listen)
    Rollups(database).between(rollups.begin(NOW, HOURS_S) - timedelta(days=6), NOW, HOURS_S)
    assert len(read) == 1
    (marks,) = database.read(select(RollupMarkRow.until).where(RollupMarkRow.span_s == MINUTE_S))
    assert marks.until == datetime(2026, 11, 24, 16, 6, tzinfo=UTC)


def test_two_workers_count_nothing_twice(database: Database, entries: Callable[..., None]) -> None:
    entries(*range(120, 7200, 10))
    one, other = Rollups(database), Rollups(database)
    one.count(NOW)
    other.count(NOW)
    other.count(NOW + timedelta(seconds=30))
    one.count(NOW + timedelta(seconds=30))
    numbers = one.between(NOW - timedelta(hours=3), NOW, QUARTER_S)
    assert summed(numbers) == {("enriched", "matched"): 708}


def test_a_mark_that_another_moved_is_not_moved_back(database: Database, entries: Callable[..., None]) -> None:
    """One worker reads the entries of two minutes; meanwhile another counts these and two more."""
    seconds_ago = range(-240, 7200, 60)
    entries(*seconds_ago)
    count_all(database)
    left_by_other: list[Any] = []
    overtaken: list[str] = []

    def overtake(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if "FROM entries" in statement and not overtaken:
            overtaken.append(statement)
            count_all(database, NOW + timedelta(minutes=4))
            left_by_other.extend(database.read(MARKS))

    event.listen(database.engine, "before_cursor_execute", overtake)
    Rollups(database).count(NOW + timedelta(minutes=2))
    assert left_by_other
    assert database.read(MARKS) == left_by_other
    numbers = Rollups(database).between(NOW - timedelta(hours=3), NOW + timedelta(minutes=5), QUARTER_S)
    assert summed(numbers) == {("enriched", "matched"): len(seconds_ago)}


def test_what_just_came_in_is_there_at_once(database: Database, entries: Callable[..., None]) -> None:
    count_all(database)
    entries(5)
    assert summed(Rollups(database).between(NOW - timedelta(hours=1), NOW, MINUTE_S)) == {("enriched", "matched"): 1}


def test_too_much_that_nobody_counted_is_told(database: Database, entries: Callable[..., None]) -> None:
    entries(*range(1, 12))
    numbers = Rollups(database, max_uncounted=10).between(NOW - timedelta(hours=1), NOW, MINUTE_S)
    assert not numbers.is_whole
    assert sum(summed(numbers).values()) == 10


@pytest.mark.parametrize("ahead", [timedelta(minutes=10), timedelta(days=2)])
class TestClockThatWasAhead:
    """Counting went on into the future; after that the clock was set right, and callbacks kept coming in."""

    @pytest.fixture
    def jumped(self, database: Database, entries: Callable[..., None], ahead: timedelta) -> None:
        entries(*range(60, 3 * 86400, 1800))
        Rollups(database).sample_open_followups(NOW - timedelta(hours=1), lambda: 12)
        count_all(database)
        count_all(database, NOW + ahead)
        Rollups(database).sample_open_followups(NOW + ahead, lambda: 12)
        entries(*range(-300, 0, 10))  # within five minutes from now

    @pytest.mark.usefixtures("jumped")
    def test_the_page_counts_what_came_in_since(self, database: Database) -> None:
        later = NOW + timedelta(minutes=5)
        numbers = Rollups(database).between(NOW - timedelta(seconds=30), later, MINUTE_S)
        assert summed(numbers) == {("enriched", "matched"): 30}

    @pytest.mark.usefixtures("jumped")
    @pytest.mark.parametrize(("span_s", "spans"), [(MINUTE_S, 60), (QUARTER_S, 96), (HOURS_S, 36)])
    def test_a_worker_counts_it_all_again(self, database: Database, span_s: int, spans: int) -> None:
        later = NOW + timedelta(minutes=7)
        count_all(database, later)
        count_all(database, later)
        since = rollups.begin(NOW, span_s) - timedelta(seconds=span_s * spans)
        report = Rollups(database, max_uncounted=1).between(since, later, span_s)
        (held,) = database.read(select(func.count()).where(EntryRow.received_at >= since).select_from(EntryRow))
        assert summed(report)["enriched", "matched"] == held[0]
        latest = database.read(select(func.max(RollupRow.began_at)))[0][0]
        assert latest <= later

    def test_what_the_journal_has_forgotten_stays_counted(
        self, database: Database, entries: Callable[..., None], ahead: timedelta
    ) -> None:
        entries(60, 20 * 86400)
        old = {"span_s": HOURS_S, "began_at": rollups.begin(NOW, HOURS_S) - timedelta(days=20)}
        row = {"kind": "assignment", "outcome": "enriched", "match": "matched", "reason": "", "number": 7, "times": {}}
        database.write(insert(RollupRow), old | row)
        count_all(database, NOW + ahead)
        count_all(database)
        report = Rollups(database).between(NOW - timedelta(days=21), NOW, HOURS_S)
        assert summed(report) == {("enriched", "matched"): 8}


def test_two_workers_reset_the_marks_once(database: Database, entries: Callable[..., None]) -> None:
    """One reads marks from the future; meanwhile another resets them and counts."""
    entries(*range(60, 7200, 60))
    count_all(database, NOW + timedelta(hours=3))
    left_by_other: list[Any] = []
    overtaken: list[str] = []

    def overtake(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if "FROM entries" in statement and not overtaken:
            overtaken.append(statement)
            count_all(database)
            left_by_other.extend(database.read(MARKS))

    event.listen(database.engine, "before_cursor_execute", overtake)
    Rollups(database).count(NOW)
    assert left_by_other
    assert database.read(MARKS) == left_by_other
    numbers = Rollups(database).between(NOW - timedelta(hours=3), NOW, QUARTER_S)
    assert summed(numbers) == {("enriched", "matched"): 119}


def test_old_numbers_are_forgotten(database: Database, entries: Callable[..., None]) -> None:
    entries(*range(0, 7 * 3600, 600))
    count_all(database)
    oldest = database.read(select(func.min(RollupRow.began_at)).where(RollupRow.span_s == MINUTE_S))[0][0]
    assert oldest >= NOW - rollups.RETENTION[MINUTE_S]


@pytest.mark.parametrize("elapsed_ms", [0.2, 1, 5, 41, 900, 3499, 5000])
def test_a_time_is_told_to_within_three_and_a_half_per_cent(elapsed_ms: float) -> None:
    told = rollups.percentile(Counter({rollups.bucket_of(elapsed_ms): 1}), 0.5)
    assert told is not None
    assert abs(told - max(elapsed_ms, 1)) <= 0.035 * max(elapsed_ms, 1)


def test_a_percentile_is_the_time_within_which_so_many_were_done() -> None:
    times = Counter({rollups.bucket_of(ms): 1 for ms in (10, 20, 30)}) + Counter({rollups.bucket_of(1000): 97})
    assert rollups.percentile(times, 0.03) == pytest.approx(30, rel=0.035)
    assert rollups.percentile(times, 0.04) == pytest.approx(1000, rel=0.035)
    assert rollups.percentile(Counter(), 0.5) is None


@pytest.mark.parametrize("span_s", [MINUTE_S, QUARTER_S, HOURS_S])
@pytest.mark.parametrize("is_counted", [False, True], ids=["as it came", "counted"])
def test_what_was_owed_is_told_on_average_of_all_looks(
    database: Database, entries: Callable[..., None], span_s: int, is_counted: bool
) -> None:
    """Two workers look in the same minute of three hours ago, one of them alone in the next; one of them looks now."""
    entries(4 * HOURS_S)  # counting begins with the oldest entry
    then = rollups.begin(NOW, HOURS_S) - timedelta(hours=2)
    first, second = Rollups(database), Rollups(database)
    first.sample_open_followups(then, lambda: 10)
    second.sample_open_followups(then, lambda: 20)
    first.sample_open_followups(then + timedelta(seconds=10), lambda: 1000)  # too soon to look again
    first.sample_open_followups(then + timedelta(minutes=1), lambda: 30)
    second.sample_open_followups(NOW, lambda: 7)
    if is_counted:
        count_all(database)
    rows = [row for row in Rollups(database).between(then, NOW, span_s).rows if row.kind == rollups.OPEN_FOLLOWUPS]
    means = {row.began_at: row.count.number / sum(row.count.times.values()) for row in rows}
    earlier = {then: 15.0, then + timedelta(minutes=1): 30.0} if span_s == MINUTE_S else {then: 20.0}
    assert means == earlier | {rollups.begin(NOW, span_s): 7.0}
