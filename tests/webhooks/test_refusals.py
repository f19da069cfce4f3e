"""Refused webhooks in log and metrics."""

from __future__ import annotations

from dataclasses import replace

import pytest
from flask import Flask

from enrich.taskrouter import endpoints
from enrich.telemetry.log_rate_limit import LINES_PER_S, LogRateLimit
from enrich.webhooks import views
from tests.support.app import post_signed, services_of


@pytest.mark.parametrize("path", [endpoints.ASSIGNMENT, endpoints.EVENTS, endpoints.EVENT_STREAMS])
def test_a_flood_of_refused_requests_leaves_few_lines_and_is_counted_in_full(
    app: Flask, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    services = services_of(app)
    hooks = views.application(replace(services, refusals=LogRateLimit(lambda: 0.0)))
    for _ in range(50):
        assert post_signed(hooks, path, {}, signature="wrong").status_code == 403
    assert [record.getMessage() for record in caplog.records] == ["refused"] * LINES_PER_S
    assert 'enrich_refused_total{reason="invalid_signature"} 50.0' in services.metrics.exposition({}).decode()
