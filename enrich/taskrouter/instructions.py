"""Assignment instructions (docs/taskrouter.md, "Instructions").

A table says which instructions there are and which parameters each takes; translation makes of an instruction the
answer to a callback, or the form of a REST request. Pure. The names of instructions and keys are TaskRouter's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from enrich.domain.sids import is_sid
from enrich.domain.work_kinds import WorkKind, work_in_text, work_of

# An answer, as TaskRouter reads it: snake_case keys, lists as words separated by commas.
Instruction = dict[str, Any]
Attributes = Mapping[str, Any]

ACCEPT: Instruction = {"instruction": "accept"}
DEQUEUE: Instruction = {"instruction": "dequeue"}
# No instruction: the reservation stays pending, and somebody else, Flex for one, accepts it.
DEFER: Instruction = {}
# What the policy calls it.
DEFER_NAME = "defer"

_MAX_TEXT_LENGTH = 2000
_MAX_RING_S, _MAX_SIP_RING_S = 999, 600
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of an instruction.

    rest: its name over REST. None: it exists in an answer only. read: the value as an answer holds it; raises
    ValueError saying what it must be. is_address: a URL. is_repeated: over REST each word is a field of its own.
    """

    rest: str | None
    read: Callable[[Any], Any]
    is_required: bool = False
    is_address: bool = False
    is_repeated: bool = False


def build(name: str, values: Mapping[str, Any]) -> Instruction:
    """Build the instruction of that name from these parameters, named as in an answer.

    values: text, numbers, truth values, lists of words; None and blank text count as not given. Raises ValueError that
    names the parameter which is missing, unknown or wrong, and KeyError for an unknown instruction.
    """
    parameters = TABLE[name]
    present = {key: value for key, value in values.items() if value is not None and value != ""}
    for key in present:
        if key not in parameters:
            raise ValueError(f"{key}: {name} has no such parameter")
    instruction: Instruction = {} if name == DEFER_NAME else {"instruction": name}
    for key, parameter in parameters.items():
        if key in present:
            try:
                instruction[key] = parameter.read(present[key])
            except ValueError as exc:
                raise ValueError(f"{key}: {exc}") from exc
        elif parameter.is_required:
            raise ValueError(f"{key}: missing, and {name} needs it")
    if wrong := _rung_too_long(instruction, instruction.get("to")):
        raise ValueError(wrong)
    return instruction


def lacking(instruction: Instruction, task: Attributes, worker: Attributes) -> str:
    """Return the reason why TaskRouter would refuse this instruction here; "" for none.

    task, worker: their attributes. Sources: alerts 40131, 40140 (dequeue), 40110 (call), 40137, 40142 (conference).
    """
    name, work = instruction.get("instruction"), work_of(task)
    if name == "dequeue" and not work.has_call:
        return "dequeue exists only for calls, and the task has no call_sid"
    if name == "conference" and not work.is_call:
        return "conference exists only for calls, and the task has neither call_sid nor outbound_to"
    if name == "conference" and not (task.get("to") or work.names_called):
        return "a conference needs to or outbound_to on the task"
    if name in ("dequeue", "call", "conference") and not (instruction.get("to") or worker.get("contact_uri")):
        return f"{name} has no to, and the worker has no contact_uri"
    return _rung_too_long(instruction, worker.get("contact_uri")) if "to" not in instruction else ""


def to_json(instruction: Mapping[str, Any]) -> str:
    return json.dumps(instruction, ensure_ascii=False, separators=(",", ":"))


def rest_form(instruction: Instruction) -> tuple[tuple[str, str], ...] | None:
    """Return the instruction as fields of a POST to the Reservation; None if REST has no form of it.

    That is so for `defer`, for parameters that only an answer has, and for dequeue without `from`, which REST requires.
    """
    name = instruction.get("instruction")
    if name is None or (name == "dequeue" and "from" not in instruction):
        return None
    status = _STATUSES.get(name)
    fields = [("ReservationStatus", status)] if status else [("Instruction", str(name))]
    parameters = TABLE[name]
    for key, value in instruction.items():
        if key == "instruction":
            continue
        parameter = parameters[key]
        if parameter.rest is None:
            return None
        words = value.split(",") if parameter.is_repeated else [value]
        fields += [(parameter.rest, _as_field(word)) for word in words]
    return tuple(fields)


