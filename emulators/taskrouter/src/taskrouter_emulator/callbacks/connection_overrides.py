"""Connection overrides: how patient a webhook is, and what it tries again, as the fragment of its URL says.

    https://hooks.example.test/events#rc=2&rp=5xx,rt&tt=10000

What is malformed or out of range leaves the default. `sni` and `e` have no meaning here.
Source: https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides
"""

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, urldefrag

_CONDITIONS = frozenset({"4xx", "5xx", "ct", "rt"})


@dataclass(frozen=True)
class Overrides:
    """connect_s, read_s (for the first byte and between bytes) and total_s (with all tries) in seconds.

    retries: how often it is tried again; retry_on: after what: `4xx`, `5xx`, `ct` (no connection), `rt` (no answer).
    """

    connect_s: float = 5.0
    read_s: float = 15.0
    total_s: float = 15.0
    retries: int = 1
    retry_on: frozenset[str] = frozenset({"ct"})


def read(url: str) -> Overrides:
    """What the URL's fragment asks for."""
    given = dict(parse_qsl(urldefrag(url).fragment))
    default = Overrides()
    retries = given.get("rc", "")
    return Overrides(
        connect_s=_seconds(given.get("ct"), 10_000, default.connect_s),
        read_s=_seconds(given.get("rt"), 15_000, default.read_s),
        total_s=_seconds(given.get("tt"), 15_000, default.total_s),
        retries=int(retries) if retries in tuple("012345") else default.retries,
        retry_on=_conditions(given.get("rp")) or default.retry_on,
    )


def _seconds(text: str | None, most_ms: int, default: float) -> float:
    if text is None or not re.fullmatch("[0-9]{3,5}", text) or not 100 <= int(text) <= most_ms:
        return default
    return int(text) / 1000


def _conditions(text: str | None) -> frozenset[str]:
    asked = {condition.strip() for condition in (text or "").split(",")}
    return _CONDITIONS if "all" in asked else frozenset(asked & _CONDITIONS)
