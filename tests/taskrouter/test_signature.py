"""Signatures: Twilio's published vectors, the official SDK as a second opinion, and hostile input."""

from __future__ import annotations

import hashlib
from urllib.parse import parse_qsl, quote, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator
from werkzeug.datastructures import MultiDict

from enrich.errors import InvalidSignature
from enrich.taskrouter.callbacks import read_form, split_form
from enrich.taskrouter.query_spellings import other_spellings
from enrich.taskrouter.signature import verify

TOKEN = "12345"
URL = "https://hooks.example.test/taskrouter/assignment"
SAFE = "!'()*"  # what `encodeURIComponent` leaves, besides letters, digits and -_.~
PAIRS = [(b"TaskSid", b"WT1"), (b"TaskAttributes", b"{}")]


def pairs(**form: str) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in form.items()]


def sign(url: str, form: list[tuple[bytes, bytes]]) -> str:
    fields = MultiDict((name.decode(), value.decode()) for name, value in form)
    return str(RequestValidator(TOKEN).compute_signature(url, fields))


@pytest.mark.parametrize(
    ("url", "form", "body", "signature"),
    [
        pytest.param(
            "https://example.com/myapp.php?foo=1&bar=2",
            pairs(
                Digits="1234",
                To="+18005551212",
                From="+14158675310",
                Caller="+14158675310",
                CallSid="CA1234567890ABCDE",
            ),
            b"",
            "L/OH5YylLD5NRKLltdqwSvS0BnU=",
            id="twilio-docs",
        ),
        pytest.param(
            URL,
            pairs(
                AccountSid="AC" + "0" * 32,
                ReservationSid="WR" + "1" * 32,
                TaskSid="WT" + "2" * 32,
                TaskAttributes='{"from":"+15550001111","q":"a b"}',
            ),
            b"",
            "St1ofagGxWvnmdR4m2q6onzuLNA=",
            id="assignment",
        ),
        pytest.param(
            URL + "?bodySHA256=015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862",
            [],
            b'{"a":1}',
            "sj1hgewoe7eBWrF5S5e7hnkRFbE=",
            id="json-body",
        ),
    ],
)
def test_known_vectors_are_good(url: str, form: list[tuple[bytes, bytes]], body: bytes, signature: str) -> None:
    verify(url, form, body, signature, [TOKEN])


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(st.lists(st.tuples(texts, texts), max_size=6))
def test_what_the_official_sdk_signs_is_good(form: list[tuple[str, str]]) -> None:
    encoded = [(name.encode(), value.encode()) for name, value in form]
    verify(URL, encoded, b"", sign(URL, encoded), [TOKEN])


@pytest.mark.parametrize("port", ["", ":443", ":8443"])
def test_the_port_may_be_signed_or_not(port: str) -> None:
    """Products differ in it; docs/taskrouter.md, "Signatures"."""
    configured = f"https://hooks.example.test{port}/taskrouter/assignment?a=%20b"
    for signed in (configured, configured.replace(port, "", 1) if port else configured.replace(".test", ".test:443")):
        verify(configured, PAIRS, b"", sign(signed, PAIRS), [TOKEN])


@pytest.mark.parametrize("signed", ["http://[2001:db8::1]/a", "http://[2001:db8::1]:80/a"])
def test_the_port_of_an_ipv6_address_may_be_signed_or_not(signed: str) -> None:
    for configured in ("http://[2001:db8::1]/a", "http://[2001:db8::1]:80/a"):
        verify(configured, PAIRS, b"", sign(signed, PAIRS), [TOKEN])


# Of the form as it is signed: names and values, one behind the other.
def form_of(length: int) -> list[tuple[bytes, bytes]]:
    return [(b"TaskAttributes", b"x" * (length - len("TaskAttributes")))]


