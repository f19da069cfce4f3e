"""The rate limit for log lines: a flood leaves a few of each kind, and their number."""

from __future__ import annotations

import logging

import pytest

from enrich.telemetry.log_rate_limit import LINES_PER_S, MAX_FIELD_LENGTH, LogRateLimit
from tests.support.clock import ManualClock

log = logging.getLogger("enrich.test")


@pytest.fixture
def limit(clock: ManualClock) -> LogRateLimit:
    return LogRateLimit(clock)


def test_a_flood_leaves_a_few_lines_a_second_and_its_number(
    limit: LogRateLimit, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(LINES_PER_S + 1):
        limit.warning(log, "refused", reason="invalid_signature", detail="none")
    assert [record.__dict__.get("suppressed") for record in caplog.records] == [None] * LINES_PER_S
    for _ in range(993):
        limit.warning(log, "refused", reason="invalid_signature")
    clock.now_s += 0.999
    limit.warning(log, "refused", reason="invalid_signature")
    assert len(caplog.records) == LINES_PER_S
    clock.now_s += 0.001
    limit.warning(log, "refused", reason="invalid_signature", detail="none")
    limit.warning(log, "refused", reason="invalid_signature", detail="none")
    assert [record.__dict__.get("suppressed") for record in caplog.records[LINES_PER_S:]] == [995, None]
    assert caplog.records[-1].__dict__["detail"] == "none"


def test_a_flood_hides_no_line_of_another_kind(limit: LogRateLimit, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(100):
        limit.warning(log, "refused", reason="invalid_signature")
    limit.warning(log, "refused", reason="other_workspace")
    limit.warning(log, "card refused", reason="invalid_signature")
    assert len(caplog.records) == LINES_PER_S + 2


def test_text_from_outside_is_cut(limit: LogRateLimit, caplog: pytest.LogCaptureFixture) -> None:
    limit.warning(log, "refused", reason="x", address="9" * 4000, number=4000)
    assert caplog.records[0].__dict__["address"] == "9" * MAX_FIELD_LENGTH
    assert caplog.records[0].__dict__["number"] == 4000
