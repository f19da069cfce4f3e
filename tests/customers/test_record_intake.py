"""Records of a source: which of two is newer, what a tombstone does, and rows that go in past the comparison."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from sqlalchemy import select

from enrich import errors
from enrich.customers import audit, decisions, editing, projector, stream_writer, streams
from enrich.customers.arrivals import Arrival, Origin, RecordOutcome, home_of
from enrich.customers.audit import AuditAction
from enrich.customers.export import export
from enrich.customers.fixture_rows import CustomerFixture, read_customer
from enrich.customers.identifiers import Identifier
from enrich.customers.projection import Decision, DecisionKind, RecordState
from enrich.customers.record_batches import RecordBatch
from enrich.customers.record_intake import Applied, apply_records, plan_records, prepare_records
from enrich.customers.records import Actor, Scope
from enrich.customers.seeding import Load, seed
from enrich.customers.source_record import SourceRecord
from enrich.customers.source_tables import SourceRecordRow
from enrich.customers.tables import CustomerRow, IdentifierRow
from enrich.database.engine import Database
from tests.support.customer_rows import ROWS
from tests.support.customers import customer_of
from tests.support.databases import copy_template, seed_customers
from tests.support.plans import plans_of

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
HUB = Origin("hub", "contact")
DANA = Actor(1, "dana@example.com")


def customer(customer_id: str, **fields: Any) -> CustomerFixture:
    return customer_of({"id": customer_id, "name": "Ada", **fields})


def record(remote_id: str = "7", **fields: Any) -> SourceRecord:
    return SourceRecord.of_fixture(customer(remote_id, **fields))


def apply(database: Database, *arrivals: Arrival, origin: Origin = HUB) -> Applied:
    with database.transaction() as session:
        seq = streams.next_seq(session, origin.source, "push")
        return apply_records(session, origin, arrivals, NOW, seq=seq)


def push(database: Database, version: int, **fields: Any) -> RecordOutcome:
    return apply(database, Arrival(record(**fields), version=version)).outcomes["7"]


def name_of(database: Database, customer_id: str = "hub:7") -> str:
    (row,) = database.read(select(CustomerRow.name).where(CustomerRow.id == customer_id))
    return str(row.name)


def everything(database: Database) -> projector.Recomputed:
    """Compute all customers anew; nothing is changed where the store was equal to the rules."""
    ids = [row.id for row in database.read(select(CustomerRow.id))]
    with database.transaction() as session:
        return projector.recompute(session, ids, NOW)


def test_a_pushed_record_is_applied_in_the_order_of_its_versions(database: Database) -> None:
    assert push(database, 2, name="Second") is RecordOutcome.CREATED
    assert push(database, 1, name="First") is RecordOutcome.OLDER
    assert push(database, 2, name="Second") is RecordOutcome.UNCHANGED
    assert push(database, 3, name="Third") is RecordOutcome.CHANGED
    assert name_of(database) == "Third"


def test_two_records_of_one_version_end_alike_in_both_orders(database: Database) -> None:
    both = ["Ada", "Grace"]
    for name in both:
        push(database, 1, name=name)
    first = name_of(database)
    for name in reversed(both):
        apply(database, Arrival(record("8", name=name), version=1))
    assert name_of(database, "hub:8") in both
    assert {push(database, 1, name=name) for name in both} == {RecordOutcome.OLDER, RecordOutcome.UNCHANGED}
    assert name_of(database) == first


def test_two_states_of_one_version_end_alike_in_both_orders(database: Database) -> None:
    ends = (
        (RecordState.PURGED, None),
        (RecordState.MERGED, "2"),
        (RecordState.MERGED, "3"),
        (RecordState.ARCHIVED, None),
    )
    for remote_id, order in (("7", ends), ("8", ends[::-1])):
        for state, into in order:
            apply(database, Arrival(SourceRecord.tombstone(remote_id), state, 1, into))
    states = database.read(select(SourceRecordRow.state, SourceRecordRow.into_remote_id))
    assert {tuple(row) for row in states} == {(RecordState.PURGED, None)}


def test_what_was_read_is_the_present_whatever_its_version(database: Database) -> None:
    push(database, 9, name="From the future")
    with database.reading() as session:
        began = streams.seq(session, "hub")
    read = Origin("hub", "contact", read_after=began)
    assert apply(database, Arrival(record(), version=1), origin=read).outcomes["7"] is RecordOutcome.CHANGED
    push(database, 10, name="Pushed meanwhile")
    late = apply(database, Arrival(record(name="Read before"), version=1), origin=read)
    assert late.outcomes["7"] is RecordOutcome.OLDER
    assert name_of(database) == "Pushed meanwhile"


@pytest.mark.parametrize("state", [RecordState.ARCHIVED, RecordState.PURGED])
def test_a_tombstone_hides_the_customer_and_a_newer_record_brings_them_back(
    database: Database, state: RecordState
) -> None:
    push(database, 1, phones=["+14155550100"])
    gone = apply(database, Arrival(SourceRecord.tombstone("7"), state, version=2))
    assert (gone.outcomes["7"], gone.removed.records) == (RecordOutcome.REMOVED, 1)
    assert list(export(database)) == []
    assert database.read(select(IdentifierRow.id)) == []
    assert push(database, 1, phones=["+14155550100"]) is RecordOutcome.OLDER
    assert push(database, 3, phones=["+14155550100"]) is RecordOutcome.CHANGED
    assert [one["id"] for one in export(database)] == ["hub:7"]


def test_a_tombstone_of_nobody_makes_no_customer_and_keeps_older_records_out(database: Database) -> None:
    apply(database, Arrival(SourceRecord.tombstone("7"), RecordState.PURGED, version=2))
    assert database.read(select(CustomerRow.id)) == []
    assert push(database, 1) is RecordOutcome.OLDER
    assert database.read(select(CustomerRow.id)) == []


def test_what_is_erased_comes_back_by_no_version(database: Database) -> None:
    push(database, 1)
    apply(database, Arrival(SourceRecord.tombstone("7"), RecordState.ERASED, version=2))
    assert push(database, 99) is RecordOutcome.OLDER
    (row,) = database.read(select(SourceRecordRow.fields, SourceRecordRow.state))
    assert (row.fields, row.state) == ({}, "erased")


@pytest.mark.parametrize("read_after", [None, 0], ids=["pushed", "read, but applied since"])
def test_an_erasure_is_never_too_late(database: Database, read_after: int | None) -> None:
    push(database, 2, phones=["+14155550100"])
    erased = Arrival(SourceRecord.tombstone("7"), RecordState.ERASED, version=1)
    late = apply(database, erased, origin=Origin("hub", "contact", read_after))
    assert late.outcomes["7"] is RecordOutcome.REMOVED
    assert push(database, 3) is RecordOutcome.OLDER
    (row,) = database.read(select(SourceRecordRow.state, SourceRecordRow.fields))
    assert (row.state, row.fields) == ("erased", {})


def test_a_long_remote_id_has_a_home_that_fits() -> None:
    assert home_of("hub", "7") == "hub:7"
    assert home_of("file", "x" * 64) == "x" * 64
    long = home_of("hub", "x" * 128)
    assert len(long) <= 64
    assert long != home_of("hub", "y" * 128)


# --- rows that go in past the comparison


def test_the_built_in_customers_are_what_the_rules_say(database: Database) -> None:
    seed_customers(database)
    assert everything(database).changed == frozenset()


@settings(max_examples=40, deadline=None)
@given(row=ROWS)
def test_a_new_customer_is_what_the_rules_say(
    sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory, row: dict[str, Any]
) -> None:
    read = read_customer(row, "US")
    database = Database(copy_template(sqlite_template, tmp_path_factory.mktemp("new") / "crm.db"))
    seed(database, [read], now=NOW)
    assert everything(database).changed == frozenset()
    database.close()


def test_somebody_who_changes_customers_during_a_load_is_heeded(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the comparison and the insert staff create the very customer, and give them a number."""
    number = Identifier("phone", "+14155550199")

    def plan_and_decide(*arguments: Any) -> Any:
        plan = plan_records(*arguments)
        new = [editing.created(customer("C-1", name="By staff")), *editing.linked(number, "C-1", ())]
        with database.transaction() as session:
            act = partial(decisions.decide, session, new, DANA, NOW)
            audit.change(session, Scope(frozenset({"C-1"})), AuditAction.CREATED, DANA, NOW, act)
        return plan

    monkeypatch.setattr(stream_writer, "plan_records", plan_and_decide)
    report = seed(database, [customer("C-1", name="By file", company="Engines")], now=NOW)
    assert (report.created, report.changed) == (0, 1)
    (exported,) = export(database)
    assert exported == {"id": "C-1", "name": "By file", "company": "Engines", "phones": [number.value]}
    assert everything(database).changed == frozenset()


