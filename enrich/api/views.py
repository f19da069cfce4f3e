"""The application for other systems, beside those for webhooks and for browsers.

Nothing here opens a session, asks for a CSRF token or writes a cookie. A look-up gives way to callbacks: it is shed
first, and ends after `LOOKUP_S`.
"""

from __future__ import annotations

import json
import logging
import time
from functools import lru_cache
from http import HTTPStatus

from flask import Blueprint, Flask, Response, request
from werkzeug.datastructures import MIMEAccept
from werkzeug.exceptions import HTTPException
from werkzeug.http import parse_accept_header

from enrich.accounts.tokens import LOOKUP, LOOKUP_CLAIMED, ApiToken, ApiTokens
from enrich.api import intake, openapi, reading_views
from enrich.api.access import (
    JSON,
    VERSION_PREFIX,
    Api,
    current_api,
    low_priority,
    place,
    query_of,
    refusal_result,
    token_with,
)
from enrich.api.lookup import AT_ONCE, joint_look_ups, look_up
from enrich.api.models import ALL_KEYS, LookupQuery
from enrich.api.problems import MIMETYPE, FieldError, Problem, insufficient_scope
from enrich.api.recorder import Recorder
from enrich.domain.lengths import MAX_INTAKE_BYTES
from enrich.domain.matches import Trust
from enrich.domain.outcomes import Reason
from enrich.journal.lookups import Lookup, Lookups
from enrich.journal.reads import Reads
from enrich.resilience.admission import MAX_AVERAGE_WAIT_S
from enrich.resilience.places import Places
from enrich.resilience.time_slices import TimeSlices
from enrich.resilience.token_bucket import TokenBuckets
from enrich.services import Services

# No other request than those of the intake needs a body; one with a longer body than this is refused.
MAX_BODY_BYTES = 8_192
# Studio waits ten seconds, and a caller should not wait that long.
LOOKUP_S = 3.0
# A look-up that has waited so long for a place is refused, as by admission.
PLACE_WAIT_S = MAX_AVERAGE_WAIT_S
# The bucket of one token holds so many seconds of its rate.
BURST_S = 2.0
COULD_NOT_LOOK = "The customer database could not be asked. Nothing is known about this key; ask again."

log = logging.getLogger(__name__)
bp = Blueprint("api", __name__, url_prefix=VERSION_PREFIX)


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
        recorder=Recorder(services.database, Lookups(services.database).record),
        read_recorder=Recorder(services.database, Reads(services.database).record),
        lookup_places=Places(AT_ONCE),
        look_ups=joint_look_ups(services.adapters.store),
        time_slices=TimeSlices(),
        description=json.dumps(openapi.document(services.settings.public_url), ensure_ascii=False, indent=2) + "\n",
    )
    for blueprint in (bp, reading_views.bp):
        app.register_blueprint(blueprint)
    intake.register(app, services)
    app.before_request(_refuse_unreadable)
    app.after_request(_secure)
    app.register_error_handler(Exception, _refuse)
    return app


@bp.get("/openapi.json")
def describe() -> Response:
    """Return the description of the API. It says nothing about this installation but its address."""
    return Response(current_api().description, mimetype=JSON)


@bp.get("/lookup")
def answer_lookup() -> Response:
    """Return who a key identifies.

    The wait for a place comes before admission: whoever only waits is not in flight, and is not refused for it.
    """
    api = current_api()
    try:
        with place(api.lookup_places, PLACE_WAIT_S), low_priority(api, LOOKUP_S, COULD_NOT_LOOK):
            return _looked_up(api)
    except Problem as problem:
        if result := refusal_result(problem, "could_not_look"):
            api.services.metrics.lookup(result)
        raise


def _looked_up(api: Api) -> Response:
    began = time.monotonic()
    now = api.services.adapters.now()
    token = token_with(api, now, LOOKUP, LOOKUP_CLAIMED)
    query = query_of(LookupQuery, ALL_KEYS)
    trust = _trust(query, token)
    kind, value = query.key
    answer = look_up(kind, value, trust, api.services.rules, api.look_ups, api.services.adapters.store)
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
    api.recorder.add(lookup, token, now)
    return Response(answer.model_dump_json() + "\n", mimetype=JSON)


def _trust(query: LookupQuery, token: ApiToken) -> Trust:
    """Return the trust in the key: what is asked for, within what the token allows. Raises Problem for more."""
    allowed = Trust.VERIFIED if LOOKUP in token.scopes else Trust.CLAIMED
    if query.trust is Trust.VERIFIED and allowed is Trust.CLAIMED:
        detail = "The token allows trust=claimed only."
        raise insufficient_scope(detail, LOOKUP, FieldError(field="trust", detail=detail))
    return query.trust or allowed


def _refuse_unreadable() -> None:
    """Refuse what asks for another format than JSON, or brings a long body."""
    request.max_content_length = MAX_INTAKE_BYTES if request.blueprint == intake.bp.name else MAX_BODY_BYTES
    if (request.content_length or 0) > request.max_content_length:
        detail = f"At most {request.max_content_length:,} bytes."
        raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_long", detail)
    if not _takes_json(request.headers.get("Accept", "")):
        raise Problem(HTTPStatus.NOT_ACCEPTABLE, "not_acceptable", f"Answers are {JSON}.")


@lru_cache(maxsize=64)
def _takes_json(accept: str) -> bool:
    """Return whether a client takes JSON. accept: the header, which a client sends in the same form each time."""
    accepted = parse_accept_header(accept, MIMEAccept)
    return not accepted or bool(accepted[JSON] or accepted[MIMETYPE])


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
    if current_api().services.settings.public_url.startswith("https:"):
        response.headers["Strict-Transport-Security"] = "max-age=31536000"
    return response
