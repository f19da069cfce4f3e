"""The three endpoints that TaskRouter calls, their guard, and the application that they are alone in.

The guard starts the clock, reads the body, and verifies who sent it; what is answered stands in `answers.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from http import HTTPStatus

from flask import Blueprint, Flask, Response, current_app
from flask import request as flask_request
from werkzeug.exceptions import HTTPException

from enrich.domain.deadline import Deadline, OutOfTime
from enrich.resilience.timeouts import time_limit
from enrich.services import Services
from enrich.webhooks import handlers, intake
from enrich.webhooks.handlers import Request, WebhookResponse
from enrich.webhooks.load_shedding import IN_FLIGHT, WAITED_S

PREFIX = "/taskrouter"
# The longest callback that TaskRouter can send takes some 30 kB; what is longer is not read to its end.
LARGEST_BODY = 1_000_000

log = logging.getLogger(__name__)
bp = Blueprint("webhooks", __name__, url_prefix=PREFIX)


def application(services: Services) -> Flask:
    """The blueprint in an application of its own, beside the one for browsers.

    TaskRouter signs in nowhere and sees no page: nothing here opens a session, asks for a CSRF token or writes a
    cookie, and no callback pays for what pages need before and after each request.
    """
    app = Flask(__name__, static_folder=None)
    # The signature covers the form as it came, so it is read in bytes, and werkzeug's own limit of forms is not asked.
    app.config.update(MAX_CONTENT_LENGTH=LARGEST_BODY, PROVIDE_AUTOMATIC_OPTIONS=False)
    app.url_map.merge_slashes = False  # nobody is sent elsewhere with a callback
    app.extensions["enrich"] = services
    app.register_blueprint(bp)
    app.register_error_handler(Exception, _refuse)
    return app


@bp.post("/assignment")
def answer_assignment() -> Response:
    """The assignment callback: the enriched answer."""
    return _guarded(handlers.answer_assignment)


@bp.post("/assignment/fallback")
def answer_fallback() -> Response:
    """The same question, asked because the first answer did not come: the stored answer, or the default, at once."""
    return _guarded(handlers.answer_fallback)


@bp.post("/events")
def keep_event() -> Response:
    """An event callback: 204 once it is in the journal, 503 when it could not be kept."""
    return _guarded(handlers.keep_event)


def _guarded(answer: Callable[[Request, Services], WebhookResponse]) -> Response:
    """The answer to what our account has signed, for our workspace; anything else gets 403 and leaves only a log line.

    No endpoint gets at a request but through here.
    """
    services: Services = current_app.extensions["enrich"]
    # Each use of the proxy looks the request up anew. Flask documents this; to mypy the proxy is a request without it.
    request = flask_request._get_current_object()  # type: ignore[attr-defined]
    settings, environ = services.settings, request.environ
    waited_s = environ.get(WAITED_S, 0.0)
    deadline = Deadline.after(settings.budget_s, waited_s=waited_s)
    try:
        with time_limit(settings.budget_s):
            body = request.get_data(cache=False)
    except OutOfTime:
        return _response(handlers.body_too_slow(services))
    query, signed = environ.get("QUERY_STRING", ""), environ.get("HTTP_X_TWILIO_SIGNATURE")
    try:
        form = intake.verified_form(body, request.path, query, signed, settings)
    except intake.Refused as exc:
        return _response(handlers.refused(exc, services))
    token = environ.get("HTTP_I_TWILIO_IDEMPOTENCY_TOKEN", "")
    verified = Request(form, body, deadline, waited_s, environ.get(IN_FLIGHT, 1), token)
    return _response(answer(verified, services))


def _refuse(exc: Exception) -> Response:
    """What goes wrong before the signature was found good: a refusal, never a 500."""
    if isinstance(exc, HTTPException):
        response = _response(WebhookResponse(HTTPStatus(exc.code or HTTPStatus.BAD_REQUEST), exc.name + "\n"))
        response.headers.extend((name, value) for name, value in exc.get_headers() if name not in response.headers)
        return response
    log.exception("webhook failed", extra={"endpoint": flask_request.endpoint})
    return _response(handlers.UNVERIFIABLE)


def _response(answer: WebhookResponse) -> Response:
    headers = {"X-Content-Type-Options": "nosniff", "Content-Type": answer.content_type}
    if answer.server_timing:
        headers["Server-Timing"] = answer.server_timing
    return Response(answer.text, answer.status, headers)
