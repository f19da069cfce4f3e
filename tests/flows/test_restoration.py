"""The look for an overwritten block, where it does not come to a request; the whole story is a scenario."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from enrich.database.engine import Database
from enrich.domain.deliveries import Delivery
from enrich.domain.outcomes import EntryKind, FollowupKind
from enrich.flows.restoration import CONCLUDED_AFTER, caused_by_update, restoration_key
from enrich.journal.tables import FollowupRow
from enrich.services import flows_of
from tests.support.app import services_of
from tests.support.fixtures import MakeApp
from tests.support.journal import Make

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
TASK = "WT" + "4" * 32


@pytest.fixture
def app(make_app: MakeApp) -> Flask:
    """Nobody is asked: a request would fail, and the follow-up with it."""
    return make_app(TASKROUTER_BASE_URL="http://127.0.0.1:1")


@pytest.fixture
def database(app: Flask) -> Database:
    return services_of(app).database


BLOCK = '{"match":"matched","customer_id":"C-1001"}'
OLD = '{"match":"none","reason":"no_such_key"}'


@pytest.mark.parametrize(
    ("told", "written", "is_owed"),
    [
        pytest.param('{"a":1}', f'{{"crm":{BLOCK}}}', True, id="it-is-gone"),
        pytest.param('{"a":1}', None, True, id="it-is-not-there-and-perhaps-never-was"),
        pytest.param(f'{{"a":1,"crm":{BLOCK}}}', f'{{"crm":{BLOCK}}}', False, id="it-stands"),
        pytest.param(f'{{"crm":{BLOCK}}}', None, False, id="our-first-write-comes-back-before-its-entry"),
        pytest.param(
            '{"crm": {"customer_id": "C-1001", "match": "matched"}}', f'{{"crm":{BLOCK}}}', False, id="spaced"
        ),
        pytest.param(f'{{"crm":{OLD}}}', f'{{"crm":{BLOCK}}}', True, id="an-old-copy"),
        pytest.param(f'{{"crm":{BLOCK[:-1]},"vip":true}}}}', f'{{"crm":{BLOCK}}}', True, id="edited"),
        pytest.param(f'{{"crm":{BLOCK}}}', '{"a":1}', False, id="we-took-a-foreign-one-out-last"),
        pytest.param("", f'{{"crm":{BLOCK}}}', False, id="an-event-without-attributes"),
        pytest.param("[", f'{{"crm":{BLOCK}}}', False, id="nothing-can-be-put-into-it"),
    ],
)
def test_what_an_update_owes(app: Flask, told: str, written: str | None, is_owed: bool) -> None:
    event = Delivery(EntryKind.EVENT, NOW, task_sid=TASK, event_type="task.updated", raw_attributes=told)
    rules = services_of(app).rules
    followups = caused_by_update(event, rules, lambda _task_sid: written)
    assert [followup.kind for followup in followups] == [FollowupKind.RESTORE] * is_owed
    other = replace(event, event_type="reservation.created")
    assert caused_by_update(other, rules, lambda _task_sid: written) == ()


def look(app: Flask, make_entry: Make, make_followup: Make) -> tuple[datetime | None, str]:
    """Run the look that a `task.updated` has caused, and return when it is due again, and why it failed."""
    services = services_of(app)
    caused = make_entry(task_sid=TASK, kind="event", event_type="task.updated", outcome=None, received_at=NOW)
    make_followup(caused, kind=FollowupKind.RESTORE, key=restoration_key(TASK), due_at=NOW)
    adapters = replace(services.adapters, now=lambda: NOW)
    assert flows_of(adapters, services.rules)["dispatcher"].run_batch() == 1
    (row,) = services.database.read(select(FollowupRow.due_at, FollowupRow.last_reason, FollowupRow.leased_until))
    assert row.leased_until is None
    return row.due_at, row.last_reason


def test_a_task_that_was_not_enriched_is_not_looked_at(app: Flask, make_entry: Make, make_followup: Make) -> None:
    make_entry(task_sid=TASK, outcome="could_not_write", received_at=NOW)
    assert look(app, make_entry, make_followup) == (None, "")


def test_while_a_callback_is_at_work_it_waits(app: Flask, make_entry: Make, make_followup: Make) -> None:
    """Its write may have been overwritten already, and its entry does not say so before it is concluded."""
    make_entry(task_sid=TASK, outcome=None, concluded_at=None, received_at=NOW)
    assert look(app, make_entry, make_followup) == (NOW + CONCLUDED_AFTER, "")


def test_an_enriched_task_is_looked_at(app: Flask, make_entry: Make, make_followup: Make) -> None:
    make_entry(task_sid=TASK, received_at=NOW)
    due_at, reason = look(app, make_entry, make_followup)
    assert reason == "taskrouter_unreachable"
    assert due_at is not None
    assert due_at > NOW


@pytest.mark.parametrize(("times", "after_s", "waits_s"), [(1, 10, 20), (2, 10, 290)])
def test_each_time_it_waits_for_longer(
    app: Flask, make_entry: Make, make_followup: Make, times: int, after_s: int, waits_s: int
) -> None:
    """Since the last time."""
    make_entry(task_sid=TASK, received_at=NOW)
    for _ in range(times):
        restored_at = NOW - timedelta(seconds=after_s)
        make_entry(task_sid=TASK, kind="event", event_type="block restored", received_at=restored_at)
    assert look(app, make_entry, make_followup) == (NOW + timedelta(seconds=waits_s), "")


def test_what_was_left_is_not_looked_at_again(app: Flask, make_entry: Make, make_followup: Make) -> None:
    make_entry(task_sid=TASK, received_at=NOW)
    make_entry(task_sid=TASK, kind="event", event_type="block overwritten", received_at=NOW)
    assert look(app, make_entry, make_followup) == (None, "")
