"""Signatures: Twilio's published vectors, the official SDK as a second opinion, and hostile input."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator
from werkzeug.datastructures import MultiDict

from enrich.errors import InvalidSignature
from enrich.taskrouter.callbacks import read_form, split_form
from enrich.taskrouter.signature import verify

TOKEN = "12345"
URL = "https://hooks.example.test/taskrouter/assignment"
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


def test_during_a_rotation_both_tokens_are_good() -> None:
    verify(URL, PAIRS, b"", sign(URL, PAIRS), ["another", TOKEN])


@pytest.mark.parametrize("signature", [None, "", "x", "é" * 28, "St1ofagGxWvnmdR4m2q6onzuLNA=", "\udcff"])
def test_a_missing_or_wrong_signature_is_refused(signature: str | None) -> None:
    with pytest.raises(InvalidSignature):
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
    with pytest.raises(InvalidSignature):
        verify(url, [], b'{"a":1}', sign(url, []), [TOKEN])


def test_a_form_cannot_hide_behind_a_body_hash() -> None:
    """With bodySHA256 in the URL the parameters are not signed; the hash of the body covers them."""
    url = URL + "?bodySHA256=" + "0" * 64
    with pytest.raises(InvalidSignature):
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
        (b"a=%ff%zz", {"a": "\ufffd%zz"}),
    ],
)
def test_a_form_is_read_as_browsers_write_it(body: bytes, form: dict[str, str]) -> None:
    assert read_form(split_form(body)) == form
