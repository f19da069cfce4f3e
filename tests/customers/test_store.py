from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.engine.interfaces import Dialect

from enrich import errors
from enrich.customers import audit, decisions, editing
from enrich.customers.audit import AuditAction, AuditedChange
from enrich.customers.look_up_statements import (
    MAX_NOTES,
    MAX_OPEN_CASES,
    candidates_statement,
    customer_statement,
    look_up_statement,
)
from enrich.customers.matching import MAX_CANDIDATES_PER_KEY
from enrich.customers.records import EMPTY_STATE, Actor, Scope
from enrich.customers.store import CustomerStore, LookUpResult
from enrich.customers.tables import AuditCustomerRow, AuditRow, CaseRow, CustomerRow, IdentifierRow, NoteRow, PinRow
from enrich.customers.undo import undo_change
from enrich.database.engine import Database
from enrich.database.types import Base
from enrich.domain.matches import (
    MAX_KEYS,
    Candidate,
    Case,
    Customer,
    LookupKey,
    LookupKeys,
    Matched,
    NoMatch,
    NoMatchReason,
    Trust,
)

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


def store_rows(database: Database, row: type[Base], rows: Iterable[dict[str, Any]]) -> None:
    with database.transaction() as session:
        session.execute(insert(row), list(rows))


def store_customers(database: Database, *customer_ids: str, phone: str = "+14155550100") -> None:
    store_rows(
        database,
        CustomerRow,
        ({"id": one, "name": f"Customer {one}", "updated_at": NOON} for one in customer_ids),
    )
    store_rows(
        database,
        IdentifierRow,
        ({"customer_id": one, "kind": "phone", "value": phone, "as_written": phone} for one in customer_ids),
    )


def keys_of(*identifiers: tuple[str, str]) -> LookupKeys:
    return LookupKeys(tuple(LookupKey(kind, value, Trust.VERIFIED, "from") for kind, value in identifiers))


def test_every_customer_with_one_of_the_keys_is_a_candidate(database: Database) -> None:
    store_customers(database, "C-2", "C-1")
    store_customers(database, "C-3", phone="+14155550101")
    store_customers(database, "C-4", phone="+14155550102")
    found = CustomerStore(database).find_candidates(
        keys_of(("phone", "+14155550100"), ("email", "+14155550102"), ("phone", "+14155550101"))
    )
    assert set(found) == {
        Candidate("C-1", "Customer C-1", "phone", "+14155550100", "+14155550100"),
        Candidate("C-2", "Customer C-2", "phone", "+14155550100", "+14155550100"),
        Candidate("C-3", "Customer C-3", "phone", "+14155550101", "+14155550101"),
    }
    assert len(found) == 3


def test_without_keys_nothing_is_asked() -> None:
    store = CustomerStore(None)  # type: ignore[arg-type]  # there is none that could be asked
    assert store.find_candidates(LookupKeys()) == ()
    assert store.look_up(LookupKeys()) == LookUpResult()


def test_a_number_that_many_share_does_not_keep_a_better_key_out(database: Database) -> None:
    store_customers(database, *(f"A-{number:04}" for number in range(MAX_CANDIDATES_PER_KEY + 50)))
    store_customers(database, "Z-1", phone="+14155550101")
    found = CustomerStore(database).find_candidates(keys_of(("phone", "+14155550100"), ("phone", "+14155550101")))
    assert len(found) == MAX_CANDIDATES_PER_KEY + 1
    assert Candidate("Z-1", "Customer Z-1", "phone", "+14155550101", "+14155550101") in found


def test_a_customer_comes_with_the_newest_notes_and_the_open_cases(database: Database) -> None:
    store_rows(
        database,
        CustomerRow,
        [
            {
                "id": "C-1",
                "name": "Ada",
                "company": "Analytical Engines",
                "tier": "gold",
                "language": "en",
                "owner": "dana@example.com",
                "updated_at": NOON,
            }
        ],
    )
    store_rows(database, NoteRow, [{"customer_id": "C-1", "position": n, "text": f"note {n}"} for n in (2, 0, 1)])
    statuses = ["CLOSED", "open", "Resolved", "waiting", "done", "Solved"]
    store_rows(
        database,
        CaseRow,
        [
            {"customer_id": "C-1", "id": f"K-{n}", "position": n, "subject": "s", "status": status, "opened_on": ""}
            for n, status in enumerate(statuses)
        ],
    )
    assert CustomerStore(database).fetch_customer("C-1") == Customer(
        id="C-1",
        name="Ada",
        company="Analytical Engines",
        tier="gold",
        language="en",
        owner="dana@example.com",
        notes=("note 0", "note 1", "note 2"),
        open_cases=(Case("K-1", "s", "open"), Case("K-3", "s", "waiting")),
    )


