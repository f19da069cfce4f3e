"""Health, readiness and metrics: what each tells, and to whom."""

from __future__ import annotations

import pytest
from flask import Flask

from enrich import __version__
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
