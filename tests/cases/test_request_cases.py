"""Requests as they come from the field: addresses with a query, events as JSON. The cases are the files' own words."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from flask import Flask
from sqlalchemy import select
from werkzeug.test import TestResponse

from enrich.journal.tables import EntryRow
from tests.support.app import services_of, sign

CASES = Path(__file__).parent / "taskrouter"
FORM_TYPE = "application/x-www-form-urlencoded"
HASH = "<sha256 of the body>"
SIDS = {"WorkspaceSid": "WS" + "1" * 32, "TaskSid": "WT" + "1" * 32, "ReservationSid": "WR" + "1" * 32}


def requests_of(name: str) -> list[dict[str, Any]]:
    requests: list[dict[str, Any]] = json.loads((CASES / name).read_text())["requests"]
    return requests


def send(app: Flask, address: str, body: bytes, content_type: str, signature: str) -> TestResponse:
    path, _, query = address.partition("?")
    return app.test_client().post(
        "/",
        environ_overrides={"PATH_INFO": path, "QUERY_STRING": query},
        data=body,
        content_type=content_type,
        headers={"X-Twilio-Signature": signature} if signature else {},
    )


@pytest.mark.parametrize("case", requests_of("07-callback-address-with-a-query.json"), ids=lambda case: case["sent"])
def test_a_callback_address_with_a_query(app: Flask, case: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "enrich"):
        response = send(app, case["sent"], urlencode(SIDS).encode(), FORM_TYPE, sign(case["signed"], SIDS))
    assert response.status_code == case["right"]["status"]
    refused = [record.__dict__["detail"] for record in caplog.records if record.getMessage() == "refused"]
    if response.status_code == 403:
        is_reordered = sorted(case["sent"].partition("?")[2]) == sorted(case["signed"].partition("?")[2])
        (detail,) = refused
        assert ("in another order" if is_reordered else "as it is configured at Twilio") in detail
    else:
        assert refused == []


JSON_TYPES = (
    "application/json",
    "application/json; charset=utf-8",
    "application/cloudevents+json",
    "application/cloudevents-batch+json",
    "text/plain",
    FORM_TYPE,
    "",
)


@pytest.mark.parametrize("workspace_sid", ["", "WS" + "1" * 32], ids=["any-workspace", "another-workspace"])
@pytest.mark.parametrize("content_type", JSON_TYPES)
@pytest.mark.parametrize("is_list", [False, True], ids=["one", "batch"])
def test_an_event_as_json(make_app: Any, content_type: str, workspace_sid: str, is_list: bool) -> None:
    """Also where its type says otherwise: its hash in the address says that it is no form."""
    (case,) = requests_of("08-event-as-json.json")
    app = make_app(TWILIO_WORKSPACE_SID=workspace_sid)
    body = json.dumps([case["body"]] if is_list else case["body"]).encode()
    address = case["path"].replace(HASH, hashlib.sha256(body).hexdigest())

    response = send(app, address, body, content_type, sign(address, {}))
    assert response.status_code == case["right"]["status"]
    assert "event callback URL" in response.text
    assert response.text.count("\n") == 1
    assert send(app, address, body, content_type, "").status_code == 403
    assert send(app, address, body + b" ", content_type, sign(address, {})).status_code == 403
    assert services_of(app).database.read(select(EntryRow.id)) == []


def test_json_without_a_hash_is_not_signed(app: Flask) -> None:
    """The signature then covers the address alone, and nobody knows who wrote the body."""
    (case,) = requests_of("08-event-as-json.json")
    path = case["path"].partition("?")[0]
    body = json.dumps(case["body"]).encode()
    assert send(app, path, body, "application/json", sign(path, {})).status_code == 403
