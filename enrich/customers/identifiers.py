"""Normalisation of identifiers: different spellings of a number, address or account get one normal form.

Pure rules over text. A normal form is for comparing, not for dialling or display: the original is kept beside it
(`as_written` in tables.py). Stored identifiers and look-up keys pass through the same functions, so a changed rule
takes effect with the next `flask crm seed`, which rewrites the normal forms.

One text can hold several addresses, each of which is a Reading. One reading can give several identifiers, the most
exact first: a number with an extension is that extension, and its switchboard. `matching.choose` uses the others only
if the most exact one finds no customer.

addresses.py has the forms of addresses, phone_numbers.py those of numbers. Rules: docs/matching.md, "What is read".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

import idna

from enrich.customers.accents import without_accents
from enrich.customers.addresses import Address, addresses, parse_sip, split_scheme
from enrich.customers.phone_numbers import WITHHELD, NumberRead, is_plain_international, read_numbers, read_user
from enrich.customers.spelling import folded, is_storable, lowered, visible
from enrich.customers.withheld import is_withheld_word
from enrich.domain.lengths import MAX_IDENTIFIER_KIND_LENGTH, MAX_IDENTIFIER_LENGTH, MAX_WORD_LENGTH

PHONE = "phone"
EMAIL = "email"
CLIENT = "client"  # a Twilio Client (Voice SDK) identity
SIP = "sip"  # user@host, where the user is not a phone number
WHATSAPP = "whatsapp"  # the id of a WhatsApp user who hides the number; else a WhatsApp address is a phone number
CUSTOMER_ID = "customer_id"  # the CRM's own id; every customer is found by it
STAFF = "staff"  # not an identifier: the SID of a task that staff assigned to a customer
ADDRESS = "address"  # not a kind of identifier: determined from the text (attributes `from`, `caller`, ...)

# Kinds that are read as addresses, and have their form from the text.
ADDRESS_KINDS = frozenset({ADDRESS, PHONE, EMAIL})

# The source of an identifier: the CRM's file, or a change made by staff.
FROM_CRM = "crm"
FROM_STAFF = "staff"

MAX_WORDS = 12  # indexed per customer

# Behind these digits are an international number, with or without `+`.
_PHONE_CHANNELS = frozenset({"whatsapp", "sms", "mms", "rcs"})
_SIP_SCHEMES = frozenset({"sip", "sips"})
# Channels with ids of their own. A closed list: otherwise a visitor could choose the kind, and the chat name
# `customer_id:C-1001` would identify a customer.
CHANNELS = frozenset(
    {
        *("messenger", "instagram", "viber", "line", "telegram", "wechat", "kakao", "twitter", "slack", "discord"),
        *("facebook", "signal", "zalo", "tiktok", "teams", "apple", WHATSAPP),
    }
)
# A business-scoped user id: country, `ENT` for a parent company's, up to 128 letters and digits
# (https://developers.facebook.com/documentation/business-messaging/whatsapp/business-scoped-user-ids, 2026-11-28).
_WHATSAPP_USER = re.compile(r"[A-Za-z]{2}\.(?:[Ee][Nn][Tt]\.)?[A-Za-z0-9]{1,128}")
_BARE_WHATSAPP_USER = re.compile(r"[A-Z]{2}\.(?:ENT\.)?[0-9]{10,128}")
_WHATSAPP_HOSTS = ("@s.whatsapp.net", "@c.us")  # of WhatsApp's own addresses, behind the number

# A header whose caller wants the number hidden (RFC 3323, 4.2; RFC 3325, 9.3; Remote-Party-ID).
_HIDING = frozenset({"full", "uri", "id", "user", "header"})

_EMAIL = re.compile(r"""[^\s@<>()\[\]\\,;:"|]{1,64}@(?:[^\W_](?:[\w-]*[^\W_])?\.)+[^\W_][\w-]*[^\W_]\Z""")

# What keeps a spreadsheet from reading an id as a number: ="007", '007 and '007'; the name 't Hooft is none.
_GUARDED = re.compile(r"""=\s*"(.*)"|'(?=[0-9+=@-])(.*?)'?""", re.DOTALL)
_SCIENTIFIC = re.compile(r"[0-9][.,][0-9]+E\+?[0-9]{1,3}|[0-9]E\+[0-9]{1,3}", re.IGNORECASE)

