"""The audit trail: the entries of tasks and customers, and changes that leave none."""

from __future__ import annotations

from functools import partial

from sqlalchemy import select

from enrich.customers import audit, decisions, editing, records
from enrich.customers.audit import AuditAction
from enrich.customers.identifiers import Identifier
from enrich.customers.records import Scope
from enrich.customers.seeding import seed
from enrich.customers.source_tables import DecisionRow
from enrich.customers.undo import undo_change
from enrich.database.engine import Database
from tests.support.customers import ADA, DANA, NOON, audited_change, customer_of

NUMBER = Identifier("phone", "+14155550100")


def test_a_change_that_changes_nothing_leaves_no_trail_and_no_decision(database: Database) -> None:
    seed(database, [customer_of(ADA)], now=NOON)
    with database.transaction() as session:
        new = editing.linked(NUMBER, ADA["id"], records.owners(session, NUMBER))
        act = partial(decisions.decide, session, new, DANA, NOON)
        scope = Scope(keys=frozenset({NUMBER}))
        assert audit.change(session, scope, AuditAction.LINKED, DANA, NOON, act) is None
        assert audit.entries_of_customer(session, ADA["id"]) == ()
        assert session.scalars(select(DecisionRow.id)).all() == []


def test_the_entries_of_a_task_and_of_its_customer_are_newest_first(database: Database) -> None:
    seed(database, [customer_of(ADA)], now=NOON)

    def pin(customer_id: str | None, action: AuditAction) -> int:
        scope = Scope(tasks=frozenset({"WT1"}))
        act = partial(records.pin, task_sid="WT1", customer_id=customer_id, by=DANA, at=NOON)
        return audited_change(database, scope, act, action, task_sid="WT1")

    pin(ADA["id"], AuditAction.PINNED)
    last = pin(None, AuditAction.NOBODY)
    with database.transaction() as session:
        undo_change(session, last, DANA, NOON)
    with database.reading() as session:
        entries = audit.entries_of_task(session, "WT1")
        assert [entry.action for entry in entries] == ["undone", "nobody", "pinned"]
        assert {entry.by for entry in entries} == {"dana@example.com"}
        assert len(audit.entries_of_customer(session, ADA["id"])) == 3
