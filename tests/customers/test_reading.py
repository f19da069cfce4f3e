"""Each kind of input that real systems write, as tables and as properties of the kind."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote

import idna
import phonenumbers
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from enrich.customers.identifiers import ADDRESS, Identifier, Reading, normalise, read
from enrich.customers.phone_numbers import NumberRead, read_numbers

# Fictional numbers, or examples from libphonenumber's metadata.
NUMBERS = ["+14155550100", "+442079460100", "+3615550100", "+525555550100", "+493023125100", "+5511985550100"]
REGIONS = ["US", "GB", "HU", "MX", "DE", "BR", "IT", "JP"]


def values(text: str, region: str = "US", kind: str = ADDRESS) -> list[str]:
    return [one.value for one in normalise(kind, text, region)]


def the_reading(text: str, region: str = "US", kind: str = ADDRESS) -> Reading:
    (reading,) = read(kind, text, region)
    return reading


# --- tel: (RFC 3966)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("tel:5555550100;phone-context=+52", "+525555550100", id="country as context"),
        pytest.param("tel:5555550100;phone-context=%2B52", "+525555550100", id="context encoded"),
        pytest.param("TEL:5555550100;Phone-Context=+52", "+525555550100", id="in capitals"),
        pytest.param("tel:0171-3920055;phone-context=+49", "+491713920055", id="with trunk prefix"),
        pytest.param("tel:5555550100;isub=1411;phone-context=+52", "+525555550100", id="behind a subaddress"),
        pytest.param("<tel:5555550100;phone-context=+52>;party=calling", "+525555550100", id="in a header"),
        pytest.param("sip:5555550100;phone-context=+52@example.com", "+525555550100", id="in a SIP URI"),
        pytest.param("tel:+1(415)555-0100", "+14155550100", id="visual separators"),
        pytest.param("tel:+1.415.555.0100;npdi;rn=+14155550199", "+14155550100", id="number portability"),
        pytest.param("tel:+14155550100;phone-context=+52", "+14155550100", id="a global number has no context"),
    ],
)
def test_a_local_number_is_read_in_its_context(text: str, value: str) -> None:
    for kind in ("address", "phone"):
        reading = the_reading(text, kind=kind)
        assert (reading.identifiers, reading.problem) == ((Identifier("phone", value),), "")


@pytest.mark.parametrize("context", ["example.com", "pbx.example.com", "", "+", "52", "+1-914-555", "+999"])
def test_no_country_is_known_of_another_context(context: str) -> None:
    assert values(f"tel:5555550100;phone-context={context}") == []


def test_a_context_longer_than_a_country_code_is_no_prefix() -> None:
    reading = the_reading("tel:5550100;phone-context=+1-246")
    assert reading.identifiers == (Identifier("phone", "+12465550100"),)
    assert reading.problem


@given(st.sampled_from(NUMBERS), st.sampled_from(REGIONS))
def test_a_context_decides_whatever_the_region_is(number: str, region: str) -> None:
    code = f"+{phonenumbers.parse(number).country_code}"
    national = number.removeprefix(code)
    assert values(f"tel:{national};phone-context={code}", region) == [number]


# --- SIP and headers (RFC 3261)

PARAMETERS = st.lists(
    st.sampled_from(["npdi", "rn=+442079460199", "isup-oli=62", "cic=+1666", "verstat=TN-Validation-Passed", "tgrp=x"]),
    max_size=3,
).map(lambda parts: "".join(f";{part}" for part in parts))
TAIL = st.sampled_from(["", ";user=phone", ":5060;transport=udp;lr", "?subject=hello&to=x", ";user=phone?a=b"])
HEADER = st.sampled_from(["", ";tag=1a2b", ";party=calling;screen=yes;privacy=off", ';x="a;b,c>d"', " ; tag = 7"])
NAME = st.sampled_from(["", '"London" ', "London ", '"A, \\"B\\" <x@example.com>" ', '"Größe" ', "O'Brien, Ada "])
HOST = st.sampled_from(["198.51.100.7", "example.com", "[2001:db8::9:1]"])


@given(st.sampled_from(NUMBERS), st.sampled_from(["sip", "sips", "SIP"]), PARAMETERS, HOST, TAIL, NAME, HEADER)
def test_parameters_of_a_sip_uri_change_nothing(
    number: str, scheme: str, parameters: str, host: str, tail: str, name: str, header: str
) -> None:
    plain = the_reading(f"sip:{number}@{host}")
    assert plain.is_self_declared
    uri = f"{scheme}:{number}{parameters}@{host}{tail}"
    assert (values(uri), values(f"{name}<{uri}>{header}")) == ([number], [number])
    assert the_reading(f"{name}<{uri}>{header}").is_self_declared
    assert values(f"{name}<tel:{number}{parameters}>{header}") == [number]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param(
            "sip:alice;day=tuesday@example.com", ["alice;day=tuesday@example.com"], id="a user with a semicolon"
        ),
        pytest.param("sip:alice:secret@example.com", ["alice@example.com"], id="a password"),
        pytest.param("sip:1001@[2001:db8::9:1]:5060", ["1001@[2001:db8::9:1]"], id="an IPv6 address"),
        pytest.param("sip:a@b@example.com", [], id="two at signs"),
        pytest.param("sip:example.com", [], id="a host alone"),
        pytest.param("<sip:+14155550100@example.com", [], id="a bracket that is not closed"),
        pytest.param('"<sip:+14155550199@x.example>" <tel:+14155550100>', ["+14155550100"], id="an address for a name"),
        pytest.param(
            '"Ada" <sip:ada@example.com>, <tel:+14155550100>',
            ["ada@example.com", "+14155550100"],
            id="P-Asserted-Identity",
        ),
    ],
)
def test_a_uri_is_read_by_its_grammar(text: str, found: list[str]) -> None:
    assert values(text) == found


# --- channels


@given(
    st.sampled_from(NUMBERS), st.sampled_from(["whatsapp", "sms", "mms", "rcs", "WhatsApp"]), st.sampled_from(REGIONS)
)
def test_behind_a_channel_digits_are_international_in_every_region(number: str, channel: str, region: str) -> None:
    digits = number.removeprefix("+")
    for written in (number, digits, f" {digits}", f"00{digits}", f"%2B{digits}", f"{digits[:2]} {digits[2:]}"):
        for kind in ("address", "phone", "email"):
            assert values(f"{channel}:{written}", region, kind) == [number]


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("whatsapp:US.1349120865530274", "whatsapp", "us.1349120865530274"),
        ("WhatsApp: US.13491208655302741918", "whatsapp", "us.13491208655302741918"),
        ("whatsapp:IN.aB3dE6", "whatsapp", "in.ab3de6"),
        ("whatsapp:US.ENT.11815799212886844830", "whatsapp", "us.ent.11815799212886844830"),
        ("US.1349120865530274", "whatsapp", "us.1349120865530274"),
        ("messenger:2782093025461110", "messenger", "2782093025461110"),
        ("instagram:17841400008460056", "instagram", "17841400008460056"),
        ("telegram:123456789", "telegram", "123456789"),
        ("viber:01234567890A=", "viber", "01234567890a="),
        ("viber:+14155550100", "phone", "+14155550100"),
    ],
)
def test_a_user_of_a_channel_is_found_by_the_id_that_the_channel_gives(text: str, kind: str, value: str) -> None:
    assert normalise(ADDRESS, text, "US") == (Identifier(kind, value),)
    assert normalise(kind, text, "US") == (Identifier(kind, value),)
    assert normalise(kind, value, "US") == (Identifier(kind, value),)


@pytest.mark.parametrize(
    "text", ["gbm:a1b2c3", "whatsapp:ada", "whatsapp:4155550100", "customer_id:C-1", "urn:mbid:AQA"]
)
def test_an_address_of_unknown_form_gives_nothing(text: str) -> None:
    reading = the_reading(text)
    assert reading.identifiers == ()
    assert reading.problem
    assert not reading.is_withheld


# --- percent-encoding


@given(st.sampled_from(NUMBERS), st.sampled_from(["", "tel:", "whatsapp:", "sms:"]))
def test_an_encoded_address_is_decoded_once(number: str, scheme: str) -> None:
    encoded = quote(number, safe="")
    assert values(f"{scheme}{encoded}") == [number]
    assert values(f"sip:{encoded}@example.com") == [number]
    assert values(f"{scheme}{quote(encoded, safe='')}") == []


# --- withheld callers and dummies


@pytest.mark.parametrize(
    "text",
    [
        *("0000000000", "+10000000000", "000", "00000", "+49 0000000", "415-000-0000", "+0000000000"),
        *("1111111111", "+19999999999", "(555) 555-5555", "22222222"),
        *("1234567890", "+1 123 456 7890", "123456789", "0123456789", "987-654-3210", "+49 1234567890"),
        *("whatsapp:0000000000", "tel:+10000000000", "sip:0000000000@example.com", "<tel:0000000000>;party=calling"),
        *("+266696687", "7378742833", "whatsapp:+86282452253", "sip:+266696687@example.com", "0 266 696 687"),
        *(
            "No Caller ID",
            "Unavailable",
            "RESTRICTED",
            "Out of Area",
            "Number withheld",
            "Unknown Caller",
            "P.A. Private"[5:],
        ),
        *("Unterdrückt", "unterdrückt", "Private Nummer", "Numéro privé", "Número oculto", "Numero privato", "非通知"),
        *("Скрытый номер", "رقم خاص", "알 수 없음", "Privénummer", "Onbekend"),
        *("sip:anonymous@anonymous.invalid", "sip:anonymous.invalid", "sip:unavailable@unknown.invalid"),
        *("sip:restricted@example.com", '"Anonymous" <sip:anonymous@anonymous.invalid>;tag=1a2b', "<tel:anonymous>"),
        *("<sip:+14155550100@example.com>;party=calling;privacy=full", "<sip:+14155550100@anonymous.invalid>"),
        *("anonymous@anonymous.invalid", "client:Anonymous", "Anonymous <anonymous@anonymous.invalid>"),
    ],
)
@pytest.mark.parametrize("region", ["US", "DE"])
def test_a_withheld_number_identifies_nobody(text: str, region: str) -> None:
    readings = read(ADDRESS, text, region)
    assert [reading.identifiers for reading in readings] == [()]
    assert readings[0].is_withheld


@given(
    st.integers(0, 9),
    st.integers(7, 12),
    st.sampled_from(["", "+1", "+49", "+44", "0", "whatsapp:", "whatsapp:+1", "tel:", "00"]),
    st.sampled_from(REGIONS),
)
def test_one_digit_repeated_is_no_number(digit: int, length: int, prefix: str, region: str) -> None:
    assert values(f"{prefix}{str(digit) * length}", region) == []


@pytest.mark.parametrize(
    "text", ["+14155550100", "+12345550100", "+13335550100", "+18005550100", "Ada", "private@example.com"]
)
def test_a_number_that_only_looks_odd_is_not_withheld(text: str) -> None:
    assert not the_reading(text).is_withheld


# --- extensions, and several values


@pytest.mark.parametrize(
    "text",
    [
        *(
            "415-555-0120 x12",
            "415-555-0120 ext. 12",
            "415-555-0120, x12",
            "415-555-0120; ext 12",
            "415-555-0120 / x12",
        ),
        *(
            "+14155550120;ext=12",
            "tel:+1-415-555-0120;ext=12",
            "415-555-0120,12",
            "+14155550120,,12#",
            "+14155550120;12",
        ),
    ],
)
def test_a_few_digits_are_an_extension(text: str) -> None:
    assert values(text) == ["+14155550120;ext=12", "+14155550120"]


@given(
    st.lists(
        st.sampled_from(["+14155550110", "(+1) 415-555-0111", "+1 415.555.0112", "whatsapp:+14155550113"]), min_size=2
    ),
    st.sampled_from([";", "; ", ",", ", ", "/", " / ", "\n", "\r\n", " or ", " OR ", "|", " and ", " oder ", "；"]),
    st.sampled_from(["address", "phone"]),
)
def test_several_numbers_in_one_value_are_all_read(numbers: list[str], separator: str, kind: str) -> None:
    alone = [values(number)[0] for number in numbers]
    assert [one.value for reading in read(kind, separator.join(numbers), "US") for one in reading.identifiers] == alone


@pytest.mark.parametrize(
    ("text", "region", "found"),
    [
        ("030/23125100", "DE", ["+493023125100"]),
        ("415-555-0110; (415) 555-0111", "US", ["+14155550110", "+14155550111"]),
        ("+49/30/23125100", "DE", ["+493023125100"]),
        ("030/23125100, 0171/3920055", "DE", ["+493023125100", "+491713920055"]),
        ("+1 415 555 0100 x12; +1 415 555 0101 ext 13", "US", ["+14155550100;ext=12", "+14155550101;ext=13"]),
        ("ada@example.com; Bob <bob@example.com>", "US", ["ada@example.com", "bob@example.com"]),
        ("ada@example.com bob@example.com", "US", ["ada@example.com", "bob@example.com"]),
        ("+14155550100, ada@example.com", "US", ["+14155550100", "ada@example.com"]),
        ("a/b@example.com", "US", ["a/b@example.com"]),
        ("ada@example.com, Bob <bob@example.com>", "US", ["ada@example.com", "bob@example.com"]),
    ],
)
def test_values_are_separated_where_one_ends(text: str, region: str, found: list[str]) -> None:
    assert [reading.identifiers[0].value for reading in read(ADDRESS, text, region)] == found
    assert not any(reading.problem for reading in read(ADDRESS, text, region))


@pytest.mark.parametrize(("text", "region"), [("(415) 555-0100 / 555-0101", "US"), ("030 2312510/11", "DE")])
def test_a_second_number_that_is_cut_short_is_a_problem(text: str, region: str) -> None:
    assert any(reading.problem for reading in read(ADDRESS, text, region))


# --- digits without plus


@pytest.mark.parametrize(
    ("text", "region", "value"),
    [
        ("4930 23125 100", "DE", "+493023125100"),
        ("49 171 3920055", "DE", "+491713920055"),
        ("49(0)171 3920055", "DE", "+491713920055"),
        ("44 20 7946 0100", "GB", "+442079460100"),
        ("33 1 55 55 01 00", "FR", "+33155550100"),
        ("39 06 1234568", "IT", "+39061234568"),
        ("55 11 98555 0100", "BR", "+5511985550100"),
        ("55 98555 0100", "BR", "+5555985550100"),
        ("61 2 5550 0100", "AU", "+61255500100"),
        ("1 415 555 0100", "US", "+14155550100"),
        ("1 555 0100", "HU", "+3615550100"),
        ("9 555 0100", "NZ", "+6495550100"),
        ("3 555 0100", "IL", "+97235550100"),
        ("2 555 01 00", "BE", "+3225550100"),
        ("8 555 010 00", "SE", "+46855501000"),
        ("40 5550100", "FI", "+358405550100"),
        ("52 1 55 5555 0100", "MX", "+525555550100"),
        ("54 9 11 5555 0100", "AR", "+541155550100"),
        ("55 31 8555 0100", "BR", "+5531985550100"),
        ("393 555 0100", "IT", "+393935550100"),
        ("555-555-0100", "US", "+15555550100"),
        ("415 555 0100", "US", "+14155550100"),
        ("171 3920055", "DE", "+491713920055"),
        ("30 23125100", "DE", "+493023125100"),
        ("493023125100.0", "DE", "+493023125100"),
        ("4155550100.00", "US", "+14155550100"),
        ("4155550100,0", "US", "+14155550100"),
        ("+493023125100.0", "DE", "+493023125100"),
    ],
)
def test_digits_with_one_meaning_are_that_number(text: str, region: str, value: str) -> None:
    assert the_reading(text, region) == Reading((Identifier("phone", value),), the_reading(text, region).written)


@pytest.mark.parametrize(
    ("text", "region", "word"),
    [
        pytest.param("49 221 555010", "DE", "can be", id="a country code, or an area code"),
        pytest.param("442079460100", "DE", "can be", id="another country's code"),
        pytest.param("98555-0100", "BR", "area code", id="a mobile without area code"),
        pytest.param("+55 98555-0100", "BR", "area code", id="behind a country code"),
        pytest.param("4555-0100", "BR", "area code", id="a landline without area code"),
        pytest.param("5555 0100", "AU", "area code", id="possible as another type"),
        pytest.param("23125100", "DE", "area code", id="valid in another town"),
        pytest.param("555 010 00", "SE", "area code", id="valid in another town of Sweden"),
        pytest.param("5550 0100", "MY", "area code", id="valid without its trunk prefix"),
        pytest.param("555 01 00", "PL", "area code", id="of the length of another type"),
        pytest.param("555 0100", "IE", "area code", id="short of the longest"),
    ],
)
def test_digits_with_two_meanings_are_a_problem(text: str, region: str, word: str) -> None:
    assert word in the_reading(text, region).problem


@pytest.mark.parametrize(
    ("text", "region"),
    [
        *(
            ("4.93023E+11", "DE"),
            ("4,93E+11", "DE"),
            ("4.155550E9", "US"),
            ("0301234567.0", "DE"),
            ("14155550100+", "US"),
        ),
        *(
            ("555-0100", "US"),
            ("7946 0100", "GB"),
            ("55 55 01 00", "FR"),
            ("442079460100", "US"),
            ("+1 415 555 010", "US"),
        ),
        *(("+0171 3920055", "DE"), ("911", "US"), ("12345", "US"), ("+1 415 555 01000", "US")),
    ],
)
def test_damaged_and_impossible_digits_give_nothing(text: str, region: str) -> None:
    reading = the_reading(text, region)
    assert reading.identifiers == ()
    assert "write" in reading.problem


SEPARATORS = st.sampled_from(
    ["", " ", "-", ".", "\u00a0", "\u2009", "\u202f", "\u2011", "\u2013", "\u2212", "·", "\u200b", "/"]
)
DIGITS = st.sampled_from(["0123456789", "０１２３４５６７８９", "٠١٢٣٤٥٦٧٨٩", "۰۱۲۳۴۵۶۷۸۹", "०१२३४५६७८९"])


@given(st.sampled_from(NUMBERS), SEPARATORS, DIGITS, st.sampled_from(["+", "＋"]), st.sampled_from(REGIONS))
def test_separators_and_digits_of_other_scripts_change_nothing(
    number: str, separator: str, digits: str, plus: str, region: str
) -> None:
    groups = [number[1:3], number[3:6], number[6:9], number[9:]] if separator != "/" else [number[1:4], number[4:]]
    written = separator.join(groups).translate(str.maketrans("0123456789", digits))
    assert values(f"{plus}{written}", region) == [number]


@pytest.mark.parametrize("text", ["0123456789" * 25, "tel:" + "x12" * 80, "+1415555" + "0123" * 50])
def test_digits_without_end_are_no_number(text: str) -> None:
    assert values(text) == []


# --- ids


@pytest.mark.parametrize("text", ['="007"', "'007", '= "007"', " '007 ", "007"])
def test_a_guard_against_spreadsheets_is_no_part_of_an_id(text: str) -> None:
    assert values(text, kind="account_number") == ["007"]


@pytest.mark.parametrize("text", ["'s-Gravenhage", "O'Brien", "=007", '="007'])
def test_other_quotation_marks_stay(text: str) -> None:
    assert values(text, kind="account_number") == [text.casefold()]


@pytest.mark.parametrize("text", ['"+49 30 23125100"', "'+49 30 23125100", '="+49 30 23125100"'])
def test_a_guarded_number_is_a_number(text: str) -> None:
    assert values(text.strip('"') if text.startswith('"') else text, kind="phone") == ["+493023125100"]


@pytest.mark.parametrize("text", ["4.93023E+11", "4,9E+11", "5E+11"])
def test_an_id_that_a_spreadsheet_cut_off_gives_nothing(text: str) -> None:
    assert the_reading(text, kind="account_number").problem


# --- e-mail

DOMAINS = [
    "bücher.example",
    "münchen.example",
    "straße.example",
    "例え.example",
    "пример.example",
    "mail.bücher.example",
]


@given(st.sampled_from(DOMAINS), st.sampled_from(["", "mailto:", "Zoe <"]), st.booleans())
def test_a_domain_is_one_in_letters_and_encoded(domain: str, form: str, is_upper: bool) -> None:
    encoded = idna.encode(domain).decode()
    spellings = [domain, encoded, encoded.upper()] if is_upper else [domain, encoded]
    for spelling in spellings:
        assert values(f"{form}zoe@{spelling}{'>' if form.endswith('<') else ''}") == [f"zoe@{domain}"]
        assert values(f"zoe@{spelling}", kind="email") == [f"zoe@{domain}"]


@pytest.mark.parametrize(
    ("one", "other"), [("ada@straße.example", "ada@strasse.example"), ("strauß@x.example", "strauss@x.example")]
)
def test_two_mailboxes_stay_two(one: str, other: str) -> None:
    assert values(one) != values(other)


@pytest.mark.parametrize(
    "text",
    [
        *("London Example <london@example.com>", '"Example, London" <london@example.com>', "<london@example.com>"),
        *("london@example.com", "LONDON@EXAMPLE.COM", "mailto:london@example.com?subject=hi", "london%40example.com"),
    ],
)
@pytest.mark.parametrize("kind", ["address", "email", "phone"])
def test_every_attribute_reads_an_email_address_in_every_form(text: str, kind: str) -> None:
    assert normalise(kind, text, "US") == (Identifier("email", "london@example.com"),)


# --- Numbers that need no search and no parser

EXAMPLES = [
    (str(number.country_code), phonenumbers.national_significant_number(number))
    for region in sorted(phonenumbers.SUPPORTED_REGIONS)
    if (number := phonenumbers.example_number(region)) is not None
]


@pytest.mark.parametrize("prefix", ["", "0", "1", "8", "9", "15", "044", "00"])
def test_a_plain_number_of_every_country_is_read_as_with_another_separator(prefix: str) -> None:
    """A dot is no part of the plain form, so that libphonenumber reads that spelling."""
    for code, national in EXAMPLES:
        for digits in (code + prefix + national, (code + prefix + national)[: len(code + national)]):
            assert unwritten(f"+{digits}") == unwritten(f"+{digits[0]}.{digits[1:]}"), digits


@given(
    st.tuples(st.sampled_from(EXAMPLES).map(lambda one: one[0]), st.text("0123456789", max_size=14)).map("".join),
    st.sampled_from(REGIONS),
    st.lists(st.sampled_from(["", "", "", " ", "-", " (", ") "]), min_size=20, max_size=20),
)
@example("12222222222", "US", [""] * 20)
@example("2105550100", "US", [""] * 20)
@example("551185550100", "US", [""] * 20)
def test_a_plain_number_is_read_as_with_another_separator(digits: str, region: str, between: list[str]) -> None:
    plain = "".join(separator + digit for separator, digit in zip(["", *between], digits, strict=False))
    assert unwritten(f"+{plain}", region) == unwritten(f"+{digits[0]}.{digits[1:]}", region)


def unwritten(text: str, region: str = "US") -> list[NumberRead]:
    """Return the numbers of this text, without how they are written."""
    return [replace(one, written="") for one in read_numbers(text, region)]


@given(st.text("+1459 ()-", max_size=20), st.sampled_from(["", "whatsapp:"]), st.sampled_from(REGIONS))
@example("+1 415 555 0100", "", "US")
def test_a_plain_number_is_read_as_among_spaces(text: str, scheme: str, region: str) -> None:
    """With a space before it, all forms of addresses are tried."""
    assert read("address", scheme + text, region) == read("address", f" {scheme}{text}", region)


def test_brackets_without_end_take_no_time() -> None:
    assert values("+1" + "(" * 100_000) == []
