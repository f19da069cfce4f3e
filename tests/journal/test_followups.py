"""Follow-ups: claimed by one worker, done, put off or given up, on SQLite and on PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from enrich.database.engine import Database
from enrich.domain.deliveries import Conclusion, Delivery
from enrich.domain.outcomes import EntryKind, FollowupKind, Outcome, Reason
from enrich.journal.followups import ABANDONED_AFTER, LEASE, Figures, FollowupQueue
from enrich.journal.receipts import Journal
from enrich.journal.tables import EntryRow, FollowupRow

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture
def journal(database: Database) -> Journal:
    return Journal(database)


@pytest.fixture
def owed(database: Database) -> FollowupQueue:
    return FollowupQueue(database)


def owe(journal: Journal, number: int = 1) -> int:
    """The entry of a callback whose enrichment is owed."""
    delivery = Delivery(EntryKind.ASSIGNMENT, NOW, f"WR{number:032x}", workspace_sid="WS1", task_sid=f"WT{number:032x}")
    entry_id = journal.receive(delivery, timeout_s=1).entry_id
    conclusion = Conclusion(Outcome.OUT_OF_TIME)
    journal.conclude(entry_id, conclusion, at=NOW, timeout_s=1, answer="{}", followup=FollowupKind.ENRICH)
    return entry_id


def test_what_is_due_is_claimed_with_its_task(journal: Journal, owed: FollowupQueue) -> None:
    entry_id = owe(journal)
    assert owed.claim(NOW - SECOND) == ()
    (followup,) = owed.claim(NOW)
    assert (followup.entry_id, followup.kind, followup.attempts) == (entry_id, FollowupKind.ENRICH, 1)
    assert (followup.workspace_sid, followup.task_sid) == ("WS1", f"WT{1:032x}")


def test_a_lease_keeps_others_away_until_it_is_over(journal: Journal, owed: FollowupQueue) -> None:
    owe(journal)
    owed.claim(NOW)
    assert owed.claim(NOW + LEASE - SECOND) == ()
    (again,) = owed.claim(NOW + LEASE)
    assert again.attempts == 2


def test_workers_that_ask_at_once_never_get_the_same(journal: Journal, owed: FollowupQueue) -> None:
    for number in range(30):
        owe(journal, number)
    with ThreadPoolExecutor(8) as pool:
        claims = [
            followup.id for claimed in pool.map(lambda _: owed.claim(NOW, at_most=5), range(8)) for followup in claimed
        ]
    assert len(claims) == len(set(claims))
    while more := owed.claim(NOW, at_most=10):
        claims += [followup.id for followup in more]
    assert len(claims) == len(set(claims)) == 30


def test_followups_of_an_unknown_kind_are_left_to_the_version_that_knows_them(
    journal: Journal, owed: FollowupQueue, database: Database
) -> None:
    for number in range(3):
        owe(journal, number)
    database.write(update(FollowupRow).where(FollowupRow.id < 3).values(kind="brew_coffee"))
    database.write(update(FollowupRow).where(FollowupRow.id == 1).values(key="brew:1"))
    assert [followup.id for followup in owed.claim(NOW + SECOND, at_most=9)] == [3], "they keep nobody from valid work"
    assert owed.claim(NOW + 10 * LEASE, key="brew:1") == ()
    untouched = select(FollowupRow.attempts, FollowupRow.leased_until).where(FollowupRow.kind == "brew_coffee")
    assert {tuple(row) for row in database.read(untouched)} == {(0, None)}
    assert [line.kind for line in owed.overview()] == ["enrich", "brew_coffee", "brew_coffee"]
    assert (owed.figures(NOW).owed, owed.unknown_count()) == (3, 2)


def test_what_only_another_version_can_do_is_pending_and_not_overdue(
    journal: Journal, owed: FollowupQueue, database: Database
) -> None:
    owe(journal)
    database.write(update(FollowupRow).values(kind="brew_coffee"))
    figures = owed.figures(NOW + 600 * SECOND)
    assert (figures.owed, figures.overdue_s) == (1, 0.0)


@pytest.mark.parametrize("data", [["of another shape"], "text", 7])
def test_data_of_another_shape_are_told_from_none(
    journal: Journal, owed: FollowupQueue, database: Database, data: object
) -> None:
    owe(journal, 1)
    owe(journal, 2)
    database.write(update(FollowupRow).where(FollowupRow.id == 1).values(data=data))
    claimed = owed.claim(NOW, at_most=2)
    assert {followup.id: (followup.is_readable, followup.data) for followup in claimed} == {
        1: (False, {}),
        2: (True, {}),
    }


def test_what_is_done_is_not_due_again(journal: Journal, owed: FollowupQueue) -> None:
    owe(journal)
    (followup,) = owed.claim(NOW)
    owed.done(followup, NOW)
    assert owed.claim(NOW + 10 * LEASE) == ()
    assert owed.overview() == ()
    assert owed.retry([followup.id], NOW) == 0


def test_what_failed_is_due_again_later(journal: Journal, owed: FollowupQueue) -> None:
    owe(journal)
    (followup,) = owed.claim(NOW)
    owed.put_off(followup, NOW + 5 * SECOND, "taskrouter_failed")
    assert owed.claim(NOW + 4 * SECOND) == ()
    (line,) = owed.overview()
    assert (line.last_reason, line.due_at) == ("taskrouter_failed", NOW + 5 * SECOND)
    assert len(owed.claim(NOW + 5 * SECOND)) == 1


def test_what_was_given_up_can_be_tried_again_by_hand(journal: Journal, owed: FollowupQueue) -> None:
    owe(journal)
    (followup,) = owed.claim(NOW)
    owed.give_up(followup, NOW, "task_gone")
    assert owed.claim(NOW + 10 * LEASE) == ()
    assert owed.retry([followup.id, 999], NOW) == 1
    (again,) = owed.claim(NOW)
    assert again.attempts == 1


def test_a_receipt_without_conclusion_is_adopted_once(
    journal: Journal, owed: FollowupQueue, database: Database
) -> None:
    died = Delivery(EntryKind.ASSIGNMENT, NOW, "WR0", task_sid="WT0")
    only_answered = Delivery(EntryKind.FALLBACK, NOW, "WR1", task_sid="WT1", reason=Reason.FALLBACK)
    for delivery in (died, only_answered):
        journal.receive(delivery, timeout_s=1, answer="{}")
    journal.receive(Delivery(EntryKind.ASSIGNMENT, NOW, "WR9"), timeout_s=1)  # without a task: nothing to enrich
    assert owed.adopt_abandoned(NOW + ABANDONED_AFTER) == 0
    assert owed.adopt_abandoned(NOW + ABANDONED_AFTER + SECOND) == 3
    assert owed.adopt_abandoned(NOW + 2 * ABANDONED_AFTER) == 0
    rows = database.read(select(EntryRow.outcome, EntryRow.reason).order_by(EntryRow.id))
    assert [tuple(row) for row in rows] == [
        ("failed", "interrupted"),
        ("not_tried", "fallback"),
        ("failed", "interrupted"),
    ]
    assert [followup.task_sid for followup in owed.claim(NOW + 2 * ABANDONED_AFTER, at_most=9)] == ["WT0", "WT1"]


def test_old_entries_go_with_their_followups(journal: Journal, owed: FollowupQueue, database: Database) -> None:
    old = owe(journal, 1)
    owe(journal, 2)
    database.write(update(EntryRow).where(EntryRow.id == old).values(received_at=NOW - timedelta(days=91)))
    assert owed.prune(NOW - timedelta(days=90)) == 0, "what is still to be done is never taken"
    database.write(update(FollowupRow).where(FollowupRow.entry_id == old).values(due_at=None, done_at=NOW))
    assert owed.prune(NOW - timedelta(days=90)) == 1
    assert owed.prune(NOW - timedelta(days=90)) == 0
    assert len(database.read(select(EntryRow.id))) == len(database.read(select(FollowupRow.id))) == 1


def test_old_events_go_from_the_oldest_on(journal: Journal, owed: FollowupQueue, database: Database) -> None:
    """One that was caught up goes with those that it came in among."""
    for days in (95, 94, 93, 89, 88, 91, 1):
        at = NOW - timedelta(days=days)
        journal.receive(Delivery(EntryKind.EVENT, at, f"EV{days}", task_sid="WT1"), timeout_s=1)

    def pruned(days: int) -> list[int]:
        return [owed.prune(NOW - timedelta(days=days), at_most=2) for _ in range(3)]

    assert pruned(90) == [2, 1, 0]
    assert journal.known([f"EV{days}" for days in (93, 89, 88, 91, 1)]) == {"EV89", "EV88", "EV91", "EV1"}
    assert pruned(87) == [2, 1, 0]
    assert journal.known(["EV91", "EV1"]) == {"EV1"}


def test_who_comes_back_after_the_lease_has_no_say_any_more(journal: Journal, owed: FollowupQueue) -> None:
    owe(journal)
    (slow,) = owed.claim(NOW)
    (other,) = owed.claim(NOW + LEASE)
    owed.give_up(slow, NOW + LEASE, "task_gone")
    owed.put_off(slow, NOW + LEASE, "taskrouter_failed")
    assert [line.last_reason for line in owed.overview()] == [""]
    owed.done(other, NOW + LEASE)
    owed.put_off(other, NOW + LEASE, "taskrouter_failed")
    assert owed.overview() == ()
    assert owed.claim(NOW + 10 * LEASE) == ()


class TestFigures:
    def test_nothing_is_owed_at_first(self, owed: FollowupQueue) -> None:
        assert owed.figures(NOW) == Figures(owed=0, overdue_s=0.0, given_up=0, unconcluded=0)

    def test_what_is_due_counts_from_when_it_was_due(self, journal: Journal, owed: FollowupQueue) -> None:
        owe(journal, 1)
        owe(journal, 2)
        (first,) = owed.claim(NOW)
        owed.put_off(first, NOW + 90 * SECOND, "x")
        figures = owed.figures(NOW + 30 * SECOND)
        assert (figures.owed, figures.overdue_s) == (2, 30.0)

    def test_what_is_only_due_later_is_not_late(self, journal: Journal, owed: FollowupQueue) -> None:
        owe(journal)
        assert owed.figures(NOW - SECOND).overdue_s == 0.0
        assert owed.figures(NOW - SECOND).owed == 1

    @pytest.mark.parametrize(("reason", "counted"), [("request_refused", 1), ("task_gone", 0)])
    def test_what_was_given_up_counts_for_a_day_unless_its_task_was_over(
        self, journal: Journal, owed: FollowupQueue, reason: str, counted: int
    ) -> None:
        owe(journal)
        (followup,) = owed.claim(NOW)
        owed.give_up(followup, NOW, reason)
        assert owed.figures(NOW + timedelta(hours=23)) == Figures(0, 0.0, counted, 0)
        assert owed.figures(NOW + timedelta(hours=25)).given_up == 0

    def test_receipts_that_nobody_adopted_are_counted(self, journal: Journal, owed: FollowupQueue) -> None:
        journal.receive(Delivery(EntryKind.ASSIGNMENT, NOW, "WR1", task_sid="WT1"), timeout_s=1)
        assert owed.figures(NOW + ABANDONED_AFTER).unconcluded == 0
        assert owed.figures(NOW + ABANDONED_AFTER + SECOND).unconcluded == 1
