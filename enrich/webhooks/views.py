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
from enrich.clock import limited
from enrich.deadline import Deadline, OutOfTime, Step
from enrich.decision import Question, by_setting
from enrich.load import budget_s
from enrich.parts import parts
from enrich.taskrouter import instructions
from enrich.vocabulary import Delivery, EntryKind, Outcome, Reason
from enrich.webhooks import door
from enrich.webhooks.shedding import IN_FLIGHT, WAITED_S

# An event has 15 s (facts section 5); to keep it takes milliseconds, and a database that cannot is soon known.
EVENT_S = 2.0

log = logging.getLogger(__name__)
bp = Blueprint("webhooks", __name__, url_prefix="/taskrouter")


@bp.before_request
def guard() -> Response | None:
    """Lets in what our account has signed, for our workspace; anything else gets 403 and leaves only a log line."""
    settings, metrics = parts().settings, parts().metrics
    g.waited_s = request.environ.get(WAITED_S, 0.0)
    g.deadline = Deadline.after(settings.budget_s, waited_s=g.waited_s)
    try:
        with limited(settings.budget_s):
            g.body = request.get_data(cache=False)
    except OutOfTime:
        metrics.refused("body_too_slow")
        return _plain(HTTPStatus.REQUEST_TIMEOUT, "the body did not arrive in time")
    query = request.query_string.decode("latin-1")
    try:
        g.form = door.verified_form(g.body, request.path, query, request.headers.get("X-Twilio-Signature"), settings)
    except door.Refused as exc:
        metrics.refused(exc.reason)
        return _plain(exc.status, exc.told)
    return None


@bp.post("/assignment")
def answer_assignment() -> Response:
    """The assignment callback: the enriched answer. Those that are too many were answered by `shedding`."""
    delivery = _delivery(EntryKind.ASSIGNMENT)
    deadline = g.deadline.shortened_to(budget_s(parts().settings.budget_s, request.environ.get(IN_FLIGHT, 1)))
    answered = assignment.handle(delivery, g.form, parts().tools, deadline)
    if answered.reason == Reason.OVERLOAD:
        parts().metrics.shed("database")
    return _answer(delivery, answered)


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
            receipt = lifecycle.receive(delivery, parts().tools, timeout_s=EVENT_S)
    except (errors.DatabaseError, OutOfTime) as exc:
        log.error(
            "event not recorded", extra={"reason": getattr(exc, "reason", Reason.OUT_OF_TIME)} | _of_event(delivery)
        )
        parts().metrics.event(delivery.event_type, "not_recorded")
        return _plain(HTTPStatus.SERVICE_UNAVAILABLE, "the event could not be kept; send it again")
    parts().metrics.event(delivery.event_type, "kept")
    if tracing := parts().tracing:
        tracing.event(delivery, receipt.entry_id, is_repeat=receipt.is_repeat, began_at=g.deadline.began_at)
    return Response(status=HTTPStatus.NO_CONTENT)


@bp.errorhandler(Exception)
def answer_anyway(exc: Exception) -> Response:
    """The last resort behind the story's own: signed questions get the default instruction, never a 500."""
    if isinstance(exc, HTTPException):
        return _plain(HTTPStatus(exc.code or HTTPStatus.BAD_REQUEST), exc.name)
    log.exception("webhook failed", extra={"endpoint": request.endpoint})
    if "form" not in g:
        return _plain(HTTPStatus.FORBIDDEN, "the signature could not be verified")
    if request.endpoint == "webhooks.keep_event":
        return _plain(HTTPStatus.SERVICE_UNAVAILABLE, "the event could not be kept; send it again")
    default = by_setting(Question(g.form), parts().tools.rules).instruction
    kind = EntryKind.FALLBACK if request.endpoint == "webhooks.answer_fallback" else EntryKind.ASSIGNMENT
    with suppress(Exception):  # counting may be the very thing that failed
        times = {"elapsed_s": g.deadline.elapsed_ms() / 1000, "left_s": g.deadline.remaining_s()}
        parts().metrics.callback(kind, Outcome.FAILED, Reason.FAILED, (), **times)
    return _json(instructions.to_json(default))


def _delivery(kind: EntryKind) -> Delivery:
    return door.delivery_of(kind, g.form, g.body, parts().tools.now())


def _answer(delivery: Delivery, answered: assignment.Answered) -> Response:
    token = request.headers.get("I-Twilio-Idempotency-Token", "")
    door.tell(delivery, answered, g.deadline, parts(), waited_s=g.waited_s, idempotency_token=token)
    response = _json(answered.answer)
    response.headers["Server-Timing"] = _server_timing(answered.steps, g.deadline.elapsed_ms())
    return response


def _server_timing(steps: Iterable[Step], elapsed_ms: float) -> str:
    """W3C Server Timing: each step once, with its milliseconds, then the whole."""
    return ", ".join(f"{name};dur={dur}" for name, dur in (door.times(steps) | {"total": elapsed_ms}).items())


def _of_event(delivery: Delivery) -> dict[str, str]:
    return assignment.sids(delivery) | {"event_sid": delivery.delivery_key or "", "event_type": delivery.event_type}


def _json(text: str) -> Response:
    return Response(text, mimetype="application/json")


def _plain(status: HTTPStatus, text: str) -> Response:
    return Response(text + "\n", status=status, mimetype="text/plain")
