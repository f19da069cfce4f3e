"""The promises of the store: staff and sources do not undo each other, nothing leaves by accident, nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select

from enrich import errors
from enrich.customers import audit, decisions, editing, records
from enrich.customers.audit import AuditAction, AuditedChange
from enrich.customers.export import export
from enrich.customers.fixture_rows import CustomerFixture
from enrich.customers.identifiers import Identifier
from enrich.customers.projection import Decision, DecisionKind
from enrich.customers.projector import recompute
from enrich.customers.record_batches import RecordBatch
from enrich.customers.records import Actor, Record, Scope
from enrich.customers.seeding import Load, LoadRules, SeedReport, seed
from enrich.customers.source_record import SourceRecord
from enrich.customers.source_tables import SourceRecordRow
from enrich.customers.streams import LEASE
from enrich.customers.undo import undo_change
from enrich.database.engine import Database
from enrich.database.types import Base
from enrich.domain.lengths import CUSTOMER_TEXTS
from tests.support.customers import customer_of

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
DANA = Actor(None, "dana@example.com")
NUMBER, OTHER_NUMBER = "+14155550100", "+14155550101"


def row(customer_id: str, **fields: Any) -> CustomerFixture:
    return customer_of({"id": customer_id, "name": "Ada", **fields})


def load(
    database: Database,
    *rows: CustomerFixture,
    now: datetime = NOON,
    replaces: bool = False,
    accepted: int | None = None,
) -> SeedReport:
    return seed(database, rows, now=now, rules=LoadRules(replaces, accepted))


def change(database: Database, action: AuditAction, scope: Scope, new: Sequence[Decision]) -> int:
    with database.transaction() as session:
        made = audit.change(
            session, scope, action, DANA, NOON, lambda: decisions.decide(session, new, DANA, NOON), customer_id="C-1"
        )
    assert made is not None
    return made.audit_id


def undo(database: Database, audit_id: int) -> None:
    with database.transaction() as session:
        assert isinstance(undo_change(session, audit_id, DANA, NOON), AuditedChange)


def phones(database: Database) -> dict[str, list[str]]:
    return {one["id"]: sorted(one.get("phones", [])) for one in export(database)}


def merge(database: Database) -> int:
    return change(database, AuditAction.MERGED, Scope(frozenset({"C-1", "C-2"})), [editing.merged("C-1", "C-2")])


# --- staff and sources


def test_a_number_that_the_source_gives_to_a_merged_customer_is_not_lost(database: Database) -> None:
    load(database, row("C-1"), row("C-2"))
    merge(database)
    load(database, row("C-2", phones=[NUMBER]))
    assert phones(database) == {"C-1": [NUMBER]}


def test_a_merge_is_undone_although_the_source_changed_both_since(database: Database) -> None:
    load(database, row("C-1", phones=[NUMBER]), row("C-2"))
    merged = merge(database)
    load(database, row("C-1", phones=[OTHER_NUMBER]), row("C-2", phones=[NUMBER]))
    undo(database, merged)
    assert phones(database) == {"C-1": [OTHER_NUMBER], "C-2": [NUMBER]}


def test_a_deleted_row_that_comes_back_does_not_bring_the_number_that_staff_took_away(database: Database) -> None:
    load(database, row("C-1", phones=[NUMBER, OTHER_NUMBER]))
    key = Identifier("phone", NUMBER)
    unlinked = change(database, AuditAction.UNLINKED, Scope(keys=frozenset({key})), [editing.unlinked(key, "C-1")])
    load(database, row("C-2"), replaces=True)
    assert phones(database) == {"C-2": []}
    load(database, row("C-1", phones=[NUMBER, OTHER_NUMBER]))
    assert phones(database) == {"C-1": [OTHER_NUMBER], "C-2": []}
    undo(database, unlinked)
    assert phones(database) == {"C-1": [NUMBER, OTHER_NUMBER], "C-2": []}


@pytest.mark.parametrize(
    ("name", "was", "said", "kept"),
    [
        ("name", "Ada Lovelace", "Ada King", "Ada Byron"),
        ("notes", ["Mornings"], ["Evenings"], ["Call twice"]),
    ],
)
def test_an_edit_of_staff_stands_until_the_source_says_something_new(
    database: Database, name: str, was: Any, said: Any, kept: Any
) -> None:
    def shown() -> Any:
        (customer,) = export(database)
        return customer[name]

    load(database, row("C-1", **{name: was}))
    edit = Decision(0, DecisionKind.EDIT, "C-1", field=name, value=kept, base=was)
    change(database, AuditAction.EDITED, Scope(frozenset({"C-1"})), [edit])
    assert load(database, row("C-1", **{name: was})) == SeedReport(created=0, changed=0, unchanged=1, bad=(), settled=1)
    assert shown() == kept
    assert load(database, row("C-1", **{name: said})) == SeedReport(created=0, changed=1, unchanged=0, bad=())
    assert shown() == said
    assert load(database, row("C-1", **{name: said})).settled == 0
    assert load(database, row("C-1", **{name: was})).settled == 1, "the source says again what staff had corrected"
    assert shown() == kept


# --- the brake: 2 % of 300 are 6, and 20 are few


def test_a_customer_without_numbers_is_deleted_for_good(database: Database) -> None:
    load(database, row("C-1"))
    about = Scope(frozenset({"C-1"}))
    change(database, AuditAction.UNLINKED, about, [editing.unlinked(Identifier("customer_id", "c-1"), "C-1")])
    deletion = change(database, AuditAction.DELETED, about, [editing.deleted("C-1")])
    with database.transaction() as session:
        assert recompute(session, ["C-1"], NOON).changed == frozenset()
    assert phones(database) == {}
    undo(database, deletion)
    assert phones(database) == {"C-1": []}


def many(number: int = 300) -> list[CustomerFixture]:
    return [row(f"C-{one:03}", phones=[f"+1415555{one:04}"]) for one in range(number)]


def test_a_mass_deletion_stops_before_the_first_customer_is_gone(database: Database) -> None:
    load(database, *many())
    with pytest.raises(errors.BrakeApplied) as stopped:
        load(database, *many()[:-100], replaces=True)
    assert stopped.value.removed == 100
    assert len(phones(database)) == 300
    with pytest.raises(errors.BrakeApplied):
        load(database, *many()[:-100], replaces=True, accepted=99)
    assert len(phones(database)) == 300
    assert load(database, *many()[:-100], replaces=True, accepted=100).removed == 100
    assert len(phones(database)) == 200


def test_a_mass_deletion_in_small_portions_within_a_day_stops_as_well(database: Database) -> None:
    load(database, *many())
    for portion in range(1, 10):
        load(database, *many(300 - 2 * portion), replaces=True, now=NOON + timedelta(hours=portion))
    for portion in range(10, 21):
        with pytest.raises(errors.BrakeApplied):
            load(database, *many(282 - 2), replaces=True, now=NOON + timedelta(hours=portion))
    assert len(phones(database)) == 282
    # A day after the first portion there is room for another one.
    load(database, *many(282 - 2), replaces=True, now=NOON + timedelta(hours=25, minutes=1))
    assert len(phones(database)) == 280


def test_numbers_that_vanish_from_a_file_stop_as_well(database: Database) -> None:
    load(database, *many())
    with pytest.raises(errors.BrakeApplied):
        load(database, *(row(one.id, phones=[]) for one in many()))
    assert sum(map(len, phones(database).values())) > 280


# --- one load at a time


def test_a_second_load_waits_until_the_first_one_is_over_or_dead(database: Database) -> None:
    now = [NOON]
    first = Load(database, lambda: now[0], owner="process 1 on first.example.com")
    with pytest.raises(errors.StreamTaken):
        Load(database, lambda: now[0], owner="process 1 on second.example.com")
    first.run([batch(row("C-1"))])
    Load(database, lambda: now[0], owner="process 1 on second.example.com")
    now[0] += LEASE + timedelta(seconds=1)
    third = Load(database, lambda: now[0], owner="process 1 on third.example.com")
    assert third.run([batch(row("C-2"))]).created == 1


def test_a_runner_that_lost_its_lease_rolls_back(database: Database) -> None:
    now = [NOON]
    load(database, row("C-1", phones=[NUMBER]))
    slow = Load(database, lambda: now[0], owner="process 1 on slow.example.com")
    now[0] += LEASE + timedelta(seconds=1)
    other = Load(database, lambda: now[0], owner="process 1 on other.example.com")
    with pytest.raises(errors.LeaseLost):
        slow.run([batch(row("C-1", phones=[OTHER_NUMBER]), row("C-2"))])
    assert phones(database) == {"C-1": [NUMBER]}
    other.run([batch(row("C-1", phones=[]))])
    assert phones(database) == {"C-1": []}


def test_a_load_that_another_one_followed_begins_anew(database: Database) -> None:
    """The second one had forgotten what the first one saw, and died before it applied anything."""
    rules = LoadRules(replaces=True, accepted=10)

    def begin(digest: str) -> Load:
        return Load(database, lambda: NOON, digest=digest, rules=rules)

    first, rest = batch(row("C-1"), row("C-2")), batch(row("C-3"))

    def dying() -> Iterator[RecordBatch]:
        yield first
        raise InterruptedError

    with pytest.raises(InterruptedError):
        begin("of a file").run(dying())
    assert begin("of a file").rows_done == 2
    begin("of another file")
    again = begin("of a file")
    assert again.rows_done == 0
    again.run([first, rest])
    assert sorted(one["id"] for one in export(database)) == ["C-1", "C-2", "C-3"]


def batch(*rows: CustomerFixture) -> RecordBatch:
    return RecordBatch(tuple(SourceRecord.of_fixture(one) for one in rows), len(rows))


# --- customers of before, in rows as the code of before wrote them

IDS = ("C-1", "C-2", "C-3")
KEYS = st.sampled_from(
    [("phone", NUMBER), ("phone", OTHER_NUMBER), ("email", "ada@example.com"), ("account_number", "1")]
)


@st.composite
def stores(draw: st.DrawFn) -> dict[str, Record]:
    """Customers of whom the last may be merged into the first, as records of records.py."""
    is_merged = draw(st.booleans())
    customers: dict[str, Record] = {}
    for id_ in IDS:
        record = records.empty_record(draw(st.sampled_from(["Ada", "Eve"])))
        record["company"] = draw(st.sampled_from(["", "Engines"]))
        keys = draw(st.dictionaries(KEYS, st.sampled_from(["crm", "staff"]), max_size=3))
        own = ["customer_id", id_.lower(), id_, "crm"]
        gone = [["customer_id", "c-3", "C-3", "crm"]] if is_merged and id_ == "C-1" else []
        record["identifiers"] = sorted([own, *gone, *([kind, value, value, by] for (kind, value), by in keys.items())])
        taken = draw(st.lists(KEYS, max_size=2, unique=True))
        record["unlinked"] = sorted([kind, value] for kind, value in taken if (kind, value) not in keys)
        record["notes"] = draw(st.lists(st.sampled_from(["Mornings", "Moved"]), max_size=2, unique=True))
        record["cases"] = draw(st.sampled_from([[], [["K-1", "Lamp", "open", ""]]]))
        record["settled"] = draw(st.sampled_from([None, {"name": "Amy"}, {"notes": []}, {"company": "Looms"}]))
        customers[id_] = record
    if is_merged:
        customers["C-3"] |= {"merged_into": "C-1", "identifiers": [], "unlinked": [], "notes": [], "cases": []}
    return customers


def as_seen(database: Database) -> dict[str, Any]:
    """Return what anybody sees of these customers, without who it is from."""
    with database.reading() as session:
        stored = records.read(session, IDS)
    seen: dict[str, Any] = {}
    for id_, record in stored.items():
        assert record is not None
        texts = () if record["merged_into"] else CUSTOMER_TEXTS  # of a part, nobody sees them
        seen[id_] = {name: record[name] for name in (*texts, "merged_into", "notes", "cases")}
        seen[id_]["identifiers"] = [key[:3] for key in record["identifiers"]]
    return seen


def inherit(record: Record, other: Record) -> None:
    """Give the record the identifiers of another one, as a merge did."""
    known = [key[:2] for key in record["identifiers"]]
    record["identifiers"] += [[*key[:3], "staff"] for key in other["identifiers"] if key[:2] not in known]
    record["identifiers"].sort()
    record["unlinked"] = [key for key in record["unlinked"] if key not in [one[:2] for one in record["identifiers"]]]


@given(before=stores(), after=stores(), touched=st.permutations(IDS))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_customers_of_before_are_as_they_were(
    database: Database, before: dict[str, Record], after: dict[str, Record], touched: list[str]
) -> None:
    """Rows that older code wrote, also beside newer code, read the same after their adoption."""
    with database.transaction() as session:
        for table in reversed(Base.metadata.sorted_tables):
            session.execute(delete(table))
    if after["C-3"]["merged_into"]:  # what is part of another one is not edited
        after["C-3"] |= {name: before["C-3"][name] for name in (*CUSTOMER_TEXTS, "settled")}
        inherit(after["C-1"], before["C-3"])
    for written in (before, after):
        with database.transaction() as session:
            for id_, record in written.items():
                records.put(session, id_, record, NOON)
        seen = as_seen(database)
        for id_ in touched:
            with database.transaction() as session:
                recompute(session, [id_], NOON)
            assert as_seen(database) == seen
        with database.transaction() as session:
            assert recompute(session, IDS, NOON).changed == frozenset()


# --- customers whom staff made, changed by code of before that runs beside this one


def create(database: Database, customer_id: str, **fields: Any) -> None:
    new = [editing.created(row(customer_id, **fields))]
    change(database, AuditAction.CREATED, Scope(frozenset({customer_id})), new)


def change_as_before(database: Database, **values: Any) -> tuple[Record, Record]:
    """Change C-1 as the code of before does; return the customer as it is then, and as it is after the adoption."""
    with database.transaction() as session:
        record = records.read(session, ["C-1"])["C-1"]
        assert record is not None
        changed = {**record, **values}
        records.put(session, "C-1", changed, NOON)
        recompute(session, ["C-1"], NOON)
        adopted = records.read(session, ["C-1"])["C-1"]
        assert adopted is not None
    return changed, adopted


OWN = ["customer_id", "c-1", "C-1", "staff"]


@pytest.mark.parametrize(
    "values",
    [
        {"name": "Grace", "settled": {"name": "Ada"}},
        {"notes": ["Moved"], "settled": {"notes": []}},
        {"identifiers": [OWN]},
        {"identifiers": [OWN, ["phone", NUMBER, NUMBER, "staff"], ["phone", OTHER_NUMBER, OTHER_NUMBER, "staff"]]},
    ],
    ids=["a name", "notes", "a number less", "a number more"],
)
def test_a_customer_of_staff_is_as_before_and_of_no_file(database: Database, values: dict[str, Any]) -> None:
    create(database, "C-1", phones=[NUMBER])
    changed, adopted = change_as_before(database, **values)
    assert adopted == changed
    assert not database.read(select(SourceRecordRow.remote_id))


def test_a_customer_of_staff_is_as_a_file_of_before_left_it(database: Database) -> None:
    create(database, "C-1", company="Engines", tier="gold", notes=["Moved"])
    _, adopted = change_as_before(database, name="Grace", company="", notes=["Mornings"])
    assert [adopted[name] for name in ("name", "company", "tier", "notes")] == ["Grace", "", "gold", ["Mornings"]]


def test_a_number_that_a_file_and_staff_gave_stays_away(database: Database) -> None:
    create(database, "C-1", phones=[NUMBER])
    load(database, row("C-1", phones=[NUMBER]))
    _, adopted = change_as_before(database, identifiers=[["customer_id", "c-1", "C-1", "crm"]])
    assert [key[0] for key in adopted["identifiers"]] == ["customer_id"]


def test_a_customer_does_not_take_what_staff_gave_to_a_part_of_it(database: Database) -> None:
    create(database, "C-2", name="Eve", phones=[OTHER_NUMBER])
    create(database, "C-1", name="Ada", phones=[NUMBER])
    merged = merge(database)
    change_as_before(database, identifiers=[OWN, ["email", "ada@example.com", "ada@example.com", "crm"]])
    undo(database, merged)
    (first, second) = export(database)
    assert (first["name"], first.get("phones"), first["emails"]) == ("Ada", None, ["ada@example.com"])
    assert (second["name"], second["phones"]) == ("Eve", [OTHER_NUMBER])
