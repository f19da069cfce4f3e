"""A customer as a form: there and back, what is wrong beside its field, and two people at one record."""

from __future__ import annotations

from typing import Any

from werkzeug.datastructures import MultiDict

from enrich.customers.fixture_rows import BadRow, CustomerFixture, read_customer
from enrich.domain.lengths import CUSTOMER_TEXTS
from enrich.pages import customer_form
from enrich.pages.customer_form import Values

RECORD: dict[str, Any] = {
    "name": "Ada Lovelace",
    "company": "Analytical Engines",
    "tier": "gold",
    "language": "en",
    "owner": "",
    "identifiers": [
        ["account_number", "a-17", "A-17", "crm"],
        ["customer_id", "c-1", "C-1", "crm"],
        ["phone", "+14155550100", "+1 415 555 0100 ext 12", "crm"],
        ["phone", "+14155550100;ext=12", "+1 415 555 0100 ext 12", "crm"],
    ],
    "notes": ["Mornings"],
    "cases": [["K-9", "Broken gear", "open", "2026-11-02"]],
}


def make_values(**differences: Any) -> Values:
    return customer_form.of_record("C-1", RECORD) | differences


def told(values: Values) -> dict[str, tuple[str, ...]]:
    read = read_customer(customer_form.to_raw("C-1", values), "US")
    return customer_form.problems(read.problems, values) if isinstance(read, BadRow) else {}


def test_a_record_becomes_a_form_and_the_form_the_same_customer() -> None:
    values = make_values()
    assert values["phones"] == ["+1 415 555 0100 ext 12"]
    assert values["ids"] == [["account_number", "A-17"]]
    read = read_customer(customer_form.to_raw("C-1", values), "US")
    assert isinstance(read, CustomerFixture)
    assert {(one.kind, one.value) for one in read.identifiers} == {
        (kind, value) for kind, value, *_ in RECORD["identifiers"]
    }


def test_what_a_browser_sends_are_the_same_values_without_the_empty_rows() -> None:
    values = make_values()
    sent = MultiDict([(name, values[name]) for name in CUSTOMER_TEXTS])
    for name in ("phones", "emails", "notes"):
        sent.setlist(name, [*values[name], "  "])
    sent.setlist("ids_kind", ["account_number", ""])
    sent.setlist("ids_value", ["A-17", ""])
    for name, cell in zip(
        ("case_id", "case_subject", "case_status", "case_opened_on"), values["cases"][0], strict=True
    ):
        sent.setlist(name, [cell, ""])
    assert customer_form.of_form(lambda name: sent.get(name, ""), sent.getlist) == values


def test_what_is_wrong_is_told_at_its_field_by_its_value() -> None:
    problems = told(
        make_values(
            name="",
            phones=["+14155550100", "12"],
            emails=["ada"],
            ids=[["no good", "x"]],
            cases=[["K-9", "", "", "tomorrow"]],
        )
    )
    assert problems["name"] == ("Missing; fill it in",)
    assert problems["phones"] == ("12: not a possible phone number; write it with + and country code",)
    assert problems["emails"][0].startswith("ada: not an e-mail address")
    assert problems["ids"][0].startswith("no good: ")
    assert {one.partition(":")[0] for one in problems["cases"]} == {"case K-9, status", "case K-9, opened_on"}


def test_two_people_at_one_record_lose_nothing() -> None:
    base = make_values()
    mine, theirs = base | {"tier": "silver", "language": "de"}, base | {"tier": "bronze", "company": "King & Co"}
    form = customer_form.three_way(mine, base, theirs)
    assert (form.values["tier"], form.values["language"], form.values["company"]) == ("silver", "de", "King & Co")
    assert form.theirs == {"tier": ("bronze",)}
    assert form.merged == ("company",)


def test_both_having_written_the_same_is_no_conflict() -> None:
    base = make_values()
    same = base | {"notes": []}
    form = customer_form.three_way(same, base, dict(same))
    assert (form.theirs, form.merged) == ({}, ())


def test_what_comes_back_from_a_browser_may_be_anything() -> None:
    assert customer_form.is_values(make_values())
    anything: tuple[object, ...] = (None, [], {}, {"name": "Ada"}, make_values(notes="x"), make_values(name=[]))
    for value in anything:
        assert not customer_form.is_values(value)