def test_a_long_history_is_cut(database: Database) -> None:
    store_customers(database, "C-1")
    store_rows(database, NoteRow, [{"customer_id": "C-1", "position": n, "text": "n"} for n in range(MAX_NOTES + 5)])
    store_rows(
        database,
        CaseRow,
        [
            {"customer_id": "C-1", "id": f"K-{n}", "position": n, "subject": "s", "status": "open"}
            for n in range(MAX_OPEN_CASES + 5)
        ],
    )
    customer = CustomerStore(database).fetch_customer("C-1")
    assert customer is not None
    assert (len(customer.notes), len(customer.open_cases)) == (MAX_NOTES, MAX_OPEN_CASES)


def store_one_with_history(database: Database) -> None:
    store_customers(database, "C-1")
    email = {"customer_id": "C-1", "kind": "email", "value": "ada@example.com", "as_written": "ada@example.com"}
    store_rows(database, IdentifierRow, [email])
    store_rows(database, NoteRow, [{"customer_id": "C-1", "position": n, "text": f"note {n}"} for n in (1, 0)])
    case = {"customer_id": "C-1", "id": "K-1", "position": 0, "subject": "s", "status": "open", "opened_on": ""}
    store_rows(database, CaseRow, [case])


def test_the_only_candidate_comes_with_all_details(database: Database) -> None:
    store_one_with_history(database)
    store_customers(database, "C-2", phone="+14155550102")
    store = CustomerStore(database)
    for keys in (
        keys_of(("phone", "+14155550100")),
        keys_of(("phone", "+14155550100"), ("email", "ada@example.com"), ("phone", "+14155550109")),
    ):
        found = store.look_up(keys)
        assert sorted(found.candidates, key=str) == sorted(store.find_candidates(keys), key=str)
        assert found.customer == store.fetch_customer("C-1")
        assert found.customer is not None
        assert found.customer.notes == ("note 0", "note 1")


def test_of_several_candidates_no_details_are_fetched(database: Database) -> None:
    store_one_with_history(database)
    store_customers(database, "C-2", "C-3", phone="+14155550102")
    store = CustomerStore(database)
    for keys in (
        keys_of(("phone", "+14155550102")),
        keys_of(("phone", "+14155550100"), ("phone", "+14155550102")),
    ):
        found = store.look_up(keys)
        assert sorted(found.candidates, key=str) == sorted(store.find_candidates(keys), key=str)
        assert found.customer is None
    chosen = Matched("C-1", "Customer C-1", keys.keys[0])
    assert store.details_of(chosen, found) == store.fetch_customer("C-1")
    assert store.details_of(NoMatch(NoMatchReason.NO_KEY), store.look_up(keys_of(("phone", "+14155550100")))) is None


def test_a_key_that_nobody_has_finds_nobody(database: Database) -> None:
    store_customers(database, "C-1")
    assert CustomerStore(database).look_up(keys_of(("phone", "+14155550109"))) == LookUpResult()


def test_nobody_of_that_id_is_none(database: Database) -> None:
    store_rows(database, CustomerRow, [{"id": "C-1", "name": "Ada", "updated_at": NOON}])
    assert CustomerStore(database).fetch_customer("C-2") is None
    assert CustomerStore(database).fetch_customer("") is None


def test_not_being_able_to_look_is_an_error_of_ours(tmp_path: Any) -> None:
    database = Database(f"sqlite:///{tmp_path / 'empty.db'}")
    store = CustomerStore(database)
    with pytest.raises(errors.DatabaseError):
        store.find_candidates(keys_of(("phone", "+14155550100")))
    with pytest.raises(errors.DatabaseError):
        store.fetch_customer("C-1")
    with pytest.raises(errors.DatabaseError):
        store.look_up(keys_of(("phone", "+14155550100")))
    database.close()


