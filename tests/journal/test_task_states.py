"""The state of a task, and follow-ups that exist only once, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from enrich.customers.store import CustomerStore
from enrich.customers.tables import CustomerRow
from enrich.database.engine import Database
from enrich.domain.deliveries import Delivery, NewFollowup, OnExisting
from enrich.domain.matches import Interaction
from enrich.domain.outcomes import EntryKind, FollowupKind
from enrich.domain.tasks import StateCounts
from enrich.journal.followups import FollowupQueue
from enrich.journal.receipts import Journal
from enrich.journal.tables import FollowupRow
from enrich.journal.task_states import ALARM_LIFETIME, EnrichmentState, TaskStates
from tests.support.journal import Make

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
TASK = "WT" + "4" * 32
MISSES = ("reservation.timeout", "reservation.canceled")
FINISHED = NewFollowup(FollowupKind.FINISHED, NOW, "finished:1", on_existing=OnExisting.RESTART)


@pytest.fixture
def journal(database: Database) -> Journal:
    return Journal(database)


@pytest.fixture
def states(database: Database) -> TaskStates:
    return TaskStates(database)


@pytest.fixture
def owed(database: Database) -> FollowupQueue:
    return FollowupQueue(database)


def event(journal: Journal, number: int, event_type: str, reservation: str = "", *owing: NewFollowup) -> bool:
    """Record an event; return whether it was new."""
    delivery = Delivery(
        EntryKind.EVENT,
        NOW,
        f"EV{number}",
        "WS1",
        TASK,
        reservation_sid=reservation or None,
        event_type=event_type,
    )
    return not journal.receive(delivery, timeout_s=5, followups=owing).is_repeat


def judge(counts: StateCounts) -> Mapping[str, Any]:
    return {"misses": counts.endings.get("timeout", 0), "alarm": "limit" if counts.assignments > 2 else ""}


def test_different_reservations_are_counted_not_deliveries(journal: Journal, states: TaskStates) -> None:
    for number, reservation in enumerate(("WR1", "WR2", "WR1")):
        event(journal, number, "reservation.timeout", reservation)
    event(journal, 7, "reservation.canceled", "WR3")
    event(journal, 8, "reservation.created", "WR4")
    before, after = states.count(TASK, "WS1", NOW, MISSES, judge)
    assert (before.misses, before.alarm) == (0, "")
    assert (after.misses, after.canceled, after.assignments) == (2, 1, 3)
    assert (after.alarm, after.alarm_since) == ("limit", NOW)
    assert states.of(TASK) == after


def test_those_who_count_at_once_end_with_the_whole(journal: Journal, states: TaskStates) -> None:
    def tell_and_count(number: int) -> None:
        event(journal, number, "reservation.timeout", f"WR{number}")
        states.count(TASK, "WS1", NOW, MISSES, judge)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(tell_and_count, range(16)))
    state = states.of(TASK)
    assert state is not None
    assert state.misses == 16


def test_an_alarm_ends_with_its_task_or_with_time(journal: Journal, states: TaskStates) -> None:
    for number in range(3):
        event(journal, number, "reservation.timeout", f"WR{number}")
    states.count(TASK, "WS1", NOW, MISSES, judge)
    assert [each.task_sid for each in states.alarms(NOW)] == [TASK]
    assert states.alarm_counts(NOW) == {"limit": 1}
    assert states.alarms(NOW + ALARM_LIFETIME + SECOND) == ()
    states.ended(TASK, NOW)
    assert (states.alarms(NOW), states.alarm_counts(NOW)) == ((), {})
    states.prune(NOW + SECOND)
    assert states.of(TASK) is None


def test_marks_are_what_there_is(states: TaskStates) -> None:
    assert states.marks(TASK) == {}
    states.keep(TASK, "WS1", NOW, escalation=2)
    assert states.marks(TASK) == {"escalation": 2}
    states.keep(TASK, "WS1", NOW, outcome="sold\0")
    assert states.marks(TASK) == {"escalation": 2, "outcome": "sold\\u0000"}


def test_a_repeat_causes_nothing(journal: Journal, owed: FollowupQueue) -> None:
    missed = NewFollowup(FollowupKind.MISSED, NOW)
    assert event(journal, 1, "reservation.timeout", "WR1", missed)
    assert not event(journal, 1, "reservation.timeout", "WR1", missed)
    assert len(owed.claim(NOW, at_most=9)) == 1


def test_there_is_one_of_what_has_a_key_and_it_is_due_again(journal: Journal, owed: FollowupQueue) -> None:
    only_once = NewFollowup(FollowupKind.WARM, NOW, "warm:1")
    for number in range(2):
        event(journal, number, "task.created", "", only_once, FINISHED)
    (warm,) = owed.claim(NOW, at_most=9)
    owed.done(warm, NOW)
    (finished,) = owed.claim(NOW, at_most=9)
    owed.done(finished, NOW)
    event(journal, 3, "task.completed", "", only_once, FINISHED)
    (again,) = owed.claim(NOW, at_most=9)
    assert (again.id, again.attempts) == (finished.id, 1)


def test_what_is_due_again_while_somebody_is_at_it_is_done_once_more(journal: Journal, owed: FollowupQueue) -> None:
    """Not by another at the same time; and not only after the lease, either."""
    event(journal, 1, "task.completed", "", FINISHED)
    (first,) = owed.claim(NOW)
    event(journal, 2, "reservation.completed", "", FINISHED)
    assert owed.claim(NOW) == ()
    owed.done(first, NOW)
    (second,) = owed.claim(NOW)
    owed.done(second, NOW)
    assert owed.claim(NOW) == ()
    assert owed.ending("finished:1") == (True, "")


def test_what_is_opened_again_keeps_its_time_while_it_waits(
    journal: Journal, owed: FollowupQueue, database: Database
) -> None:
    """One that is executed just now may have looked already, and is due once more."""

    def look_at(number: int, due_at: datetime) -> None:
        look = NewFollowup(FollowupKind.RESTORE, due_at, "restore:1", on_existing=OnExisting.REOPEN)
        event(journal, number, "task.updated", "", look)

    look_at(1, NOW)
    look_at(2, NOW + timedelta(hours=1))
    (first,) = owed.claim(NOW)
    look_at(3, NOW + timedelta(seconds=1))
    owed.done(first, NOW)
    assert owed.claim(NOW) == ()
    (second,) = owed.claim(NOW + timedelta(seconds=1))
    owed.done(second, NOW)
    look_at(4, NOW + timedelta(seconds=2))
    (third,) = owed.claim(NOW + timedelta(seconds=2))
    assert (third.id, third.attempts) == (first.id, 1)
    assert len(database.read(select(FollowupRow.id))) == 1


def test_whether_a_task_was_enriched(states: TaskStates, make_entry: Make) -> None:
    assert states.enrichment(TASK) == EnrichmentState(is_done=False, is_under_way=False)
    make_entry(task_sid=TASK, kind="event", outcome="enriched")
    make_entry(task_sid=TASK, outcome="could_not_write")
    assert states.enrichment(TASK) == EnrichmentState(is_done=False, is_under_way=False)
    make_entry(task_sid=TASK, outcome=None, concluded_at=None)
    assert states.enrichment(TASK) == EnrichmentState(is_done=False, is_under_way=True)
    make_entry(task_sid=TASK, outcome="enriched")
    assert states.enrichment(TASK).is_done


def test_waking_makes_nothing(journal: Journal, owed: FollowupQueue, database: Database) -> None:
    event(
        journal,
        1,
        "reservation.accepted",
        "",
        NewFollowup(FollowupKind.FINISHED, NOW, "finished:1", on_existing=OnExisting.RESTART_ONLY),
    )
    assert database.read(select(FollowupRow.id)) == []
    event(journal, 2, "task.completed", "", FINISHED)
    (done,) = owed.claim(NOW)
    owed.done(done, NOW)
    event(
        journal,
        3,
        "reservation.accepted",
        "",
        NewFollowup(FollowupKind.FINISHED, NOW, "finished:1", on_existing=OnExisting.RESTART_ONLY),
    )
    assert len(owed.claim(NOW)) == 1


def test_how_far_it_got_is_there_for_the_next(journal: Journal, owed: FollowupQueue) -> None:
    event(
        journal, 1, "reservation.timeout", "", NewFollowup(FollowupKind.HAND_OVER, NOW, "hand_over:1", {"token": "x"})
    )
    (first,) = owed.claim(NOW)
    owed.save_progress(first, {"token": "x", "form": {"Priority": "9"}})
    owed.put_off(first, NOW, "taskrouter_failed")
    (second,) = owed.claim(NOW)
    assert second.data == {"token": "x", "form": {"Priority": "9"}}
    owed.save_progress(first, {})
    owed.put_off(second, NOW, "")
    assert owed.claim(NOW)[0].data == second.data


@pytest.fixture
def store(database: Database) -> CustomerStore:
    for customer_id in ("C-1", "C-2"):
        database.write(insert(CustomerRow).values(id=customer_id, name=customer_id, updated_at=NOW))
    return CustomerStore(database)


def test_a_finished_interaction_is_kept_once_and_follows_its_task(store: CustomerStore, database: Database) -> None:
    interaction = Interaction(TASK, "voice", "WK1", "dana", NOW, NOW + 60 * SECOND, "sold", "done")
    assert store.save_interaction("C-1", interaction)
    assert store.save_interaction("C-1", interaction)
    assert store.interactions_of("C-1") == (interaction,)
    assert not store.save_interaction("C-9", interaction)
    assert store.save_interaction("C-2", interaction)
    assert (store.interactions_of("C-1"), store.interactions_of("C-2")) == ((), (interaction,))
    database.write(update(CustomerRow).where(CustomerRow.id == "C-2").values(merged_into="C-1"))
    assert store.interactions_of("C-1") == (interaction,)
    assert not store.save_interaction(None, interaction)
    assert store.interactions_of("C-1") == ()
