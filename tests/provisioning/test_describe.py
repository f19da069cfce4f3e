"""A workspace described: reading the description back and planning it changes nothing."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrich.provisioning.describe import describe
from enrich.provisioning.file import read
from enrich.provisioning.plan import Actual, Existing, Kind, make_plan
from enrich.taskrouter.endpoints import NEEDED_EVENTS, events_url

PUBLIC_URL = "https://hooks.example.test"
WORKSPACE = Existing(
    Kind.WORKSPACE,
    "Support",
    "WS1",
    {
        "multitasking": True,
        "queue_order": "FIFO",
        "events_url": events_url(PUBLIC_URL, 2),
        "events": tuple(sorted(NEEDED_EVENTS | {"worker.created"})),
        "default_activity": "Offline",
        "timeout_activity": None,
    },
)
RESOURCES = (
    Existing(Kind.ACTIVITY, "Offline", "WA1", {"available": False}),
    Existing(Kind.ACTIVITY, 'At "lunch"', "WA2", {"available": False}),
    Existing(Kind.CHANNEL, "callback", "TC1", {"name": "Callback", "optimized_routing": False}),
    Existing(
        Kind.QUEUE,
        "Everyone",
        "WQ1",
        {"workers": 'a == "b\\c"\nAND 1==1', "order": "FIFO", "max_reserved_workers": 1, "reservation_activity": None},
    ),
    Existing(
        Kind.WORKFLOW,
        "Main",
        "WW1",
        {
            "assignment_url": f"{PUBLIC_URL}/taskrouter/assignment",
            "fallback_url": f"{PUBLIC_URL}/taskrouter/assignment/fallback",
            "reservation_timeout_s": 30,
            "routing": {
                "filters": [
                    {
                        "name": "Gold",
                        "expression": "crm.tier == 'gold'",
                        "targets": [
                            {"queue": "Everyone", "timeout_s": 60, "skip_if": "1==1"},
                            {"queue": "Everyone", "known_worker_sid": "task.owner"},
                        ],
                    }
                ],
                "default": {"queue": "Everyone", "priority": 3},
            },
        },
    ),
)


def still_to_do(actual: Actual, streamed: Collection[str] = ()) -> tuple[Any, ...]:
    text = describe(actual, PUBLIC_URL, streamed_events=streamed)
    plan = make_plan(read(text, PUBLIC_URL), actual)
    assert plan.problems == (), text
    return tuple(step.changes for step in plan.to_do)


def test_a_workspace_is_as_its_description_says() -> None:
    assert still_to_do(Actual(WORKSPACE, RESOURCES)) == ()


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"assignment_url": "https://else.example/hook", "fallback_url": ""}, id="somebody else's"),
        pytest.param({"assignment_url": None, "fallback_url": None}, id="nobody's"),
        pytest.param({"fallback_url": "https://else.example/fallback"}, id="its fallback elsewhere"),
        pytest.param({"routing": None}, id="a configuration that cannot be read"),
        pytest.param({"routing": {"filters": [], "default": {"queue": "Everyone"}}}, id="only a default"),
    ],
)
def test_workflows_of_every_sort(fields: dict[str, Any]) -> None:
    workflow = RESOURCES[-1]
    changed = replace(workflow, fields={**workflow.fields, **fields})
    assert still_to_do(Actual(WORKSPACE, (*RESOURCES[:-1], changed))) == ()


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"events_url": "https://else.example/events", "events": None}, id="somebody else's"),
        pytest.param({"events_url": None, "events": None}, id="nobody's"),
        pytest.param({"events_url": f"{PUBLIC_URL}/taskrouter/events"}, id="ours without retries"),
        pytest.param({"events_url": events_url(PUBLIC_URL, 5), "events": tuple(sorted(NEEDED_EVENTS))}, id="with many"),
    ],
)
def test_events_of_every_sort(fields: dict[str, Any]) -> None:
    workspace = replace(WORKSPACE, fields={**WORKSPACE.fields, **fields})
    assert still_to_do(Actual(workspace, RESOURCES)) == ()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        pytest.param(None, "# the event callback is not set;", id="nobody's"),
        pytest.param(
            "https://else.example/events", "# the event callback goes to https://else.example/events;", id="theirs"
        ),
    ],
)
def test_a_comment_says_where_the_event_callback_goes(url: str | None, told: str) -> None:
    workspace = replace(WORKSPACE, fields={**WORKSPACE.fields, "events_url": url, "events": None})
    assert f"\nevents = false  {told}" in describe(Actual(workspace, RESOURCES), PUBLIC_URL)


@pytest.mark.parametrize("url", [events_url(PUBLIC_URL, 2), "https://else.example/events"])
@pytest.mark.parametrize("more", [{"worker.created"}, set()], ids=["further events", "the needed ones"])
def test_an_event_stream_is_described_if_nothing_would_change(url: str, more: set[str]) -> None:
    destination, streamed = f"{PUBLIC_URL}/taskrouter/event-streams", NEEDED_EVENTS | more
    workspace = replace(WORKSPACE, fields={**WORKSPACE.fields, "events_url": url})
    wants_more = url.startswith(PUBLIC_URL)
    subscribed = {"events": tuple(sorted(streamed if wants_more else NEEDED_EVENTS))}
    there = (
        Existing(Kind.SINK, destination, "DG1"),
        Existing(Kind.SUBSCRIPTION, destination, "DF1", subscribed),
    )
    actual = Actual(workspace, (*RESOURCES, *there))
    assert still_to_do(actual, streamed) == ()
    assert ("event_stream = true" in describe(actual, PUBLIC_URL, streamed_events=streamed)) == (
        bool(more) or not wants_more
    )


@given(name=st.text(min_size=1, max_size=64).filter(str.strip), expression=st.text())
def test_any_text_survives(name: str, expression: str) -> None:
    """Names and expressions are anybody's; no surrogates, which JSON over HTTP does not carry."""
    queue = Existing(Kind.QUEUE, name, "WQ9", {"workers": expression})
    assert still_to_do(Actual(WORKSPACE, (RESOURCES[0], queue))) == ()
