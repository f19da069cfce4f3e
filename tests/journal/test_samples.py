"""Samples of the journal for the doctor, on SQLite and on PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from enrich.database.engine import Database
from enrich.journal.samples import RestorationCounts, restorations
from tests.support.journal import Make, PlansOf

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def test_overwritten_blocks_are_counted_for_a_day(database: Database, make_entry: Make, make_followup: Make) -> None:
    assert restorations(database, NOW - DAY) == RestorationCounts(0, 0, 0)
    for number, (restored, left) in enumerate(((1, 0), (3, 1), (0, 0))):
        task_sid = f"WT{number:x}f{'0' * 30}"
        caused = make_entry(task_sid=task_sid, kind="event", event_type="task.updated")
        make_followup(caused, kind="restore", key=f"restore:{task_sid}", due_at=None, done_at=NOW)
        for event_type, times in (("block restored", restored), ("block overwritten", left)):
            for _ in range(times):
                make_entry(task_sid=task_sid, kind="event", event_type=event_type, received_at=NOW)
    make_entry(task_sid=f"WT0f{'0' * 30}", kind="event", event_type="block restored", received_at=NOW - 2 * DAY)
    make_followup(make_entry(), kind="finished", key=f"finished:WT{'f' * 32}")
    assert restorations(database, NOW - DAY) == RestorationCounts(restored=4, left=1, tasks=2)


def test_they_are_found_by_indexes(
    database: Database, make_entry: Make, make_followup: Make, plans_of: PlansOf
) -> None:
    if not database.is_sqlite:
        pytest.skip("plans are read as SQLite's EXPLAIN writes them; both databases have the same indexes")
    for number in range(200):
        make_followup(make_entry(task_sid=f"WT{number:032x}"), kind="finished", key=f"finished:WT{number:032x}")
    (plan,) = plans_of(lambda: restorations(database, NOW - DAY))
    assert not [step for step in plan if step.startswith("SCAN")], plan