NOT_AN_EMAIL = "not an e-mail address; write it as name@example.com"
_NOT_AN_ADDRESS = "an address of unknown form; write a number with + and country code, or name@example.com"
_NOT_AN_ID = "has no letters or digits to compare; use some"
_DAMAGED_ID = "a spreadsheet cut off its digits; write the whole id"


@dataclass(frozen=True, slots=True)
class Identifier:
    """One normal form. kind: at most 40 characters; value: at most 254, never empty."""

    kind: str
    value: str

    @property
    def has_extension(self) -> bool:
        """Return whether this is a phone number with an extension."""
        return self.kind == PHONE and ";ext=" in self.value


@dataclass(frozen=True, slots=True)
class Reading:
    """One address or id, as it was read from a text.

    identifiers: the most exact first; none if it could not be read. written: its part of the text, with which ids are
    compared that differ in case only. problem: why it could not be read, or what else it may mean, with what to do;
    with a problem nobody is identified by it. is_withheld: it stands for a number that the caller withholds.
    is_self_declared: a SIP address, which the caller sets and no carrier verifies.
    """

    identifiers: tuple[Identifier, ...] = ()
    written: str = ""
    problem: str = ""
    is_withheld: bool = False
    is_self_declared: bool = False


# A voice task has the caller twice (`from`, `caller`), and is looked up again when a worker is reserved. Parsing a
# number takes over 100 microseconds, a cache hit less than one.
@lru_cache(maxsize=1024)
def read(kind: str, text: str, region: str) -> tuple[Reading, ...]:
    """Return what this text holds, at least one Reading; none for an empty text.

    kind: `address`, `phone` or `email`, which are read alike (a form's field for the one often has the other); or any
    kind of the customers' `ids`, such as account_number. Case, width and spacing do not matter ("a-17 " is "A-17"),
    except the case of client identities, which Twilio distinguishes. region: of national phone numbers, such as "US".

    Schemes of addresses, in any case: `whatsapp:`, `sms:`, `mms:` and `rcs:` for international phone numbers; `tel:`;
    `sip:` for user@host, which is a phone number if the user is one; `client:` for a Twilio identity; `mailto:`. A
    channel with ids of its own (`messenger:`, `instagram:`, ...) becomes the kind; an unknown scheme gives nothing.
    Without scheme: an e-mail address if it has that form, else a phone number.
    Source: https://www.twilio.com/docs/messaging/channels, and docs/taskrouter.md, "Flex and channel conventions".
    """
    if kind not in ADDRESS_KINDS:
        return _read_id(kind, text, region)
    # What carriers and WhatsApp send needs no search for other forms, which takes half of the time.
    if is_plain_international(number := text.removeprefix("whatsapp:")):
        return tuple(_numbers(read_numbers(number, region)))
    readings: list[Reading] = []
    for address in addresses(unguarded(text)):
        readings += [Reading(problem=_NOT_AN_ADDRESS)] if address is None else _read_address(address, region)
    return tuple(readings)


def normalise(kind: str, text: str, region: str) -> tuple[Identifier, ...]:
    """Return all identifiers of this kind in `text`, as `read` does, the most exact first; empty if there is none."""
    return tuple(dict.fromkeys(one for reading in read(kind, text, region) for one in reading.identifiers))


def customer_id_identifier(customer_id: str) -> Identifier | None:
    """Return the identifier for the CRM's own id, which is stored with every customer."""
    return _identifier(CUSTOMER_ID, folded(customer_id))


def spelling(kind: str, text: str) -> str:
    """Return the text of an id for comparing its case: without guard, its channel's prefix, invisible characters."""
    visible_text = visible(unguarded(text))
    scheme, rest = split_scheme(visible_text)
    return rest if scheme == kind else visible_text


def has_extension(as_written: str, region: str) -> bool:
    """Return whether a stored number was written with an extension, so that its switchboard alone is no evidence."""
    if is_plain_number(as_written):
        return False
    return any(one.has_extension for one in normalise(PHONE, as_written, region))


def is_plain_number(as_written: str) -> bool:
    """Return whether a stored number is digits and punctuation, so that it has no extension."""
    return _PLAIN_NUMBER.fullmatch(as_written) is not None


_PLAIN_NUMBER = re.compile(r"[+0-9 ().-]*")


def unguarded(text: str) -> str:
    """Return the text without what keeps a spreadsheet from reading it as a number: `="007"` and `'007` are 007."""
    match = _GUARDED.fullmatch(text.strip())
    if match is None:
        return text
    return match[1].replace('""', '"') if match[1] is not None else match[2]


