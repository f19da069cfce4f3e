"""A time limit on whole pages, from the first byte of a form to the response.

Without a proxy that buffers, a client could send a form for hours, one byte at a time. Webhooks have limits of their
own (`enrich.webhooks.intake`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING

from enrich.domain.deadline import OutOfTime
from enrich.domain.outcomes import Reason
from enrich.resilience.timeouts import time_limit
from enrich.telemetry.log_rate_limit import LogRateLimit

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# Less than the 30 s that the shipped nginx waits; the slowest page, the decision about a task, takes 4 s.
PAGE_S = 20.0

log = logging.getLogger(__name__)


class PageTimeout:
    """A WSGI middleware that ends a page after `limit_s`: 408 for a form, 503 for a page that is only read."""

    def __init__(self, application: WSGIApplication, refusals: LogRateLimit, limit_s: float = PAGE_S) -> None:
        self._application = application
        self._refusals = refusals
        self._limit_s = limit_s

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            with time_limit(self._limit_s):
                return self._application(environ, start_response)
        except OutOfTime:
            method = environ["REQUEST_METHOD"]
            self._refusals.warning(log, "page timed out", reason=Reason.OUT_OF_TIME, method=method)
            # After 408 gunicorn closes the connection and reads no more of the form.
            is_read = method in ("GET", "HEAD")
            status = HTTPStatus.SERVICE_UNAVAILABLE if is_read else HTTPStatus.REQUEST_TIMEOUT
            headers = [("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff")]
            start_response(f"{status.value} {status.phrase}", headers)
            return [f"{status.value} {status.phrase}: not complete within {self._limit_s:g} s\n".encode()]
