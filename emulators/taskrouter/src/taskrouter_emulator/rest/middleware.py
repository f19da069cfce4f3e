"""Middleware of the REST API: basic auth, faults before and after processing, the log, and error responses.

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
from taskrouter_emulator.model.errors import ApiError, code_of_status, error_body
from taskrouter_emulator.rest.form import RequestForm
from taskrouter_emulator.transport.faults import Fault, FaultKind, Faults
from taskrouter_emulator.transport.faulty_responses import faulty_sender
from taskrouter_emulator.transport.http_server import SENDER_KEY

REST_PREFIX = "/v1/"


def refuse_http(exc: HTTPException) -> Response:
    """Return a refusal by the framework (unknown path, wrong method, body too large) in TaskRouter's own form."""
    status = exc.code or 500
    message = exc.description or exc.name
    if status == 404:
        message = f"The requested resource {request.path} was not found"
    return refuse(status, code_of_status(status), message)


def refuse(status: int, code: int, message: str) -> Response:
    """Return an error response with Twilio's code."""
    response = jsonify(error_body(status, code, message))
    response.status_code = status
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Basic realm="Twilio API"'
    g.refusal_code = code
    return response


def before_request(faults: Faults, credentials: Mapping[str, str]) -> Response | None:
    """Check the credentials and apply faults that strike before processing; other paths than the API's pass.

    Returns a response if the request is not to be processed. Raises ApiError 401 and 412.
    """
    if not _is_rest():
        return None
    user = request.authorization
    secret = credentials.get(user.username or "") if user is not None and user.type == "basic" else None
    password = (user.password or "") if user is not None else ""
    if secret is None or not hmac.compare_digest(secret.encode(), password.encode()):
        raise ApiError(401, code_of_status(401), "Authenticate")
    target = (request.method, request.path)
    if (latency := faults.strike(*target, FaultKind.LATENCY)) is not None:
        latency.wait(latency.seconds)
    replacing = (FaultKind.STATUS, FaultKind.HTML, FaultKind.STALL, FaultKind.RESET)
    if (fault := faults.strike(*target, *replacing)) is not None:
        return _replace_response(fault)
    if "If-Match" in request.headers and faults.strike(*target, FaultKind.PRECONDITION_FAILED) is not None:
        raise ApiError(412, code_of_status(412), "Precondition Failed by a fault of the emulator")
    g.authenticated = True
    return None


def after_request(state: State, faults: Faults, response: WerkzeugResponse) -> WerkzeugResponse:
    """Log the response and the parameters that were ignored, and apply faults that strike after processing."""
    if not _is_rest() or g.get("unanswered"):
        return response
    response.headers["Twilio-Request-Id"] = "RQ" + uuid4().hex
    form: RequestForm | None = g.get("form")
    if form is not None and response.status_code < 400 and (names := form.unread()):
        state.log.append("parameters_ignored", names=names, path=request.path)
    state.log.append(
        "rest_answered",
        method=request.method,
        path=request.path,
        status=response.status_code,
        code=g.get("refusal_code"),
    )
    return _apply_faults(faults, response) if g.get("authenticated") else response


def _replace_response(fault: Fault) -> Response:
    if fault.kind is FaultKind.HTML:
        return _html_page(fault)
    if fault.kind is FaultKind.STATUS:
        response = refuse(fault.status, code_of_status(fault.status), "Refused by a fault of the emulator")
        if fault.retry_after is not None:
            response.headers["Retry-After"] = str(fault.retry_after)
        return response
    request.environ[SENDER_KEY] = faulty_sender(fault)
    g.unanswered = True
    return Response()


def _apply_faults(faults: Faults, response: WerkzeugResponse) -> WerkzeugResponse:
    """Return the response with the faults applied that strike after processing."""
    strike = partial(faults.strike, request.method, request.path, after_processing=True)
    body = b"" if request.method == "HEAD" else response.get_data()
    if "ETag" in response.headers and strike(FaultKind.WITHOUT_ETAG) is not None:
        del response.headers["ETag"]
    if (page := strike(FaultKind.HTML)) is not None:
        response = _html_page(page)
    elif body and strike(FaultKind.BROKEN_JSON) is not None:
        response.set_data(body[: len(body) // 2])
    body_faults = (FaultKind.CUT, FaultKind.DRIP_BODY) if body else ()
    if (fault := strike(FaultKind.STALL, FaultKind.RESET, FaultKind.DRIP_HEADERS, *body_faults)) is not None:
        request.environ[SENDER_KEY] = faulty_sender(fault)
    return response


def _html_page(fault: Fault) -> Response:
    return Response(_HTML, fault.status, content_type="text/html; charset=utf-8")


_HTML = """<!DOCTYPE html>
<html><head><title>Not TaskRouter</title></head><body><h1>A fault of the emulator</h1></body></html>
"""


def _is_rest() -> bool:
    return request.path.startswith(REST_PREFIX)
