"""The origin of each value of a customer, and what disagrees."""

from __future__ import annotations

from typing import Any

import pytest

from enrich.customers.clusters import Cluster, Holder
from enrich.customers.identifiers import Identifier
from enrich.customers.projection import Decision, DecisionKind, Precedence, RecordState, StoredRecord
from enrich.customers.provenance import JoinCause, Provenance, trace
from tests.support.customers import record

NUMBER = Identifier("phone", "+14155550100")
WRITTEN = ["phone", "+14155550100", "+1 415 555 0100"]
ACCOUNT = Identifier("account_number", "A-17")


def edit(number: int, name: str, value: Any, base: Any, subject: str = "C-1") -> Decision:
    return Decision(number, DecisionKind.EDIT, subject, field=name, value=value, base=base)


def trace_one(*records: StoredRecord, decisions: tuple[Decision, ...] = (), **about: Any) -> Provenance:
    homes = {one.home_id for one in records} | {one.subject for one in decisions}
    cluster = Cluster(about.pop("root", "C-1"), frozenset(homes), frozenset(about.pop("away", ())))
    return trace(cluster, records, decisions, about.pop("shared", {}), about.pop("precedence", Precedence()))


def says(provenance: Provenance, name: str) -> tuple[list[Any], list[Any]]:
    of = provenance.fields[name]
    return [(one.source, one.value) for one in of.said_by], [(one.source, one.value) for one in of.others]


def test_a_value_comes_from_the_record_that_has_it_and_nothing_disagrees() -> None:
    found = trace_one(record(name="Ada Lovelace", notes=["first"]))
    assert says(found, "name") == ([("file", "Ada Lovelace")], [])
    assert says(found, "notes") == ([("file", ["first"])], [])
    assert says(found, "tier") == ([], [])
    assert found.fields["name"].edit is None
    assert found.deleted is None


def test_sources_that_say_the_same_are_all_named_and_the_other_one_disagrees() -> None:
    found = trace_one(
        record(name="Ada Lovelace", tier="gold"),
        record("7", "crm", name="Ada Lovelace", tier="silver", home_id="C-1"),
    )
    assert says(found, "name") == ([("file", "Ada Lovelace"), ("crm", "Ada Lovelace")], [])
    assert says(found, "tier") == ([("file", "gold")], [("crm", "silver")])
    first = Precedence(by_field={"tier": ("crm",)})
    turned = trace_one(record(tier="gold"), record("7", "crm", tier="silver", home_id="C-1"), precedence=first)
    assert says(turned, "tier") == ([("crm", "silver")], [("file", "gold")])


def test_an_edit_hides_what_the_source_says_and_shows_it_as_disagreement() -> None:
    change = edit(1, "name", "Ada King", "Ada Lovelace")
    found = trace_one(record(name="Ada Lovelace"), decisions=(change,)).fields["name"]
    assert (found.edit, found.superseded, found.said_by) == (change, None, ())
    assert [one.value for one in found.others] == ["Ada Lovelace"]


def test_an_edit_that_the_source_has_overtaken_is_named_as_given_way() -> None:
    change = edit(1, "name", "Ada King", "Ada Lovelace")
    found = trace_one(record(name="Augusta Ada King"), decisions=(change,)).fields["name"]
    assert (found.edit, found.superseded) == (None, change)
    assert [one.value for one in found.said_by] == ["Augusta Ada King"]


def test_an_edit_that_the_source_confirms_needs_no_word() -> None:
    found = trace_one(record(name="Ada King"), decisions=(edit(1, "name", "Ada King", "Ada Lovelace"),))
    assert (found.fields["name"].edit, found.fields["name"].superseded) == (None, None)


def test_of_two_edits_the_newer_one_counts() -> None:
    first, second = edit(1, "tier", "gold", "silver"), edit(2, "tier", "platinum", "silver")
    found = trace_one(record(tier="silver"), decisions=(second, first)).fields["tier"]
    assert (found.edit, found.superseded) == (second, None)
    back = trace_one(record(tier="silver"), decisions=(first, edit(3, "tier", "silver", "silver"))).fields["tier"]
    assert (back.edit, [one.value for one in back.said_by]) == (None, ["silver"])


def test_a_name_made_of_another_value_disagrees_with_nobody() -> None:
    found = trace_one(record(name="Ada Lovelace"), record("7", "crm", name="ada@example.com", nameless=True))
    assert says(found, "name") == ([("file", "Ada Lovelace")], [])


