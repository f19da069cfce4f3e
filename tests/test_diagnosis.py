"""What the doctor's findings mean: each check, when all is well and when it is not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from enrich import diagnosis, lifecycle
from enrich.customers import interactions
from enrich.diagnosis import Finding, Kinds, Lengths, Level, RoundTrip
from enrich.taskrouter.endpoints import NEEDED_EVENTS, SeenWorkflow, SeenWorkspace

PUBLIC_URL = "https://hooks.example.test/enrich"
TWILIO = "https://taskrouter.twilio.com"
NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
LONG = "0123456789abcdef" * 4
OK, WARNING, PROBLEM = Level.OK, Level.WARNING, Level.PROBLEM

WORKFLOW = SeenWorkflow(
    name="Main",
    sid="WW1",
    assignment_url=f"{PUBLIC_URL}/taskrouter/assignment",
    fallback_url=f"{PUBLIC_URL}/taskrouter/assignment/fallback",
    reservation_timeout_s=120,
)
WORKSPACE = SeenWorkspace(
    name="Support",
    sid="WS1",
    events_url=f"{PUBLIC_URL}/taskrouter/events#rc=2&rp=5xx,ct,rt",
    events=NEEDED_EVENTS,
    workflows=(WORKFLOW,),
)
TRIP = RoundTrip(f"{PUBLIC_URL}/taskrouter/events", 204, 40.0, recorded=True)


def found(findings: Finding | Iterable[Finding], check: str) -> Finding:
    """The only finding of this check."""
    several = [findings] if isinstance(findings, Finding) else list(findings)
    (one,) = [each for each in several if each.check == check]
    return one


def expect(findings: Finding | Iterable[Finding], check: str, level: Level, told: str = "") -> None:
    one = found(findings, check)
    assert one.level is level, one
    assert told in f"{one.found} | {one.meaning} | {one.todo}", one
    # Whoever reads that something is wrong reads what it means and what to do.
    assert level is OK or (one.meaning and one.todo), one


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
    expect(diagnosis.secret_key(key, ""), "secret_key", level, told)


def test_a_short_metrics_token() -> None:
    expect(diagnosis.secret_key(LONG, "abc"), "metrics_token", WARNING, "only 3 characters")
    assert "metrics_token" not in {each.check for each in diagnosis.secret_key(LONG, LONG)}


def test_no_finding_tells_a_secret() -> None:
    findings = list(diagnosis.secret_key("hunter2", "token7"))
    assert not any("hunter2" in str(each) or "token7" in str(each) for each in findings)


@pytest.mark.parametrize(
    ("rest", "token", "check", "level"),
    [
        ("ok", None, "credentials", OK),
        ("not_authorized", None, "credentials", PROBLEM),
        ("HTTP 503", None, "credentials", PROBLEM),
        ("ok", "ok", "auth_token", OK),
        ("ok", "not_authorized", "auth_token", PROBLEM),
    ],
)
def test_credentials(rest: str, token: str | None, check: str, level: Level) -> None:
    expect(diagnosis.credentials(rest, token), check, level)


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
    expect(diagnosis.clock(skew_s, "TaskRouter"), "clock_taskrouter", level, told)


def test_workspace() -> None:
    other = replace(WORKSPACE, sid="WS2", name="Sales")
    expect(diagnosis.workspace((WORKSPACE,), ""), "workspace", OK, "'Support' is the only one")
    expect(diagnosis.workspace((WORKSPACE, other), "WS2"), "workspace", OK, "'Sales' is there")
    expect(diagnosis.workspace((WORKSPACE, other), ""), "workspace", WARNING, "2 workspaces")
    expect(diagnosis.workspace((WORKSPACE,), "WS9"), "workspace", PROBLEM, "WS1 (Support)")
    expect(diagnosis.workspace((), ""), "workspace", PROBLEM, "provision")


@pytest.mark.parametrize(
    ("url", "level", "told"),
    [
        (f"{PUBLIC_URL}/taskrouter/assignment", OK, ""),
        (f"{PUBLIC_URL}/taskrouter/assignment#ct=2000", OK, ""),
        ("http://hooks.example.test/enrich/taskrouter/assignment", PROBLEM, "scheme http there, https here"),
        ("https://hooks.example.test:8443/enrich/taskrouter/assignment", PROBLEM, "port 8443 there, none here"),
        ("https://hooks.example.test/taskrouter/assignment", PROBLEM, "path /taskrouter/assignment there"),
        (f"{PUBLIC_URL}/taskrouter/assignment/", PROBLEM, "refused with 403"),
        ("https://old.example.test/taskrouter/assignment", PROBLEM, "host old.example.test there"),
        ("https://elsewhere.example.test/hook", PROBLEM, "no workflow of 'Support' asks"),
        ("", PROBLEM, "no workflow of 'Support' asks"),
    ],
)
def test_assignment_url(url: str, level: Level, told: str) -> None:
    seen = replace(WORKSPACE, workflows=(replace(WORKFLOW, assignment_url=url),))
    expect(diagnosis.workflows(seen, PUBLIC_URL), "assignment_url", level, told)


@pytest.mark.parametrize(
    ("url", "level", "told"),
    [
        (WORKFLOW.fallback_url, OK, ""),
        ("https://lambda.example.test/fallback", OK, ""),
        ("", WARNING, "has no fallback"),
        (WORKFLOW.assignment_url + "#rc=1", WARNING, "just failed"),
    ],
)
def test_fallback_url(url: str, level: Level, told: str) -> None:
    seen = replace(WORKSPACE, workflows=(replace(WORKFLOW, fallback_url=url),))
    expect(diagnosis.workflows(seen, PUBLIC_URL), "fallback_url", level, told)


@pytest.mark.parametrize(("seconds", "level"), [(120, OK), (15, OK), (12, WARNING), (5, PROBLEM)])
def test_reservation_timeout(seconds: int, level: Level) -> None:
    seen = replace(WORKSPACE, workflows=(replace(WORKFLOW, reservation_timeout_s=seconds),))
    expect(diagnosis.workflows(seen, PUBLIC_URL), "reservation_timeout", level, f"{seconds} s")


@pytest.mark.parametrize(
    ("change", "check", "level", "told"),
    [
        ({}, "events_url", OK, ""),
        ({}, "events_filter", OK, ""),
        ({"events_url": ""}, "events_url", WARNING, "sends events nowhere"),
        ({"events_url": "https://else.example.test/e"}, "events_url", WARNING, "else.example.test"),
        (
            {"events_url": "http://hooks.example.test/enrich/taskrouter/events"},
            "events_url",
            PROBLEM,
            "refused with 403",
        ),
        ({"events_url": f"{PUBLIC_URL}/taskrouter/events"}, "event_retries", WARNING, "not sent again"),
        ({"events": None}, "events_filter", WARNING, "every event is sent"),
        ({"events": NEEDED_EVENTS - {"task.created"}}, "events_filter", WARNING, "holds back: task.created"),
    ],
)
def test_events(change: dict[str, object], check: str, level: Level, told: str) -> None:
    seen = replace(WORKSPACE, **change)  # type: ignore[arg-type]
    expect(diagnosis.events(seen, PUBLIC_URL), check, level, told)


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
    expect(diagnosis.public_address(url, taskrouter), "public_url", level, url)


@pytest.mark.parametrize(
    ("change", "level", "told"),
    [
        ({}, OK, "is in the journal"),
        ({"elapsed_ms": 1500.0}, WARNING, "1500 ms"),
        ({"recorded": False}, PROBLEM, "another database"),
        ({"status": 403}, PROBLEM, "X-Twilio-Signature"),
        ({"status": 403, "good_for": "http://hooks.example.test"}, PROBLEM, "to be http://hooks.example.test"),
        (
            {"status": 301, "location": "https://www.example.test/taskrouter/events"},
            PROBLEM,
            "https://www.example.test",
        ),
        ({"status": 404}, PROBLEM, "does not lead to this service"),
        ({"status": 404, "origin_is_us": True}, PROBLEM, "take /enrich off"),
        ({"status": 401}, PROBLEM, "wants a password"),
        ({"status": 502}, PROBLEM, "start gunicorn"),
        ({"status": 503}, PROBLEM, "could not be kept"),
        ({"status": 200}, PROBLEM, "204 was expected"),
        ({"status": None, "failed": "name"}, PROBLEM, "DNS"),
        ({"status": None, "failed": "tls", "detail": "self-signed"}, PROBLEM, "self-signed"),
        ({"status": None, "failed": "refused"}, PROBLEM, "nobody listens"),
        ({"status": None, "failed": "timeout"}, PROBLEM, "in time"),
        ({"status": None, "failed": "other", "detail": "InvalidURL"}, PROBLEM, "InvalidURL"),
    ],
)
def test_round_trip(change: dict[str, object], level: Level, told: str) -> None:
    trip = replace(TRIP, **({"recorded": None} if change.get("status", 204) != 204 else {}) | change)  # type: ignore[arg-type]
    expect(diagnosis.round_trip(trip), "round_trip", level, told)


def test_other_addresses_that_a_service_may_think_it_has() -> None:
    addresses = diagnosis.addresses_like("https://hooks.example.test:8443/enrich")
    assert {
        "http://hooks.example.test:8443/enrich",
        "https://hooks.example.test/enrich",
        "https://hooks.example.test:8443",
        "http://localhost:8000",
    } <= set(addresses)
    assert "https://hooks.example.test:8443/enrich" not in addresses


@pytest.mark.parametrize(
    ("default", "kinds", "level", "told"),
    [
        ("auto", Kinds(100, 50, 50), OK, "50 of them calls"),
        ("defer", Kinds(100, 50, 50), OK, ""),
        ("accept", Kinds(0, 0, 0), OK, "no task seen yet"),
        ("accept", Kinds(100, 0, 0), OK, "suits"),
        ("accept", Kinds(100, 3, 0), PROBLEM, "hold music"),
        ("accept", Kinds(100, 0, 3), PROBLEM, "Flex"),
        ("dequeue", Kinds(100, 3, 0), OK, ""),
        ("dequeue", Kinds(100, 3, 3), PROBLEM, "Flex"),
    ],
)
def test_default_instruction(default: str, kinds: Kinds, level: Level, told: str) -> None:
    expect(diagnosis.instruction(default, "callback", kinds), "instruction", level, told)


@pytest.mark.parametrize(
    ("lengths", "level", "told"),
    [
        (Lengths(0), OK, "no task"),
        (Lengths(10, 900, 800), OK, "900 of 4,096"),
        (Lengths(100, 4000, 3800), WARNING, "more than 3,800"),
        (Lengths(10, 4096, 800, trimmed=1), WARNING, "had to shrink"),
        (Lengths(10, 4096, 800, no_room=2), PROBLEM, "2 times there was no room"),
    ],
)
def test_headroom(lengths: Lengths, level: Level, told: str) -> None:
    expect(diagnosis.headroom(lengths), "headroom", level, told)


def test_schema() -> None:
    expect(diagnosis.schema("b", "b"), "migrations", OK)
    expect(diagnosis.schema("a", "b"), "migrations", PROBLEM, "flask db upgrade")
    expect(diagnosis.schema(None, "b"), "migrations", PROBLEM, "at nothing")
    expect(diagnosis.schema(None, None, failed="gone"), "database", PROBLEM, "gone")


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
    expect(diagnosis.worker(last, NOW, timedelta(seconds=90)), "worker", level, told)


def test_followups() -> None:
    expect(diagnosis.owed(3.0, 2, 0), "followups", OK, "2 follow-ups")
    expect(diagnosis.owed(600.0, 2, 0), "followups", WARNING, "one for 10 min")
    expect(diagnosis.owed(0.0, 0, 4), "followups_given_up", WARNING, "4 follow-ups were given up")


def test_policy() -> None:
    expect(diagnosis.policy("", ""), "policy", OK)
    expect(diagnosis.policy("p.toml", ""), "policy", OK, "valid")
    expect(diagnosis.policy("p.toml", "rule 1: no\nrule 2: no"), "policy", PROBLEM, "rule 1: no; rule 2: no")


def test_the_worst_finding_is_the_status() -> None:
    assert diagnosis.worst([]) is OK
    assert diagnosis.worst([diagnosis.ok("a", "x"), diagnosis.warning("b", "x", "y", "z")]) is WARNING
    assert int(diagnosis.worst([diagnosis.problem("a", "x", "y", "z"), diagnosis.ok("b", "x")])) == 2


def test_the_filter_lets_through_every_event_that_causes_work() -> None:
    causing = {*lifecycle.MISSES, *lifecycle.WRAPPING, *lifecycle.ENDS, *interactions.EVENT_TYPES, "task.created"}
    assert causing <= NEEDED_EVENTS
