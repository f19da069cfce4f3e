"""vCards of all three versions, and what is wrong with them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrich.customers.vcards import read_cards


def card(*properties: str, version: str = "3.0") -> dict[str, Any]:
    lines = ["BEGIN:VCARD", f"VERSION:{version}", *properties, "END:VCARD"]
    (read,) = read_cards(f"{line}\r\n" for line in lines)
    assert read.raw is not None
    return read.raw


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        (["FN:Ada Example", "N:Other;Name;;;"], {"name": "Ada Example"}),
        (["N:Example;Ada;Augusta;Dr.;"], {"name": "Ada Augusta Example"}),
        (["N:Example"], {"name": "Example"}),
        (["fn:Ada", "org:Acme\\, Inc\\;Co;Engines"], {"name": "Ada", "company": "Acme, Inc;Co"}),
        (
            ["TEL;TYPE=CELL:+1 415 555 0100", "item1.TEL:+1 415 555 0101"],
            {"phones": ["+1 415 555 0100", "+1 415 555 0101"]},
        ),
        (['TEL;VALUE=uri;TYPE="voice,home":tel:+1-415-555-0100;ext=12'], {"phones": ["+1-415-555-0100;ext=12"]}),
        (["TEL;TYPE=FAX:+1 415 555 0190", "TEL;WORK;FAX:+1", "TEL;TYPE=fax,voice:+2"], {"phones": ["+2"]}),
        (
            ["EMAIL;TYPE=INTERNET:ada@example.com", "EMAIL:mailto:b@example.com"],
            {"emails": ["ada@example.com", "b@example.com"]},
        ),
        (["NOTE:one\\, two\\nthree \\\\ four"], {"notes": ["one, two\nthree \\ four"]}),
        (["NOTE:folded a", " nd folded", "\t again"], {"notes": ["folded and folded again"]}),
        (["LANG:de", "UID:urn:uuid:0f", "X-OTHER:1"], {"language": "de", "id": "0f"}),
        (['ADR;LABEL="a:b;c":;;x;;;;', "FN:Ada"], {"name": "Ada"}),
        (["FN;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:Jos=C3=", "=A9"], {"name": "José"}),
        (["FN;CHARSET=ISO-8859-1;ENCODING=QUOTED-PRINTABLE:Jos=E9"], {"name": "José"}),
        (["FN:Ada", "AGENT:", "BEGIN:VCARD", "FN:Bob", "END:VCARD"], {"name": "Ada"}),
    ],
)
def test_what_a_card_says_is_read(properties: list[str], expected: dict[str, Any]) -> None:
    raw = card(*properties)
    assert {name: raw[name] for name in expected} == expected


@pytest.mark.parametrize("kind", ["KIND:group", "X-ADDRESSBOOKSERVER-KIND:group"])
def test_a_list_of_contacts_is_no_contact(kind: str) -> None:
    assert list(read_cards(["BEGIN:VCARD\n", "FN:Friends\n", f"{kind}\n", "END:VCARD\n"])) == []


def test_a_card_that_never_ends_is_told() -> None:
    lines = "BEGIN:VCARD\nFN:Ada\nEND:VCARD\n\nBEGIN:VCARD\nFN:Bob\n".splitlines(keepends=True)
    ada, bob = read_cards(lines)
    assert (ada.line, ada.raw and ada.raw["name"]) == (1, "Ada")
    assert (bob.line, bob.raw) == (5, None)


@given(st.lists(st.text(st.sampled_from('AN:;=",\\ \t\n'), max_size=20)))
def test_no_lines_make_reading_raise(lines: list[str]) -> None:
    assert len(list(read_cards(["BEGIN:VCARD\n", *lines, "\nEND:VCARD\n"]))) <= 1