def words_of(*texts: str) -> tuple[str, ...]:
    """Return the distinct words of these texts for searching, case-folded and without accents, in order.

    At most twelve of at most 40 characters: "Dr. José Lovelace-King" gives dr, jose, lovelace, king.
    """
    words = re.findall(r"\w+", without_accents(folded(" ".join(texts))))
    return tuple(dict.fromkeys(word[:MAX_WORD_LENGTH] for word in words if is_storable(word)))[:MAX_WORDS]


def _read_address(address: Address, region: str) -> list[Reading]:
    scheme, rest = address.scheme, address.rest
    if scheme in _SIP_SCHEMES:
        readings = [_read_sip(rest, region)]
    elif scheme == "tel":
        readings = _numbers(read_numbers(rest.partition("?")[0], region, is_uri=True))
    elif scheme == WHATSAPP and (user := _whatsapp_user(rest, _WHATSAPP_USER)):
        readings = [user]
    elif scheme in _PHONE_CHANNELS:
        number = rest.partition("?")[0]
        for host in _WHATSAPP_HOSTS:
            number = number.removesuffix(host)
        readings = _numbers(read_numbers(number, region, is_international=True, is_uri=True))
    elif scheme == CLIENT:
        readings = [_client(rest)]
    elif scheme == "mailto":
        readings = [_email(unquote(one)) for one in rest.partition("?")[0].split(",")]
    elif scheme in CHANNELS:
        readings = [_channel_id(scheme, rest, region)]
    elif scheme:
        readings = [Reading(problem=_NOT_AN_ADDRESS, is_withheld=not rest or is_withheld_word(rest))]
    else:
        readings = _read_bare(rest, region)
    if address.parameters.get("privacy") in _HIDING:
        return [Reading(problem=WITHHELD, is_withheld=True)]
    return readings


def _read_bare(text: str, region: str) -> list[Reading]:
    if "@" not in text and "%40" in text:
        text = unquote(text)
    if "@" in text:
        is_hidden = text.casefold().endswith("@anonymous.invalid")
        return [Reading(problem=WITHHELD, is_withheld=True)] if is_hidden else [_email(text)]
    user = _whatsapp_user(text, _BARE_WHATSAPP_USER)
    return [user] if user else _numbers(read_numbers(text, region))


def _numbers(numbers: Iterable[NumberRead]) -> list[Reading]:
    return [_number(number) for number in numbers]


def _number(number: NumberRead, *, is_self_declared: bool = False) -> Reading:
    if not number.value:
        is_withheld = number.is_withheld or not number.written or is_withheld_word(number.written)
        problem = WITHHELD if is_withheld else number.problem
        return Reading((), number.written, problem, is_withheld, is_self_declared)
    exact = f"{number.value};ext={number.extension}" if number.extension else number.value
    identifiers = tuple(Identifier(PHONE, value) for value in dict.fromkeys((exact, number.value)))
    return Reading(identifiers, number.written, number.problem, is_self_declared=is_self_declared)


def _read_sip(rest: str, region: str) -> Reading:
    uri = parse_sip(rest)
    if uri is None or not uri.user:
        host = uri.host if uri else rest
        is_withheld = host.casefold().endswith(".invalid") or is_withheld_word(host)
        return Reading(problem=_NOT_AN_ADDRESS, is_withheld=is_withheld or not rest, is_self_declared=True)
    # `.invalid` is nobody's domain (RFC 2606): anonymous.invalid (RFC 3323), unknown.invalid (3GPP TS 23.003, 13.7).
    if uri.host.casefold().endswith(".invalid") or is_withheld_word(uri.user):
        return Reading(problem=WITHHELD, is_withheld=True, is_self_declared=True)
    number = read_user(uri.user, uri.parameters, region)
    if number.value or number.is_withheld:
        return _number(number, is_self_declared=True)
    return _reading(SIP, folded(f"{uri.whole_user}@{uri.host}"), uri.whole_user, is_self_declared=True)


def _whatsapp_user(text: str, pattern: re.Pattern[str]) -> Reading | None:
    visible_text = visible(unquote(text))
    return _reading(WHATSAPP, folded(visible_text), visible_text) if pattern.fullmatch(visible_text) else None