def test_a_load_that_lost_its_lease_changes_nothing_more(database: Database) -> None:
    load = Load(database, lambda: NOW)
    later = Load(database, lambda: NOW.replace(hour=13), owner="another")
    with pytest.raises(errors.LeaseLost):
        load.run([RecordBatch((SourceRecord.of_fixture(customer("C-1")),), 1)])
    assert list(export(database)) == []
    assert later.run([]).created == 0


def test_a_change_that_was_prepared_heeds_what_staff_did_meanwhile(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the computation and the transaction staff edit the very customer."""
    seed(database, [customer("C-1", company="Engines")], now=NOW)
    prepare = prepare_records

    def prepare_and_decide(*arguments: Any) -> Any:
        prepared = prepare(*arguments)
        tier = Decision(0, DecisionKind.EDIT, "C-1", field="tier", value="gold", base="")
        with database.transaction() as session:
            act = partial(decisions.decide, session, [tier], DANA, NOW)
            audit.change(session, Scope(frozenset({"C-1"})), AuditAction.EDITED, DANA, NOW, act)
        return prepared

    monkeypatch.setattr(stream_writer, "prepare_records", prepare_and_decide)
    assert seed(database, [customer("C-1", company="Analytical Engines")], now=NOW).changed == 1
    (exported,) = export(database)
    assert (exported["company"], exported.get("tier")) == ("Analytical Engines", "gold" if database.is_sqlite else None)
    assert everything(database).changed == frozenset()


@pytest.mark.parametrize("fields", [{"phones": []}, {"name": "Grace"}, {"notes": ["New"], "phones": ["+14155550101"]}])
def test_what_is_prepared_is_what_is_applied(database: Database, fields: dict[str, Any]) -> None:
    """On SQLite changes are computed before their transaction, on PostgreSQL in it."""
    seed(database, [customer("C-1", phones=["+14155550100"], notes=["Old"])], now=NOW)
    report = seed(database, [customer("C-1", **fields)], now=NOW)
    assert (report.changed, report.unchanged) == (1, 0)
    assert everything(database).changed == frozenset()


def test_no_statement_of_a_batch_walks_through_the_records_of_a_source(sqlite_database: Database) -> None:
    """SQLite took the beginning of the primary key for the best index: a changed customer of a million took 50 ms."""
    push(sqlite_database, 1, phones=["+14155550100"])
    plans = plans_of(
        sqlite_database,
        lambda: push(sqlite_database, 2, phones=["+14155550101"]),
        lambda: apply(sqlite_database, Arrival(record("8"), version=1)),
    )
    searches = [line for plan in plans for line in plan.splitlines() if "source_records" in line]
    assert len(searches) >= 6
    assert all(re.search(r"(remote_id|home_id)=\?", line) for line in searches), searches
