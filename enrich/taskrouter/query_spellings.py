"""Spellings of one query: the same parameters in the same order, escaped in another way.

Twilio signs a URL as it was configured, and the query may arrive escaped, or escaped differently: by Twilio's own HTTP
client, or by a proxy. twilio-node's `validateRequest` therefore tries the query decoded and escaped again as
`encodeURIComponent` does; SDKs and proxies of other languages escape other characters, so these are tried, too. A
spelling never takes a parameter for two, nor a name for a value: `%26` stays, and `%3D` in names. Another order of the
parameters is another query.

Pure. Sources: docs/taskrouter.md, "Signatures"; RFC 3986, 2.2 and 3.4; https://url.spec.whatwg.org/#query-percent-encode-set.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from urllib.parse import quote, unquote_to_bytes

_ESCAPE = re.compile(rb"%[0-9a-fA-F]{2}")

# Characters that some escape and others do not; each set is decoded alone, and every other escape stays as it came.
_NOT_ASCII = bytes(range(0x80, 0x100))
# Besides the apostrophe: what may not stand in a URL, but does in what people type.
_ESCAPED_BY_BROWSERS = b"'\"<> " + _NOT_ASCII
_LEGAL_IN_QUERY = b"!$'()*,;:@/?=-._~" + b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# `&` would part a parameter in two, `#` would end the query.
_ANY = bytes(set(range(0x100)) - set(b"&#"))
_DECODED = (b"'", _ESCAPED_BY_BROWSERS, _LEGAL_IN_QUERY, _LEGAL_IN_QUERY + b"+", _ANY)


def other_spellings(query: str) -> Iterator[str]:
    """Yield other spellings of this query, as it would have been configured; each once, the likeliest first."""
    as_it_came = query.encode("utf-8", "surrogateescape")
    seen = {as_it_came}
    for spelling in _spellings([part.partition(b"=") for part in as_it_came.split(b"&")]):
        if spelling not in seen:
            seen.add(spelling)
            yield spelling.decode("utf-8", "surrogateescape")


def _spellings(parameters: Sequence[tuple[bytes, bytes, bytes]]) -> Iterator[bytes]:
    """Yield the spellings. parameters: name, equals sign or nothing, value."""
    for respell in _RESPELLINGS:
        # An equals sign that is decoded in a name would end it.
        yield b"&".join(respell(name).replace(b"=", b"%3D") + sign + respell(value) for name, sign, value in parameters)
    # A parameter without a value, with its equals sign and without it.
    yield b"&".join(name + b"=" + value for name, _, value in parameters)
    yield b"&".join(name + (sign if value else b"") + value for name, sign, value in parameters)


def _decoding(characters: bytes) -> Callable[[bytes], bytes]:
    def decode(found: re.Match[bytes]) -> bytes:
        character = unquote_to_bytes(found[0])
        return character if character in characters else found[0]

    return lambda part: _ESCAPE.sub(decode, part)


def _escaping(safe: str, *, is_form: bool) -> Callable[[bytes], bytes]:
    """Return the function that decodes a part and escapes it again. is_form: a plus sign stands for a space."""

    def respell(part: bytes) -> bytes:
        return quote(unquote_to_bytes(part.replace(b"+", b" ") if is_form else part), safe=safe).encode()

    return respell


def _as_form(part: bytes) -> bytes:
    """Return the part as HTML forms, Java and `URLSearchParams` write it."""
    return _escaping(" *", is_form=True)(part).replace(b"~", b"%7E").replace(b" ", b"+")


def _as_urls_are_parsed(part: bytes) -> bytes:
    """Return the part with what the URL standard escapes escaped, and existing escapes as they are."""
    return quote(part, safe="!$%&()*+,-./:;=?@[\\]^_`{|}~").encode()


_RESPELLINGS: tuple[Callable[[bytes], bytes], ...] = (
    *map(_decoding, _DECODED),
    _as_urls_are_parsed,
    _escaping("!'()*", is_form=True),  # `encodeURIComponent`, and with it twilio-node
    _escaping("!'()*", is_form=False),
    _escaping("", is_form=True),  # RFC 3986's unreserved characters alone
    _escaping("", is_form=False),
    _as_form,
    lambda part: _decoding(_ANY)(part.replace(b"+", b" ")),
    lambda part: _ESCAPE.sub(lambda found: found[0].lower(), part),
    lambda part: _ESCAPE.sub(lambda found: found[0].upper(), part),
)
