import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enrich.customers.identifiers import (
    ADDRESS,
    Identifier,
    normalise,
    read,
)
from enrich.customers.spelling import is_storable
from enrich.domain.lengths import MAX_IDENTIFIER_LENGTH


def phones(text: str, region: str = "US") -> list[str]:
    return [identifier.value for identifier in normalise("phone", text, region)]


def address(text: str, region: str = "US") -> list[tuple[str, str]]:
    return [(identifier.kind, identifier.value) for identifier in normalise(ADDRESS, text, region)]


def is_withheld(text: str) -> bool:
    return any(reading.is_withheld for reading in read(ADDRESS, text, "US"))


@pytest.mark.parametrize(
    ("text", "region", "value"),
    [
        pytest.param("+14155550100", "US", "+14155550100", id="E.164"),
        pytest.param("+1 (415) 555-0100", "US", "+14155550100", id="punctuated"),
        pytest.param("415.555.0100", "US", "+14155550100", id="national"),
        pytest.param("14155550100", "US", "+14155550100", id="national with country code"),
        pytest.param("020 7946 0100", "GB", "+442079460100", id="national with trunk zero"),
        pytest.param("+49 (0) 30 123456", "US", "+4930123456", id="trunk zero in brackets"),
        pytest.param("+39 06 1234567", "US", "+39061234567", id="Italian leading zero stays"),
        pytest.param("0044 20 7946 0100", "GB", "+442079460100", id="00 where it is dialled"),
        pytest.param("0044 20 7946 0100", "US", "+442079460100", id="00 where it is not dialled"),
        pytest.param("00 500 12345", "US", "+50012345", id="00 before a short number"),
        pytest.param("011 44 20 7946 0100", "US", "+442079460100", id="011 in North America"),
        pytest.param("001 49 30 123456", "KR", "+4930123456", id="001 is a Korean prefix, not North America"),
        pytest.param("\u202a+1\u00a0415\u00a0555\u00a00100\u202c", "US", "+14155550100", id="copied, with marks"),
        pytest.param("+1\u200b415\u200b5550100", "US", "+14155550100", id="zero-width spaces"),
        pytest.param("＋１ ４１５ ５５５ ０１００", "US", "+14155550100", id="full width"),
        pytest.param("+١٤١٥٥٥٥٠١٠٠", "US", "+14155550100", id="Arabic digits"),
        pytest.param("+52 1 55 5555 0100", "US", "+525555550100", id="Mexico, mobile 1"),
        pytest.param("+52 55 5555 0100", "US", "+525555550100", id="Mexico"),
        pytest.param("044 55 5555 0100", "MX", "+525555550100", id="Mexico, 044"),
        pytest.param("+54 9 11 5555 0100", "US", "+541155550100", id="Argentina, mobile 9"),
        pytest.param("011 15 5555 0100", "AR", "+541155550100", id="Argentina, 15"),
        pytest.param("+54 11 5555 0100", "US", "+541155550100", id="Argentina"),
        pytest.param("+55 31 8555 0100", "US", "+5531985550100", id="Brazil, mobile before the ninth digit"),
        pytest.param("+55 31 98555 0100", "US", "+5531985550100", id="Brazil, mobile"),
        pytest.param("+55 31 3555 0100", "US", "+553135550100", id="Brazil, landline"),
        pytest.param("+55 11 7855 0100", "US", "+551178550100", id="Brazil, trunked radio"),
    ],
)
def test_spellings_of_one_number_have_one_normal_form(text: str, region: str, value: str) -> None:
    assert phones(text, region) == [value]


@pytest.mark.parametrize(
    "text",
    ["+1 415 555 0100 ext. 12", "415-555-0100 x12", "+14155550100;ext=12", "(415) 555-0100 #12", "+14155550100,,12#"],
)
def test_an_extension_comes_before_its_switchboard(text: str) -> None:
    assert phones(text) == ["+14155550100;ext=12", "+14155550100"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "+",
        "911",
        "55512",
        "555-0100",
        "1-800-FLOWERS",
        "my number is 415 555 0100",
        "call+14155550100",
        "2" * 30,
        "+" + "9" * 300,
        "+14155550100 ext",
        "\ud800",
        "😀",
    ],
)
def test_what_is_no_number_of_one_subscriber_gives_nothing(text: str) -> None:
    assert phones(text) == []


def test_a_national_number_needs_a_region() -> None:
    assert phones("415 555 0100", "ZZ") == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (" Ada@Example.COM ", "ada@example.com"),
        ("ada+shop@example.com", "ada+shop@example.com"),
        ("ADA@EXAMPLE.CO.UK", "ada@example.co.uk"),
        ("müller@bücher.example", "müller@bücher.example"),
        ("ａｄａ@example.com", "ada@example.com"),
    ],
)
def test_an_email_address_is_trimmed_and_folded(text: str, value: str) -> None:
    assert normalise("email", text, "US") == (Identifier("email", value),)


