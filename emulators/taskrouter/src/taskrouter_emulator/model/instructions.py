"""Instructions: what a response to the assignment callback, or a REST update of a reservation, asks TaskRouter to do.

Parsing and checks only; `engine.reservations` executes. A refused instruction is an alert with a 40xxx code if it came
in a response, and a 400 with the same code if it came over REST. Sources:
https://www.twilio.com/docs/taskrouter/handle-assignment-callbacks,
https://www.twilio.com/docs/taskrouter/api/reservations and https://www.twilio.com/docs/api/errors/40100 and following.
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


class InstructionName(StrEnum):
    ACCEPT = "accept"
    REJECT = "reject"
    DEQUEUE = "dequeue"
    CALL = "call"
    REDIRECT = "redirect"
    CONFERENCE = "conference"
    SUPERVISE = "supervise"


@dataclass(frozen=True)
class Instruction:
    """One instruction. Absent parameters are None, except `accept`, which is False; unknown ones are ignored."""

    name: InstructionName
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
        """True if the connected call accepts the reservation: always for dequeue and conference, else on request."""
        return self.name in (InstructionName.DEQUEUE, InstructionName.CONFERENCE) or self.accept


class RefusedInstruction(Exception):
    """TaskRouter does not execute the instruction. code: Twilio's error code; message: the reason."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class InterpretedResponse:
    """An HTTP response to the assignment callback, as TaskRouter understands it.

    instruction: None if there is nothing to do. alert: the entry for the alert log, None without one.
    use_fallback: the response does not count, so the fallback URL is requested.
    """

    instruction: Instruction | None = None
    alert: RefusedInstruction | None = None
    use_fallback: bool = False


def interpret_response(
    status: int, content_type: str, body: str, *, no_content_is_an_answer: bool = False
) -> InterpretedResponse:
    """Return what this response asks for. Raises nothing: an instruction that cannot be executed is an alert.

    A status other than 200 leads to the fallback URL. So does a non-empty body that is not JSON (alert 40000); an empty
    body of another type is the documented manual flow, with the alert and without the fallback.
    """
    if status == 204 and no_content_is_an_answer:
        return InterpretedResponse()
    if status != 200:
        return InterpretedResponse(use_fallback=True)
    if content_type.partition(";")[0].strip().lower() != "application/json":
        alert = RefusedInstruction(NOT_JSON_TYPE, f"The answer's content type is {content_type or 'absent'}")
        return InterpretedResponse(alert=alert, use_fallback=bool(body.strip()))
    try:
        response_body = json.loads(body)
    except (ValueError, RecursionError):
        return InterpretedResponse(alert=RefusedInstruction(NOT_PARSEABLE, "The answer cannot be parsed as JSON"))
    if response_body == {}:
        return InterpretedResponse()
    if not isinstance(response_body, dict) or "instruction" not in response_body:
        return InterpretedResponse(alert=RefusedInstruction(WITHOUT_INSTRUCTION, "The answer has no instruction"))
    name = response_body["instruction"]
    try:
        if name == InstructionName.SUPERVISE:
            raise ValueError("over REST only")
        return InterpretedResponse(instruction=_from_answer(response_body))
    except ValueError:
        return InterpretedResponse(alert=RefusedInstruction(UNKNOWN_INSTRUCTION, f"Unknown instruction {name!r}"))


def check(instruction: Instruction, reservation: Reservation) -> None:
    """Check that the instruction is complete and that the reservation is pending.

    Raises RefusedInstruction. The error dictionary has no code for `accept` and `reject` on a reservation that is not
    pending; the caller checks those.
    """
    if instruction.name is InstructionName.SUPERVISE and reservation.status in _NOT_SUPERVISED:
        raise RefusedInstruction(
            40146, f"Reservation {reservation.sid} cannot be supervised: it is {reservation.status}"
        )
    _check_parameters(instruction, reservation)
    code = _NOT_PENDING.get(instruction.name)
    if code is not None and (reservation.status is not ReservationStatus.PENDING or reservation.on_hold):
        raise RefusedInstruction(
            code,
            f"Unable to execute {instruction.name.capitalize()} instruction, "
            f"reservation {reservation.sid} is not currently in a Pending state",
        )


_NOT_SUPERVISED = set(ReservationStatus) - {ReservationStatus.ACCEPTED, ReservationStatus.WRAPPING}
_NOT_PENDING = {
    InstructionName.CALL: 40114,
    InstructionName.REDIRECT: 40123,
    InstructionName.DEQUEUE: 40135,
    InstructionName.CONFERENCE: 40136,
}


