"""What the journal is asked: one line per task, cheap signs of change, whole stories."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event, text, update

from enrich import errors
from enrich.db import Database
from enrich.journal import queries
from enrich.journal.tables import EntryRow, FollowupRow

Make = Callable[..., int]
NOW = datetime.now(UTC)


def test_a_task_is_one_line_its_newest_entry_that_is_no_event(database: Database, make_entry: Make) -> None:
    make_entry(task_sid="WT1", outcome="could_not_look", match=None)
    make_entry(task_sid="WT2")
    late = make_entry(task_sid="WT1", kind="late")
    make_entry(task_sid="WT1", kind="event", event_type="reservation.accepted", outcome=None)
    make_entry(task_sid="WT3", kind="event", event_type="task.created", outcome=None)
    lines = queries.recent_tasks(database)
    assert [line.task_sid for line in lines] == ["WT1", "WT2"]
    assert (lines[0].id, lines[0].kind) == (late, "late")


def test_entries_without_a_task_stand_for_themselves(database: Database, make_entry: Make) -> None:
    ids = [make_entry(task_sid=None, outcome="malformed") for _ in range(2)]
    assert [line.id for line in queries.recent_tasks(database)] == ids[::-1]


def test_pages_follow_each_other_without_gap_or_repetition(database: Database, make_entry: Make) -> None:
    ids = [make_entry(task_sid=f"WT{number % 4}") for number in range(10)]
    first = queries.recent_tasks(database, limit=3)
    make_entry(task_sid="WT9")
    second = queries.recent_tasks(database, limit=3, before=first[-1].id)
    assert [line.id for line in first + second] == ids[:5:-1]


def test_a_late_line_names_the_worker_of_the_assignment(database: Database, make_entry: Make) -> None:
    make_entry(worker_sid="WK1", worker_name="Grace Hopper")
    make_entry(kind="late", worker_sid="", worker_name="")
    (line,) = queries.recent_tasks(database)
    assert (line.worker_sid, line.worker_name) == ("WK1", "Grace Hopper")


def test_a_line_says_that_work_is_owed_for_any_entry_of_its_task(
    database: Database, make_entry: Make, make_followup: Make
) -> None:
    make_followup(make_entry(task_sid="WT1"))
    make_entry(task_sid="WT1")
    make_followup(make_entry(task_sid="WT2"), due_at=None, done_at=datetime.now(UTC))
    make_followup(make_entry(task_sid=None))
    owes = {line.task_sid: line.owes for line in queries.recent_tasks(database)}
    assert owes == {"WT1": True, "WT2": False, None: True}


def test_moments_are_aware(database: Database, make_entry: Make) -> None:
    received_at = datetime(2026, 11, 2, 14, 3, tzinfo=UTC)
    make_entry(received_at=received_at)
    assert queries.recent_tasks(database)[0].received_at == received_at


def test_the_version_changes_with_whatever_a_line_shows(
    database: Database, make_entry: Make, make_followup: Make
) -> None:
    now = datetime.now(UTC)
    seen = [queries.feed_version(database, now=now)]

    def look(at: datetime = now) -> None:
        seen.append(queries.feed_version(database, now=at))

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
    assert queries.feed_version(database) == queries.feed_version(database)


def test_a_story_tells_everything_oldest_first(database: Database, make_entry: Make, make_followup: Make) -> None:
    created = make_entry(kind="event", event_type="task.created", outcome=None)
    failed = make_entry(outcome="could_not_look", match=None, steps=None, finding=None)
    followup = make_followup(failed, attempts=2, last_reason="database_locked")
    late = make_entry(kind="late")
    make_entry(task_sid="WT9")
    story = queries.task_story(database, "WT" + "0" * 32)
    assert story
    assert [entry.id for entry in story.entries] == [created, failed, late]
    assert (story.newest.id, story.shown.id, story.is_newest_shown) == (late, late, True)
    assert [(each.id, each.is_owed, each.attempts, each.last_reason) for each in story.followups] == [
        (followup, True, 2, "database_locked")
    ]
    assert not story.is_settled
    assert [(step.name, step.elapsed_ms, step.failed) for step in story.shown.steps] == [
        ("look_up", 4.2, ""),
        ("write", 31.0, ""),
    ]


def test_a_story_of_events_only_is_told_by_the_last(database: Database, make_entry: Make) -> None:
    make_entry(kind="event", outcome=None)
    last = make_entry(kind="event", outcome=None)
    story = queries.task_story(database, "WT" + "0" * 32)
    assert story
    assert (story.newest.id, story.shown.id) == (last, last)


def test_a_story_is_told_by_time_and_its_newest_is_known_by_id(database: Database, make_entry: Make) -> None:
    """What was caught up came earlier than it was written."""
    now = datetime.now(UTC)
    first, second = make_entry(received_at=now), make_entry(received_at=now)
    caught_up = make_entry(received_at=now - timedelta(minutes=3))
    story = queries.task_story(database, "WT" + "0" * 32)
    assert story
    assert [entry.id for entry in story.entries] == [caught_up, first, second]
    assert (story.newest.id, story.shown.id) == (caught_up, caught_up)


def test_the_entry_that_is_asked_for_is_shown(database: Database, make_entry: Make) -> None:
    earlier, newest = make_entry(answer="1"), make_entry(answer="2")
    elsewhere = make_entry(task_sid="WT9")
    story = queries.task_story(database, "WT" + "0" * 32, entry_id=earlier)
    assert story
    assert (story.shown.id, story.shown.answer, story.newest.id) == (earlier, "1", newest)
    assert not story.is_newest_shown
    assert queries.task_story(database, "WT" + "0" * 32, entry_id=elsewhere) is None


def test_late_work_knows_its_callback(database: Database, make_entry: Make) -> None:
    mine = make_entry(reservation_sid="WR1")
    make_entry(reservation_sid="WR2")
    make_entry(reservation_sid="WR1", kind="late")
    story = queries.task_story(database, "WT" + "0" * 32)
    assert story
    assert story.callback
    assert story.callback.id == mine
    unknown = make_entry(reservation_sid=None, kind="late")
    story = queries.task_story(database, "WT" + "0" * 32, entry_id=unknown)
    assert story
    assert story.callback
    assert story.callback.reservation_sid == "WR2"
    story = queries.task_story(database, "WT" + "0" * 32, entry_id=mine)
    assert story
    assert story.callback is None


def test_there_is_no_story_of_what_never_came(database: Database) -> None:
    assert queries.task_story(database, "WT1") is None
    assert queries.entry_story(database, 1) is None


def test_an_endless_story_shows_its_end(database: Database, make_entry: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "STORY_AT_MOST", 2)
    ids = [make_entry() for _ in range(3)]
    story = queries.task_story(database, "WT" + "0" * 32)
    assert story
    assert ([entry.id for entry in story.entries], story.is_whole) == (ids[1:], False)
    assert story.version(NOW) == queries.task_version(database, "WT" + "0" * 32, NOW)


def test_events_do_not_push_the_callback_out_of_an_endless_story(
    database: Database, make_entry: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "STORY_AT_MOST", 2)
    callback = make_entry()
    events = [make_entry(kind="event", outcome=None) for _ in range(3)]
    story = queries.task_story(database, "WT" + "0" * 32)
    assert story
    assert [entry.id for entry in story.entries] == [callback, *events[1:]]
    assert story.shown.id == story.newest.id == callback
    assert story.version(NOW) == queries.task_version(database, "WT" + "0" * 32, NOW)


def test_what_is_owed_is_not_pushed_out_by_what_is_done(
    database: Database, make_entry: Make, make_followup: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "FOLLOWUPS_AT_MOST", 2)
    owed = make_followup(make_entry())
    done = [make_followup(make_entry(), due_at=None, done_at=NOW) for _ in range(3)]
    story = queries.task_story(database, "WT" + "0" * 32)
    assert story
    assert [each.id for each in story.followups] == [owed, done[-1]]


def test_a_story_has_a_new_version_when_its_follow_up_was_tried(
    database: Database, make_entry: Make, make_followup: Make
) -> None:
    make_followup(make_entry())
    now = datetime.now(UTC)

    def version() -> str:
        story = queries.task_story(database, "WT" + "0" * 32)
        assert story
        assert story.version(now) == queries.task_version(database, "WT" + "0" * 32, now)
        return story.version(now)

    before = version()
    assert version() == before
    database.write(update(FollowupRow).values(attempts=1))
    assert version() != before


def test_every_question_is_answered_from_an_index(database: Database, make_entry: Make) -> None:
    """No table is read through, and the feed is not sorted."""
    make_entry()
    make_entry(task_sid=None, kind="late", worker_sid="")
    asked: list[tuple[str, tuple[object, ...]]] = []
    event.listen(
        database.engine, "before_cursor_execute", lambda _c, _cursor, sql, given, *_: asked.append((sql, given))
    )
    queries.recent_tasks(database)
    queries.feed_version(database)
    queries.task_story(database, "WT" + "0" * 32)
    queries.task_version(database, "WT" + "0" * 32, NOW)
    queries.entry_version(database, 1, NOW)
    with closing(sqlite3.connect(str(database.url.database))) as connection:
        plans = [
            [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", given)]
            for sql, given in asked
            if sql.startswith("SELECT")
        ]
    assert len(plans) >= 5
    for plan in plans:
        assert not [step for step in plan if re.match("SCAN (entries|followups)(?!.* USING)", step)], plan
    assert "TEMP B-TREE" not in str(plans[0])


def test_a_database_without_tables_is_an_error_of_ours(database: Database) -> None:
    database.write(text("DROP TABLE followups"))
    database.write(text("DROP TABLE entries"))
    for ask in (queries.recent_tasks, queries.feed_version):
        with pytest.raises(errors.DatabaseError):
            ask(database)
    with pytest.raises(errors.DatabaseError):
        queries.task_story(database, "WT1")
