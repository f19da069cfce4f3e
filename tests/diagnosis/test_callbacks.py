"""Checks of a workspace's callback URLs: correct ones, and each mistake."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from enrich.customers import interactions
from enrich.diagnosis import callbacks
from enrich.domain.event_sinks import EventSink
from enrich.domain.findings import Level
from enrich.domain.outcomes import TASK_END_EVENTS
from enrich.flows import lifecycle
from enrich.taskrouter.endpoints import NEEDED_EVENTS
from tests.support.diagnosis import OK, PROBLEM, PUBLIC_URL, WARNING, WORKFLOW, WORKSPACE, expect


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
        ("https://elsewhere.example.test/hook", PROBLEM, "no workflow of 'Support' calls"),
        ("", PROBLEM, "no workflow of 'Support' calls"),
    ],
)
def test_assignment_url(url: str, level: Level, told: str) -> None:
    seen = replace(WORKSPACE, workflows=(replace(WORKFLOW, assignment_url=url),))
    expect(callbacks.workflows(seen, PUBLIC_URL), "assignment_url", level, told)


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
    expect(callbacks.workflows(seen, PUBLIC_URL), "fallback_url", level, told)


@pytest.mark.parametrize(("seconds", "level"), [(120, OK), (15, OK), (12, WARNING), (5, PROBLEM)])
def test_reservation_timeout(seconds: int, level: Level) -> None:
    seen = replace(WORKSPACE, workflows=(replace(WORKFLOW, reservation_timeout_s=seconds),))
    expect(callbacks.workflows(seen, PUBLIC_URL), "reservation_timeout", level, f"{seconds} s")


@pytest.mark.parametrize(
    ("change", "check", "level", "told"),
    [
        ({}, "events_url", OK, ""),
        ({}, "events_filter", OK, ""),
        ({"events_url": ""}, "events_url", WARNING, "sends no events"),
        ({"events_url": "https://else.example.test/e"}, "events_url", WARNING, "else.example.test"),
        (
            {"events_url": "http://hooks.example.test/enrich/taskrouter/events"},
            "events_url",
            PROBLEM,
            "refused with 403",
        ),
        ({"events_url": f"{PUBLIC_URL}/taskrouter/events"}, "event_retries", WARNING, "not sent again"),
        ({"events": None}, "events_filter", WARNING, "every event is sent"),
        ({"events": NEEDED_EVENTS - {"task.created"}}, "events_filter", WARNING, "removes: task.created"),
    ],
)
def test_events(change: dict[str, Any], check: str, level: Level, told: str) -> None:
    seen = replace(WORKSPACE, **change)
    expect(callbacks.events(seen, PUBLIC_URL), check, level, told)


STREAM = f"{PUBLIC_URL}/taskrouter/event-streams"
SINK = EventSink("DG1", STREAM, events=NEEDED_EVENTS)


@pytest.mark.parametrize(
    ("events_url", "sinks", "level", "told"),
    [
        pytest.param("", [SINK], OK, "they come by Event Streams", id="no callback"),
        pytest.param("https://else.example.test/e", [SINK], OK, "they come by Event Streams", id="taken callback"),
        pytest.param(WORKSPACE.events_url, [SINK], OK, "events come to", id="both ways"),
        pytest.param("", [], WARNING, f"let Event Streams deliver to {STREAM}", id="neither way"),
        pytest.param("", [replace(SINK, status="failed")], WARNING, "sends no events", id="a sink that failed"),
        pytest.param("", [replace(SINK, events=frozenset())], WARNING, "sends no events", id="no subscription"),
        pytest.param("http://hooks.example.test/enrich/taskrouter/events", [SINK], PROBLEM, "403", id="nearly ours"),
    ],
)
def test_either_way_in_for_events_will_do(events_url: str, sinks: list[EventSink], level: Level, told: str) -> None:
    seen = replace(WORKSPACE, events_url=events_url)
    expect(callbacks.events(seen, PUBLIC_URL, sinks), "events_url", level, told)


@pytest.mark.parametrize(
    ("change", "level", "told"),
    [
        ({}, OK, "all needed events"),
        ({"destination": f"{STREAM}#x"}, OK, "all needed events"),
        ({"status": "initialized"}, OK, "all needed events"),
        ({"status": "failed"}, PROBLEM, "is failed"),
        ({"method": "GET"}, PROBLEM, "sends by GET"),
        ({"events": NEEDED_EVENTS - {"task.created"}}, WARNING, "task.created"),
        ({"events": frozenset()}, WARNING, "task.wrapup"),
        ({"destination": "http://old.example.test/taskrouter/event-streams/"}, PROBLEM, "every event is refused"),
        ({"destination": f"{PUBLIC_URL}/taskrouter/events"}, PROBLEM, "every event is refused"),
    ],
    ids=str,
)
def test_a_sink_that_leads_here(change: dict[str, Any], level: Level, told: str) -> None:
    elsewhere = EventSink("DG2", "https://reports.example.test/twilio", "failed")
    sinks = [elsewhere, replace(SINK, **change)]
    expect(callbacks.event_stream(sinks, PUBLIC_URL), "event_stream", level, told)


def test_the_filter_lets_through_every_event_that_causes_work() -> None:
    causing = {
        *lifecycle.MISSES,
        *lifecycle.WRAPPING,
        *TASK_END_EVENTS,
        *interactions.EVENT_TYPES,
        "task.created",
        "task.updated",
    }
    assert causing <= NEEDED_EVENTS
