"""Instructions: what an answer to the assignment callback, or a REST update of a reservation, asks TaskRouter to do.

Reading and checking only; `reservations` executes. A refused instruction is an alert with a 40xxx code when it came in
an answer, and a 400 with the same code when it came over REST.
Sources: https://www.twilio.com/docs/taskrouter/handle-assignment-callbacks,
https://www.twilio.com/docs/taskrouter/api/reservations and the pages https://www.twilio.com/docs/api/errors/40100
and following.
"""

import json
from dataclasses import dataclass
from enum import StrEnum

from taskrouter_emulator.model import attributes as attribute_text
from taskrouter_emulator.model.records import Reservation, ReservationStatus
from taskrouter_emulator.model.sids import is_sid

NOT_JSON_TYPE = 40000
NOT_PARSEABLE = 40001
WITHOUT_INSTRUCTION = 40005
UNKNOWN_INSTRUCTION = 55555
REJECT_ACTIVITY = 40100
MAX_RING_S = 999
_CALL_PROGRESS = {"initiated", "ringing", "answered", "completed"}


class Name(StrEnum):
    ACCEPT = "accept"
    REJECT = "reject"
    DEQUEUE = "dequeue"
    CALL = "call"
    REDIRECT = "redirect"
    CONFERENCE = "conference"
    SUPERVISE = "supervise"


@dataclass(frozen=True)
class Instruction:
    """One instruction. Absent parameters are None, except `accept`, which is then False; other ones are ignored."""

    name: Name
    to: str | None = None
    from_: str | None = None
    url: str | None = None
    call_sid: str | None = None
    accept: bool = False
    activity_sid: str | None = None
    post_work_activity_sid: str | None = None
    status_callback_url: str | None = None
    status_callback_events: tuple[str, ...] = ()
    timeout: object = None
    supervisor: str | None = None
    mode: str | None = None

    @property
    def accepts_when_connected(self) -> bool:
        """dequeue and conference accept once the worker is connected; call and redirect only if they say so."""
        return self.name in (Name.DEQUEUE, Name.CONFERENCE) or self.accept


