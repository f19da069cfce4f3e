"""Sinks of Event Streams at the emulator: as somebody left them, and as a command has made them."""

from __future__ import annotations

from taskrouter_emulator import EmulatorServer
from taskrouter_emulator.model.event_streams import Sink, SinkStatus, SubscribedEvent

TASKROUTER = "com.twilio.taskrouter."


def add_sink(
    emulator: EmulatorServer, destination: str, *types: str, status: SinkStatus = SinkStatus.INITIALIZED
) -> Sink:
    """Create a sink with a subscription to these types, if there are any; Twilio alone sets the status."""
    streams = emulator.state.event_streams
    sink = streams.create_sink("Theirs", destination, batch_events=True)
    sink.status = status
    if types:
        streams.create_subscription("Theirs", sink, [SubscribedEvent(name, 4) for name in types])
    return sink


def sinks_of(emulator: EmulatorServer) -> list[Sink]:
    """Return the account's sinks, oldest first."""
    return list(emulator.state.event_streams.sinks.values())


def types_of(emulator: EmulatorServer, destination: str) -> list[str]:
    """Return the types that are subscribed to the sinks with this destination."""
    subscriptions = emulator.state.event_streams.subscriptions.values()
    return sorted(name for one in subscriptions if one.sink.destination == destination for name in one.events)
