"""The worker's loop, and the confirmation of its clock."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from enrich.flows.worker import Worker, WorkerTasks
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


def one_round(services: Services, beat: Heartbeats) -> None:
    """Run the worker's loop once, with this heartbeat."""
    rounds: Iterator[bool] = iter([False, True])
    tasks = WorkerTasks(
        beat=lambda _now: None,
        catch_up=lambda _since, _until: 0,
        find_stuck=lambda _now: 0,
        may_prune=lambda: beat.clock_in_doubt_since() is None,
        uptime=lambda: 0.0,
    )
    Worker(services.adapters, services.dispatcher, tasks, KEEP).run_until(lambda: next(rounds, True))


def test_nothing_is_pruned_while_a_clock_is_in_doubt(app: Flask, services: Services, make_entry: Make) -> None:
    now = datetime.now(UTC)
    make_entry(received_at=now - KEEP - timedelta(days=1))
    assert not services.heartbeats.beat(now)
    one_round(services, services.heartbeats)
    assert len(services.database.read(select(EntryRow.id))) == 1
    status, output = run(app, "worker", "--confirm-clock")
    assert (status, output.endswith("old entries are pruned again.\n")) == (0, True)
    one_round(services, services.heartbeats)
    assert services.database.read(select(EntryRow.id)) == []
