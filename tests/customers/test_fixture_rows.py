from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enrich.customers.fixture_rows import BadRow, CustomerFixture, IncompleteRow, read_customer, read_row
from enrich.customers.identifiers import Identifier, read
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
            {"ids": {"branch office": "A-17"}},
            "ids.branch office: a kind is up to 40 letters, digits, `_`, `-` and `.`",
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


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ({"company": "Acme", "emails": ["ada@example.com"]}, "Acme"),
        ({"name": " ", "phones": ["+1 415 555 0100"], "emails": ["ada@example.com"]}, "ada@example.com"),
        ({"name": None, "phones": ["+1 415 555 0100 x12"]}, "+1 415 555 0100 x12"),
        ({"ids": {"account_number": "A-17"}}, "A-17"),
    ],
)
def test_a_row_without_a_name_is_called_by_what_it_has(row: dict[str, Any], name: str) -> None:
    (customer,) = read_row({"id": "C-1"} | row, "US")
    assert isinstance(customer, CustomerFixture)
    assert (customer.name, customer.is_nameless) == (name, True)


@pytest.mark.parametrize(
    "row", [{"id": "C-1"}, {"id": "C-1", "phones": ["12"]}, {"name": "Ada"}, {"id": 1.5, "name": "A"}]
)
def test_a_row_that_is_nobody_is_not_loaded(row: dict[str, Any]) -> None:
    assert [type(one) for one in read_row(row, "US")] == [BadRow]


@pytest.mark.parametrize(
    ("changes", "lost", "kept"),
    [
        ({"phones": ["12", "+1 415 555 0101"]}, "phones[0]: not a possible", {"phone": ["+14155550101"]}),
        ({"emails": ["ada"]}, "emails[0]: not an e-mail address", {"phone": ["+14155550100"], "email": []}),
        ({"ids": {"branch office": "1"}}, "ids.branch office: a kind is", {"email": ["ada@example.com"]}),
        ({"tier": "x" * 41}, "tier: 41 characters", {"tier": None}),
        ({"name": "x" * 201}, "name: 201 characters", {"name": "Analytical Engines"}),
        ({"name": "#N/A"}, "name: #N/A is an error value", {"name": "Analytical Engines"}),
        ({"phone": "+1 415 555 0101"}, "field 'phone' is not known", {"phone": ["+14155550100"]}),
        ({"notes": ["ok", "x" * 10_001]}, "notes[1]: 10001 characters", {"notes": ("ok",)}),
        ({"notes": "ok"}, "notes: a list is expected", {"notes": None}),
        ({"cases": [{"id": "K-1", "status": "open"}, {"id": "K-2"}]}, "cases[1].status: missing", {"cases": ["K-1"]}),
    ],
)
def test_a_bad_value_costs_the_value_and_not_the_row(changes: dict[str, Any], lost: str, kept: dict[str, Any]) -> None:
    customer, incomplete = read_row(ADA | changes, "US", 7)
    assert isinstance(customer, CustomerFixture)
    assert isinstance(incomplete, IncompleteRow)
    assert str(incomplete).startswith(f"line 7, C-1001: {lost}")
    cases = None if customer.cases is None else [case.id for case in customer.cases]
    values = {"name": customer.name, "tier": customer.texts.get("tier"), "notes": customer.notes, "cases": cases}
    for kind in ("phone", "email"):
        values[kind] = [one.value for one in customer.identifiers if one.kind == kind]
    assert {name: values[name] for name in kept} == kept


def test_what_is_stored_of_a_field_with_a_bad_value_stays() -> None:
    customer, _ = read_row(ADA | {"phones": ["12"], "tier": "x" * 41}, "US")
    assert isinstance(customer, CustomerFixture)
    assert customer.identifier_fields == {"emails", "ids"}
    assert set(customer.texts) == {"company", "language", "owner"}


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
    first, *others = read_row(row, "US")
    assert [type(one) for one in others] in ([], [IncompleteRow])
    assert isinstance(first, CustomerFixture) or others == []


