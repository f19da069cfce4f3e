"""Twilio's official SDK as it is used here: on our own connections, with limits, and with our errors for its own.

For what nobody waits for; the callback has client.py. The SDK is large: only who asks TaskRouter imports this module.
Source: docs/taskrouter.md, "REST API".
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode, urlsplit

import urllib3
from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.http import HttpClient
from twilio.http.response import Response
from twilio.rest import Client

from enrich import errors
from enrich.domain.deadline import Deadline
from enrich.resilience.dns_cache import DnsCache
from enrich.taskrouter.client import MAX_PAGE_BYTES
from enrich.taskrouter.http import HttpResponse, Wire
from enrich.taskrouter.responses import NO_RESPONSE, document_of, no_response

ANSWER_S = 20.0
# Of one operation, which may read a whole workspace: a request for each of its workers.
OPERATION_S = 300.0
MAX_PAGES = 100


class Transport(HttpClient):  # type: ignore[misc]  # the SDK has no types
    """The SDK's requests as ours: to one host, with limits of time and size, and without redirects.

    base_url: its scheme, host and port are the only ones that get a request, and with it the credentials.
    """

    def __init__(self, base_url: str, *, operation_s: float = OPERATION_S) -> None:
        super().__init__(logging.getLogger(__name__), is_async=False, timeout=ANSWER_S)
        self._origin = _origin(base_url)
        self._wire = Wire(base_url, addresses=DnsCache(), connections=1, largest=MAX_PAGE_BYTES)
        weakref.finalize(self, self._wire.close)
        self._operation_s = operation_s
        self.begin("the SDK")

    def begin(self, doing: str) -> None:
        """Begin an operation: its time and the pages of its lists count from here. doing: its name in messages."""
        self._doing = doing
        self._deadline = Deadline.after(self._operation_s)
        self._path, self._pages = "", 0

    def request(
        self,
        method: str,
        url: str,
        params: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,
        **_: object,
    ) -> Response:
        """Send a request of the SDK. Raises TaskRouterError; a 4xx or 5xx is for the SDK to interpret.

        timeout: seconds for this request. Whatever else the SDK asks for, such as to follow redirects, is not done.
        """
        parts = urlsplit(url)
        if _origin(url) != self._origin:
            raise errors.NotUnderstood(f"{self._doing}: the list goes on at an address that is not TaskRouter's")
        self._count_page(method, parts.path)
        query = "&".join(filter(None, (parts.query, _encoded(params))))
        target = f"{parts.path}?{query}" if query else parts.path
        sent = dict(headers or {}) | (urllib3.util.make_headers(basic_auth=":".join(auth)) if auth else {})
        body = _encoded(data).encode() if method != "GET" else None
        timeout_s = self._deadline.share_s(timeout or ANSWER_S)
        if not timeout_s:
            raise errors.TaskRouterTooSlow(f"{self._doing}: not finished within {self._operation_s:.0f} s")
        try:
            response = self._wire.exchange(method, target, sent, body, timeout_s=timeout_s)
        except NO_RESPONSE as exc:
            raise no_response(f"{self._doing}: {method}", exc, timeout_s) from exc
        if 300 <= response.status < 400:
            raise errors.Redirected(f"{self._doing}: HTTP {response.status}")
        if response.status < 300:
            self._require_document(response)
        return Response(response.status, response.data.decode("utf-8", "replace"), dict(response.headers))

    def _require_document(self, response: HttpResponse) -> None:
        """Raise NotUnderstood for what the SDK would fail on in its own ways."""
        try:
            document_of(response)
        except errors.NotUnderstood as exc:
            raise errors.NotUnderstood(f"{self._doing}: {exc}") from exc

    def _count_page(self, method: str, path: str) -> None:
        """Count requests for the same path, which are the pages of one list. Raises NotUnderstood for too many."""
        self._pages = self._pages + 1 if (method, path) == ("GET", self._path) else 1
        self._path = path if method == "GET" else ""
        if self._pages > MAX_PAGES:
            raise errors.NotUnderstood(f"{self._doing}: a list of more than {MAX_PAGES} pages")


def connect(base_url: str, account_sid: str, user: str, password: str) -> Client:
    """Return the SDK's client for this account, which sends requests to this address alone."""
    client = Client(user, password, account_sid, http_client=Transport(base_url))
    # Of the environment: they would change the host, and only the settings say where TaskRouter is.
    client.edge = client.region = None
    client.taskrouter.base_url = base_url
    return client


@contextmanager
def translated(client: Client, doing: str) -> Iterator[None]:
    """Limit an operation, and translate the SDK's exceptions.

    The message is Twilio's own: it names what of the set-up is refused.
    """
    client.http_client.begin(doing)
    try:
        yield
    except TwilioRestException as exc:
        message = f"{doing}: HTTP {exc.status}, code {exc.code}: {exc.msg}"
        raise _error_of(exc.status)(message) from exc
    except TwilioException as exc:
        # A list that is refused is this alone, with the answer as its second argument.
        status = getattr(exc.args[1], "status_code", None) if len(exc.args) > 1 else getattr(exc, "status", None)
        if isinstance(status, int):
            raise _error_of(status)(f"{doing}: HTTP {status}") from exc
        raise errors.NotUnderstood(f"{doing}: {exc}") from exc
    except (ValueError, KeyError) as exc:
        raise errors.NotUnderstood(f"{doing}: the answer is not TaskRouter's; what stands between?") from exc


def _origin(url: str) -> tuple[str, str, int | None]:
    """Return scheme, host and port. Raises ValueError."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _encoded(fields: Mapping[str, Any] | None) -> str:
    """Return the fields of a form or query; an array repeats its name, and None is left out."""
    return urlencode({name: value for name, value in (fields or {}).items() if value is not None}, doseq=True)


def _error_of(status: int) -> type[errors.TaskRouterError]:
    if status in (401, 403):
        return errors.NotAuthorized
    if status == 407:
        return errors.ProxyRefused
    if status == 429:
        return errors.RateLimited
    return errors.TaskRouterFailed if status >= 500 else errors.RequestRefused
