"""Signed callbacks and events as whole HTTP requests, each with SIDs of its own, all equally long.

They are made before the clock starts and written to a file one behind the other, so that whoever sends them only reads.
"""

from __future__ import annotations

import base64
import hmac
import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode, urlsplit

ASSIGNMENT = "/taskrouter/assignment"
EVENTS = "/taskrouter/events"

# Stand where each delivery has SIDs of its own. Letters only: what is form-encoded stays as it is.
_TASK, _RESERVATION, _EVENT = ("WT" + "t" * 32, "WR" + "r" * 32, "EV" + "e" * 32)
_SIGNATURE = "S" * 28

_WORKER = json.dumps({"contact_uri": "client:dana", "languages": ["en", "es"], "skills": ["billing"]})


def assignment_form(task_attributes: str) -> dict[str, str]:
    """Return the form that TaskRouter sends when it has picked a worker (docs/taskrouter.md, "Assignment callback")."""
    return {
        "AccountSid": "AC" + "0" * 32,
        "WorkspaceSid": "WS" + "0" * 32,
        "WorkflowSid": "WW" + "0" * 32,
        "TaskQueueSid": "WQ" + "0" * 32,
        "TaskSid": _TASK,
        "ReservationSid": _RESERVATION,
        "WorkerSid": "WK" + "0" * 32,
        "TaskAge": "3",
        "TaskPriority": "0",
        "TaskAttributes": task_attributes,
        "WorkerAttributes": _WORKER,
    }


def event_form(task_attributes: str) -> dict[str, str]:
    """An event of a reservation (docs/taskrouter.md, "Events")."""
    return {
        **assignment_form(task_attributes),
        "Sid": _EVENT,
        "EventType": "reservation.created",
        "EventDescription": f"Reservation {_RESERVATION} created",
        "ResourceType": "reservation",
        "ResourceSid": _RESERVATION,
        "Timestamp": "1793610000",
        "TimestampMs": "1793610000123",
        "TaskAssignmentStatus": "reserved",
        "TaskQueueName": "Support",
        "WorkflowName": "All",
        "WorkerName": "dana",
    }


def created_form(task_attributes: str) -> dict[str, str]:
    """Return the event of a new task (docs/taskrouter.md, "Events")."""
    form = event_form(task_attributes) | {
        "EventType": "task.created",
        "EventDescription": f"Task {_TASK} created",
        "ResourceType": "task",
        "ResourceSid": _TASK,
        "TaskAssignmentStatus": "pending",
    }
    of_reservation = ("ReservationSid", "WorkerSid", "WorkerName", "WorkerAttributes")
    return {name: value for name, value in form.items() if name not in of_reservation}


@dataclass(frozen=True, slots=True)
class Deliveries:
    """Requests of one form to one endpoint. public_url: what is signed; the server may listen elsewhere."""

    public_url: str
    path: str
    form: Mapping[str, str]
    token: str

    def write(self, file: Path, number: int) -> int:
        """The length of one request, in bytes, after so many were written to the file."""
        signed = self.public_url + self.path + "".join(f"{name}{self.form[name]}" for name in sorted(self.form))
        body = urlencode(self.form)
        head = (
            f"POST {self.path} HTTP/1.1\r\nHost: {urlsplit(self.public_url).netloc}\r\n"
            "Content-Type: application/x-www-form-urlencoded; charset=utf-8\r\nUser-Agent: TwilioProxy/1.1\r\n"
            f"Accept: */*\r\nX-Twilio-Signature: {_SIGNATURE}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        with file.open("wb") as output:
            for sids in _sids(number):
                request = _put(head + body, sids).replace(_SIGNATURE, self._sign(_put(signed, sids)), 1)
                output.write(request.encode())
        return len(head + body)

    def _sign(self, text: str) -> str:
        return base64.b64encode(hmac.digest(self.token.encode(), text.encode(), "sha1")).decode()


def _put(text: str, sids: Mapping[str, str]) -> str:
    for place, sid in sids.items():
        text = text.replace(place, sid)
    return text


def _sids(number: int) -> Iterator[dict[str, str]]:
    run = secrets.token_hex(8)
    for each in range(number):
        distinct = f"{run}{each:016x}"
        yield {place: place[:2] + distinct for place in (_TASK, _RESERVATION, _EVENT)}
