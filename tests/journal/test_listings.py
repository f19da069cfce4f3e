"""Tasks and follow-ups page by page, for whoever reads all of them while others arrive and go."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, text, update

from enrich.database.engine import Database
from enrich.database.types import MAX_ROW_ID
from enrich.journal import feed, timeline
from enrich.journal.feed import ArrivedTask
from enrich.journal.listed_followups import FollowupState, ListedFollowup, followups_before, state_of
from enrich.journal.tables import EntryRow, FollowupRow
from tests.support.journal import Make
from tests.support.plans import READS_A_TABLE, plans_of

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def all_tasks(database: Database, *, limit: int, range_size: int = 100, timeout_s: float = 1.0) -> list[str | None]:
    """Return the SIDs of all tasks, read so many at a time."""
    found: list[str | None] = []
    before = None
    while True:
        page = feed.arrived_ids(database, limit=limit, before=before, range_size=range_size, timeout_s=timeout_s)
        found += [one.newest.task_sid for one in feed.arrived_tasks(database, page.entry_ids)]
        if page.continue_before is None:
            return found
        assert before is None or page.continue_before < before
        before = page.continue_before


def arrived(
    database: Database, since: datetime | None = None, until: datetime | None = None
) -> tuple[ArrivedTask, ...]:
    """Return the tasks that arrived in this period."""
    page = feed.arrived_ids(database, limit=10, since=since, until=until)
    assert page.continue_before is None
    return feed.arrived_tasks(database, page.entry_ids)


class TestTasks:
    def test_a_task_keeps_its_place_and_shows_its_newest_entry(self, database: Database, make_entry: Make) -> None:
        make_entry(task_sid="WT1", received_at=NOW, outcome="could_not_look", match=None)
        make_entry(task_sid="WT2", received_at=NOW + timedelta(minutes=1))
        late = make_entry(task_sid="WT1", received_at=NOW + timedelta(minutes=2), kind="late")
        make_entry(task_sid="WT1", kind="event", event_type="reservation.accepted", outcome=None)
        make_entry(task_sid="WT3", kind="event", event_type="task.created", outcome=None)
        make_entry(task_sid=None, outcome="malformed")
        second, first = arrived(database)
        assert (second.newest.task_sid, second.arrived_at) == ("WT2", NOW + timedelta(minutes=1))
        assert (first.newest.task_sid, first.arrived_at) == ("WT1", NOW)
        assert (first.newest.id, first.newest.kind) == (late, "late")

    @pytest.mark.parametrize("limit", [1, 2, 3, 5, 100])
    @pytest.mark.parametrize("timeout_s", [1.0, 0.0], ids=["in time", "out of time after every range"])
    def test_pages_follow_each_other_whatever_their_size(
        self, database: Database, make_entry: Make, limit: int, timeout_s: float
    ) -> None:
        for number in (1, 2, 1, 3, 3, 4, 1, 5):
            make_entry(task_sid=f"WT{number}")
        found = all_tasks(database, limit=limit, range_size=2, timeout_s=timeout_s)
        assert found == ["WT5", "WT4", "WT3", "WT2", "WT1"]

    def test_a_period_counts_a_task_by_its_arrival(self, database: Database, make_entry: Make) -> None:
        for hour in range(6):
            make_entry(task_sid=f"WT{hour}", received_at=NOW + timedelta(hours=hour))
        make_entry(task_sid="WT0", received_at=NOW + timedelta(hours=3), kind="late")
        found = arrived(database, since=NOW + timedelta(hours=2), until=NOW + timedelta(hours=4))
        assert [one.newest.task_sid for one in found] == ["WT3", "WT2"]
        assert arrived(database, since=NOW + timedelta(days=9)) == ()

    def test_one_task_is_as_the_list_shows_it(self, database: Database, make_entry: Make) -> None:
        make_entry(task_sid="WT1", received_at=NOW)
        make_entry(task_sid="WT1", kind="late", received_at=NOW + timedelta(minutes=1))
        make_entry(task_sid="WT1", kind="event", event_type="task.completed", outcome=None)
        make_entry(task_sid="WT2", kind="event", event_type="task.created", outcome=None)
        assert (feed.arrived_task(database, "WT1"),) == arrived(database)
        only_events = feed.arrived_task(database, "WT2")
        assert only_events
        assert only_events.newest.event_type == "task.created"
        assert feed.arrived_task(database, "WT3") is None

    def test_its_entries_come_in_full_and_in_pages(self, database: Database, make_entry: Make) -> None:
        ids = [make_entry(task_sid="WT1", kind=kind) for kind in ("warm", "event", "assignment")]
        make_entry(task_sid="WT2")
        first = timeline.full_entries(database, "WT1", after=0, at_most=2)
        rest = timeline.full_entries(database, "WT1", after=first[-1].id, at_most=2)
        assert [entry.id for entry in first + rest] == ids
        assert first[0].attributes_before == '{"from":"+14155550100"}'


class TestFollowups:
    @pytest.fixture
    def some(self, database: Database, make_entry: Make, make_followup: Make) -> dict[int, FollowupState]:
        states = {}
        for number in range(9):
            entry_id = make_entry(task_sid=f"WT{number}")
            kind = list(FollowupState)[number % 3]
            endings: dict[FollowupState, dict[str, Any]] = {
                FollowupState.PENDING: {},
                FollowupState.DONE: {"due_at": None, "done_at": NOW},
                FollowupState.GIVEN_UP: {"due_at": None, "given_up_at": NOW, "last_reason": "rate_limited"},
            }
            states[make_followup(entry_id, **endings[kind])] = kind
        return states

    @pytest.mark.parametrize("state", [None, *FollowupState], ids=str)
    @pytest.mark.parametrize("limit", [1, 2, 50])
    def test_pages_hold_those_of_a_state(
        self, database: Database, some: dict[int, FollowupState], state: FollowupState | None, limit: int
    ) -> None:
        found: list[ListedFollowup] = []
        before = MAX_ROW_ID
        while page := followups_before(database, before, state=state, at_most=limit):
            found += page
            before = page[-1].id
        expected = {one: kind for one, kind in some.items() if state in (None, kind)}
        assert {one.id: state_of(one) for one in found} == expected
        assert [one.id for one in found] == sorted(expected, reverse=True)
        assert all(one.task_sid == f"WT{one.entry_id - 1}" for one in found)

    def test_one_that_ends_meanwhile_moves_no_other(self, database: Database, some: dict[int, FollowupState]) -> None:
        pending = [one for one, state in some.items() if state is FollowupState.PENDING]
        (newest,) = followups_before(database, MAX_ROW_ID, state=FollowupState.PENDING, at_most=1)
        database.write(update(FollowupRow).where(FollowupRow.id == newest.id).values(due_at=None, done_at=NOW))
        rest = followups_before(database, newest.id, state=FollowupState.PENDING, at_most=9)
        assert [newest.id, *(one.id for one in rest)] == pending[::-1]


def test_every_page_is_answered_from_an_index(owned_database: Database) -> None:
    """On either database, with enough rows: no table is read through."""
    database = owned_database
    entries = [
        {"kind": "assignment", "claim": "0" * 16, "received_at": NOW, "task_sid": f"WT{number % 2000}"}
        for number in range(4000)
    ]
    database.commit(lambda connection: connection.execute(insert(EntryRow), entries))
    database.write(
        text(
            "INSERT INTO followups (kind, entry_id, task_sid, created_at, due_at, done_at, given_up_at, attempts,"
            " last_reason) SELECT 'enrich', id, task_sid, received_at, CASE WHEN id % 100 = 1 THEN received_at END,"
            " CASE WHEN id % 100 > 2 THEN received_at END, CASE WHEN id % 100 = 2 THEN received_at END, 0, ''"
            " FROM entries"
        )
    )
    plans = plans_of(
        database,
        lambda: feed.arrived_ids(database, limit=50),
        lambda: feed.arrived_ids(database, limit=50, before=2000, since=NOW, until=NOW + timedelta(hours=1)),
        lambda: feed.arrived_tasks(database, range(1950, 2000)),
        lambda: feed.arrived_task(database, "WT7"),
        lambda: timeline.full_entries(database, "WT7", after=0, at_most=50),
        lambda: timeline.task_followups(database, "WT7"),
    )
    assert len([plan for plan in plans if "ix_entries_task_sid" in plan]) >= 5
    assert "entries" not in [table for plan in plans for table in READS_A_TABLE.findall(plan)], plans


@pytest.mark.parametrize(
    ("state", "index"),
    [
        (None, "PRIMARY KEY|pk_followups"),
        (FollowupState.PENDING, "ix_followups_due_at"),
        (FollowupState.DONE, "PRIMARY KEY|pk_followups"),
        (FollowupState.GIVEN_UP, "ix_followups_given_up_at"),
    ],
    ids=str,
)
def test_follow_ups_of_each_state_are_found_by_an_index(
    owned_database: Database, make_entry: Make, state: FollowupState | None, index: str
) -> None:
    database = owned_database
    entry_id = make_entry()
    rows = [
        {
            "kind": "enrich",
            "entry_id": entry_id,
            "task_sid": f"WT{number}",
            "created_at": NOW,
            "due_at": NOW if number % 100 == 1 else None,
            "done_at": NOW if number % 100 > 2 else None,
            "given_up_at": NOW if number % 100 == 2 else None,
        }
        for number in range(4000)
    ]
    database.commit(lambda connection: connection.execute(insert(FollowupRow), rows))
    (plan,) = plans_of(database, lambda: followups_before(database, 3000, state=state, at_most=5))
    assert re.search(index, plan), plan
    assert "followups" not in READS_A_TABLE.findall(plan), plan