class RefusedInstruction(Exception):
    """TaskRouter does not execute this. code: Twilio's error code; the message says what is wrong."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Reading:
    """What TaskRouter makes of one HTTP answer.

    instruction: None when there is nothing to do. alert: what goes into the alert log, None if all is well.
    use_fallback: this was no answer, so the fallback URL is asked.
    """

    instruction: Instruction | None = None
    alert: RefusedInstruction | None = None
    use_fallback: bool = False


def read_answer(status: int, content_type: str, body: str, *, no_content_is_an_answer: bool = False) -> Reading:
    """What this answer asks for. Raises nothing: whatever cannot be executed is an alert.

    A status other than 200 goes to the fallback URL. So does a non-empty body of another type than JSON (alert
    40000); an empty one of another type is the documented manual flow, with the alert and without the fallback.
    """
    if status == 204 and no_content_is_an_answer:
        return Reading()
    if status != 200:
        return Reading(use_fallback=True)
    if content_type.partition(";")[0].strip().lower() != "application/json":
        alert = RefusedInstruction(NOT_JSON_TYPE, f"The answer's content type is {content_type or 'absent'}")
        return Reading(alert=alert, use_fallback=bool(body.strip()))
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return Reading(alert=RefusedInstruction(NOT_PARSEABLE, "The answer cannot be parsed as JSON"))
    if answer == {}:
        return Reading()
    if not isinstance(answer, dict) or "instruction" not in answer:
        return Reading(alert=RefusedInstruction(WITHOUT_INSTRUCTION, "The answer has no instruction"))
    name = answer["instruction"]
    try:
        if name == Name.SUPERVISE:
            raise ValueError("over REST only")
        return Reading(instruction=_from_answer(answer))
    except ValueError:
        return Reading(alert=RefusedInstruction(UNKNOWN_INSTRUCTION, f"Unknown instruction {name!r}"))


def check(instruction: Instruction, reservation: Reservation) -> None:
    """Whether the instruction has all its parts and the reservation still waits for it.

    Raises RefusedInstruction. `accept` and `reject` on a reservation that no longer waits are not covered by a code
    of their own in the error dictionary; the caller judges those.
    """
    if instruction.name is Name.SUPERVISE and reservation.status in _NOT_SUPERVISED:
        raise RefusedInstruction(
            40146, f"Reservation {reservation.sid} cannot be supervised: it is {reservation.status}"
        )
    _check_parts(instruction, reservation)
    code = _NOT_PENDING.get(instruction.name)
    if code is not None and (reservation.status is not ReservationStatus.PENDING or reservation.on_hold):
        raise RefusedInstruction(
            code,
            f"Unable to execute {instruction.name.capitalize()} instruction, "
            f"reservation {reservation.sid} is not currently in a Pending state",
        )


_NOT_SUPERVISED = set(ReservationStatus) - {ReservationStatus.ACCEPTED, ReservationStatus.WRAPPING}
_NOT_PENDING = {Name.CALL: 40114, Name.REDIRECT: 40123, Name.DEQUEUE: 40135, Name.CONFERENCE: 40136}


def _from_answer(answer: dict[str, object]) -> Instruction:
    return Instruction(
        name=Name(str(answer["instruction"])),
        to=_text(answer.get("to")),
        from_=_text(answer.get("from")),
        url=_text(answer.get("url")),
        call_sid=_text(answer.get("call_sid")),
        accept=str(answer.get("accept", "")).lower() == "true",
        activity_sid=_text(answer.get("activity_sid")),
        post_work_activity_sid=_text(answer.get("post_work_activity_sid")),
        status_callback_url=_text(answer.get("status_callback_url")),
        status_callback_events=_comma_list(answer.get("status_callback_events")),
        timeout=answer.get("timeout"),
    )


def _check_parts(instruction: Instruction, reservation: Reservation) -> None:
    task = attribute_text.as_object(reservation.task.attributes)
    to = instruction.to or reservation.worker.parsed_attributes.get("contact_uri")
    match instruction.name:
        case Name.ACCEPT:
            return
        case Name.REJECT:
            _need(_activity_exists(instruction.activity_sid, reservation), REJECT_ACTIVITY, "activity_sid")
        case Name.DEQUEUE:
            _need(_has(task, "call_sid"), 40140, "call_sid in the task's attributes")
            _need(to, 40131, "to, or contact_uri in the worker's attributes")
            _need(_post_work_fits(instruction, reservation), 40130, "post_work_activity_sid of an activity")
            _need(_CALL_PROGRESS.issuperset(instruction.status_callback_events), 40134, "status_callback_events")
            _need(_is_absent_or_url(instruction.status_callback_url), 40157, "status_callback_url")
        case Name.CALL:
            _need(to, 40110, "to, or contact_uri in the worker's attributes")
            _need(instruction.from_, 40111, "from")
            _need(_is_url(instruction.url), 40112, "url")
            _need(_is_absent_or_url(instruction.status_callback_url), 40158, "status_callback_url")
        case Name.REDIRECT:
            _need(_is_url(instruction.url), 40120, "url")
            _need(is_sid(instruction.call_sid, "CA"), 40121, "call_sid")
        case Name.CONFERENCE:
            _need(to, 40137, "to, or contact_uri in the worker's attributes")
            _need(instruction.from_, 40138, "from")
            _need(_post_work_fits(instruction, reservation), 40139, "post_work_activity_sid of an activity")
            _need(_is_absent_or_seconds(instruction.timeout), 14233, f"timeout, whole seconds up to {MAX_RING_S}")
            _need(_has(task, "call_sid"), 40142, "call_sid in the task's attributes")
            _need(_has(task, "to") or _has(task, "outbound_to"), 40142, "to in the task's attributes")
        case Name.SUPERVISE:
            _need(_supervisors_address(instruction, reservation), 40147, "contact_uri in the supervisor's attributes")
            _need(_has(task, "from"), 40148, "from in the task's attributes")


def _supervisors_address(instruction: Instruction, reservation: Reservation) -> object:
    """Of a worker, what their attributes say; anything else is an address itself."""
    if not is_sid(instruction.supervisor, "WK"):
        return instruction.supervisor
    worker = reservation.task.workspace.workers.get(instruction.supervisor or "")
    return worker.parsed_attributes.get("contact_uri") if worker is not None else None


def _need(present: object, code: int, part: str) -> None:
    if not present:
        raise RefusedInstruction(code, f"Missing or invalid: {part}")


def _has(attributes: dict[str, object], key: str) -> bool:
    return isinstance(attributes.get(key), str) and bool(attributes[key])


def _activity_exists(activity_sid: str | None, reservation: Reservation) -> bool:
    return activity_sid in reservation.task.workspace.activities


def _post_work_fits(instruction: Instruction, reservation: Reservation) -> bool:
    sid = instruction.post_work_activity_sid
    return sid is None or _activity_exists(sid, reservation)


def _is_url(text: str | None) -> bool:
    return text is not None and text.startswith(("http://", "https://"))


def _is_absent_or_url(text: str | None) -> bool:
    return text is None or _is_url(text)


def _is_absent_or_seconds(value: object) -> bool:
    """A whole number, or text that is one; https://www.twilio.com/docs/api/errors/14233"""
    if value is None or isinstance(value, bool):
        return value is None
    text = str(value)
    return text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_RING_S)) and int(text) <= MAX_RING_S


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _comma_list(value: object) -> tuple[str, ...]:
    if isinstance(value, list):
        return tuple(str(item) for item in value)
    return tuple(item.strip() for item in str(value or "").split(",") if item.strip())
