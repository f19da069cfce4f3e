"""Events that Event Streams delivers: from the signed address to rows of the journal."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, text
from werkzeug.test import EnvironBuilder

from enrich.database.engine import Database
from enrich.domain.lengths import MAX_STREAM_BYTES
from enrich.domain.outcomes import EntryKind
from enrich.journal.tables import EntryRow, FollowupRow
from enrich.taskrouter.endpoints import EVENT_STREAMS, EVENTS
from enrich.webhooks.load_shedding import LoadShedding
from tests.support.app import make_settings, post_signed, services_of
from tests.support.event_streams import TASK_SID, WORKSPACE_SID, make_event, post_stream, query_of, sign_url
from tests.support.fixtures import MakeApp

OTHER_WORKSPACE_SID = "WS" + "2" * 32


@pytest.fixture
def app(make_app: MakeApp, database_url: str, tmp_path: Any) -> Flask:
    return make_app(make_settings(tmp_path, DATABASE_URL=database_url, TWILIO_WORKSPACE_SID=WORKSPACE_SID))


@pytest.fixture
def counted(app: Flask) -> Callable[[str], float]:
    """Returns how many events have had this result."""

    def counted(result: str) -> float:
        lines = services_of(app).metrics.exposition({}).decode().splitlines()
        found = (line for line in lines if line.startswith("enrich_events_total") and f'result="{result}"' in line)
        return sum(float(line.rpartition(" ")[2]) for line in found)

    return counted


def entries(app: Flask) -> list[Any]:
    return list(services_of(app).database.read(select(EntryRow.__table__).order_by(EntryRow.id)))


@pytest.mark.parametrize("is_batch", [True, False], ids=["an array", "one object"])
def test_an_event_is_recorded_as_its_callback_would_be(app: Flask, *, is_batch: bool) -> None:
    event = make_event(event_type="reservation.timeout", reservation_sid="WR" + "1" * 32, worker_name="Dana")
    answer = post_stream(app, [event] if is_batch else event)
    assert (answer.status_code, answer.data) == (204, b"")
    (row,) = entries(app)
    assert (row.kind, row.delivery_key, row.event_type) == ("event", event["id"], "reservation.timeout")
    assert (row.workspace_sid, row.task_sid, row.reservation_sid) == (WORKSPACE_SID, TASK_SID, "WR" + "1" * 32)
    assert (row.worker_name, row.task_channel, row.reason) == ("Dana", "sms", "event_stream")
    assert "TimestampMs=1795521600118" in row.raw_form
    assert "TaskAttributes=%7B%22from%22%3A%22%2B14155550100%22%7D" in row.raw_form


def test_events_cause_what_their_callbacks_would(app: Flask) -> None:
    post_stream(app, [make_event(1), make_event(2, "reservation.timeout"), make_event(3, "task.completed")])
    causes = select(EntryRow.event_type, FollowupRow.kind).join(FollowupRow, FollowupRow.entry_id == EntryRow.id)
    found = services_of(app).database.read(causes.order_by(EntryRow.id))
    assert [tuple(row) for row in found] == [
        ("task.created", "warm"),
        ("reservation.timeout", "missed"),
        ("task.completed", "finished"),
    ]


def test_an_event_twice_in_a_request_is_one(app: Flask, counted: Callable[[str], float]) -> None:
    assert post_stream(app, [make_event(1), make_event(2), make_event(1)]).status_code == 204
    assert len(entries(app)) == 2
    assert (counted("kept"), counted("duplicate")) == (2, 1)


@pytest.mark.parametrize("is_batch", [True, False])
def test_an_event_that_came_by_the_callback_is_known(app: Flask, *, is_batch: bool) -> None:
    event = make_event(1)
    form = {"WorkspaceSid": WORKSPACE_SID, "TaskSid": TASK_SID, "EventType": "task.created", "Sid": event["id"]}
    assert post_signed(app, EVENTS, form).status_code == 204
    assert post_stream(app, [event, make_event(2, "task-queue.entered")] if is_batch else event).status_code == 204
    assert post_signed(app, EVENTS, form).status_code == 204
    rows = [(row.delivery_key, row.reason) for row in entries(app)]
    assert rows[0] == (event["id"], "")
    assert len(rows) == 1 + is_batch
    assert len(services_of(app).database.read(select(FollowupRow.id))) == 1


@pytest.mark.parametrize(
    ("event", "result"),
    [
        pytest.param(make_event(9, workspace_sid=OTHER_WORKSPACE_SID), "other_workspace", id="another workspace"),
        pytest.param({**make_event(9), "type": "com.twilio.messaging.message.sent"}, "other_type", id="a product"),
        pytest.param({"type": "com.twilio.eventstreams.test-event", "data": {"id": 1}}, "other_type", id="a test"),
        pytest.param(None, "unreadable", id="null"),
        pytest.param("event", "unreadable", id="text"),
        pytest.param({}, "unreadable", id="empty"),
        pytest.param({**make_event(9), "type": 7}, "unreadable", id="type that is no text"),
        pytest.param({**make_event(9), "data": None}, "unreadable", id="no data"),
        pytest.param({**make_event(9), "data": {"payload": []}}, "unreadable", id="no payload"),
        pytest.param(make_event(9, eventtype=None), "unreadable", id="no event type"),
        pytest.param(make_event(9, eventtype=["task.created"]), "unreadable", id="event type that is no text"),
        pytest.param(make_event(9, workspace_sid=None), "unreadable", id="no workspace"),
        pytest.param(make_event(9, workspace_sid="WS1"), "unreadable", id="workspace that is no SID"),
        pytest.param(
            {**make_event(9), "data": {"payload": make_event(9, sid="EV9")["data"]["payload"]}},
            "unreadable",
            id="no SID of an event",
        ),
    ],
)
def test_what_does_not_concern_us_is_counted_and_holds_nothing_up(
    app: Flask, counted: Callable[[str], float], event: object, result: str
) -> None:
    assert post_stream(app, [event, make_event(1), event]).status_code == 204
    assert [row.delivery_key for row in entries(app)] == [make_event(1)["id"]]
    assert (counted(result), counted("kept")) == (2, 1)


@pytest.mark.parametrize(
    "body", [b"", b"[", b"\xff\xfe", b"[" * 100_000, b"9" * 5_000], ids=["empty", "cut", "no UTF-8", "deep", "endless"]
)
def test_a_signed_body_that_is_no_event_is_not_sent_again(
    app: Flask, counted: Callable[[str], float], body: bytes
) -> None:
    assert post_stream(app, body).status_code == 204
    assert (entries(app), counted("unreadable")) == ([], 1)


@pytest.mark.parametrize(
    ("payload", "kept"),
    [
        ({"task_attributes": {"from": "+14155550100"}}, "%7B%22from%22%3A+%22%2B14155550100%22%7D"),
        ({"worker_name": "lone \ud800"}, "WorkerName=lone+%3F"),
        ({"worker_name": "nul \0"}, "WorkerName=nul+%00"),
        ({"timestamp": 1795521600}, "TimestampMs=1795521600000"),
        ({"timestamp": 1795521600118}, "TimestampMs=1795521600118"),
        ({"timestamp": "yesterday"}, "TimestampMs=1795521600118"),
        ({"timestamp": 1e308, "task_age": 1e308}, "TaskAge=1e%2B308"),
    ],
    ids=str,
)
def test_odd_values_are_recorded(app: Flask, payload: dict[str, Any], kept: str) -> None:
    assert post_stream(app, [make_event(**payload)]).status_code == 204
    (row,) = entries(app)
    assert kept in row.raw_form


def test_without_a_workspace_in_the_settings_any_is_served(make_app: MakeApp) -> None:
    app = make_app()
    post_stream(app, [make_event(1), make_event(2, workspace_sid=OTHER_WORKSPACE_SID)])
    assert [row.workspace_sid for row in entries(app)] == [WORKSPACE_SID, OTHER_WORKSPACE_SID]


class Unread(BytesIO):
    """A body that must not be read."""

    def read(self, *_: object) -> bytes:
        raise AssertionError("the body was read before the signature was verified")


@pytest.mark.parametrize(
    ("query", "signature"),
    [
        pytest.param(query_of(b"[]"), "", id="no signature"),
        pytest.param(query_of(b"[]"), sign_url(query_of(b"{}")), id="signed for another body"),
        pytest.param(query_of(b"[]"), sign_url(query_of(b"[]"), auth_token="another"), id="another token"),
        pytest.param("", sign_url(""), id="no hash"),
        pytest.param("bodySHA256=", sign_url("bodySHA256="), id="empty hash"),
    ],
)
def test_the_signature_is_verified_before_the_body_is_read(app: Flask, query: str, signature: str) -> None:
    headers = [("X-Twilio-Signature", signature)]
    builder = EnvironBuilder(EVENT_STREAMS, method="POST", query_string=query, headers=headers, data=b"[]")
    answer = app.test_client().open(builder.get_environ() | {"wsgi.input": Unread(b"[]")})
    assert (answer.status_code, answer.text) == (403, "the signature is missing or wrong\n")


def test_a_body_with_another_hash_is_refused(app: Flask) -> None:
    query = query_of(json.dumps([make_event(1)]).encode())
    assert post_stream(app, [make_event(2)], query=query).status_code == 403
    assert entries(app) == []


def test_the_coming_token_is_accepted(make_app: MakeApp) -> None:
    app = make_app(TWILIO_AUTH_TOKEN_NEXT="the-coming-token")
    body = json.dumps([make_event(1)]).encode()
    signature = sign_url(query_of(body), auth_token="the-coming-token")
    assert post_stream(app, body, signature=signature).status_code == 204


def test_a_body_is_limited(app: Flask) -> None:
    assert post_stream(app, json.dumps("x" * (MAX_STREAM_BYTES - 2)).encode()).status_code == 204
    assert post_stream(app, json.dumps("x" * (MAX_STREAM_BYTES - 1)).encode()).status_code == 413


def test_other_methods_are_not_allowed(app: Flask) -> None:
    assert app.test_client().get(EVENT_STREAMS).status_code == 405


def test_what_could_not_be_recorded_is_sent_again_and_then_recorded_once(
    app: Flask, counted: Callable[[str], float], owned_database: Database
) -> None:
    with owned_database.transaction() as session:
        session.execute(text("ALTER TABLE entries RENAME TO entries_away"))
    batch = [make_event(1), {}, make_event(2), make_event(3)]
    assert post_stream(app, batch).status_code == 503
    assert counted("not_recorded") == 3
    with owned_database.transaction() as session:
        session.execute(text("ALTER TABLE entries_away RENAME TO entries"))
    assert [post_stream(app, batch).status_code for _ in range(2)] == [204, 204]
    assert [row.delivery_key for row in entries(app)] == [event["id"] for event in batch if event]
    assert counted("kept") == 3


def test_load_shedding_leaves_events_alone(app: Flask) -> None:
    services = services_of(app)
    while not services.admission.refused(0.0):
        pass
    shedding = LoadShedding(app.wsgi_app, services)
    body = json.dumps([make_event(1)]).encode()
    headers = [("X-Twilio-Signature", sign_url(query_of(body)))]
    builder = EnvironBuilder(EVENT_STREAMS, method="POST", query_string=query_of(body), headers=headers, data=body)
    statuses: list[str] = []
    list(shedding(builder.get_environ(), lambda status, *_: statuses.append(status)))  # type: ignore[arg-type]
    assert statuses == ["204 NO CONTENT"]
    assert [row.kind for row in entries(app)] == [EntryKind.EVENT]
