"""The page of sources in a real browser, with script and without: a pass is asked for, the brake is answered."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page, expect

from enrich.accounts import users
from enrich.accounts.tables import Role
from enrich.customers.stream_states import StreamStates
from enrich.domain.streams import Pass, StreamState
from enrich.services import Services
from tests.support.app import EMAIL, PASSWORD, services_of
from tests.support.browser import collect_complaints, needs_chromium, sign_in
from tests.support.fixtures import MakeApp
from tests.support.stored_streams import held_stream, quarantine_rows, store_stream, write_sources_file

pytestmark = needs_chromium


@pytest.fixture
def app(make_app: MakeApp, tmp_path: Path) -> Flask:
    app = make_app(ENRICH_SOURCES=write_sources_file(tmp_path))
    users.add(services_of(app).database, email=EMAIL, role=Role.ADMIN, password=PASSWORD, name="Dana Whitfield")
    return app


@pytest.fixture
def services(app: Flask) -> Services:
    return services_of(app)


@pytest.fixture(params=[True, False], ids=["with script", "without script"])
def page(
    request: pytest.FixtureRequest, chromium: Browser, origin: str, complaints: list[str], services: Services
) -> Iterator[Page]:
    """The page of a source that waits for an answer."""
    store_stream(services, "erp", **held_stream())
    quarantine_rows(services.database, "erp", [{"key": "7", "name": "Ada Lovelace", "phones": ["ask at the desk"]}])
    context = chromium.new_context(base_url=origin, java_script_enabled=request.param)
    page = context.new_page()
    collect_complaints(page, complaints)
    sign_in(page, "/sources")
    yield page
    context.close()


def state(services: Services) -> StreamState:
    state = StreamStates(services.database).of("erp", datetime.now(UTC))
    assert state
    return state


def test_the_brake_is_answered(page: Page, services: Services, complaints: list[str]) -> None:
    question = page.get_by_role("form", name="1,204 of 20,000 customers would be gone")
    expect(question).to_contain_text("Let them go, or leave them?")
    question.get_by_role("button", name="Let them go").click()
    expect(page.get_by_role("status").first).to_contain_text("A worker removes them within seconds.")
    assert (state(services).accepted, state(services).question) == (1204, None)
    assert complaints == []


def test_a_pass_is_asked_for(page: Page, services: Services, complaints: list[str]) -> None:
    page.get_by_role("button", name="Full pass over erp now").click()
    expect(page.get_by_role("heading", name="erp")).to_be_visible()
    assert state(services).requested is Pass.FULL
    assert complaints == []


def test_the_quarantine_opens(page: Page, complaints: list[str]) -> None:
    page.get_by_role("link", name="1 loaded in part").click()
    expect(page.get_by_role("rowheader", name="7")).to_be_visible()
    page.get_by_text("Values of 7").click()
    expect(page.get_by_text("ask at the desk").first).to_be_visible()
    assert complaints == []


def test_it_follows_what_happens(chromium: Browser, origin: str, services: Services, complaints: list[str]) -> None:
    store_stream(services, "erp", **held_stream())
    context = chromium.new_context(base_url=origin)
    page = context.new_page()
    collect_complaints(page, complaints)
    sign_in(page, "/sources")
    expect(page.get_by_role("form", name="1,204 of 20,000 customers would be gone")).to_be_visible()
    StreamStates(services.database).leave("erp", 1204)
    store_stream(
        services, "erp", problem="source_unavailable", detail="no route", due_at=datetime.now(UTC) + timedelta(hours=1)
    )
    expect(page.get_by_text("no route")).to_be_visible(timeout=15_000)
    expect(page.get_by_role("form", name="1,204 of 20,000 customers would be gone")).to_have_count(0)
    assert complaints == []
    context.close()
