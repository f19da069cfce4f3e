"""A customer computed from records and decisions, and which customers are one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from enrich.customers.clusters import NEVER, Holder, clusters
from enrich.customers.identifiers import Identifier
from enrich.customers.projection import (
    Decision,
    DecisionKind,
    Precedence,
    Projection,
    RecordState,
    StoredRecord,
    project,
    redirect,
)
from tests.support.customers import record

NUMBER = Identifier("phone", "+14155550100")
AT_SWITCHBOARD = ["phone", "+14155550100", "+1 415 555 0100 x12"]
BY_ITSELF = ["phone", "+14155550100", "+1 415 555 0100"]
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def decide(number: int, kind: DecisionKind, subject: str = "C-1", **values: Any) -> Decision:
    return Decision(number, kind, subject, **values)


def one_of(*records: StoredRecord, decisions: tuple[Decision, ...] = (), away: tuple[str, ...] = ()) -> Projection:
    homes = {one.home_id for one in records} | {one.subject for one in decisions}
    return project(homes, records, decisions, merged_away=away)


def test_the_kept_one_is_believed_first_and_the_other_fills_the_gaps() -> None:
    kept = record(name="Ada Lovelace", tier="gold", notes=["first"], cases=[["K-1", "a", "open", ""]])
    gone = record(
        "C-2",
        name="A. Lovelace",
        company="Engines",
        tier="silver",
        notes=["first", "second"],
        cases=[["K-1", "b", "open", ""], ["K-2", "c", "open", ""]],
        version=9,
    )
    merged = one_of(kept, gone, away=("C-2",))
    assert (merged.texts["name"], merged.texts["company"], merged.texts["tier"]) == ("Ada Lovelace", "Engines", "gold")
    assert merged.notes == ["first", "second"]
    assert [case[0] for case in merged.cases] == ["K-1", "K-1 (C-2)", "K-2"]
    assert merged.settled == {}
    assert {key.value for key in merged.identifiers if key.kind == "customer_id"} == {"c-1", "c-2"}


def test_the_same_case_twice_is_one_and_a_long_id_stays_within_its_column() -> None:
    long = "K" * 64
    first, same, other = (
        record(f"C-{number}", cases=[[long, subject, "open", ""]]) for number, subject in ((1, "a"), (2, "a"), (3, "b"))
    )
    assert [len(case[0]) for case in one_of(first, same, other).cases] == [64, 64]


def test_a_case_that_two_say_is_one_even_where_its_id_is_taken() -> None:
    taken, one, other = (record(f"C-{n}", cases=[["K-1", subject, "open", ""]]) for n, subject in enumerate("abb", 1))
    assert one_of(taken, one, other).cases == [["K-1", "a", "open", ""], ["K-1 (C-2)", "b", "open", ""]]


def test_cases_of_customers_with_long_ids_have_ids_of_their_own() -> None:
    homes = ["a", *("C" * 63 + end for end in "123")]
    cases = one_of(*(record(home, cases=[["K-1", home, "open", ""]]) for home in homes)).cases
    assert len({case[0] for case in cases}) == 4
    assert max(len(case[0]) for case in cases) <= 64


def test_a_number_that_one_has_by_itself_is_evidence() -> None:
    merged = one_of(record(phones=[AT_SWITCHBOARD]), record("C-2", phones=[BY_ITSELF]))
    assert merged.identifiers[NUMBER][0] == "+1 415 555 0100"
    linked = one_of(record(phones=[AT_SWITCHBOARD]), decisions=(decide(1, DecisionKind.LINK, key=NUMBER),))
    assert linked.identifiers[NUMBER] == ("+14155550100", "staff")


@pytest.mark.parametrize(
    ("first", "second", "name"),
    [
        ({"name": "Live"}, {"name": "Archived", "state": RecordState.ARCHIVED, "version": 9}, "Live"),
        ({"name": "Old", "version": 1}, {"name": "New", "version": 2}, "New"),
        ({"name": "Lower"}, {"name": "Higher"}, "Lower"),
        ({"name": "4155550100", "nameless": True}, {"name": "Ada"}, "Ada"),
        ({"name": ""}, {"name": "Ada"}, "Ada"),
    ],
)
def test_the_order_in_which_records_are_believed(first: Any, second: Any, name: str) -> None:
    assert one_of(record("C-1", **first), record("C-2", **second)).texts["name"] == name


def test_each_field_has_its_order_of_sources() -> None:
    records = (record(name="File", tier="file"), record("7", "hub", name="Hub", tier="hub"))
    homes = {one.home_id for one in records}
    precedence = Precedence(("file", "hub"), {"tier": ("hub",)})
    texts = project(homes, records, (), precedence=precedence).texts
    assert (texts["name"], texts["tier"]) == ("File", "hub")


def test_an_edit_stands_while_the_sources_say_what_they_said() -> None:
    edits = (
        decide(1, DecisionKind.EDIT, field="name", value="Ada King", base="Ada"),
        decide(2, DecisionKind.EDIT, field="name", value="Ada Byron", base="Ada"),
    )
    edited = one_of(record(name="Ada"), decisions=edits)
    assert (edited.texts["name"], edited.settled) == ("Ada Byron", {"name": "Ada"})
    given_way = one_of(record(name="Countess"), decisions=edits)
    assert (given_way.texts["name"], given_way.settled) == ("Countess", {})
    assert one_of(record(name="Ada"), decisions=edits[:1]).texts["name"] == "Ada King"


def test_an_edit_takes_the_place_of_the_one_before() -> None:
    """Else the export of what staff corrected back would bring the first edit back when it is loaded."""
    edits = (
        decide(1, DecisionKind.EDIT, field="name", value="Eve", base="Ada"),
        decide(2, DecisionKind.EDIT, field="name", value="Ada", base="Eve"),
    )
    assert one_of(record(name="Ada"), decisions=edits).texts["name"] == "Ada"
    assert one_of(record(name="Ada"), decisions=edits[:1]).texts["name"] == "Eve"


def test_of_link_and_unlink_the_newer_counts() -> None:
    link, unlink = (
        decide(number, kind, key=NUMBER) for number, kind in ((1, DecisionKind.LINK), (2, DecisionKind.UNLINK))
    )
    has = record(phones=[BY_ITSELF])
    assert one_of(has, decisions=(unlink,)).unlinked == [NUMBER]
    assert NUMBER not in one_of(has, decisions=(link, unlink)).identifiers
    again = decide(3, DecisionKind.LINK, key=NUMBER)
    assert NUMBER in one_of(has, decisions=(link, unlink, again)).identifiers
    assert one_of(record(), decisions=(link, unlink)).unlinked == []


@pytest.mark.parametrize(
    ("records", "decisions", "is_gone"),
    [
        ((record(name="A"),), (), False),
        ((record(name="A", state=RecordState.ARCHIVED),), (), True),
        ((record(name="A", state=RecordState.PURGED),), (), True),
        ((record(name="A"),), (decide(1, DecisionKind.DELETE),), True),
        ((), (decide(1, DecisionKind.CREATE, value={"name": "A"}),), False),
        ((record(name="A", state=RecordState.ARCHIVED),), (decide(1, DecisionKind.LINK, key=NUMBER),), True),
    ],
)
def test_who_is_gone_has_no_identifiers(records: Any, decisions: Any, is_gone: bool) -> None:
    projection = one_of(*records, decisions=decisions)
    assert projection.is_gone is is_gone
    assert bool(projection.identifiers) is not is_gone


def test_a_part_of_another_one_keeps_its_own_texts_only() -> None:
    part = redirect("C-2", [record("C-2", name="Grace", phones=[BY_ITSELF])], (), "C-1")
    assert (part.texts["name"], part.merged_into, part.identifiers) == ("Grace", "C-1", {})


# --- which customers are one


def ages(*homes: str) -> dict[str, datetime | None]:
    return {home: NOON + timedelta(minutes=number) for number, home in enumerate(homes)}


def roots(homes: dict[str, datetime | None], *, records: Any = (), decisions: Any = (), shared: Any = ()) -> Any:
    return {one.root: set(one.homes) for one in clusters(homes, records, decisions, shared)}


MERGE = decide(1, DecisionKind.MERGE, "C-2", other="C-1")
SPLIT = decide(2, DecisionKind.SPLIT, "C-1", other="C-2")


def test_a_merge_by_staff_names_the_kept_one_however_young_it_is() -> None:
    assert roots(ages("C-1", "C-2"), decisions=[MERGE]) == {"C-2": {"C-1", "C-2"}}


def test_a_split_cuts_a_merge_until_they_are_merged_again() -> None:
    assert roots(ages("C-1", "C-2"), decisions=[MERGE, SPLIT]) == {"C-1": {"C-1"}, "C-2": {"C-2"}}
    again = decide(3, DecisionKind.MERGE, "C-1", other="C-2")
    assert roots(ages("C-1", "C-2"), decisions=[MERGE, SPLIT, again]) == {"C-1": {"C-1", "C-2"}}


def test_a_merge_at_the_source_names_the_oldest_and_a_split_cuts_it() -> None:
    loser = record("C-1", state=RecordState.MERGED, into_remote_id="C-2")
    both = [loser, record("C-2")]
    assert roots(ages("C-1", "C-2"), records=both) == {"C-1": {"C-1", "C-2"}}
    assert roots(ages("C-1", "C-2"), records=both, decisions=[SPLIT]) == {"C-1": {"C-1"}, "C-2": {"C-2"}}
    assert roots(ages("C-1"), records=[loser]) == {"C-1": {"C-1"}}, "the other one is not known yet"


def test_chains_are_one() -> None:
    merges = [decide(number, DecisionKind.MERGE, f"C-{number}", other=f"C-{number + 1}") for number in (1, 2, 3)]
    assert roots(ages("C-4", "C-3", "C-2", "C-1"), decisions=merges) == {"C-1": {"C-1", "C-2", "C-3", "C-4"}}


@pytest.mark.parametrize(
    ("holders", "number_of_customers"),
    [
        ([("file", "C-1"), ("hub", "hub:7")], 2),
        ([("file", "C-1"), ("file", "C-2"), ("hub", "hub:7")], 3),
        ([("file", "C-1"), ("file", "C-2")], 3),
        ([("file", "C-1"), ("hub", "hub:7"), ("erp", "C-2")], 1),
    ],
)
def test_a_shared_id_joins_sources_that_have_it_once(holders: Any, number_of_customers: int) -> None:
    shared = [[Holder(source, "customer", home, home) for source, home in holders]]
    homes = ages("C-1", "C-2", "hub:7")
    assert len(roots(homes, shared=shared)) == number_of_customers


def test_a_home_without_a_customer_never_gives_the_id() -> None:
    homes = {"A-0": NEVER, **ages("C-1")}
    loser = record("A-0", state=RecordState.MERGED, into_remote_id="C-1")
    assert roots(homes, records=[loser, record("C-1")]) == {"C-1": {"A-0", "C-1"}}
