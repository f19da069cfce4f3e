"""Lists that are read to their end while rows arrive, change and go: none is missed, and none comes twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import hypothesis
import pytest
from flask import Flask
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select, update

from enrich.customers.tables import CustomerRow
from enrich.database.engine import Database
from enrich.journal.tables import EntryRow, FollowupRow
from tests.support.api import ApiClient
from tests.support.app import services_of
from tests.support.fixtures import MakeApp
from tests.support.journal import insert_entry

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SIDS = [f"WT{number:032x}" for number in range(8)]
LIMITS = st.integers(1, 4)
# Of each list, on either database.
steady = hypothesis.settings(max_examples=max(20, hypothesis.settings().max_examples // 2), deadline=None)


@pytest.fixture
def app(make_app: MakeApp, database_url: str) -> Flask:
    return make_app(DATABASE_URL=database_url, ENRICH_API_RATE="100000")


@pytest.fixture
def database(app: Flask) -> Database:
    return services_of(app).database


@pytest.fixture
def reader(app: Flask) -> ApiClient:
    return ApiClient.with_scopes(app, "read")


def test_every_task_that_was_there_comes_once(database: Database, reader: ApiClient) -> None:
    """Entries and tasks arrive, and the oldest entries are deleted, as `prune` does.

    A task whose first entry was deleted meanwhile may be missing, but comes at most once.
    """
    entry = st.tuples(st.sampled_from(["assignment", "late", "event"]), st.sampled_from(SIDS))
    change = st.just("prune") | entry

    def first_entries() -> dict[str | None, int]:
        rows = database.read(select(EntryRow.task_sid, EntryRow.id).where(EntryRow.kind != "event"))
        firsts: dict[str | None, int] = {}
        for row in sorted(rows, key=lambda row: row.id):
            firsts.setdefault(row.task_sid, row.id)
        return firsts

    def apply(step: str | tuple[str, str]) -> None:
        if isinstance(step, tuple):
            kind, task_sid = step
            insert_entry(database, kind=kind, task_sid=task_sid, received_at=NOW)
        else:
            database.write(delete(EntryRow).where(EntryRow.id.in_(select(EntryRow.id).order_by(EntryRow.id).limit(2))))

    @hypothesis.given(st.lists(entry, max_size=14), st.lists(st.lists(change, max_size=3), max_size=12), LIMITS)
    @steady
    def check(before: list[tuple[str, str]], meanwhile: list[list[str | tuple[str, str]]], limit: int) -> None:
        database.write(delete(EntryRow))
        for arrival in before:
            apply(arrival)
        at_first = first_entries()
        seen: list[str] = []
        for page, changes in zip(reader.pages("/tasks", limit=limit), [*meanwhile, *([[]] * 99)], strict=False):
            assert len(page["tasks"]) <= limit
            seen += [task["task_sid"] for task in page["tasks"]]
            for step in changes:
                apply(step)
        at_last = first_entries()
        assert len(set(seen)) == len(seen)
        assert {sid for sid, first in at_first.items() if at_last.get(sid) == first} <= set(seen)
        assert set(seen) <= set(at_first) | {step[1] for changes in meanwhile for step in changes}

    check()


def test_every_customer_who_was_there_comes_once(database: Database, reader: ApiClient) -> None:
    """Customers arrive, change and go, at any place of the list."""
    ids = st.sampled_from([f"C-{number}" for number in range(30)] + ["É", "c-1", "Z z", "a/b", "漢"])
    change = st.tuples(st.sampled_from(["arrive", "change", "go"]), ids)

    def apply(what: str, customer_id: str) -> None:
        database.write(delete(CustomerRow).where(CustomerRow.id == customer_id))
        if what != "go":
            database.write(insert(CustomerRow).values(id=customer_id, name=what, updated_at=NOW))

    @hypothesis.given(st.sets(ids, max_size=15), st.lists(st.lists(change, max_size=3), max_size=12), LIMITS)
    @steady
    def check(before: set[str], meanwhile: list[list[tuple[str, str]]], limit: int) -> None:
        database.write(delete(CustomerRow))
        for customer_id in before:
            apply("arrive", customer_id)
        seen: list[str] = []
        for page, changes in zip(reader.pages("/customers", limit=limit), [*meanwhile, *([[]] * 99)], strict=False):
            seen += [customer["id"] for customer in page["customers"]]
            for what, customer_id in changes:
                apply(what, customer_id)
        assert len(set(seen)) == len(seen)
        assert before - {customer_id for changes in meanwhile for what, customer_id in changes if what == "go"} <= {
            *seen
        }

    check()


@pytest.mark.parametrize("state", [None, "pending", "done", "given_up"])
def test_every_follow_up_that_keeps_its_state_comes_once(
    database: Database, reader: ApiClient, state: str | None
) -> None:
    """Follow-ups arrive, end, and become due again."""
    endings: dict[str, dict[str, Any]] = {
        "pending": {"due_at": NOW, "done_at": None, "given_up_at": None},
        "done": {"due_at": None, "done_at": NOW, "given_up_at": None},
        "given_up": {"due_at": None, "done_at": None, "given_up_at": NOW},
    }
    states = st.sampled_from(list(endings))
    change = st.tuples(st.none() | st.integers(0, 14), states)
    entry_id = insert_entry(database)
    numbers = count()

    def arrive(as_state: str) -> int:
        values = {"kind": "enrich", "entry_id": entry_id, "created_at": NOW + timedelta(seconds=next(numbers))}
        adding = insert(FollowupRow).values(**values, **endings[as_state]).returning(FollowupRow.id)
        return int(database.write(adding)[0].id)

    @hypothesis.given(st.lists(states, max_size=15), st.lists(st.lists(change, max_size=3), max_size=12), LIMITS)
    @steady
    def check(before: list[str], meanwhile: list[list[tuple[int | None, str]]], limit: int) -> None:
        database.write(delete(FollowupRow))
        kept = {arrive(as_state): as_state for as_state in before}
        there = list(kept)
        seen: list[int] = []
        pages = reader.pages("/followups", limit=limit, state=state)
        for page, changes in zip(pages, [*meanwhile, *([[]] * 99)], strict=False):
            seen += [followup["id"] for followup in page["followups"]]
            for place, as_state in changes:
                if place is None or place >= len(there):
                    arrive(as_state)
                else:
                    changing = update(FollowupRow).where(FollowupRow.id == there[place])
                    database.write(changing.values(**endings[as_state]))
                    kept.pop(there[place], None)
        assert len(set(seen)) == len(seen)
        assert {one for one, as_state in kept.items() if state in (None, as_state)} <= set(seen)

    check()
