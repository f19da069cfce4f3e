"""The sinks of Event Streams, read and made with the official SDK."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from enrich.errors import NotAuthorized
from enrich.taskrouter.event_sinks import EventSinks
from tests.support.events_api import EventsApi, serve_events_api

pytestmark = pytest.mark.database  # it starts a server

HERE = "https://hooks.example.test/taskrouter/event-streams"
CREATED, ACCEPTED = "com.twilio.taskrouter.task.created", "com.twilio.taskrouter.reservation.accepted"


@pytest.fixture
def api() -> Iterator[EventsApi]:
    with serve_events_api() as api:
        yield api


@pytest.fixture
def sinks(api: EventsApi) -> EventSinks:
    return EventSinks(api.url, "AC" + "0" * 32, "AC" + "0" * 32, "not-a-real-token")


def test_a_sink_is_read_with_its_events_and_without_its_password(api: EventsApi, sinks: EventSinks) -> None:
    api.add_sink("https://user:pass@hooks.example.test/x", CREATED, "com.twilio.voice.insights.call-summary.complete")
    api.add_sink("arn:aws:kinesis:x", ACCEPTED, sink_type="kinesis")
    (sink,) = sinks.read()
    assert (sink.destination, sink.status, sink.method) == ("https://hooks.example.test/x", "active", "POST")
    assert sink.events == {"task.created"}
    assert sink.subscription_sid == api.subscriptions[0]["sid"]


def test_a_sink_is_made_and_subscribed_to(api: EventsApi, sinks: EventSinks) -> None:
    subscription_sid = sinks.subscribe(sinks.create(HERE), ["task.created"])
    sinks.add_events(subscription_sid, ["reservation.accepted"])
    (sink,) = sinks.read()
    assert (sink.is_active, sink.subscription_sid) == (True, subscription_sid)
    assert sink.events == {"task.created", "reservation.accepted"}
    assert api.types_of(HERE) == [ACCEPTED, CREATED]


def test_a_key_that_may_not_is_named(api: EventsApi, sinks: EventSinks) -> None:
    api.refuses = 403
    with pytest.raises(NotAuthorized):
        sinks.read()
