"""Customers on the page: the origin of each value, what disagrees, splitting, deleting, and undo in any order."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from enrich.accounts import users
from enrich.accounts.tables import Role
from enrich.customers import records, seeding
from enrich.customers.arrivals import Arrival, Origin
from enrich.customers.file_loads import batches_of, begin_load
from enrich.customers.fixture_rows import CustomerFixture, read_customer
from enrich.customers.fixtures import Reading
from enrich.customers.identifiers import Identifier
from enrich.customers.projection import RecordState
from enrich.customers.record_intake import apply_records
from enrich.customers.source_record import SourceRecord
from enrich.customers.streams import next_seq
from enrich.database.engine import Database
from tests.support.app import EMAIL, PASSWORD, services_of
from tests.support.databases import empty_postgresql
from tests.support.fixtures import MakeApp

NUMBER = Identifier("phone", "+14155550100")
ADA = {"id": "C-1", "name": "Ada Lovelace", "tier": "gold", "phones": ["+1 415 555 0100"]}
TOM = {"id": "C-2", "name": "Tom Bell", "tier": "silver", "emails": ["tom@example.com"]}

Post = Callable[..., Any]


def seed(database: Database, *rows: dict[str, Any]) -> None:
    seeding.seed(database, [read_customer(row, "US") for row in rows], now=datetime.now(UTC))


def push(database: Database, row: dict[str, Any], version: int, state: RecordState = RecordState.LIVE) -> None:
    """Apply a record of a CRM that shares account numbers with other sources."""
    customer = read_customer(row, "US", kinds=("account_number",))
    assert isinstance(customer, CustomerFixture)
    with database.transaction() as session:
        origin = Origin("acme", "contact", shared_kinds=frozenset({"account_number"}))
        arrival = Arrival(SourceRecord.of_fixture(customer), state, version)
        apply_records(session, origin, [arrival], datetime.now(UTC), seq=next_seq(session, "acme", "crm"))


@pytest.fixture(autouse=True)
def customers(database: Database) -> None:
    seed(database, ADA, TOM)


def version(database: Database, customer_id: str) -> str:
    with database.reading() as session:
        return str(records.version(session, customer_id))


def owners(database: Database, key: Identifier = NUMBER) -> tuple[str, ...]:
    with database.reading() as session:
        return records.owners(session, key)


def shown(page: str) -> str:
    """The text of a page, without its markup."""
    inline = re.sub(r"</?(?:bdi|time|code|strong|a)\b[^>]*>|<svg.*?</svg>", "", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", inline))


@pytest.fixture
def edit(browser: FlaskClient, database: Database) -> Post:
    def edit(customer_id: str, **values: Any) -> None:
        form = {"version": version(database, customer_id), **values}
        assert browser.post(f"/customers/{customer_id}/edit", data=form).status_code == 303

    return edit


@pytest.fixture
def merge(browser: FlaskClient, database: Database) -> Post:
    def merge(kept: str, gone: str) -> None:
        versions = [version(database, one) for one in (kept, gone)]
        form = {"other": gone, "kept": kept, "of": [kept, gone], "version": versions}
        assert browser.post(f"/customers/{kept}/merge", data=form).status_code == 303

    return merge


@pytest.fixture
def split(browser: FlaskClient, database: Database) -> Post:
    def split(customer_id: str, part: str) -> Any:
        form = {"part": part, "version": version(database, customer_id)}
        return browser.post(f"/customers/{customer_id}/split", data=form)

    return split


@pytest.fixture
def delete(browser: FlaskClient, database: Database) -> Post:
    def delete(customer_id: str) -> Any:
        return browser.post(f"/customers/{customer_id}/delete", data={"version": version(database, customer_id)})

    return delete


@pytest.fixture
def undo(browser: FlaskClient) -> Post:
    """Undo the newest change of the customer's trail whose button has this text."""

    def undo(customer_id: str, label: str) -> None:
        page = browser.get(f"/customers/{customer_id}").text
        found = re.search(rf'action="(/changes/\d+/undo)">(?:(?!</form>).)*aria-label="Undo: {label}', page, re.DOTALL)
        assert found, shown(page)
        assert browser.post(found[1], data={"back": f"/customers/{customer_id}"}).status_code == 303

    return undo


