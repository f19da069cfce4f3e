"""Requests of Event Streams: CloudEvents as Twilio builds them, in a body whose hash the signed URL carries."""

from __future__ import annotations

import hashlib
import json
from typing import Any
from urllib.parse import urlencode

from flask import Flask
from twilio.request_validator import RequestValidator
from werkzeug.test import TestResponse

from enrich.taskrouter.endpoints import EVENT_STREAMS
from tests.support.app import AUTH_TOKEN, PUBLIC_URL

WORKSPACE_SID = "WS" + "1" * 32
TASK_SID = "WT" + "1" * 32


def make_event(number: int = 1, event_type: str = "task.created", **payload: Any) -> dict[str, Any]:
    """Return one event of a task. payload: members instead of the usual ones; None leaves one out."""
    sid = f"EV{number:032x}"
    members = {
        "sid": sid,
        "eventtype": event_type,
        "timestamp": "2026-11-24T12:00:00.118Z",
        "account_sid": "AC" + "0" * 32,
        "workspace_sid": WORKSPACE_SID,
        "workspace_name": "Support",
        "task_sid": TASK_SID,
        "task_attributes": '{"from":"+14155550100"}',
        "task_age": 7,
        "task_priority": 10,
        "task_assignment_status": "pending",
        "task_channel_unique_name": "sms",
        "worker_sid": None,
        **payload,
    }
    return {
        "specversion": "1.0",
        "type": f"com.twilio.taskrouter.{event_type}",
        "source": f"/v1/Workspaces/{WORKSPACE_SID}/Tasks/{TASK_SID}",
        "id": sid,
        "dataschema": "https://events-schemas.twilio.com/TaskRouter.WDSEvent/4",
        "datacontenttype": "application/json",
        "time": "2026-11-24T12:00:00.200Z",
        "data": {
            "sid": sid,
            "name": event_type,
            "account_sid": "AC" + "0" * 32,
            "timestamp": "2026-11-24T12:00:00.118Z",
            "level": "INFO",
            "group": event_type.partition(".")[0],
            "publisher": "TaskRouter",
            "payload_type": "TaskRouter.WDSEvent",
            "payload": {name: value for name, value in members.items() if value is not None},
        },
    }


def query_of(body: bytes) -> str:
    return urlencode({"bodySHA256": hashlib.sha256(body).hexdigest()})


def sign_url(query: str, *, auth_token: str = AUTH_TOKEN) -> str:
    """Return Twilio's signature of the sink's address with this query."""
    return str(RequestValidator(auth_token).compute_signature(f"{PUBLIC_URL}{EVENT_STREAMS}?{query}", {}))


def post_stream(app: Flask, content: object, *, query: str | None = None, signature: str | None = None) -> TestResponse:
    """Post what Event Streams would. content: to be written as JSON, or the body itself."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    query = query_of(body) if query is None else query
    return app.test_client().post(
        EVENT_STREAMS,
        query_string=query,
        data=body,
        content_type="application/cloudevents-batch+json",
        headers={"X-Twilio-Signature": sign_url(query) if signature is None else signature},
    )
