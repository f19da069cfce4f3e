"""Follow-ups that end their worker, and follow-ups whose data no handler of this version can read."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import NoReturn, cast

import pytest
from flask import Flask
from sqlalchemy import select, update

from enrich.database.engine import Database
from enrich.domain.outcomes import FollowupKind
from enrich.flows.dispatcher import MAX_ATTEMPTS, FollowupDispatcher
from enrich.journal.followups import LEASE
from enrich.journal.tables import FollowupRow
from enrich.services import flows_of
from enrich.taskrouter.client import TaskRouterClient
from tests.support.app import services_of
from tests.support.fixtures import MakeApp
from tests.support.journal import Make

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
POISON, OTHER = "WT" + "4" * 32, "WT" + "5" * 32


class Killed(BaseException):
    """The process ends: no handler of errors sees it."""


class KillingTaskRouter:
    """A TaskRouter whose answer is more than the process has memory for."""

    def fetch_task(self, *_: object, **__: object) -> NoReturn:
        raise Killed


@pytest.fixture
def app(make_app: MakeApp) -> Flask:
    return make_app()


@pytest.fixture
def database(app: Flask) -> Database:
    return services_of(app).database


def dispatcher_at(app: Flask, now: datetime) -> FollowupDispatcher:
    services = services_of(app)
    taskrouter = cast(TaskRouterClient, KillingTaskRouter())
    adapters = replace(services.adapters, taskrouter=taskrouter, now=lambda: now)
    return flows_of(adapters, services.rules)["dispatcher"]


def ending(database: Database, followup_id: int) -> tuple[int, str, bool]:
    """Return its attempts, the reason of the last one, and whether it was given up."""
    columns = (FollowupRow.attempts, FollowupRow.last_reason, FollowupRow.given_up_at)
    (row,) = database.read(select(*columns).where(FollowupRow.id == followup_id))
    return row.attempts, row.last_reason, row.given_up_at is not None


def test_one_that_ends_its_worker_is_given_up_after_the_usual_attempts(
    app: Flask, database: Database, make_entry: Make, make_followup: Make
) -> None:
    poison = make_followup(make_entry(task_sid=POISON, received_at=NOW), due_at=NOW)
    moment = NOW
    for _ in range(MAX_ATTEMPTS):
        with pytest.raises(Killed):
            dispatcher_at(app, moment).run_batch()
        moment += LEASE + timedelta(seconds=1)
    assert ending(database, poison) == (MAX_ATTEMPTS, "", False)
    dispatcher_at(app, moment).run_batch()
    assert ending(database, poison) == (MAX_ATTEMPTS + 1, "interrupted", True)
    assert dispatcher_at(app, moment + LEASE).run_batch() == 0


def test_after_a_retry_by_hand_it_has_all_its_attempts_again(
    app: Flask, database: Database, make_entry: Make, make_followup: Make
) -> None:
    poison = make_followup(make_entry(task_sid=POISON, received_at=NOW), due_at=NOW, attempts=MAX_ATTEMPTS)
    dispatcher_at(app, NOW).run_batch()
    assert services_of(app).adapters.followups.retry([poison], NOW) == 1
    with pytest.raises(Killed):
        dispatcher_at(app, NOW).run_batch()


@pytest.mark.parametrize("kind", [FollowupKind.COMPLETE, FollowupKind.WRAP_UP, FollowupKind.HAND_OVER])
def test_a_request_that_cannot_be_read_is_given_up_and_not_half_carried_out(
    app: Flask, database: Database, make_entry: Make, make_followup: Make, kind: FollowupKind
) -> None:
    """Completing one reservation, without the data, would complete the whole task."""
    entry_id = make_entry(task_sid=POISON, received_at=NOW)
    unreadable = make_followup(entry_id, kind=kind, due_at=NOW, data=["of another shape"])
    valid = make_followup(
        make_entry(task_sid=OTHER, outcome="gone"), kind="restore", key=f"restore:{OTHER}", due_at=NOW
    )
    assert dispatcher_at(app, NOW).run_batch() == 2
    assert ending(database, unreadable) == (1, "malformed_payload", True)
    assert ending(database, valid) == (1, "", False)


def test_an_enrichment_needs_no_data(app: Flask, database: Database, make_entry: Make, make_followup: Make) -> None:
    make_followup(make_entry(task_sid=POISON, received_at=NOW), due_at=NOW)
    database.write(update(FollowupRow).values(data="of another shape"))
    with pytest.raises(Killed):  # it was tried
        dispatcher_at(app, NOW).run_batch()
