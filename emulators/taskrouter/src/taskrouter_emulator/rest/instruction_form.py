"""The instruction in a REST update of a reservation: every parameter of it read, and refused if it is of a wrong kind.

What is well-formed and incomplete is judged by `instructions.check`, with a 40xxx code.
Source: https://www.twilio.com/docs/taskrouter/api/reservations
"""

from taskrouter_emulator.model.errors import invalid
from taskrouter_emulator.model.instructions import MAX_RING_S, Instruction, Name, RefusedInstruction
from taskrouter_emulator.rest.form import Form

_OVER_REST = (Name.DEQUEUE, Name.CALL, Name.REDIRECT, Name.CONFERENCE, Name.SUPERVISE)
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


def read_instruction(form: Form) -> Instruction | None:
    """The instruction that this request carries, None if it carries none.

    Raises ApiError 400/20001 for a parameter of a wrong kind or an unknown instruction, and RefusedInstruction 40132
    for dequeue without `DequeueFrom`, which REST requires and an answer to a callback does not.
    """
    _read_participant(form)
    dequeue = Instruction(
        Name.DEQUEUE,
        to=form.text("DequeueTo"),
        from_=form.text("DequeueFrom"),
        post_work_activity_sid=form.sid("DequeuePostWorkActivitySid", "WA"),
        status_callback_url=form.text("DequeueStatusCallbackUrl"),
        status_callback_events=tuple(form.texts("DequeueStatusCallbackEvent")),
    )
    call = Instruction(
        Name.CALL,
        to=form.text("CallTo"),
        from_=form.text("CallFrom"),
        url=form.text("CallUrl"),
        accept=form.boolean("CallAccept", default=False),
        status_callback_url=form.text("CallStatusCallbackUrl"),
    )
    redirect = Instruction(
        Name.REDIRECT,
        url=form.text("RedirectUrl"),
        call_sid=form.text("RedirectCallSid"),
        accept=form.boolean("RedirectAccept", default=False),
    )
    conference = Instruction(
        Name.CONFERENCE,
        to=form.text("To"),
        from_=form.text("From"),
        post_work_activity_sid=form.sid("PostWorkActivitySid", "WA"),
    )
    supervise = Instruction(
        Name.SUPERVISE,
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


def _read_participant(form: Form) -> None:
    """What only shapes the calls, of which there are none here: read to be refused when it is wrong."""
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