@pytest.mark.parametrize(("length", "is_good"), [(65_536, True), (65_537, False)])
def test_spellings_are_tried_only_for_forms_that_callbacks_have(length: int, *, is_good: bool) -> None:
    """Every further spelling is computed for senders of wrong signatures, and they choose the length."""
    form = form_of(length)
    verify(f"{URL}?site=o'neil", form, b"", sign(f"{URL}?site=o'neil", form), [TOKEN])
    try:
        verify(f"{URL}?site=o%27neil", form, b"", sign(f"{URL}?site=o'neil", form), [TOKEN])
    except InvalidSignature:
        assert not is_good
    else:
        assert is_good


@pytest.mark.parametrize(("length", "is_explained"), [(16_384, True), (16_385, False)])
def test_a_refusal_of_a_long_form_is_not_explained(length: int, *, is_explained: bool) -> None:
    form = form_of(length)
    with pytest.raises(InvalidSignature) as refused:
        verify(f"{URL}?a=1", form, b"", sign(URL, form), [TOKEN])
    assert ("without a query" in str(refused.value)) is is_explained


def test_a_query_that_is_no_utf_8_is_refused_and_no_error() -> None:
    with pytest.raises(InvalidSignature, match="as it is configured at Twilio"):
        verify(f"{URL}?a=\udcff", PAIRS, b"", sign(URL + "?a=1", PAIRS), [TOKEN])


@pytest.mark.parametrize(
    ("configured", "arrives"),
    [
        pytest.param("site=o'neil", "site=o%27neil", id="apostrophe-escaped"),
        pytest.param("site=o%27neil", "site=o'neil", id="apostrophe-unescaped"),
        pytest.param("by=sip:desk@example.com", "by=sip%3Adesk%40example.com", id="colon-and-at-escaped"),
        pytest.param("by=sip%3Adesk%40example.com", "by=sip:desk@example.com", id="colon-and-at-unescaped"),
        pytest.param("by=sip:x@y&q=a%20b", "by=sip%3Ax%40y&q=a%20b", id="what-was-escaped-stays"),
        pytest.param("next=/a/b?c", "next=%2Fa%2Fb%3Fc", id="slashes"),
        pytest.param("q=a%2Fb'c", "q=a%2Fb%27c", id="only-the-apostrophe"),
        pytest.param("to=+14155550100", "to=%2B14155550100", id="plus-escaped"),
        pytest.param("to=%2B14155550100", "to=+14155550100", id="plus-unescaped"),
        pytest.param("q=a b", "q=a%20b", id="space-escaped"),
        pytest.param("q=a b", "q=a+b", id="space-as-plus"),
        pytest.param("q=a%20b", "q=a+b", id="escaped-space-as-plus"),
        pytest.param("q=a+b", "q=a%20b", id="plus-as-escaped-space"),
        pytest.param("site=café", "site=caf%C3%A9", id="utf-8-escaped"),
        pytest.param("site=caf%C3%A9", "site=café", id="utf-8-unescaped"),
        pytest.param("q=a%3ab", "q=a%3Ab", id="hex-in-small-letters"),
        pytest.param("q=a%3Ab", "q=a%3ab", id="hex-in-capitals"),
        pytest.param("filter={a|b}", "filter=%7Ba%7Cb%7D", id="braces"),
        pytest.param("filter[x]=1", "filter%5Bx%5D=1", id="brackets-in-a-name"),
        pytest.param("list=a,b;c", "list=a%2Cb%3Bc", id="comma-and-semicolon"),
        pytest.param("q=(a)*!~", "q=%28a%29%2A%21~", id="marks"),
        pytest.param("q=(a)*!~", "q=%28a%29*%21%7E", id="marks-as-a-form"),
        pytest.param("q=100%25", "q=100%", id="percent"),
        pytest.param("q=o%27neil", "q=o%2527neil", id="escaped-twice"),
        pytest.param("q=a=b", "q=a%3Db", id="equals-sign-in-a-value"),
        pytest.param("debug&site=o'neil", "debug&site=o%27neil", id="name-alone"),
        pytest.param("debug", "debug=", id="equals-sign-added"),
        pytest.param("debug=", "debug", id="equals-sign-left-out"),
        pytest.param("a=1&a=o'neil&b=", "a=1&a=o%27neil&b=", id="a-name-twice"),
    ],
)
@pytest.mark.parametrize("port", ["", ":443", ":8443"])
def test_the_query_may_be_escaped_in_another_way(configured: str, arrives: str, port: str) -> None:
    """With or without the port, as before."""
    for root in (f"https://hooks.example.test{port}/taskrouter/assignment", URL):
        signature = sign(f"{root}?{configured}", PAIRS)
        verify(f"https://hooks.example.test{port}/taskrouter/assignment?{arrives}", PAIRS, b"", signature, ["x", TOKEN])


