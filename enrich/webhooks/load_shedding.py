"""Load shedding: callbacks beyond what the process can carry are answered before Flask is asked.

A process that is offered three times what it carries must be able to turn two thirds away in a fraction of the time
that one callback takes, or it drowns in turning away. So admission is decided here, in front of the application: a
callback that is not admitted is verified, recorded together with all others in the same position, and answered with the
default; the worker enriches its task later.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from enrich.domain.lengths import MAX_FORM_BYTES
from enrich.resilience.queue_time import waited_s
from enrich.services import Services
from enrich.taskrouter.endpoints import ASSIGNMENT
from enrich.webhooks import handlers, intake
from enrich.webhooks.handlers import WebhookResponse
from enrich.webhooks.intake import IN_FLIGHT

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class LoadShedding:
    """A WSGI middleware that admits as many assignment callbacks as the process may work on, and answers the others."""

    def __init__(self, application: WSGIApplication, services: Services) -> None:
        self._application = application
        self._services = services

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] != ASSIGNMENT or environ["REQUEST_METHOD"] != "POST":
            return self._application(environ, start_response)
        admission = self._services.admission
        if cause := admission.refused(waited_s(environ)):
            # TaskRouter's callbacks are forms of a known length; any other request is left to Flask.
            length = environ.get("CONTENT_LENGTH", "")
            if length.isdecimal() and int(length) <= MAX_FORM_BYTES:
                self._services.metrics.shed(cause)
                return self._answer_at_once(environ, start_response, int(length))
            return self._application(environ, start_response)
        environ[IN_FLIGHT] = admission.in_flight
        try:
            return self._application(environ, start_response)
        finally:
            admission.leave()

    def _answer_at_once(self, environ: WSGIEnvironment, start_response: StartResponse, length: int) -> Iterable[bytes]:
        try:
            request = intake.accept(environ, lambda: environ["wsgi.input"].read(length), self._services)
        except intake.Refused as exc:
            return _send(start_response, handlers.refused(exc))
        return _send(start_response, handlers.answer_overload(request, self._services))


def _send(start_response: StartResponse, response: WebhookResponse) -> Iterable[bytes]:
    content = response.text.encode()
    headers = [
        ("Content-Type", response.content_type),
        ("Content-Length", str(len(content))),
        ("X-Content-Type-Options", "nosniff"),
    ]
    if response.server_timing:
        headers.append(("Server-Timing", response.server_timing))
    start_response(f"{response.status.value} {response.status.phrase}", headers)
    return [content]
