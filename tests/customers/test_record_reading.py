"""Reading of one record of a source: whole or not at all, or without the values that are wrong."""

from __future__ import annotations

from typing import Any

import pytest

from enrich.customers.record_reading import ReadRecord, read_record, remote_id_problem
from enrich.domain.lengths import MAX_REMOTE_ID_LENGTH

ADA = {"name": "Ada", "phones": ["(415) 555-0100"], "ids": {"account_number": "A-17"}}


def test_the_id_is_the_sources_own_and_taken_as_it_is() -> None:
    for remote_id in ("17", " 17", "a/b", "=17", "Müller", "x" * MAX_REMOTE_ID_LENGTH):
        read = read_record(remote_id, {**ADA, "id": "something else"}, "US")
        assert read.record is not None
        assert read.record.remote_id == remote_id
        assert read.record.fields["phones"] == [["phone", "+14155550100", "(415) 555-0100"]]
        assert read.record.fields["ids"] == [["account_number", "a-17", "A-17"]]
    first, second = (read_record(remote_id, ADA, "US").record for remote_id in ("1", "2"))
    assert first
    assert second
    assert first.hash == second.hash  # compared with records of the same id only


@pytest.mark.parametrize("remote_id", ["", "  ", "x" * (MAX_REMOTE_ID_LENGTH + 1), "a\0", "a\ud800", "a\n"])
def test_an_id_that_cannot_be_stored_is_no_id(remote_id: str) -> None:
    read = read_record(remote_id, ADA, "US")
    assert read.record is None
    assert (read.field, remote_id_problem(remote_id) != "") == ("id", True)


@pytest.mark.parametrize(
    ("values", "field", "place"),
    [
        ({"phones": ["(415) 555-0100", "12"]}, "phones", "phones[1]"),
        ({"ids": {"phone": "1"}}, "ids", "ids.phone"),
        ({"ids": {"account_number": ["A", {}]}}, "ids", "ids.account_number[1]"),
        ({"phnes": []}, "phnes", "phnes"),
        ({"it's": []}, "it's", "it's"),
        ({"cases": [{"id": "1", "status": "open", "sbject": ""}]}, "cases", "cases[0]"),
        ({"name": " "}, "name", "name"),
        ({"notes": "moved"}, "notes", "notes"),
    ],
)
def test_one_wrong_value_and_nothing_is_applied(values: dict[str, Any], field: str, place: str) -> None:
    read = read_record("17", ADA | values, "US")
    assert read.record is None
    assert read.field == field
    assert [where for where, _ in read.wrong] == [place]
    assert all(text for _, text in read.wrong)


def test_leniently_one_wrong_value_costs_the_value() -> None:
    read = read_record("17", ADA | {"phones": ["12", "(415) 555-0100"], "name": ""}, "US", is_lenient=True)
    assert read.record is not None
    assert read.record.remote_id == "17"
    assert read.record.is_nameless
    assert read.record.partial == ("phones",)
    assert [value for _, value, _ in read.record.fields["phones"]] == ["+14155550100"]
    assert read.field == "phones"


def test_leniently_a_record_of_nobody_is_not_applied() -> None:
    read = read_record("17", {"tier": "gold"}, "US", is_lenient=True)
    assert (read.record, read.field) == (None, "name")


def test_kinds_that_are_looked_up_are_known_by_their_other_spellings() -> None:
    read = read_record("17", {"name": "Ada", "ids": {"Loyalty Number": "7"}}, "US", kinds=["loyalty_number"])
    assert read.record is not None
    assert read.record.fields["ids"] == [["loyalty_number", "7", "7"]]


def test_without_a_problem_nothing_is_wrong() -> None:
    assert ReadRecord("17", None).field == ""
    assert ReadRecord("17", None).wrong == ()
