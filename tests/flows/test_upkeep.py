"""The periodic jobs of a worker: pruning, unless a clock is in doubt, and catch-up from where it got to."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Event

import pytest
from flask import Flask
from sqlalchemy import delete, select, update

from enrich import errors
from enrich.accounts import users
from enrich.accounts.attempts import Attempts, from_device
from enrich.accounts.sessions import LASTS, Sessions
from enrich.accounts.tables import AttemptsRow, Role, SessionRow
from enrich.customers.export import export
from enrich.customers.projector import adopt_after
from enrich.customers.source_tables import SourceRecordRow
from enrich.customers.tables import CustomerRow
from enrich.database.engine import Database
from enrich.flows.catch_up import CaughtUp
from enrich.flows.upkeep import Upkeep, UpkeepTasks
from enrich.journal.tables import EntryRow
from enrich.services import Services
from tests.support.app import EMAIL, PASSWORD, services_of
from tests.support.databases import seed_customers
from tests.support.journal import Make

KEEP = timedelta(days=90)


@pytest.fixture
def services(app: Flask) -> Services:
    return services_of(app)


@pytest.fixture
def database(services: Services) -> Database:
    return services.database


def upkeep_of(
    services: Services,
    catch_up: Callable[[datetime, datetime], CaughtUp] = lambda since, _now: CaughtUp(0, since),
) -> Upkeep:
    heartbeats = services.heartbeats
    tasks = UpkeepTasks(
        beat=heartbeats.beat,
        count=lambda _now: None,
        catch_up=catch_up,
        find_stuck=lambda _now: 0,
        may_prune=lambda: heartbeats.clock_in_doubt_since() is None,
        prune=lambda now: Sessions(services.database).prune(now) + Attempts(services.database).prune(now),
        adopt_customers=partial(adopt_after, services.database),
    )
    return Upkeep(services.adapters, tasks, KEEP, Event())


def test_customers_of_code_from_before_the_projection_become_records(services: Services) -> None:
    seed_customers(services.database)
    before = list(export(services.database))
    with services.database.transaction() as session:
        session.execute(delete(SourceRecordRow))
        session.execute(update(CustomerRow).values(projected_version=None))
    upkeep_of(services).adopt_customers()
    records = services.database.read(select(SourceRecordRow.remote_id))
    assert {row.remote_id for row in records} == {one["id"] for one in before}
    versions = services.database.read(select(CustomerRow.version, CustomerRow.projected_version))
    assert {(row.version, row.projected_version) for row in versions} == {(1, 1)}, "nothing that is shown was changed"
    assert list(export(services.database)) == before


def test_nothing_is_pruned_while_a_clock_is_in_doubt(services: Services, make_entry: Make) -> None:
    now = datetime.now(UTC)
    make_entry(received_at=now - KEEP - timedelta(days=1))
    user = users.add(services.database, email=EMAIL, role=Role.VIEWER, password=PASSWORD)
    assert user
    Sessions(services.database).begin(user, "", now - LASTS)
    Attempts(services.database).admit(from_device("x"), now - timedelta(days=2))
    assert not services.heartbeats.beat(now)
    upkeep_of(services).prune()
    assert len(services.database.read(select(EntryRow.id))) == 1
    assert len(services.database.read(select(SessionRow.id))) == 1
    assert len(services.database.read(select(AttemptsRow.key))) == 1
    services.heartbeats.confirm_clock(now)
    upkeep_of(services).prune()
    assert services.database.read(select(EntryRow.id)) == []
    assert services.database.read(select(SessionRow.id)) == []
    assert services.database.read(select(AttemptsRow.key)) == []


@pytest.mark.parametrize(
    ("cut_short", "error"), [(False, None), (True, None), (False, errors.RateLimited())], ids=["done", "cut", "failed"]
)
def test_the_next_catch_up_goes_on_where_this_one_got_to(
    services: Services, cut_short: bool, error: errors.TaskRouterError | None
) -> None:
    reached = datetime.now(UTC) - timedelta(minutes=10)
    periods: list[datetime] = []

    def catch_up(since: datetime, _now: datetime) -> CaughtUp:
        periods.append(since)
        return CaughtUp(3, reached, cut_short, error)

    upkeep = upkeep_of(services, catch_up)
    (job,) = (job for job in upkeep.jobs if job.name == "catch-up")
    job.run()
    assert job.due.is_set() == cut_short  # else it waits for its interval
    job.run()
    assert periods[1] == reached
