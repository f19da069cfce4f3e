"""The forms of an address: URI schemes and channel prefixes, display names, header parameters, several in one text.

Pure rules over text; what an address means is decided by identifiers.py. Sources, by section:

    name-addr, user and header parameters   RFC 3261, 19.1 and 20; P-Asserted-Identity: RFC 3325, 9.1
    tel:                                    RFC 3966
    mailto:                                 RFC 6068
    schemes                                 RFC 3986, 3.1
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote

from enrich.customers.spelling import visible

# `name:` before an address: a scheme of at least two letters, so that `C:17` is an account.
_SCHEME = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.\-]{1,31}):(?!//)\s*(.*)\Z", re.DOTALL)
# `"Ada \"A\" L" <sip:ada@example.com>;tag=1a2b`, and a comma if another address follows.
_NAME_ADDR = re.compile(
    r"""\s*(?P<name>"(?:[^"\\]|\\.)*"|[^<>]*?)\s*<\s*(?P<uri>[^<>]+?)\s*>"""
    r"""(?P<parameters>(?:\s*;[^,;"<>]*(?:"(?:[^"\\]|\\.)*")?)*)\s*(?:[,;]|\Z)"""
)
_PARAMETER = re.compile(r""";\s*([\w.!%*+`'~-]+)\s*(?:=\s*("(?:[^"\\]|\\.)*"|[^;"]*))?""")
# What separates several addresses in one value, whatever they are.
_SEPARATOR = re.compile(r"[\n\r|\u2028\u2029،؛、]+|\s(?:or|and|oder|und|ou|et|y|o|e|&)\s", re.IGNORECASE)
_BETWEEN_EMAILS = re.compile(r"\s*[;,]\s*|\s+/\s+")
_BEFORE_A_SCHEME = re.compile(
    r"\s*[;,\s/]\s*(?=(?:tel|sips?|mailto|client|whatsapp|sms|mms|rcs|messenger|instagram):)", re.IGNORECASE
)
_SIP_HOST = re.compile(r"(\[[^\[\]@]*\]|[^\[\]:;?@]+)(?::\d*)?(?:[;?][^@]*)?\Z")


@dataclass(frozen=True, slots=True)
class Address:
    """One address of a text. scheme: in lower case, "" for none. rest: what follows it, not yet percent-decoded.

    parameters: of the header, in lower case.
    """

    scheme: str
    rest: str
    parameters: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SipUri:
    """The parts of a SIP URI, percent-decoded.

    user: without its parameters and password; whole_user: with its parameters. host: without port.
    """

    user: str
    parameters: dict[str, str]
    whole_user: str
    host: str


def addresses(text: str) -> Iterator[Address | None]:
    """Yield each address in this text; None for a part that is broken."""
    for part in _SEPARATOR.split(text):
        visible_text = visible(part)
        if "<" in visible_text:
            yield from _name_addrs(visible_text)
        elif visible_text:
            for one in _single(visible_text):
                yield _address(one)


def split_scheme(text: str) -> tuple[str, str]:
    """Return ("whatsapp", "+1 ...") for "WhatsApp: +1 ..."; ("", text) without a scheme."""
    match = _SCHEME.match(text)
    return (match[1].lower(), match[2].strip()) if match else ("", text)


def parse_sip(rest: str) -> SipUri | None:
    """Return the parts of `user;parameters:password@host:port;parameters?headers`; None if it is not of that form.

    Without a user (`sip:example.com`) the user is "".
    """
    user, at, behind = rest.partition("@")
    host = _SIP_HOST.match(behind if at else rest)
    if host is None:
        return None
    user = user.partition(":")[0] if at else ""
    number, *parameters = user.split(";")
    return SipUri(unquote(number), parameters_of(parameters), unquote(user), unquote(host[1]))


def parameters_of(parts: list[str]) -> dict[str, str]:
    """Return `name=value` texts as a dict, percent-decoded, names in lower case; "" without a value."""
    named = (part.partition("=") for part in parts)
    return {unquote(name).strip().lower(): unquote(value).strip() for name, _, value in named}


def _address(text: str, parameters: dict[str, str] | None = None) -> Address:
    return Address(*split_scheme(text), parameters or {})


def _single(text: str) -> list[str]:
    """Return the addresses of a text without angle brackets: numbers are separated later, where they are read."""
    parts: list[str] = []
    for address in _BEFORE_A_SCHEME.split(text):
        if "@" not in address or _SCHEME.match(address):
            parts.append(address)
            continue
        for part in filter(None, _BETWEEN_EMAILS.split(address)):
            words = part.split()
            parts += words if all("@" in word for word in words) else [part]
    return parts


def _name_addrs(text: str) -> Iterator[Address | None]:
    position = 0
    while position < len(text):
        match = _NAME_ADDR.match(text, position)
        if match is None:
            yield None
            return
        # `bob@example.com, Ada <ada@example.com>`: what stands before the comma is an address, too.
        *others, name = re.split("[,;]", match["name"])
        if not name.endswith('"') and any("@" in other for other in others):
            for other in others:
                yield _address(other.strip())
        parameters = {
            name.lower(): value.strip().strip('"').lower() for name, value in _PARAMETER.findall(match["parameters"])
        }
        yield _address(match["uri"], parameters)
        position = match.end()
