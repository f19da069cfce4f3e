"""Event Streams: sinks and subscriptions through the SDK, and what arrives at a sink."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from requests import Session
from twilio.base.exceptions import TwilioRestException
from twilio.request_validator import RequestValidator
from twilio.rest import Client

from support import openapi_contract as openapi
from support.npm import npm_pack
from support.receiver import Received, Receiver
from support.workspace_driver import WorkspaceDriver
from taskrouter_emulator import EmulatorServer

CREATED = "com.twilio.taskrouter.task.created"


@pytest.fixture
def streams(emulator: EmulatorServer) -> Iterator[Any]:
    client = Client(emulator.account_sid, emulator.auth_token)
    client.events.base_url = emulator.base_url
    client.http_client.session.trust_env = False
    yield client.events.v1
    client.http_client.session.close()


def create_sink(streams: Any, destination: str, *, batch_events: bool = True, types: tuple[str, ...] = ()) -> str:
    configuration = {"destination": destination, "method": "POST", "batch_events": batch_events}
    sink = streams.sinks.create(description="Ours", sink_configuration=configuration, sink_type="webhook")
    if types:
        subscribed = [{"type": name, "schema_version": 4} for name in types]
        streams.subscriptions.create(description="Ours", sink_sid=sink.sid, types=subscribed)
    return str(sink.sid)


def delivered(driver: WorkspaceDriver, receiver: Receiver) -> list[list[dict[str, Any]]]:
    driver.emulator.deliveries.wait_until_idle()
    return [json.loads(one.body) for one in receiver.received]


def types_of(*bodies: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("com.twilio.taskrouter.") for body in bodies for event in body]


def test_an_event_arrives_as_a_cloud_event(driver: WorkspaceDriver, streams: Any, receiver: Receiver) -> None:
    create_sink(streams, receiver.answer("/sink"), types=(CREATED,))
    task_sid = driver.task('{"name":"Zoë"}', priority=3)
    [[event]] = delivered(driver, receiver)
    [past] = driver.workspace.events.list(event_type="task.created")
    data = event.pop("data")
    payload = data.pop("payload")
    assert event == {
        "specversion": "1.0",
        "type": CREATED,
        "source": f"/v1/Workspaces/{past.workspace_sid}/Events/{past.sid}",
        "id": past.sid,
        "dataschema": "https://events-schemas.twilio.com/TaskRouter.WDSEvent/4",
        "datacontenttype": "application/json",
        "time": "2026-01-01T12:00:00.000Z",
    }
    assert data == {
        "sid": past.sid,
        "name": "task.created",
        "account_sid": driver.emulator.account_sid,
        "timestamp": "2026-01-01T12:00:00.000Z",
        "level": "INFO",
        "group": "task",
        "publisher": "TaskRouter",
        "payload_type": "TaskRouter.WDSEvent",
    }
    assert {"sid": past.sid, "eventtype": "task.created", "task_sid": task_sid}.items() <= payload.items()
    assert (payload["task_attributes"], payload["task_age"], payload["task_priority"]) == ('{"name":"Zoë"}', 0, 3)
    assert payload["workspace_name"] == "Support"


@pytest.mark.parametrize("query", ["", "?tenant=7"])
def test_the_signature_covers_the_address_with_the_hash_of_the_body(
    driver: WorkspaceDriver, streams: Any, receiver: Receiver, query: str
) -> None:
    receiver.answer("/sink")
    authority = receiver.base_url.replace("http://", "http://desk:pa%40ss@")
    create_sink(streams, f"{authority}/sink{query}", types=(CREATED,))
    driver.task('{"name":"Zoë"}')
    driver.emulator.deliveries.wait_until_idle()
    [received] = receiver.received
    assert received.headers["content-type"] == "application/json"
    assert received.headers["authorization"] == "Basic ZGVzazpwYUBzcw=="
    assert ("tenant=7&bodySHA256=" in received.path) is bool(query)
    validator = RequestValidator(driver.emulator.auth_token)
    url, signature = receiver.base_url + received.path, received.headers["x-twilio-signature"]
    assert validator.validate(url, received.body, signature)
    assert not validator.validate(url, received.body + " ", signature)
    assert signature == validator.compute_signature(url, {})


def test_events_of_one_moment_come_in_one_batch(driver: WorkspaceDriver, streams: Any, receiver: Receiver) -> None:
    wanted = (CREATED, "com.twilio.taskrouter.workflow.entered", "com.twilio.taskrouter.reservation.created")
    create_sink(streams, receiver.answer("/sink"), types=wanted)
    driver.worker()
    driver.task()
    [batch] = delivered(driver, receiver)
    assert types_of(batch) == ["task.created", "workflow.entered", "reservation.created"]


def test_without_batches_each_event_comes_alone(driver: WorkspaceDriver, streams: Any, receiver: Receiver) -> None:
    wanted = (CREATED, "com.twilio.taskrouter.workflow.entered")
    create_sink(streams, receiver.answer("/sink"), batch_events=False, types=wanted)
    driver.task()
    bodies = delivered(driver, receiver)
    assert sorted(types_of(*bodies)) == ["task.created", "workflow.entered"]
    assert len(bodies) == 2
    driver.emulator.switches.single_streamed_event_is_an_object = True
    driver.task()
    assert all(isinstance(body, dict) for body in delivered(driver, receiver)[2:])


def test_the_callback_and_the_stream_have_one_identity(
    driver: WorkspaceDriver, streams: Any, receiver: Receiver
) -> None:
    driver.workspace.update(event_callback_url=receiver.answer("/events", "", status=204), events_filter="task.created")
    create_sink(streams, receiver.answer("/sink"), types=(CREATED,))
    driver.task()
    driver.emulator.deliveries.wait_until_idle()
    [callback] = receiver.on("/events")
    [streamed] = [json.loads(one.body) for one in receiver.received if one.path.startswith("/sink")]
    assert streamed[0]["data"]["payload"]["sid"] == callback.form["Sid"]


def test_a_delivery_is_repeated_until_it_succeeds(driver: WorkspaceDriver, streams: Any, receiver: Receiver) -> None:
    create_sink(streams, receiver.answer("/sink", status=503), types=(CREATED,))
    driver.task()
    delivered(driver, receiver)

    def recover(_received: Received) -> None:
        receiver.answer("/sink")

    receiver.before = recover
    driver.emulator.state.advance(1)
    first, second = delivered(driver, receiver)
    assert first == second
    driver.emulator.state.advance(60)
    assert len(delivered(driver, receiver)) == 2


def test_a_delivery_is_given_up_in_the_end(driver: WorkspaceDriver, streams: Any, receiver: Receiver) -> None:
    create_sink(streams, receiver.answer("/sink", status=503), types=(CREATED,))
    driver.task()
    for _ in range(10):
        delivered(driver, receiver)
        driver.emulator.state.advance(60)
    assert len(delivered(driver, receiver)) == 1 + driver.emulator.switches.stream_retries


def test_faults_of_events_are_those_of_streams(driver: WorkspaceDriver, streams: Any, receiver: Receiver) -> None:
    wanted = (CREATED, "com.twilio.taskrouter.workflow.entered")
    create_sink(streams, receiver.answer("/sink"), types=wanted)
    driver.emulator.switches.update({"duplicate_events": True, "swapped_events": True})
    driver.task()
    first, second = delivered(driver, receiver)
    assert first == second
    assert types_of(first) == ["workflow.entered", "task.created"]
    driver.emulator.switches.lost_events = True
    driver.task()
    assert len(delivered(driver, receiver)) == 2


def test_a_sink_is_tested_validated_and_found_by_its_status(
    driver: WorkspaceDriver, streams: Any, receiver: Receiver
) -> None:
    sink_sid = create_sink(streams, receiver.answer("/sink"))
    sink = streams.sinks(sink_sid)
    assert sink.fetch().status == "initialized"
    assert sink.sink_test.create().result == "submitted"
    assert sink.fetch().status == "validating"
    [[event]] = delivered(driver, receiver)
    assert event["type"] == "com.twilio.eventstreams.test-event"
    with pytest.raises(TwilioRestException):
        sink.sink_validate.create(test_id="no such test")
    assert sink.sink_validate.create(test_id=event["data"]["test_id"]).result == "valid"
    assert [one.sid for one in streams.sinks.list(status="active")] == [sink_sid]
    assert streams.sinks.list(in_use=True) == []


def test_sinks_and_subscriptions_are_changed_listed_and_deleted(streams: Any, receiver: Receiver) -> None:
    sink_sid = create_sink(streams, receiver.answer("/sink"), types=(CREATED,))
    sink = streams.sinks(sink_sid)
    assert sink.update(description="Theirs").description == "Theirs"
    assert sink.fetch().sink_configuration["batch_events"] is True
    [subscription] = streams.subscriptions.list(sink_sid=sink_sid)
    context = streams.subscriptions(subscription.sid)
    assert context.update(description="Others").description == "Others"
    events = context.subscribed_events
    events.create(type="com.twilio.taskrouter.task.updated", schema_version=2)
    assert events(CREATED).update(schema_version=3).schema_version == 3
    assert {one.type: one.schema_version for one in events.list()} == {
        CREATED: 3,
        "com.twilio.taskrouter.task.updated": 2,
    }
    assert events(CREATED).delete()
    with pytest.raises(TwilioRestException) as last:
        events("com.twilio.taskrouter.task.updated").delete()
    with pytest.raises(TwilioRestException) as in_use:
        sink.delete()
    assert (last.value.code, in_use.value.code) == (20001, 20001)
    assert context.delete()
    assert sink.delete()
    with pytest.raises(TwilioRestException) as gone:
        sink.fetch()
    assert gone.value.code == 20404


@pytest.mark.parametrize(
    "event",
    [
        {"type": "com.twilio.taskrouter.task.wrapping", "schema_version": 1},
        {"type": "task.created", "schema_version": 1},
        {"type": CREATED, "schema_version": 0},
        {"type": CREATED, "schema_version": "four"},
        {"schema_version": 1},
    ],
)
def test_unknown_types_and_versions_are_refused(streams: Any, receiver: Receiver, event: dict[str, Any]) -> None:
    sink_sid = create_sink(streams, receiver.answer("/sink"))
    with pytest.raises(TwilioRestException) as refused:
        streams.subscriptions.create(description="x", sink_sid=sink_sid, types=[event])
    assert (refused.value.status, refused.value.code) == (400, 20001)


@pytest.mark.parametrize(
    "configuration",
    [
        {},
        {"destination": "ftp://example.com"},
        {"destination": "https://example.com", "method": "PUT"},
        {"destination": "https://example.com", "batch_events": "yes"},
    ],
)
def test_a_sink_needs_a_webhook_configuration(streams: Any, configuration: dict[str, Any]) -> None:
    with pytest.raises(TwilioRestException) as refused:
        streams.sinks.create(description="x", sink_configuration=configuration, sink_type="webhook")
    assert (refused.value.status, refused.value.code) == (400, 20001)


def test_every_event_type_of_taskrouter_can_be_subscribed(streams: Any) -> None:
    listed = {one.type for one in streams.event_types.list()}
    assert {CREATED, "com.twilio.taskrouter.reservation.wrapup", "com.twilio.taskrouter.worker.created"} <= listed
    assert streams.event_types(CREATED).fetch().status == "available"


def test_responses_are_those_of_the_openapi_document(
    emulator: EmulatorServer, receiver: Receiver, request: pytest.FixtureRequest
) -> None:
    archive = npm_pack(openapi.PACKAGE, openapi.INTEGRITY, request.config.cache.mkdir("npm"))
    contract = openapi.Contract.read(archive, "events")
    complaints: list[str] = []

    def call(method: str, path: str, form: dict[str, str] | None = None) -> Any:
        response = session.request(method, f"{emulator.base_url}/v1/{path}", data=form)
        complaints.extend(
            contract.complaints(method, f"/v1/{path}", response.status_code, response.headers, response.text)
        )
        return response.json() if response.text else None

    with Session() as session:
        session.trust_env = False
        session.auth = (emulator.account_sid, emulator.auth_token)
        configuration = json.dumps({"destination": receiver.answer("/sink"), "method": "POST", "batch_events": True})
        form = {"Description": "x", "SinkConfiguration": configuration, "SinkType": "webhook"}
        sink = "Sinks/" + call("POST", "Sinks", form)["sid"]
        types = json.dumps({"type": CREATED, "schema_version": 1})
        form = {"Description": "x", "SinkSid": sink.removeprefix("Sinks/"), "Types": types}
        subscription = "Subscriptions/" + call("POST", "Subscriptions", form)["sid"]
        for path in ("Sinks", sink, "Subscriptions", subscription, f"{subscription}/SubscribedEvents"):
            call("GET", path)
        call("GET", f"{subscription}/SubscribedEvents/{CREATED}")
        call("GET", f"Types/{CREATED}")
        call("DELETE", subscription)
        call("DELETE", sink)
    assert complaints == []


def test_the_page_shows_the_body_that_was_sent(driver: WorkspaceDriver, streams: Any, receiver: Receiver) -> None:
    create_sink(streams, receiver.answer("/sink"), types=(CREATED,))
    task_sid = driver.task()
    driver.emulator.deliveries.wait_until_idle()
    with Session() as session:
        session.trust_env = False
        page = session.get(driver.emulator.base_url).text
    assert f"&#34;task_sid&#34;:&#34;{task_sid}&#34;" in page
