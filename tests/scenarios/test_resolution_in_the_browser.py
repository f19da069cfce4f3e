"""Staff settle tasks in a real browser, and the live task changes at TaskRouter: link, undo, choose, merge, edit."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import func, select

from enrich.accounts import users
from enrich.accounts.tables import Role
from enrich.customers.records import Actor
from enrich.customers.tables import AuditRow
from enrich.customers.undo import undo_change
from enrich.services import Services
from tests.support.app import PASSWORD
from tests.support.browser import collect_complaints, needs_chromium, sign_in
from tests.support.contact_centre import ContactCentre, Service

pytestmark = needs_chromium

SHARED = "+16175550142"


@pytest.fixture(params=["with script", "without script"])
def page(request: pytest.FixtureRequest, chromium: Browser, service: Service, services: Services) -> Iterator[Page]:
    """Signed in as an editor of this test's own. What was changed is taken back afterwards."""
    email = f"{secrets.token_hex(4)}@example.com"
    users.add(service.database, email=email, role=Role.EDITOR, password=PASSWORD, name="Dana Whitfield")
    before = services.database.read(select(func.coalesce(func.max(AuditRow.id), 0)))[0][0]
    context = chromium.new_context(
        base_url=service.url,
        viewport={"width": 1280, "height": 900},
        java_script_enabled=request.param == "with script",
    )
    page = context.new_page()
    complaints: list[str] = []
    collect_complaints(page, complaints)
    sign_in(page, email=email)
    yield page
    context.close()
    made = services.database.read(select(AuditRow.id).where(AuditRow.id > before).order_by(AuditRow.id.desc()))
    for (audit_id,) in made:
        with services.database.transaction() as session:
            undo_change(session, audit_id, Actor(None, "the test"), services.adapters.now())
    # 409 and 422 are answers of the page's own; the browser notes them in its console.
    assert [each for each in complaints if "status of 4" not in each] == []


def arrives(centre: ContactCentre, caller: str) -> str:
    task_sid = centre.task_arrives({"from": caller})
    centre.answer(task_sid)
    return task_sid


def unknown_number() -> str:
    return f"+1212555{1000 + secrets.randbelow(9000)}"


def test_an_unknown_caller_is_linked_and_the_live_task_changes_and_undo_changes_it_back(
    page: Page, centre: ContactCentre
) -> None:
    number = unknown_number()
    task_sid = arrives(centre, number)
    assert centre.block(task_sid)["match"] == "none"
    page.goto(f"/tasks/{task_sid}")
    page.get_by_role("link", name="Identify customer").click()
    page.get_by_label("Find by name, number, e-mail or id").fill("lovel")
    page.get_by_role("button", name="Find").click()
    page.get_by_role("radio", name=re.compile("Ada Lovelace")).check()
    expect(page.get_by_role("radio", name=re.compile("From now on"))).to_be_checked()
    page.get_by_role("button", name="Identify customer").click()
    expect(page).to_have_url(re.compile(f"/tasks/{task_sid}$"))
    expect(page.get_by_role("status").filter(has_text="in TaskRouter is updated")).to_contain_text("from now on")
    expect(page.locator("#detail h1")).to_have_text("Ada Lovelace")
    assert (centre.block(task_sid)["by"], centre.block(task_sid)["customer_id"]) == ("phone", "C-1001")

    page.locator(".notice").get_by_role("button", name="Undo").click()
    expect(page.locator("#detail .outcome")).to_contain_text("No match")
    assert centre.block(task_sid) == {"match": "none", "reason": "no_such_key"}
    trail = page.locator(".trail li")
    expect(trail).to_have_count(2)
    expect(trail.nth(1)).to_contain_text("undone")


def test_one_of_two_is_chosen_for_this_task_only(page: Page, centre: ContactCentre) -> None:
    task_sid = arrives(centre, SHARED)
    page.goto(f"/tasks/{task_sid}")
    page.get_by_role("link", name="Choose the customer").click()
    page.get_by_role("radio", name=re.compile("Tom Bell")).check()
    expect(page.get_by_role("radio", name="This task only")).to_be_checked()
    page.get_by_role("button", name="Identify customer").click()
    expect(page.locator("#detail h1")).to_have_text("Tom Bell")
    assert (centre.block(task_sid)["by"], centre.block(task_sid)["name"]) == ("staff", "Tom Bell")
    assert centre.block(arrives(centre, SHARED))["match"] == "ambiguous"


def test_a_new_customer_is_made_for_the_caller(page: Page, centre: ContactCentre) -> None:
    number = unknown_number()
    task_sid = arrives(centre, number)
    page.goto(f"/tasks/{task_sid}/settle")
    page.get_by_label("Name", exact=True).fill("Hedy Lamarr")
    page.get_by_role("button", name="Create and identify").click()
    expect(page.locator("#detail h1")).to_have_text("Hedy Lamarr")
    assert centre.block(task_sid)["name"] == "Hedy Lamarr"
    assert centre.block(arrives(centre, number))["name"] == "Hedy Lamarr"


def test_the_filter_of_the_list_survives_a_decision_and_its_undo(page: Page, centre: ContactCentre) -> None:
    task_sid = arrives(centre, unknown_number())
    page.goto(f"/tasks/{task_sid}?outcome=none")
    page.get_by_role("link", name="Identify customer").click()
    page.get_by_label("Find by name, number, e-mail or id").fill("lovel")
    page.get_by_role("button", name="Find").click()
    page.get_by_role("radio", name=re.compile("Ada Lovelace")).check()
    page.get_by_role("button", name="Identify customer").click()
    expect(page).to_have_url(re.compile(rf"/tasks/{task_sid}\?outcome=none$"))
    page.locator(".notice").get_by_role("button", name="Undo").click()
    expect(page).to_have_url(re.compile(rf"/tasks/{task_sid}\?outcome=none$"))


