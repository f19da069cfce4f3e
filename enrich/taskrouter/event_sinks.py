"""The webhook sinks of Event Streams over REST, and what is subscribed to them; with the official SDK.

Source: docs/taskrouter.md, "Event Streams". The SDK is large; only who sets up or examines an account imports it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from enrich.domain.event_sinks import EventSink
from enrich.taskrouter.event_forms import TYPE_PREFIX
from enrich.taskrouter.sdk import connect, translated

SCHEMA_VERSION = 4


class EventSinks:
    """The sinks of one account. Every method raises TaskRouterError."""

    def __init__(self, base_url: str, account_sid: str, user: str, password: str) -> None:
        self._client = connect(base_url, account_sid, user, password)
        self._client.events.base_url = base_url

    def read(self) -> tuple[EventSink, ...]:
        """Return all webhook sinks with their subscriptions."""
        with translated(self._client, "reading the sinks of Event Streams"):
            webhooks = [sink for sink in self._client.events.v1.sinks.list() if str(sink.sink_type) == "webhook"]
            subscriptions = self._client.events.v1.subscriptions.list() if webhooks else []
            return tuple(self._sink(sink, subscriptions) for sink in webhooks)

    def create(self, destination: str) -> str:
        """Create a webhook sink that gets events in batches; return its SID."""
        with translated(self._client, "creating a sink of Event Streams"):
            configuration = {"destination": destination, "method": "POST", "batch_events": True}
            sink = self._client.events.v1.sinks.create("TaskRouter enrichment", configuration, "webhook")
        return str(sink.sid)

    def subscribe(self, sink_sid: str, events: Iterable[str]) -> str:
        """Subscribe these events to a sink; return the subscription's SID."""
        with translated(self._client, "creating a subscription of Event Streams"):
            wanted = [{"type": TYPE_PREFIX + name, "schema_version": SCHEMA_VERSION} for name in events]
            created = self._client.events.v1.subscriptions.create("TaskRouter enrichment", sink_sid, wanted)
        return str(created.sid)

    def add_events(self, subscription_sid: str, events: Iterable[str]) -> None:
        """Add these events to a subscription."""
        with translated(self._client, "adding to a subscription of Event Streams"):
            for name in events:
                self._client.events.v1.subscriptions(subscription_sid).subscribed_events.create(
                    TYPE_PREFIX + name, SCHEMA_VERSION
                )

    def _sink(self, sink: Any, subscriptions: Iterable[Any]) -> EventSink:
        configuration = sink.sink_configuration if isinstance(sink.sink_configuration, Mapping) else {}
        sids = [subscription.sid for subscription in subscriptions if subscription.sink_sid == sink.sid]
        types = {
            str(subscribed.type).removeprefix(TYPE_PREFIX)
            for sid in sids
            for subscribed in self._client.events.v1.subscriptions(sid).subscribed_events.list()
            if str(subscribed.type).startswith(TYPE_PREFIX)
        }
        return EventSink(
            sid=sink.sid,
            destination=_without_user(str(configuration.get("destination") or "")),
            status=str(sink.status),
            method=str(configuration.get("method") or "POST").upper(),
            events=frozenset(types),
            subscription_sid=sids[0] if sids else "",
        )


def _without_user(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
