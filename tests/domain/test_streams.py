"""The schedule of passes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from enrich.domain.streams import Intervals, Pass, StreamState, back_off, due_pass

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
INTERVALS = Intervals(every=MINUTE, keys_every=HOUR, full_every=DAY)
READ = StreamState("erp", "sql", fingerprint="f", window_at=NOW, keys_at=NOW, full_at=NOW)


def due(after: timedelta, state: StreamState = READ, intervals: Intervals = INTERVALS) -> Pass | None:
    return due_pass(state, intervals, "f", NOW + after)


def test_each_pass_has_its_interval() -> None:
    assert due(timedelta(seconds=59)) is None
    assert due(MINUTE) is Pass.WINDOW
    assert due(HOUR) is Pass.KEYS
    assert due(DAY) is Pass.FULL


def test_a_new_source_and_a_new_mapping_are_read_whole() -> None:
    assert due(timedelta(), StreamState("erp", "sql")) is Pass.FULL
    assert due(timedelta(), replace(READ, fingerprint="before")) is Pass.FULL


def test_an_interrupted_pass_is_ended_first_unless_a_full_one_is_due() -> None:
    interrupted = replace(READ, interrupted=Pass.KEYS)
    assert due(timedelta(seconds=1), interrupted) is Pass.KEYS
    assert due(timedelta(), replace(interrupted, full_at=None, interrupted=Pass.WINDOW)) is Pass.FULL


def test_an_operator_comes_before_everything() -> None:
    wish = replace(READ, requested=Pass.FULL, problem="source_refused", due_at=NOW + HOUR)
    assert due(timedelta(), wish) is Pass.FULL


def test_a_failure_waits_and_a_refusal_stops() -> None:
    failed = replace(READ, problem="source_unavailable", due_at=NOW + 2 * MINUTE)
    assert due(MINUTE, failed) is None
    assert due(2 * MINUTE, failed) is Pass.WINDOW
    assert due(9 * DAY, replace(READ, problem="source_refused")) is None
    assert due(timedelta(), replace(READ, problem="source_misfit", fingerprint="before")) is Pass.FULL


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ("2026-11-28T02:00:05", "2026-11-29T02:00:00"),
        ("2026-11-28T15:00:00", "2026-11-29T02:00:00"),
        ("2026-11-28T01:59:00", "2026-11-28T02:00:00"),
        # The night in which clocks are set back; and one in which 02:30 does not exist.
        ("2026-10-24T02:00:05", "2026-10-25T02:00:00"),
        ("2026-03-28T02:00:05", "2026-03-29T02:00:00"),
    ],
)
def test_full_passes_begin_by_night(last: str, expected: str) -> None:
    zone = ZoneInfo("Europe/Berlin")
    intervals = replace(INTERVALS, full_time=time(2), zone=zone)
    last_at, due_at = (datetime.fromisoformat(text).replace(tzinfo=zone) for text in (last, expected))
    state = replace(READ, full_at=last_at)
    for at, is_due in ((due_at - timedelta(seconds=1), False), (due_at, True)):
        now = at.astimezone(UTC)
        windowed = replace(state, window_at=now, keys_at=now)
        assert (due_pass(windowed, intervals, "f", now) is Pass.FULL) == is_due


def test_a_week_ends_in_its_last_night() -> None:
    intervals = replace(INTERVALS, full_every=7 * DAY, full_time=time(2))
    state = replace(READ, full_at=datetime(2026, 11, 1, 15, 0, tzinfo=UTC))
    for day, is_due in ((7, False), (8, True)):
        now = datetime(2026, 11, day, 2, 0, tzinfo=UTC)
        windowed = replace(state, window_at=now, keys_at=now)
        assert (due_pass(windowed, intervals, "f", now) is Pass.FULL) == is_due


def test_full_passes_of_several_a_day_have_no_time_of_day() -> None:
    intervals = replace(INTERVALS, full_every=6 * HOUR, full_time=time(2))
    assert due(6 * HOUR, intervals=intervals) is Pass.FULL
    assert due(6 * HOUR - MINUTE, intervals=intervals) is Pass.KEYS


def test_a_table_read_whole_is_not_read_all_the_time() -> None:
    whole = replace(INTERVALS, has_windows=False, full_time=time(2))
    quick = replace(READ, began_at=NOW, ended_at=NOW + timedelta(seconds=3))
    assert due(MINUTE, quick, whole) is Pass.FULL
    slow = replace(READ, began_at=NOW, ended_at=NOW + 5 * MINUTE)
    assert due(49 * MINUTE, slow, whole) is None
    assert due(50 * MINUTE, slow, whole) is Pass.FULL


def test_a_clock_that_was_set_back_stops_nothing() -> None:
    assert due(-2 * MINUTE) is Pass.WINDOW
    assert due(-3 * DAY) is Pass.FULL


def test_the_wait_after_failures_grows_up_to_five_minutes() -> None:
    assert [back_off(number).total_seconds() for number in (1, 2, 3, 9, 10, 99)] == [1, 2, 4, 256, 300, 300]
