"""Requests as they come from the field: addresses with a query, events as JSON. The cases are the files' own words."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from tests.support.app import sign

CASES = Path(__file__).parent / "taskrouter"
FORM_TYPE = "application/x-www-form-urlencoded"


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
        response = send(app, case["sent"], b"", FORM_TYPE, sign(case["signed"], {}))
    assert response.status_code == case["right"]["status"]
    refused = [record.__dict__["detail"] for record in caplog.records if record.getMessage() == "refused"]
    if response.status_code == 403:
        is_reordered = sorted(case["sent"].partition("?")[2]) == sorted(case["signed"].partition("?")[2])
        (detail,) = refused
        assert ("in another order" if is_reordered else "as it is configured at Twilio") in detail
    else:
        assert refused == []