@pytest.mark.parametrize(
    "text",
    ["", "@", "ada", "ada@example", "ada@@example.com", "a b@example.com", "ada@-.com", f"ada@{'x' * 250}.com"],
)
def test_what_does_not_look_like_an_email_address_is_none(text: str) -> None:
    assert normalise("email", text, "US") == ()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("+14155550100", [("phone", "+14155550100")]),
        ("WhatsApp:+14155550100", [("phone", "+14155550100")]),
        ("whatsapp:+5215555550100", [("phone", "+525555550100")]),
        ("sms: +1 415 555 0100", [("phone", "+14155550100")]),
        ("tel:+1-415-555-0100;phone-context=+1", [("phone", "+14155550100")]),
        ("tel:+14155550100;ext=12", [("phone", "+14155550100;ext=12"), ("phone", "+14155550100")]),
        ("sip:+14155550100@example.com:5060;transport=udp", [("phone", "+14155550100")]),
        ("SIP:Alice@Example.com", [("sip", "alice@example.com")]),
        ("sip:1001@pbx.example.com", [("sip", "1001@pbx.example.com")]),
        ("sip:alice", []),
        ("client:Alice", [("client", "Alice")]),
        ("client:al%20ice", [("client", "al ice")]),
        (
            "client:alice_40example_2Ecom",
            [("client", "alice_40example_2Ecom"), ("client", "alice@example.com")],
        ),
        ("client:agent_17", [("client", "agent_17")]),
        ("messenger:123456", [("messenger", "123456")]),
        ("Ada@example.com", [("email", "ada@example.com")]),
        ("mailto:ada@example.com?subject=hi", [("email", "ada@example.com")]),
        ("Ada Lovelace <ada@example.com>", [("email", "ada@example.com")]),
        ("Ada Lovelace", []),
        ("whatsapp:", []),
        ("", []),
    ],
)
def test_an_address_says_what_kind_it_is(text: str, found: list[tuple[str, str]]) -> None:
    assert address(text) == found


@pytest.mark.parametrize("text", ["customer_id:C-1001", "account_number:A-17", "email:ada@example.com", "x-y:1"])
def test_an_address_cannot_choose_to_be_an_id(text: str) -> None:
    assert address(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "Anonymous",
        "ANONYMOUS",
        "restricted",
        "unavailable",
        "Unknown",
        "private",
        "Blocked",
        "No Caller ID",
        "+266696687",
        "266696687",
        "+7378742833",
        "+2562533",
        "+8656696",
        "+86282452253",
        "whatsapp:+266696687",
        "client:Anonymous",
        "sip:anonymous@anonymous.invalid",
        "sip:+266696687@example.com",
        "\u202a+266696687\u202c",
    ],
)
def test_a_caller_can_hide_in_many_spellings(text: str) -> None:
    assert is_withheld(text)


@pytest.mark.parametrize("text", ["+14155550100", "Ada", "unknown@example.com", "+1266696687", "client:alice", "0"])
def test_who_says_something_does_not_hide(text: str) -> None:
    assert not is_withheld(text)


@pytest.mark.parametrize("text", ["A-17", " a-17 ", "Ａ-17", "a\u200b-17"])
def test_ids_compare_as_a_clerk_would(text: str) -> None:
    assert normalise("account_number", text, "US") == (Identifier("account_number", "a-17"),)


@pytest.mark.parametrize("text", ["", " ", "\0", "a\ud800", "x" * 255, "ﷺ" * 20])
def test_an_id_that_could_not_be_stored_gives_nothing(text: str) -> None:
    assert normalise("account_number", text, "US") == ()


@settings(deadline=None)
@given(
    kind=st.sampled_from([ADDRESS, "phone", "email", "client", "sip", "account_number"]),
    text=st.text() | st.from_regex(r"(sip:|tel:|whatsapp:|00|\+)?[0-9 ()\-+;x=@.]{0,20}", fullmatch=True),
    region=st.sampled_from(["US", "DE", "MX", "AR", "BR", "IT", "KR"]),
)
def test_a_normal_form_is_its_own_normal_form(kind: str, text: str, region: str) -> None:
    """And whatever the text is, nothing raises, and a database can hold what comes out."""
    for identifier in normalise(kind, text, region):
        assert 0 < len(identifier.value) <= MAX_IDENTIFIER_LENGTH
        assert is_storable(identifier.value)
        assert normalise(identifier.kind, identifier.value, region)[0] == identifier


@settings(deadline=None)
@given(st.text())
def test_asking_whether_a_caller_hides_never_raises(text: str) -> None:
    assert isinstance(is_withheld(text), bool)


@pytest.mark.parametrize(
    "text",
    [
        "Unknown Caller",
        "ANONYMOUS CALLER",
        "Restricted Number",
        "Private Caller",
        "private call",
        "Unknown Caller ID",
        "anonymous@anonymous.invalid",
        "0086282452253",
    ],
)
def test_more_ways_of_hiding(text: str) -> None:
    assert is_withheld(text)


@pytest.mark.parametrize("text", ["Calla Lily", "numbers@example.com", "+14155550100", "caller", "number"])
def test_these_do_not_hide(text: str) -> None:
    assert not is_withheld(text)