def is_repeatable(instruction: Instruction) -> bool:
    """Return whether the instruction may be sent again after an unknown result: it dials nobody."""
    return instruction.get("instruction") in ("accept", "reject", "redirect")


def default_instruction(name: str, attributes: Attributes | None, raw_attributes: str = "") -> Instruction:
    """Return the default instruction for this task and worker.

    name: `accept`, `defer`, `dequeue` or `auto`. attributes: the callback's snapshot, read; None where it cannot be,
    and then `raw_attributes`, which may be anything, is searched for the words.
    `auto` defers where a bare accept would do harm: the caller would stay in hold music, a call that is still to be
    made is never made (alert 40142), and Flex sets its interactions up itself. `dequeue` exists only for calls that
    there are (alert 40140): without one, and for Flex's, it does as `auto` does.
    """
    if name == "accept":
        return ACCEPT
    if name == "defer":
        return DEFER
    work = work_of(attributes) if attributes is not None else work_in_text(raw_attributes)
    if name == "dequeue" and work.has_call and work.kind is not WorkKind.FLEX:
        return DEQUEUE
    return DEFER if work.is_bound else ACCEPT


# --- the table: readers, then instructions


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("must be text")
    text = str(value).strip()
    if not text or len(text) > _MAX_TEXT_LENGTH or _CONTROLS.search(text):
        raise ValueError(f"must be text of one line, at most {_MAX_TEXT_LENGTH} characters")
    return text


def _address(value: Any) -> str:
    text = _text(value)
    try:
        parts = urlsplit(text)
        is_one = parts.scheme in ("http", "https") and bool(parts.hostname) and " " not in text
    except ValueError:
        is_one = False
    if not is_one:
        raise ValueError("must be an http(s) address like https://calls.example.com/greeting")
    return text


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    raise ValueError("must be true or false")


