"""From a request that our account has signed to what it is answered, one function for each of the three addresses.

No Flask: that is `views.py`, which calls these. After a good signature TaskRouter gets an answer that it understands,
whatever happens: a mistake of ours must not keep a caller waiting.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from http import HTTPStatus
from typing import NamedTuple

from enrich import errors
from enrich.domain.deadline import Deadline, OutOfTime, Step
from enrich.domain.deliveries import CallbackResult, Delivery, sids
from enrich.domain.outcomes import EntryKind, Outcome, Reason
from enrich.flows import assignment, lifecycle
from enrich.flows.decision import CallbackContext, by_setting
from enrich.resilience.admission import budget_s
from enrich.resilience.timeouts import time_limit
from enrich.services import Services
from enrich.taskrouter import instructions
from enrich.taskrouter.callbacks import Form
from enrich.webhooks import intake

# An event has 15 s (facts section 5); to keep it takes milliseconds, and a database that cannot is soon known.
EVENT_S = 2.0

JSON = "application/json"
PLAIN = "text/plain; charset=utf-8"

log = logging.getLogger(__name__)


class Request(NamedTuple):
    """One request whose signature is good. waited_s: how long it lay there; in_flight: callbacks, this one included."""

    form: Form
    body: bytes
    deadline: Deadline
    waited_s: float = 0.0
    in_flight: int = 1
    idempotency_token: str = ""


class WebhookResponse(NamedTuple):
    """What goes back. server_timing: the header's value, "" for none."""

    status: HTTPStatus
    text: str = ""
    content_type: str = PLAIN
    server_timing: str = ""


def answer_assignment(request: Request, services: Services) -> WebhookResponse:
    """The assignment callback: the enriched answer. Those that are too many were answered by `shedding`."""

    def answer() -> WebhookResponse:
        delivery = _delivery(EntryKind.ASSIGNMENT, request, services)
        deadline = request.deadline.shortened_to(budget_s(services.settings.budget_s, request.in_flight))
        answered = assignment.handle(delivery, request.form, services.adapters, deadline)
        if answered.reason == Reason.OVERLOAD:
            services.metrics.shed("database")
        return _told(delivery, answered, request, services)

    return _in_any_case(answer, EntryKind.ASSIGNMENT, request, services)


def answer_fallback(request: Request, services: Services) -> WebhookResponse:
    """The same question, asked because the first answer did not come: the stored answer, or the default, at once."""

    def answer() -> WebhookResponse:
        delivery = _delivery(EntryKind.FALLBACK, request, services)
        answered = assignment.answer_at_once(
            delivery, request.form, services.adapters, Reason.FALLBACK, request.deadline
        )
        return _told(delivery, answered, request, services)

    return _in_any_case(answer, EntryKind.FALLBACK, request, services)


def keep_event(request: Request, services: Services) -> WebhookResponse:
    """An event callback: 204 once it is in the journal, and what it causes is owed; 503 when it could not be kept, so
    that it is sent again."""

    def answer() -> WebhookResponse:
        delivery = _delivery(EntryKind.EVENT, request, services)
        try:
            with time_limit(EVENT_S):
                receipt = lifecycle.receive(delivery, services.adapters, timeout_s=EVENT_S)
        except (errors.DatabaseError, OutOfTime) as exc:
            reason = getattr(exc, "reason", Reason.OUT_OF_TIME)
            log.error("event not recorded", extra={"reason": reason} | _of_event(delivery))
            services.metrics.event(delivery.event_type, "not_recorded")
            return _NOT_KEPT
        services.metrics.event(delivery.event_type, "kept")
        if tracing := services.tracing:
            began_at = request.deadline.began_at
            tracing.event(delivery, receipt.entry_id, is_repeat=receipt.is_repeat, began_at=began_at)
        return WebhookResponse(HTTPStatus.NO_CONTENT)

    return _in_any_case(answer, EntryKind.EVENT, request, services)


def body_too_slow(services: Services) -> WebhookResponse:
    """For a body that did not arrive within the time that there is for everything."""
    services.metrics.refused("body_too_slow")
    return WebhookResponse(HTTPStatus.REQUEST_TIMEOUT, "the body did not arrive in time\n")


def refused(exc: intake.Refused, services: Services) -> WebhookResponse:
    """For whoever is not let in."""
    services.metrics.refused(exc.reason)
    return WebhookResponse(exc.status, exc.told + "\n")


UNVERIFIABLE = WebhookResponse(HTTPStatus.FORBIDDEN, "the signature could not be verified\n")
_NOT_KEPT = WebhookResponse(HTTPStatus.SERVICE_UNAVAILABLE, "the event could not be kept; send it again\n")


def _in_any_case(
    answer: Callable[[], WebhookResponse], kind: EntryKind, request: Request, services: Services
) -> WebhookResponse:
    """The answer; the last resort behind the story's own where that fails: the default instruction, never a 500."""
    try:
        return answer()
    except Exception:
        log.exception("webhook failed", extra={"endpoint": kind})
    if kind is EntryKind.EVENT:
        return _NOT_KEPT
    default = by_setting(CallbackContext(request.form), services.adapters.rules).instruction
    with suppress(Exception):  # counting may be the very thing that failed
        times = {"elapsed_s": request.deadline.elapsed_ms() / 1000, "left_s": request.deadline.remaining_s()}
        services.metrics.callback(kind, Outcome.FAILED, Reason.FAILED, (), **times)
    return WebhookResponse(HTTPStatus.OK, instructions.to_json(default), JSON)


def _delivery(kind: EntryKind, request: Request, services: Services) -> Delivery:
    return intake.delivery_of(kind, request.form, request.body, services.adapters.now())


def _told(delivery: Delivery, answered: CallbackResult, request: Request, services: Services) -> WebhookResponse:
    waited_s, token = request.waited_s, request.idempotency_token
    intake.tell(delivery, answered, request.deadline, services, waited_s=waited_s, idempotency_token=token)
    return WebhookResponse(
        HTTPStatus.OK, answered.answer, JSON, _server_timing(answered.steps, request.deadline.elapsed_ms())
    )


def _server_timing(steps: Iterable[Step], elapsed_ms: float) -> str:
    """W3C Server Timing: each step once, with its milliseconds, then the whole."""
    return ", ".join(f"{name};dur={dur}" for name, dur in (intake.times(steps) | {"total": elapsed_ms}).items())


def _of_event(delivery: Delivery) -> dict[str, str]:
    return sids(delivery) | {"event_sid": delivery.delivery_key or "", "event_type": delivery.event_type}
