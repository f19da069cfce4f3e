"""Verification of Twilio's signature (docs/taskrouter.md, "Signatures").

The official SDK's validator raises on hostile input (no header, bytes, odd ports) and decodes the body before it looks;
a signed body with invalid UTF-8 would be refused. This one works on the bytes as they came; the tests hold it against
the SDK's. There is no way to switch it off.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from urllib.parse import parse_qs, urlsplit

from enrich.errors import InvalidSignature

Pairs = Sequence[tuple[bytes, bytes]]

_DEFAULT_PORTS = {"https": 443, "http": 80}


def verify(url: str, pairs: Pairs, body: bytes, signature: str | None, tokens: Iterable[str]) -> None:
    """Return if one of these tokens signed the request; raise InvalidSignature otherwise.

    url: as configured at Twilio, query string included, without fragment, user and password.
    pairs: the form's names and values, unquoted, in bytes. body: only looked at when the URL carries its hash.
    """
    if not signature:
        raise InvalidSignature("the request has no X-Twilio-Signature")
    received = signature.encode("utf-8", "replace")
    digests = parse_qs(urlsplit(url).query).get("bodySHA256") if "?" in url else None
    if digests:
        # A JSON body: the signature covers the URL, and the URL covers the body.
        if not hmac.compare_digest(hashlib.sha256(body).hexdigest().encode(), digests[0].lower().encode()):
            raise InvalidSignature("the body does not have the hash that its URL carries")
        pairs = ()
    signed = _form_text(pairs)
    for token in tokens:
        for variant in _with_and_without_port(url):
            if hmac.compare_digest(_digest(token, variant.encode() + signed), received):
                return
    raise InvalidSignature(f"not signed with our token for {url.partition('?')[0]}")


def sign(url: str, pairs: Pairs, token: str) -> str:
    """Return the signature that Twilio would send with this form."""
    return _digest(token, url.encode() + _form_text(pairs)).decode()


def _digest(token: str, text: bytes) -> bytes:
    return base64.b64encode(hmac.digest(token.encode(), text, "sha1"))


def _form_text(pairs: Pairs) -> bytes:
    """Return the form as it is signed: names in byte order, each followed by its distinct values, sorted."""
    return b"".join(chain.from_iterable(sorted(set(pairs))))


def _with_and_without_port(url: str) -> Iterator[str]:
    """Return the URL as it is, then without its port or with the default one: products differ in what they sign."""
    yield url
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    if parts.port is None:
        host = f"{host}:{_DEFAULT_PORTS[parts.scheme]}"
    yield parts._replace(netloc=host or "").geturl()
