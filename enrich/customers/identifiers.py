"""As written -> normal form: what makes two spellings of a number, an address or an account the same identifier.

Pure rules over text. A normal form is for comparing, not for dialling or for showing: what somebody wrote is kept
beside it (`as_written` in tables.py). Stored identifiers and look-up keys pass through the same functions, so a rule
that is changed here takes effect with the next `flask crm seed`, which writes the normal forms anew.

One thing written can mean several identifiers, the most exact first: a number with an extension is that extension, and
the switchboard in front of it. `matching.choose` asks the exact one first and lets the others count only if it found
nobody.

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

from enrich.domain.lengths import MAX_IDENTIFIER_KIND_LENGTH, MAX_IDENTIFIER_LENGTH, MAX_WORD_LENGTH

PHONE = "phone"
EMAIL = "email"
CLIENT = "client"  # a Twilio Client (Voice SDK) identity
SIP = "sip"  # user@host, where the user is not a phone number
CUSTOMER_ID = "customer_id"  # the CRM's own id; every customer is found by it
STAFF = "staff"  # no identifier: a task's SID, where staff have said whose the task is
ADDRESS = "address"  # no kind of identifier: "find out from the text" (the attributes `from`, `caller`, ...)

# The source of an identifier: the CRM's file, or a change made by staff.
FROM_CRM = "crm"
FROM_STAFF = "staff"

MAX_WORDS = 12  # of a name and company, for searching

# `name:` in front of an address. A URI scheme (RFC 3986, 3.1); two letters at least, so that `C:17` stays an account.
_PREFIX = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.\-]{1,31}):(?!//)\s*(.*)\Z", re.DOTALL)
_PHONE_PREFIXES = frozenset({"whatsapp", "sms", "mms", "rcs", "tel"})
_SIP_PREFIXES = frozenset({"sip", "sips"})
# Channels with ids of their own. A closed list: whoever chooses an address must not be able to choose its kind, too, or
# `customer_id:C-1001` as a chat name would be an identification.
_CHANNEL_PREFIXES = frozenset(
    {"messenger", "instagram", "viber", "line", "telegram", "wechat", "kakao", "twitter", "slack", "discord"}
)
_DISPLAY_NAME = re.compile(r"[^<>]*<([^<>]+)>\s*\Z")  # `Ada <ada@example.com>`: the part that is an address

# Facts, section 16: what carriers send instead of a number; the last three are our addition.
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
# ... and the words of section 16 spelt on a keypad: +266696687 is ANONYMOUS, and would be a number of Lesotho.
# What handsets and carriers put behind such a word: "Unknown Caller", "Restricted Number".
_CALLER_WORDS = ("callerid", "caller", "number", "call")
_WITHHELD_NUMBERS = frozenset(
    word.translate(_KEYPAD) for word in ("anonymous", "restricted", "unavailable", "unknown", "private", "blocked")
)

_INTERNATIONAL = "00"  # the prefix that the ITU recommends (E.164); people write it whatever their own country dials
# The only letters in a phone number: the words before an extension that libphonenumber reads. Others would be read as
# keypad letters (1-800-FLOWERS) or skipped ("my number is ..."), and a sender's name must not turn into a number.
_EXTENSION_WORDS = frozenset({"ext", "extn", "extension", "extensión", "x", "int", "anexo", "доб"})
_LETTERS = re.compile(r"[^\W\d_]+")

_EMAIL = re.compile(r"""[^\s@<>()\[\]\\,;:"|]{1,64}@(?:[^\W_](?:[\w-]*[^\W_])?\.)+[^\W_][\w-]*[^\W_]\Z""")

