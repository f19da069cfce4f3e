"""Customer records, edited and merged."""

from __future__ import annotations

from typing import Any

from enrich.customers import editing
from enrich.customers.editing import Record
from enrich.customers.identifiers import Identifier
from enrich.domain.lengths import CUSTOMER_TEXTS

PHONE = ["phone", "+14155550100", "+1 415 555 0100", "crm"]


def make_record(**differences: Any) -> Record:
    texts = dict.fromkeys(CUSTOMER_TEXTS, "") | {"name": "Ada Lovelace"}
    lists: Record = {"identifiers": [PHONE], "unlinked": [], "notes": [], "cases": []}
    return {**texts, **lists, "settled": None, "merged_into": None, **differences}


def edit(record: Record, **differences: Any) -> Record:
    values: Record = {
        "texts": {name: record[name] for name in CUSTOMER_TEXTS},
        "identifiers": {Identifier(kind, value): written for kind, value, written, _ in record["identifiers"]},
        "notes": record["notes"],
        "cases": record["cases"],
    }
    return editing.edited(record, **(values | differences))


def test_an_edit_that_changes_nothing_gives_the_same_record() -> None:
    assert edit(make_record()) == make_record()


def test_what_the_crm_said_is_noted_and_forgotten_when_it_is_so_again() -> None:
    changed = edit(make_record(), texts={"name": "Ada King"})
    assert changed["settled"] == {"name": "Ada Lovelace"}
    again = edit(changed, texts={"name": "Ada Byron"})
    assert again["settled"] == {"name": "Ada Lovelace"}
    assert edit(again, texts={"name": "Ada Lovelace"})["settled"] is None


def test_an_identifier_of_the_crms_that_is_taken_away_is_noted_and_one_of_staffs_is_not() -> None:
    added = ["email", "ada@example.com", "ada@example.com", "staff"]
    emptied = edit(make_record(identifiers=[added, PHONE]), identifiers={})
    assert (emptied["identifiers"], emptied["unlinked"]) == ([], [["phone", "+14155550100"]])
    given_back = edit(emptied, identifiers={Identifier("phone", "+14155550100"): "415 555 0100"})
    assert given_back["unlinked"] == []
    assert given_back["identifiers"] == [["phone", "+14155550100", "415 555 0100", "staff"]]


def merge(kept: Record, gone: Record) -> tuple[Record, Record]:
    return editing.merged(kept, gone, kept_id="C-1", gone_id="C-2")


def test_the_kept_one_gets_everything_and_its_own_word_stands() -> None:
    kept = make_record(tier="gold", notes=["first"], cases=[["K-1", "a", "open", ""]])
    gone = make_record(
        name="A. Lovelace",
        company="Engines",
        tier="silver",
        identifiers=[PHONE, ["email", "ada@example.com", "ada@example.com", "crm"]],
        notes=["first", "second"],
        cases=[["K-1", "b", "open", ""], ["K-2", "c", "open", ""]],
    )
    new, left = merge(kept, gone)
    assert (new["name"], new["company"], new["tier"]) == ("Ada Lovelace", "Engines", "gold")
    assert new["identifiers"] == [["email", "ada@example.com", "ada@example.com", "staff"], PHONE]
    assert new["notes"] == ["first", "second"]
    assert [case[0] for case in new["cases"]] == ["K-1", "K-1 (C-2)", "K-2"]
    assert new["settled"] == {"company": "", "notes": ["first"], "cases": [["K-1", "a", "open", ""]]}
    assert (left["identifiers"], left["notes"], left["cases"], left["merged_into"]) == ([], [], [], "C-1")


def test_the_same_case_twice_is_one() -> None:
    case = ["K-1", "a", "open", ""]
    new, _ = merge(make_record(cases=[case]), make_record(cases=[case]))
    assert new["cases"] == [case]


def test_what_was_taken_from_the_kept_one_and_comes_with_the_other_is_theirs() -> None:
    new, _ = merge(make_record(identifiers=[], unlinked=[["phone", "+14155550100"]]), make_record())
    assert (new["unlinked"], new["identifiers"][0][3]) == ([], "staff")


def test_a_long_case_id_stays_within_its_column() -> None:
    long = "K" * 64
    new, _ = merge(make_record(cases=[[long, "a", "open", ""]]), make_record(cases=[[long, "b", "open", ""]]))
    assert [len(case[0]) for case in new["cases"]] == [64, 64]
    assert new["cases"][0][0] != new["cases"][1][0]


def test_a_number_that_the_other_has_by_itself_is_kept_as_evidence() -> None:
    at_extension = ["phone", "+14155550100", "+1 415 555 0100 x12", "crm"]
    exact = ["phone", "+14155550100;ext=12", "+1 415 555 0100 x12", "crm"]
    kept, _ = merge(make_record(identifiers=[at_extension, exact]), make_record())
    assert kept["identifiers"] == [["phone", "+14155550100", "+1 415 555 0100", "staff"], exact]
    kept, _ = merge(make_record(), make_record(identifiers=[at_extension, exact]))
    assert kept["identifiers"] == [PHONE, [*exact[:3], "staff"]]