def test_notes_that_are_hidden_are_named_and_no_others() -> None:
    change = edit(1, "notes", ["mine", "second"], ["first", "second"])
    found = trace_one(record(notes=["first", "second"]), decisions=(change,))
    assert found.fields["notes"].edit == change
    assert says(found, "notes") == ([("file", ["first", "second"])], [("file", ["first"])])


def test_a_case_that_got_an_id_of_its_own_is_shown_all_the_same() -> None:
    found = trace_one(record(cases=[["K-1", "a", "open", ""]]), record("C-2", cases=[["K-1", "b", "open", ""]]))
    assert says(found, "cases")[1] == []


def test_what_only_an_archived_record_says_is_not_shown() -> None:
    found = trace_one(record(notes=["now"]), record("C-2", notes=["then"], state=RecordState.ARCHIVED))
    assert says(found, "notes") == ([("file", ["now"])], [("file", ["then"])])


@pytest.mark.parametrize(
    ("decisions", "is_unlinked", "is_decided"),
    [
        ((), False, False),
        ((Decision(1, DecisionKind.LINK, "C-1", key=NUMBER),), False, True),
        (
            (Decision(2, DecisionKind.UNLINK, "C-1", key=NUMBER), Decision(1, DecisionKind.LINK, "C-1", key=NUMBER)),
            True,
            True,
        ),
    ],
)
def test_an_identifier_has_its_records_and_the_newest_decision(
    decisions: tuple[Decision, ...], is_unlinked: bool, is_decided: bool
) -> None:
    found = trace_one(record(phones=[WRITTEN]), decisions=decisions).identifiers[NUMBER]
    assert [one.remote_id for one in found.said_by] == ["C-1"]
    assert found.is_unlinked is is_unlinked
    assert (found.decision is not None) is is_decided


def test_the_own_id_of_a_customer_and_of_its_record_in_another_source_are_identifiers_too() -> None:
    found = trace_one(record("7", "crm"), root="crm:7").identifiers
    assert {key.kind for key in found} == {"customer_id", "crm_id"}


def test_a_part_is_joined_by_staff_by_its_source_or_by_a_shared_id() -> None:
    merge = Decision(1, DecisionKind.MERGE, "C-1", other="C-2")
    by_staff = trace_one(record(), record("C-2"), decisions=(merge,), away=("C-2",)).parts
    assert [part.home for part in by_staff] == ["C-1", "C-2"]
    assert [(one.cause, one.other, one.decision) for one in by_staff[1].joins] == [(JoinCause.STAFF, "C-1", merge)]

    merged = record("C-2", state=RecordState.MERGED, into_remote_id="C-1")
    (by_source,) = trace_one(record(), merged).parts[1].joins
    assert (by_source.cause, by_source.other, by_source.source) == (JoinCause.SOURCE, "C-1", "file")

    holders = {Holder("file", "customer", "C-1", "C-1"), Holder("crm", "customer", "7", "crm:7")}
    (by_id,) = trace_one(record(), record("7", "crm"), shared={ACCOUNT: holders}).parts[1].joins
    assert (by_id.cause, by_id.other, by_id.key) == (JoinCause.SHARED_ID, "C-1", ACCOUNT)


def test_the_reasons_of_a_part_are_in_the_order_of_the_parts() -> None:
    others = [f"C-{number}" for number in range(1, 8)]
    merged = [record(one, state=RecordState.MERGED, into_remote_id="C-9") for one in others]
    *_, part = trace_one(record("C-9"), *merged, root="C-5").parts
    assert (part.home, [one.other for one in part.joins]) == ("C-9", ["C-5", "C-1", "C-2", "C-3", "C-4", "C-6", "C-7"])


def test_a_shared_id_that_several_records_of_a_source_have_joins_nobody() -> None:
    holders = {Holder("file", "customer", f"C-{number}", f"C-{number}") for number in (1, 3)}
    holders |= {Holder("crm", "customer", "7", "crm:7")}
    merge = Decision(1, DecisionKind.MERGE, "C-1", other="crm:7")
    found = trace_one(record(), record("7", "crm"), decisions=(merge,), shared={ACCOUNT: holders})
    assert [one.cause for one in found.parts[1].joins] == [JoinCause.STAFF]


def test_a_creation_and_a_deletion_by_staff_are_named() -> None:
    created = Decision(1, DecisionKind.CREATE, "C-1", value={"name": "Ada Lovelace"})
    deleted = Decision(2, DecisionKind.DELETE, "C-1")
    found = trace_one(decisions=(created, deleted))
    assert says(found, "name") == ([("", "Ada Lovelace")], [])
    assert found.parts[0].created == created
    assert found.deleted == deleted
