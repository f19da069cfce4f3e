"""Findings on sources of customers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from enrich.cli.doctor import examine
from enrich.diagnosis import sources
from enrich.domain.findings import Level
from enrich.domain.stream_status import status_of
from enrich.domain.streams import Intervals, Pass, Question, StreamState
from tests.support.app import services_of
from tests.support.fixtures import MakeApp
from tests.support.stored_streams import quarantine_rows, store_stream, write_sources_file

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
INTERVALS = Intervals(every=MINUTE, keys_every=60 * MINUTE, full_every=24 * 60 * MINUTE)
NEVER: dict[str, Any] = dict.fromkeys(("full_at", "keys_at", "window_at"))


@pytest.mark.parametrize(
    ("values", "level", "found"),
    [
        ({}, Level.OK, "erp was read 20 s ago"),
        ({"window_at": NOW - 10 * MINUTE}, Level.OK, "erp was read 10 min ago"),
        ({"window_at": NOW - 20 * MINUTE}, Level.PROBLEM, "erp was read 20 min ago, and is to be read every 60 s"),
        (NEVER, Level.PROBLEM, "erp was never read whole"),
        ({**NEVER, "owner": "x", "counts": {"read": 1204}}, Level.WARNING, "first time, 1,204 records so far"),
        ({"problem": "source_misfit", "detail": "no column tel"}, Level.PROBLEM, "source_misfit: no column tel"),
        ({"problem": "source_unavailable", "failed_since": NOW}, Level.WARNING, "fails since 2026-11-28 12:00 UTC"),
        ({"problem": "source_unavailable", "window_at": NOW - 20 * MINUTE}, Level.PROBLEM, "erp fails"),
    ],
)
def test_the_sync_of_a_source(values: dict[str, Any], level: Level, found: str) -> None:
    times = {"full_at": NOW - 60 * MINUTE, "keys_at": NOW - 5 * MINUTE, "window_at": NOW - timedelta(seconds=20)}
    state = StreamState("erp", "sql", fingerprint="f", **{**times, **values})
    finding = sources.sync("erp", state, status_of(state, INTERVALS, "f", NOW))
    assert (finding.level, found in finding.found) == (level, True)
    assert bool(finding.todo) is (level is not Level.OK)


def test_a_source_that_no_worker_has_seen() -> None:
    assert sources.sync("erp", None, None).level is Level.PROBLEM


def test_what_waits_for_somebody() -> None:
    question = Question(30, 30, 100, "30 of 100 customers would be gone", Pass.KEYS)
    brake, quarantine = sources.waiting("erp", StreamState("erp", "sql", question=question), 1204, 2)
    assert (brake.check, brake.level) == ("brake", Level.PROBLEM)
    assert brake.todo.endswith("flask sources sync erp --accept 30")
    assert (quarantine.check, quarantine.level) == ("quarantine", Level.WARNING)
    assert "1,204 records are not loaded, 2 are loaded without" in quarantine.found
    assert not [*sources.waiting("erp", StreamState("erp", "sql"), 0, 0)]


def test_the_sources_file() -> None:
    assert sources.sources_file("", "").level is Level.OK
    assert sources.sources_file("sources.toml", "").level is Level.OK
    assert sources.sources_file("sources.toml", "line 1: a\nline 2: b").found == "line 1: a; line 2: b"


def test_the_doctor_checks_each_declared_source(make_app: MakeApp, database_url: str, tmp_path: Path) -> None:
    app = make_app(
        DATABASE_URL=database_url,
        ENRICH_SOURCES=write_sources_file(tmp_path),
        PUBLIC_URL="",
        TWILIO_ACCOUNT_SID="",
    )
    services = services_of(app)
    with app.app_context():
        found = {finding.check: finding for finding in examine(services)}
        assert found["sync"].found == "erp was never read"
        assert found["sources_file"].level is Level.OK
        store_stream(services, "erp", problem="source_refused", detail="no rights")
        quarantine_rows(services.database, "shop", [{"key": "1", "name": ""}])
        found = {finding.check: finding for finding in examine(services)}
    assert found["sync"].found == "erp is not read any more: source_refused: no rights"
    assert found["quarantine"].found.startswith("shop: 1 records are not loaded")
