"""What is too much is answered before Flask is asked.

A process that is offered three times what it carries must be able to turn two thirds away in a fraction of the time
that one callback takes, or it drowns in turning away. So whether a callback is worked on is decided here, in front of
the application: what is not is verified, recorded together with all others that are in the same place, and answered
with the default; the worker enriches it late.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING

from enrich.domain.deadline import Deadline, OutOfTime
from enrich.domain.outcomes import EntryKind, Reason
from enrich.flows import assignment
from enrich.flows.decision import CallbackContext, by_setting
from enrich.resilience.queue_time import waited_s
from enrich.resilience.timeouts import time_limit
from enrich.services import Services
from enrich.taskrouter import instructions
from enrich.webhooks import intake

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

ASSIGNMENT = "/taskrouter/assignment"
# Under these names the environment tells the view how many are in flight, this one included, and how long it waited.
IN_FLIGHT = "enrich.in_flight"
WAITED_S = "enrich.waited_s"
# TaskRouter's callbacks are forms of a known length; anything else is Flask's to judge.
LARGEST_FORM = 65_536

log = logging.getLogger(__name__)


class LoadShedding:
    """A WSGI middleware: lets as many assignment callbacks through as the process may work on, answers the others."""

    def __init__(self, application: WSGIApplication, services: Services) -> None:
        self._application = application
        self._services = services

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ[WAITED_S] = waited_s(environ)
        if environ["PATH_INFO"] != ASSIGNMENT or environ["REQUEST_METHOD"] != "POST":
            return self._application(environ, start_response)
        admission = self._services.admission
        if cause := admission.refused(environ[WAITED_S]):
            length = environ.get("CONTENT_LENGTH", "")
            if length.isdecimal() and int(length) <= LARGEST_FORM:
                self._services.metrics.shed(cause)
                return self._answer_at_once(environ, start_response, int(length))
            return self._application(environ, start_response)
        environ[IN_FLIGHT] = admission.in_flight
        try:
            return self._application(environ, start_response)
        finally:
            admission.leave()

    def _answer_at_once(self, environ: WSGIEnvironment, start_response: StartResponse, length: int) -> Iterable[bytes]:
        settings, adapters, metrics = self._services.settings, self._services.adapters, self._services.metrics
        deadline = Deadline.after(settings.budget_s, waited_s=environ[WAITED_S])
        query, signed = environ.get("QUERY_STRING", ""), environ.get("HTTP_X_TWILIO_SIGNATURE")
        try:
            with time_limit(settings.budget_s):
                body = environ["wsgi.input"].read(length)
            form = intake.verified_form(body, ASSIGNMENT, query, signed, settings)
        except OutOfTime:
            metrics.refused("body_too_slow")
            return _plain(start_response, HTTPStatus.REQUEST_TIMEOUT, "the body did not arrive in time")
        except intake.Refused as exc:
            metrics.refused(exc.reason)
            return _plain(start_response, exc.status, exc.told)
        try:
            delivery = intake.delivery_of(EntryKind.ASSIGNMENT, form, body, adapters.now())
            answered = assignment.answer_at_once(delivery, form, adapters, Reason.OVERLOAD, deadline)
            token = environ.get("HTTP_I_TWILIO_IDEMPOTENCY_TOKEN", "")
            intake.tell(
                delivery, answered, deadline, self._services, waited_s=environ[WAITED_S], idempotency_token=token
            )
            answer = answered.answer
        except Exception:  # a mistake of ours is no reason to keep a caller waiting
            log.exception("an overload could not be answered from the journal")
            answer = instructions.to_json(by_setting(CallbackContext(form), adapters.rules).instruction)
        timing = ("Server-Timing", f"total;dur={deadline.elapsed_ms()}")
        return _send(start_response, HTTPStatus.OK, "application/json", answer, timing)


def _plain(start_response: StartResponse, status: HTTPStatus, told: str) -> Iterable[bytes]:
    return _send(start_response, status, "text/plain; charset=utf-8", told + "\n")


def _send(
    start_response: StartResponse, status: HTTPStatus, content_type: str, text: str, *more: tuple[str, str]
) -> Iterable[bytes]:
    content = text.encode()
    headers = [
        ("Content-Type", content_type),
        ("Content-Length", str(len(content))),
        ("X-Content-Type-Options", "nosniff"),
        *more,
    ]
    start_response(f"{status.value} {status.phrase}", headers)
    return [content]
