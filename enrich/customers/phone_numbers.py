"""Phone numbers as people, switches and spreadsheets write them, read as E.164. Pure.

Numbering facts are libphonenumber's (https://github.com/google/libphonenumber), through `phonenumbers`. A number is
read if it is possible: of a length that the country has; the fictional 555-01xx are. If the text can mean another
number as well, the reading has a `problem`, and nobody may be identified by it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import unquote

import phonenumbers
from phonenumbers import CountryCodeSource, PhoneMetadata, PhoneNumber, ValidationResult

from enrich.customers.addresses import parameters_of
from enrich.customers.spelling import ascii_digits, visible
from enrich.customers.withheld import is_dummy, is_keypad_word
from enrich.domain.lengths import MAX_IDENTIFIER_LENGTH

_INTERNATIONAL = "00"  # recommended by the ITU (E.164); written in all countries, whatever they dial
# The only letters allowed in a phone number: libphonenumber's words before an extension. It would read others as keypad
# letters (1-800-FLOWERS) or skip them ("my number is ..."), and a sender's name must not become a number.
_EXTENSION_WORDS = frozenset({"ext", "extn", "extension", "extensión", "x", "int", "anexo", "доб"})
_LETTERS = re.compile(r"[^\W\d_]+")
_BEGINS_WITH_EXTENSION = re.compile(r"(?:ext(?:n|ensi[oó]n)?|x|int|anexo|доб|#)[\s.:#]*\d", re.IGNORECASE)
# Dots between digits that libphonenumber does not know as punctuation.
_DOTS = str.maketrans(dict.fromkeys("·•∙‧・⋅", "."))

# A second number has at least so many digits; fewer are an extension, or a number's own second half.
_MIN_DIGITS = 6
_MIN_DIGITS_AFTER_SLASH = 7
# Prefix, number and extension; on 250 digits libphonenumber works for 14 ms.
_MAX_DIGITS = 50
_MAX_LOCAL_LENGTH = 8  # of the digits behind an area code

# What spreadsheets and data frames make of a column of numbers.
_DECIMAL = re.compile(r"\+?[0-9]{6,}[.,]0+")
_SCIENTIFIC = re.compile(r"[0-9](?:[.,][0-9]+)?E\+?[0-9]{1,3}", re.IGNORECASE)

NOT_A_NUMBER = "not a possible phone number; write it with + and country code"
WITHHELD = "stands for a number that is withheld or not known; leave it out"
_DAMAGED = "a spreadsheet cut off its digits; write the whole number, with + and country code"
_DECIMAL_TAIL = "ends in a decimal fraction; write the number with + and country code"
_TWO_READINGS = "can be {} or {}; write it with + and country code"
_NO_AREA_CODE = "may lack its area code; write it with + and country code"
_FOREIGN_CONTEXT = "a local number, whose country is not known; write it with + and country code"
_MANY = "more than one number, the second cut short; write each in full"

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
class NumberRead:
    """One number of a text.

    written: its part of the text. value: E.164, or "" if it cannot be read. extension: digits, or "".
    problem: why it cannot be read, or what else it can mean, with what to do; "" for a certain number.
    is_withheld: it stands for a number that nobody knows.
    """

    written: str
    value: str = ""
    extension: str = ""
    problem: str = ""
    is_withheld: bool = False


def read_numbers(text: str, region: str, *, is_international: bool = False, is_uri: bool = False) -> list[NumberRead]:
    """Return the numbers in this text, one without a value for each part that is no number; at least one.

    region: of national numbers. is_international: digits without `+` begin with a country code, as in a channel's
    address. is_uri: what stands behind `tel:`, whose unknown parameters are ignored.
    """
    if len(text) <= MAX_IDENTIFIER_LENGTH and is_plain_international(text):
        return [_number(text, region, "", text)]
    visible_text = ascii_digits(visible(text)).translate(_DOTS)
    if len(visible_text) > MAX_IDENTIFIER_LENGTH:
        return [NumberRead(text, problem=NOT_A_NUMBER)]
    if _SCIENTIFIC.fullmatch(visible_text):
        return [NumberRead(text, problem=_DAMAGED)]
    if _DECIMAL.fullmatch(visible_text):
        if visible_text.startswith("0"):
            return [NumberRead(text, problem=_DECIMAL_TAIL)]
        visible_text = re.split(r"[.,]", visible_text)[0]
    first, *others = _split_numbers(visible_text, is_uri=is_uri)
    numbers = [_read_one(first, region, is_international=is_international)]
    for other in others:
        # What follows a channel's address without `+` may be national or not.
        is_unclear = is_international and "+" not in unquote(other.text)
        numbers.append(NumberRead(other.text, problem=NOT_A_NUMBER) if is_unclear else _read_one(other, region))
    return numbers


def is_plain_international(text: str) -> bool:
    """Return whether the text is one number, with `+` and no more than single spaces, hyphens and brackets.

    It holds no other address, parameter or extension, so that nothing has to be searched for in it.
    """
    return _PLAIN_INTERNATIONAL.fullmatch(text) is not None


_PLAIN_INTERNATIONAL = re.compile(r"\+[1-9](?:[()-]*+ ?+[()-]*+[0-9])++")


def read_user(user: str, parameters: Mapping[str, str], region: str) -> NumberRead:
    """Return the number that the user of a SIP URI is, with its parameters (RFC 3261, 19.1.6)."""
    return _read_one(_Written(ascii_digits(visible(user)), dict(parameters)), region)


@dataclass(slots=True)
class _Written:
    """A number and its parameters. is_cut: a slash and a few more digits follow: the end of a second number."""

    text: str
    parameters: dict[str, str]
    is_cut: bool = False


def _split_numbers(text: str, *, is_uri: bool) -> Iterator[_Written]:
    """Yield the numbers that `;`, `,` and `/` separate, with their parameters.

    `x12` and up to five digits are the extension of the number before them.
    """
    current: list[_Written] = [_Written("", {})]
    for part in filter(None, map(str.strip, re.split(r"[;,]", text))):
        digits = len(_digits(part))
        last = current[-1]
        if "=" in part or (is_uri and last.text and not digits):
            last.parameters |= parameters_of([part])
        elif last.text and _BEGINS_WITH_EXTENSION.match(part):
            last.text += f" {part}"
        elif last.text and digits < _MIN_DIGITS and part.strip("# ").isdigit():
            last.parameters["ext"] = part.strip("# ")
        else:
            yield from (one for one in current if one.text)
            current = _split_at_slashes(part)
    yield from current


def _split_at_slashes(text: str) -> list[_Written]:
    """Return the numbers that slashes separate; `030/1234567` is one number, and so is `1234567/x12`."""
    first, *parts = map(str.strip, text.split("/"))
    numbers = [_Written(first, {})]
    for part in parts:
        last, digits = numbers[-1], len(_digits(part))
        if len(_digits(last.text)) < _MIN_DIGITS_AFTER_SLASH:
            last.text += f"/{part}"
        elif _BEGINS_WITH_EXTENSION.match(part):
            last.text += f" {part}"
        elif digits < _MIN_DIGITS_AFTER_SLASH:
            last.is_cut = True
        else:
            numbers.append(_Written(part, {}))
    return numbers


def _read_one(written: _Written, region: str, *, is_international: bool = False) -> NumberRead:
    text = unquote(written.text).strip() if "%" in written.text else written.text
    if not all(word in _EXTENSION_WORDS for word in _LETTERS.findall(text.casefold())) or "+" in text.lstrip(" (+"):
        return NumberRead(written.text, problem=NOT_A_NUMBER)
    if written.is_cut:
        return NumberRead(written.text, problem=_MANY)
    extension = written.parameters.get("ext", "")
    whole = f"{written.text};ext={extension}" if extension else written.text
    context = written.parameters.get("phone-context")
    if context is not None and not text.startswith("+"):
        return _in_context(text, ascii_digits(context), extension, whole)
    if is_international and "+" not in text:
        text = f"+{text.lstrip('( ').removeprefix(_INTERNATIONAL)}"
    return _number(text, region, extension, whole)


def _in_context(text: str, context: str, extension: str, written: str) -> NumberRead:
    """Return a local number in its phone-context (RFC 3966, 5.1.5); of a domain nothing is known.

    A context longer than a country code is no prefix that may simply be put in front, so the result is in doubt.
    """
    digits = re.sub(r"[-.() ]", "", context)
    if not re.fullmatch(r"\+[0-9]{1,15}", digits):
        return NumberRead(written, problem=_FOREIGN_CONTEXT)
    code = next((int(digits[1:end]) for end in (2, 3, 4) if int(digits[1:end]) in _CODES), 0)
    if digits == f"+{code}":
        read = _number(text, phonenumbers.region_code_for_country_code(code), extension, written)
        return read if read.value.startswith(digits) or not read.value else NumberRead(written, problem=NOT_A_NUMBER)
    read = _number(digits + text, "", extension, written)
    return NumberRead(written, read.value, read.extension, read.problem or _NO_AREA_CODE, read.is_withheld)


_CODES = phonenumbers.COUNTRY_CODE_TO_REGION_CODE


def _number(text: str, region: str, extension: str, written: str) -> NumberRead:
    """Return this one number."""
    digits = _digits(text)
    # Some words on a keypad are possible numbers of a real country.
    is_withheld = is_dummy(digits) or is_keypad_word(digits)
    if not is_withheld and not extension and (national := _plain_national_digits(text, digits)):
        is_withheld = is_dummy(national)
        if not is_withheld:
            return NumberRead(written, f"+{digits}")
    is_too_long = len(digits) > _MAX_DIGITS
    number = None if is_withheld or is_too_long else _possible_number(text, region)
    if is_withheld or (number is not None and is_dummy(_national_digits(number))):
        return NumberRead(written, problem=WITHHELD, is_withheld=True)
    if number is None:
        return NumberRead(written, problem=NOT_A_NUMBER)
    within, extension = number.extension or "", _digits(extension)
    value, problem = _value(number, digits.removesuffix(within), region)
    if (within and extension) or len(within or extension) > _MIN_DIGITS:
        return NumberRead(written, value, problem=_MANY)
    return NumberRead(written, value, within or extension, problem)


def _digits(text: str) -> str:
    return "".join(filter(str.isdigit, text))


# libphonenumber takes 20 microseconds for such a number, and this 2: a tenth of the validation of a file of customers
# with two numbers each, most of which have `+`.
def _plain_national_digits(text: str, digits: str) -> str:
    """Return the national digits of a number with `+` and country code that can only be read as it stands; else "".

    For libphonenumber, such a number has a length that is always possible, and no trunk prefix to be taken away.
    digits: all of the text.
    """
    if not is_plain_international(text):
        return ""
    # No country code is the beginning of another one.
    code = next((int(digits[:end]) for end in (1, 2, 3) if int(digits[:end]) in _CODES), 0)
    national = digits.removeprefix(str(code))
    trunk_prefix, lengths = _international_plan(code)
    return national if len(national) in lengths and not (trunk_prefix and trunk_prefix.match(national)) else ""


@cache
def _international_plan(country_code: int) -> tuple[re.Pattern[str] | None, frozenset[int]]:
    """Return what may be taken from a country's national digits, and the lengths that are possible without doubt.

    No lengths for a code that is no country's, and for those whose numbers have several spellings.
    """
    region = phonenumbers.region_code_for_country_code(country_code)
    metadata = PhoneMetadata.metadata_for_region_or_calling_code(country_code, region)
    if metadata is None or metadata.general_desc is None or country_code in _SAME_SUBSCRIBER:
        return None, frozenset()
    prefix = metadata.national_prefix_for_parsing
    lengths = frozenset(metadata.general_desc.possible_length) & _subscriber_lengths(country_code)
    return (re.compile(prefix) if prefix else None), lengths


def _value(number: PhoneNumber, digits: str, region: str) -> tuple[str, str]:
    """Return the number as E.164, and what speaks against it, "" if nothing does.

    digits: all digits of the text, without an extension.
    """
    national = _national_digits(number)
    value = f"+{number.country_code}{national}"
    # Possible only as a number of another type, such as 0800: a local number without its area code.
    if len(national) not in _subscriber_lengths(number.country_code) and not phonenumbers.is_valid_number(number):
        return value, _NO_AREA_CODE
    if number.country_code_source != CountryCodeSource.FROM_DEFAULT_COUNTRY or len(digits) > len(national):
        return value, ""  # with country code, international or trunk prefix
    other = _parsed(f"+{digits}", region)
    if other is not None and phonenumbers.is_valid_number(other):
        other_value = f"+{other.country_code}{_national_digits(other)}"
        two_readings = _TWO_READINGS.format(other_value, value)
        is_own = other.country_code == number.country_code
        # Germany's patterns allow fifteen digits, its numbers have eleven at most, as the longest mobile ones.
        if is_own and len(national) > max(_mobile_lengths(region), default=0):
            return other_value, ""
        # In a plan of many lengths almost every number is valid, so that it says nothing.
        if is_own or _is_open_plan(region):
            return other_value, two_readings
        if not phonenumbers.is_valid_number(number):
            return value, two_readings
    return value, _NO_AREA_CODE if _may_be_local(number, region) else ""


def _may_be_local(number: PhoneNumber, region: str) -> bool:
    """Return whether digits without country code and trunk prefix can be a local number, whose area code is missing.

    They may be valid all the same, as a number in another town.
    """
    length = len(_national_digits(number))
    if length in _local_lengths(region):
        return True
    is_short = length < max(_subscriber_lengths(number.country_code))
    return is_short and not phonenumbers.is_valid_number(number)


@cache
def _mobile_lengths(region: str) -> tuple[int, ...]:
    metadata = _metadata(region)
    return tuple(metadata.mobile.possible_length) if metadata else ()


@cache
def _local_lengths(region: str) -> frozenset[int]:
    """Return the lengths of local numbers, without area code.

    Where area codes have several lengths and a trunk prefix, as in Germany and Sweden, libphonenumber knows none: a
    whole number can be as long as a local one in a larger town, which has a longer whole number.
    """
    metadata = _metadata(region)
    if metadata is None:
        return frozenset()
    lengths = frozenset(metadata.fixed_line.possible_length)
    is_open = bool(metadata.national_prefix)
    open_plan = {one for one in lengths if is_open and one <= _MAX_LOCAL_LENGTH and lengths & {one + 1, one + 2}}
    return frozenset(metadata.fixed_line.possible_length_local_only) | open_plan


@cache
def _is_open_plan(region: str) -> bool:
    """Return whether landline numbers have many lengths, and are written with a trunk prefix, as in Germany."""
    metadata = _metadata(region)
    return metadata is not None and bool(metadata.national_prefix) and len(metadata.fixed_line.possible_length) > 4


@cache
def _metadata(region: str) -> Any:
    return PhoneMetadata.metadata_for_region(region, None)


@cache
def _subscriber_lengths(country_code: int) -> frozenset[int]:
    """Return the lengths of a country's landline and mobile numbers; every length for a code that is no country's."""
    region = phonenumbers.region_code_for_country_code(country_code)
    metadata = _metadata(region)
    if metadata is None:
        return frozenset(range(20))
    types = (metadata.fixed_line, metadata.mobile)
    return frozenset(length for one in types if one is not None for length in one.possible_length)


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
