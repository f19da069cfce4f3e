"""The four endpoints that TaskRouter and Event Streams call, in an application of their own.

`intake` verifies the sender, `handlers` answers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Blueprint, Flask, Response, current_app, request
from werkzeug.exceptions import HTTPException

from enrich.domain.lengths import MAX_FORM_BYTES, MAX_STREAM_BYTES
from enrich.services import Services
from enrich.taskrouter import endpoints
from enrich.webhooks import handlers, intake
from enrich.webhooks.handlers import WebhookResponse
from enrich.webhooks.intake import VerifiedRequest

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

Answer = Callable[[VerifiedRequest, Services], WebhookResponse]
Accept = Callable[["WSGIEnvironment", Callable[[], bytes], Services], VerifiedRequest]

log = logging.getLogger(__name__)
bp = Blueprint("webhooks", __name__)


def application(services: Services) -> Flask:
    """Return the application for webhooks, beside the one for browsers.

    TaskRouter has no session: nothing here opens one, asks for a CSRF token or writes a cookie, and no callback pays
    for what pages need before and after each request.
    """
    app = Flask(__name__, static_folder=None)
    # The signature covers the form as it came, so it is read in bytes; werkzeug's own limit of forms does not apply.
    app.config.update(MAX_CONTENT_LENGTH=MAX_FORM_BYTES, PROVIDE_AUTOMATIC_OPTIONS=False)
    app.url_map.merge_slashes = False  # nobody is sent elsewhere with a callback
    app.extensions["enrich"] = services
    app.register_blueprint(bp)
    app.register_error_handler(Exception, _refuse)
    return app


@bp.post(endpoints.ASSIGNMENT)
def answer_assignment() -> Response:
    """Answer an assignment callback, after enriching its task."""
    return _guarded(handlers.answer_assignment)


@bp.post(endpoints.FALLBACK)
def answer_fallback() -> Response:
    """Answer at once: TaskRouter asks here when the first answer did not come."""
    return _guarded(handlers.answer_fallback)


@bp.post(endpoints.EVENTS)
def record_event() -> Response:
    """Record an event: 204 once it is in the journal, 503 if it could not be recorded."""
    return _guarded(handlers.record_event)


@bp.post(endpoints.EVENT_STREAMS)
def record_stream() -> Response:
    """Record the events of a stream: 204 once those that concern us are in the journal, 503 if one is not."""
    request.max_content_length = MAX_STREAM_BYTES
    return _guarded(handlers.record_stream, intake.accept_stream)


def _guarded(answer: Answer, accept: Accept = intake.accept) -> Response:
    """Return the answer to a request signed by our account; any other gets 403 and a log line.

    No endpoint gets at a request but through here. accept: verifies the sender, and the workspace where there is one.
    """
    services: Services = current_app.extensions["enrich"]
    try:
        verified = accept(request.environ, lambda: request.get_data(cache=False), services)
    except intake.Refused as exc:
        return _response(handlers.refused(exc))
    return _response(answer(verified, services))


def _refuse(exc: Exception) -> Response:
    """Return a refusal, never a 500, for an error before the signature was verified."""
    if isinstance(exc, HTTPException):
        response = _response(WebhookResponse(HTTPStatus(exc.code or HTTPStatus.BAD_REQUEST), exc.name + "\n"))
        response.headers.extend((name, value) for name, value in exc.get_headers() if name not in response.headers)
        return response
    log.exception("webhook failed", extra={"endpoint": request.endpoint})
    return _response(handlers.UNVERIFIABLE)


def _response(response: WebhookResponse) -> Response:
    headers = {"X-Content-Type-Options": "nosniff", "Content-Type": response.content_type}
    if response.server_timing:
        headers["Server-Timing"] = response.server_timing
    return Response(response.text, response.status, headers)
