"""Splitting, deleting and undoing in a real browser, in odd orders; with script and without."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from enrich.customers import records, seeding
from enrich.customers.fixture_rows import read_customer
from enrich.customers.identifiers import Identifier
from enrich.database.engine import Database
from tests.support.browser import collect_complaints, needs_chromium, sign_in

pytestmark = needs_chromium

ADA = {"id": "C-1", "name": "Ada Lovelace", "tier": "gold", "phones": ["+1 415 555 0100"]}
TOM = {"id": "C-2", "name": "Tom Bell", "emails": ["tom@example.com"]}
NUMBER, ADDRESS = Identifier("phone", "+14155550100"), Identifier("email", "tom@example.com")


def seed(database: Database, *rows: dict[str, Any]) -> None:
    seeding.seed(database, [read_customer(row, "US") for row in rows], now=datetime.now(UTC))


def owners(database: Database, *keys: Identifier) -> list[tuple[str, ...]]:
    with database.reading() as session:
        return [records.owners(session, key) for key in keys]


@pytest.fixture(params=[True, False], ids=["with script", "without script"])
def page(
    request: pytest.FixtureRequest, chromium: Browser, origin: str, complaints: list[str], database: Database
) -> Iterator[Page]:
    """A browser in which Dana is signed in."""
    seed(database, ADA, TOM)
    context = chromium.new_context(base_url=origin, java_script_enabled=request.param)
    page = context.new_page()
    collect_complaints(page, complaints)
    sign_in(page)
    yield page
    context.close()


def merge(page: Page, kept: str, gone: str) -> None:
    page.goto(f"/customers/{kept}/merge?other={gone}")
    page.get_by_role("button", name="Merge", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("Merged.")


def undo(page: Page, customer_id: str, label: str) -> None:
    page.goto(f"/customers/{customer_id}")
    page.get_by_role("button", name=f"Undo: {label}").first.click()
    expect(page.get_by_role("status")).to_contain_text("Undone.")


def test_a_customer_is_deleted_and_restored(page: Page, database: Database, complaints: list[str]) -> None:
    page.goto("/customers/C-1")
    page.get_by_role("link", name="Delete").click()
    expect(page.get_by_role("heading", name="Delete Ada Lovelace?")).to_be_visible()
    page.get_by_role("link", name="Cancel").click()
    page.get_by_role("link", name="Delete").click()
    page.get_by_role("button", name="Delete customer").click()
    expect(page.get_by_text("No call, message or chat finds this customer any more")).to_be_visible()
    expect(page.get_by_role("link", name="Edit")).to_have_count(0)
    assert owners(database, NUMBER) == [()]
    page.goto("/customers?q=Ada")
    expect(page.get_by_text("No customer found")).to_be_visible()
    page.goto("/customers/C-1")
    page.get_by_role("button", name="Undo the deletion").click()
    expect(page.get_by_role("link", name="Edit")).to_be_visible()
    assert owners(database, NUMBER) == [("C-1",)]
    assert complaints == []


def test_a_part_is_split_off_and_the_split_is_undone(page: Page, database: Database, complaints: list[str]) -> None:
    merge(page, "C-1", "C-2")
    expect(page.get_by_role("region", name="Made of")).to_contain_text("merged by Dana Whitfield")
    page.get_by_role("button", name="Split off C-2").click()
    expect(page.get_by_role("status")).to_contain_text("Split off")
    assert owners(database, NUMBER, ADDRESS) == [("C-1",), ("C-2",)]
    page.get_by_role("status").get_by_role("button", name="Undo").click()
    expect(page.get_by_role("region", name="Made of")).to_be_visible()
    assert owners(database, NUMBER, ADDRESS) == [("C-1",), ("C-1",)]
    assert complaints == []


def test_merge_edit_split_and_deletion_are_undone_in_an_odd_order_while_the_file_changes(
    page: Page, database: Database, complaints: list[str]
) -> None:
    page.goto("/customers/C-1/edit")
    page.get_by_label("Name").fill("Ada King")
    page.locator("p.actions").get_by_role("button", name="Save").click()
    merge(page, "C-1", "C-2")
    page.get_by_role("link", name="Delete").click()
    page.get_by_role("button", name="Delete customer").click()
    seed(database, {**ADA, "phones": ["+1 415 555 0100", "+1 415 555 0101"]}, {**TOM, "tier": "silver"})
    assert owners(database, NUMBER, ADDRESS) == [(), ()]

    undo(page, "C-1", "merged C-2 into C-1")  # C-2 was deleted only as a part of C-1
    assert owners(database, NUMBER, ADDRESS) == [(), ("C-2",)]
    undo(page, "C-1", "deleted C-1")
    assert owners(database, NUMBER, Identifier("phone", "+14155550101")) == [("C-1",), ("C-1",)]
    expect(page.get_by_role("heading", name="Ada King")).to_be_visible()
    undo(page, "C-1", "edited C-1")
    expect(page.get_by_role("heading", name="Ada Lovelace")).to_be_visible()
    undo(page, "C-2", "undid: merged C-2 into C-1")  # the two are one again
    expect(page).to_have_url(re.compile("/customers/C-2$"))
    expect(page.get_by_text("Merged into C-1")).to_be_visible()
    assert owners(database, NUMBER, ADDRESS) == [("C-1",), ("C-1",)]
    assert complaints == []
