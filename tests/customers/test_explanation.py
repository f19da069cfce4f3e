"""The provenance of stored customers, read on both databases."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text

from enrich.customers import decisions, editing, explanation
from enrich.customers.explanation import Explanation
from enrich.customers.fixture_rows import read_customer
from enrich.customers.identifiers import Identifier
from enrich.customers.records import Actor
from enrich.customers.seeding import seed
from enrich.database.engine import Database

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
DANA = Actor(None, "Dana")
ADA = {"id": "C-1", "name": "Ada Lovelace", "phones": ["+1 415 555 0100", "+1 415 555 0140 x12"]}
TOM = {"id": "C-2", "name": "Tom Bell", "phones": ["+1 415 555 0100", "+1 415 555 0140 x13"]}


@pytest.fixture(autouse=True)
def customers(database: Database) -> None:
    seed(database, [read_customer(row, "US") for row in (ADA, TOM)], now=NOW)


def explain(database: Database, customer_id: str) -> Explanation | None:
    with database.reading() as session:
        return explanation.explain(session, customer_id)


def decide(database: Database, *new: Any) -> None:
    with database.transaction() as session:
        decisions.decide(session, new, DANA, NOW)


def test_parts_have_the_time_of_their_creation_and_decisions_their_author(database: Database) -> None:
    decide(database, editing.merged("C-1", "C-2"))
    found = explain(database, "C-1")
    assert found
    assert found.since == {"C-1": NOW, "C-2": NOW}
    (join,) = found.provenance.parts[1].joins
    assert join.decision
    assert (found.authors[join.decision.id].by, found.authors[join.decision.id].at) == ("Dana", NOW)
    assert found.authors[join.decision.id].audit_id is None, "the trail does not have it"
    assert explain(database, "C-2") is None, "it is explained with the customer that it is part of"


def test_other_owners_are_those_of_a_number_alone_and_not_of_the_same_switchboard(database: Database) -> None:
    found = explain(database, "C-1")
    assert found
    assert found.other_owners == {Identifier("phone", "+14155550100"): ("C-2",)}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE customers SET version = version + 1",
        "UPDATE source_records SET state = 'mislaid'",
        "UPDATE decisions SET kind = 'ignore'",
    ],
    ids=["changed by code from before", "a state of a newer version", "a decision of a newer version"],
)
def test_what_this_version_did_not_compute_is_not_explained(database: Database, statement: str) -> None:
    decide(database, editing.deleted("C-1"))
    assert explain(database, "C-1")
    database.write(text(statement))
    assert explain(database, "C-1") is None


def test_nobody_is_not_explained(database: Database) -> None:
    assert explain(database, "C-9") is None
