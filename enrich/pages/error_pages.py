"""Error pages: one calm page with a headline and what the reader can do.

Programs that do not ask for HTML get the same as one line of text. The page stands by itself: it asks neither for the
user nor for the database, since either may be what failed.
"""

from __future__ import annotations

from flask import Flask, Response, render_template, request
from werkzeug.exceptions import HTTPException, InternalServerError, ServiceUnavailable

from enrich import errors

# Status -> headline, and what the reader can do.
WORDS = {
    400: ("That form is no longer valid", "Go back, reload the page and try once more."),
    403: ("Not for this account", "Your account may not do this. Ask an administrator of this page."),
    404: ("Nothing here", "The address is wrong, or the journal no longer keeps this task."),
    405: ("Not like this", "This address is there, but it cannot be used this way."),
    413: ("Too much at once", "What was sent is larger than this service takes."),
    500: ("A mistake of ours", "It was written to the log. Calls are routed on meanwhile."),
    503: ("The database does not answer", "Nothing is lost: try again in a moment. Calls are routed on meanwhile."),
}


def register(app: Flask) -> None:
    """Shows these pages for every HTTP error, and for a database that does not answer."""
    app.register_error_handler(HTTPException, _failed)
    app.register_error_handler(errors.DatabaseError, _without_database)


def _without_database(error: errors.DatabaseError) -> Response:
    return _failed(ServiceUnavailable(description=error.reason, retry_after=5))


def _failed(error: HTTPException) -> Response:
    """The page for this error. What the error itself brings (a redirect, Allow, Retry-After) stays."""
    response: Response = error.get_response()  # type: ignore[assignment]  # werkzeug names its base class
    if response.status_code < 400:
        return response
    code = response.status_code
    headline, advice = WORDS.get(code, (error.name, ""))
    if "text/html" in request.headers.get("Accept", ""):
        response.set_data(render_template("error.html", code=code, headline=headline, advice=advice))
        response.content_type = "text/html; charset=utf-8"
    else:
        detail = "" if isinstance(error, InternalServerError) else f": {error.description}"
        response.set_data(f"{code} {error.name}{detail}\n")
        response.content_type = "text/plain; charset=utf-8"
    return response
