"""Masks for personal data: a viewer sees enough to tell one task from another, too little to reach anybody.

Numbers keep their country, their area and the last two digits (`+1 415 ••• ••71`), e-mail addresses and names their
first letters, other look-up keys their last two characters. Attributes and forms keep their structure; of their values
only those stay that can hold nothing personal whatever they are called: words of closed lists, SIDs, short numbers, and
what the page shows of the same entry anyway. Every other value, free text above all, is `•••`, and so is the name of a
member that does not look like an identifier of code: it may be a person's.

Pure. Views pass journal records through `enrich.masked_records`; the filters `visible`, `seen`, `person` and
`private`, through which every text of a template goes, mask once more whatever looks like a number or an address, so
that a page which forgets the former still shows neither.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any
from urllib.parse import parse_qsl, urlencode

import phonenumbers

from enrich.domain.matches import MatchKind, NoMatchReason, Trust
from enrich.domain.sids import is_sid

HIDDEN = "•••"

# Seven digits or more with what people write between them. Not a date, and not a part of a SID.
_PHONE = re.compile(r"(?<![0-9A-Za-z])\+?\(?[0-9](?:[0-9 ().\-/\u00a0]{5,30})[0-9](?![0-9A-Za-z])")
_MIN_DIGITS = 7
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?: [0-9]{2})?")
_EMAIL = re.compile(r"[^\s@<>\"'(),:;&=/\[\]]{1,64}@[^\s@<>\"'(),:;&=/\[\]]{1,253}")

# The top-level domain of an address stays if it is no longer than `.museum`.
_SHORT_DOMAIN = re.compile(r"[A-Za-z]{2,6}")
# No name of a person, except one that is written like this, and no number or address.
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}", re.ASCII)

# Languages as customers have them, "en" or "es-MX".
_LANGUAGE = re.compile(r"[a-z]{2}(?:-[A-Z]{2})?")

# Words of TaskRouter's and Twilio's closed lists (docs/taskrouter.md), and the regions of `from_country`.
_WORDS = phonenumbers.SUPPORTED_REGIONS | frozenset(
    word
    for words in (
        # Instructions, and the states of tasks, reservations and calls.
        "accept call conference dequeue redirect reject",
        "pending reserved assigned accepted rejected timeout rescinded canceled wrapping completed",
        "queued initiated ringing in-progress answered busy failed no-answer",
        # Channels and directions.
        "voice sms mms rcs whatsapp messenger web webchat chat email default",
        "inbound outbound outbound-api outbound-dial",
        # Kinds of resources, and the version of the API in a call's attributes.
        "task reservation task-queue workflow worker activity task-channel workspace 2010-04-01",
    )
    for word in words.split()
)
# Words of our own block: how a customer was found, or why none was.
_BLOCK_WORDS = frozenset({*MatchKind, *Trust, *NoMatchReason, "phone", "email", "customer_id", "client", "staff"})
_JSON_OF_FORM = frozenset(("TaskAttributes", "WorkerAttributes"))


def text(shown: str) -> str:
    """Return the text with its numbers and e-mail addresses masked."""
    if "@" in shown:
        shown = _EMAIL.sub(lambda match: email(match[0]), shown)
    return _PHONE.sub(_phone_in_text, shown)


def phone(written: str) -> str:
    """Return the number with country, area and last two digits; only the last two digits if it is not a number."""
    try:
        parsed = phonenumbers.parse(written, None)
        shown = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
        kept = len(str(parsed.country_code)) + 3
    except phonenumbers.NumberParseException:
        shown, kept = written, 0
    count = sum(character.isdigit() for character in shown)
    masked, seen = [], 0
    for character in shown.replace("-", " "):
        if not character.isdigit():
            masked.append(character)
            continue
        seen += 1
        masked.append(character if seen <= min(kept, count - 6) or seen > count - 2 else "•")
    return "".join(masked)


def email(written: str) -> str:
    """Return the address with the first letters of its two parts, and its top-level domain if that is short."""
    local, _, domain = written.rpartition("@")
    first, _, top = domain.rpartition(".")
    if not first:
        return f"{local[:1]}{HIDDEN}@{HIDDEN}"
    return f"{local[:1]}{HIDDEN}@{first[:1]}{HIDDEN}.{top if _SHORT_DOMAIN.fullmatch(top) else HIDDEN}"


def name(written: str) -> str:
    """Return the first letters of a name: "A••• L•••"."""
    return " ".join(f"{part[:1]}{HIDDEN}" for part in written.split()[:4])


def key(kind: str, value: str) -> str:
    """A look-up key's value: numbers and addresses as above, a customer id as it is, of others the end."""
    if kind == "customer_id":
        return value
    if kind == "phone":
        return phone(value)
    if kind == "email":
        return email(value)
    return HIDDEN + (value[-2:] if len(value) > 4 else "")