def test_several_look_ups_find_together_what_each_finds_alone(database: Database) -> None:
    store, shared = CustomerStore(database), "+14155550103"
    store_customers(database, "C-1", phone="+14155550100")
    store_customers(database, "C-2", "C-3", phone="+14155550101")
    store_customers(database, *(f"A-{n:03}" for n in range(MAX_CANDIDATES_PER_KEY + 5)), phone=shared)
    for customer_id in ("C-1", "C-2"):
        notes = [{"customer_id": customer_id, "position": n, "text": f"n {n}"} for n in range(MAX_NOTES + 5)]
        store_rows(database, NoteRow, notes)
        statuses = ("Closed", "open", "waiting")
        cases = [
            {"customer_id": customer_id, "position": n, "id": f"K-{n}", "subject": "s", "status": status}
            for n, status in enumerate(statuses)
        ]
        store_rows(database, CaseRow, cases)
    several = [
        keys_of(("phone", "+14155550100")),
        keys_of(("phone", "+14155550109")),
        keys_of(("phone", "+14155550101")),
        LookupKeys(),
        keys_of(("phone", "+14155550100"), ("phone", "+14155550100")),
        keys_of(("phone", "+14155550100"), ("phone", "+14155550101")),
        keys_of(("phone", shared)),
        keys_of(("email", "+14155550100"), ("phone", "+14155550100")),
        keys_of(("phone", "+14155550100")),
    ]
    alone = [store.look_up(keys) for keys in several]
    assert [bool(found.customer) for found in alone] == [True, False, False, False, True, False, False, True, True]
    together = store.look_up_together(several)
    assert [found.customer for found in together] == [found.customer for found in alone]
    assert [sorted(map(str, found.candidates)) for found in together] == [
        sorted(map(str, found.candidates)) for found in alone
    ]
    assert store.look_up_together([]) == []


def plan_of(database: Database, statement: Any, parameters: dict[str, str]) -> list[str]:
    dialect: Dialect = database.engine.dialect
    sql = statement.params(parameters).compile(dialect=dialect, compile_kwargs={"literal_binds": True})
    return [row.detail for row in database.read(text(f"EXPLAIN QUERY PLAN {sql}".replace(":", "\\:")))]


@pytest.mark.parametrize("number_of_keys", [1, 2, MAX_KEYS])
def test_a_look_up_reads_an_index_and_never_the_table(sqlite_database: Database, number_of_keys: int) -> None:
    parameters = {f"{name}_{number}": "x" for name in ("kind", "value") for number in range(number_of_keys)}
    plan = plan_of(sqlite_database, candidates_statement(number_of_keys), parameters)
    searches = [step for step in plan if step.startswith("SEARCH identifiers")]
    assert len(searches) == number_of_keys
    assert all("INDEX" in step and "(kind=? AND value=?)" in step for step in searches)
    assert not [step for step in plan if step.startswith(("SCAN identifiers", "SCAN customers", "USE TEMP"))]


@pytest.mark.parametrize("number_of_keys", [1, MAX_KEYS])
def test_a_look_up_with_details_reads_indexes_only(sqlite_database: Database, number_of_keys: int) -> None:
    parameters = {f"{name}_{number}": "x" for name in ("kind", "value") for number in range(number_of_keys)}
    plan = plan_of(sqlite_database, look_up_statement(number_of_keys, of_task=True), parameters | {"task_sid": "WT1"})
    assert len([step for step in plan if step.startswith("SEARCH identifiers")]) == number_of_keys  # found only once
    for table in ("identifiers", "customers", "notes", "cases", "pins"):
        assert any(step.startswith(f"SEARCH {table} USING") for step in plan), table
        assert not any(step.startswith(f"SCAN {table}") for step in plan), table


def test_fetching_a_customer_reads_indexes_only(sqlite_database: Database) -> None:
    plan = plan_of(sqlite_database, customer_statement(), {"customer_id": "C-1"})
    for table in ("customers", "notes", "cases"):
        assert any(step.startswith(f"SEARCH {table} USING") for step in plan), table
        assert not any(step.startswith(f"SCAN {table}") for step in plan), table


class CountingDatabase(Database):
    """Counts the statements that read."""

    reads = 0

    def read(self, *arguments: Any, **options: Any) -> Any:
        self.reads += 1
        return super().read(*arguments, **options)


