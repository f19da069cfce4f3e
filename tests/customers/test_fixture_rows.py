from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enrich.customers.fixture_rows import BadRow, CustomerFixture, read_customer
from enrich.customers.identifiers import Identifier
from tests.support.customers import ADA


def reason_of(row: Any) -> str:
    bad = read_customer(row, "US")
    assert isinstance(bad, BadRow)
    return bad.reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"id": None}, "id: missing; fill it in"),
        ({"id": " "}, "id: missing; fill it in"),
        ({"id": ["C-1"]}, "id: text is expected, not a list"),
        ({"id": "x" * 65}, "id: 65 characters, at most 64 fit; shorten it"),
        ({"name": True}, "name: text is expected, not true or false"),
        ({"name": 1.5}, "name: text is expected, not a number"),
        ({"name": "a\ud800"}, "name: contains bytes that are not text; save the file as UTF-8"),
        ({"company": {"x": 1}}, "company: text is expected, not an object"),
        ({"phone": "+1 415 555 0100"}, "field 'phone' is not known; did you mean phones?"),
        ({"phones": "+1 415 555 0100"}, "phones: a list is expected, not text"),
        (
            {"phones": ["+1 415 555 0100", "911"]},
            "phones[1]: not a possible phone number; write it with + and country code",
        ),
        ({"emails": ["ada"]}, "emails[0]: not an e-mail address; write it as name@example.com"),
        ({"ids": ["A-17"]}, "ids: an object of kind and value is expected, not a list"),
        (
            {"ids": {"account number": "A-17"}},
            "ids.account number: a kind is up to 40 letters, digits, `_`, `-` and `.`",
        ),
        ({"ids": {"phone": "+14155550100"}}, "ids.phone: not an id; use phones"),
        ({"ids": {"account_number": [["A"]]}}, "ids.account_number[0]: text is expected, not a list"),
        ({"notes": [{}]}, "notes[0]: text is expected, not an object"),
        ({"cases": [1]}, "cases[0]: an object is expected, not a number"),
        ({"cases": [{"id": "K-1"}]}, "cases[0].status: missing; fill it in"),
        (
            {"cases": [{"id": "K-1", "status": "open", "opened": 1}]},
            "cases[0]: field 'opened' is not known; did you mean opened_on?",
        ),
        (
            {"cases": [{"id": "K-1", "status": "open", "opened_on": "2.11.2026"}]},
            "cases[0].opened_on: '2.11.2026' is not a date; write it as 2026-11-02",
        ),
        (
            {"cases": [{"id": "K-1", "status": "open"}, {"id": "K-1", "status": "open"}]},
            "cases[1].id: used twice for this customer; give each case its own id",
        ),
        (
            {"tier": 7.5, "language": False},
            "tier: text is expected, not a number; language: text is expected, not true or false",
        ),
    ],
)
def test_what_is_wrong_is_named_with_what_to_do(changes: dict[str, Any], reason: str) -> None:
    assert reason_of(ADA | changes) == reason


def test_numbers_stand_for_their_digits_and_null_for_nothing() -> None:
    customer = read_customer(
        {"id": 1001, "name": "Ada", "company": None, "ids": {"account_number": 17, "client": None}, "notes": None}, "US"
    )
    assert isinstance(customer, CustomerFixture)
    assert (customer.id, customer.texts, customer.notes) == ("1001", {"company": ""}, ())
    assert Identifier("account_number", "17") in customer.identifiers


def test_a_number_with_extension_keeps_what_was_written_for_each_normal_form() -> None:
    customer = read_customer({"id": "C-1", "name": "Ada", "phones": ["415 555 0100 x12", "+1 415 555 0100"]}, "US")
    assert isinstance(customer, CustomerFixture)
    assert customer.identifiers[Identifier("phone", "+14155550100;ext=12")] == "415 555 0100 x12"
    assert customer.identifiers[Identifier("phone", "+14155550100")] == "+1 415 555 0100"


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
        lambda children: (
            st.lists(children, max_size=3)
            | st.dictionaries(st.sampled_from([*ADA, "status", "subject", "opened_on"]), children, max_size=6)
        ),
        max_leaves=12,
    )
)
def test_no_row_makes_reading_raise(row: Any) -> None:
    assert isinstance(read_customer(row, "US"), CustomerFixture | BadRow)