@pytest.mark.parametrize(
    ("region", "changes", "reason"),
    [
        ("DE", {"phones": ["49 221 555010"]}, "phones[0]: can be +49221555010 or +4949221555010; write it with +"),
        ("DE", {"phones": ["4.93023E+11"]}, "phones[0]: a spreadsheet cut off its digits; write the whole number"),
        ("BR", {"phones": ["98555-0100"]}, "phones[0]: may lack its area code; write it with + and country code"),
        (
            "US",
            {"phones": ["000-000-0000"]},
            "phones[0]: stands for a number that is withheld or not known; leave it out",
        ),
        ("US", {"phones": ["unknown"]}, "phones[0]: stands for a number that is withheld or not known; leave it out"),
        ("US", {"phones": ["+14155550100; 555-0101"]}, "phones[0]: '555-0101': not a possible phone number"),
        (
            "US",
            {"phones": ["tel:5550100;phone-context=example.com"]},
            "phones[0]: a local number, whose country is not known",
        ),
        ("US", {"phones": ["gbm:a1b2c3"]}, "phones[0]: an address of unknown form"),
        ("US", {"phones": ["ada@example.com"]}, "phones[0]: an e-mail address; use emails"),
        ("US", {"phones": ["messenger:123"]}, "phones[0]: an address of the kind messenger; use ids.messenger"),
        ("US", {"emails": ["+14155550100"]}, "emails[0]: a phone number; use phones"),
        ("US", {"ids": {"whatsapp": "+14155550100"}}, "ids.whatsapp[0]: a phone number; use phones"),
        ("US", {"ids": {"account_number": "4.93023E+11"}}, "ids.account_number[0]: a spreadsheet cut off its digits"),
        ("US", {"id": "4.93023E+11"}, "id: a spreadsheet cut off its digits; write the whole id"),
        ("US", {"ids": {"Phone": "+14155550100"}}, "ids.Phone: not an id; use phones"),
    ],
)
def test_what_is_in_doubt_is_reported_and_not_stored(region: str, changes: dict[str, Any], reason: str) -> None:
    row = {"id": "C-1", "name": "Ada"} | changes
    bad = read_customer(row, region)
    assert isinstance(bad, BadRow)
    assert bad.reason.startswith(reason)


def identifiers_of(row: dict[str, Any], region: str = "US", kinds: tuple[str, ...] = ()) -> dict[tuple[str, str], str]:
    customer = read_customer({"name": "Ada"} | row, region, kinds=kinds)
    assert isinstance(customer, CustomerFixture)
    return {(one.kind, one.value): as_written for one, as_written in customer.identifiers.items()}


def test_fields_of_a_file_are_read_as_attributes_are() -> None:
    assert identifiers_of(
        {
            "id": "C-1",
            "phones": [
                "whatsapp:3615550100",
                "tel:5555550100;phone-context=+52",
                '"Ada" <tel:+14155550100>;party=calling',
            ],
            "emails": ["Ada <ada@xn--bcher-kva.example>"],
            "ids": {"whatsapp": "whatsapp:US.1349120865530274"},
        }
    ) == {
        ("customer_id", "c-1"): "C-1",
        ("phone", "+3615550100"): "whatsapp:3615550100",
        ("phone", "+525555550100"): "tel:5555550100;phone-context=+52",
        ("phone", "+14155550100"): '"Ada" <tel:+14155550100>;party=calling',
        ("email", "ada@bücher.example"): "Ada <ada@xn--bcher-kva.example>",
        ("whatsapp", "us.1349120865530274"): "whatsapp:US.1349120865530274",
    }


def test_each_of_several_numbers_in_one_value_is_written_so_that_it_is_read_again() -> None:
    found = identifiers_of({"id": "C-1", "phones": ["whatsapp:3615550100, +14155550111 x12; 415-555-0112"[:39]]})
    assert found == {
        ("customer_id", "c-1"): "C-1",
        ("phone", "+3615550100"): "+3615550100",
        ("phone", "+14155550111;ext=12"): "+14155550111 x12",
        ("phone", "+14155550111"): "+14155550111 x12",
    }
    again = identifiers_of({"id": "C-1", "phones": sorted(set(found.values()) - {"C-1"})})
    assert again == found


def test_guards_against_spreadsheets_are_left_out() -> None:
    row = {"id": '="007"', "phones": ["'+14155550100"], "ids": {"account_number": ["'00018", '="00017"']}}
    customer = read_customer({"name": "Ada"} | row, "US")
    assert isinstance(customer, CustomerFixture)
    assert customer.id == "007"
    assert {(one.kind, one.value) for one in customer.identifiers} == {
        ("customer_id", "007"),
        ("phone", "+14155550100"),
        ("account_number", "00018"),
        ("account_number", "00017"),
    }


@pytest.mark.parametrize(
    ("kind", "kinds", "stored"),
    [
        ("Account_Number", (), "account_number"),
        ("ACCOUNT_NUMBER", ("account_number",), "account_number"),
        ("Messenger", (), "messenger"),
        ("loyaltyid", ("loyaltyId",), "loyaltyId"),
        ("LoyaltyId", (), "LoyaltyId"),
        ("accountNumber", (), "account_number"),
        ("account-number", ("account_number", "account-number"), "account-number"),
    ],
)
def test_a_kind_of_id_in_another_case_is_the_one_that_is_looked_up(
    kind: str, kinds: tuple[str, ...], stored: str
) -> None:
    assert (stored, "a-17") in identifiers_of({"id": "C-1", "ids": {kind: "A-17"}}, kinds=kinds)


@given(st.text() | st.from_regex(r"(sip:|tel:|whatsapp:|00|\+)?[0-9 ()\-+;x=@./,]{0,24}", fullmatch=True))
def test_what_a_file_stores_is_read_without_doubt(text: str) -> None:
    customer = read_customer({"id": "C-1", "name": "Ada", "phones": [text]}, "DE")
    if isinstance(customer, CustomerFixture):
        assert not [reading.problem for reading in read("phone", text, "DE") if reading.problem]
