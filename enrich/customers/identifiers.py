"""Normalisation of identifiers: different spellings of a number, address or account get one normal form.

Pure rules over text. A normal form is for comparing, not for dialling or display: the original is kept beside it
(`as_written` in tables.py). Stored identifiers and look-up keys pass through the same functions, so a changed rule
takes effect with the next `flask crm seed`, which rewrites the normal forms.

One text can give several identifiers, the most exact first: a number with an extension is that extension, and its
switchboard. `matching.choose` uses the others only if the most exact one finds no customer.

Numbering facts are libphonenumber's (https://github.com/google/libphonenumber), through `phonenumbers`.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

import phonenumbers
from phonenumbers import CountryCodeSource, PhoneNumber, ValidationResult

from enrich.customers.accents import without_accents
from enrich.domain.lengths import MAX_IDENTIFIER_KIND_LENGTH, MAX_IDENTIFIER_LENGTH, MAX_WORD_LENGTH

PHONE = "phone"
EMAIL = "email"
CLIENT = "client"  # a Twilio Client (Voice SDK) identity
SIP = "sip"  # user@host, where the user is not a phone number
CUSTOMER_ID = "customer_id"  # the CRM's own id; every customer is found by it
STAFF = "staff"  # not an identifier: the SID of a task that staff assigned to a customer
ADDRESS = "address"  # not a kind of identifier: determined from the text (attributes `from`, `caller`, ...)

# The source of an identifier: the CRM's file, or a change made by staff.
FROM_CRM = "crm"
FROM_STAFF = "staff"

MAX_WORDS = 12  # indexed per customer

# `name:` before an address: a URI scheme (RFC 3986, 3.1) of at least two letters, so that `C:17` is an account.
_PREFIX = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.\-]{1,31}):(?!//)\s*(.*)\Z", re.DOTALL)
_PHONE_PREFIXES = frozenset({"whatsapp", "sms", "mms", "rcs", "tel"})
_SIP_PREFIXES = frozenset({"sip", "sips"})
# Channels with ids of their own. A closed list: otherwise a visitor could choose the kind, and the chat name
# `customer_id:C-1001` would identify a customer.
_CHANNEL_PREFIXES = frozenset(
    {"messenger", "instagram", "viber", "line", "telegram", "wechat", "kakao", "twitter", "slack", "discord"}
)
_DISPLAY_NAME = re.compile(r"[^<>]*<([^<>]+)>\s*\Z")  # the address in `Ada <ada@example.com>`

# Sent by carriers instead of a number (docs/taskrouter.md, "Withheld callers"); the last three are our addition.
_WITHHELD_WORDS = frozenset(
    {
        "anonymous",
        "restricted",
        "unavailable",
        "unknown",
        "private",
        "blocked",
        "withheld",
        "privatenumber",
        "nocallerid",
    }
)
_KEYPAD = str.maketrans("abcdefghijklmnopqrstuvwxyz", "22233344455566677778889999")
# Suffixes that handsets and carriers add: "Unknown Caller", "Restricted Number".
_CALLER_WORDS = ("callerid", "caller", "number", "call")
# The same words on a keypad: +266696687 is ANONYMOUS, and would be a number of Lesotho.
_WITHHELD_NUMBERS = frozenset(
    word.translate(_KEYPAD) for word in ("anonymous", "restricted", "unavailable", "unknown", "private", "blocked")
)

_INTERNATIONAL = "00"  # recommended by the ITU (E.164); written in all countries, whatever they dial
# The only letters allowed in a phone number: libphonenumber's words before an extension. It would read others as keypad
# letters (1-800-FLOWERS) or skip them ("my number is ..."), and a sender's name must not become a number.
_EXTENSION_WORDS = frozenset({"ext", "extn", "extension", "extensión", "x", "int", "anexo", "доб"})
_LETTERS = re.compile(r"[^\W\d_]+")

_EMAIL = re.compile(r"""[^\s@<>()\[\]\\,;:"|]{1,64}@(?:[^\W_](?:[\w-]*[^\W_])?\.)+[^\W_][\w-]*[^\W_]\Z""")

