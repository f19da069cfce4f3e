"""REST routes of Event Streams: sinks, subscriptions, their events, and event types.

Twilio serves them at https://events.twilio.com; the emulator, at its own origin. Sources:
https://www.twilio.com/docs/events/event-streams/sink-resource and /subscription, and Twilio's OpenAPI document.
"""

import json

from flask import Blueprint, request

from taskrouter_emulator.callbacks import address
from taskrouter_emulator.model.errors import Json, invalid, not_emulated
from taskrouter_emulator.model.event_streams import (
    SCHEMA_ID,
    STREAMED_TYPES,
    Sink,
    SinkStatus,
    SubscribedEvent,
    Subscription,
)
from taskrouter_emulator.rest.form import RequestForm
from taskrouter_emulator.rest.resource import (
    ResourceView,
    ViewResponse,
    get_or_404,
    json_response,
    no_content,
    read_form,
)
from taskrouter_emulator.rest.wire import instant

DEFAULT_SCHEMA_VERSION = 1
_SINK_STATUSES = tuple(status.value for status in SinkStatus)


class SinksRoutes(ResourceView):
    def register(self, api: Blueprint) -> None:
        self.route(api, "/Sinks", GET=self._list, POST=self._create)
        self.route(api, "/Sinks/<sid>", GET=self._fetch, POST=self._update, DELETE=self._delete)
        self.route(api, "/Sinks/<sid>/Test", POST=self._test)
        self.route(api, "/Sinks/<sid>/Validate", POST=self._validate)

    def _list(self) -> ViewResponse:
        form = read_form()
        in_use, status = form.boolean("InUse"), form.choice("Status", _SINK_STATUSES)
        used = {subscription.sink for subscription in self.state.event_streams.subscriptions.values()}
        rows = [
            row
            for row in self.state.event_streams.sinks.values()
            if in_use in (None, row in used) and status in (None, row.status.value)
        ]
        return self.page("sinks", rows, _write_sink, form)

    def _create(self) -> ViewResponse:
        form = read_form()
        description = form.required_text("Description")
        form.required_text("SinkConfiguration")
        form.required_text("SinkType")
        if form.choice("SinkType", ("kinesis", "webhook", "segment", "email")) != "webhook":
            raise not_emulated("sinks of another type than webhook")
        destination, batch_events = _read_configuration(form)
        sink = self.state.event_streams.create_sink(description, destination, batch_events=batch_events)
        return json_response(_write_sink(sink), 201)

    def _fetch(self, sid: str) -> ViewResponse:
        return json_response(_write_sink(self._sink(sid)))

    def _update(self, sid: str) -> ViewResponse:
        sink = self._sink(sid)
        self.state.event_streams.rename_sink(sink, read_form().required_text("Description"))
        return json_response(_write_sink(sink))

    def _delete(self, sid: str) -> ViewResponse:
        self.state.event_streams.delete_sink(self._sink(sid))
        return no_content()

    def _test(self, sid: str) -> ViewResponse:
        self.state.event_streams.test_sink(self._sink(sid))
        return json_response({"result": "submitted"}, 201)

    def _validate(self, sid: str) -> ViewResponse:
        self.state.event_streams.validate_sink(self._sink(sid), read_form().required_text("TestId"))
        return json_response({"result": "valid"}, 201)

    def _sink(self, sid: str) -> Sink:
        return get_or_404(self.state.event_streams.sinks, sid)


