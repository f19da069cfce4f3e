"""Health, readiness and metrics: what each tells, and to whom."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask

from enrich import __version__
from enrich.database.clock import clock_of
from enrich.journal.heartbeats import Heartbeats
from tests.support.app import services_of
from tests.support.fixtures import MakeApp

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
