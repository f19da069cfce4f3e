"""`flask taskrouter doctor` on the sources of an application; TaskRouter and PUBLIC_URL are not asked."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from tests.support.app import run_command, services_of
from tests.support.fixtures import MakeApp
from tests.support.stored_streams import held_stream, quarantine_rows, store_stream, write_sources_file

CHECKS = ("sources_file", "sync", "brake", "quarantine")


@pytest.fixture
def app(make_app: MakeApp, database_url: str, tmp_path: Path) -> Flask:
    """An application with a database as a source, `erp`, and a system that sends, `shop`."""
    return make_app(
        DATABASE_URL=database_url,
        ENRICH_SOURCES=write_sources_file(tmp_path),
        TWILIO_ACCOUNT_SID="",
        TWILIO_AUTH_TOKEN="",
        PUBLIC_URL="",
    )


def told(app: Flask) -> list[tuple[str, str, str]]:
    """Return level, check and observation of what the doctor finds of sources."""
    _, output = run_command(app, "taskrouter", "doctor", "--json")
    findings: list[dict[str, Any]] = json.loads(output[output.index("{") :])["findings"]
    return [(one["level"], one["check"], one["found"]) for one in findings if one["check"] in CHECKS]


def test_a_source_that_was_never_read(app: Flask) -> None:
    assert told(app)[1:] == [("problem", "sync", "erp was never read")]


def test_a_source_whose_first_pass_is_only_asked_for(app: Flask) -> None:
    store_stream(services_of(app), "erp", requested="full")
    assert told(app)[1:] == [("problem", "sync", "erp was never read whole")]


def test_a_source_that_is_held_and_has_records_in_quarantine(app: Flask) -> None:
    store_stream(services_of(app), "erp", **held_stream())
    quarantine_rows(services_of(app).database, "erp", [{"key": "7", "name": ""}])
    _, sync, brake, quarantine = told(app)
    assert sync[:2] == ("ok", "sync")
    assert brake[:2] == ("problem", "brake")
    assert brake[2].startswith("erp: 1,204 of 20,000 customers would be gone")
    assert quarantine[:2] == ("warning", "quarantine")


def test_a_source_that_is_stopped(app: Flask) -> None:
    at = datetime.now(UTC) - timedelta(days=1)
    store_stream(services_of(app), "erp", problem="source_refused", detail="no such role", full_at=at, window_at=at)
    assert told(app)[1:] == [("problem", "sync", "erp is not read any more: source_refused: no such role")]


def test_sources_that_are_not_declared_are_not_told(app: Flask) -> None:
    store_stream(services_of(app), "old-crm", problem="source_refused")
    assert not [found for _, _, found in told(app) if "old-crm" in found]