def _channel_id(channel: str, rest: str, region: str) -> Reading:
    """Return the id of a channel's user; a number with `+` is a phone number there, too."""
    visible_text = visible(unquote(rest))
    if not visible_text or is_withheld_word(visible_text):
        return Reading(problem=WITHHELD, is_withheld=True)
    if visible_text.startswith("+"):
        numbers = read_numbers(visible_text, region)
        if len(numbers) == 1 and numbers[0].value:
            return _number(numbers[0])
    return _reading(channel, folded(visible_text), visible_text)


def _client(rest: str) -> Reading:
    """Return the identity, and its form with `_40` decoded to `@`: Flex encodes so, others mean the digits."""
    identity = visible(unquote(rest))
    if not identity or is_withheld_word(identity):
        return Reading(problem=WITHHELD, is_withheld=True)
    decoded = re.sub(r"_(2[0-9A-F]|3[A-F]|40|5[B-F]|60|7[B-E])", lambda match: chr(int(match[1], 16)), identity)
    candidates = (_identifier(CLIENT, value) for value in dict.fromkeys((identity, visible(decoded))))
    identifiers = tuple(identifier for identifier in candidates if identifier is not None)
    return Reading(identifiers, identity, "" if identifiers else _NOT_AN_ID)


def _email(text: str) -> Reading:
    """Return the address in lower case, its domain in letters.

    RFC 5321 allows a host to distinguish `Ada@` from `ada@`, but no host of any size does. Sub-addresses (`ada+shop@`)
    and dots stay, since only some hosts ignore them.
    """
    visible_text = visible(text)
    local, _, domain = lowered(visible_text).rpartition("@")
    value = f"{local}@{_domain(domain)}"
    identifier = _identifier(EMAIL, value) if _EMAIL.match(value) else None
    return Reading((identifier,), visible_text) if identifier else Reading((), visible_text, NOT_AN_EMAIL)


def _domain(domain: str) -> str:
    """Return the domain in letters: `xn--bcher-kva.example` is `bücher.example`; "" for one that cannot exist.

    UTS 46 keeps ß and ss apart, as registries do since 2010; Python's own codec takes them for the same.
    """
    if domain.isascii() and "xn--" not in domain:
        return domain
    try:
        mapped = idna.uts46_remap(domain, std3_rules=False, transitional=False)
    except idna.IDNAError:
        return ""
    return ".".join(_label(label) for label in mapped.split("."))


def _label(label: str) -> str:
    if not label.startswith("xn--"):
        return label
    try:
        letters = label.removeprefix("xn--").encode("ascii").decode("punycode")
        is_canonical = idna.uts46_remap(letters, std3_rules=False, transitional=False) == letters
        is_encoding = letters.encode("punycode").decode("ascii") == label.removeprefix("xn--")
    except (idna.IDNAError, ValueError):
        return label
    return letters if is_canonical and is_encoding and not letters.isascii() and "." not in letters else label


def _read_id(kind: str, text: str, region: str) -> tuple[Reading, ...]:
    visible_text = visible(unguarded(text))
    if not visible_text:
        return ()
    if kind == CLIENT or kind in CHANNELS:
        scheme, rest = split_scheme(visible_text)
        while scheme == kind:
            visible_text, (scheme, rest) = rest, split_scheme(rest)
        return (_client(visible_text),) if kind == CLIENT else tuple(_read_address(Address(kind, visible_text), region))
    if kind == SIP and split_scheme(visible_text)[0] in _SIP_SCHEMES:
        return tuple(_read_address(Address(*split_scheme(visible_text)), region))
    if _SCIENTIFIC.fullmatch(visible_text):
        return (Reading((), visible_text, _DAMAGED_ID),)
    return (_reading(kind, folded(visible_text), visible_text),)


def _reading(kind: str, value: str, written: str, *, is_self_declared: bool = False) -> Reading:
    identifier = _identifier(kind, value)
    identifiers = (identifier,) if identifier else ()
    return Reading(identifiers, written, "" if identifier else _NOT_AN_ID, is_self_declared=is_self_declared)


def _identifier(kind: str, value: str) -> Identifier | None:
    """Return the identifier; None if the value is empty, too long, or not storable."""
    if (
        not value
        or len(value) > MAX_IDENTIFIER_LENGTH
        or not 0 < len(kind) <= MAX_IDENTIFIER_KIND_LENGTH
        or not is_storable(value)
    ):
        return None
    return Identifier(kind, value)