@pytest.mark.parametrize(
    ("configured", "arrives"),
    [
        pytest.param("a=1&b=2", "a=1&b=3", id="another-value"),
        pytest.param("a=1&b=2", "b=2&a=1", id="another-order"),
        pytest.param("a=1&b=2", "a=1", id="one-is-missing"),
        pytest.param("a=1", "a=1&b=2", id="one-was-added"),
        pytest.param("a=1&b=2", "a=1%26b=2", id="two-made-one"),
        pytest.param("a=1%26b=2", "a=1&b=2", id="one-made-two"),
        pytest.param("a=b=c", "a%3Db=c", id="the-value-made-the-name"),
        pytest.param("a%3Db=c", "a=b=c", id="the-name-made-the-value"),
        pytest.param("a=1#x", "a=1%23x", id="fragment"),
        pytest.param("a=o'neil", "A=o%27neil", id="another-name"),
        pytest.param("a=o'neil", "a=O%27neil", id="another-case"),
    ],
)
def test_another_query_is_refused(configured: str, arrives: str) -> None:
    with pytest.raises(InvalidSignature):
        verify(f"{URL}?{arrives}", PAIRS, b"", sign(f"{URL}?{configured}", PAIRS), [TOKEN])


@pytest.mark.parametrize(
    ("configured", "arrives", "told"),
    [
        ("?b=2&a=1", "?a=1&b=2", "another order"),
        ("?d=4&b=2&a=o%27neil&c=3", "?a=o%27neil&b=2&c=3&d=4", "another order"),
        ("", "?a=1", "without a query"),
        ("?a=1", "?a=2", "as it is configured"),
    ],
)
def test_a_refusal_says_why_and_quotes_no_query(configured: str, arrives: str, told: str) -> None:
    with pytest.raises(InvalidSignature, match=told) as refused:
        verify(URL + arrives, PAIRS, b"", sign(URL + configured, PAIRS), [TOKEN])
    assert arrives[1:] not in str(refused.value)


def test_a_body_hash_is_found_however_the_query_is_escaped() -> None:
    """And it counts: the spelling changes what was signed, never what has to fit the body."""
    digest = hashlib.sha256(b'{"a":1}').hexdigest()
    signature = sign(f"{URL}?site=o'neil&bodySHA256={digest}", [])
    verify(f"{URL}?site=o%27neil&bodySHA256={digest}", [], b'{"a":1}', signature, [TOKEN])
    with pytest.raises(InvalidSignature):
        verify(f"{URL}?site=o%27neil&bodySHA256={digest}", [], b'{"a":2}', signature, [TOKEN])


queries = st.text(st.sampled_from("ab1&=?/:@'+%27 \"é漢!*()~,;#[]{}"), max_size=20).map(
    lambda text: text.replace("#", "%23")
)


@given(queries)
def test_what_twilio_node_accepts_is_good(query: str) -> None:
    """A query that was decoded and escaped as `encodeURIComponent` does: its `withLegacyQuerystring`."""
    pairs = parse_qsl(query, keep_blank_values=True)
    configured = "&".join(f"{quote(name, safe=SAFE)}={quote(value, safe=SAFE)}" for name, value in pairs)
    is_whole = len(pairs) == len(query.split("&")) and all("=" in part for part in query.split("&"))
    if is_whole:  # the rest it leaves out or completes
        verify(f"{URL}?{query}", PAIRS, b"", sign(f"{URL}?{configured}", PAIRS), [TOKEN])


