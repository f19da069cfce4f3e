"""Events that do not come as callbacks, translated into the callback's form: streamed ones and past ones.

Source: docs/taskrouter.md, "Events" and "Event Streams". Pure. A stream is account-wide, and its sink may
receive any product's events, so each event of a request is judged by itself.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from enrich.domain.deliveries import PastEvent
from enrich.domain.sids import is_sid
from enrich.taskrouter.callbacks import Form

# Before an event's type: com.twilio.taskrouter.task.created.
TYPE_PREFIX = "com.twilio.taskrouter."
# A larger number is a time in milliseconds: as one in seconds it would be in the year 5138.
_LAST_SECOND = 100_000_000_000


class Skipped(StrEnum):
    """The reason why an event of a stream is not recorded. The metric shows the same words."""

    OTHER_TYPE = "other_type"  # not of TaskRouter
    OTHER_WORKSPACE = "other_workspace"
    UNREADABLE = "unreadable"  # no JSON, or without what the callback's form has in any case
    DUPLICATE = "duplicate"  # twice in one request, or recorded already


@dataclass(frozen=True, slots=True)
class StreamedEvents:
    """The events of one request. forms: those to record, in order. skipped: numbers of the others."""

    forms: tuple[Form, ...]
    skipped: Mapping[Skipped, int]


def read_stream(body: bytes, workspace_sid: str) -> StreamedEvents:
    """Return the events in this body: one CloudEvent, or an array of them. Raises nothing.

    workspace_sid: the only one whose events are recorded; "" for any.
    """
    forms: dict[str, Form] = {}
    skipped: Counter[Skipped] = Counter()
    for event in _events(body):
        form = _form_of(event, workspace_sid)
        if isinstance(form, Skipped):
            skipped[form] += 1
        elif form["Sid"] in forms:
            skipped[Skipped.DUPLICATE] += 1
        else:
            forms[form["Sid"]] = form
    return StreamedEvents(tuple(forms.values()), skipped)


def callback_form(event_type: str, sid: str, data: Mapping[str, Any], happened_at: datetime | None) -> Form:
    """Return the event in the callback's spelling, `TaskSid` for `task_sid`. happened_at: None if unknown."""
    form = {"EventType": event_type, "Sid": sid}
    for name, value in data.items():
        if value is not None:
            written = value if isinstance(value, str) else json.dumps(value)
            form["".join(part.capitalize() for part in name.split("_"))] = written
    if happened_at is not None:
        form.setdefault("TimestampMs", str(int(happened_at.timestamp() * 1000)))
    return form


def past_event(row: Mapping[str, Any]) -> PastEvent | None:
    """Return an event of the Events resource; None for one without what every event has."""
    event_type, sid, data = row.get("event_type"), row.get("sid"), row.get("event_data") or {}
    happened_at = _moment(row.get("event_date"))
    if not isinstance(event_type, str) or not event_type or not is_sid(sid, "EV"):
        return None
    if not isinstance(data, dict) or happened_at is None:
        return None
    return PastEvent(happened_at, callback_form(event_type, sid, data, happened_at))


def _events(body: bytes) -> Iterator[object]:
    """Yield the events of a request; a body that is no JSON counts as one event."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        yield None
        return
    yield from document if isinstance(document, list) else (document,)


def _form_of(event: object, workspace_sid: str) -> Form | Skipped:
    if not isinstance(event, dict) or not isinstance(event.get("type"), str):
        return Skipped.UNREADABLE
    if not event["type"].startswith(TYPE_PREFIX):
        return Skipped.OTHER_TYPE
    data = event.get("data")
    payload = data.get("payload") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(payload, dict):
        return Skipped.UNREADABLE
    # The type after the prefix differs from EventType in places; the payload's is the callback's.
    event_type, its_workspace_sid = payload.get("eventtype"), payload.get("workspace_sid")
    sid = next((found for found in (payload.get("sid"), data.get("sid")) if is_sid(found, "EV")), None)
    if not isinstance(event_type, str) or not event_type or sid is None or not is_sid(its_workspace_sid, "WS"):
        return Skipped.UNREADABLE
    if workspace_sid and its_workspace_sid != workspace_sid:
        return Skipped.OTHER_WORKSPACE
    happened_at = next(
        filter(None, map(_moment, (payload.get("timestamp"), data.get("timestamp"), event.get("time")))), None
    )
    fields = {name: value for name, value in payload.items() if name not in ("sid", "eventtype", "timestamp")}
    return callback_form(event_type, sid, fields, happened_at)


def _moment(value: object) -> datetime | None:
    """Return a time in seconds or milliseconds, or as RFC 3339 writes it; None for anything else."""
    text = str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
    if not isinstance(text, str) or len(text) > 40:
        return None
    try:
        number = float(text)
    except ValueError:
        return _aware(text)
    try:
        return datetime.fromtimestamp(number / 1000 if number > _LAST_SECOND else number, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _aware(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
