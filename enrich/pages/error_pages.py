"""Error pages: a headline and what the reader can do.

Programs that do not ask for HTML get the same as one line of text. The page stands by itself: it asks neither for the
user nor for the database, since either may be what failed. Refusals leave a log line.
"""

from __future__ import annotations

from http import HTTPStatus

from flask import Flask, Response, render_template, request
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException, InternalServerError, ServiceUnavailable

from enrich import errors
from enrich.pages.refusals import log_refusal
from enrich.services import current_services

EXPIRED = ("This form has expired", "Go back, reload the page and try again.")
BUSY = ("Too many people are signing in", "Try again in a moment. Calls are routed meanwhile.")
# Status -> headline, and what the reader can do.
TEXTS = {
    400: ("Bad request", "The address or form has a value that this page does not accept. Go back and try again."),
    403: ("Not allowed", "Your role does not allow this. Ask an administrator."),
    404: ("Not found", "The address is wrong, or the journal no longer has this task."),
    405: ("Method not allowed", "This address exists, but not for this kind of request."),
    413: ("Too large", "The request is larger than this service accepts."),
    500: ("Internal error", "The log has the details. Calls are routed meanwhile."),
    503: ("The database does not respond", "Nothing is lost: try again in a moment. Calls are routed meanwhile."),
}


def register(app: Flask) -> None:
    """Show these pages for every HTTP error, and for a database that does not respond."""
    app.register_error_handler(HTTPException, _failed)
    app.register_error_handler(errors.DatabaseError, _without_database)
    app.register_error_handler(errors.TooManySignIns, _busy)


def _without_database(error: errors.DatabaseError) -> Response:
    return _failed(ServiceUnavailable(description=error.reason, retry_after=5))


def _busy(error: errors.TooManySignIns) -> Response:
    current_services().metrics.sign_in("limited")
    log_refusal("sign-in refused", error.reason)
    return _failed(ServiceUnavailable(description=error.reason, retry_after=2), BUSY)


def _failed(error: HTTPException, text: tuple[str, str] | None = None) -> Response:
    """Return the page for this error. The error's own headers (Location, Allow, Retry-After) stay.

    text: headline and advice, where those of the status do not fit.
    """
    response: Response = error.get_response()  # type: ignore[assignment]  # werkzeug names its base class
    if response.status_code < 400:
        return response
    code = response.status_code
    if isinstance(error, CSRFError):
        text = EXPIRED
        log_refusal("request refused", "csrf")
    elif code == HTTPStatus.FORBIDDEN:
        log_refusal("request refused", "forbidden")
    headline, advice = text or TEXTS.get(code, (error.name, ""))
    if "text/html" in request.headers.get("Accept", ""):
        response.set_data(render_template("error.html", code=code, headline=headline, advice=advice))
        response.content_type = "text/html; charset=utf-8"
    else:
        detail = "" if isinstance(error, InternalServerError) else f": {error.description}"
        response.set_data(f"{code} {error.name}{detail}\n")
        response.content_type = "text/plain; charset=utf-8"
    return response
