"""The feed as the journal tells it: one line per task, and a cheap sign of change."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text, update

from enrich import errors
from enrich.database.engine import Database
from enrich.journal import feed
from enrich.journal.tables import EntryRow, FollowupRow
from tests.support.journal import Make, PlansOf

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.fixture
def database(sqlite_database: Database) -> Database:
    """Questions are compared by SQLite's plans."""
    return sqlite_database


def test_a_task_is_one_line_its_newest_entry_that_is_no_event(database: Database, make_entry: Make) -> None:
    make_entry(task_sid="WT1", outcome="could_not_look", match=None)
    make_entry(task_sid="WT2")
    late = make_entry(task_sid="WT1", kind="late")
    make_entry(task_sid="WT1", kind="event", event_type="reservation.accepted", outcome=None)
    make_entry(task_sid="WT3", kind="event", event_type="task.created", outcome=None)
    lines = feed.recent_tasks(database)
    assert [line.task_sid for line in lines] == ["WT1", "WT2"]
    assert (lines[0].id, lines[0].kind) == (late, "late")


def test_entries_without_a_task_stand_for_themselves(database: Database, make_entry: Make) -> None:
    ids = [make_entry(task_sid=None, outcome="malformed") for _ in range(2)]
    assert [line.id for line in feed.recent_tasks(database)] == ids[::-1]


def test_pages_follow_each_other_without_gap_or_repetition(database: Database, make_entry: Make) -> None:
    ids = [make_entry(task_sid=f"WT{number % 4}") for number in range(10)]
    first = feed.recent_tasks(database, limit=3)
    make_entry(task_sid="WT9")
    second = feed.recent_tasks(database, limit=3, before=first[-1].id)
    assert [line.id for line in first + second] == ids[:5:-1]


def test_a_late_line_names_the_worker_of_the_assignment(database: Database, make_entry: Make) -> None:
    make_entry(worker_sid="WK1", worker_name="Grace Hopper")
    make_entry(kind="late", worker_sid="", worker_name="")
    (line,) = feed.recent_tasks(database)
    assert (line.worker_sid, line.worker_name) == ("WK1", "Grace Hopper")


def test_a_line_says_that_work_is_owed_for_any_entry_of_its_task(
    database: Database, make_entry: Make, make_followup: Make
) -> None:
    make_followup(make_entry(task_sid="WT1"))
    make_entry(task_sid="WT1")
    make_followup(make_entry(task_sid="WT2"), due_at=None, done_at=datetime.now(UTC))
    make_followup(make_entry(task_sid=None))
    owes = {line.task_sid: line.has_open_followup for line in feed.recent_tasks(database)}
    assert owes == {"WT1": True, "WT2": False, None: True}


def test_moments_are_aware(database: Database, make_entry: Make) -> None:
    received_at = datetime(2026, 11, 2, 14, 3, tzinfo=UTC)
    make_entry(received_at=received_at)
    assert feed.recent_tasks(database)[0].received_at == received_at


def test_the_version_changes_with_whatever_a_line_shows(
    database: Database, make_entry: Make, make_followup: Make
) -> None:
    now = datetime.now(UTC)
    seen = [feed.feed_version(database, now)]

    def look(at: datetime = now) -> None:
        seen.append(feed.feed_version(database, at))

    entry = make_entry(received_at=now, concluded_at=None, outcome=None)
    look()
    look(now + timedelta(seconds=11))  # broken off
    database.write(update(EntryRow).values(concluded_at=now, outcome="enriched"))
    look()
    followup = make_followup(entry)
    look()
    database.write(update(FollowupRow).where(FollowupRow.id == followup).values(due_at=None, done_at=now))
    look()
    assert seen[3] == seen[5], "what is done leaves no trace in the feed"
    assert len(set(seen)) == len(seen) - 1


def test_nothing_new_is_the_same_version(database: Database, make_entry: Make) -> None:
    make_entry()
    assert feed.feed_version(database, NOW) == feed.feed_version(database, NOW)


def test_every_line_is_answered_from_an_index(database: Database, make_entry: Make, plans_of: PlansOf) -> None:
    """No table is read through, and the feed is not sorted."""
    make_entry()
    make_entry(task_sid=None, kind="late", worker_sid="")
    plans = plans_of(lambda: feed.recent_tasks(database), lambda: feed.feed_version(database, NOW))
    assert len(plans) >= 4
    for plan in plans:
        assert not [step for step in plan if re.match("SCAN (entries|followups)(?!.* USING)", step)], plan
    assert "TEMP B-TREE" not in str(plans[0])


def test_a_database_without_tables_is_an_error_of_ours(database: Database) -> None:
    database.write(text("DROP TABLE followups"))
    database.write(text("DROP TABLE entries"))
    for ask in (feed.recent_tasks, lambda database: feed.feed_version(database, NOW)):
        with pytest.raises(errors.DatabaseError):
            ask(database)