class SubscriptionsRoutes(ResourceView):
    """Subscriptions, and the events that each has subscribed to."""

    def register(self, api: Blueprint) -> None:
        self.route(api, "/Subscriptions", GET=self._list, POST=self._create)
        one = "/Subscriptions/<sid>"
        self.route(api, one, GET=self._fetch, POST=self._update, DELETE=self._delete)
        self.route(api, f"{one}/SubscribedEvents", GET=self._list_events, POST=self._create_event)
        event = f"{one}/SubscribedEvents/<event_type>"
        self.route(api, event, GET=self._fetch_event, POST=self._update_event, DELETE=self._delete_event)
        self.route(api, "/Types", GET=self._list_types)
        self.route(api, "/Types/<event_type>", GET=self._fetch_type)

    def _list(self) -> ViewResponse:
        form = read_form()
        sink_sid = form.sid("SinkSid", "DG")
        rows = [row for row in self.state.event_streams.subscriptions.values() if sink_sid in (None, row.sink.sid)]
        return self.page("subscriptions", rows, self._write, form)

    def _create(self) -> ViewResponse:
        form = read_form()
        description = form.required_text("Description")
        form.required_text("SinkSid")
        sink = form.resource("SinkSid", "DG", self.state.event_streams.sinks)
        if sink is None:
            raise invalid("SinkSid must not be empty")
        form.required_text("Types")
        events = [event for text in form.all_texts("Types") for event in _read_events(text)]
        subscription = self.state.event_streams.create_subscription(description, sink, events)
        return json_response(self._write(subscription), 201)

    def _fetch(self, sid: str) -> ViewResponse:
        return json_response(self._write(self._subscription(sid)))

    def _update(self, sid: str) -> ViewResponse:
        subscription = self._subscription(sid)
        self.state.event_streams.rename_subscription(subscription, read_form().text("Description"))
        return json_response(self._write(subscription))

    def _delete(self, sid: str) -> ViewResponse:
        self.state.event_streams.delete_subscription(self._subscription(sid))
        return no_content()

    def _list_events(self, sid: str) -> ViewResponse:
        subscription = self._subscription(sid)
        rows = subscription.events.values()
        return self.page("types", rows, lambda row: self._write_event(subscription, row), read_form())

    def _create_event(self, sid: str) -> ViewResponse:
        subscription, form = self._subscription(sid), read_form()
        version = form.integer("SchemaVersion", default=DEFAULT_SCHEMA_VERSION)
        event = SubscribedEvent(form.required_text("Type"), version)
        self.state.event_streams.subscribe(subscription, event)
        return json_response(self._write_event(subscription, event), 201)

    def _fetch_event(self, sid: str, event_type: str) -> ViewResponse:
        subscription = self._subscription(sid)
        return json_response(self._write_event(subscription, get_or_404(subscription.events, event_type)))

    def _update_event(self, sid: str, event_type: str) -> ViewResponse:
        subscription, form = self._subscription(sid), read_form()
        event = get_or_404(subscription.events, event_type)
        event = SubscribedEvent(event.type, form.integer("SchemaVersion", default=event.schema_version))
        self.state.event_streams.subscribe(subscription, event)
        return json_response(self._write_event(subscription, event))

    def _delete_event(self, sid: str, event_type: str) -> ViewResponse:
        subscription = self._subscription(sid)
        self.state.event_streams.unsubscribe(subscription, get_or_404(subscription.events, event_type))
        return no_content()

    def _list_types(self) -> ViewResponse:
        form = read_form()
        schema_id = form.text("SchemaId")
        rows = [SubscribedEvent(name, 1) for name in sorted(STREAMED_TYPES) if schema_id in (None, SCHEMA_ID)]
        return self.page("types", rows, self._write_type, form)

    def _fetch_type(self, event_type: str) -> ViewResponse:
        names = {name: SubscribedEvent(name, 1) for name in STREAMED_TYPES}
        return json_response(self._write_type(get_or_404(names, event_type)))

    def _subscription(self, sid: str) -> Subscription:
        return get_or_404(self.state.event_streams.subscriptions, sid)

    def _write(self, subscription: Subscription) -> Json:
        url = f"{_base()}/Subscriptions/{subscription.sid}"
        return {
            "account_sid": self.state.account_sid,
            "sid": subscription.sid,
            "date_created": instant(subscription.date_created),
            "date_updated": instant(subscription.date_updated),
            "description": subscription.description,
            "sink_sid": subscription.sink.sid,
            "url": url,
            "links": {"subscribed_events": f"{url}/SubscribedEvents"},
        }

    def _write_event(self, subscription: Subscription, event: SubscribedEvent) -> Json:
        return {
            "account_sid": self.state.account_sid,
            "type": event.type,
            "schema_version": event.schema_version,
            "subscription_sid": subscription.sid,
            "url": f"{_base()}/Subscriptions/{subscription.sid}/SubscribedEvents/{event.type}",
        }

    def _write_type(self, event: SubscribedEvent) -> Json:
        return {
            "type": event.type,
            "schema_id": SCHEMA_ID,
            "date_created": None,
            "date_updated": None,
            "description": event.type.removeprefix("com.twilio."),
            "status": "available",
            "documentation_url": None,
            "url": f"{_base()}/Types/{event.type}",
            "links": {"schema": f"{_base()}/Schemas/{SCHEMA_ID}/Versions"},
        }


def _base() -> str:
    return request.host_url.rstrip("/") + "/v1"


def _write_sink(sink: Sink) -> Json:
    url = f"{_base()}/Sinks/{sink.sid}"
    return {
        "date_created": instant(sink.date_created),
        "date_updated": instant(sink.date_updated),
        "description": sink.description,
        "sid": sink.sid,
        "sink_configuration": sink.configuration,
        "sink_type": "webhook",
        "status": sink.status.value,
        "url": url,
        "links": {"sink_test": f"{url}/Test", "sink_validate": f"{url}/Validate"},
    }


def _read_configuration(form: RequestForm) -> tuple[str, bool]:
    """Return destination and batching of a webhook's `SinkConfiguration`."""
    configuration = form.json_object("SinkConfiguration") or {}
    destination, batch_events = configuration.get("destination"), configuration.get("batch_events", False)
    try:
        address.parse(destination if isinstance(destination, str) else "")
    except ValueError as exc:
        raise invalid(f"SinkConfiguration: destination is {exc}") from exc
    if not isinstance(batch_events, bool):
        raise invalid("SinkConfiguration: batch_events must be true or false")
    method = str(configuration.get("method", "POST")).upper()
    if method == "GET":
        raise not_emulated("sinks with the method GET")
    if method != "POST":
        raise invalid("SinkConfiguration: method must be POST or GET")
    return str(destination), batch_events


def _read_events(text: str) -> list[SubscribedEvent]:
    """Return the events of one value of `Types`: an object, or an array of them."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise invalid("Types must be JSON objects with type and schema_version") from None
    return [_read_event(item) for item in (value if isinstance(value, list) else [value])]


def _read_event(value: object) -> SubscribedEvent:
    event_type = value.get("type") if isinstance(value, dict) else None
    version = value.get("schema_version", DEFAULT_SCHEMA_VERSION) if isinstance(value, dict) else None
    if not isinstance(event_type, str) or isinstance(version, bool) or not isinstance(version, int):
        raise invalid("Types must be JSON objects with type and schema_version")
    return SubscribedEvent(event_type, version)