# Spellings of one subscriber that libphonenumber treats as different, each with the replacement to the form compared.
#
# Mexico: since August 2019 numbers are ten digits everywhere; the 1 after +52 and the domestic 01, 044 and 045 are
#   obsolete, but WhatsApp and old address books still use them (google/libphonenumber pull request 2693 on its FAQ).
# Argentina: the 9 after +54 is only for dialling a mobile from abroad (15 at home, which libphonenumber reads). The ten
#   digits after it are assigned once: no other subscriber has them without the 9 (same, review of pull request 1719).
# Brazil: by November 2016 every eight-digit mobile number was prefixed with a 9; WhatsApp still reports many without.
#   Mobiles began with 6 to 9, landlines with 2 to 5 (ANATEL's plan). A leading 7 is unchanged: trunked radio kept
#   eight digits.
#
# Excluded, because the spellings can be two subscribers or the digits do not show the rule: seven-digit
# numbers without area code (North America), a missing leading zero (Italy), old lengths (Ivory Coast, Benin).
_SAME_SUBSCRIBER: dict[int, tuple[re.Pattern[str], str]] = {
    52: (re.compile(r"\A(?:1|01|044|045)([2-9]\d{9})\Z"), r"\1"),
    54: (re.compile(r"\A9([123]\d{9})\Z"), r"\1"),
    55: (re.compile(r"\A([1-9]\d)([689]\d{7})\Z"), r"\g<1>9\2"),
}


@dataclass(frozen=True, slots=True)
class Identifier:
    """One normal form. kind: at most 40 characters; value: at most 254, never empty."""

    kind: str
    value: str


# A voice task has the caller twice (`from`, `caller`), and is looked up again when a worker is reserved. Parsing a
# number takes over 100 microseconds, a cache hit about one.
@lru_cache(maxsize=1024)
def normalise(kind: str, text: str, region: str) -> tuple[Identifier, ...]:
    """Return the identifiers of this kind in `text`, the most exact first; empty if there is none.

    kind: `address` (determined from the text), `phone`, `email`, `client`, `sip`, or any kind of the customers' `ids`,
    such as account_number. Case, width and spacing do not matter ("a-17 " is "A-17"), except the case of client
    identities, which Twilio distinguishes. region: of national phone numbers, such as "US".
    """
    if kind == ADDRESS:
        return address_identifiers(text, region)
    if kind == PHONE:
        return phone_identifiers(text, region)
    if kind == EMAIL:
        return _one(email_identifier(text))
    if kind == CLIENT:
        return _client_identifiers(text)
    return _one(_identifier(kind, _folded(text)))


def address_identifiers(text: str, region: str) -> tuple[Identifier, ...]:
    """Return the identifiers in the address of a caller, sender or recipient, the most exact first; empty for a name.

    Prefixes, in any case: `whatsapp:`, `sms:`, `mms:`, `rcs:` and `tel:` for phone numbers; `sip:` for user@host, which
    is a phone number if the user is one; `client:` for a Twilio identity; `mailto:` for an e-mail address. A channel
    with ids of its own (`messenger:`, `instagram:`, ...) becomes the kind; an unknown prefix gives nothing. Without
    prefix: an e-mail address if it has that form, else a phone number.
    Source: https://www.twilio.com/docs/messaging/channels, and docs/taskrouter.md, "Flex and channel conventions".
    """
    text = _bare_address(text)
    prefix, rest = _split_prefix(text)
    if prefix in _PHONE_PREFIXES:
        return phone_identifiers(_without_parameters(rest), region)
    if prefix in _SIP_PREFIXES:
        return _sip_identifiers(rest, region)
    if prefix == CLIENT:
        return _client_identifiers(rest)
    if prefix == "mailto":
        return _one(email_identifier(rest.partition("?")[0]))
    if prefix in _CHANNEL_PREFIXES:
        return _one(_identifier(prefix, _folded(rest)))
    if prefix:
        return ()
    return _one(email_identifier(text)) or phone_identifiers(text, region)


