"""The metrics of the worker's syncs, and its jobs on the application's own database and a database as the source."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from flask import Flask

from enrich.cli.syncs import SyncCounts, sync_jobs
from enrich.customers.arrivals import RecordOutcome
from enrich.domain.streams import Pass
from enrich.flows.sync import Run
from enrich.telemetry.metrics import SYNC_OUTCOMES
from tests.support.app import services_of
from tests.support.fixtures import MakeApp
from tests.support.sources import (
    AN_HOUR_AGO,
    SourceDatabase,
    insert,
    make_customers,
    make_source_database,
    sources_file,
)


def test_each_record_is_counted_once() -> None:
    counted: Counter[str] = Counter()
    count = SyncCounts(lambda outcome, number: counted.update({outcome: number}))
    run = Run(Pass.FULL)
    for _ in range(2):
        run.counts.update(read=50, created=49, quarantined=1)
        count(run)
    count(run)
    assert counted == {"read": 100, "created": 98, "quarantined": 2}
    another = Run(Pass.WINDOW, Counter(read=3, changed=3))
    count(another)
    assert (counted["read"], counted["changed"]) == (103, 3)


def test_what_another_process_read_before_an_interruption_is_not_counted_again() -> None:
    counted: Counter[str] = Counter()
    count = SyncCounts(lambda outcome, number: counted.update({outcome: number}))
    resumed = Run(Pass.FULL, Counter(read=150, created=150), earlier=Counter(read=100, created=100))
    count(resumed)
    assert counted == {"read": 50, "created": 50}


def test_the_metrics_know_every_outcome() -> None:
    assert set(SYNC_OUTCOMES) == {*RecordOutcome, "read", "quarantined", "incomplete"}


@pytest.fixture
def app(make_app: MakeApp, database_url: str, tmp_path: Path) -> Flask:
    path = tmp_path / "sources.toml"
    path.write_text(sources_file())
    return make_app(DATABASE_URL=database_url, ENRICH_SOURCES=str(path))


@pytest.fixture
def erp(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SourceDatabase]:
    with ExitStack() as stack:
        database = make_source_database("sqlite", request, tmp_path, stack)
        make_customers(database)
        insert(database, (1, "Ann", AN_HOUR_AGO), (2, "Bob", AN_HOUR_AGO))
        yield database


@pytest.fixture
def look(app: Flask) -> Callable[[str], dict[str, float]]:
    """Let a worker that was just started look once for what is due, and return what it has counted of syncs."""

    def look(url: str) -> dict[str, float]:
        services = services_of(app)
        for job in sync_jobs(services, {"ERP_URL": url}, threading.Event()):
            job.run()
        text = services.metrics.exposition({}).decode()
        return {series: float(n) for series, n in re.findall(r"^(enrich_sync_\w+_total\S+) (\S+)$", text, re.MULTILINE)}

    return look


def test_runs_and_their_records_are_counted(look: Callable[[str], dict[str, float]], erp: SourceDatabase) -> None:
    counted = {
        'enrich_sync_runs_total{result="complete",source="erp"}': 1,
        'enrich_sync_records_total{outcome="read",source="erp"}': 2,
        'enrich_sync_records_total{outcome="created",source="erp"}': 2,
    }
    assert look(erp.url) == counted
    assert look(erp.url) == counted  # nothing is due, so nothing ran


def test_a_run_that_fails_is_counted_by_its_reason(look: Callable[[str], dict[str, float]], tmp_path: Path) -> None:
    counted = look(f"sqlite:///{tmp_path / 'no-such-folder' / 'erp.db'}")
    ((series, number),) = counted.items()
    assert re.fullmatch(r'enrich_sync_runs_total\{result="source_\w+",source="erp"\}', series)
    assert number == 1
