"""PUBLIC_URL and what became of the signed event, when all is well and when it is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from enrich.diagnosis import reach
from enrich.diagnosis.reach import RoundTrip
from enrich.domain.findings import Level
from tests.support.diagnosis import OK, PROBLEM, PUBLIC_URL, WARNING, expect

TWILIO = "https://taskrouter.twilio.com"
TRIP = RoundTrip(f"{PUBLIC_URL}/taskrouter/events", 204, 40.0, recorded=True)


@pytest.mark.parametrize(
    ("url", "taskrouter", "level"),
    [
        (PUBLIC_URL, TWILIO, OK),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8810", OK),
        ("http://hooks.example.test", TWILIO, WARNING),
        ("http://127.0.0.1:8000", TWILIO, PROBLEM),
        ("https://localhost", TWILIO, PROBLEM),
        ("https://10.1.2.3", TWILIO, PROBLEM),
        ("https://enrich.internal", TWILIO, PROBLEM),
        ("https://enrich", TWILIO, PROBLEM),
    ],
)
def test_public_url(url: str, taskrouter: str, level: Level) -> None:
    expect(reach.public_address(url, taskrouter), "public_url", level, url)


@pytest.mark.parametrize(
    ("change", "level", "told"),
    [
        ({}, OK, "is in the journal"),
        ({"elapsed_ms": 1500.0}, WARNING, "1500 ms"),
        ({"recorded": False}, PROBLEM, "another database"),
        ({"status": 403}, PROBLEM, "X-Twilio-Signature"),
        ({"status": 403, "good_for": "http://hooks.example.test"}, PROBLEM, "PUBLIC_URL http://hooks.example.test"),
        ({"status": 403, "loses_query": True}, PROBLEM, "order of its parameters"),
        (
            {"status": 301, "location": "https://www.example.test/taskrouter/events"},
            PROBLEM,
            "https://www.example.test",
        ),
        ({"status": 404}, PROBLEM, "does not lead to this service"),
        ({"status": 404, "origin_is_us": True}, PROBLEM, "take /enrich off"),
        ({"status": 401}, PROBLEM, "asks for a password"),
        ({"status": 502}, PROBLEM, "start gunicorn"),
        ({"status": 503}, PROBLEM, "could not be recorded"),
        ({"status": 200}, PROBLEM, "204 was expected"),
        ({"status": None, "failed": "name"}, PROBLEM, "DNS"),
        ({"status": None, "failed": "tls", "detail": "self-signed"}, PROBLEM, "self-signed"),
        ({"status": None, "failed": "refused"}, PROBLEM, "connection is refused"),
        ({"status": None, "failed": "timeout"}, PROBLEM, "in time"),
        ({"status": None, "failed": "other", "detail": "InvalidURL"}, PROBLEM, "InvalidURL"),
    ],
)
def test_round_trip(change: dict[str, Any], level: Level, told: str) -> None:
    trip = replace(TRIP, **({"recorded": None} if change.get("status", 204) != 204 else {}) | change)
    expect(reach.round_trip(trip), "round_trip", level, told)


def test_other_addresses_that_a_service_may_think_it_has() -> None:
    addresses = reach.addresses_like("https://hooks.example.test:8443/enrich")
    assert {
        "http://hooks.example.test:8443/enrich",
        "https://hooks.example.test/enrich",
        "https://hooks.example.test:8443",
        "http://localhost:8000",
    } <= set(addresses)
    assert "https://hooks.example.test:8443/enrich" not in addresses


@pytest.mark.parametrize(
    ("trusted", "has_untrusted", "level", "told"),
    [
        (0, False, OK, "no proxy was seen"),
        (0, True, WARNING, "X-Forwarded-For arrives"),
        (1, False, OK, "ENRICH_TRUSTED_PROXIES is 1"),
    ],
)
def test_proxies_in_front(trusted: int, has_untrusted: bool, level: Level, told: str) -> None:
    expect(reach.proxies(trusted, has_untrusted=has_untrusted), "trusted_proxies", level, told)
