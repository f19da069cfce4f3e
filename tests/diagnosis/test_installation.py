"""Our own side, when all is well and when it is not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from enrich.diagnosis import installation
from enrich.domain.findings import Level
from tests.support.diagnosis import OK, PROBLEM, WARNING, expect

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
LONG = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("key", "level", "told"),
    [
        (LONG, OK, ""),
        ("0123456789abcdef", WARNING, "only 16 characters"),
        ("secret", PROBLEM, "can be guessed"),
        ("changeme123!", PROBLEM, "can be guessed"),
        ("a" * 64, PROBLEM, "can be guessed"),
        ("", PROBLEM, "not set"),
    ],
)
def test_secret_key(key: str, level: Level, told: str) -> None:
    expect(installation.secret_key(key, ""), "secret_key", level, told)


def test_a_short_metrics_token() -> None:
    expect(installation.secret_key(LONG, "abc"), "metrics_token", PROBLEM, "only 3 characters")
    assert "metrics_token" not in {each.check for each in installation.secret_key(LONG, LONG)}


def test_no_finding_tells_a_secret() -> None:
    findings = list(installation.secret_key("hunter2", "token7"))
    assert not any("hunter2" in str(each) or "token7" in str(each) for each in findings)


@pytest.mark.parametrize(
    ("modes", "level", "told"),
    [
        ({}, OK, ""),
        ({".env": 0o100600, "enrich.db": 0o100640}, OK, ""),
        ({".env": 0o100644, "enrich.db": 0o100600}, WARNING, "every user of this machine can open .env"),
        ({".env": 0o100644, "enrich.db": 0o100602}, WARNING, ".env, enrich.db"),
    ],
)
def test_files(modes: dict[str, int], level: Level, told: str) -> None:
    expect(installation.files(modes), "files", level, told)


def test_policy() -> None:
    expect(installation.policy("", ""), "policy", OK)
    expect(installation.policy("p.toml", ""), "policy", OK, "valid")
    expect(installation.policy("p.toml", "rule 1: no\nrule 2: no"), "policy", PROBLEM, "rule 1: no; rule 2: no")


def test_writable() -> None:
    expect(installation.writable(""), "database", OK)
    expect(installation.writable("read-only"), "database", PROBLEM, "read-only")


def test_schema() -> None:
    expect(installation.schema("b", "b"), "migrations", OK)
    expect(installation.schema("a", "b"), "migrations", PROBLEM, "flask db upgrade")
    expect(installation.schema(None, "b"), "migrations", PROBLEM, "at nothing")
    expect(installation.schema(None, None, failed="gone"), "database", PROBLEM, "gone")


@pytest.mark.parametrize(
    ("skew_s", "level", "told"),
    [
        (0.4, OK, ""),
        (-1.9, OK, ""),
        (7.0, WARNING, "7 s behind TaskRouter's"),
        (-7.0, WARNING, "7 s ahead of TaskRouter's"),
        (3600.0, PROBLEM, "3600 s behind"),
        (None, WARNING, "could not be examined"),
    ],
)
def test_clock(skew_s: float | None, level: Level, told: str) -> None:
    expect(installation.clock(skew_s, "TaskRouter"), "clock_taskrouter", level, told)


QUIET = {
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_min_duration_sample": "-1",
    "log_transaction_sample_rate": "0",
    "log_parameter_max_length": "-1",
    "log_parameter_max_length_on_error": "0",
}


@pytest.mark.parametrize(
    ("changes", "level", "told"),
    [
        ({}, OK, "does not log"),
        ({"log_statement": "ddl"}, OK, "does not log"),
        ({"log_statement": "mod"}, WARNING, "(log_parameter_max_length is -1)"),
        ({"log_min_duration_statement": "250"}, WARNING, "(log_parameter_max_length is -1)"),
        ({"log_min_duration_sample": "0"}, WARNING, "(log_parameter_max_length is -1)"),
        ({"log_transaction_sample_rate": "0.01"}, WARNING, "(log_parameter_max_length is -1)"),
        ({"log_statement": "all", "log_parameter_max_length": "20"}, WARNING, "(log_parameter_max_length is 20)"),
        ({"log_statement": "all", "log_parameter_max_length": "0"}, OK, "does not log"),
        ({"log_parameter_max_length_on_error": "-1"}, WARNING, "(log_parameter_max_length_on_error is -1)"),
    ],
)
def test_server_log(changes: dict[str, str], level: Level, told: str) -> None:
    expect(installation.server_log(QUIET | changes), "server_log", level, told)


@pytest.mark.parametrize(
    ("silent", "level", "told"),
    [
        (timedelta(seconds=5), OK, "5 s ago"),
        (timedelta(seconds=-2), OK, "0 s ago"),
        (timedelta(minutes=10), PROBLEM, "10 min ago"),
        (timedelta(hours=30), PROBLEM, "30 h ago"),
        (None, PROBLEM, "no worker has ever"),
    ],
)
def test_worker(silent: timedelta | None, level: Level, told: str) -> None:
    last = None if silent is None else NOW - silent
    expect(installation.worker(last, NOW, timedelta(seconds=90), timedelta(minutes=1)), "worker", level, told)


def test_followups() -> None:
    expect(installation.followups(3.0, 2, 0), "followups", OK, "2 follow-ups")
    expect(installation.followups(600.0, 2, 0), "followups", WARNING, "oldest due for 10 min")
    expect(installation.followups(0.0, 0, 4), "followups_given_up", WARNING, "4 follow-ups were given up")
    expect(installation.followups(0.0, 3, 0, 2), "followups_unknown", WARNING, "2 pending follow-ups are of a kind")