def test_what_staff_said_of_the_task_comes_with_the_candidates_in_one_statement(
    database: Database,
) -> None:
    store_customers(database, "C-1")
    store_rows(
        database,
        PinRow,
        [
            {"task_sid": "WT1", "customer_id": "C-1", "by": "dana@example.com", "at": NOON},
            {"task_sid": "WT2", "customer_id": None, "by": "dana@example.com", "at": NOON},
        ],
    )
    store = CustomerStore(database)
    assert store.find_candidates(LookupKeys(task_sid="WT1")) == (Candidate("C-1", "Customer C-1", "staff", "WT1"),)
    assert store.find_candidates(LookupKeys(task_sid="WT2")) == (Candidate("", "", "staff", "WT2"),)
    assert store.find_candidates(LookupKeys(task_sid="WT3")) == ()
    keys = replace(keys_of(("phone", "+14155550100")), task_sid="WT2")
    counting = CountingDatabase(database.url.render_as_string(hide_password=False))
    assert len(CustomerStore(counting).find_candidates(keys)) == 2
    counting.close()
    assert counting.reads == 1
    of_nobody = store.look_up(LookupKeys(task_sid="WT2"))
    assert of_nobody == LookUpResult((Candidate("", "", "staff", "WT2"),))
    assert store.look_up(LookupKeys(task_sid="WT1")).customer == store.fetch_customer("C-1")
    assert store.look_up(keys).customer is None


def test_asking_about_a_task_reads_indexes_only(sqlite_database: Database) -> None:
    parameters = {"kind_0": "x", "value_0": "x", "task_sid": "WT1"}
    plan = plan_of(sqlite_database, candidates_statement(1, of_task=True), parameters)
    assert not [step for step in plan if step.startswith(("SCAN identifiers", "SCAN customers", "SCAN pins"))]


def test_what_staff_did_is_kept_for_a_time(database: Database) -> None:
    """With the customers whom a row of the trail is about; the customers themselves stay."""
    store_customers(database, "C-1")
    early, late = NOON - timedelta(days=1), NOON + timedelta(days=1)
    store_rows(
        database,
        PinRow,
        ({"task_sid": f"WT{at.day}", "customer_id": "C-1", "by": "dana", "at": at} for at in (early, late)),
    )
    nothing = {"by": "dana", "action": "link", "before": {}, "after": {}}
    store_rows(database, AuditRow, ({"id": at.day, "at": at, **nothing} for at in (early, late)))
    store_rows(database, AuditCustomerRow, ({"audit_id": at.day, "customer_id": "C-1"} for at in (early, late)))
    store = CustomerStore(database)
    store.prune(NOON)
    assert [row.task_sid for row in database.read(select(PinRow.task_sid))] == [f"WT{late.day}"]
    assert [row.id for row in database.read(select(AuditRow.id))] == [late.day]
    assert [row.audit_id for row in database.read(select(AuditCustomerRow.audit_id))] == [late.day]
    assert store.fetch_customer("C-1") is not None


def test_a_decision_that_stands_can_be_undone_after_its_time(database: Database) -> None:
    store_customers(database, "C-1")
    deletion, dana = [editing.deleted("C-1")], Actor(1, "dana")
    with database.transaction() as session:
        act = partial(decisions.decide, session, deletion, dana, NOON)
        made = audit.change(session, Scope(frozenset({"C-1"})), AuditAction.DELETED, dana, NOON, act)
    assert made is not None
    for _ in range(2):  # the second time there is nothing to do
        CustomerStore(database).prune(NOON + timedelta(days=1))
    (kept,) = database.read(select(AuditRow.id, AuditRow.before, AuditRow.after))
    assert (kept.id, kept.before, kept.after) == (made.audit_id, EMPTY_STATE, EMPTY_STATE)
    with database.transaction() as session:
        undone = undo_change(session, made.audit_id, dana, NOON + timedelta(days=2))
    assert isinstance(undone, AuditedChange)
    assert undone.customers == {"C-1"}
    assert not database.read(select(CustomerRow.is_gone))[0].is_gone
    CustomerStore(database).prune(NOON + timedelta(days=1))
    assert [row.id for row in database.read(select(AuditRow.id))] == [undone.audit_id]
