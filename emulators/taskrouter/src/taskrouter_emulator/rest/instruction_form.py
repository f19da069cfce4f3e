"""The instruction in a REST update of a reservation: every parameter is read, and refused if it has a wrong type.

Well-formed but incomplete instructions are refused by `instructions.check`, with a 40xxx code.
Source: https://www.twilio.com/docs/taskrouter/api/reservations
"""

from taskrouter_emulator.model.errors import invalid
from taskrouter_emulator.model.instructions import MAX_RING_S, Instruction, InstructionName, RefusedInstruction
from taskrouter_emulator.rest.form import RequestForm

_OVER_REST = (
    InstructionName.DEQUEUE,
    InstructionName.CALL,
    InstructionName.REDIRECT,
    InstructionName.CONFERENCE,
    InstructionName.SUPERVISE,
)
_METHODS = ("GET", "POST")
_CALL_EVENTS = ("initiated", "ringing", "answered", "completed")
_CONFERENCE_EVENTS = ("start", "end", "join", "leave", "mute", "hold", "speaker")
_BOOLEANS = (
    "Record",
    "Muted",
    "StartConferenceOnEnter",
    "EndConferenceOnExit",
    "EndConferenceOnCustomerExit",
    "BeepOnCustomerEntrance",
    "EarlyMedia",
)
_TEXTS = (
    "ConferenceRecord",
    "ConferenceTrim",
    "Region",
    "SipAuthUsername",
    "SipAuthPassword",
    "DequeueRecord",
    "CallRecord",
)
_URLS = (
    "StatusCallback",
    "WaitUrl",
    "ConferenceStatusCallback",
    "RecordingStatusCallback",
    "ConferenceRecordingStatusCallback",
)


def read_instruction(form: RequestForm) -> Instruction | None:
    """Return the instruction of this request, None if it has none.

    Raises ApiError 400/20001 for a parameter of a wrong type or an unknown instruction, and RefusedInstruction 40132
    for dequeue without `DequeueFrom`, which REST requires and a callback's response does not.
    """
    _read_participant(form)
    dequeue = Instruction(
        InstructionName.DEQUEUE,
        to=form.text("DequeueTo"),
        from_=form.text("DequeueFrom"),
        post_work_activity_sid=form.sid("DequeuePostWorkActivitySid", "WA"),
        status_callback_url=form.text("DequeueStatusCallbackUrl"),
        status_callback_events=tuple(form.texts("DequeueStatusCallbackEvent")),
    )
    call = Instruction(
        InstructionName.CALL,
        to=form.text("CallTo"),
        from_=form.text("CallFrom"),
        url=form.text("CallUrl"),
        accept=form.boolean("CallAccept", default=False),
        status_callback_url=form.text("CallStatusCallbackUrl"),
    )
    redirect = Instruction(
        InstructionName.REDIRECT,
        url=form.text("RedirectUrl"),
        call_sid=form.text("RedirectCallSid"),
        accept=form.boolean("RedirectAccept", default=False),
    )
    conference = Instruction(
        InstructionName.CONFERENCE,
        to=form.text("To"),
        from_=form.text("From"),
        post_work_activity_sid=form.sid("PostWorkActivitySid", "WA"),
    )
    supervise = Instruction(
        InstructionName.SUPERVISE,
        supervisor=form.text("Supervisor"),
        mode=form.choice("SupervisorMode", ("monitor", "whisper", "barge")) or "monitor",
    )
    text = form.text("Instruction")
    if text is None:
        return None
    for instruction in (dequeue, call, redirect, conference, supervise):
        if instruction.name == text.lower():
            if instruction is dequeue and not dequeue.from_:
                raise RefusedInstruction(40132, "Missing or invalid: DequeueFrom")
            return instruction
    raise invalid(f"Instruction {text} is not one of {', '.join(_OVER_REST)}")


def _read_participant(form: RequestForm) -> None:
    """Check parameters that only shape calls, which are not emulated."""
    for name in _BOOLEANS:
        form.boolean(name)
    for name in _TEXTS:
        form.text(name)
    for name in _URLS:
        form.url(name)
        if name != "WaitUrl":
            form.choice(f"{name}Method", _METHODS)
    form.choice("WaitMethod", _METHODS)
    form.choice("Beep", ("true", "false", "onEnter", "onExit"))
    form.choice("RecordingChannels", ("mono", "dual"))
    form.choice("JitterBufferSize", ("small", "medium", "large", "off"))
    form.choices("StatusCallbackEvent", _CALL_EVENTS)
    form.choices("ConferenceStatusCallbackEvent", _CONFERENCE_EVENTS)
    form.integer_between("MaxParticipants", 2, 250)
    for name in ("Timeout", "DequeueTimeout", "CallTimeout"):
        form.integer_between(name, 1, MAX_RING_S)
