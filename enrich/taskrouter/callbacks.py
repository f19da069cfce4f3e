"""Callbacks of TaskRouter, from bytes to a record.

Sources: docs/taskrouter.md, "Assignment callback" and "Events".

Pure. Unknown parameters are part of the signature and of the journal, and of nothing else.
"""

from __future__ import annotations

import json
import re
from binascii import a2b_qp
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from enrich.domain.deliveries import GUESSED_CHANNELS, Delivery, TaskEvent
from enrich.domain.lengths import MAX_CHANNEL_LENGTH, MAX_EVENT_TYPE_LENGTH, MAX_WORKER_NAME_LENGTH
from enrich.domain.outcomes import EntryKind
from enrich.domain.sids import is_sid
from enrich.domain.work_kinds import CALL_ATTRIBUTES
from enrich.errors import MalformedPayload
from enrich.taskrouter.attributes import parse_or_none

# Read from the text, not parsed: it is only filtered by, and every callback and event waits for it.
_CHANNEL_TYPE = re.compile(r'"channelType"\s*:\s*"([^"\\]{1,64})"')
# Not if the value is null or blank, as in `enrich.domain.work_kinds`.
_CALL = re.compile(rf'"(?:{"|".join(CALL_ATTRIBUTES)})"\s*:(?!\s*(?:null|false|"\s*"|\[\s*\]|{{\s*}}))')
_NOT_QUOTED = re.compile(rb"%(?![0-9a-fA-F]{2})")
# TaskRouter sends some twenty parameters; splitting more of them would be work done for an attacker.
_MAX_PARAMETERS = 1000

Form = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class AssignmentCallback:
    """One assignment callback as it arrived, read once.

    delivery: the request as the journal keeps it. raw_attributes: the task's attributes as sent, a snapshot that is
    never written back; attributes: the same, parsed; None if they are no JSON object.
    """

    delivery: Delivery
    form: Form
    raw_attributes: str
    attributes: Mapping[str, Any] | None


def split_form(body: bytes) -> list[tuple[bytes, bytes]]:
    """Return the names and values of a form-encoded body, unquoted, in order.

    A part without `=` is a name with an empty value; empty parts are left out. The same as `parse_qsl` with
    `keep_blank_values`, but in bytes, because the signature covers bytes: `parse_qsl` refuses bytes outside ASCII. A
    name or value that is not well quoted stays as it is.
    """
    pairs: list[tuple[bytes, bytes]] = []
    for part in filter(None, body.replace(b"+", b" ").split(b"&", _MAX_PARAMETERS)):
        name, _, value = part.partition(b"=")
        if b"%" in part:
            name, value = _unquoted(name), _unquoted(value)
        pairs.append((name, value))
    return pairs


def _unquoted(text: bytes) -> bytes:
    """Return the text as `unquote_to_bytes` does, which takes a step of Python for every quoted byte.

    Attributes are JSON: every fifth byte of them is quoted. Quoted-printable is the same notation with another sign,
    and binascii reads it in C. That gains 4 % of a callback whose task holds our block already, 6 % of an event, and
    2 % of a callback that writes. Text with a sign that quotes nothing stays as it is: Twilio quotes well, so it is not
    Twilio's, and taking a megabyte of percent signs apart in Python took a second.
    """
    if _NOT_QUOTED.search(text):
        return text
    return a2b_qp(text.replace(b"=", b"=3D").replace(b"%", b"="))


def read_form(pairs: list[tuple[bytes, bytes]]) -> Form:
    """Decode the form; of a repeated name, the last value. Invalid UTF-8 is replaced, since nothing is written back."""
    return {name.decode("utf-8", "replace"): value.decode("utf-8", "replace") for name, value in pairs}


def attributes_in(raw_form: str) -> str | None:
    """Return the task's attributes in this body of a callback or an event; None if it has none."""
    return read_form(split_form(raw_form.encode("utf-8", "surrogateescape"))).get("TaskAttributes") or None


def assignment_callback(kind: EntryKind, form: Form, body: bytes, received_at: datetime) -> AssignmentCallback:
    """Return the callback in this form. Raises nothing, whatever the attributes hold."""
    raw_attributes = form.get("TaskAttributes", "")
    return AssignmentCallback(
        delivery_of(kind, form, body, received_at), form, raw_attributes, parse_or_none(raw_attributes)
    )


def require_sids(form: Form) -> None:
    """Raise MalformedPayload naming the parameter of an assignment callback that is missing or no SID."""
    for name, prefix in (("WorkspaceSid", "WS"), ("TaskSid", "WT"), ("ReservationSid", "WR")):
        _require_sid(form, name, prefix)


