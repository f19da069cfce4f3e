"""The story of one task: all that happened to it, in order, and a cheap sign of change."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text, update

from enrich import errors
from enrich.database.engine import Database
from enrich.journal import timeline
from enrich.journal.tables import FollowupRow
from tests.support.journal import Make, PlansOf


@pytest.fixture
def database(sqlite_database: Database) -> Database:
    """Questions are compared by SQLite's plans."""
    return sqlite_database


NOW = datetime.now(UTC)


def test_a_story_tells_everything_oldest_first(database: Database, make_entry: Make, make_followup: Make) -> None:
    created = make_entry(kind="event", event_type="task.created", outcome=None)
    failed = make_entry(outcome="could_not_look", match=None, steps=None, finding=None)
    followup = make_followup(failed, attempts=2, last_reason="database_locked")
    late = make_entry(kind="late")
    make_entry(task_sid="WT9")
    story = timeline.task_timeline(database, "WT" + "0" * 32)
    assert story
    assert [entry.id for entry in story.entries] == [created, failed, late]
    assert (story.newest.id, story.shown.id, story.is_newest_shown) == (late, late, True)
    assert [(each.id, each.is_open, each.attempts, each.last_reason) for each in story.followups] == [
        (followup, True, 2, "database_locked")
    ]
    assert not story.is_final
    assert [(step.name, step.elapsed_ms, step.failed) for step in story.shown.steps] == [
        ("look_up", 4.2, ""),
        ("write", 31.0, ""),
    ]


def test_a_story_of_events_only_is_told_by_the_last(database: Database, make_entry: Make) -> None:
    make_entry(kind="event", outcome=None)
    last = make_entry(kind="event", outcome=None)
    story = timeline.task_timeline(database, "WT" + "0" * 32)
    assert story
    assert (story.newest.id, story.shown.id) == (last, last)


def test_a_story_is_told_by_time_and_its_newest_is_known_by_id(database: Database, make_entry: Make) -> None:
    """A row that was caught up was received earlier than it was written."""
    now = datetime.now(UTC)
    first, second = make_entry(received_at=now), make_entry(received_at=now)
    caught_up = make_entry(received_at=now - timedelta(minutes=3))
    story = timeline.task_timeline(database, "WT" + "0" * 32)
    assert story
    assert [entry.id for entry in story.entries] == [caught_up, first, second]
    assert (story.newest.id, story.shown.id) == (caught_up, caught_up)


def test_the_entry_that_is_asked_for_is_shown(database: Database, make_entry: Make) -> None:
    earlier, newest = make_entry(answer="1"), make_entry(answer="2")
    elsewhere = make_entry(task_sid="WT9")
    story = timeline.task_timeline(database, "WT" + "0" * 32, entry_id=earlier)
    assert story
    assert (story.shown.id, story.shown.answer, story.newest.id) == (earlier, "1", newest)
    assert not story.is_newest_shown
    assert timeline.task_timeline(database, "WT" + "0" * 32, entry_id=elsewhere) is None


def test_late_work_knows_its_callback(database: Database, make_entry: Make) -> None:
    mine = make_entry(reservation_sid="WR1")
    make_entry(reservation_sid="WR2")
    make_entry(reservation_sid="WR1", kind="late")
    story = timeline.task_timeline(database, "WT" + "0" * 32)
    assert story
    assert story.callback
    assert story.callback.id == mine
    unknown = make_entry(reservation_sid=None, kind="late")
    story = timeline.task_timeline(database, "WT" + "0" * 32, entry_id=unknown)
    assert story
    assert story.callback
    assert story.callback.reservation_sid == "WR2"
    story = timeline.task_timeline(database, "WT" + "0" * 32, entry_id=mine)
    assert story
    assert story.callback is None


def test_there_is_no_story_of_what_never_came(database: Database) -> None:
    assert timeline.task_timeline(database, "WT1") is None
    assert timeline.entry_timeline(database, 1) is None


def test_an_endless_story_shows_its_end(database: Database, make_entry: Make) -> None:
    ids = [make_entry() for _ in range(3)]
    story = timeline.task_timeline(database, "WT" + "0" * 32, max_entries=2)
    assert story
    assert ([entry.id for entry in story.entries], story.is_whole) == (ids[1:], False)
    assert story.version(NOW) == timeline.task_version(database, "WT" + "0" * 32, NOW, max_entries=2)


def test_events_do_not_push_the_callback_out_of_an_endless_timeline(database: Database, make_entry: Make) -> None:
    callback = make_entry()
    events = [make_entry(kind="event", outcome=None) for _ in range(3)]
    story = timeline.task_timeline(database, "WT" + "0" * 32, max_entries=2)
    assert story
    assert [entry.id for entry in story.entries] == [callback, *events[1:]]
    assert story.shown.id == story.newest.id == callback
    assert story.version(NOW) == timeline.task_version(database, "WT" + "0" * 32, NOW, max_entries=2)


def test_what_is_owed_is_not_pushed_out_by_what_is_done(
    database: Database, make_entry: Make, make_followup: Make
) -> None:
    owed = make_followup(make_entry())
    done = [make_followup(make_entry(), due_at=None, done_at=NOW) for _ in range(3)]
    story = timeline.task_timeline(database, "WT" + "0" * 32, max_followups=2)
    assert story
    assert [each.id for each in story.followups] == [owed, done[-1]]


def test_a_story_has_a_new_version_when_its_follow_up_was_tried(
    database: Database, make_entry: Make, make_followup: Make
) -> None:
    make_followup(make_entry())
    now = datetime.now(UTC)

    def version() -> str:
        story = timeline.task_timeline(database, "WT" + "0" * 32)
        assert story
        assert story.version(now) == timeline.task_version(database, "WT" + "0" * 32, now)
        return story.version(now)

    before = version()
    assert version() == before
    database.write(update(FollowupRow).values(attempts=1))
    assert version() != before


def test_every_story_is_answered_from_an_index(database: Database, make_entry: Make, plans_of: PlansOf) -> None:
    """No table is read through."""
    make_entry()
    make_entry(task_sid=None, kind="late", worker_sid="")
    plans = plans_of(
        lambda: timeline.task_timeline(database, "WT" + "0" * 32),
        lambda: timeline.task_version(database, "WT" + "0" * 32, NOW),
        lambda: timeline.entry_version(database, 1, NOW),
    )
    assert len(plans) >= 7
    for plan in plans:
        assert not [step for step in plan if re.match("SCAN (entries|followups)(?!.* USING)", step)], plan


def test_a_database_without_tables_is_an_error_of_ours(database: Database) -> None:
    database.write(text("DROP TABLE followups"))
    database.write(text("DROP TABLE entries"))
    with pytest.raises(errors.DatabaseError):
        timeline.task_timeline(database, "WT1")