# Spellings of one subscriber that libphonenumber keeps apart. Each takes a national number to the form we compare.
#
# Mexico: since August 2019 numbers are ten digits everywhere; the 1 after +52 and the domestic 01, 044 and 045 are
#   gone, but WhatsApp and old address books still have them (google/libphonenumber pull request 2693 on its FAQ).
# Argentina: the 9 after +54 says only how to dial a mobile from abroad (15 at home, which libphonenumber reads). The
#   ten digits behind it are given out once: nobody else has them without the 9 (same, review of pull request 1719).
# Brazil: by November 2016 every eight-digit mobile number had got a 9 in front; WhatsApp still reports many without.
#   Those began with 6 to 9, landlines with 2 to 5 (ANATEL's plan). A leading 7 is left alone: trunked radio kept
#   eight digits there.
#
# Left out, because the two spellings can be two subscribers or the rule cannot be told from the digits: seven-digit
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


# A voice task holds the caller twice (`from`, `caller`) and asks again when a worker is reserved. Reading a number
# takes over 100 microseconds, finding it here about one.
@lru_cache(maxsize=1024)
def normalise(kind: str, text: str, region: str) -> tuple[Identifier, ...]:
    """The identifiers that `text` means as one of `kind`, the most exact first; empty if it cannot be one.

    kind: `address` (find out which), `phone`, `email`, `client`, `sip`, or any kind of the customers' `ids`, such as
    account_number. Those compare without regard to case, width and spacing ("a-17 " is "A-17"), as a clerk would;
    client identities keep their case, since Twilio's do. region: of national phone numbers, such as "US".
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
    """What the address of a caller, sender or recipient means, the most exact first; empty for a mere name.

    `whatsapp:`, `sms:`, `mms:`, `rcs:` and `tel:` stand before phone numbers; `sip:` before user@host, which is a phone
    number if the user is one; `client:` before a Twilio identity; `mailto:` before an e-mail address. Channels with
    ids of their own (`messenger:`, `instagram:`, ...) become the kind; a prefix that we do not know gives nothing. All
    in any case. Without prefix: an e-mail address if it has that shape, else a phone number.
    Source: https://www.twilio.com/docs/messaging/channels, facts section 10.
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
    """The number as E.164, preceded by `+14155550100;ext=12` (RFC 3966) if it has an extension; empty if it is none.

    The number need only be possible (libphonenumber's word: the length is right), with its area code; the fictional
    555-01xx are. National forms are read in `region`; `00` is read everywhere, and what the region dials (`011`) there.
    Short codes, letters other than those of an extension, and too many digits give nothing.
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
    """The address in lower case, or None if it does not look like one or is longer than 254 characters.

    Both parts are folded: RFC 5321 would let a host tell `Ada@` from `ada@`, and no host of any size does.
    Sub-addresses (`ada+shop@`) and dots stay, since only some hosts ignore them.
    """
    value = _folded(text)
    return _identifier(EMAIL, value) if _EMAIL.match(value) else None


def customer_id_identifier(customer_id: str) -> Identifier | None:
    """What a customer is found by when a task carries the CRM's own id. Whoever creates a customer stores this, too."""
    return _identifier(CUSTOMER_ID, _folded(customer_id))


def is_withheld(text: str) -> bool:
    """Whether a caller hides behind this: empty, a word such as "Anonymous", or that word on a keypad (+266696687).

    To be asked before parsing: some of the keypad numbers are possible numbers of a real country. With or without
    channel prefix and `+`, in any case; `sip:anonymous@anonymous.invalid` (RFC 3323) is one, too.
    Source: facts, section 16.
    """
    prefix, rest = _split_prefix(_bare_address(text))
    is_sip = prefix in _SIP_PREFIXES or rest.casefold().endswith("@anonymous.invalid")
    name = plain_word(rest.partition("@")[0] if is_sip else rest)
    word = next((name.removesuffix(word) for word in _CALLER_WORDS if name.endswith(word)), name)
    return name in _WITHHELD_WORDS or word in _WITHHELD_WORDS or name.lstrip("0") in _WITHHELD_NUMBERS or not rest


def is_told_by_the_caller(text: str) -> bool:
    """Whether this address is what the other side says of itself: a SIP user, whom no carrier vouches for."""
    return _split_prefix(_bare_address(text))[0] in _SIP_PREFIXES


