"""The address of a callback as it is requested and signed: ASCII, without fragment, user and password.

User and password are sent as basic auth, and are not part of what is signed
(https://www.twilio.com/docs/usage/webhooks/webhooks-security). Whatever is not ASCII takes the form that goes over the
wire, the only one that the receiver sees: the host as IDNA A-labels, path and query percent-encoded in UTF-8.
"""

import base64
import re
import string
import unicodedata
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit, urlunsplit

MAX_LABEL = 63
_IDEOGRAPHIC_FULL_STOP = "\N{IDEOGRAPHIC FULL STOP}"
_KEPT = string.punctuation
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class CallbackAddress:
    """An address. authorization: the value of the header for basic auth, None without credentials."""

    url: str
    authorization: str | None


def parse(configured_url: str) -> CallbackAddress:
    """Return the address that this URL stands for. Raises ValueError for other text than an http or https URL."""
    if _FORBIDDEN.search(configured_url):
        raise ValueError("a URL has no control characters")
    parts = urlsplit(configured_url.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("not an http or https URL")
    credentials, has_credentials, _ = parts.netloc.rpartition("@")
    netloc = _ascii_host(parts.hostname) + (f":{parts.port}" if parts.port is not None else "")
    path, query = quote(parts.path, safe=_KEPT), quote(parts.query, safe=_KEPT)
    url = urlunsplit((parts.scheme, netloc, path, query, ""))
    return CallbackAddress(url, _basic(credentials) if has_credentials else None)


def _ascii_host(host: str) -> str:
    """Return the host with A-labels as in IDNA 2008, which keeps letters such as ß; Python's own codec is older."""
    if ":" in host:
        return f"[{host}]"
    if host.isascii():
        return host
    labels = unicodedata.normalize("NFKC", host.lower()).replace(_IDEOGRAPHIC_FULL_STOP, ".").split(".")
    encoded = [label if label.isascii() else "xn--" + label.encode("punycode").decode() for label in labels]
    if any(not 0 < len(label) <= MAX_LABEL for label in encoded):
        raise ValueError(f"{host} is no host name")
    return ".".join(encoded)


def _basic(credentials: str) -> str:
    user, _, password = credentials.partition(":")
    return "Basic " + base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()