def raw_json(stored: str, block: str, known: Collection[str] = ()) -> str:
    """Return attributes or an answer with their structure and their harmless values; `•••` for what is no JSON.

    block: the name of our own block. Within it stay our own words, dates and languages; names keep their first letters.
    known: further values that stay, such as the id of the entry's customer.
    """
    try:
        # Numbers stay as they are written: nothing is rounded, and ten thousand digits cost nothing.
        parsed = json.loads(stored, object_pairs_hook=_Object, parse_int=_Number, parse_float=_Number)
        return _masked(parsed, known, block) if isinstance(parsed, list) else HIDDEN
    except (ValueError, RecursionError):
        return HIDDEN


def raw_form(stored: str, block: str, known: Collection[str] = ()) -> str:
    """Return a form with its values masked, as a form again. block, known: as for `raw_json`."""
    try:
        fields = parse_qsl(stored, keep_blank_values=True, strict_parsing=True, max_num_fields=200)
    except ValueError:
        return HIDDEN if stored else ""
    return urlencode([(_identifier(field), _field(field, value, block, known)) for field, value in fields])


class _Number(str):
    """A number as it is written in JSON."""

    __slots__ = ()


class _Object(list[tuple[str, Any]]):
    """The members of an object in order, repeated ones included."""


def _masked(value: Any, known: Collection[str], block: str | None = None, *, in_block: bool = False) -> str:
    """Return the value as JSON. block: the name of our block among these members; in_block: the value is part of it."""
    if isinstance(value, _Object):
        return "{" + ", ".join(_member(*member, known, block, in_block=in_block) for member in value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_masked(element, known, in_block=in_block) for element in value) + "]"
    if isinstance(value, _Number):
        return value if len(value) < _MIN_DIGITS else _quoted(HIDDEN)
    if isinstance(value, str):
        return _quoted(_value(value, known, in_block=in_block))
    return json.dumps(value)


def _member(member: str, value: Any, known: Collection[str], block: str | None, *, in_block: bool) -> str:
    if in_block and member == "name" and type(value) is str:
        shown = _quoted(name(value))
    else:
        shown = _masked(value, known, in_block=in_block or member == block)
    return f"{_quoted(_identifier(member))}: {shown}"


def _quoted(shown: str) -> str:
    return json.dumps(shown, ensure_ascii=False)


def _identifier(member: str) -> str:
    """Return the name of a member or parameter if it looks like one of code."""
    digits = sum(character.isdigit() for character in member)
    return member if is_sid(member) or (_IDENTIFIER.fullmatch(member) and digits < _MIN_DIGITS) else HIDDEN


def _value(written: str, known: Collection[str], *, in_block: bool) -> str:
    if written in _WORDS or written in known or is_sid(written):
        return written
    if in_block and (written in _BLOCK_WORDS or _DATE.fullmatch(written) or _LANGUAGE.fullmatch(written)):
        return written
    if _EMAIL.fullmatch(written):
        return email(written)
    return phone(written) if _is_phone(written) else HIDDEN


def _field(field: str, value: str, block: str, known: Collection[str]) -> str:
    if field in _JSON_OF_FORM:
        return raw_json(value, block, known)
    if value.isascii() and value.isdecimal() and len(value) < _MIN_DIGITS:
        return value
    return value if value in _WORDS or value in known or is_sid(value) else HIDDEN


def _phone_in_text(match: re.Match[str]) -> str:
    return phone(match[0]) if _is_phone(match[0]) else match[0]


def _is_phone(written: str) -> bool:
    digits = sum(character.isdigit() for character in written)
    return digits >= _MIN_DIGITS and bool(_PHONE.fullmatch(written)) and not _DATE.fullmatch(written)
