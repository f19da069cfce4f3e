"""Intake of customers that a source sends: one, several, or that one is deleted.

A request gives way to callbacks: it is shed first and works in slices of a few milliseconds, one request at a time. It
may be sent again, in any order: versions decide (`enrich.customers.push_intake`).
"""

from __future__ import annotations

import io
import json
import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Flask, Response, current_app, request

from enrich import errors
from enrich.accounts.tokens import INTAKE, ApiToken, scopes_problem
from enrich.api import signatures
from enrich.api.access import (
    JSON,
    RATE_LIMITED,
    VERSION_PREFIX,
    Api,
    current_api,
    low_priority,
    query_of,
    token_with,
)
from enrich.api.intake_models import MAX_CUSTOMERS, BatchResult, DeleteQuery, RecordResult
from enrich.api.problems import FieldError, Problem, invalid, unauthorized, unavailable
from enrich.customers.json_customers import JsonFileError, read_customers
from enrich.customers.projection import RecordState
from enrich.customers.push_intake import PushIntake
from enrich.customers.pushed_records import PushedRecord, read_pushed, remote_id_of
from enrich.customers.record_reading import remote_id_problem
from enrich.domain.outcomes import IntakeOutcome, Reason
from enrich.resilience.time_slices import TimeSlices
from enrich.services import Services
from enrich.settings import environment
from enrich.sources.file import PushDeclaration

# A thousand customers take about a second. What is not applied by then is sent again.
INTAKE_S = 20.0
COULD_NOT_TAKE = (
    "The customers could not be stored, or not all of them. Send them again: what is stored stays as it is."
)
# Bodies in memory at a time, in one process; those of senders who are known only once the body was read.
MAX_BODIES, MAX_UNVERIFIED_BODIES = 4, 2
# An operator has to answer first.
BRAKE_RETRY_S = 300
# Of one record, in the answer.
MAX_ERRORS = 20

log = logging.getLogger(__name__)
bp = Blueprint("intake", __name__, url_prefix=f"{VERSION_PREFIX}/sources/<source>/customers")


@dataclass(frozen=True, slots=True)
class Intake:
    """The parts that the views share. bodies, unverified: places of requests. slices: of the one that works."""

    records: PushIntake
    bodies: threading.BoundedSemaphore
    unverified: threading.BoundedSemaphore
    slices: TimeSlices


@dataclass(frozen=True, slots=True)
class _Request:
    """One admitted request of a sender who may send records of this source."""

    api: Api
    intake: Intake
    source: str
    body: bytes
    now: datetime
    began: float
    token: ApiToken | None

    def read(self, remote_id: str, raw: dict[str, Any]) -> PushedRecord:
        """Return this record, read and checked."""
        rules = self.api.services.rules.keys
        return read_pushed(remote_id, raw, rules.region, kinds=rules.kinds, now=self.now)

    def apply(self, pushed: Sequence[PushedRecord]) -> list[IntakeOutcome]:
        """Apply these records; return the outcome of each. Raises Problem when the brake stops them."""
        try:
            return self.intake.records.apply(self.source, pushed)
        except errors.BrakeApplied as exc:
            detail = (
                f"{exc}, so it was stopped. If that is right, an administrator lets them go on the page Sources, or "
                f"with flask sources sync {self.source} --accept {exc.removed}; then send this again. What is live is "
                "stored."
            )
            retry = {"Retry-After": str(BRAKE_RETRY_S)}
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, exc.reason, detail, headers=retry) from None

    def report(self, outcomes: Sequence[IntakeOutcome]) -> None:
        """Count the outcomes, and write the line of the log, which has nothing of the records."""
        counts = Counter(outcomes)
        for outcome, count in counts.items():
            self.api.services.metrics.intake(self.source, outcome, count)
        log.info(
            "customers received",
            extra={
                "source": self.source,
                "token_id": self.token.id if self.token else None,
                "elapsed_ms": round((time.monotonic() - self.began) * 1000, 2),
                "outcomes": {outcome.value: count for outcome, count in counts.items()},
            },
        )
        if self.token:
            self.api.recorder.add(None, self.token, self.now)


def register(app: Flask, services: Services) -> None:
    """Add the intake to the application for other systems."""
    slices = TimeSlices()
    app.extensions["enrich.intake"] = Intake(
        records=PushIntake(services.database, services.adapters.now, slices.pause),
        bodies=threading.BoundedSemaphore(MAX_BODIES),
        unverified=threading.BoundedSemaphore(MAX_UNVERIFIED_BODIES),
        slices=slices,
    )
    app.register_blueprint(bp)


