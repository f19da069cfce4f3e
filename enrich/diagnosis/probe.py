"""A signed event, sent to ourselves the way TaskRouter would send it.

It is harmless: an event of a type that TaskRouter does not have, about no task, is kept in the journal and causes
nothing. It proves what can only be proved from outside: that PUBLIC_URL leads here, that what stands between changes
neither address nor body, that the signature is found good, and that the journal takes it.
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

    event_sid: what the event is known by in the journal. location: where a redirect leads.
    """

    event_sid: str
    status: int | None
    elapsed_ms: float
    failed: str = ""
    detail: str = ""
    location: str = ""


def send(url: str, account_sid: str, workspace_sid: str, token: str, *, signed_for: str | None = None) -> ProbeResponse:
    """Sends it to this URL, of the events endpoint. signed_for: the URL to sign instead, to try which one is good."""
    event_sid = f"EV{secrets.token_hex(16)}"
    pairs = [
        ("EventType", EVENT_TYPE),
        ("Sid", event_sid),
        ("AccountSid", account_sid),
        ("WorkspaceSid", workspace_sid),
        # Characters that whatever stands between could change on their way.
        ("EventDescription", "flask taskrouter doctor: a+b c/d \u00e9 %25"),
    ]
    in_bytes = [(name.encode(), value.encode()) for name, value in pairs]
    headers = {"Content-Type": _FORM, "X-Twilio-Signature": signature.sign(signed_for or url, in_bytes, token)}
    began = monotonic()
    try:
        with requests.post(
            url, data=urlencode(pairs), headers=headers, timeout=ANSWER_S, allow_redirects=False, stream=True
        ) as response:
            status, location = response.status_code, response.headers.get("Location", "")
    except requests.RequestException as exc:
        failed, detail = _why(exc)
        return ProbeResponse(event_sid, None, _ms(began), failed, detail)
    return ProbeResponse(event_sid, status, _ms(began), location=location)


def is_us(root: str) -> bool:
    """Return whether this service responds at `root`/healthz."""
    try:
        with requests.get(f"{root}/healthz", timeout=ANSWER_S, allow_redirects=False) as response:
            return response.status_code == 200 and response.text == "ok\n"
    except requests.RequestException:
        return False


def _why(exc: requests.RequestException) -> tuple[str, str]:
    """A word for it, and what the library says, without the addresses of objects."""
    told = str(exc.args[0]) if exc.args else str(exc)
    if isinstance(exc, requests.exceptions.SSLError):
        return "tls", told.rpartition(":")[2].strip(" )'\"") if "certificate" not in told else _certificate(told)
    if isinstance(exc, requests.Timeout):
        return "timeout", ""
    if "NameResolutionError" in told or "getaddrinfo" in told:
        return "name", ""
    if "refused" in told:
        return "refused", ""
    return "other", type(exc).__name__


def _certificate(told: str) -> str:
    start = told.find("certificate verify failed")
    return told[start:].partition(" (_ssl")[0] if start >= 0 else "it was not accepted"


def _ms(began: float) -> float:
    return (monotonic() - began) * 1000
