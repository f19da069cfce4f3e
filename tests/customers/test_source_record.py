import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrich.customers.fixture_rows import CustomerFixture, read_row
from enrich.customers.source_record import SourceRecord
from tests.support.customers import ADA


def record(raw: dict[str, Any]) -> SourceRecord:
    """Return the record of this row, of which some values may be wrong."""
    customer = next(row for row in read_row(raw, "US") if isinstance(row, CustomerFixture))
    return SourceRecord.of_fixture(customer)


def test_a_record_has_all_that_the_row_says() -> None:
    found = record(ADA)
    assert (found.remote_id, found.is_nameless, found.partial) == ("C-1001", False, ())
    assert found.fields == {
        "name": "Ada Lovelace",
        "company": "Analytical Engines",
        "tier": "gold",
        "language": "en",
        "owner": "dana@example.com",
        "phones": [["phone", "+14155550100", "+1 415 555 0100"]],
        "emails": [["email", "ada@example.com", "ada@example.com"]],
        "ids": [["account_number", "a-17", "A-17"]],
        "notes": ["Prefers mornings"],
        "cases": [["K-9", "Broken gear", "open", "2026-11-02"]],
    }


def test_identifiers_keep_the_order_of_the_row() -> None:
    phones = ["+1 415 555 0102", "+1 415 555 0101 ext. 7", "+1 415 555 0103"]
    found = record({"id": "C-1", "name": "Ada", "phones": phones, "ids": {"b": "2", "a": ["1", "0"]}})
    assert [value for _, value, _ in found.fields["phones"]] == [
        "+14155550102",
        "+14155550101;ext=7",
        "+14155550101",
        "+14155550103",
    ]
    assert found.fields["ids"] == [["b", "2", "2"], ["a", "1", "1"], ["a", "0", "0"]]


def test_the_own_id_is_left_out_and_another_customer_id_is_not() -> None:
    found = record({"id": "C-1", "name": "Ada", "ids": {"customer_id": ["c-1", "C-0"]}})
    assert found.fields["ids"] == [["customer_id", "c-0", "C-0"]]


def test_a_field_of_which_a_value_is_wrong_is_partial() -> None:
    found = record({"id": "C-1", "name": "Ada", "phones": ["12", "+1 415 555 0100"], "emails": ["ada"], "notes": []})
    assert found.fields == {
        "name": "Ada",
        "phones": [["phone", "+14155550100", "+1 415 555 0100"]],
        "notes": [],
    }
    assert found.partial == ("phones",)


def test_a_customer_without_a_name_is_nameless() -> None:
    found = record({"id": "C-1", "company": "Acme"})
    assert (found.fields, found.is_nameless) == ({"name": "Acme", "company": "Acme"}, True)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"name": "Ada"}, {"name": "Ada", "company": ""}),
        ({"name": "Ada", "phones": []}, {"name": "Ada", "emails": []}),
        ({"name": "Ada", "notes": []}, {"name": "Ada"}),
        ({"name": "Ada", "cases": None}, {"name": "Ada"}),
        ({"name": "Acme", "company": "Acme"}, {"company": "Acme"}),
        ({"name": "Ada", "phones": ["+14155550100", "12"]}, {"name": "Ada", "phones": ["+14155550100"]}),
        ({"name": "Ada", "phones": ["+1 415 555 0100"]}, {"name": "Ada", "phones": ["+14155550100"]}),
        ({"name": "Ada", "notes": ["a", "b"]}, {"name": "Ada", "notes": ["b", "a"]}),
        ({"name": "Ada", "id": "C-2"}, {"name": "Ada"}),
    ],
)
def test_rows_that_say_different_things_have_different_hashes(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert record({"id": "C-1", **one}).hash != record({"id": "C-1", **other}).hash


@given(st.permutations(list(ADA)))
def test_the_order_of_the_fields_means_nothing(names: list[str]) -> None:
    assert record({name: ADA[name] for name in names}) == record(ADA)


VALUES = st.sampled_from(["", "José", 'a"b', "a\nb", "\u2028", "+1 415 555 0100", "12", "ada@example.com", "日本"])


@given(
    st.fixed_dictionaries(
        {"id": st.sampled_from(["C-1", "1,\n", "é"]), "name": VALUES},
        optional={
            "company": VALUES,
            "phones": st.lists(VALUES, max_size=3),
            "emails": st.lists(VALUES, max_size=3),
            "ids": st.dictionaries(st.sampled_from(["a", "customer_id"]), VALUES, max_size=2),
            "notes": st.lists(VALUES, max_size=2),
        },
    )
)
def test_the_json_of_the_fields_holds_all_of_them(raw: dict[str, Any]) -> None:
    for row in read_row(raw, "US"):
        if isinstance(row, CustomerFixture):
            found = SourceRecord.of_fixture(row)
            assert json.loads(found.fields_json) == found.fields
            assert "\n" not in found.fields_json
            assert len(found.hash) == 16
