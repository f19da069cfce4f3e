"""The application for other systems, beside those for webhooks and for browsers.

Nothing here opens a session, asks for a CSRF token or writes a cookie. A look-up gives way to callbacks: it is shed
first, and ends after `LOOKUP_S`.
"""

from __future__ import annotations

import json
import logging
import math
import time
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus

from flask import Blueprint, Flask, Response, current_app, request
from pydantic import ValidationError
from werkzeug.exceptions import HTTPException

from enrich import errors
from enrich.accounts.tokens import LOOKUP, LOOKUP_CLAIMED, ApiToken, ApiTokens
from enrich.api import openapi
from enrich.api.lookup import look_up
from enrich.api.models import LookupQuery, errors_of
from enrich.api.problems import MIMETYPE, FieldError, Problem, could_not_look
from enrich.api.recorder import LookupRecorder
from enrich.domain.deadline import OutOfTime
from enrich.domain.matches import Trust
from enrich.domain.outcomes import Reason
from enrich.journal.lookups import Lookup
from enrich.resilience.queue_time import waited_s
from enrich.resilience.token_bucket import TokenBuckets
from enrich.services import Services

PREFIX = "/api"
JSON = "application/json"
# No request of this API needs a body; one with a longer body than this is refused.
MAX_BODY_BYTES = 8_192
# Studio waits ten seconds, and a caller should not wait that long.
LOOKUP_S = 3.0
# The bucket of one token holds so many seconds of its rate.
BURST_S = 2.0

log = logging.getLogger(__name__)
bp = Blueprint("api", __name__, url_prefix=f"{PREFIX}/v1")


@dataclass(frozen=True, slots=True)
class Api:
    """The parts that the views share. description: the OpenAPI document, as JSON."""

    services: Services
    tokens: ApiTokens
    rate_limit: TokenBuckets
    recorder: LookupRecorder
    description: str


def application(services: Services) -> Flask:
    """Return the application for other systems."""
    app = Flask(__name__, static_folder=None)
    app.config.update(MAX_CONTENT_LENGTH=MAX_BODY_BYTES, PROVIDE_AUTOMATIC_OPTIONS=False)
    app.url_map.merge_slashes = False  # nobody is sent elsewhere with a token
    app.extensions["enrich"] = services
    rate = services.settings.api_rate
    app.extensions["enrich.api"] = Api(
        services=services,
        tokens=ApiTokens(services.database),
        rate_limit=TokenBuckets(rate, rate * BURST_S),
        recorder=LookupRecorder(services.database),
        description=json.dumps(openapi.document(services.settings.public_url), ensure_ascii=False, indent=2) + "\n",
    )
    app.register_blueprint(bp)
    app.before_request(_refuse_unreadable)
    app.after_request(_secure)
    app.register_error_handler(Exception, _refuse)
    return app


@bp.get("/openapi.json")
def describe() -> Response:
    """Return the description of the API. It says nothing about this installation but its address."""
    return Response(_api().description, mimetype=JSON)


@bp.get("/lookup")
def answer_lookup() -> Response:
    """Return who a key identifies. Admission comes first, so that shedding costs little."""
    api = _api()
    admission, metrics = api.services.admission, api.services.metrics
    if admission.refused_low_priority(waited_s(request.environ)):
        metrics.lookup("shed")
        raise Problem(
            HTTPStatus.SERVICE_UNAVAILABLE,
            Reason.OVERLOAD,
            "Too much to do: callbacks go first. Ask again.",
            headers={"Retry-After": "1"},
        )
    try:
        with api.services.adapters.time_limit(LOOKUP_S):
            return _looked_up(api)
    except errors.DatabaseError as exc:
        metrics.lookup("could_not_look")
        raise could_not_look(exc.reason) from exc
    except OutOfTime:
        metrics.lookup("could_not_look")
        raise could_not_look(Reason.OUT_OF_TIME) from None
    finally:
        admission.leave_low_priority()


def _looked_up(api: Api) -> Response:
    began = time.monotonic()
    now = api.services.adapters.now()
    token = _token(api, now)
    query = _query()
    trust = _trust(query, token)
    kind, value = query.key
    answer = look_up(kind, value, trust, api.services.rules, api.services.adapters.store)
    api.services.metrics.lookup(answer.match)
    lookup = Lookup(
        at=now,
        token_id=token.id,
        key_kind=kind,
        trust=trust,
        match=answer.match,
        reason=answer.reason or "",
        customer_id=answer.customer_id,
        elapsed_ms=round((time.monotonic() - began) * 1000, 2),
    )
    api.recorder.add(lookup, token)
    return Response(answer.model_dump_json() + "\n", mimetype=JSON)


