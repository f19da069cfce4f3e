"""The way in of every webhook: its sender is verified before anything else, and its result is logged and counted.

No Flask: load shedding uses it before Flask is asked.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from enrich import errors
from enrich.domain.deadline import Deadline, OutOfTime, Step
from enrich.domain.deliveries import CallbackResult, Delivery, sids
from enrich.resilience import queue_time
from enrich.resilience.timeouts import time_limit
from enrich.services import Services
from enrich.settings import Settings
from enrich.taskrouter import callbacks, endpoints, signature
from enrich.taskrouter.callbacks import Form

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

# The WSGI environment carries under this name how many callbacks are in flight, this one included.
IN_FLIGHT = "enrich.in_flight"

_EVENTS_ARE_FORMS = (
    "events are taken as forms here: set this address as the workspace's event callback URL, and let nothing turn its "
    f"events into JSON; for a sink of Event Streams there is {endpoints.EVENT_STREAMS}; nothing was recorded"
)

log = logging.getLogger(__name__)


class Refused(Exception):
    """The request is not accepted. status, text: the response; reason, detail: for metrics and the log."""

    def __init__(self, status: HTTPStatus, reason: str, text: str, detail: str = "") -> None:
        super().__init__(text)
        self.status = status
        self.reason = reason
        self.text = text
        self.detail = detail


@dataclass(frozen=True, slots=True)
class VerifiedRequest:
    """One request signed by our account, for our workspace.

    waited_s: seconds in the queue before the process looked at it. in_flight: callbacks, this one included.
    idempotency_token: the header that tells TaskRouter's attempts apart, "" if there is none.
    """

    form: Form
    body: bytes
    deadline: Deadline
    waited_s: float = 0.0
    in_flight: int = 1
    idempotency_token: str = ""


def accept(environ: WSGIEnvironment, read_body: Callable[[], bytes], services: Services) -> VerifiedRequest:
    """Start the clock, read the body, and return the request once its sender is verified.

    Nothing is read from a sender whose signature cannot be one. Raises Refused, which is counted already, for a body
    that does not arrive in time and for any other sender.
    """
    settings, waited_s = services.settings, queue_time.waited_s(environ)
    deadline = Deadline.after(settings.budget_s, waited_s=waited_s)
    query, signed = _query_of(environ), environ.get("HTTP_X_TWILIO_SIGNATURE")
    try:
        _require_signature(signed)
        body = _read(read_body, settings.budget_s)
        form = verified_form(body, environ["PATH_INFO"], query, signed, settings, environ.get("CONTENT_TYPE", ""))
    except Refused as exc:
        _report_refusal(exc, services)
        raise
    token = environ.get("HTTP_I_TWILIO_IDEMPOTENCY_TOKEN", "")
    return VerifiedRequest(form, body, deadline, waited_s, environ.get(IN_FLIGHT, 1), token)


def _query_of(environ: WSGIEnvironment) -> str:
    """Return the query as it came. WSGI has bytes as latin-1 (PEP 3333); Twilio signs UTF-8."""
    query: str = environ.get("QUERY_STRING", "")
    return query if query.isascii() else query.encode("latin-1", "replace").decode("utf-8", "surrogateescape")


def accept_stream(environ: WSGIEnvironment, read_body: Callable[[], bytes], services: Services) -> VerifiedRequest:
    """Return a request of Event Streams once its sender is verified, which is done before the body is read.

    The workspace is not checked: a stream is account-wide. Raises Refused as `accept` does.
    """
    settings, waited_s = services.settings, queue_time.waited_s(environ)
    deadline = Deadline.after(settings.budget_s, waited_s=waited_s)
    url = _signed_url(environ["PATH_INFO"], _query_of(environ), settings)
    try:
        try:
            digest = signature.verify_url(url, environ.get("HTTP_X_TWILIO_SIGNATURE"), _tokens(settings))
            body = _read(read_body, settings.budget_s)
            signature.verify_body(body, digest)
        except errors.InvalidSignature as exc:
            raise _badly_signed(exc) from None
    except Refused as exc:
        _report_refusal(exc, services)
        raise
    return VerifiedRequest({}, body, deadline, waited_s, environ.get(IN_FLIGHT, 1))


def _require_signature(signed: str | None) -> None:
    """Raise Refused for a missing or ill-formed signature, before any work is done for the request."""
    try:
        signature.require_form(signed)
    except errors.InvalidSignature as exc:
        raise _badly_signed(exc) from None


def _read(read_body: Callable[[], bytes], limit_s: float) -> bytes:
    try:
        with time_limit(limit_s):
            return read_body()
    except OutOfTime:
        raise Refused(HTTPStatus.REQUEST_TIMEOUT, "body_too_slow", "the body did not arrive in time") from None


def verified_form(
    body: bytes, path: str, query: str, signed: str | None, settings: Settings, content_type: str = ""
) -> Form:
    """Return the form in this body, sent by our account, for our workspace.

    path, query: of the request, as they came; the URL that Twilio signed is rebuilt from PUBLIC_URL. signed: the header
    X-Twilio-Signature, None if there is none. content_type: that header, "" if there is none. Raises Refused:
    403, 415 for a signed event that is no form, 400 for a form without the SIDs by which a repeat is known.
    """
    pairs = callbacks.split_form(body)
    try:
        signature.verify(_signed_url(path, query, settings), pairs, body, signed, _tokens(settings))
    except errors.InvalidSignature as exc:
        raise _badly_signed(exc) from None
    if path == endpoints.EVENTS and _is_json(content_type, query):
        detail = f"{len(body)} bytes of {content_type or 'JSON'}"
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "not_a_form", _EVENTS_ARE_FORMS, detail)
    form = callbacks.read_form(pairs)
    if settings.twilio_workspace_sid and form.get("WorkspaceSid") != settings.twilio_workspace_sid:
        raise Refused(HTTPStatus.FORBIDDEN, "other_workspace", "this is not the workspace that is served here")
    require = callbacks.require_event_sid if path == endpoints.EVENTS else callbacks.require_sids
    try:
        require(form)
    except errors.MalformedPayload as exc:
        # TaskRouter always sends them. The signature does not cover where a name ends: a copy of a request with
        # `Sid=EV...` written as `Si=dEV...` has the same one, and would be taken for new each time.
        raise Refused(HTTPStatus.BAD_REQUEST, exc.reason, str(exc), str(exc)) from None
    return form


def _is_json(content_type: str, query: str) -> bool:
    """Return whether the sender says that the body is JSON: by its type, or by a hash in place of signed parameters."""
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type.endswith("json") or signature.has_body_hash(query)


def _signed_url(path: str, query: str, settings: Settings) -> str:
    return settings.public_url + path + (f"?{query}" if query else "")


def _tokens(settings: Settings) -> list[str]:
    return [token for token in (settings.twilio_auth_token, settings.twilio_auth_token_next) if token]


def _badly_signed(exc: errors.InvalidSignature) -> Refused:
    return Refused(HTTPStatus.FORBIDDEN, exc.reason, "the signature is missing or wrong", str(exc))


def _report_refusal(exc: Refused, services: Services) -> None:
    services.metrics.refused(exc.reason)
    services.refusals.warning(log, "refused", reason=exc.reason, detail=exc.detail)


def report(delivery: Delivery, result: CallbackResult, request: VerifiedRequest, services: Services) -> None:
    """Count the result of a callback, write its log line, and trace it where tracing is configured."""
    deadline = request.deadline
    elapsed_ms, left_s = deadline.elapsed_ms(), deadline.remaining_s()
    services.metrics.callback(
        delivery.kind, result.outcome, result.reason, result.steps, elapsed_s=elapsed_ms / 1000, left_s=left_s
    )
    log.info(
        "assignment",
        extra={
            **sids(delivery),
            "entry": result.entry_id,
            "idempotency_token": request.idempotency_token[:64],
            "endpoint": delivery.kind,
            "outcome": result.outcome or "repeat",
            "reason": result.reason,
            "match": result.match,
            "rule": result.rule,
            "is_repeat": result.is_repeat,
            "elapsed_ms": elapsed_ms,
            "waited_ms": round(request.waited_s * 1000),
            "left_ms": round(left_s * 1000),
            "steps": elapsed_by_step(result.steps),
        },
    )
    if services.tracing:
        services.tracing.callback(delivery, result, deadline.began_at)


def elapsed_by_step(steps: Iterable[Step]) -> dict[str, float]:
    """Return the milliseconds of each step by name; repeated steps are added up."""
    elapsed_ms: dict[str, float] = {}
    for step in steps:
        elapsed_ms[step.name] = round(elapsed_ms.get(step.name, 0.0) + step.elapsed_ms, 2)
    return elapsed_ms
