"""Log lines of refused requests, and of a proxy that hides who sent them: ids and addresses of clients, no names."""

from __future__ import annotations

import logging
import time
from contextlib import suppress

from flask import Flask, request

from enrich import errors
from enrich.accounts.attempts import Attempts
from enrich.pages.sessions import signed_in
from enrich.services import current_services

# A proxy that is still there is recorded again after so long, for the doctor.
NOTED_EVERY_S = 3600.0

log = logging.getLogger(__name__)


def set_up(app: Flask) -> None:
    """Watch for proxies that are not trusted."""
    app.before_request(_UntrustedProxy().look)


def log_refusal(event: str, reason: str) -> None:
    """Log that this request was refused, with the address it came from and, if somebody is signed in, their id."""
    reader = None
    with suppress(errors.DatabaseError):
        reader = signed_in()
    user = {"user_id": reader.id} if reader else {}
    limited = current_services().refusals
    limited.warning(log, event, reason=reason, address=request.remote_addr, endpoint=request.endpoint, **user)


class _UntrustedProxy:
    """A watch for requests that come through a proxy while ENRICH_TRUSTED_PROXIES is 0.

    Everybody then has the proxy's address, and shares its attempts to sign in. The log says so once for each process;
    the doctor finds it in the database.
    """

    def __init__(self) -> None:
        self._noted_at: float | None = None

    def look(self) -> None:
        services = current_services()
        if "X-Forwarded-For" not in request.headers or services.settings.trusted_proxies:
            return
        now, before = time.monotonic(), self._noted_at
        if before is not None and now - before < NOTED_EVERY_S:
            return
        self._noted_at = now
        if before is None:
            detail = "X-Forwarded-For arrived, and ENRICH_TRUSTED_PROXIES is 0: all clients share the proxy's address"
            log.warning("untrusted proxy", extra={"address": request.remote_addr, "detail": detail})
        with suppress(errors.DatabaseError):
            Attempts(services.database).note_untrusted_proxy(services.adapters.now())