@bp.put("/<path:remote_id>")
def put_customer(source: str, remote_id: str) -> Response:
    """Apply one customer as a whole: 201 for a new one, 422 for one that is in quarantine now."""
    with _admitted(source) as received:
        raw = _json_object(received.body)
        _require_id(remote_id)
        if wrong := _other_id_problem(remote_id, raw):
            raise invalid([FieldError(field="id", detail=wrong)])
        pushed = received.read(remote_id, raw)
        (outcome,) = received.apply([pushed])
        received.report([outcome])
    if outcome is IntakeOutcome.QUARANTINED:
        detail = "It was put into quarantine, where an administrator sees it. Nothing of it was applied."
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, outcome, detail, _errors_of(pushed))
    status = HTTPStatus.CREATED if outcome is IntakeOutcome.CREATED else HTTPStatus.OK
    return _json(_result(pushed, outcome), status)


@bp.delete("/<path:remote_id>")
def delete_customer(source: str, remote_id: str) -> Response:
    """Have this customer be gone, also one who was never sent, so that an older record does not bring them."""
    with _admitted(source) as received:
        version = query_of(DeleteQuery).version
        _require_id(remote_id)
        pushed = received.read(remote_id, {"version": version, "state": RecordState.ARCHIVED.value})
        if pushed.arrival is None:
            raise invalid(_errors_of(pushed))
        (outcome,) = received.apply([pushed])
        received.report([outcome])
    return _json(_result(pushed, outcome))


@bp.post("")
def post_customers(source: str) -> Response:
    """Apply several customers, each whole or not at all: 200, with the outcome of each."""
    with _admitted(source) as received:
        records = _listed(received)
        outcomes = iter(received.apply([one for one in records if isinstance(one, PushedRecord)]))
        results = [one if isinstance(one, RecordResult) else _result(one, next(outcomes)) for one in records]
        received.report([result.outcome for result in results])
    return _json(BatchResult(counts=Counter(result.outcome for result in results), results=results))


# --- the sender


@contextmanager
def _admitted(source: str) -> Iterator[_Request]:
    """Yield the request, admitted and of a sender who may; nothing else is taken in meanwhile.

    Raises Problem for every other one, counted.
    """
    api, intake = current_api(), _intake()
    began, now = time.monotonic(), api.services.adapters.now()
    is_declared = isinstance(api.services.sources.declarations.get(source), PushDeclaration)
    try:
        with low_priority(api, INTAKE_S, COULD_NOT_TAKE):
            is_signed = request.method == "POST" and signatures.SIGNATURE in request.headers
            token = None if is_signed else _token(api, now, source)
            if not is_declared and not is_signed:
                raise Problem(HTTPStatus.NOT_FOUND, "no_such_source", "No source of the kind push has this name.")
            _require_json()
            with _place(intake.bodies), _place(intake.unverified if is_signed else None):
                body = request.get_data(cache=False)
                if is_signed:
                    _verify(api, source, body)
                with intake.slices.turn(INTAKE_S):
                    yield _Request(api, intake, source, body, now, began, token)
    except Problem as problem:
        api.services.metrics.intake_refused(source if is_declared else "", problem.reason)
        raise


def _token(api: Api, now: datetime, source: str) -> ApiToken:
    """Return the token of the request. Raises Problem, also for Basic: who sends customers can send a header."""
    if request.authorization is not None and request.authorization.type != "bearer":
        raise unauthorized()
    scope = f"{INTAKE}:{source}"
    return token_with(api, now, INTAKE if scopes_problem((scope,)) else scope)  # a token has no scope INTAKE


def _verify(api: Api, source: str, body: bytes) -> None:
    """Raise Problem unless the source has a secret and signed this body, or if it exceeds its rate."""
    declared = api.services.sources.declarations.get(source)
    try:
        secret = environment().get(declared.secret_env, "") if isinstance(declared, PushDeclaration) else ""
        if problem := signatures.secret_problem(secret):
            raise errors.InvalidSignature(f"the secret of this source {problem}")
        signatures.verify(secret, dict(request.headers), body)
    except errors.InvalidSignature as exc:
        api.services.refusals.warning(log, "intake refused", reason=exc.reason, detail=str(exc))
        detail = "The signature is wrong, or more than five minutes old."
        raise Problem(HTTPStatus.UNAUTHORIZED, "unauthorized", detail) from None
    if wait_s := api.rate_limit.take(source):
        detail = f"More than {api.services.settings.api_rate} requests a second of this source."
        retry = {"Retry-After": str(math.ceil(wait_s))}
        raise Problem(HTTPStatus.TOO_MANY_REQUESTS, RATE_LIMITED, detail, headers=retry)


