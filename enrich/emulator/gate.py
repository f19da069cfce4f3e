"""The gate before every REST request: basic auth, then the faults in force; and how a refusal looks on the wire.

Source: https://www.twilio.com/docs/usage/requests-to-twilio and https://www.twilio.com/docs/usage/twilios-response
"""

import hmac
from collections.abc import Mapping
from threading import Event as Signal
from uuid import uuid4

from flask import Response, g, jsonify, request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as WerkzeugResponse

from . import wire
from .errors import ApiError, code_of_status
from .faults import FaultKind, Faults
from .form import Form
from .state import State

REST_PREFIX = "/v1/"


def http_refusal(problem: HTTPException) -> Response:
    """A refusal by the framework (no such path, wrong method, body too large), in TaskRouter's own form."""
    status = problem.code or 500
    message = problem.description or problem.name
    if status == 404:
        message = f"The requested resource {request.path} was not found"
    return refusal(status, code_of_status(status), message)


def refusal(status: int, code: int, message: str) -> Response:
    response = jsonify(wire.error(status, code, message))
    response.status_code = status
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Basic realm="Twilio API"'
    g.refusal_code = code
    return response


def enter(faults: Faults, credentials: Mapping[str, str], stopping: Signal) -> None:
    """Who may not enter, and what goes wrong on the way in. Only for the API, not for driving the emulator."""
    if not _is_rest():
        return
    user = request.authorization
    expected = credentials.get(user.username or "") if user is not None and user.type == "basic" else None
    given = (user.password or "") if user is not None else ""
    if expected is None or not hmac.compare_digest(expected.encode(), given.encode()):
        raise ApiError(401, code_of_status(401), "Authenticate")
    where = (request.method, request.path)
    if (latency := faults.strike(FaultKind.LATENCY, *where)) is not None:
        stopping.wait(latency.seconds)
    if (refused := faults.strike(FaultKind.STATUS, *where)) is not None:
        raise ApiError(refused.status, code_of_status(refused.status), "Refused by a fault of the emulator")
    if "If-Match" in request.headers and faults.strike(FaultKind.PRECONDITION_FAILED, *where) is not None:
        raise ApiError(412, code_of_status(412), "Precondition Failed by a fault of the emulator")


def note(state: State, response: WerkzeugResponse) -> WerkzeugResponse:
    """Writes the request into the log, with what it was answered and which parameters nobody knew."""
    if not _is_rest():
        return response
    response.headers["Twilio-Request-Id"] = "RQ" + uuid4().hex
    form: Form | None = g.get("form")
    if form is not None and response.status_code < 400 and (names := form.unread()):
        state.log.append("parameters_ignored", names=names, path=request.path)
    state.log.append(
        "rest_answered",
        method=request.method,
        path=request.path,
        status=response.status_code,
        code=g.get("refusal_code"),
    )
    return response


def _is_rest() -> bool:
    return request.path.startswith(REST_PREFIX)
