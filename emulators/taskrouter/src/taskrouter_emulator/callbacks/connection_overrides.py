"""Connection overrides: time limits and retries of a webhook, in the fragment of its URL.

    https://hooks.example.test/events#rc=2&rp=5xx,rt&tt=10000

Malformed and out-of-range values are ignored. `sni` and `e` have no meaning here.
Source: https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides
"""

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, urldefrag

_CONDITIONS = frozenset({"4xx", "5xx", "ct", "rt"})


@dataclass(frozen=True)
class ConnectionOverrides:
    """Time limits in seconds: connect_s, read_s (first byte and between bytes), total_s (with all retries).

    retries: how many at most. retry_on: conditions: `4xx`, `5xx`, `ct` (no connection), `rt` (no response).
    """

    connect_s: float = 5.0
    read_s: float = 15.0
    total_s: float = 15.0
    retries: int = 1
    retry_on: frozenset[str] = frozenset({"ct"})


def parse(url: str) -> ConnectionOverrides:
    """Return the overrides in the URL's fragment."""
    fields = dict(parse_qsl(urldefrag(url).fragment))
    default = ConnectionOverrides()
    retries = fields.get("rc", "")
    return ConnectionOverrides(
        connect_s=_seconds(fields.get("ct"), 10_000, default.connect_s),
        read_s=_seconds(fields.get("rt"), 15_000, default.read_s),
        total_s=_seconds(fields.get("tt"), 15_000, default.total_s),
        retries=int(retries) if retries in tuple("012345") else default.retries,
        retry_on=_conditions(fields.get("rp")) or default.retry_on,
    )


def _seconds(text: str | None, max_ms: int, default: float) -> float:
    if text is None or not re.fullmatch("[0-9]{3,5}", text) or not 100 <= int(text) <= max_ms:
        return default
    return int(text) / 1000


def _conditions(text: str | None) -> frozenset[str]:
    conditions = {condition.strip() for condition in (text or "").split(",")}
    return _CONDITIONS if "all" in conditions else frozenset(conditions & _CONDITIONS)
