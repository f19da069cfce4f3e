"""Erasure: nothing of the person is left anywhere in the store."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

from sqlalchemy import select

from enrich.customers import audit, decisions, editing, streams
from enrich.customers.arrivals import Arrival
from enrich.customers.audit import AuditAction
from enrich.customers.identifiers import Identifier
from enrich.customers.projection import CUSTOMER, Decision, DecisionKind, RecordState
from enrich.customers.record_reading import read_record
from enrich.customers.records import Actor, Scope
from enrich.customers.source_record import SourceRecord
from enrich.customers.stream_writer import StreamWriter
from enrich.customers.tables import CustomerRow
from enrich.database.engine import Database
from enrich.database.types import Base

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
DANA = Actor(None, "dana@example.com")
FIELDS = {"name": "Ada Lovelace", "phones": ["+14155550100"], "notes": ["Prefers mornings"], "tier": "gold"}


def writer_of(database: Database) -> StreamWriter:
    with database.transaction() as session:
        lease = streams.join(session, "hub", CUSTOMER, kind="push")
    return StreamWriter(database, lease, lambda: NOON, by="source hub")


def push(database: Database, *remote_ids: str) -> None:
    read = [read_record(key, FIELDS | {"emails": [f"ada{key}@example.org"]}, "US").record for key in remote_ids]
    writer_of(database).apply([Arrival(one, version=1) for one in read if one], read_after=None)


def erase(database: Database, *remote_ids: str) -> None:
    for key in remote_ids:
        erased = Arrival(SourceRecord.tombstone(key), RecordState.ERASED, version=2)
        writer_of(database).apply([erased], read_after=None)


def decide(database: Database, action: AuditAction, *new: Decision) -> None:
    homes = frozenset(home for one in new for home in (one.subject, one.other) if home)
    with database.transaction() as session:
        act = partial(decisions.decide, session, new, DANA, NOON)
        assert audit.change(session, Scope(homes), action, DANA, NOON, act, customer_id=new[0].subject)


def edited(home: str, name: str) -> Sequence[Decision]:
    return (Decision(0, DecisionKind.EDIT, home, field="name", value=name, base="Ada Lovelace"),)


def everything(database: Database) -> str:
    """Return all rows of the store as text."""
    rows = {name: [list(row) for row in database.read(select(table))] for name, table in Base.metadata.tables.items()}
    return json.dumps(rows, default=str)


def test_nothing_is_left_but_that_there_was_somebody(database: Database) -> None:
    push(database, "1")
    decide(database, AuditAction.EDITED, *edited("hub:1", "Ada King"))
    decide(database, AuditAction.LINKED, *editing.linked(Identifier("phone", "+14155550199"), "hub:1", ()))
    decide(database, AuditAction.UNLINKED, editing.unlinked(Identifier("email", "ada1@example.org"), "hub:1"))
    assert "Ada King" in everything(database)
    erase(database, "1")
    left = everything(database)
    for secret in ("Ada", "415555", "mornings", "ada1", "gold"):
        assert secret not in left, secret
    assert "hub:1" in left
    assert AuditAction.UNLINKED in left


def test_of_a_merged_customer_the_other_half_stays(database: Database) -> None:
    push(database, "1", "2")
    decide(database, AuditAction.EDITED, *edited("hub:1", "Ada King"))
    decide(database, AuditAction.MERGED, editing.merged("hub:2", "hub:1"))
    erase(database, "1")
    left = everything(database)
    assert "ada1@" not in left
    assert "Ada King" not in left
    assert "ada2@example.org" in left
    (row,) = database.read(select(CustomerRow.name, CustomerRow.is_gone).where(CustomerRow.id == "hub:2"))
    assert (row.name, row.is_gone) == ("Ada Lovelace", False)
    erase(database, "2")
    assert "Ada" not in everything(database)
    assert DecisionKind.MERGE in everything(database)


def test_it_comes_back_by_no_version(database: Database) -> None:
    push(database, "1")
    erase(database, "1")
    push(database, "1")
    assert "Ada" not in everything(database)