class TestOrigins:
    def test_what_comes_from_one_record_is_said_once(self, browser: FlaskClient) -> None:
        page = shown(browser.get("/customers/C-1").text)
        assert "Everything here comes from: file." in page
        assert "Where it comes from" not in page
        assert "Made of" not in page

    def test_an_edit_is_shown_with_what_the_file_says(self, browser: FlaskClient, edit: Post) -> None:
        edit("C-1", name="Ada King", tier="gold", phones="+1 415 555 0100")
        page = shown(browser.get("/customers/C-1").text)
        assert "Name edited by Dana Whitfield just now Ada Lovelace file" in page
        assert "All other details" in page

    def test_an_edit_that_gives_way_is_said_to(self, browser: FlaskClient, edit: Post, database: Database) -> None:
        edit("C-1", name="Ada King", tier="gold", phones="+1 415 555 0100")
        seed(database, {**ADA, "name": "Augusta Ada King"})
        page = shown(browser.get("/customers/C-1").text)
        assert "Name, edited by Dana Whitfield just now, is no longer shown" in page
        assert "something new: Ada King" in page
        assert "Augusta Ada King" in page

    def test_the_values_of_two_sources_stand_beside_each_other(self, browser: FlaskClient, database: Database) -> None:
        seed(database, {**ADA, "ids": {"account_number": "A-17"}})
        with database.transaction() as session:  # a file has no shared ids of its own
            session.execute(
                text("INSERT INTO shared_ids VALUES ('account_number', :value, 'file', 'customer', 'C-1')"),
                {"value": "a-17"},
            )
        push(database, {"id": "77", "name": "Ada King", "tier": "gold", "ids": {"account_number": "A-17"}}, 1)
        page = shown(browser.get("/customers/C-1").text)
        assert "Name file Ada King acme 77" in page
        assert "Tier file, acme 77" in page
        assert "acme:77 since just now acme 77 same account number" in page

    def test_an_identifier_names_its_records_and_who_linked_it(self, browser: FlaskClient, edit: Post) -> None:
        edit("C-2", name="Tom Bell", tier="silver", emails="tom@example.com", phones="+1 415 555 0177")
        page = shown(browser.get("/customers/C-2").text)
        assert "+14155550177 linked by Dana Whitfield just now" in page
        assert "tom@example.com file" in page

    def test_an_identifier_that_staff_took_away_names_who_has_it_and_who_took_it(
        self, browser: FlaskClient, edit: Post
    ) -> None:
        edit("C-1", name="Ada Lovelace", tier="gold")
        page = shown(browser.get("/customers/C-1").text)
        assert "although a source says so: +14155550100 file, unlinked by Dana Whitfield just now" in page

    def test_an_identifier_of_others_is_a_doubt_with_links(self, browser: FlaskClient, database: Database) -> None:
        seed(database, {"id": "C-3", "name": "Maria Bell", "phones": ["+1 415 555 0100"]})
        page = browser.get("/customers/C-1").text
        assert "Other customers have one of these, too" in shown(page)
        assert 'href="/customers/C-3"' in page
        assert "Other customers have" not in browser.get("/customers/C-2").text

    def test_colleagues_behind_one_switchboard_are_no_doubt(self, browser: FlaskClient, database: Database) -> None:
        seed(database, *({"id": f"C-{n}", "name": "A", "phones": [f"+1 415 555 0140 x{n}"]} for n in (3, 4)))
        assert "Other customers have" not in browser.get("/customers/C-3").text

    def test_a_viewer_sees_it_masked(self, browser: FlaskClient, database: Database, edit: Post) -> None:
        edit("C-1", name="Ada King", tier="gold", notes=["Owes us 100"])
        seed(database, {"id": "C-3", "name": "Maria Bell", "phones": ["+1 415 555 0100"]}, {**ADA, "name": "Ada Byron"})
        users.set_role(database, EMAIL, Role.VIEWER)
        page = browser.get("/customers/C-1").text
        assert "Where it comes from" in page
        for secret in ("Lovelace", "King", "Byron", "5550100", "555 0100", "Owes"):
            assert secret not in page


