"""The confirmation of the worker's clock. Whole workers are run by the scenarios."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from flask import Flask

from tests.support.app import run_command as run
from tests.support.app import services_of
from tests.support.journal import Make


def test_a_clock_that_was_in_doubt_is_confirmed(app: Flask, make_entry: Make) -> None:
    now, heartbeats = datetime.now(UTC), services_of(app).heartbeats
    make_entry(received_at=now - timedelta(days=91))
    assert not heartbeats.beat(now)
    status, output = run(app, "worker", "--confirm-clock")
    assert (status, output.endswith("old entries are pruned again.\n")) == (0, True)
    assert heartbeats.clock_in_doubt_since() is None
