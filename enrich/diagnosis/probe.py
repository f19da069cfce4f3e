"""The probe: a signed event that the doctor sends to PUBLIC_URL as TaskRouter would.

It is harmless: the event has a type that TaskRouter does not use and no task; it is stored in the journal and causes no
work. It proves what can be proved only from outside: that PUBLIC_URL leads here, that no proxy changes address or body,
that the signature is accepted, and that the journal stores the event.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from time import monotonic
from urllib.parse import urlencode

import requests

from enrich.taskrouter import signature

EVENT_TYPE = "enrich.doctor"
# As long as Twilio waits for the answer to an event (docs/taskrouter.md, "Time limits").
ANSWER_S = 15.0
_FORM = "application/x-www-form-urlencoded; charset=UTF-8"


@dataclass(frozen=True, slots=True)
class ProbeResponse:
    """The response to the probe. status: None without a response; then `failed` has the reason, `detail` more of it.

    event_sid: the event's SID in the journal. location: the target of a redirect.
    """

    event_sid: str
    status: int | None
    elapsed_ms: float
    failed: str = ""
    detail: str = ""
    location: str = ""


def send(url: str, account_sid: str, workspace_sid: str, token: str, *, signed_for: str | None = None) -> ProbeResponse:
    """Send the event to this URL of an events endpoint. signed_for: another URL to sign, to find the accepted one."""
    event_sid = f"EV{secrets.token_hex(16)}"
    pairs = [
        ("EventType", EVENT_TYPE),
        ("Sid", event_sid),
        ("AccountSid", account_sid),
        ("WorkspaceSid", workspace_sid),
        # Characters that a proxy might change.
        ("EventDescription", "flask taskrouter doctor: a+b c/d \u00e9 %25"),
    ]
    encoded_pairs = [(name.encode(), value.encode()) for name, value in pairs]
    headers = {"Content-Type": _FORM, "X-Twilio-Signature": signature.sign(signed_for or url, encoded_pairs, token)}
    started_at = monotonic()
    try:
        with requests.post(
            url, data=urlencode(pairs), headers=headers, timeout=ANSWER_S, allow_redirects=False, stream=True
        ) as response:
            status, location = response.status_code, response.headers.get("Location", "")
    except requests.RequestException as exc:
        failed, detail = _failure(exc)
        return ProbeResponse(event_sid, None, _elapsed_ms(started_at), failed, detail)
    return ProbeResponse(event_sid, status, _elapsed_ms(started_at), location=location)


def is_us(root: str) -> bool:
    """Return whether this service responds at `root`/healthz."""
    try:
        with requests.get(f"{root}/healthz", timeout=ANSWER_S, allow_redirects=False) as response:
            return response.status_code == 200 and response.text == "ok\n"
    except requests.RequestException:
        return False


def _failure(exc: requests.RequestException) -> tuple[str, str]:
    """Return a slug for the failure, and the library's message without the addresses of objects."""
    message = str(exc.args[0]) if exc.args else str(exc)
    if isinstance(exc, requests.exceptions.SSLError):
        is_certificate = "certificate" in message
        return "tls", _certificate(message) if is_certificate else message.rpartition(":")[2].strip(" )'\"")
    if isinstance(exc, requests.Timeout):
        return "timeout", ""
    if "NameResolutionError" in message or "getaddrinfo" in message:
        return "name", ""
    if "refused" in message:
        return "refused", ""
    return "other", type(exc).__name__


def _certificate(message: str) -> str:
    start = message.find("certificate verify failed")
    return message[start:].partition(" (_ssl")[0] if start >= 0 else "it was not accepted"


def _elapsed_ms(started_at: float) -> float:
    return (monotonic() - started_at) * 1000