class TestTrailOfLoads:
    @pytest.fixture
    def load(self, database: Database, tmp_path: Path) -> Post:
        """Load a file of these customers, which has all of them, and is believed."""

        def load(*rows: dict[str, Any]) -> None:
            file = tmp_path / "crm.jsonl"
            file.write_text("".join(json.dumps(row) + "\n" for row in rows))
            reading, rules = Reading("US"), seeding.LoadRules(replaces=True, accepted=99)
            load = begin_load(database, file, reading, now=lambda: datetime.now(UTC), rules=rules)
            load.run(batches_of(file, reading))

        return load

    def test_the_trail_has_what_the_file_changed(self, browser: FlaskClient, load: Post) -> None:
        load({**ADA, "name": "Ada King", "phones": ["+1 415 555 0101"], "tier": ""}, TOM)
        page = shown(browser.get("/customers/C-1").text)
        assert "crm.jsonl changed name, tier, numbers, addresses or ids just now" in page
        assert "name: Ada Lovelace, then Ada King" in page
        assert "tier: gold, then none" in page
        assert "no longer: phone number +14155550100 new: phone number +14155550101" in page
        assert "Undo" not in page

    def test_an_edit_that_gives_way_to_the_file_is_named(self, browser: FlaskClient, edit: Post, load: Post) -> None:
        edit("C-1", name="Ada King", tier="gold", phones="+1 415 555 0100")
        load({**ADA, "name": "Augusta Ada King", "tier": "silver"}, TOM)
        page = shown(browser.get("/customers/C-1").text)
        assert "crm.jsonl changed name, tier, in place of what staff wrote in name just now" in page

    def test_an_edit_that_the_file_confirms_is_no_change(self, browser: FlaskClient, edit: Post, load: Post) -> None:
        edit("C-1", name="Ada King", tier="gold", phones="+1 415 555 0100")
        load({**ADA, "name": "Ada King"}, TOM)
        assert "in place of" not in shown(browser.get("/customers/C-1").text)

    def test_a_customer_who_is_no_longer_in_the_file_and_comes_back(self, browser: FlaskClient, load: Post) -> None:
        load(TOM)
        page = shown(browser.get("/customers/C-1").text)
        assert "crm.jsonl no longer has this customer" in page
        assert "No source has this customer any more (file, no longer in it)" in page
        load(ADA, TOM)
        assert "crm.jsonl has this customer again" in shown(browser.get("/customers/C-1").text)

    def test_a_viewer_sees_it_masked(self, browser: FlaskClient, database: Database, load: Post) -> None:
        load({**ADA, "name": "Ada King", "phones": ["+1 415 555 0101"]}, TOM)
        users.set_role(database, EMAIL, Role.VIEWER)
        page = browser.get("/customers/C-1").text
        assert "Before and after" in page
        for secret in ("Lovelace", "King", "5550100", "5550101"):
            assert secret not in page


class TestSplitting:
    def test_a_part_is_split_off_and_the_split_undone(
        self, browser: FlaskClient, database: Database, merge: Post, split: Post, undo: Post
    ) -> None:
        merge("C-2", "C-1")
        page = shown(browser.get("/customers/C-2").text)
        assert "C-1 since just now file merged by Dana Whitfield just now Split off" in page
        assert owners(database) == ("C-2",)
        assert split("C-2", "C-1").location == "/customers/C-2"
        assert owners(database) == ("C-1",)
        page = shown(browser.get("/customers/C-2").text)
        assert "split C-1 off C-2" in page
        assert "Made of" not in page
        undo("C-2", "split C-1 off C-2")
        assert owners(database) == ("C-2",)

    def test_merge_and_split_are_undone_in_any_order(
        self, database: Database, merge: Post, split: Post, undo: Post
    ) -> None:
        merge("C-2", "C-1")
        split("C-2", "C-1")
        undo("C-2", "merged")
        assert owners(database) == ("C-1",)
        undo("C-2", "split")
        assert owners(database) == ("C-1",)
        undo("C-2", "undid: split C-1 off C-2")
        undo("C-2", "undid: merged C-1 into C-2")  # which the split cuts
        assert owners(database) == ("C-1",)
        undo("C-2", "did again: split C-1 off C-2")
        assert owners(database) == ("C-2",)

    def test_a_customer_who_changed_meanwhile_is_not_split(
        self, browser: FlaskClient, database: Database, merge: Post
    ) -> None:
        merge("C-2", "C-1")
        before = version(database, "C-2")
        seed(database, {**TOM, "name": "Thomas Bell"})
        answer = browser.post("/customers/C-2/split", data={"part": "C-1", "version": before})
        assert answer.status_code == 409
        assert "nothing was split off" in answer.text
        assert owners(database) == ("C-2",)

    def test_what_is_no_part_splits_nothing(self, browser: FlaskClient, split: Post) -> None:
        assert split("C-1", "C-2").status_code == 303
        assert "Nothing had to be changed." in browser.get("/customers/C-1").text


