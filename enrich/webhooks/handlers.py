"""From a verified request to its response, one function for each of the four endpoints.

No Flask: `views.py` calls these. After a good signature TaskRouter gets an answer that it understands whatever
happens: an internal error must not keep a caller waiting.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from urllib.parse import urlencode

from enrich import errors
from enrich.domain.deadline import Deadline, OutOfTime, Step
from enrich.domain.deliveries import CallbackResult, Delivery, sids
from enrich.domain.outcomes import EntryKind, Outcome, Reason
from enrich.flows import decision
from enrich.resilience.admission import budget_s
from enrich.resilience.timeouts import time_limit
from enrich.services import Services
from enrich.taskrouter import callbacks, event_forms, instructions
from enrich.taskrouter.callbacks import AssignmentCallback, Form
from enrich.taskrouter.event_forms import Skipped
from enrich.webhooks import intake
from enrich.webhooks.intake import VerifiedRequest

# An event has 15 s (docs/taskrouter.md, "Time limits"); to record it takes milliseconds, and a database that cannot is
# soon known.
EVENT_S = 2.0
# Event Streams has 5 s for all events of a request (docs/taskrouter.md, "Event Streams").
STREAM_S = 4.0

JSON = "application/json"
PLAIN = "text/plain; charset=utf-8"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WebhookResponse:
    """The response to a webhook. server_timing: the header's value, "" for none."""

    status: HTTPStatus
    text: str = ""
    content_type: str = PLAIN
    server_timing: str = ""


def answer_assignment(request: VerifiedRequest, services: Services) -> WebhookResponse:
    """Return the enriched answer to an assignment callback. Load shedding has answered those that are too many."""

    def answer() -> WebhookResponse:
        callback = _callback(EntryKind.ASSIGNMENT, request, services)
        deadline = request.deadline.shortened_to(budget_s(services.settings.budget_s, request.in_flight))
        result = services.assignments.handle(callback, deadline)
        if result.reason == Reason.OVERLOAD:
            services.metrics.shed("database")
        return _answered(callback.delivery, result, request, services)

    return _in_any_case(answer, EntryKind.ASSIGNMENT, request, services)


def answer_fallback(request: VerifiedRequest, services: Services) -> WebhookResponse:
    """Return the stored answer, or the default, at once: TaskRouter asks here after the first answer failed."""
    answer = partial(_answer_at_once, EntryKind.FALLBACK, Reason.FALLBACK, request, services)
    return _in_any_case(answer, EntryKind.FALLBACK, request, services)


def answer_overload(request: VerifiedRequest, services: Services) -> WebhookResponse:
    """Return the answer to an assignment callback that is shed: recorded with others, answered without a look-up."""
    answer = partial(_answer_at_once, EntryKind.ASSIGNMENT, Reason.OVERLOAD, request, services)
    event = "an overload could not be answered from the journal"
    return _in_any_case(answer, EntryKind.ASSIGNMENT, request, services, event)


def record_event(request: VerifiedRequest, services: Services) -> WebhookResponse:
    """Return 204 once the event and its follow-ups are recorded; 503 if not, so that TaskRouter sends it again."""

    def answer() -> WebhookResponse:
        now = services.adapters.now()
        delivery = callbacks.delivery_of(EntryKind.EVENT, request.form, request.body, now)
        if not _is_recorded(delivery, EVENT_S, request, services):
            return _NOT_RECORDED
        return WebhookResponse(HTTPStatus.NO_CONTENT)

    return _in_any_case(answer, EntryKind.EVENT, request, services)


def record_stream(request: VerifiedRequest, services: Services) -> WebhookResponse:
    """Return 204 once every event of a stream that concerns us is recorded; 503 if one is not, so that all come again.

    What is recorded already, from an earlier attempt or by the event callback, is left as it is.
    """

    def answer() -> WebhookResponse:
        deadline = Deadline.after(STREAM_S, waited_s=request.waited_s)
        events = event_forms.read_stream(request.body, services.settings.twilio_workspace_sid)
        deliveries = [_streamed(form, services) for form in events.forms]
        known = _known(deliveries, deadline, services)
        skipped = Counter(events.skipped) + Counter({Skipped.DUPLICATE: len(known)})
        for result, number in skipped.items():
            for _ in range(number):
                services.metrics.event("", result)
            level = logging.WARNING if result is Skipped.UNREADABLE else logging.INFO
            log.log(level, "events skipped", extra={"reason": result, "number": number})
        unknown = [delivery for delivery in deliveries if delivery.delivery_key not in known]
        for index, delivery in enumerate(unknown):
            if not _is_recorded(delivery, deadline.share_s(EVENT_S), request, services):
                for unrecorded in unknown[index + 1 :]:
                    services.metrics.event(unrecorded.event_type, "not_recorded")
                return _NOT_RECORDED
            time.sleep(0)  # SQLite runs in C: between its events, a long batch lets callbacks in
        return WebhookResponse(HTTPStatus.NO_CONTENT)

    return _in_any_case(answer, EntryKind.EVENT, request, services)