@contextmanager
def _place(places: threading.BoundedSemaphore | None) -> Iterator[None]:
    """Hold one of these places. Raises Problem if there is none. places: None for no limit."""
    if places is None:
        yield
        return
    if not places.acquire(blocking=False):
        raise unavailable(Reason.OVERLOAD, "Too many requests of this kind at a time. Send it again.")
    try:
        yield
    finally:
        places.release()


# --- the request


def _require_json() -> None:
    if request.method == "DELETE":
        return
    encoding = request.headers.get("Content-Encoding", "identity")
    if not request.is_json or encoding != "identity":
        detail = "Send JSON, not compressed, with the header Content-Type: application/json."
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        raw = json.loads(body.decode("utf-8-sig"))
    except json.JSONDecodeError as exc:
        raise _not_json(f"line {exc.lineno}, column {exc.colno}: {exc.msg}") from None
    except (ValueError, RecursionError):  # not UTF-8; a number of thousands of digits; nested too deeply
        raise _not_json("not UTF-8, or not a customer at all") from None
    if not isinstance(raw, dict):
        raise invalid([FieldError(field="body", detail="Send a customer, as a JSON object.")])
    return raw


def _not_json(detail: str) -> Problem:
    return Problem(HTTPStatus.BAD_REQUEST, "not_json", f"The body is not JSON: {detail}.")


def _listed(received: _Request) -> list[PushedRecord | RecordResult]:
    """Return each customer of the body, read, or the result of one without an id."""
    listed: list[PushedRecord | RecordResult] = []
    try:
        for _, raw in read_customers(io.BytesIO(received.body), "utf-8-sig"):
            if len(listed) == MAX_CUSTOMERS:
                detail = f"At most {MAX_CUSTOMERS:,} at a time."
                raise invalid([FieldError(field="customers", detail=detail)])
            listed.append(_read_listed(received, raw))
            received.intake.slices.pause()
    except JsonFileError as exc:
        if exc.line is None:
            raise invalid([FieldError(field="customers", detail='Send {"customers": [...]}.')]) from None
        raise _not_json(f"line {exc.line}, column {exc.column or 1}: {exc.reason}") from None
    return listed


def _read_listed(received: _Request, raw: Any) -> PushedRecord | RecordResult:
    if not isinstance(raw, dict):
        wrong = FieldError(field="", detail="Each customer is a JSON object.")
        return RecordResult(id="", outcome=IntakeOutcome.REFUSED, errors=[wrong])
    remote_id = remote_id_of(raw)
    if problem := remote_id_problem(remote_id):
        wrong = FieldError(field="id", detail=problem)
        return RecordResult(id=_shown(remote_id), outcome=IntakeOutcome.REFUSED, errors=[wrong])
    return received.read(remote_id, raw)


def _require_id(remote_id: str) -> None:
    if problem := remote_id_problem(remote_id):
        raise invalid([FieldError(field="remote_id", detail=problem)])


def _other_id_problem(remote_id: str, raw: dict[str, Any]) -> str:
    is_other = raw.get("id") is not None and remote_id_of(raw) != remote_id
    return "differs from the one in the address; leave it out" if is_other else ""


# --- the answer


def _result(pushed: PushedRecord, outcome: IntakeOutcome) -> RecordResult:
    return RecordResult(id=pushed.remote_id, outcome=outcome, errors=_errors_of(pushed))


def _errors_of(pushed: PushedRecord) -> list[FieldError]:
    return [FieldError(field=_shown(place), detail=_shown(text)) for place, text in pushed.read.wrong[:MAX_ERRORS]]


def _shown(text: str) -> str:
    """Return text from outside as any JSON can have it."""
    return text[:500].encode("utf-8", "replace").decode()


def _json(answer: BatchResult | RecordResult, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(answer.model_dump_json() + "\n", status, mimetype=JSON)


def _intake() -> Intake:
    intake: Intake = current_app.extensions["enrich.intake"]
    return intake
