"""The gate of the REST API: basic auth, faults on the way in and out, the log; and how a refusal looks on the wire.

Source: https://www.twilio.com/docs/usage/requests-to-twilio and https://www.twilio.com/docs/usage/twilios-response
"""

import hmac
from collections.abc import Mapping
from functools import partial
from uuid import uuid4

from flask import Response, g, jsonify, request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as WerkzeugResponse

from taskrouter_emulator.engine.state import State
from taskrouter_emulator.model.errors import ApiError, code_of_status
from taskrouter_emulator.rest import wire
from taskrouter_emulator.rest.form import Form
from taskrouter_emulator.transport.faults import Fault, FaultKind, Faults
from taskrouter_emulator.transport.faulty_responses import sending
from taskrouter_emulator.transport.http_server import SEND

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


def enter(faults: Faults, credentials: Mapping[str, str]) -> Response | None:
    """Who may not enter, and what goes wrong on the way in. Only for the API, not for driving the emulator.

    A response is given back instead of doing what was asked.
    """
    if not _is_rest():
        return None
    user = request.authorization
    expected = credentials.get(user.username or "") if user is not None and user.type == "basic" else None
    given = (user.password or "") if user is not None else ""
    if expected is None or not hmac.compare_digest(expected.encode(), given.encode()):
        raise ApiError(401, code_of_status(401), "Authenticate")
    where = (request.method, request.path)
    if (latency := faults.strike(*where, FaultKind.LATENCY)) is not None:
        latency.wait(latency.seconds)
    instead = (FaultKind.STATUS, FaultKind.HTML, FaultKind.STALL, FaultKind.RESET)
    if (fault := faults.strike(*where, *instead)) is not None:
        return _instead(fault)
    if "If-Match" in request.headers and faults.strike(*where, FaultKind.PRECONDITION_FAILED) is not None:
        raise ApiError(412, code_of_status(412), "Precondition Failed by a fault of the emulator")
    g.entered = True
    return None


def leave(state: State, faults: Faults, response: WerkzeugResponse) -> WerkzeugResponse:
    """Logs what was done and which parameters nobody knew, and lets go wrong what goes wrong on the way out."""
    if not _is_rest() or g.get("unanswered"):
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
    return _spoil(faults, response) if g.get("entered") else response


def _instead(fault: Fault) -> Response:
    if fault.kind is FaultKind.HTML:
        return _page(fault)
    if fault.kind is FaultKind.STATUS:
        response = refusal(fault.status, code_of_status(fault.status), "Refused by a fault of the emulator")
        if fault.retry_after is not None:
            response.headers["Retry-After"] = str(fault.retry_after)
        return response
    request.environ[SEND] = sending(fault)
    g.unanswered = True
    return Response()


def _spoil(faults: Faults, response: WerkzeugResponse) -> WerkzeugResponse:
    """What becomes of the answer to a request that was carried out."""
    strike = partial(faults.strike, request.method, request.path, after_processing=True)
    body = b"" if request.method == "HEAD" else response.get_data()
    if "ETag" in response.headers and strike(FaultKind.WITHOUT_ETAG) is not None:
        del response.headers["ETag"]
    if (page := strike(FaultKind.HTML)) is not None:
        response = _page(page)
    elif body and strike(FaultKind.BROKEN_JSON) is not None:
        response.set_data(body[: len(body) // 2])
    of_bodies = (FaultKind.CUT, FaultKind.DRIP_BODY) if body else ()
    if (fault := strike(FaultKind.STALL, FaultKind.RESET, FaultKind.DRIP_HEADERS, *of_bodies)) is not None:
        request.environ[SEND] = sending(fault)
    return response


def _page(fault: Fault) -> Response:
    return Response(_HTML, fault.status, content_type="text/html; charset=utf-8")


_HTML = """<!DOCTYPE html>
<html><head><title>Not TaskRouter</title></head><body><h1>A fault of the emulator</h1></body></html>
"""


def _is_rest() -> bool:
    return request.path.startswith(REST_PREFIX)