@given(queries)
def test_the_spellings_of_a_query_have_its_parameters(query: str) -> None:
    count, names = query.count("&"), [part.partition("=")[0] for part in query.split("&")]
    for spelling in other_spellings(query):
        assert spelling.count("&") == count
        assert "#" not in spelling
        spelled = [part.partition("=")[0] for part in spelling.split("&")]
        assert [len(unquote_to_bytes(name)) for name in spelled] <= [len(name.encode()) for name in names]


def test_during_a_rotation_both_tokens_are_good() -> None:
    verify(URL, PAIRS, b"", sign(URL, PAIRS), ["another", TOKEN])


@pytest.mark.parametrize(
    ("signature", "told"),
    [
        (None, "the request has no X-Twilio-Signature"),
        ("", "the request has no X-Twilio-Signature"),
        ("x", "its X-Twilio-Signature is not a signature"),
        ("é" * 28, "its X-Twilio-Signature is not a signature"),
        ("\udcff", "its X-Twilio-Signature is not a signature"),
        ("St1ofagGxWvnmdR4m2q6onzuLNA=\n", "its X-Twilio-Signature is not a signature"),
        ("St1ofagGxWvnmdR4m2q6onzuLNA=", f"not signed with our token for {URL}"),
    ],
)
def test_a_missing_or_wrong_signature_is_refused(signature: str | None, told: str) -> None:
    with pytest.raises(InvalidSignature, match=f"^{told}$"):
        verify(URL, PAIRS, b"", signature, [TOKEN])


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param([(b"TaskSid", b"WT2"), (b"TaskAttributes", b"{}")], id="a-value"),
        pytest.param([*PAIRS, (b"More", b"")], id="an-empty-parameter-added"),
        pytest.param(PAIRS[:1], id="a-parameter-less"),
        pytest.param([(b"TaskSid", b"WT1"), (b"TaskAttributes", b"{} ")], id="trailing-space"),
    ],
)
def test_what_was_changed_after_signing_is_refused(changed: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(InvalidSignature):
        verify(URL, changed, b"", sign(URL, PAIRS), [TOKEN])


def test_a_body_that_does_not_have_its_hash_is_refused() -> None:
    url = URL + "?bodySHA256=" + "0" * 64
    with pytest.raises(InvalidSignature, match=r"^the body does not have the hash that its URL carries$"):
        verify(url, [], b'{"a":1}', sign(url, []), [TOKEN])


def test_a_form_cannot_hide_behind_a_body_hash() -> None:
    """With bodySHA256 in the URL the parameters are not signed; the hash of the body covers them."""
    url = URL + "?bodySHA256=" + "0" * 64
    with pytest.raises(InvalidSignature, match=r"^the body does not have the hash that its URL carries$"):
        verify(url, PAIRS, b"TaskSid=WT1&TaskAttributes=%7B%7D", sign(url, []), [TOKEN])


@given(st.binary(max_size=60))
def test_any_body_splits_and_reads_without_an_error(body: bytes) -> None:
    read_form(split_form(body))


@pytest.mark.parametrize(
    ("body", "form"),
    [
        (b"a=1&b=x+y%20z&c=%C3%A9", {"a": "1", "b": "x y z", "c": "é"}),
        (b"a=&b&=c&&", {"a": "", "b": "", "": "c"}),
        (b"a=1&a=2", {"a": "2"}),
        (b"a=%ff%zz", {"a": "%ff%zz"}),
    ],
)
def test_a_form_is_read_as_browsers_write_it(body: bytes, form: dict[str, str]) -> None:
    assert read_form(split_form(body)) == form
