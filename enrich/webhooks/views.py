"""The three endpoints that TaskRouter calls, and their guard.

The guard starts the clock, reads the body, and verifies who sent it; what is answered stands in `answers.py`.
"""

from __future__ import annotations

import logging
from http import HTTPStatus

from flask import Blueprint, Response, g, request
from werkzeug.exceptions import HTTPException

from enrich.clock import limited
from enrich.deadline import Deadline, OutOfTime
from enrich.parts import parts
from enrich.webhooks import answers, door
from enrich.webhooks.answers import Answer
from enrich.webhooks.shedding import IN_FLIGHT, WAITED_S

log = logging.getLogger(__name__)
bp = Blueprint("webhooks", __name__, url_prefix="/taskrouter")


@bp.before_request
def guard() -> Response | None:
    """Lets in what our account has signed, for our workspace; anything else gets 403 and leaves only a log line."""
    here, environ = parts(), request.environ
    settings, waited_s = here.settings, environ.get(WAITED_S, 0.0)
    deadline = Deadline.after(settings.budget_s, waited_s=waited_s)
    try:
        with limited(settings.budget_s):
            body = request.get_data(cache=False)
    except OutOfTime:
        return _response(answers.body_too_slow(here))
    path, query, signed = request.path, environ.get("QUERY_STRING", ""), environ.get("HTTP_X_TWILIO_SIGNATURE")
    try:
        form = door.verified_form(body, path, query, signed, settings)
    except door.Refused as exc:
        return _response(answers.refused(exc, here))
    token = environ.get("HTTP_I_TWILIO_IDEMPOTENCY_TOKEN", "")
    g.request = answers.Request(form, body, deadline, waited_s, environ.get(IN_FLIGHT, 1), token)
    return None


@bp.post("/assignment")
def answer_assignment() -> Response:
    """The assignment callback: the enriched answer."""
    return _response(answers.answer_assignment(g.request, parts()))


@bp.post("/assignment/fallback")
def answer_fallback() -> Response:
    """The same question, asked because the first answer did not come: the stored answer, or the default, at once."""
    return _response(answers.answer_fallback(g.request, parts()))


@bp.post("/events")
def keep_event() -> Response:
    """An event callback: 204 once it is in the journal, 503 when it could not be kept."""
    return _response(answers.keep_event(g.request, parts()))


@bp.errorhandler(Exception)
def refuse(exc: Exception) -> Response:
    """What goes wrong before the signature was found good: a refusal, never a 500."""
    if isinstance(exc, HTTPException):
        status = HTTPStatus(exc.code or HTTPStatus.BAD_REQUEST)
        return _response(Answer(status, exc.name + "\n"))
    log.exception("webhook failed", extra={"endpoint": request.endpoint})
    return _response(answers.UNVERIFIABLE)


def _response(answer: Answer) -> Response:
    response = Response(answer.text, status=answer.status, content_type=answer.content_type)
    if answer.server_timing:
        response.headers["Server-Timing"] = answer.server_timing
    return response
