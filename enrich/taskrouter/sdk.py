"""Twilio's official SDK as it is used here: with a limit to how long it waits, and with our errors in place of its own.

For what nobody waits for; the callback has client.py. The SDK is large: only who asks TaskRouter imports this module.
Source: docs/taskrouter.md, "REST API".
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import requests
from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

from enrich import errors

ANSWER_S = 20.0


def connect(base_url: str, account_sid: str, user: str, password: str) -> Client:
    """Return the SDK's client for this account at this address, with a time-out."""
    client = Client(user, password, account_sid, http_client=TwilioHttpClient(timeout=ANSWER_S))
    client.taskrouter.base_url = base_url
    return client


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Translate the SDK's exceptions. The message is Twilio's own: it names what of the set-up is refused."""
    try:
        yield
    except requests.RequestException as exc:
        raise errors.TaskRouterUnreachable(f"{doing}: {type(exc).__name__}") from exc
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


def _error_of(status: int) -> type[errors.TaskRouterError]:
    if status in (401, 403):
        return errors.NotAuthorized
    if status == 429:
        return errors.RateLimited
    return errors.TaskRouterFailed if status >= 500 else errors.RequestRefused