def plain_word(text: str) -> str:
    """Its letters and digits alone, folded: "Web-Chat", "web_chat" and "ｗｅｂ chat" are one word."""
    return "".join(filter(str.isalnum, _folded(text)))


def words_of(*texts: str) -> tuple[str, ...]:
    """The words of these texts, folded, each once, in their order; at most twelve, none longer than 40 characters.

    What a person is searched by: "Dr. Ada Lovelace-King" gives dr, ada, lovelace, king.
    """
    found = re.findall(r"\w+", _folded(" ".join(texts)))
    return tuple(dict.fromkeys(word[:MAX_WORD_LENGTH] for word in found if is_storable(word)))[:MAX_WORDS]


def _one(identifier: Identifier | None) -> tuple[Identifier, ...]:
    return () if identifier is None else (identifier,)


def _identifier(kind: str, value: str) -> Identifier | None:
    """None where the value is empty, too long, or nothing that a database can hold (NUL, lone surrogates)."""
    if (
        not value
        or len(value) > MAX_IDENTIFIER_LENGTH
        or not 0 < len(kind) <= MAX_IDENTIFIER_KIND_LENGTH
        or not is_storable(value)
    ):
        return None
    return Identifier(kind, value)


def is_storable(text: str) -> bool:
    """Whether SQLite and PostgreSQL can both hold it: neither lone surrogates (JSON allows them) nor NUL."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def _visible(text: str) -> str:
    """The same text in NFKC, without what cannot be seen (direction marks, zero-width spaces, BOM) and outer spaces.

    Copied phone numbers often sit between U+202A and U+202C, or have a no-break space inside.
    """
    if text.isascii():  # nothing of it is invisible, and all of it is its own NFKC
        return " ".join(text.split())
    shown = "".join(character for character in text if unicodedata.category(character) != "Cf")
    return " ".join(unicodedata.normalize("NFKC", shown).split())


def _folded(text: str) -> str:
    """For comparing without regard to case: Unicode's NFKC case folding (chapter 3.13, D146), spaces collapsed."""
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
    """("whatsapp", "+1 ...") of "WhatsApp: +1 ..."; ("", text) where there is no prefix."""
    match = _PREFIX.match(text)
    return (match[1].lower(), match[2].strip()) if match else ("", text)


def _without_parameters(uri: str) -> str:
    """A sip or tel URI without what follows the address; an extension is part of it (RFC 3966, 5.3)."""
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
    """The identity, and how it reads with `_40` taken for `@`: Flex writes it that way, others mean the digits."""
    identity = _visible(unquote(text))
    decoded = re.sub(r"_(2[0-9A-F]|3[A-F]|40|5[B-F]|60|7[B-E])", lambda found: chr(int(found[1], 16)), identity)
    found = (_identifier(CLIENT, value) for value in dict.fromkeys((identity, _visible(decoded))))
    return tuple(identifier for identifier in found if identifier is not None)


def _possible_number(text: str, region: str) -> PhoneNumber | None:
    """The number in the first reading that makes sense, or None. `00` is `+` unless the region dials it itself."""
    dialled = _parsed(text, region)
    if not text.startswith(_INTERNATIONAL):
        return dialled
    if dialled and dialled.country_code_source == CountryCodeSource.FROM_NUMBER_WITH_IDD:
        return dialled
    return _parsed("+" + text.removeprefix(_INTERNATIONAL), region) or dialled


def _parsed(text: str, region: str) -> PhoneNumber | None:
    try:
        number = phonenumbers.parse(text, region, keep_raw_input=True)
    except phonenumbers.NumberParseException:
        return None
    _set_national_digits(number, _one_spelling(number))
    possible = phonenumbers.is_possible_number_with_reason(number)
    # IS_POSSIBLE_LOCAL_ONLY, without area code, is somebody else's number in every other town.
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
