"""Contacts in vCard files: versions 2.1, 3.0 (RFC 2426) and 4.0 (RFC 6350), as objects of the JSON format. Pure.

Read are FN or else N, ORG, TEL, EMAIL, NOTE, LANG and UID; fax numbers and everything else are left out.
"""

from __future__ import annotations

import quopri
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from enrich.customers.columns import made_id
from enrich.domain.lengths import MAX_CUSTOMER_ID_LENGTH

_PARAMETER = re.compile(r';([^;:="]+)(?:=((?:"[^"]*"|[^";:])*))?')
_KINDS = {"KIND", "X-ADDRESSBOOKSERVER-KIND"}  # "group" for a list of contacts (RFC 6350, 6.1.4; Apple Contacts)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Card:
    """One contact. line: that of its BEGIN. raw: an object of the JSON format; None if the card never ends."""

    line: int
    raw: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class _Property:
    name: str
    parameters: frozenset[str]  # values in lower case, such as "cell" of TYPE=CELL
    value: str


def read_cards(lines: Iterable[str]) -> Iterator[Card]:
    """Yield each contact of these lines. Raises nothing: a line that is no property is left out."""
    begun: int | None = None
    depth = 0  # of an AGENT, a card within a card (2.1)
    found: list[_Property] = []
    for line, text in _unfolded(lines):
        word = text.strip().upper()
        if word == "BEGIN:VCARD":
            if begun is None or not depth:
                begun, found = line, []
            depth += 1
        elif word == "END:VCARD" and begun is not None:
            depth -= 1
            if not depth:
                if not any(one.name in _KINDS and one.value.strip().lower() == "group" for one in found):
                    yield Card(begun, _to_raw(found))
                begun = None
        elif depth == 1 and (one := _property(text)) is not None:
            found.append(one)
    if begun is not None:
        yield Card(begun, None)


def _unfolded(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Yield each logical line with the number of its first line.

    A line that begins with a space or tab continues the one before (RFC 6350, 3.2), and so does the one after a soft
    line break of quoted-printable (2.1).
    """
    first, text = 0, ""
    for number, line in enumerate(lines, start=1):
        line = line.rstrip("\r\n")
        if text.endswith("=") and "QUOTED-PRINTABLE" in text.partition(":")[0].upper():
            text = text[:-1] + line.lstrip()
        elif line[:1] in {" ", "\t"} and text:
            text += line[1:]
        else:
            if text:
                yield first, text
            first, text = number, line
    if text:
        yield first, text


def _property(text: str) -> _Property | None:
    head, colon, value = _split_head(text)
    if not colon:
        return None
    name = re.split(r"[;]", head, maxsplit=1)[0]
    parameters: dict[str, str] = {}
    types: set[str] = set()
    for key, given in _PARAMETER.findall(head[len(name) :]):
        key, given = key.strip().upper(), given.strip('" ').lower()
        parameters[key] = given
        types |= set(re.split(r"[,;]", given.replace('"', ""))) | {key.lower()}
    if "quoted-printable" in types:
        charset = parameters.get("CHARSET", "utf-8")
        value = _decoded(quopri.decodestring(value.encode(errors="surrogateescape")), charset)
    return _Property(name.rpartition(".")[2].strip().upper(), frozenset(types), value)


def _split_head(text: str) -> tuple[str, str, str]:
    """Split a line at the colon behind its parameters, whose quoted values may contain colons."""
    quoted = False
    for position, character in enumerate(text):
        quoted ^= character == '"'
        if character == ":" and not quoted:
            return text[:position], ":", text[position + 1 :]
    return text, "", ""


def _decoded(content: bytes, charset: str) -> str:
    try:
        return content.decode(charset)
    except (LookupError, UnicodeDecodeError):
        return content.decode(errors="surrogateescape")


def _to_raw(properties: Iterable[_Property]) -> dict[str, Any]:
    raw: dict[str, Any] = {"name": "", "phones": [], "emails": [], "notes": []}
    uid = structured = ""
    for one in properties:
        text = _unescaped(one.value).strip()
        if one.name == "FN" and not raw["name"]:
            raw["name"] = text
        elif one.name == "N" and not structured:
            family, given, additional, *_ = [*map(_unescaped, _components(one.value)), "", "", ""]
            structured = " ".join(filter(None, (given.strip(), additional.strip(), family.strip())))
        elif one.name == "ORG" and not raw.get("company"):
            raw["company"] = _unescaped(_components(one.value)[0]).strip()
        elif one.name == "TEL" and text and not ("fax" in one.parameters and "voice" not in one.parameters):
            raw["phones"].append(re.sub(r"^tel:", "", text, flags=re.IGNORECASE))
        elif one.name == "EMAIL" and text:
            raw["emails"].append(re.sub(r"^mailto:", "", text, flags=re.IGNORECASE))
        elif one.name == "NOTE" and text:
            raw["notes"].append(text)
        elif one.name == "LANG" and not raw.get("language"):
            raw["language"] = text
        elif one.name == "UID":
            uid = re.sub(r"^urn:uuid:", "", text, flags=re.IGNORECASE)
    raw["name"] = raw["name"] or structured
    raw["id"] = uid if 0 < len(uid) <= MAX_CUSTOMER_ID_LENGTH else made_id(raw)
    return raw


def _components(value: str) -> list[str]:
    """Split a structured value at the semicolons that are not escaped."""
    return re.split(r"(?<!\\);", value)


def _unescaped(value: str) -> str:
    return _ESCAPED.sub(lambda found: "\n" if found[1] in "nN" else found[1], value)