def phone_identifiers(text: str, region: str) -> tuple[Identifier, ...]:
    """Return the number as E.164, after `+14155550100;ext=12` (RFC 3966) if it has an extension; empty if not a number.

    The number must be possible (libphonenumber's term: of a valid length), with area code; the fictional 555-01xx are.
    National forms are read in `region`, with its international prefix (`011`) or `00`. Short codes, letters other than
    those of an extension, and too many digits give nothing.
    """
    text = _visible(text)
    if len(text) > MAX_IDENTIFIER_LENGTH or not all(
        word in _EXTENSION_WORDS for word in _LETTERS.findall(text.casefold())
    ):
        return ()
    number = _possible_number(text, region)
    if number is None:
        return ()
    base = f"+{number.country_code}{_national_digits(number)}"
    exact = f"{base};ext={number.extension}" if number.extension else base
    return tuple(Identifier(PHONE, value) for value in dict.fromkeys((exact, base)))


def email_identifier(text: str) -> Identifier | None:
    """Return the address in lower case; None if it does not have the form of one or is longer than 254 characters.

    Both parts are case-folded: RFC 5321 allows a host to distinguish `Ada@` from `ada@`, but no host of any size does.
    Sub-addresses (`ada+shop@`) and dots stay, since only some hosts ignore them.
    """
    value = _folded(text)
    return _identifier(EMAIL, value) if _EMAIL.match(value) else None


def customer_id_identifier(customer_id: str) -> Identifier | None:
    """Return the identifier for the CRM's own id, which is stored with every customer."""
    return _identifier(CUSTOMER_ID, _folded(customer_id))


def is_withheld(text: str) -> bool:
    """Return True for a withheld number: empty, a word such as "Anonymous", or that word on a keypad (+266696687).

    Check this before parsing: some keypad numbers are possible numbers of a real country. With or without channel
    prefix and `+`, in any case; includes `sip:anonymous@anonymous.invalid` (RFC 3323). Source: docs/taskrouter.md,
    "Withheld callers".
    """
    prefix, rest = _split_prefix(_bare_address(text))
    is_sip = prefix in _SIP_PREFIXES or rest.casefold().endswith("@anonymous.invalid")
    name = plain_word(rest.partition("@")[0] if is_sip else rest)
    word = next((name.removesuffix(word) for word in _CALLER_WORDS if name.endswith(word)), name)
    return name in _WITHHELD_WORDS or word in _WITHHELD_WORDS or name.lstrip("0") in _WITHHELD_NUMBERS or not rest


def is_self_declared(text: str) -> bool:
    """Return True for a SIP address: the caller sets it, and no carrier verifies it."""
    return _split_prefix(_bare_address(text))[0] in _SIP_PREFIXES


def plain_word(text: str) -> str:
    """Return the text's letters and digits, case-folded: "Web-Chat", "web_chat" and "ｗｅｂ chat" are equal."""
    return "".join(filter(str.isalnum, _folded(text)))


def words_of(*texts: str) -> tuple[str, ...]:
    """Return the distinct words of these texts for searching, case-folded and without accents, in order.

    At most twelve of at most 40 characters: "Dr. José Lovelace-King" gives dr, jose, lovelace, king.
    """
    found = re.findall(r"\w+", without_accents(_folded(" ".join(texts))))
    return tuple(dict.fromkeys(word[:MAX_WORD_LENGTH] for word in found if is_storable(word)))[:MAX_WORDS]


def _one(identifier: Identifier | None) -> tuple[Identifier, ...]:
    return () if identifier is None else (identifier,)


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


