"""What TaskRouter sends is answered without Flask.

A callback is a POST of a form of a known length to one of three addresses. For those, finding the address, opening a
session, asking who has signed in and looking for CSRF tokens took as long as everything else that a warm callback
needs. So they are answered here, by the same functions as in `views.py`; whatever is not quite such a request, Flask
judges as ever.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING

from enrich.clock import limited
from enrich.deadline import Deadline, OutOfTime
from enrich.parts import Parts
from enrich.webhooks import answers, door
from enrich.webhooks.answers import Answer, Request
from enrich.webhooks.shedding import IN_FLIGHT, LARGEST_FORM, WAITED_S

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


log = logging.getLogger(__name__)


class Express:
    """A WSGI middleware: answers the callbacks and events of TaskRouter, leaves everything else to the application."""

    def __init__(self, application: WSGIApplication, parts: Parts) -> None:
        self._application = application
        self._parts = parts

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        answer = answers.BY_PATH.get(environ["PATH_INFO"])
        length = environ.get("CONTENT_LENGTH", "")
        is_ordinary = environ["REQUEST_METHOD"] == "POST" and length.isdecimal() and int(length) <= LARGEST_FORM
        if answer is None or not is_ordinary:
            return self._application(environ, start_response)
        waited_s = environ.get(WAITED_S, 0.0)
        budget_s = self._parts.settings.budget_s
        deadline = Deadline.after(budget_s, waited_s=waited_s)
        try:
            with limited(budget_s):
                body = environ["wsgi.input"].read(int(length))
            query, signed = environ.get("QUERY_STRING", ""), environ.get("HTTP_X_TWILIO_SIGNATURE")
            form = door.verified_form(body, environ["PATH_INFO"], query, signed, self._parts.settings)
        except OutOfTime:
            return _send(start_response, answers.body_too_slow(self._parts))
        except door.Refused as exc:
            return _send(start_response, answers.refused(exc, self._parts))
        except Exception:  # nobody knows who sent it; a refusal, never a 500
            log.exception("webhook failed", extra={"endpoint": environ["PATH_INFO"]})
            return _send(start_response, answers.UNVERIFIABLE)
        token = environ.get("HTTP_I_TWILIO_IDEMPOTENCY_TOKEN", "")
        request = Request(form, body, deadline, waited_s, environ.get(IN_FLIGHT, 1), token)
        return _send(start_response, answer(request, self._parts))


def _send(start_response: StartResponse, answer: Answer) -> Iterable[bytes]:
    content = answer.text.encode()
    headers = [("X-Content-Type-Options", "nosniff")]
    if answer.status is not HTTPStatus.NO_CONTENT:
        headers += [("Content-Type", answer.content_type), ("Content-Length", str(len(content)))]
    if answer.server_timing:
        headers.append(("Server-Timing", answer.server_timing))
    start_response(f"{answer.status.value} {answer.status.phrase}", headers)
    return [content] if content else []