def _number(low: int, high: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        text = str(value).strip()
        if isinstance(value, bool) or not (text.isascii() and text.isdigit() and len(text) < 10):
            raise ValueError(f"must be a whole number from {low} to {high}")
        if not low <= int(text) <= high:
            raise ValueError(f"{text} is outside {low} to {high}")
        return int(text)

    return read


def _one_of(*words: str) -> Callable[[Any], str]:
    by_lower_case = {word.lower(): word for word in words}

    def read(value: Any) -> str:
        text = str(value).strip().lower() if isinstance(value, str | bool) else ""
        if text not in by_lower_case:
            raise ValueError(f"must be {', '.join(words[:-1])} or {words[-1]}")
        return by_lower_case[text]

    return read


def _some_of(*words: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        entries = value.split(",") if isinstance(value, str) else value
        if not isinstance(entries, list | tuple) or not entries:
            raise ValueError(f"must be a list of some of {', '.join(words)}")
        found = [word.strip().lower() if isinstance(word, str) else word for word in entries]
        if wrong := [word for word in found if word not in words]:
            raise ValueError(f"{wrong[0]!r} is none of {', '.join(words)}")
        return ",".join(dict.fromkeys(found))

    return read


def _sid(prefix: str, what: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        written = value.strip() if isinstance(value, str) else value
        if not is_sid(written, prefix):
            raise ValueError(f"must be the SID of {what}: {prefix} and 32 hexadecimal digits")
        return written

    return read


_activity = _sid("WA", "an activity")
_call_progress = _some_of("initiated", "ringing", "answered", "completed")
_conference_events = _some_of("start", "end", "join", "leave", "mute", "hold", "speaker")
_method = _one_of("GET", "POST")
_record_call = _one_of("do-not-record", "record-from-answer")


def _required(rest: str, read: Callable[[Any], Any]) -> Parameter:
    return Parameter(rest, read, is_required=True)


def _url(rest: str, *, is_required: bool = False) -> Parameter:
    return Parameter(rest, _address, is_required=is_required, is_address=True)


def _words(rest: str, read: Callable[[Any], str]) -> Parameter:
    return Parameter(rest, read, is_repeated=True)


_timeout = _number(1, _MAX_RING_S)

# By their names in an answer, in the order in which they are sent. The keys of conference beside `to`, `from`,
# `post_work_activity_sid` and `room_name` are those of REST in the spelling of an answer (docs/taskrouter.md,
# "Instructions": not verified).
TABLE: Mapping[str, Mapping[str, Parameter]] = {
    DEFER_NAME: {},
    "accept": {},
    "reject": {"activity_sid": _required("WorkerActivitySid", _activity)},
    "dequeue": {
        "to": Parameter("DequeueTo", _text),
        "from": Parameter("DequeueFrom", _text),
        "post_work_activity_sid": Parameter("DequeuePostWorkActivitySid", _activity),
        "record": Parameter("DequeueRecord", _record_call),
        "timeout": Parameter("DequeueTimeout", _timeout),
        "status_callback_url": _url("DequeueStatusCallbackUrl"),
        "status_callback_events": _words("DequeueStatusCallbackEvent", _call_progress),
    },
    "call": {
        "to": Parameter("CallTo", _text),
        "from": _required("CallFrom", _text),
        "url": _url("CallUrl", is_required=True),
        "accept": Parameter("CallAccept", _boolean),
        "record": Parameter("CallRecord", _record_call),
        "timeout": Parameter("CallTimeout", _timeout),
        "status_callback_url": _url("CallStatusCallbackUrl"),
    },
    "redirect": {
        "call_sid": _required("RedirectCallSid", _sid("CA", "a call")),
        "url": _url("RedirectUrl", is_required=True),
        "accept": Parameter("RedirectAccept", _boolean),
    },
    "conference": {
        "to": Parameter("To", _text),
        "from": _required("From", _text),
        "timeout": Parameter("Timeout", _timeout),
        "post_work_activity_sid": Parameter("PostWorkActivitySid", _activity),
        "room_name": Parameter(None, _text),
        "status_callback": _url("StatusCallback"),
        "status_callback_method": Parameter("StatusCallbackMethod", _method),
        "status_callback_event": _words("StatusCallbackEvent", _call_progress),
        "record": Parameter("Record", _boolean),
        "muted": Parameter("Muted", _boolean),
        "beep": Parameter("Beep", _one_of("true", "false", "onEnter", "onExit")),
        "start_conference_on_enter": Parameter("StartConferenceOnEnter", _boolean),
        "end_conference_on_exit": Parameter("EndConferenceOnExit", _boolean),
        "end_conference_on_customer_exit": Parameter("EndConferenceOnCustomerExit", _boolean),
        "beep_on_customer_entrance": Parameter("BeepOnCustomerEntrance", _boolean),
        "wait_url": _url("WaitUrl"),
        "wait_method": Parameter("WaitMethod", _method),
        "early_media": Parameter("EarlyMedia", _boolean),
        "max_participants": Parameter("MaxParticipants", _number(2, 250)),
        "conference_status_callback": _url("ConferenceStatusCallback"),
        "conference_status_callback_method": Parameter("ConferenceStatusCallbackMethod", _method),
        "conference_status_callback_event": _words("ConferenceStatusCallbackEvent", _conference_events),
        "conference_record": Parameter(
            "ConferenceRecord", _one_of("true", "false", "do-not-record", "record-from-start")
        ),
        "conference_trim": Parameter("ConferenceTrim", _one_of("trim-silence", "do-not-trim")),
        "recording_channels": Parameter("RecordingChannels", _one_of("mono", "dual")),
        "recording_status_callback": _url("RecordingStatusCallback"),
        "recording_status_callback_method": Parameter("RecordingStatusCallbackMethod", _method),
        "conference_recording_status_callback": _url("ConferenceRecordingStatusCallback"),
        "conference_recording_status_callback_method": Parameter("ConferenceRecordingStatusCallbackMethod", _method),
        "region": Parameter("Region", _text),
        "sip_auth_username": Parameter("SipAuthUsername", _text),
        "sip_auth_password": Parameter("SipAuthPassword", _text),
        "jitter_buffer_size": Parameter("JitterBufferSize", _one_of("small", "medium", "large", "off")),
    },
}

# Those that are no `Instruction` over REST, but a status of the reservation.
_STATUSES = {"accept": "accepted", "reject": "rejected"}


def _as_field(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _rung_too_long(instruction: Instruction, to: Any) -> str:
    """Return the error in the timeout for this address; "" for none (docs/taskrouter.md, "Instructions")."""
    is_sip = isinstance(to, str) and to.strip().lower().startswith(("sip:", "sips:"))
    timeout = instruction.get("timeout", 0)
    return (
        f"timeout: {timeout} is outside 1 to {_MAX_SIP_RING_S}, for a SIP address"
        if (is_sip and timeout > _MAX_SIP_RING_S)
        else ""
    )
