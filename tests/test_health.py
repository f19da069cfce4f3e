"""Health, readiness and metrics: what each tells, and to whom."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import insert, text

from enrich import __version__
from enrich.database.clock import clock_of
from enrich.errors import DatabaseNotWritable
from enrich.health import FRESH_S, Readiness
from enrich.journal.heartbeats import Heartbeats
from enrich.journal.tables import HeartbeatRow
from tests.support.app import services_of
from tests.support.clock import ManualClock
from tests.support.fixtures import MakeApp
from tests.support.stored_streams import quarantine_rows, store_stream, write_sources_file

TOKEN = {"Authorization": "Bearer not-a-real-metrics-token"}


@pytest.fixture
def app(make_app: MakeApp) -> Flask:
    return make_app(METRICS_TOKEN="not-a-real-metrics-token")


def test_alive_is_one_word(app: Flask) -> None:
    assert app.test_client().get("/healthz").text == "ok\n"


def test_readiness_tells_the_version_with_the_token_only(app: Flask) -> None:
    client = app.test_client()
    assert client.get("/readyz").json == {"ready": True}
    details = client.get("/readyz", headers=TOKEN).json
    assert details is not None
    assert (details["ready"], details["version"]) == (True, __version__)


def test_metrics_tell_the_version_with_the_token_only(app: Flask) -> None:
    client = app.test_client()
    assert client.get("/metrics").status_code == 404
    assert f'enrich_build_info{{version="{__version__}"}} 1.0' in client.get("/metrics", headers=TOKEN).text


class TestClock:
    """Of an application whose database has a clock of its own."""

    @pytest.mark.postgresql
    @pytest.mark.parametrize(
        ("ahead_s", "told"),
        [
            (0, "ok"),
            (3600, "3600 s ahead of the database's, which is used"),
            (-8, "8 s behind the database's, which is used"),
        ],
    )
    def test_a_clock_that_differs_from_the_databases_is_told(
        self, make_app: MakeApp, postgresql: str, ahead_s: float, told: str
    ) -> None:
        app = make_app(METRICS_TOKEN="not-a-real-metrics-token", DATABASE_URL=postgresql)
        services = services_of(app)
        clock = clock_of(services.database, wall=lambda: time.time() + ahead_s)
        clock.synchronize()
        app.extensions["enrich"] = replace(services, clock=clock)
        details = app.test_client().get("/readyz", headers=TOKEN).json
        assert details is not None
        assert details["clock"] == told


class TestReadiness:
    def test_the_database_is_asked_once_a_second_whoever_asks(self, clock: ManualClock) -> None:
        findings = [{"database": "ok"}, {"database": "database_unavailable"}]
        readiness = Readiness(lambda: findings.pop(0), clock)
        for _ in range(100):
            assert readiness.findings() == {"database": "ok"}
        clock.now_s += FRESH_S
        assert readiness.findings() == {"database": "database_unavailable"}

    def test_those_who_ask_at_once_ask_once(self, clock: ManualClock) -> None:
        is_asked, may_answer = threading.Event(), threading.Event()
        asked = 0

        def examine() -> dict[str, str]:
            nonlocal asked
            asked += 1
            is_asked.set()
            may_answer.wait(30)
            return {"database": "ok"}

        readiness = Readiness(examine, clock)
        with ThreadPoolExecutor(8) as pool:
            waiting = [pool.submit(readiness.findings) for _ in range(8)]
            is_asked.wait(30)
            may_answer.set()
            assert [future.result() for future in waiting] == [{"database": "ok"}] * 8
        assert asked == 1

    def test_an_examination_that_fails_is_made_again(self, clock: ManualClock) -> None:
        findings: list[dict[str, str]] = []
        readiness = Readiness(findings.pop, clock)
        with pytest.raises(IndexError):
            readiness.findings()
        findings.append({"database": "ok"})
        assert readiness.findings() == {"database": "ok"}

    def test_a_database_that_cannot_be_written_to_is_not_ready_and_not_up(self, app: Flask) -> None:
        database, client = services_of(app).database, app.test_client()
        database.read(text("PRAGMA query_only = ON"))
        with pytest.raises(DatabaseNotWritable):
            database.write(insert(HeartbeatRow).values(worker="a worker", beat_at=datetime.now(UTC)))
        assert client.get("/readyz").json == {"ready": False}
        response = client.get("/readyz", headers=TOKEN)
        assert response.status_code == 503
        assert response.json is not None
        assert (response.json["database"], response.json["detail"]) == ("database_unavailable", "SQLITE_READONLY")
        metrics = client.get("/metrics", headers=TOKEN).text
        assert "enrich_database_up 0.0" in metrics
        assert "enrich_followups_owed 0.0" in metrics

        database.read(text("PRAGMA query_only = OFF"))
        database.write(insert(HeartbeatRow).values(worker="a worker", beat_at=datetime.now(UTC)))
        assert "enrich_database_up 1.0" in client.get("/metrics", headers=TOKEN).text


class TestWorker:
    @pytest.fixture
    def told(self, app: Flask) -> Callable[[], tuple[str, str]]:
        """The worker's state in `/readyz`, and its silence in the metrics."""

        def told() -> tuple[str, str]:
            client = app.test_client()
            details = client.get("/readyz", headers=TOKEN).json
            assert details is not None
            silence = re.search(
                r"^enrich_worker_silent_seconds (.+)$", client.get("/metrics", headers=TOKEN).text, re.MULTILINE
            )
            assert silence is not None
            return details["worker"], silence[1]

        return told

    def test_a_heartbeat_from_the_future_proves_nothing(self, app: Flask, told: Callable[[], tuple[str, str]]) -> None:
        services_of(app).heartbeats.beat(datetime.now(UTC) + timedelta(hours=3))
        state, silence = told()
        assert state.startswith("heartbeat from the future")
        assert silence == "+Inf"

    def test_a_clock_in_doubt_is_told(self, app: Flask, told: Callable[[], tuple[str, str]]) -> None:
        database = services_of(app).database
        Heartbeats(database).beat(datetime.now(UTC) - timedelta(seconds=5))
        Heartbeats(database).beat(datetime.now(UTC) + timedelta(days=100))
        assert told()[0] == "clock in doubt, nothing is pruned: flask worker --confirm-clock"


