"""Access to the API: the token of a request with its scopes and its rate, and admission after callbacks.

Every operation that needs a token begins with these two, in this order, so that shedding costs little. Only a look-up
waits for its `place` before them:

    with low_priority(api, LIMIT_S, "What could not be done."):
        token = token_with(api, now, SCOPE)
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import TypeVar

from flask import current_app, request
from pydantic import BaseModel, ValidationError

from enrich import errors
from enrich.accounts.tokens import ApiToken, ApiTokens
from enrich.api.lookup import LookUps
from enrich.api.problems import FieldError, Problem, insufficient_scope, invalid, unauthorized, unavailable
from enrich.api.recorder import Recorder
from enrich.domain.deadline import OutOfTime
from enrich.domain.outcomes import Reason
from enrich.journal.lookups import Lookup
from enrich.journal.reads import Read
from enrich.resilience.places import Places
from enrich.resilience.queue_time import waited_s
from enrich.resilience.time_slices import TimeSlices
from enrich.resilience.token_bucket import TokenBuckets
from enrich.services import Services

PREFIX = "/api"
VERSION_PREFIX = f"{PREFIX}/v1"
JSON = "application/json"
RATE_LIMITED = "rate_limited"
# Of refusals, as the metrics count them; a 503 of another reason has the operation's own result.
_REFUSALS = {Reason.OVERLOAD: "shed", RATE_LIMITED: "rate_limited"}

AQuery = TypeVar("AQuery", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Api:
    """The parts that the views share.

    recorder: of look-ups. read_recorder: of reads of personal data. lookup_places: one for each look-up that is worked
    on. look_ups: made together under load. time_slices: of reads, which take long. description: the OpenAPI document,
    as JSON.
    """

    services: Services
    tokens: ApiTokens
    rate_limit: TokenBuckets
    recorder: Recorder[Lookup]
    read_recorder: Recorder[Read]
    lookup_places: Places
    look_ups: LookUps
    time_slices: TimeSlices
    description: str


def current_api() -> Api:
    """Return the parts of the current application."""
    api: Api = current_app.extensions["enrich.api"]
    return api


@contextmanager
def place(places: Places, wait_s: float) -> Iterator[None]:
    """Run the block at one of these places. Who came in first is the next; raises Problem 503 after `wait_s`."""
    if not places.acquire(wait_s, time.monotonic() - waited_s(request.environ)):
        raise _overload()
    try:
        yield
    finally:
        places.release()


@contextmanager
def low_priority(api: Api, limit_s: float, could_not: str) -> Iterator[None]:
    """Run the block as a request that gives way to callbacks and ends after `limit_s`.

    could_not: what was not done, for the refusal. Raises Problem 503 for overload, a time-out, or no database.
    """
    admission = api.services.admission
    if admission.refused_low_priority(waited_s(request.environ)):
        raise _overload()
    try:
        with api.services.adapters.time_limit(limit_s):
            yield
    except errors.DatabaseError as exc:
        raise unavailable(exc.reason, could_not) from exc
    except OutOfTime:
        raise unavailable(Reason.OUT_OF_TIME, could_not) from None
    finally:
        admission.leave_low_priority()


def token_with(api: Api, now: datetime, *scopes: str) -> ApiToken:
    """Return the token of the request, which has one of these scopes.

    Raises Problem if there is no valid token (401), it lacks the scopes (403), or it exceeds its rate (429), and
    DatabaseError.
    """
    token = api.tokens.find(_secret(), now)
    if token is None:
        raise unauthorized("invalid_token")
    if not set(scopes) & set(token.scopes):
        raise insufficient_scope(f"The token lacks the scope {scopes[0]}.", scopes[0])
    if wait_s := api.rate_limit.take(token.id):
        raise Problem(
            HTTPStatus.TOO_MANY_REQUESTS,
            RATE_LIMITED,
            f"More than {api.services.settings.api_rate} requests a second with this token.",
            headers={"Retry-After": str(math.ceil(wait_s))},
        )
    return token


def refusal_result(problem: Problem, could_not: str) -> str | None:
    """Return the result by which the metrics count a refusal; None if they do not. could_not: of a 503."""
    unavailable = could_not if problem.status == HTTPStatus.SERVICE_UNAVAILABLE else None
    return _REFUSALS.get(problem.reason, unavailable)


def query_of(model: type[AQuery], of_all: str = "") -> AQuery:
    """Return the query, validated. of_all: the name of what is wrong if it is the parameters together.

    Raises Problem naming each field that is wrong.
    """
    repeated = [FieldError(field=name, detail="Give it once.") for name, values in request.args.lists() if values[1:]]
    if repeated:
        raise invalid(repeated)
    try:
        return model.model_validate(request.args.to_dict())
    except ValidationError as exc:
        raise invalid(errors_of(exc, of_all)) from None


def errors_of(exc: ValidationError, of_all: str) -> list[FieldError]:
    """Return the fields that are wrong, without their values. of_all: the name if it is all of them together."""
    return [
        FieldError(
            field=".".join(map(str, error["loc"])) or of_all,
            detail=error["msg"].removeprefix("Value error, "),
        )
        for error in exc.errors(include_url=False, include_context=False, include_input=False)
    ]


def _overload() -> Problem:
    return unavailable(Reason.OVERLOAD, "Too much to do: callbacks go first. Ask again.")


def _secret() -> str:
    """Return the token of the request's header. Raises Problem without one.

    Basic is for Twilio Studio, whose widget sends credentials in no other way (docs/api.md).
    """
    authorization = request.authorization
    if authorization is None:
        raise unauthorized()
    return (authorization.token if authorization.type == "bearer" else authorization.password) or ""
