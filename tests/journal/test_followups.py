"""Follow-ups: claimed by one worker, done, put off or given up, on SQLite and on PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from enrich.database.engine import Database
from enrich.domain.deliveries import Conclusion, Delivery
from enrich.domain.outcomes import EntryKind, FollowupKind, Outcome, Reason
from enrich.journal.followups import ABANDONED_AFTER, LEASE, Figures, FollowupQueue
from enrich.journal.receipts import Journal
from enrich.journal.tables import EntryRow, FollowupRow
from tests.support.journal import Make

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


class TestOrder:
    """The follow-ups of one task are executed one at a time, in the order in which they are due."""

    @pytest.fixture
    def owe_task(self, make_entry: Make, make_followup: Make) -> Make:
        """Make a follow-up of the task with this number, due so many seconds after NOW, and return its id."""

        def owe_task(task: int, due_s: float, **differences: Any) -> int:
            entry_id = make_entry(task_sid=f"WT{task:032x}")
            return make_followup(entry_id, due_at=NOW + timedelta(seconds=due_s), **differences)

        return owe_task

    def test_only_the_oldest_of_a_task_is_claimed(self, owed: FollowupQueue, owe_task: Make) -> None:
        second, first, other = owe_task(1, 2), owe_task(1, 1), owe_task(2, 3)
        claimed = owed.claim(NOW + 9 * SECOND, at_most=9)
        assert [followup.id for followup in claimed] == [first, other]
        assert owed.claim(NOW + 9 * SECOND, at_most=9) == ()
        owed.done(claimed[0], NOW)
        assert [followup.id for followup in owed.claim(NOW + 9 * SECOND, at_most=9)] == [second]

    def test_at_the_same_moment_the_first_added_comes_first(self, owed: FollowupQueue, owe_task: Make) -> None:
        first, _second = owe_task(1, 0), owe_task(1, 0)
        assert [followup.id for followup in owed.claim(NOW, at_most=9)] == [first]

    def test_one_that_was_put_off_gives_way(self, owed: FollowupQueue, owe_task: Make) -> None:
        first, second = owe_task(1, 0), owe_task(1, 1)
        (failed,) = owed.claim(NOW + SECOND)
        owed.put_off(failed, NOW + 60 * SECOND, "taskrouter_failed")
        (followup,) = owed.claim(NOW + SECOND)
        assert (failed.id, followup.id) == (first, second)
        assert owed.claim(NOW + 60 * SECOND) == (), "while another one of its task is executed"

    def test_a_lease_that_has_ended_holds_up_nobody(self, owed: FollowupQueue, owe_task: Make) -> None:
        first, _second = owe_task(1, 0), owe_task(1, 1)
        owed.claim(NOW + SECOND)
        assert [followup.id for followup in owed.claim(NOW + SECOND + LEASE, at_most=9)] == [first]

    def test_a_lease_from_the_future_holds_up_nobody(self, owed: FollowupQueue, owe_task: Make) -> None:
        """It was taken by a clock that was ahead."""
        far = NOW + 100 * LEASE
        first, _second = owe_task(1, 0, leased_until=far), owe_task(1, 1)
        other = owe_task(2, 2, leased_until=far)
        assert [followup.id for followup in owed.claim(NOW + 2 * SECOND, at_most=9)] == [first, other]

    def test_a_lease_taken_since_one_read_the_clock_holds(self, owed: FollowupQueue, owe_task: Make) -> None:
        """A worker that waits for the database has an earlier `now` than the one that claimed before it."""
        first, _second, other = owe_task(1, 0), owe_task(1, 1), owe_task(2, 2)
        assert [followup.id for followup in owed.claim(NOW + 5 * SECOND)] == [first]
        assert [followup.id for followup in owed.claim(NOW + 2 * SECOND, at_most=9)] == [other]

    def test_what_a_person_waits_for_comes_before_older_ones(self, owed: FollowupQueue, owe_task: Make) -> None:
        owe_task(1, 0)
        asked_for = owe_task(1, 1, key="complete:1")
        assert [followup.id for followup in owed.claim(NOW + SECOND, key="complete:1")] == [asked_for]

    def test_what_a_person_waits_for_waits_for_the_one_at_work(self, owed: FollowupQueue, owe_task: Make) -> None:
        owe_task(1, 0)
        owe_task(1, 1, key="complete:1")
        (at_work,) = owed.claim(NOW + SECOND)
        assert owed.claim(NOW + SECOND, key="complete:1") == ()
        owed.done(at_work, NOW)
        assert len(owed.claim(NOW + SECOND, key="complete:1")) == 1

    def test_an_unknown_kind_holds_up_its_task_only_while_it_is_executed(
        self, owed: FollowupQueue, owe_task: Make
    ) -> None:
        owe_task(1, 0, kind="brew_coffee")
        owe_task(2, 0, kind="brew_coffee", leased_until=NOW + LEASE)
        known, held_up = owe_task(1, 1), owe_task(2, 1)
        assert [followup.id for followup in owed.claim(NOW + SECOND, at_most=9)] == [known]
        assert [followup.id for followup in owed.claim(NOW + LEASE, at_most=9)] == [held_up]

    def test_rows_of_an_older_version_are_claimed_without_order(self, owed: FollowupQueue, owe_task: Make) -> None:
        first, second = owe_task(1, 0, task_sid=None), owe_task(1, 1, task_sid=None)
        assert [followup.id for followup in owed.claim(NOW + SECOND, at_most=9)] == [first, second]

    def test_the_newest_and_the_oldest_share_the_places(self, owed: FollowupQueue, owe_task: Make) -> None:
        ids = [owe_task(number, number) for number in range(8)]
        claimed = owed.claim(NOW + 9 * SECOND, at_most=4, newest=3)
        assert {followup.id for followup in claimed} == {ids[0], *ids[5:]}
        claimed = owed.claim(NOW + 9 * SECOND, at_most=9, newest=6)
        assert {followup.id for followup in claimed} == set(ids[1:5])

    def test_workers_that_ask_at_once_keep_the_order(self, owed: FollowupQueue, owe_task: Make) -> None:
        for number in range(60):
            owe_task(number % 6, number)
        at_work: set[str] = set()
        ended: list[int] = []

        def work(_worker: int) -> None:
            while claimed := owed.claim(NOW + 90 * SECOND, at_most=3, newest=2):
                tasks = {followup.task_sid or "" for followup in claimed}
                assert not tasks & at_work, "two of one task at once"
                at_work.update(tasks)
                for followup in claimed:
                    ended.append(followup.id)
                    at_work.discard(followup.task_sid or "")
                    owed.done(followup, NOW)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(4)))
        while claimed := owed.claim(NOW + 90 * SECOND):  # a worker ends when others hold the last of each task
            ended += [followup.id for followup in claimed]
            owed.done(claimed[0], NOW)
        by_task = {task: [each for each in ended if each % 6 == task] for task in range(6)}
        assert all(len(ids) == 10 and ids == sorted(ids) for ids in by_task.values())


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