class TestSources:
    """The figures of declared sources, as a web process reads them from the database."""

    @pytest.fixture
    def app(self, make_app: MakeApp, database_url: str, tmp_path: Path) -> Flask:
        return make_app(
            DATABASE_URL=database_url,
            METRICS_TOKEN=TOKEN["Authorization"].removeprefix("Bearer "),
            ENRICH_SOURCES=write_sources_file(tmp_path),
        )

    def told(self, app: Flask) -> dict[str, float]:
        lines = app.test_client().get("/metrics", headers=TOKEN).text.splitlines()
        found = {line.partition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if "source=" in line}
        return {name.removeprefix("enrich_source_"): value for name, value in found.items()}

    def test_a_source_that_was_never_read(self, app: Flask) -> None:
        told = self.told(app)
        assert told['behind_seconds{source="erp"}'] == float("inf")
        assert (told['up{source="erp"}'], told['stopped{source="erp"}']) == (0, 0)
        assert told['quarantined{source="shop"}'] == 0
        assert 'behind_seconds{source="shop"}' not in told

    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            ({"lease_until": None}, 0),
            ({}, 1),
            ({"problem": "source_unavailable"}, 0),
            ({"full_at": datetime(2026, 11, 1, tzinfo=UTC)}, 0),
        ],
    )
    def test_the_first_full_pass_is_told_while_it_goes_well(
        self, app: Flask, values: dict[str, Any], expected: int
    ) -> None:
        until = datetime.now(UTC) + timedelta(minutes=2)
        running: dict[str, Any] = {"lease_owner": "process 1 on elsewhere", "lease_until": until}
        store_stream(services_of(app), "erp", **running | values)
        assert self.told(app)['first_full_pass{source="erp"}'] == expected

    def test_a_source_in_sync(self, app: Flask) -> None:
        at = datetime.now(UTC) - timedelta(seconds=30)
        values: dict[str, Any] = {**dict.fromkeys(("full_at", "keys_at", "window_at", "began_at"), at), "ended_at": at}
        store_stream(services_of(app), "erp", **values)
        quarantine_rows(services_of(app).database, "erp", [{"key": "1", "name": ""}])
        told = self.told(app)
        assert 29 < told['behind_seconds{source="erp"}'] < 90
        assert told['interval_seconds{source="erp"}'] == 60
        assert (told['up{source="erp"}'], told['held{source="erp"}'], told['run_seconds{source="erp"}']) == (1, 0, 0)
        assert told['quarantined{source="erp"}'] == 1

    def test_a_source_that_is_stopped_or_held(self, app: Flask) -> None:
        question = {"removed": 30, "records": 30, "of_records": 100, "detail": "30 of 100", "pass": "keys"}
        store_stream(services_of(app), "erp", problem="source_refused", held=question)
        told = self.told(app)
        assert (told['up{source="erp"}'], told['stopped{source="erp"}'], told['held{source="erp"}']) == (0, 1, 30)

    def test_sources_that_are_not_declared_have_none(self, app: Flask) -> None:
        store_stream(services_of(app), "old-crm", problem="source_refused")
        assert not [series for series in self.told(app) if "old-crm" in series]
