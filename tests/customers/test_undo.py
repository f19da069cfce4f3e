"""Undoing a change, undoing that, what stands in the way, and the next load of a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy.orm import Session

from enrich.customers import decisions, editing, records
from enrich.customers.audit import AuditAction, AuditedChange
from enrich.customers.export import export
from enrich.customers.identifiers import Identifier
from enrich.customers.records import Scope
from enrich.customers.seeding import SeedReport, seed
from enrich.customers.store import CustomerStore
from enrich.customers.undo import ChangedSince, UnreadableChange, undo_change
from enrich.database.engine import Database
from enrich.domain.matches import LookupKey, LookupKeys, Trust
from tests.support.customers import DANA, NOON, audited_change, customer_of

SHARED = Identifier("phone", "+14155550100")

ADA = {"id": "C-1", "name": "Ada Lovelace", "phones": ["+14155550100"], "notes": ["Mornings"]}
GRACE = {
    "id": "C-2",
    "name": "Grace Hopper",
    "phones": ["+14155550100", "+12125550123"],
    "cases": [{"id": "K-1", "subject": "Moth", "status": "open"}],
}


def seed_all(database: Database, *raws: Any) -> SeedReport:
    return seed(database, [customer_of(raw) for raw in raws], now=NOON)


def found(database: Database, key: Identifier, task_sid: str | None = None) -> set[tuple[str, str]]:
    keys = LookupKeys((LookupKey(key.kind, key.value, Trust.VERIFIED, "from"),), task_sid=task_sid)
    return {(one.kind, one.customer_id) for one in CustomerStore(database).find_candidates(keys)}


def undo(database: Database, audit_id: int) -> AuditedChange | ChangedSince | UnreadableChange | None:
    with database.transaction() as session:
        return undo_change(session, audit_id, DANA, NOON)


def link(session: Session, customer_id: str) -> Sequence[int]:
    new = editing.linked(SHARED, customer_id, records.owners(session, SHARED))
    return decisions.decide(session, new, DANA, NOON)


def linking(database: Database, customer_id: str = "C-1") -> int:
    return audited_change(
        database,
        Scope(keys=frozenset({SHARED})),
        lambda session: link(session, customer_id),
        task_sid="WT1",
        customer_id=customer_id,
    )


def test_an_identifier_given_to_one_is_taken_from_the_others_and_undo_gives_it_back(database: Database) -> None:
    seed_all(database, ADA, GRACE)
    assert found(database, SHARED) == {("phone", "C-1"), ("phone", "C-2")}
    made = linking(database)
    assert found(database, SHARED) == {("phone", "C-1")}
    undone = undo(database, made)
    assert isinstance(undone, AuditedChange)
    assert (set(undone.keys), set(undone.customers)) == ({SHARED}, {"C-2"})
    assert found(database, SHARED) == {("phone", "C-1"), ("phone", "C-2")}
    assert seed_all(database, ADA, GRACE) == SeedReport(created=0, changed=0, unchanged=2, bad=())


def test_an_undo_can_be_undone_and_then_the_first_change_can_be_undone_again(database: Database) -> None:
    seed_all(database, ADA, GRACE)
    made = linking(database)
    undone = undo(database, made)
    assert isinstance(undone, AuditedChange)
    assert undo(database, made) == ChangedSince(("it was undone already",))
    assert isinstance(undo(database, undone.audit_id), AuditedChange)
    assert found(database, SHARED) == {("phone", "C-1")}
    assert isinstance(undo(database, made), AuditedChange)
    assert found(database, SHARED) == {("phone", "C-1"), ("phone", "C-2")}


def test_an_undo_of_what_is_undone_already_does_not_put_it_into_effect_again(database: Database) -> None:
    def undone(audit_id: int) -> int:
        made = undo(database, audit_id)
        assert isinstance(made, AuditedChange)
        return made.audit_id

    seed_all(database, ADA, GRACE)
    linked = linking(database)
    redone = undone(undone(linked))
    undone_again = undone(linked)
    assert undo(database, redone) == ChangedSince(("it was undone already",))
    assert found(database, SHARED) == {("phone", "C-1"), ("phone", "C-2")}
    undone(undone_again)
    assert found(database, SHARED) == {("phone", "C-1")}
    undone(redone)
    assert found(database, SHARED) == {("phone", "C-1"), ("phone", "C-2")}
    assert undo(database, linked) == ChangedSince(("it was undone already",))


def test_links_are_undone_in_any_order(database: Database) -> None:
    seed_all(database, ADA, GRACE)
    first = linking(database)
    second = linking(database, "C-2")
    assert isinstance(undo(database, first), AuditedChange)
    assert found(database, SHARED) == {("phone", "C-2")}
    assert isinstance(undo(database, second), AuditedChange)
    assert found(database, SHARED) == {("phone", "C-1"), ("phone", "C-2")}


def test_a_pin_is_about_one_task_and_can_be_taken_back(database: Database) -> None:
    seed_all(database, ADA)
    scope = Scope(tasks=frozenset({"WT1"}))
    first = audited_change(
        database,
        scope,
        lambda session: records.pin(session, "WT1", "C-1", DANA, NOON),
        AuditAction.PINNED,
        task_sid="WT1",
    )
    second = audited_change(
        database,
        scope,
        lambda session: records.pin(session, "WT1", None, DANA, NOON),
        AuditAction.NOBODY,
        task_sid="WT1",
    )
    assert ("staff", "") in found(database, SHARED, "WT1")
    assert isinstance(undo(database, second), AuditedChange)
    assert ("staff", "C-1") in found(database, SHARED, "WT1")
    assert isinstance(undo(database, first), AuditedChange)
    assert found(database, SHARED, "WT1") == {("phone", "C-1")}


def creating(database: Database) -> int:
    new = editing.created(customer_of({"id": "S-1", "name": "New Customer"}))
    return audited_change(
        database,
        Scope(customers=frozenset({"S-1"})),
        lambda session: decisions.decide(session, [new], DANA, NOON),
        AuditAction.CREATED,
        customer_id="S-1",
    )


def test_a_creation_that_is_undone_leaves_nobody_and_comes_back(database: Database) -> None:
    undone = undo(database, creating(database))
    assert isinstance(undone, AuditedChange)
    with database.reading() as session:
        assert records.read(session, ["S-1"]) == {"S-1": None}
    assert isinstance(undo(database, undone.audit_id), AuditedChange)
    assert exported(database)["S-1"]["name"] == "New Customer"


def test_a_task_that_was_assigned_to_a_customer_who_is_gone_is_nobodys(database: Database) -> None:
    made = creating(database)
    audited_change(
        database,
        Scope(tasks=frozenset({"WT9"})),
        lambda session: records.pin(session, "WT9", "S-1", DANA, NOON),
        AuditAction.PINNED,
        task_sid="WT9",
    )
    assert ("staff", "S-1") in found(database, SHARED, "WT9")
    undone = undo(database, made)
    assert isinstance(undone, AuditedChange)
    assert found(database, SHARED, "WT9") == set()
    assert exported(database) == {}
    assert isinstance(undo(database, undone.audit_id), AuditedChange)
    assert ("staff", "S-1") in found(database, SHARED, "WT9")


def test_undoing_what_never_was_is_none(database: Database) -> None:
    assert undo(database, 4711) is None


# --- and the next seed


def exported(database: Database) -> dict[str, Any]:
    return {each["id"]: each for each in export(database)}


def test_the_next_seed_does_not_give_back_what_staff_took_away(database: Database) -> None:
    seed_all(database, ADA, GRACE)
    made = linking(database)
    assert seed_all(database, ADA, GRACE) == SeedReport(created=0, changed=0, unchanged=2, bad=(), settled=1)
    assert found(database, SHARED) == {("phone", "C-1")}
    undo(database, made)
    assert seed_all(database, ADA, GRACE).settled == 0


def merging(database: Database) -> int:
    return audited_change(
        database,
        Scope(customers=frozenset({"C-1", "C-2"})),
        lambda session: decisions.decide(session, [editing.merged("C-1", "C-2")], DANA, NOON),
        AuditAction.MERGED,
        customer_id="C-1",
    )


def test_what_the_file_says_of_a_merged_customer_is_the_others(database: Database) -> None:
    seed_all(database, ADA, GRACE)
    made = merging(database)
    assert seed_all(database, ADA, GRACE) == SeedReport(created=0, changed=0, unchanged=2, bad=(), settled=1)
    assert found(database, SHARED) == {("phone", "C-1")}
    assert set(exported(database)) == {"C-1"}
    moved = Identifier("phone", "+12125550124")
    seed_all(database, {**GRACE, "phones": [moved.value]})
    assert found(database, moved) == {("phone", "C-1")}
    assert isinstance(undo(database, made), AuditedChange)
    assert found(database, moved) == {("phone", "C-2")}
    assert exported(database)["C-2"]["name"] == "Grace Hopper"
