"""The three endpoints that TaskRouter calls, and their guard.

The guard starts the clock, reads the body, and verifies who sent it. After a good signature TaskRouter gets an answer
that it understands, whatever happens: a mistake of ours must not keep a caller waiting.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress
from http import HTTPStatus

from flask import Blueprint, Response, g, request
from werkzeug.exceptions import HTTPException

from enrich import assignment, errors, lifecycle
from enrich.arrival import waited_s
from enrich.clock import limited
from enrich.deadline import Deadline, OutOfTime, Step
from enrich.decision import Question, by_setting
from enrich.load import LONGEST_WAIT_S, budget_s
from enrich.parts import parts
from enrich.taskrouter import instructions
from enrich.vocabulary import Delivery, EntryKind, Outcome, Reason
from enrich.webhooks import payloads, signature

# An event has 15 s (facts section 5); to keep it takes milliseconds, and a database that cannot is soon known.
EVENT_S = 2.0

log = logging.getLogger(__name__)
bp = Blueprint("webhooks", __name__, url_prefix="/taskrouter")


@bp.before_request
def guard() -> Response | None:
    """Lets in what our account has signed, for our workspace; anything else gets 403 and leaves only a log line."""
    settings = parts().settings
    g.waited_s = waited_s(request.environ)
    g.deadline = Deadline.after(settings.budget_s, waited_s=g.waited_s)
    try:
        with limited(settings.budget_s):
            g.body = request.get_data(cache=False)
    except OutOfTime:
        parts().metrics.refused("body_too_slow")
        return _plain(HTTPStatus.REQUEST_TIMEOUT, "the body did not arrive in time")
    pairs = payloads.split_form(g.body)
    query = request.query_string.decode("latin-1")
    url = settings.public_url + request.path + (f"?{query}" if query else "")
    tokens = [token for token in (settings.twilio_auth_token, settings.twilio_auth_token_next) if token]
    try:
        signature.verify(url, pairs, g.body, request.headers.get("X-Twilio-Signature"), tokens)
    except errors.InvalidSignature as exc:
        log.warning("refused", extra={"reason": exc.reason, "detail": str(exc)})
        parts().metrics.refused(exc.reason)
        return _plain(HTTPStatus.FORBIDDEN, "the signature is missing or wrong")
    g.is_signed = True
    g.form = payloads.read_form(pairs)
    if settings.twilio_workspace_sid and g.form.get("WorkspaceSid") != settings.twilio_workspace_sid:
        log.warning("refused", extra={"reason": "other_workspace"})
        parts().metrics.refused("other_workspace")
        return _plain(HTTPStatus.FORBIDDEN, "this is not the workspace that is served here")
    return None


@bp.post("/assignment")
def answer_assignment() -> Response:
    """The assignment callback: the enriched answer."""
    delivery = _delivery(EntryKind.ASSIGNMENT)
    has_waited = g.waited_s > LONGEST_WAIT_S
    in_flight = None if has_waited else parts().in_flight.enter()
    if in_flight is None:
        parts().metrics.shed("queue" if has_waited else "in_flight")
        return _answer(
            delivery, assignment.answer_at_once(delivery, g.form, parts().tools, Reason.OVERLOAD, g.deadline)
        )
    try:
        deadline = g.deadline.shortened_to(budget_s(parts().settings.budget_s, in_flight))
        answered = assignment.handle(delivery, g.form, parts().tools, deadline)
        if answered.reason == Reason.OVERLOAD:
            parts().metrics.shed("database")
        return _answer(delivery, answered)
    finally:
        parts().in_flight.leave()


@bp.post("/assignment/fallback")
def answer_fallback() -> Response:
    """The same question, asked because the first answer did not come: the stored answer, or the default, at once."""
    delivery = _delivery(EntryKind.FALLBACK)
    answered = assignment.answer_at_once(delivery, g.form, parts().tools, Reason.FALLBACK, g.deadline)
    return _answer(delivery, answered)


@bp.post("/events")
def keep_event() -> Response:
    """An event callback: 204 once it is in the journal, and what it causes is owed; 503 when it could not be kept, so
    that it is sent again."""
    delivery = _delivery(EntryKind.EVENT)
    try:
        with limited(EVENT_S):
            lifecycle.receive(delivery, parts().tools, timeout_s=EVENT_S)
    except (errors.DatabaseError, OutOfTime) as exc:
        log.error(
            "event not recorded", extra={"reason": getattr(exc, "reason", Reason.OUT_OF_TIME)} | _of_event(delivery)
        )
        parts().metrics.event(delivery.event_type, "not_recorded")
        return _plain(HTTPStatus.SERVICE_UNAVAILABLE, "the event could not be kept; send it again")
    parts().metrics.event(delivery.event_type, "kept")
    return Response(status=HTTPStatus.NO_CONTENT)


@bp.errorhandler(Exception)
def answer_anyway(exc: Exception) -> Response:
    """The last resort behind the story's own: signed questions get the default instruction, never a 500."""
    if isinstance(exc, HTTPException):
        return _plain(HTTPStatus(exc.code or HTTPStatus.BAD_REQUEST), exc.name)
    log.exception("webhook failed", extra={"endpoint": request.endpoint})
    if not g.get("is_signed"):
        return _plain(HTTPStatus.FORBIDDEN, "the signature could not be verified")
    if request.endpoint == "webhooks.keep_event":
        return _plain(HTTPStatus.SERVICE_UNAVAILABLE, "the event could not be kept; send it again")
    default = by_setting(Question(g.form if "form" in g else {}), parts().tools.rules).instruction
    kind = EntryKind.FALLBACK if request.endpoint == "webhooks.answer_fallback" else EntryKind.ASSIGNMENT
    with suppress(Exception):  # counting may be the very thing that failed
        times = {"elapsed_s": g.deadline.elapsed_ms() / 1000, "left_s": g.deadline.remaining_s()}
        parts().metrics.callback(kind, Outcome.FAILED, Reason.FAILED, (), **times)
    return _json(instructions.to_json(default))