def test_a_wrong_match_is_unlinked(page: Page, centre: ContactCentre) -> None:
    task_sid = arrives(centre, "+14155550100")
    page.goto(f"/tasks/{task_sid}")
    page.get_by_role("link", name="Wrong customer?").click()
    page.get_by_role("button", name=re.compile(r"Unlink \+14155550100 from Ada")).click()
    expect(page.locator("#detail .outcome")).to_contain_text("No match")
    assert centre.block(task_sid)["match"] == "none"


def test_two_customers_are_merged_and_unmerged(page: Page, centre: ContactCentre, service: Service) -> None:
    page.goto("/customers/C-1003")
    page.get_by_role("link", name="Merge").click()
    page.get_by_label("Find the other").fill("tom bell")
    page.get_by_role("button", name="Find").click()
    page.get_by_role("link", name="Tom Bell").click()
    expect(page.get_by_role("heading", name="Merge these customers?")).to_be_visible()
    page.get_by_role("radio", name="Keep Maria Bell").check()
    page.get_by_role("button", name="Merge").click()
    expect(page.get_by_role("heading", name="Maria Bell")).to_be_visible()
    expect(page.get_by_text("tom.bell@example.com").first).to_be_visible()
    assert centre.block(arrives(centre, SHARED))["name"] == "Maria Bell"
    page.goto("/customers/C-1004")
    expect(page.get_by_text("Merged into C-1003")).to_be_visible()
    page.goto("/customers/C-1003")
    page.get_by_role("button", name=re.compile("Undo: merged")).click()
    expect(page.get_by_role("status")).to_contain_text("Undone")
    assert centre.block(arrives(centre, SHARED))["match"] == "ambiguous"


def test_two_people_edit_one_customer_and_nothing_is_lost(page: Page, chromium: Browser) -> None:
    page.goto("/customers/C-1002/edit")
    other = page.context.new_page()
    other.goto("/customers/C-1002/edit")
    other.get_by_label("Company").fill("Harbor & Sons")
    other.get_by_label("Tier").fill("gold")
    other.get_by_role("button", name="Save").click()
    expect(other.get_by_role("status")).to_contain_text("Saved")
    page.get_by_label("Tier").fill("silver")
    page.get_by_label("Language").fill("de")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("Another user saved this customer")
    expect(page.get_by_label("Company")).to_have_value("Harbor & Sons")
    expect(page.get_by_label("Tier")).to_have_value("silver")
    expect(page.get_by_text("Changed meanwhile to: gold")).to_be_visible()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_contain_text("Saved")
    expect(page.get_by_text("Harbor & Sons")).to_be_visible()
    expect(page.locator("dd").filter(has_text="silver")).to_be_visible()


def test_what_is_wrong_is_said_beside_the_field(page: Page) -> None:
    page.goto("/customers/C-1002/edit")
    page.get_by_label("Phone numbers, another").fill("12")
    page.get_by_label("Name", exact=True).fill("")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#phones-problem")).to_contain_text("12: not a possible phone number")
    expect(page.locator("#name-problem")).to_contain_text("Missing; fill it in")
    expect(page.get_by_label("Phone numbers, 2")).to_have_value("12")


def test_an_earlier_decision_is_undone_and_the_later_one_stays(page: Page, centre: ContactCentre) -> None:
    task_sid = arrives(centre, unknown_number())
    for name in ("Ada Lovelace", "Grace Hopper"):
        page.goto(f"/tasks/{task_sid}/settle?q={name.split()[1]}")
        page.get_by_role("radio", name=re.compile(name)).check()
        page.get_by_role("radio", name=re.compile("From now on")).check()
        page.get_by_role("button", name="Identify customer").click()
        expect(page.locator("#detail h1")).to_have_text(name)
    page.locator(".trail li").nth(1).get_by_role("button").click()
    expect(page.locator(".trail li").first).to_contain_text("undid")
    assert centre.block(task_sid)["name"] == "Grace Hopper"
    page.locator(".trail li").nth(1).get_by_role("button").click()
    expect(page.locator("#detail h1")).not_to_have_text("Grace Hopper")
    assert centre.block(task_sid)["match"] == "none"


def test_a_viewer_is_offered_nothing_and_refused_all(
    page: Page, centre: ContactCentre, service: Service, chromium: Browser
) -> None:
    task_sid = arrives(centre, "+14155550100")
    email = f"{secrets.token_hex(4)}@example.com"
    users.add(service.database, email=email, role=Role.VIEWER, password=PASSWORD, name="Vera")
    context = chromium.new_context(base_url=service.url)
    viewer = context.new_page()
    sign_in(viewer, f"/tasks/{task_sid}", email=email)
    expect(viewer.locator("#detail")).to_be_visible()
    expect(viewer.get_by_role("link", name="Wrong customer?")).to_have_count(0)
    for path in (f"/tasks/{task_sid}/settle", "/customers/C-1001/edit", "/customers/C-1001/merge", "/new-customer"):
        refused = viewer.goto(path)
        assert refused is not None
        assert refused.status == 403
    context.close()