def _from_answer(response_body: dict[str, object]) -> Instruction:
    return Instruction(
        name=InstructionName(str(response_body["instruction"])),
        to=_text(response_body.get("to")),
        from_=_text(response_body.get("from")),
        url=_text(response_body.get("url")),
        call_sid=_text(response_body.get("call_sid")),
        accept=str(response_body.get("accept", "")).lower() == "true",
        activity_sid=_text(response_body.get("activity_sid")),
        post_work_activity_sid=_text(response_body.get("post_work_activity_sid")),
        status_callback_url=_text(response_body.get("status_callback_url")),
        status_callback_events=_comma_list(response_body.get("status_callback_events")),
        timeout=response_body.get("timeout"),
    )


def _check_parameters(instruction: Instruction, reservation: Reservation) -> None:
    task = attribute_text.as_object(reservation.task.attributes)
    to = instruction.to or reservation.worker.parsed_attributes.get("contact_uri")
    match instruction.name:
        case InstructionName.ACCEPT:
            return
        case InstructionName.REJECT:
            _require(_activity_exists(instruction.activity_sid, reservation), REJECT_ACTIVITY, "activity_sid")
        case InstructionName.DEQUEUE:
            _require(_has(task, "call_sid"), 40140, "call_sid in the task's attributes")
            _require(to, 40131, "to, or contact_uri in the worker's attributes")
            _require(
                _post_work_activity_exists(instruction, reservation), 40130, "post_work_activity_sid of an activity"
            )
            _require(_CALL_PROGRESS.issuperset(instruction.status_callback_events), 40134, "status_callback_events")
            _require(_is_absent_or_url(instruction.status_callback_url), 40157, "status_callback_url")
        case InstructionName.CALL:
            _require(to, 40110, "to, or contact_uri in the worker's attributes")
            _require(instruction.from_, 40111, "from")
            _require(_is_url(instruction.url), 40112, "url")
            _require(_is_absent_or_url(instruction.status_callback_url), 40158, "status_callback_url")
        case InstructionName.REDIRECT:
            _require(_is_url(instruction.url), 40120, "url")
            _require(is_sid(instruction.call_sid, "CA"), 40121, "call_sid")
        case InstructionName.CONFERENCE:
            _require(to, 40137, "to, or contact_uri in the worker's attributes")
            _require(instruction.from_, 40138, "from")
            _require(
                _post_work_activity_exists(instruction, reservation), 40139, "post_work_activity_sid of an activity"
            )
            _require(_is_absent_or_seconds(instruction.timeout), 14233, f"timeout, whole seconds up to {MAX_RING_S}")
            if not _has(task, "outbound_to"):  # an outbound call is placed by the instruction, so there is none yet
                _require(_has(task, "call_sid"), 40142, "call_sid or outbound_to in the task's attributes")
                _require(_has(task, "to"), 40142, "to in the task's attributes")
        case InstructionName.SUPERVISE:
            _require(_supervisor_address(instruction, reservation), 40147, "contact_uri in the supervisor's attributes")
            _require(_has(task, "from"), 40148, "from in the task's attributes")


def _supervisor_address(instruction: Instruction, reservation: Reservation) -> object:
    """Return the supervisor's address: a worker's `contact_uri`, or the parameter itself if it is no worker's SID."""
    if not is_sid(instruction.supervisor, "WK"):
        return instruction.supervisor
    worker = reservation.task.workspace.workers.get(instruction.supervisor or "")
    return worker.parsed_attributes.get("contact_uri") if worker is not None else None


def _require(present: object, code: int, part: str) -> None:
    if not present:
        raise RefusedInstruction(code, f"Missing or invalid: {part}")


def _has(attributes: dict[str, object], key: str) -> bool:
    return isinstance(attributes.get(key), str) and bool(attributes[key])


def _activity_exists(activity_sid: str | None, reservation: Reservation) -> bool:
    return activity_sid in reservation.task.workspace.activities


def _post_work_activity_exists(instruction: Instruction, reservation: Reservation) -> bool:
    sid = instruction.post_work_activity_sid
    return sid is None or _activity_exists(sid, reservation)


def _is_url(text: str | None) -> bool:
    return text is not None and text.startswith(("http://", "https://"))


def _is_absent_or_url(text: str | None) -> bool:
    return text is None or _is_url(text)


def _is_absent_or_seconds(value: object) -> bool:
    """Return whether this is a whole number, as number or text (https://www.twilio.com/docs/api/errors/14233)."""
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