def _delivery(kind: EntryKind) -> Delivery:
    form = g.form
    reservation_sid = payloads.sid_or_none(form, "ReservationSid", "WR")
    key = payloads.sid_or_none(form, "Sid", "EV") if kind is EntryKind.EVENT else reservation_sid
    return Delivery(
        kind=kind,
        received_at=parts().tools.now(),
        delivery_key=key,
        workspace_sid=payloads.sid_or_none(form, "WorkspaceSid", "WS") or "",
        task_sid=payloads.sid_or_none(form, "TaskSid", "WT"),
        reservation_sid=reservation_sid,
        worker_sid=payloads.sid_or_none(form, "WorkerSid", "WK") or "",
        worker_name=payloads.worker_name(form),
        event_type=form.get("EventType", "")[:64],
        task_channel=payloads.task_channel(form),
        channel_unique_name=form.get("TaskChannelUniqueName", "")[:64] or None,
        task_queue_sid=payloads.sid_or_none(form, "TaskQueueSid", "WQ") or "",
        task_queue_name=form.get("TaskQueueName", ""),
        body=g.body,
    )


def _answer(delivery: Delivery, answered: assignment.Answered) -> Response:
    """The answer; and what became of the callback is counted, and told in one line of the log."""
    elapsed_ms, left_s = g.deadline.elapsed_ms(), g.deadline.remaining_s()
    told = (answered.outcome, answered.reason, answered.steps)
    parts().metrics.callback(delivery.kind, *told, elapsed_s=elapsed_ms / 1000, left_s=left_s)
    log.info(
        "assignment",
        extra={
            **assignment.sids(delivery),
            "entry": answered.entry_id,
            "idempotency_token": request.headers.get("I-Twilio-Idempotency-Token", "")[:64],
            "endpoint": delivery.kind,
            "outcome": answered.outcome or "repeat",
            "reason": answered.reason,
            "match": answered.match,
            "rule": answered.rule,
            "is_repeat": answered.is_repeat,
            "elapsed_ms": elapsed_ms,
            "waited_ms": round(g.waited_s * 1000),
            "left_ms": round(left_s * 1000),
            "steps": _times(answered.steps),
        },
    )
    response = _json(answered.answer)
    response.headers["Server-Timing"] = _server_timing(answered.steps, elapsed_ms)
    return response


def _times(steps: Iterable[Step]) -> dict[str, float]:
    """Milliseconds by name; what was done again counts together."""
    times: dict[str, float] = {}
    for step in steps:
        times[step.name] = round(times.get(step.name, 0.0) + step.elapsed_ms, 2)
    return times


def _server_timing(steps: Iterable[Step], elapsed_ms: float) -> str:
    """W3C Server Timing: each step once, with its milliseconds, then the whole."""
    return ", ".join(f"{name};dur={dur}" for name, dur in (_times(steps) | {"total": elapsed_ms}).items())


def _of_event(delivery: Delivery) -> dict[str, str]:
    return assignment.sids(delivery) | {"event_sid": delivery.delivery_key or "", "event_type": delivery.event_type}


def _json(text: str) -> Response:
    return Response(text, mimetype="application/json")


def _plain(status: HTTPStatus, text: str) -> Response:
    return Response(text + "\n", status=status, mimetype="text/plain")