def require_event_sid(form: Form) -> None:
    """Raise MalformedPayload if the event has no SID, by which a repeat is known."""
    _require_sid(form, "Sid", "EV")


def _require_sid(form: Form, name: str, prefix: str) -> None:
    if sid_or_none(form, name, prefix) is None:
        raise MalformedPayload(f"{name}: {'not a SID' if form.get(name) else 'missing'}")


def delivery_of(kind: EntryKind, form: Form, body: bytes, received_at: datetime) -> Delivery:
    """Return the delivery as the journal keeps it; SIDs that are missing or malformed stay empty."""
    reservation_sid = sid_or_none(form, "ReservationSid", "WR")
    channel, guessed = _channels(form)
    return Delivery(
        kind=kind,
        received_at=received_at,
        delivery_key=sid_or_none(form, "Sid", "EV") if kind is EntryKind.EVENT else reservation_sid,
        workspace_sid=sid_or_none(form, "WorkspaceSid", "WS") or "",
        task_sid=sid_or_none(form, "TaskSid", "WT"),
        reservation_sid=reservation_sid,
        worker_sid=sid_or_none(form, "WorkerSid", "WK") or "",
        worker_name=worker_name(form),
        event_type=form.get("EventType", "")[:MAX_EVENT_TYPE_LENGTH],
        task_channel=channel,
        guessed_channel=guessed,
        channel_unique_name=form.get("TaskChannelUniqueName", "")[:MAX_CHANNEL_LENGTH] or None,
        task_queue_sid=sid_or_none(form, "TaskQueueSid", "WQ") or "",
        task_queue_name=form.get("TaskQueueName", ""),
        raw_attributes=form.get("TaskAttributes", ""),
        body=body,
    )


def task_event(event_type: str, form: Form, received_at: datetime) -> TaskEvent:
    """Return the event of this form. received_at: its time if the form has none."""
    return TaskEvent(
        event_type=event_type,
        happened_at=_moment(form.get("TimestampMs", ""), 1000) or _moment(form.get("Timestamp", ""), 1) or received_at,
        reservation_sid=sid_or_none(form, "ReservationSid", "WR") or "",
        worker_sid=sid_or_none(form, "WorkerSid", "WK") or "",
        worker_name=worker_name(form),
        form=form,
    )


def _moment(number: str, per_second: int) -> datetime | None:
    """Unix time in seconds or milliseconds, as a moment; None for anything else."""
    try:
        return datetime.fromtimestamp(int(number) / per_second, UTC) if len(number) < 16 else None
    except (ValueError, OverflowError, OSError):
        return None


def sid_or_none(form: Form, name: str, prefix: str) -> str | None:
    """Return the SID under this name; None if it is missing or not a SID."""
    value = form.get(name, "")
    return value if is_sid(value, prefix) else None


def task_channel(form: Form) -> str:
    """Return the customer's channel: "whatsapp", "web", "voice", ..., lower-cased, at most 64 characters; or "".

    The attributes' own `channelType` says more than the task channel, which only events carry (docs/taskrouter.md,
    "Flex and channel conventions").
    """
    return _channels(form)[0]


def _channels(form: Form) -> tuple[str, str | None]:
    """Return the channel as `task_channel` does, and what the attributes alone suggest; None if they name it."""
    attributes = form.get("TaskAttributes", "")
    if found := _CHANNEL_TYPE.search(attributes):
        return _channel_name(found[1]), None
    guessed = GUESSED_CHANNELS[_CALL.search(attributes) is not None]
    return _channel_name(form.get("TaskChannelUniqueName", "")) or guessed, guessed


def _channel_name(text: str) -> str:
    return text.strip().lower()[:MAX_CHANNEL_LENGTH]


def worker_name(form: Form) -> str:
    """A name for the worker that staff recognise, at most 120 characters, or "".

    Events carry WorkerName; the assignment callback does not, and there the worker's attributes may hold one.
    """
    if form.get("WorkerName"):
        return form["WorkerName"][:MAX_WORKER_NAME_LENGTH]
    try:
        attributes = json.loads(form.get("WorkerAttributes", ""))
    except (ValueError, RecursionError):
        return ""
    if not isinstance(attributes, dict):
        return ""
    names = (attributes.get(name) for name in ("full_name", "name", "contact_uri"))
    name = next((name for name in names if name and isinstance(name, str)), "")
    return name.removeprefix("client:")[:MAX_WORKER_NAME_LENGTH]
