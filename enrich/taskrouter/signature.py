"""Verification of Twilio's signature (docs/taskrouter.md, "Signatures").

The official SDK's validator raises on hostile input (no header, bytes, odd ports) and decodes the body before it looks;
a signed body with invalid UTF-8 would be refused. This one works on the bytes as they came; the tests hold it against
the SDK's. There is no way to switch it off.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, permutations
from urllib.parse import parse_qs, urlsplit

from enrich.errors import InvalidSignature
from enrich.taskrouter.query_spellings import other_spellings

Pairs = Sequence[tuple[bytes, bytes]]

_SIGNATURE = re.compile(r"[A-Za-z0-9+/]{27}=\Z")

_DEFAULT_PORTS = {"https": 443, "http": 80}
# Other spellings of the query are tried only for bodies that a callback can have: whoever sends a wrong signature
# decides how much is computed. With these limits a refusal takes some milliseconds at most.
_MAX_RESPELLED_BYTES = 65_536
# And other orders, to say why it was refused, only for so few parameters: 4 have 24 orders.
_MAX_EXPLAINED_BYTES, _MAX_REORDERED = 16_384, 4


def verify(url: str, pairs: Pairs, body: bytes, signature: str | None, tokens: Iterable[str]) -> None:
    """Return if one of these tokens signed the request; raise InvalidSignature otherwise.

    url: as configured at Twilio, query string included, without fragment, user and password. Its query may be escaped
    in another way than it is there (`query_spellings`), but not ordered in another way.
    pairs: the form's names and values, unquoted, in bytes. body: only looked at when the URL carries its hash.
    """
    digests = _body_hashes(urlsplit(url).query) if "?" in url else None
    if digests:
        # A JSON body: the signature covers the URL, and the URL covers the body.
        verify_body(body, digests[0])
        pairs = ()
    _verify(url, _form_text(pairs), signature, tokens)


def _verify(url: str, form: bytes, signature: str | None, tokens: Iterable[str]) -> None:
    request = _Request(form, require_form(signature).encode(), tuple(tokens))
    address, _, query = url.partition("?")
    spellings = other_spellings(query) if query and len(request.form) <= _MAX_RESPELLED_BYTES else ()
    if request.is_signed_for(url) or any(request.is_signed_for(f"{address}?{spelling}") for spelling in spellings):
        return
    raise InvalidSignature(f"not signed with our token for {address}{_why(request, address, query)}")


def has_body_hash(query: str) -> bool:
    """Return whether the query has the hash of a body that is no form."""
    return bool(query) and bool(_body_hashes(query))


def _body_hashes(query: str) -> list[str] | None:
    return parse_qs(query).get("bodySHA256")


def _why(request: _Request, address: str, query: str) -> str:
    """Return what else the request was signed for, to be added to an error; "" if that cannot be told."""
    if not query or len(request.form) > _MAX_EXPLAINED_BYTES:
        return ""
    if request.is_signed_for(address):
        return ", but for that address without a query: something in front of the service adds one"
    parameters = query.split("&")
    if 1 < len(parameters) <= _MAX_REORDERED and any(
        request.is_signed_for(f"{address}?{'&'.join(order)}") for order in permutations(parameters)
    ):
        return (
            ", but for the same parameters of the query in another order: something in front of the service reorders "
            "them; it has to pass the query on as it came"
        )
    return " with this query; it has to arrive as it is configured at Twilio"


@dataclass(frozen=True, slots=True)
class _Request:
    """The signed text of the form, the signature that came, and our tokens."""

    form: bytes
    signature: bytes
    tokens: tuple[str, ...]

    def is_signed_for(self, url: str) -> bool:
        """Return whether one of the tokens gives this signature for the URL, with its port or without."""
        return any(
            hmac.compare_digest(_digest(token, variant.encode("utf-8", "surrogateescape") + self.form), self.signature)
            for token in self.tokens
            for variant in _with_and_without_port(url)
        )


def require_form(signature: str | None) -> str:
    """Return the signature if it can be one: base64 of the 20 bytes of a SHA-1. Raises InvalidSignature otherwise.

    Needs nothing of the request but this header.
    """
    if not signature:
        raise InvalidSignature("the request has no X-Twilio-Signature")
    if not _SIGNATURE.match(signature):
        raise InvalidSignature("its X-Twilio-Signature is not a signature")
    return signature


def verify_url(url: str, signature: str | None, tokens: Iterable[str]) -> str:
    """Return the hash of the body that the URL carries, once the signature of the URL alone is verified.

    For a request whose body is read only then. url: as for `verify`. Raises InvalidSignature.
    """
    digests = _body_hashes(urlsplit(url).query)
    if not digests:
        raise InvalidSignature("the URL does not carry the hash of the body")
    _verify(url, b"", signature, tokens)
    return digests[0]


def verify_body(body: bytes, digest: str) -> None:
    """Return if the body has this SHA-256, in hexadecimal digits. Raises InvalidSignature otherwise."""
    if not hmac.compare_digest(hashlib.sha256(body).hexdigest().encode(), digest.lower().encode()):
        raise InvalidSignature("the body does not have the hash that its URL carries")


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
