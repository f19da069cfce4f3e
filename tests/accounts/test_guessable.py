"""Passwords that are guessed first are refused, and those that people should choose are not."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from enrich.accounts import guessable, passwords

ABOUT = ("dana.whitfield@contact-centre.example", "Dana Whitfield")


@pytest.mark.parametrize(
    "password",
    [
        "123qweasdzxc",
        "1qaz2wsx3edc",
        "Motherfucker",
        "unbelievable",
        "password1234",
        "!!Password2026!!",
        "sunshine12345",
        "12345password",
    ],
)
def test_known_ones(password: str) -> None:
    assert guessable.is_known(password)
    assert "most common" in passwords.problem(password)


@pytest.mark.parametrize(
    "password",
    [
        "aaaaaaaaaaaa",
        "a" * 1024,
        "abcabcabcabc",
        "Zx7!Zx7!Zx7!Zx7!",
        "123456789012",
        "098765432109",
        "abcdefghijklm",
        "qwertyuiopas",
        "poiuytrewq12",
        "asdfghjkl123",
        "yxcvbnm12345",
        "azertyuiop12",
        "111122223333",
        "dana.whitfield@contact-centre.example",
        "Dana.Whitfield1",
        "whitfield2026!",
        "contact-centre1",
        "TaskRouter2026",
        "twilio-flex-1234",
    ],
)
def test_predictable_ones(password: str) -> None:
    assert guessable.is_predictable(password, ABOUT)
    assert passwords.problem(password, ABOUT)


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery",
        "another long password",
        "Dana likes 3 green kettles",
        "ztq0-vm4k-81xs",
        "prefer walks by night",
        "übermäßig schöne Tage",
        "我喜欢在早上喝两杯绿茶吗",
        "\ud800" + "ztq0vm4k81xs",
    ],
)
def test_good_ones(password: str) -> None:
    assert passwords.problem(password, ABOUT) == ""


def test_generated_ones_pass() -> None:
    for _ in range(200):
        assert passwords.problem(secrets.token_urlsafe(12), ABOUT) == ""


def test_the_table_has_three_thousand_that_the_shortest_length_allows() -> None:
    """ASVS 6.2.4."""
    lines = set(Path(guessable.__file__).with_name("known_passwords.txt").read_text().splitlines())
    known = {line for line in lines if len(line) >= passwords.MIN_LENGTH and guessable.is_known(line)}
    assert len(known) >= 3000
    assert all(word == word.lower().strip() for word in known)
