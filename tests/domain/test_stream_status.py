"""The status of a source's stream: its condition, its next pass and how far behind it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from enrich.domain.stream_status import Condition, NextPass, last_pass, next_pass, status_of
from enrich.domain.streams import Intervals, Pass, Question, StreamState

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
INTERVALS = Intervals(every=MINUTE, keys_every=HOUR, full_every=24 * HOUR)
QUESTION = Question(30, 30, 100, "30 of 100 customers would be gone within 24 hours", Pass.KEYS)


def state(**values: Any) -> StreamState:
    """Return a source that was read whole two hours ago, and by a window twenty seconds ago."""
    defaults = {
        "fingerprint": "f",
        "full_at": NOW - 2 * HOUR,
        "keys_at": NOW - 10 * MINUTE,
        "window_at": NOW - 20 * SECOND,
        "began_at": NOW - 20 * SECOND,
        "ended_at": NOW - 19 * SECOND,
    }
    return StreamState("erp", "sql", **{**defaults, **values})


NEVER_READ = {"full_at": None, "keys_at": None, "window_at": None, "began_at": None, "ended_at": None}
FAILED = {"problem": "source_unavailable", "failures": 3, "due_at": NOW + 4 * SECOND}


@pytest.mark.parametrize(
    ("values", "condition"),
    [
        ({}, Condition.IN_SYNC),
        (NEVER_READ, Condition.NEVER_READ),
        ({"owner": "process 1 on a host"}, Condition.RUNNING),
        ({"owner": "process 1 on a host", "question": QUESTION}, Condition.RUNNING),
        ({"requested": Pass.FULL}, Condition.WAITING),
        ({"window_at": NOW - 5 * MINUTE}, Condition.WAITING),
        ({"window_at": NOW - 65 * SECOND}, Condition.IN_SYNC),
        (FAILED, Condition.RETRYING),
        ({"problem": "source_refused"}, Condition.STOPPED),
        ({"problem": "source_misfit"}, Condition.STOPPED),
        ({"problem": "source_misfit", "requested": Pass.WINDOW}, Condition.WAITING),
        ({"question": QUESTION}, Condition.HELD),
        ({"problem": "brake_applied", "question": QUESTION, "due_at": NOW + HOUR}, Condition.HELD),
    ],
)
def test_a_source_has_one_condition(values: dict[str, Any], condition: Condition) -> None:
    assert status_of(state(**values), INTERVALS, "f", NOW).condition is condition


def test_a_source_that_was_stopped_is_not_by_another_mapping() -> None:
    stopped = state(problem="source_misfit", due_at=NOW + HOUR)
    assert status_of(stopped, INTERVALS, "another", NOW).condition is Condition.RETRYING


@pytest.mark.parametrize(
    ("values", "pass_", "at"),
    [
        ({}, Pass.WINDOW, NOW + 40 * SECOND),
        ({"keys_at": NOW - HOUR + 5 * SECOND}, Pass.KEYS, NOW + 5 * SECOND),
        ({"window_at": NOW - 5 * MINUTE}, Pass.WINDOW, NOW - 4 * MINUTE),
        ({"full_at": NOW - 25 * HOUR}, Pass.FULL, NOW - HOUR),
        ({"requested": Pass.KEYS}, Pass.KEYS, NOW),
        ({"interrupted": Pass.FULL}, Pass.FULL, NOW),
        ({**FAILED, "window_at": NOW - 65 * SECOND}, Pass.WINDOW, NOW + 4 * SECOND),
        ({**FAILED, "requested": Pass.FULL}, Pass.FULL, NOW),
        (NEVER_READ, Pass.FULL, NOW),
        ({**NEVER_READ, **FAILED}, Pass.FULL, NOW + 4 * SECOND),
    ],
)
def test_the_next_pass_is_the_one_that_a_worker_runs(values: dict[str, Any], pass_: Pass, at: datetime) -> None:
    assert next_pass(state(**values), INTERVALS, "f", NOW) == NextPass(pass_, at)


def test_another_mapping_is_followed_by_a_full_pass_at_once() -> None:
    assert next_pass(state(due_at=NOW + HOUR), INTERVALS, "another", NOW) == NextPass(Pass.FULL, NOW)


def test_a_stopped_source_has_no_next_pass() -> None:
    assert next_pass(state(problem="source_refused"), INTERVALS, "f", NOW) is None


def test_without_windows_the_full_passes_count() -> None:
    intervals = Intervals(every=MINUTE, keys_every=HOUR, full_every=24 * HOUR, has_windows=False)
    began_at = NOW - 10 * MINUTE
    slow = state(full_at=began_at, began_at=began_at, ended_at=began_at + 2 * MINUTE)
    status = status_of(slow, intervals, "f", NOW)
    assert status.interval == 20 * MINUTE
    assert status.next_pass == NextPass(Pass.FULL, NOW + 10 * MINUTE)
    assert not status.is_late


@pytest.mark.parametrize(
    ("every", "behind", "is_late"),
    [(MINUTE, 14 * MINUTE, False), (MINUTE, 16 * MINUTE, True), (HOUR, 2 * HOUR, False), (HOUR, 4 * HOUR, True)],
)
def test_a_source_is_late_after_three_intervals_and_a_quarter_of_an_hour(
    every: timedelta, behind: timedelta, is_late: bool
) -> None:
    intervals = Intervals(every=every, keys_every=24 * HOUR, full_every=24 * HOUR)
    read_once = state(window_at=NOW - behind, full_at=NOW - 10 * HOUR)
    assert status_of(read_once, intervals, "f", NOW).is_late is is_late


def test_the_kind_of_the_last_run_is_known_by_its_beginning() -> None:
    assert last_pass(state()) is Pass.WINDOW
    assert last_pass(state(full_at=NOW - 20 * SECOND)) is Pass.FULL
    assert last_pass(state(interrupted=Pass.KEYS)) is Pass.KEYS
    assert last_pass(state(began_at=NOW)) is None
    assert last_pass(state(**NEVER_READ)) is None
