"""Responses of TaskRouter's REST API: the document in one, and the error in another, or in none at all.

Source: docs/taskrouter.md, "Tasks", "REST API".
"""

from __future__ import annotations

import json
import ssl
from typing import Any

import urllib3

from enrich import errors
from enrich.domain.tasks import Task
from enrich.taskrouter.http import HttpResponse, NotHttp, TooLong, TunnelRefused

# What `Wire.exchange` raises for a request without a response.
NO_RESPONSE = (urllib3.exceptions.HTTPError, OSError, NotHttp)

_BY_STATUS: dict[int, type[errors.TaskRouterError]] = {
    401: errors.NotAuthorized,
    403: errors.NotAuthorized,
    404: errors.TaskGone,
    407: errors.ProxyRefused,
    412: errors.StaleTask,
    429: errors.RateLimited,
}


def no_response(request: str, exc: Exception, timeout_s: float) -> errors.TaskRouterError:
    """Return the error for a request that got no response. request: its name in the message."""
    if isinstance(exc, urllib3.exceptions.NameResolutionError):
        return errors.HostUnknown(f"{request}: {exc.conn.host} does not exist")
    if isinstance(exc, TunnelRefused):
        return errors.ProxyRefused(f"{request}: {exc}")
    if isinstance(exc, urllib3.exceptions.NewConnectionError):
        # A time-out to urllib3, even if the connection was refused at once.
        return errors.TaskRouterUnreachable(f"{request}: {type(exc).__name__}")
    if isinstance(exc, (urllib3.exceptions.TimeoutError, TimeoutError)):
        return errors.TaskRouterTooSlow(f"{request} got no answer in {timeout_s:.1f} s")
    if isinstance(exc, ssl.SSLCertVerificationError):
        return errors.TlsFailed(f"{request}: certificate refused, {exc.verify_message}")
    if isinstance(exc, ssl.SSLError) and not isinstance(exc, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        return errors.TlsFailed(f"{request}: {exc.reason}")
    if isinstance(exc, TooLong):
        return errors.AnswerTooLong(f"{request}: {exc}")
    return errors.TaskRouterUnreachable(f"{request}: {type(exc).__name__}")


def document_of(response: HttpResponse) -> dict[str, Any]:
    """Return the JSON object of a response. Raises NotUnderstood."""
    try:
        document = json.loads(response.data)
    except (ValueError, RecursionError) as exc:
        raise errors.NotUnderstood(f"the answer is not JSON: {response.headers.get('content-type')}") from exc
    if not isinstance(document, dict):
        raise errors.NotUnderstood("the answer is not a JSON object")
    return document


def error_of(method: str, response: HttpResponse) -> errors.TaskRouterError:
    """Return the error for this status. It names Twilio's code, never its message, which may quote what we sent."""
    try:
        code = _whole_number(document_of(response).get("code"))
    except errors.NotUnderstood:
        code = None
    message = f"{method}: HTTP {response.status}, code {'?' if code is None else code}"
    status = response.status
    retry_after_s = _retry_after_s(response.headers.get("retry-after"))
    if status in _BY_STATUS:
        return _BY_STATUS[status](message, retry_after_s=retry_after_s, code=code)
    if status >= 500:
        return errors.TaskRouterFailed(message, retry_after_s=retry_after_s, code=code)
    if 400 <= status < 500:
        return errors.RequestRefused(message, code=code)
    if 300 <= status < 400:
        return errors.Redirected(message)
    return errors.NotUnderstood(message)


def _retry_after_s(header: str | None) -> float | None:
    """Seconds from now; None where there is no such header, or one that says nothing (RFC 9110, section 10.2.3)."""
    if header is None:
        return None
    try:
        return float(urllib3.Retry().parse_retry_after(header))
    except (urllib3.exceptions.InvalidHeader, ValueError, OverflowError):
        return None


def task_of(response: HttpResponse) -> Task:
    """Return the task of a response. Raises NotUnderstood, also without an ETag or attributes."""
    document = document_of(response)
    etag = response.headers.get("etag")
    if not etag:
        raise errors.NotUnderstood("the answer has no ETag; without one nothing is written")
    try:
        return Task(
            sid=str(document["sid"]),
            raw_attributes=_attributes(document["attributes"]),
            etag=etag,
            assignment_status=str(document["assignment_status"]),
            priority=_whole_number(document.get("priority")) or 0,
            reason=str(document.get("reason") or ""),
            workflow_sid=str(document.get("workflow_sid") or ""),
            task_channel=str(document.get("task_channel_unique_name") or ""),
            timeout_s=_whole_number(document.get("timeout")),
            virtual_start_time=str(document.get("virtual_start_time") or ""),
        )
    except KeyError as exc:
        raise errors.NotUnderstood(f"the answer is not a task: it has no {exc}") from exc


def rows_of(document: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """Return the rows of a page of a list, which stand under this key. Raises NotUnderstood."""
    rows = document.get(key)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise errors.NotUnderstood(f"the answer is not a list of {key}")
    return rows


def member(document: dict[str, Any], name: str) -> str:
    """Return a member that is text. Raises NotUnderstood."""
    value = document.get(name)
    if not isinstance(value, str):
        raise errors.NotUnderstood(f"the answer has no {name}")
    return value


def _whole_number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _attributes(attributes: object) -> str:
    """Attributes are a JSON text; null, as in lists, may not be written over (docs/taskrouter.md, "Tasks")."""
    if not isinstance(attributes, str):
        raise errors.NotUnderstood(f"the task's attributes are {type(attributes).__name__}, not text")
    return attributes
