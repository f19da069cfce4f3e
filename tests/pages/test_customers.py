"""Customers on the page: identifiers that somebody else has, and decisions that cross."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from enrich import __version__
from enrich.customers import audit, records, seeding
from enrich.customers.audit import AuditAction
from enrich.customers.fixture_rows import read_customer
from enrich.customers.identifiers import Identifier
from enrich.customers.records import Actor, Scope
from enrich.database.engine import Database
from tests.support.journal import Make

NUMBER = Identifier("phone", "+14155550100")
ED = Actor(None, "Ed Moss")
ADA = {"id": "C-1", "name": "Ada Lovelace", "phones": ["+1 415 555 0100", "+1 415 555 0140 x12"]}
TOM = {"id": "C-2", "name": "Tom Bell", "emails": ["tom@example.com"]}


Save = Callable[..., TestResponse]


@pytest.fixture(autouse=True)
def customers(database: Database) -> None:
    rows = [read_customer(customer, "US") for customer in (ADA, TOM)]
    seeding.seed(database, rows, now=datetime.now(UTC))


def owners(database: Database, key: Identifier = NUMBER) -> tuple[str, ...]:
    with database.reading() as session:
        return records.owners(session, key)


def version(database: Database, customer_id: str) -> int | None:
    with database.reading() as session:
        return records.version(session, customer_id)


class TestIdentifiersOfOthers:
    @pytest.fixture(params=["C-3", "C-2"], ids=["created", "edited"])
    def customer_id(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    @pytest.fixture
    def save(self, customer_id: str, browser: FlaskClient, database: Database) -> Save:
        """Save Tom with this number; as a new customer, or as an edit."""

        def save(number: str, **answer: str) -> TestResponse:
            form = {"name": "Tom Bell", "phones": number, **answer}
            if customer_id == "C-3":
                return browser.post("/new-customer", data={"id": "C-3", **form})
            form["version"] = str(version(database, "C-2"))
            return browser.post("/customers/C-2/edit", data=form)

        return save

    def test_the_reader_is_asked_and_nothing_is_saved(self, save: Save, customer_id: str, database: Database) -> None:
        page = save("+1 415 555 0100")
        assert page.status_code == 422
        assert 'href="/customers/C-1"' in page.text
        assert "Ada Lovelace" in page.text
        assert owners(database) == ("C-1",)

    def test_the_number_is_shared(self, save: Save, customer_id: str, database: Database) -> None:
        assert save("+1 415 555 0100", ownership="share").status_code == 303
        assert owners(database) == ("C-1", customer_id)

    def test_the_number_is_moved_and_undo_gives_it_back(
        self, save: Save, customer_id: str, browser: FlaskClient, database: Database
    ) -> None:
        assert save("+1 415 555 0100", ownership="move").status_code == 303
        assert owners(database) == (customer_id,)
        page = browser.get(f"/customers/{customer_id}").text
        undo = re.search(r'action="(/changes/\d+/undo)"', page)
        assert undo
        assert browser.post(undo[1]).status_code == 303
        assert owners(database) == ("C-1",)

    def test_a_colleague_behind_one_switchboard_is_no_question(self, save: Save) -> None:
        assert save("+1 415 555 0140 x13").status_code == 303

    def test_an_answer_that_is_none_asks_again(self, save: Save, customer_id: str, database: Database) -> None:
        assert save("+1 415 555 0100", ownership="all of them").status_code == 422
        assert owners(database) == ("C-1",)


def test_what_a_customer_has_already_is_no_question(browser: FlaskClient, database: Database) -> None:
    form = {"name": "Ada King", "phones": ["+1 415 555 0100"], "version": str(version(database, "C-1"))}
    assert browser.post("/customers/C-1/edit", data=form).status_code == 303


@pytest.mark.parametrize("path", ["/", "/customers/C-1", "/customers/C-1/edit", "/customers/C-1/merge?other=C-2"])
def test_every_page_ends_with_the_version_of_the_service(browser: FlaskClient, path: str) -> None:
    """A page whose form has a version of its own showed that one."""
    assert f"TaskRouter Enrich {__version__}</footer>" in browser.get(path).text


def test_undoing_a_creation_leads_to_the_customers_and_not_to_a_page_that_is_gone(browser: FlaskClient) -> None:
    created = browser.post("/new-customer", data={"id": "C-3", "name": "Hedy Lamarr"})
    assert created.location == "/customers/C-3"
    page = browser.get("/customers/C-3").text
    undo = re.search(r'action="(/changes/\d+/undo)"', page)
    assert undo
    undone = browser.post(undo[1], data={"back": "/customers/C-3"}, follow_redirects=True)
    assert (undone.status_code, undone.request.path) == (200, "/customers")
    assert "Undone." in undone.text


class TestCrossingDecisions:
    @pytest.fixture
    def decide(self, database: Database, make_entry: Make) -> Callable[[str], None]:
        """Ed decides about the task."""
        make_entry(task_sid="WT1")

        def decide(customer_id: str) -> None:
            at = datetime.now(UTC)
            with database.transaction() as session:
                audit.change(
                    session,
                    Scope(tasks=frozenset({"WT1"})),
                    AuditAction.PINNED,
                    ED,
                    at,
                    lambda: records.pin(session, "WT1", customer_id, ED, at),
                    task_sid="WT1",
                    customer_id=customer_id,
                )

        return decide

    @pytest.mark.parametrize("act", ["choose", "nobody", "release", "create"])
    def test_a_later_decision_is_not_replaced_unseen(
        self, browser: FlaskClient, database: Database, decide: Callable[[str], None], act: str
    ) -> None:
        page = browser.get("/tasks/WT1/settle").text
        known = re.search(r'name="decision" value="(\d+)"', page)
        assert known
        decide("C-2")
        form = {"act": act, "customer": "C-1", "name": "Hedy Lamarr", "decision": known[1]}
        answer = browser.post("/tasks/WT1/settle", data=form)
        assert answer.status_code == 409
        assert "Ed Moss" in answer.text
        with database.reading() as session:
            newest = audit.newest_decision(session, "WT1")
            assert newest
            assert (newest.by, newest.customer_id) == ("Ed Moss", "C-2")
        assert f'name="decision" value="{newest.id}"' in answer.text, "decided again, it is the reader's to replace"

    def test_a_decision_that_was_seen_is_replaced(
        self, app: Flask, browser: FlaskClient, database: Database, decide: Callable[[str], None]
    ) -> None:
        decide("C-2")
        page = browser.get("/tasks/WT1/settle").text
        known = re.search(r'name="decision" value="(\d+)"', page)
        assert known
        form = {"act": "choose", "customer": "C-1", "decision": known[1]}
        assert browser.post("/tasks/WT1/settle", data=form).status_code == 303
        with database.reading() as session:
            newest = audit.newest_decision(session, "WT1")
            assert newest
            assert newest.customer_id == "C-1"
