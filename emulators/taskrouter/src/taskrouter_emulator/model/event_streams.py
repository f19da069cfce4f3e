"""Event Streams: sinks, subscriptions, and events as CloudEvents.

Sources: https://www.twilio.com/docs/events/event-types/taskrouter, https://www.twilio.com/docs/events/webhook-quickstart
and Twilio's OpenAPI document twilio_events_v1.json.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from taskrouter_emulator.model.events import EVENT_TYPES, event_data
from taskrouter_emulator.model.records import Event

TYPE_PREFIX = "com.twilio.taskrouter."
TEST_TYPE = "com.twilio.eventstreams.test-event"
SCHEMA_ID = "TaskRouter.WDSEvent"
STREAMED_TYPES = frozenset(TYPE_PREFIX + event_type for event_type in EVENT_TYPES)
_NUMBERS = frozenset(
    {
        "reservation_timeout",
        "reservation_version",
        "task_age",
        "task_age_in_queue",
        "task_priority",
        "task_timeout",
        "task_version",
        "worker_channel_available_capacity",
        "worker_channel_previous_capacity",
        "worker_channel_task_count",
        "worker_time_in_previous_activity",
        "worker_time_in_previous_activity_ms",
        "worker_version",
    }
)
_BOOLEANS = frozenset({"activity_available", "task_channel_optimized_routing", "worker_channel_available"})
_TIMES = ("timestamp", "timestamp_ms")

CloudEvent = dict[str, object]


class SinkStatus(StrEnum):
    INITIALIZED = "initialized"
    VALIDATING = "validating"
    ACTIVE = "active"
    FAILED = "failed"


@dataclass(eq=False)
class Sink:
    """A sink of the type webhook. test_id: that of the newest test event, None before the first."""

    sid: str
    description: str
    destination: str
    batch_events: bool
    date_created: datetime
    date_updated: datetime
    status: SinkStatus = SinkStatus.INITIALIZED
    test_id: str | None = None

    @property
    def configuration(self) -> dict[str, object]:
        return {"destination": self.destination, "method": "POST", "batch_events": self.batch_events}


@dataclass(frozen=True)
class SubscribedEvent:
    """One type of a subscription. sid: the type, which identifies it."""

    type: str
    schema_version: int

    @property
    def sid(self) -> str:
        return self.type


@dataclass(eq=False)
class Subscription:
    """A subscription. events: by their type."""

    sid: str
    description: str
    sink: Sink
    date_created: datetime
    date_updated: datetime
    events: dict[str, SubscribedEvent] = field(default_factory=dict)


@dataclass(frozen=True)
class PendingStreamDelivery:
    """Events to be sent to a sink: several in one request if the sink takes batches. sids: for the log."""

    sink: Sink
    events: list[CloudEvent]
    sids: dict[str, str]
    attempt: int = 1


def cloud_event(account_sid: str, event: Event, schema_version: int) -> CloudEvent:
    """Return the event as Event Streams sends it."""
    time = iso_8601_ms(event.date)
    payload = {"sid": event.sid, "eventtype": event.event_type, "timestamp": time} | dict(_payload(event))
    return {
        "specversion": "1.0",
        "type": TYPE_PREFIX + event.event_type,
        "source": f"/v1/Workspaces/{event.parameters['WorkspaceSid']}/Events/{event.sid}",
        "id": event.sid,
        "dataschema": f"https://events-schemas.twilio.com/{SCHEMA_ID}/{schema_version}",
        "datacontenttype": "application/json",
        "time": time,
        "data": {
            "sid": event.sid,
            "name": event.event_type,
            "account_sid": account_sid,
            "timestamp": time,
            "level": "INFO",
            "group": event.event_type.partition(".")[0],
            "publisher": "TaskRouter",
            "payload_type": SCHEMA_ID,
            "payload": payload,
        },
    }


def sink_test_event(account_sid: str, sid: str, test_id: str, now: datetime) -> CloudEvent:
    """Return the event that tests a sink; `Validate` asks for its test id."""
    return {
        "specversion": "1.0",
        "type": TEST_TYPE,
        "source": "EventStreams",
        "id": sid,
        "dataschema": "https://events-schemas.twilio.com/EventStreams.TestSinkEvent/1",
        "datacontenttype": "application/json",
        "time": iso_8601_ms(now),
        "data": {"test_id": test_id, "account_sid": account_sid},
    }


def iso_8601_ms(instant: datetime) -> str:
    return instant.strftime("%Y-%m-%dT%H:%M:%S.") + f"{instant.microsecond // 1000:03}Z"


def _payload(event: Event) -> Iterator[tuple[str, object]]:
    """Yield the twins of the callback's fields: numbers as numbers, attributes as JSON text."""
    data: Mapping[str, str] = event_data(event)
    for name, value in data.items():
        if name in _NUMBERS:
            yield name, int(value)
        elif name in _BOOLEANS:
            yield name, value == "true"
        elif name not in _TIMES:
            yield name, value