def _token(api: Api, now: datetime) -> ApiToken:
    """Return the token of the request. Raises Problem if it is not valid, lacks the scope, or exceeds its rate."""
    token = api.tokens.find(_secret(), now)
    if token is None:
        raise _unauthorized('Bearer realm="enrich", error="invalid_token"')
    if not {LOOKUP, LOOKUP_CLAIMED} & set(token.scopes):
        raise _insufficient("The token lacks the scope lookup.")
    if wait_s := api.rate_limit.take(token.id):
        api.services.metrics.lookup("rate_limited")
        raise Problem(
            HTTPStatus.TOO_MANY_REQUESTS,
            "rate_limited",
            f"More than {api.services.settings.api_rate} requests a second with this token.",
            headers={"Retry-After": str(math.ceil(wait_s))},
        )
    return token


def _secret() -> str:
    """Return the token of the request's header. Raises Problem without one.

    Basic is for Twilio Studio, whose widget sends credentials in no other way (docs/api.md).
    """
    authorization = request.authorization
    if authorization is None:
        raise _unauthorized('Bearer realm="enrich"')
    return (authorization.token if authorization.type == "bearer" else authorization.password) or ""


def _unauthorized(challenge: str) -> Problem:
    detail = "Send a valid token: Authorization: Bearer enrich_…"
    return Problem(HTTPStatus.UNAUTHORIZED, "unauthorized", detail, headers={"WWW-Authenticate": challenge})


def _insufficient(detail: str, *wrong: FieldError) -> Problem:
    challenge = 'Bearer realm="enrich", error="insufficient_scope", scope="lookup"'
    headers = {"WWW-Authenticate": challenge}
    return Problem(HTTPStatus.FORBIDDEN, "insufficient_scope", detail, wrong, headers)


def _query() -> LookupQuery:
    """Return the query, validated. Raises Problem naming each field that is wrong."""
    repeated = [FieldError(field=name, detail="Give it once.") for name, values in request.args.lists() if values[1:]]
    try:
        if not repeated:
            return LookupQuery.model_validate(request.args.to_dict())
        wrong = repeated
    except ValidationError as exc:
        wrong = errors_of(exc)
    raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", "A parameter is wrong.", wrong)


def _trust(query: LookupQuery, token: ApiToken) -> Trust:
    """Return the trust in the key: what is asked for, within what the token allows. Raises Problem for more."""
    allowed = Trust.VERIFIED if LOOKUP in token.scopes else Trust.CLAIMED
    if query.trust is Trust.VERIFIED and allowed is Trust.CLAIMED:
        detail = "The token allows trust=claimed only."
        raise _insufficient(detail, FieldError(field="trust", detail=detail))
    return query.trust or allowed


def _refuse_unreadable() -> None:
    """Refuse what asks for another format than JSON, or brings a long body."""
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_long", "A look-up has no body.")
    accepted = request.accept_mimetypes
    if accepted and not (accepted[JSON] or accepted[MIMETYPE]):
        raise Problem(HTTPStatus.NOT_ACCEPTABLE, "not_acceptable", f"Answers are {JSON}.")


def _refuse(exc: Exception) -> Response:
    if isinstance(exc, Problem):
        return exc.response()
    if isinstance(exc, HTTPException):
        status = HTTPStatus(exc.code or HTTPStatus.BAD_REQUEST)
        response = Problem(status, exc.name.lower().replace(" ", "_"), exc.name).response()
        response.headers.extend((name, value) for name, value in exc.get_headers() if name not in response.headers)
        return response
    log.exception("api request failed", extra={"endpoint": request.endpoint})
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, Reason.FAILED, "Internal error; the log has it.").response()


def _secure(response: Response) -> Response:
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "no-store"
    response.headers["Content-Security-Policy"] = "default-src 'none'; frame-ancestors 'none'"
    response.headers["Referrer-Policy"] = "no-referrer"
    if _api().services.settings.public_url.startswith("https:"):
        response.headers["Strict-Transport-Security"] = "max-age=31536000"
    return response


def _api() -> Api:
    api: Api = current_app.extensions["enrich.api"]
    return api
