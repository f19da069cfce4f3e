"""Signed requests, after Standard Webhooks, with the vector that its specification publishes."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks.webhooks import Webhook

from enrich.api.signatures import secret_problem, verify
from enrich.errors import InvalidSignature
from tests.support.webhooks import MESSAGE_ID, SECRET, signed

# https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
SENT_AT = datetime.fromtimestamp(1614265330, UTC)
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_published_vector() -> None:
    assert secret_problem(SECRET) == ""
    assert Webhook(SECRET).sign(MESSAGE_ID, SENT_AT, BODY.decode()) == SIGNATURE


def test_a_signed_body_of_now_is_accepted() -> None:
    verify(SECRET, signed(BODY), BODY)
    verify(SECRET, signed("{\u00fc}".encode()), "{\u00fc}".encode())
    verify(SECRET, signed(BODY, ago=timedelta(minutes=4, seconds=50)), BODY)
    verify(SECRET, signed(BODY, ago=-timedelta(minutes=4, seconds=50)), BODY)


def test_one_of_several_signatures_is_enough() -> None:
    """As while a secret is replaced."""
    headers, other = signed(BODY), signed(BODY, secret="whsec_" + base64.b64encode(b"x" * 32).decode())
    both = f"v1a,abcd {other['Webhook-Signature']} {headers['Webhook-Signature']}"
    verify(SECRET, headers | {"Webhook-Signature": both}, BODY)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        signed(BODY) | {"Webhook-Id": "msg_other"},
        signed(b'{"test": 2432232315}'),
        signed(BODY, secret="whsec_" + base64.b64encode(b"x" * 32).decode()),
        signed(BODY, ago=timedelta(minutes=6)),
        signed(BODY, ago=-timedelta(hours=1)),
        signed(BODY) | {"Webhook-Timestamp": "now"},
        signed(BODY) | {"Webhook-Timestamp": "nan"},
        signed(BODY) | {"Webhook-Timestamp": "1e99"},
        signed(BODY) | {"Webhook-Signature": "nonsense"},
        signed(BODY) | {"Webhook-Signature": "v1,a,b"},
        signed(BODY) | {"Webhook-Signature": "v1,x"},
        signed(BODY) | {"Webhook-Signature": "v1,"},
        {"webhook-id": MESSAGE_ID, "webhook-timestamp": "1614265330", "webhook-signature": SIGNATURE},
    ],
)
def test_anything_else_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(InvalidSignature):
        verify(SECRET, headers, BODY)


def test_a_body_that_is_no_text_is_refused() -> None:
    with pytest.raises(InvalidSignature):
        verify(SECRET, signed(BODY), b"\xff")


@pytest.mark.parametrize(
    ("secret", "problem"),
    [
        ("", "not set"),
        ("v1," + SECRET, "begin with whsec_"),
        (SECRET.removeprefix("whsec_"), "begin with whsec_"),
        ("whsec_", "24 to 64 bytes"),
        ("whsec_" + base64.b64encode(b"x" * 23).decode(), "has 23"),
        ("whsec_" + base64.b64encode(b"x" * 65).decode(), "has 65"),
        ("whsec_not base64!", "base64"),
    ],
)
def test_a_secret_of_another_form_is_named_and_not_quoted(secret: str, problem: str) -> None:
    assert problem in secret_problem(secret)
    assert not secret or secret not in secret_problem(secret)