def _known(deliveries: Sequence[Delivery], deadline: Deadline, services: Services) -> frozenset[str]:
    """Return the keys of those that are recorded already, in one query: so each attempt at a long batch comes further.

    Nothing for a single event, whose receipt tells, nor if the database does not respond, which recording tells.
    """
    if len(deliveries) < 2:
        return frozenset()
    try:
        with time_limit(deadline.share_s(EVENT_S)):
            return services.adapters.journal.known([delivery.delivery_key or "" for delivery in deliveries])
    except (errors.DatabaseError, OutOfTime):
        return frozenset()


def _streamed(form: Form, services: Services) -> Delivery:
    # A lone surrogate, which JSON can hold, is no UTF-8.
    body = urlencode(form, errors="replace").encode()
    delivery = callbacks.delivery_of(EntryKind.EVENT, form, body, services.adapters.now())
    return replace(delivery, reason=Reason.EVENT_STREAM)


def _is_recorded(delivery: Delivery, timeout_s: float, request: VerifiedRequest, services: Services) -> bool:
    """Record an event with the follow-ups that it causes; return whether that was possible in time."""
    try:
        with time_limit(timeout_s):
            receipt = services.lifecycle.receive(delivery, timeout_s=timeout_s)
    except (errors.DatabaseError, OutOfTime) as exc:
        reason = getattr(exc, "reason", Reason.OUT_OF_TIME)
        event = {"event_sid": delivery.delivery_key or "", "event_type": delivery.event_type}
        log.error("event not recorded", extra={"reason": reason, "detail": str(exc)} | sids(delivery) | event)
        services.metrics.event(delivery.event_type, "not_recorded")
        return False
    services.metrics.event(delivery.event_type, "kept")
    if tracing := services.tracing:
        began_at = request.deadline.began_at
        tracing.event(delivery, receipt.entry_id, is_repeat=receipt.is_repeat, began_at=began_at)
    return True


UNVERIFIABLE = WebhookResponse(HTTPStatus.FORBIDDEN, "the signature could not be verified\n")
_NOT_RECORDED = WebhookResponse(HTTPStatus.SERVICE_UNAVAILABLE, "the event could not be recorded; send it again\n")


def refused(exc: intake.Refused) -> WebhookResponse:
    """Return the response to a request that was not accepted."""
    return WebhookResponse(exc.status, exc.text + "\n")


def _in_any_case(
    answer: Callable[[], WebhookResponse],
    kind: EntryKind,
    request: VerifiedRequest,
    services: Services,
    event: str = "webhook failed",
) -> WebhookResponse:
    """Return the answer or, if even that fails, the default instruction: never a 500."""
    try:
        return answer()
    except Exception:
        log.exception(event, extra={"endpoint": kind})
    if kind is EntryKind.EVENT:
        return _NOT_RECORDED
    with suppress(Exception):  # counting may be the very thing that failed
        deadline = request.deadline
        services.metrics.callback(
            kind,
            Outcome.FAILED,
            Reason.FAILED,
            (),
            elapsed_s=deadline.elapsed_ms() / 1000,
            left_s=deadline.remaining_s(),
        )
    return WebhookResponse(
        HTTPStatus.OK, instructions.to_json(decision.default_for(request.form, services.rules)), JSON
    )


def _answer_at_once(kind: EntryKind, reason: Reason, request: VerifiedRequest, services: Services) -> WebhookResponse:
    """Return the answer to a callback that gets no look-up. reason: why it gets none."""
    callback = _callback(kind, request, services)
    result = services.assignments.answer_at_once(callback, reason, request.deadline)
    return _answered(callback.delivery, result, request, services)


def _callback(kind: EntryKind, request: VerifiedRequest, services: Services) -> AssignmentCallback:
    return callbacks.assignment_callback(kind, request.form, request.body, services.adapters.now())


def _answered(
    delivery: Delivery, result: CallbackResult, request: VerifiedRequest, services: Services
) -> WebhookResponse:
    intake.report(delivery, result, request, services)
    server_timing = _server_timing(result.steps, request.deadline.elapsed_ms())
    return WebhookResponse(HTTPStatus.OK, result.answer, JSON, server_timing)


def _server_timing(steps: Iterable[Step], elapsed_ms: float) -> str:
    """Return the header's value (W3C Server Timing): each step once, with its milliseconds, then the total."""
    return ", ".join(
        f"{name};dur={dur}" for name, dur in (intake.elapsed_by_step(steps) | {"total": elapsed_ms}).items()
    )