def is_storable(text: str) -> bool:
    """Return False for text that PostgreSQL cannot store: with lone surrogates, which JSON allows, or NUL."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def _visible(text: str) -> str:
    """Return the text in NFKC, without invisible characters (direction marks, zero-width spaces, BOM) and outer spaces.

    Copied phone numbers are often enclosed in U+202A and U+202C, or contain a no-break space.
    """
    if text.isascii():  # has no invisible characters, and NFKC does not change it
        return " ".join(text.split())
    shown = "".join(character for character in text if unicodedata.category(character) != "Cf")
    return " ".join(unicodedata.normalize("NFKC", shown).split())


def _folded(text: str) -> str:
    """Return Unicode's NFKC case folding of the text (chapter 3.13, D146), spaces collapsed."""
    text = _visible(text)
    if text.isascii():
        return text.casefold()
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFD", text).casefold()).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())


def _bare_address(text: str) -> str:
    text = _visible(text)
    named = _DISPLAY_NAME.match(text)
    return named[1].strip() if named else text


def _split_prefix(text: str) -> tuple[str, str]:
    """Return ("whatsapp", "+1 ...") for "WhatsApp: +1 ..."; ("", text) without a prefix."""
    match = _PREFIX.match(text)
    return (match[1].lower(), match[2].strip()) if match else ("", text)


def _without_parameters(uri: str) -> str:
    """Return a sip or tel URI without parameters, except an extension (RFC 3966, 5.3)."""
    address, *parameters = uri.partition("?")[0].split(";")
    extension = next((part for part in parameters if part.strip().lower().startswith("ext=")), "")
    return f"{address};{extension}" if extension else address


def _sip_identifiers(rest: str, region: str) -> tuple[Identifier, ...]:
    address = rest.partition("?")[0].split(";")[0]
    user, at, host = address.rpartition("@")
    if not at:
        return ()
    user, host = unquote(user.partition(":")[0]), host.partition(":")[0]  # without password and port
    return phone_identifiers(user, region) or _one(_identifier(SIP, _folded(f"{user}@{host}")))


def _client_identifiers(text: str) -> tuple[Identifier, ...]:
    """Return the identity, and its form with `_40` decoded to `@`: Flex encodes so, others mean the digits."""
    identity = _visible(unquote(text))
    decoded = re.sub(r"_(2[0-9A-F]|3[A-F]|40|5[B-F]|60|7[B-E])", lambda found: chr(int(found[1], 16)), identity)
    found = (_identifier(CLIENT, value) for value in dict.fromkeys((identity, _visible(decoded))))
    return tuple(identifier for identifier in found if identifier is not None)


def _possible_number(text: str, region: str) -> PhoneNumber | None:
    """Return the first possible interpretation, or None. `00` means `+` unless the region itself dials it."""
    as_dialled = _parsed(text, region)
    if not text.startswith(_INTERNATIONAL):
        return as_dialled
    if as_dialled and as_dialled.country_code_source == CountryCodeSource.FROM_NUMBER_WITH_IDD:
        return as_dialled
    return _parsed("+" + text.removeprefix(_INTERNATIONAL), region) or as_dialled


def _parsed(text: str, region: str) -> PhoneNumber | None:
    try:
        number = phonenumbers.parse(text, region, keep_raw_input=True)
    except phonenumbers.NumberParseException:
        return None
    _set_national_digits(number, _one_spelling(number))
    possible = phonenumbers.is_possible_number_with_reason(number)
    # IS_POSSIBLE_LOCAL_ONLY has no area code, so it is another subscriber's number elsewhere.
    return number if possible == ValidationResult.IS_POSSIBLE else None


def _one_spelling(number: PhoneNumber) -> str:
    digits = _national_digits(number)
    rule = _SAME_SUBSCRIBER.get(number.country_code or 0)
    return rule[0].sub(rule[1], digits) if rule else digits


def _national_digits(number: PhoneNumber) -> str:
    return str(phonenumbers.national_significant_number(number))


def _set_national_digits(number: PhoneNumber, digits: str) -> None:
    if digits != _national_digits(number):
        number.italian_leading_zero, number.number_of_leading_zeros = None, None
        number.national_number = int(digits)
