"""The sinks of Event Streams, read and made with the official SDK."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from enrich.errors import NotAuthorized
from enrich.taskrouter.event_sinks import EventSinks
from taskrouter_emulator import EMULATOR_ONLY, EmulatorServer
from tests.support.event_sinks import add_sink, types_of
from tests.support.scripted_server import ScriptedServer

pytestmark = pytest.mark.database  # it starts a server

HERE = "https://hooks.example.test/taskrouter/event-streams"
CREATED, ACCEPTED = "com.twilio.taskrouter.task.created", "com.twilio.taskrouter.reservation.accepted"


def sinks_at(base_url: str) -> EventSinks:
    return EventSinks(base_url, EMULATOR_ONLY.account_sid, EMULATOR_ONLY.account_sid, EMULATOR_ONLY.auth_token)


@pytest.fixture
def emulator() -> Iterator[EmulatorServer]:
    with EmulatorServer() as emulator:
        yield emulator


@pytest.fixture
def sinks(emulator: EmulatorServer) -> EventSinks:
    return sinks_at(emulator.base_url)


def test_a_sink_is_read_with_its_events_and_without_its_password(emulator: EmulatorServer, sinks: EventSinks) -> None:
    calls = "com.twilio.voice.insights.call-summary.complete"
    add_sink(emulator, "https://user:pass@hooks.example.test/x", CREATED, calls)
    (sink,) = sinks.read()
    assert (sink.destination, sink.status, sink.method) == ("https://hooks.example.test/x", "initialized", "POST")
    assert sink.events == {"task.created"}
    assert [sink.subscription_sid] == list(emulator.state.event_streams.subscriptions)


def test_a_sink_is_made_and_subscribed_to(emulator: EmulatorServer, sinks: EventSinks) -> None:
    subscription_sid = sinks.subscribe(sinks.create(HERE), ["task.created"])
    sinks.add_events(subscription_sid, ["reservation.accepted"])
    (sink,) = sinks.read()
    assert (sink.is_active, sink.subscription_sid) == (True, subscription_sid)
    assert sink.events == {"task.created", "reservation.accepted"}
    assert types_of(emulator, HERE) == [ACCEPTED, CREATED]


def test_a_sink_that_is_no_webhook_is_passed_over(serve: Callable[..., ScriptedServer]) -> None:
    # The emulator has webhooks only, so this answer is scripted.
    kinesis = {"sid": "DG" + "1" * 32, "sink_type": "kinesis", "status": "active", "sink_configuration": {"arn": "x"}}
    body = json.dumps({"sinks": [kinesis], "meta": {"key": "sinks", "next_page_url": None}}).encode()
    server = serve(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    assert sinks_at(server.url).read() == ()
    assert [request.split()[1].partition(b"?")[0] for request in server.got] == [b"/v1/Sinks"]


def test_a_key_that_may_not_is_named(emulator: EmulatorServer, sinks: EventSinks) -> None:
    emulator.faults.status(403, path="/v1/Sinks")
    with pytest.raises(NotAuthorized):
        sinks.read()
