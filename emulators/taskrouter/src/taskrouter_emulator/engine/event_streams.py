"""Event Streams: keeps sinks and subscriptions, and hands every event to the sinks that subscribed to its type.

Sources: https://www.twilio.com/docs/events/event-streams/sink-resource and /subscription
"""

from collections.abc import Iterable

from taskrouter_emulator.engine.store import Store, callback_sids
from taskrouter_emulator.model.errors import invalid
from taskrouter_emulator.model.event_streams import (
    STREAMED_TYPES,
    TYPE_PREFIX,
    PendingStreamDelivery,
    Sink,
    SinkStatus,
    SubscribedEvent,
    Subscription,
    cloud_event,
    sink_test_event,
)
from taskrouter_emulator.model.records import Event

MAX_BATCH = 100


class EventStreams:
    """The account's sinks and subscriptions. Every public method is one transaction."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.sinks: dict[str, Sink] = {}
        self.subscriptions: dict[str, Subscription] = {}

    def create_sink(self, description: str, destination: str, *, batch_events: bool = False) -> Sink:
        with self._store.transaction():
            now = self._store.now
            sink = Sink(self._store.sids.new("DG"), description, destination, batch_events, now, now)
            self.sinks[sink.sid] = sink
            return sink

    def rename_sink(self, sink: Sink, description: str) -> None:
        with self._store.transaction():
            sink.description, sink.date_updated = description, self._store.now

    def delete_sink(self, sink: Sink) -> None:
        """Delete a sink. Raises ApiError 400 if a subscription uses it."""
        with self._store.transaction():
            if any(subscription.sink is sink for subscription in self.subscriptions.values()):
                raise invalid(f"Cannot delete sink {sink.sid} because a subscription uses it")
            del self.sinks[sink.sid]

    def test_sink(self, sink: Sink) -> None:
        """Send a test event to the sink."""
        with self._store.transaction():
            sink.test_id = self._store.sids.new("")
            if sink.status is not SinkStatus.ACTIVE:
                sink.status = SinkStatus.VALIDATING
            event = sink_test_event(self._store.account_sid, self._store.sids.new("EV"), sink.test_id, self._store.now)
            self._store.enqueue_callback(PendingStreamDelivery(sink, [event], {"sink_sid": sink.sid}))

    def validate_sink(self, sink: Sink, test_id: str) -> None:
        """Activate the sink. Raises ApiError 400 unless the test id is that of its newest test event."""
        with self._store.transaction():
            if sink.test_id is None or test_id != sink.test_id:
                raise invalid(f"TestId {test_id} is not that of the sink's newest test event")
            sink.status, sink.date_updated = SinkStatus.ACTIVE, self._store.now

    def create_subscription(self, description: str, sink: Sink, events: Iterable[SubscribedEvent]) -> Subscription:
        with self._store.transaction():
            by_type = {event.type: _check(event) for event in events}
            if not by_type:
                raise invalid("Types must name at least one event type")
            now = self._store.now
            subscription = Subscription(self._store.sids.new("DF"), description, sink, now, now, by_type)
            self.subscriptions[subscription.sid] = subscription
            return subscription

    def rename_subscription(self, subscription: Subscription, description: str | None) -> None:
        with self._store.transaction():
            subscription.description = subscription.description if description is None else description
            subscription.date_updated = self._store.now

    def delete_subscription(self, subscription: Subscription) -> None:
        with self._store.transaction():
            del self.subscriptions[subscription.sid]

    def subscribe(self, subscription: Subscription, event: SubscribedEvent) -> None:
        """Add a type to the subscription, or change the type's schema version."""
        with self._store.transaction():
            subscription.events[event.type] = _check(event)
            subscription.date_updated = self._store.now

    def unsubscribe(self, subscription: Subscription, event: SubscribedEvent) -> None:
        """Remove a type. Raises ApiError 400 for the last one: a subscription without types is deleted instead."""
        with self._store.transaction():
            if len(subscription.events) == 1:
                raise invalid("A subscription must have at least one type")
            del subscription.events[event.type]

    def publish(self, event: Event) -> None:
        """Queue an event for every sink that subscribed to its type, once for each sink."""
        versions: dict[Sink, int] = {}
        for subscription in self.subscriptions.values():
            subscribed = subscription.events.get(TYPE_PREFIX + event.event_type)
            if subscribed is not None:
                versions.setdefault(subscription.sink, subscribed.schema_version)
        for sink, version in versions.items():
            self._queue(sink, event, version)

    def _queue(self, sink: Sink, event: Event, schema_version: int) -> None:
        """Add the event to the sink's batch of this transaction, or begin a request with it."""
        streamed = cloud_event(self._store.account_sid, event, schema_version)
        for pending in self._store.outbox if sink.batch_events else ():
            if isinstance(pending, PendingStreamDelivery) and pending.sink is sink and len(pending.events) < MAX_BATCH:
                pending.events.append(streamed)
                return
        sids = callback_sids(event.parameters) | {"sink_sid": sink.sid}
        self._store.enqueue_callback(PendingStreamDelivery(sink, [streamed], sids))


def _check(event: SubscribedEvent) -> SubscribedEvent:
    """Refuse unknown types of TaskRouter; other products' types are accepted, and nothing is ever sent for them."""
    if not event.type.startswith("com.twilio.") or (
        event.type.startswith(TYPE_PREFIX) and event.type not in STREAMED_TYPES
    ):
        raise invalid(f"Event type {event.type} does not exist")
    if event.schema_version < 1:
        raise invalid("schema_version must be at least 1")
    return event
