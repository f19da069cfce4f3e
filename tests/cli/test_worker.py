"""The worker's loop, and the confirmation of its clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from threading import Event

import pytest
from flask import Flask
from sqlalchemy import select

from enrich.flows.upkeep import Upkeep, UpkeepTasks
from enrich.journal.heartbeats import Heartbeats
from enrich.journal.tables import EntryRow
from enrich.services import Services
from tests.support.app import run_command as run
from tests.support.app import services_of
from tests.support.journal import Make

KEEP = timedelta(days=90)


@pytest.fixture
def services(app: Flask) -> Services:
    return services_of(app)


def prune(services: Services, heartbeats: Heartbeats) -> None:
    """Run a worker's pruning once, with these heartbeats."""
    tasks = UpkeepTasks(
        beat=heartbeats.beat,
        count=lambda _now: None,
        catch_up=lambda _since, _until: 0,
        find_stuck=lambda _now: 0,
        may_prune=lambda: heartbeats.clock_in_doubt_since() is None,
    )
    Upkeep(services.adapters, tasks, KEEP, Event()).prune()


def test_nothing_is_pruned_while_a_clock_is_in_doubt(app: Flask, services: Services, make_entry: Make) -> None:
    now = datetime.now(UTC)
    make_entry(received_at=now - KEEP - timedelta(days=1))
    assert not services.heartbeats.beat(now)
    prune(services, services.heartbeats)
    assert len(services.database.read(select(EntryRow.id))) == 1
    status, output = run(app, "worker", "--confirm-clock")
    assert (status, output.endswith("old entries are pruned again.\n")) == (0, True)
    prune(services, services.heartbeats)
    assert services.database.read(select(EntryRow.id)) == []