class TestDeletion:
    def test_the_page_says_what_happens_and_the_deletion_is_undone(
        self, browser: FlaskClient, database: Database, delete: Post
    ) -> None:
        asked = shown(browser.get("/customers/C-1/delete").text)
        assert "No call, message or chat finds this customer any more: 1 number, address or id is taken away." in asked
        assert delete("C-1").location == "/customers/C-1"
        assert owners(database) == ()
        page = browser.get("/customers/C-1").text
        assert "Deleted by Dana Whitfield just now. No call" in shown(page)
        for path in ("edit", "merge", "delete"):
            assert f'href="/customers/C-1/{path}"' not in page
            assert browser.get(f"/customers/C-1/{path}").location == "/customers/C-1"
        found = re.search(r'action="(/changes/\d+/undo)"[^>]*>(?:(?!</form>).)*Undo the deletion', page, re.DOTALL)
        assert found
        browser.post(found[1], data={"back": "/customers/C-1"})
        assert owners(database) == ("C-1",)

    def test_the_file_does_not_bring_a_deleted_customer_back(self, database: Database, delete: Post) -> None:
        delete("C-1")
        seed(database, {**ADA, "name": "Augusta Ada King"}, TOM)
        assert owners(database) == ()

    def test_deletion_merge_and_edit_are_undone_in_odd_orders_while_the_file_changes(
        self, browser: FlaskClient, database: Database, edit: Post, merge: Post, delete: Post, undo: Post
    ) -> None:
        edit("C-1", name="Ada King", tier="gold", phones="+1 415 555 0100")
        merge("C-2", "C-1")
        delete("C-2")
        seed(database, {**ADA, "phones": ["+1 415 555 0100", "+1 415 555 0101"]}, {**TOM, "tier": "platinum"})
        undo("C-2", "merged")
        assert owners(database) == ("C-1",)
        assert "Ada King" in browser.get("/customers/C-1").text
        undo("C-1", "edited C-1")
        assert "Ada Lovelace" in browser.get("/customers/C-1").text
        undo("C-2", "deleted C-2")
        assert owners(database, Identifier("email", "tom@example.com")) == ("C-2",)
        assert owners(database, Identifier("phone", "+14155550101")) == ("C-1",)

    def test_a_customer_who_changed_meanwhile_is_not_deleted(self, browser: FlaskClient, database: Database) -> None:
        before = version(database, "C-1")
        seed(database, {**ADA, "tier": "platinum"})
        answer = browser.post("/customers/C-1/delete", data={"version": before})
        assert answer.status_code == 409
        assert owners(database) == ("C-1",)

    def test_a_customer_whom_no_source_has_any_more_says_so(self, browser: FlaskClient, database: Database) -> None:
        push(database, {"id": "77", "name": "Ada King"}, 1)
        push(database, {"id": "77", "name": "Ada King"}, 2, RecordState.PURGED)
        page = shown(browser.get("/customers/acme:77").text)
        assert "No source has this customer any more (acme 77, deleted there)" in page
        assert "<h1><bdi>acme:77</bdi></h1>" in browser.get("/customers/acme:77").text, "nobody is called nothing"

    @pytest.mark.parametrize("query", ["Ada", "+1 415 555 0100"])
    def test_a_deleted_customer_is_no_candidate(self, browser: FlaskClient, delete: Post, query: str) -> None:
        delete("C-1")
        assert 'href="/customers/C-1"' not in browser.get("/customers", query_string={"q": query}).text
        matches = browser.get("/customers/C-2/merge", query_string={"q": query}).text
        assert "other=C-1" not in matches
        assert browser.get("/customers/C-2/merge?other=C-1").status_code == 303

    def test_a_viewer_may_neither_delete_nor_split(self, browser: FlaskClient, database: Database) -> None:
        users.set_role(database, EMAIL, Role.VIEWER)
        for path in ("delete", "split"):
            form = {"version": version(database, "C-1"), "part": "C-1"}
            assert browser.post(f"/customers/C-1/{path}", data=form).status_code == 403
        assert owners(database) == ("C-1",)


class TestIdsThatNobodyCanHave:
    """On PostgreSQL a query with U+0000 is an error, which said that the database was unavailable."""

    @pytest.fixture
    def browser(self, postgresql: Any, make_app: MakeApp) -> FlaskClient:
        app = make_app(DATABASE_URL=str(postgresql))
        database = services_of(app).database
        empty_postgresql(database)
        users.add(database, email=EMAIL, role=Role.EDITOR, password=PASSWORD)
        seed(database, ADA)
        app.config["WTF_CSRF_ENABLED"] = False
        browser = app.test_client()
        browser.post("/login", data={"email": EMAIL, "password": PASSWORD})
        return browser

    @pytest.fixture(autouse=True)
    def customers(self) -> None:
        """None of the others' database."""

    @pytest.mark.parametrize("page", ["", "/edit", "/merge", "/delete"])
    def test_their_pages_are_not_found(self, browser: FlaskClient, page: str) -> None:
        assert browser.get(f"/customers/a%00b{page}").status_code == 404

    def test_they_are_no_other_customer_and_no_part(self, browser: FlaskClient) -> None:
        assert browser.get("/customers/C-1/merge?other=a%00b").status_code == 200
        assert browser.post("/customers/C-1/merge", data={"kept": "C-1", "other": "a\0b"}).status_code == 400
        form = {"part": "a\0b", "version": "1"}
        assert browser.post("/customers/C-1/split", data=form).status_code == 303
