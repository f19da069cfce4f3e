"""Changes that staff make on the page, as decisions."""

from __future__ import annotations

from typing import Any

from enrich.customers import editing
from enrich.customers.editing import Record
from enrich.customers.identifiers import Identifier
from enrich.customers.projection import Decision, DecisionKind
from enrich.domain.lengths import CUSTOMER_TEXTS
from tests.support.customers import customer_of

NUMBER = Identifier("phone", "+14155550100")
PHONE = ["phone", "+14155550100", "+1 415 555 0100", "crm"]
ROW = {"id": "C-1", "name": "Ada Lovelace", "phones": ["+1 415 555 0100"]}


def make_record(**differences: Any) -> Record:
    texts = dict.fromkeys(CUSTOMER_TEXTS, "") | {"name": "Ada Lovelace"}
    lists: Record = {"identifiers": [PHONE], "unlinked": [], "notes": [], "cases": []}
    return {**texts, **lists, "settled": None, "merged_into": None, **differences}


def edit(record: Record, **differences: Any) -> list[Decision]:
    return editing.edited("C-1", record, customer_of({**ROW, **differences}))


def edit_of(field: str, value: Any, base: Any) -> Decision:
    return Decision(0, DecisionKind.EDIT, "C-1", field=field, value=value, base=base)


def test_an_edit_that_changes_nothing_is_no_decision() -> None:
    assert edit(make_record()) == []


def test_an_edit_knows_what_the_sources_said_however_often_it_is_edited() -> None:
    assert edit(make_record(), name="Ada King") == [edit_of("name", "Ada King", "Ada Lovelace")]
    edited = make_record(name="Ada King", settled={"name": "Ada Lovelace"})
    assert edit(edited, name="Ada Byron") == [edit_of("name", "Ada Byron", "Ada Lovelace")]
    assert edit(edited, name="Ada Lovelace") == [edit_of("name", "Ada Lovelace", "Ada Lovelace")]


def test_notes_and_cases_are_edited_as_a_whole() -> None:
    case = {"id": "K-1", "status": "open"}
    assert edit(make_record(notes=["first"]), notes=["second"], cases=[case]) == [
        edit_of("notes", ["second"], ["first"]),
        edit_of("cases", [["K-1", "", "open", ""]], []),
    ]


def test_an_identifier_is_linked_unlinked_and_written_differently() -> None:
    assert edit(make_record(), phones=[]) == [Decision(0, DecisionKind.UNLINK, "C-1", key=NUMBER)]
    email = Identifier("email", "ada@example.com")
    assert edit(make_record(), emails=["Ada@example.com"]) == [
        Decision(0, DecisionKind.LINK, "C-1", key=email, value="Ada@example.com")
    ]
    assert edit(make_record(), phones=["415 555 0100"]) == [
        Decision(0, DecisionKind.LINK, "C-1", key=NUMBER, value="415 555 0100")
    ]


def test_a_key_given_to_one_is_taken_from_the_others_first() -> None:
    assert editing.linked(NUMBER, "C-1", ["C-1", "C-2"]) == [
        Decision(0, DecisionKind.UNLINK, "C-2", key=NUMBER),
        Decision(0, DecisionKind.LINK, "C-1", key=NUMBER),
    ]


def test_a_part_is_split_from_every_other_part() -> None:
    assert [one.other for one in editing.split("C-2", ["C-1", "C-2", "C-3"])] == ["C-1", "C-3"]


def test_a_created_customer_has_what_was_filled_in() -> None:
    made = editing.created(customer_of({**ROW, "company": "", "notes": ["Mornings"]}))
    fields = {"name": "Ada Lovelace", "phones": [PHONE[:3]], "notes": ["Mornings"]}
    assert (made.kind, made.subject, made.value) == (DecisionKind.CREATE, "C-1", fields)
