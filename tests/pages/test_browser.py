"""The page in a real browser: signing in, live arrival, opening a task, going back; with script and without."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import text
from werkzeug import Request, Response
from werkzeug.serving import make_server

from enrich.accounts import users
from enrich.accounts.tables import Role
from enrich.customers import card_token
from enrich.database.engine import Database
from enrich.pages import PLACES
from tests.support.app import EMAIL
from tests.support.browser import collect_complaints, needs_chromium, sign_in
from tests.support.databases import seed_customers
from tests.support.journal import Make

pytestmark = needs_chromium


@pytest.fixture
def page(chromium: Browser, origin: str, complaints: list[str]) -> Iterator[Page]:
    context = chromium.new_context(base_url=origin, viewport={"width": 1280, "height": 800})
    page = context.new_page()
    collect_complaints(page, complaints)
    yield page
    context.close()


def test_a_new_task_appears_without_reloading(page: Page, make_entry: Make, complaints: list[str]) -> None:
    make_entry(task_sid="WT1")
    sign_in(page)
    page.evaluate("window.notReloaded = true")
    expect(page.locator("#feed .line")).to_have_count(1)
    make_entry(task_sid="WT2", customer_name="Katherine Johnson")
    expect(page.locator("#feed .line").first).to_contain_text("Katherine Johnson")
    assert page.evaluate("window.notReloaded")
    assert complaints == []


def test_a_click_opens_the_task_beside_the_feed_and_back_closes_it(
    page: Page, make_entry: Make, complaints: list[str]
) -> None:
    make_entry(task_sid="WT1")
    make_entry(task_sid="WT2", customer_name="Katherine Johnson")
    sign_in(page)
    page.get_by_role("link", name="Ada Lovelace").click()
    expect(page).to_have_url(re.compile("/tasks/WT1$"))
    expect(page.get_by_role("heading", name="Ada Lovelace")).to_be_visible()
    expect(page).to_have_title(re.compile("Ada Lovelace"))
    expect(page.locator("#feed [aria-current]")).to_contain_text("Ada Lovelace")
    page.get_by_role("link", name="Katherine Johnson").click()
    expect(page.get_by_role("heading", name="Katherine Johnson")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name="Ada Lovelace")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name="Open a task")).to_be_visible()
    assert complaints == []


def test_focus_and_the_open_task_survive_an_arrival(page: Page, make_entry: Make) -> None:
    make_entry(task_sid="WT1")
    sign_in(page)
    link = page.get_by_role("link", name="Ada Lovelace")
    link.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Ada Lovelace")).to_be_visible()
    make_entry(task_sid="WT2", customer_name="Katherine Johnson")
    expect(page.locator("#news a")).to_have_text("1 newer task. Show it")
    expect(link).to_be_focused()
    expect(page.locator("#feed [aria-current]")).to_contain_text("Ada Lovelace")
    page.locator("#news a").click()
    expect(page.locator("#feed .line")).to_have_count(2)
    expect(page.locator("#feed [aria-current]")).to_contain_text("Ada Lovelace")


def test_the_list_holds_still_under_the_pointer(page: Page, make_entry: Make, complaints: list[str]) -> None:
    """A task that moved away while the reader aimed at it opened another one."""
    make_entry(task_sid="WT1")
    sign_in(page)
    page.locator("#line-WT1").hover()
    make_entry(task_sid="WT2", customer_name="Katherine Johnson")
    expect(page.locator("#news a")).to_have_text("1 newer task. Show it")
    expect(page.locator("#feed .line")).to_have_count(1)
    page.mouse.move(0, 0)
    expect(page.locator("#feed .line")).to_have_count(2)
    expect(page.locator("#news a")).to_have_count(0)
    assert complaints == []


def test_the_list_can_be_paused_and_goes_on(page: Page, make_entry: Make, database: Database) -> None:
    make_entry(task_sid="WT1", concluded_at=None, outcome=None, match=None)
    sign_in(page)
    pause = page.get_by_role("button", name="Pause the list")
    pause.click()
    expect(page.locator("#live")).to_have_text("Paused")
    expect(pause).to_have_attribute("aria-pressed", "true")
    make_entry(task_sid="WT2", customer_name="Katherine Johnson")
    database.write(text("UPDATE entries SET outcome='enriched', match='matched', concluded_at=received_at"))
    expect(page.locator("#news a")).to_have_text("1 newer task. Show it")
    expect(page.locator("#line-WT1")).to_contain_text("Matched")
    expect(page.locator("#feed .line")).to_have_count(1)
    pause.click()
    expect(page.locator("#live")).to_have_text("Live")
    expect(page.locator("#feed .line")).to_have_count(2)


def test_an_open_task_is_told_anew_when_it_is_concluded(page: Page, make_entry: Make, database: Database) -> None:
    make_entry(task_sid="WT1", concluded_at=None, outcome=None, match=None)
    sign_in(page, "/tasks/WT1")
    expect(page.locator("#detail .outcome")).to_contain_text("In progress")
    database.write(text("UPDATE entries SET outcome = 'enriched', match = 'matched', concluded_at = received_at"))
    expect(page.locator("#detail .outcome")).to_contain_text("Matched")


def test_an_earlier_entry_opens_in_place_and_stays_open(
    page: Page, make_entry: Make, make_followup: Make, complaints: list[str]
) -> None:
    earlier = make_entry(task_sid="WT1", customer_name="Katherine Johnson")
    make_entry(task_sid="WT1")
    sign_in(page, "/tasks/WT1")
    page.evaluate("window.notReloaded = true")
    page.locator(f"#entry-{earlier}").click()
    expect(page).to_have_url(re.compile(rf"/tasks/WT1\?entry={earlier}$"))
    expect(page.get_by_role("heading", name="Katherine Johnson")).to_be_visible()
    make_followup(earlier)
    expect(page.get_by_role("heading", name="Follow-ups")).to_be_visible()
    expect(page.get_by_role("heading", name="Katherine Johnson")).to_be_visible()
    page.get_by_role("link", name="Show the newest").click()
    expect(page.get_by_role("heading", name="Ada Lovelace")).to_be_visible()
    assert page.evaluate("window.notReloaded")
    assert complaints == []


def test_no_column_is_cut_on_a_narrow_screen(page: Page, make_entry: Make) -> None:
    key = {"kind": "email", "value": "ada.lovelace@example.com", "trust": "verified", "found": 12}
    make_entry(task_sid="WT1", finding={"keys": [key | {"attribute": "customers.email_address"}]})
    page.set_viewport_size({"width": 375, "height": 800})
    sign_in(page, "/tasks/WT1")
    expect(page.get_by_role("cell", name="12", exact=True)).to_be_visible()
    for part in (".scroll", ".keys td.count"):
        assert page.locator(part).evaluate("part => part.scrollWidth <= part.clientWidth")
    assert page.evaluate("document.documentElement.scrollWidth") == 375


def test_a_name_is_read_whole_beside_its_marks_on_a_narrow_screen(
    page: Page, make_entry: Make, make_followup: Make
) -> None:
    make_followup(make_entry())
    page.set_viewport_size({"width": 320, "height": 800})
    sign_in(page)
    expect(page.locator(".line").get_by_text("Follow-up pending")).to_be_visible()
    assert page.locator(".line .who").evaluate("name => name.scrollWidth <= name.clientWidth")


def test_what_the_reader_unfolded_stays_unfolded(page: Page, make_entry: Make, make_followup: Make) -> None:
    entry = make_entry(task_sid="WT1", outcome="could_not_write", reason="rate_limited")
    sign_in(page, "/tasks/WT1")
    page.get_by_text("For engineers").click()
    make_followup(entry)
    expect(page.get_by_role("heading", name="Follow-ups")).to_be_visible()
    expect(page.get_by_text("Journal entry")).to_be_visible()


def test_a_session_that_ended_leads_to_the_sign_in_page(page: Page, make_entry: Make, database: Database) -> None:
    """And not to a sign-in form in the middle of the feed."""
    make_entry(task_sid="WT1")
    sign_in(page, "/tasks/WT1")
    database.write(text("UPDATE users SET active = false"))
    expect(page).to_have_url(re.compile(r"/login\?next=/tasks/WT1$"))


def test_a_lost_connection_is_said_and_mends(page: Page) -> None:
    sign_in(page)
    expect(page.locator("#live")).to_have_text("Live")
    page.route("**/feed*", lambda route: route.abort())
    expect(page.locator("#live")).to_contain_text("No connection")
    page.unroute("**/feed*")
    expect(page.locator("#live")).to_have_text("Live")


def test_on_a_narrow_screen_the_task_takes_the_place_of_the_list(page: Page, make_entry: Make) -> None:
    make_entry(task_sid="WT1")
    page.set_viewport_size({"width": 390, "height": 800})
    sign_in(page)
    page.get_by_role("link", name="Ada Lovelace").click()
    expect(page.get_by_role("heading", name="Ada Lovelace")).to_be_visible()
    expect(page.locator("#feed")).to_be_hidden()
    page.get_by_role("link", name="All tasks").click()
    expect(page.locator("#feed")).to_be_visible()


def test_without_script_everything_is_there_too(chromium: Browser, origin: str, make_entry: Make) -> None:
    make_entry(task_sid="WT1")
    context = chromium.new_context(base_url=origin, java_script_enabled=False)
    page = context.new_page()
    sign_in(page)
    expect(page.locator("#live")).to_be_hidden()
    page.get_by_role("link", name="Ada Lovelace").click()
    expect(page).to_have_url(re.compile("/tasks/WT1$"))
    expect(page.get_by_role("heading", name="Time by step")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(re.compile("/login$"))
    context.close()


def many_tasks(make_entry: Make, number: int = 40) -> None:
    for each in range(number):
        make_entry(task_sid=f"WT{each:03}", task_channel="voice" if each % 2 else "sms")


def test_a_reader_who_scrolled_down_keeps_the_place_and_is_told_of_newer_tasks(
    page: Page, make_entry: Make, database: Database, complaints: list[str]
) -> None:
    many_tasks(make_entry)
    make_entry(task_sid="WT999", concluded_at=None, outcome=None, match=None)
    sign_in(page)
    page.evaluate("window.scrollTo(0, 900)")
    link = page.locator("#line-WT020 a")
    link.focus()
    place = link.evaluate("link => link.getBoundingClientRect().top")
    make_entry(task_sid="WTNEW", customer_name="Katherine Johnson")
    database.write(text("UPDATE entries SET outcome='enriched', match='matched', concluded_at=received_at"))
    expect(page.locator("#news a")).to_have_text("1 newer task. Show it")
    expect(page.locator("#line-WT999")).to_contain_text("Matched")
    expect(page.locator("#line-WTNEW")).to_have_count(0)
    expect(link).to_be_focused()
    assert abs(link.evaluate("link => link.getBoundingClientRect().top") - place) < 1
    make_entry(task_sid="WTNEWER")
    expect(page.locator("#news a")).to_have_text("2 newer tasks. Show them")
    page.evaluate("window.notReloaded = true")
    page.locator("#news a").click()
    expect(page.locator("#feed .line").first).to_have_id("line-WTNEWER")
    expect(page.locator("#news a")).to_have_count(0)
    assert page.evaluate("[window.scrollY, window.notReloaded]") == [0, True]
    assert complaints == []


def test_a_filter_is_an_address_and_stays_live(page: Page, make_entry: Make, complaints: list[str]) -> None:
    many_tasks(make_entry, 6)
    sign_in(page)
    page.get_by_text("Filters").click()
    page.get_by_label("Channel").select_option(label="SMS")
    page.get_by_role("button", name="Apply").click()
    expect(page).to_have_url(re.compile(r"/\?channel=sms$"))
    expect(page.locator("#feed .line")).to_have_count(3)
    page.locator("#line-WT002 a").click()
    expect(page).to_have_url(re.compile(r"/tasks/WT002\?channel=sms$"))
    page.mouse.move(0, 0)
    make_entry(task_sid="WT100", task_channel="sms")
    make_entry(task_sid="WT101", task_channel="voice")
    expect(page.locator("#feed .line")).to_have_count(4)
    page.get_by_label("Search by customer").fill("nobody")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="No task fits")).to_be_visible()
    expect(page).to_have_url(re.compile(r"/tasks/WT002\?q=nobody&channel=sms$"))
    page.get_by_role("link", name="Channel: SMS").click()
    expect(page).to_have_url(re.compile(r"/\?q=nobody$"))
    assert complaints == []


def test_times_are_the_readers_own(chromium: Browser, origin: str, make_entry: Make) -> None:
    make_entry(task_sid="WT1", received_at=datetime(2026, 3, 4, 15, 30, tzinfo=UTC))
    context = chromium.new_context(base_url=origin, timezone_id="Asia/Tokyo", locale="en-GB")
    page = context.new_page()
    sign_in(page)
    expect(page.locator("#line-WT1 time")).to_have_text(re.compile("5 Mar.*00:30"))
    context.close()


def test_a_viewer_sees_what_happened_and_nobodys_number(
    page: Page, make_entry: Make, database: Database, complaints: list[str]
) -> None:
    make_entry(task_sid="WT1")
    database.write(text("UPDATE users SET role = 'viewer'"))
    sign_in(page)
    page.locator("#line-WT1 a").click()
    expect(page.get_by_role("heading", name="A••• L•••")).to_be_visible()
    expect(page.locator("#detail .why").first).to_contain_text("+1 415 ••• ••00")
    key = {"kind": "phone", "value": "+14155550100", "trust": "verified", "attribute": "from", "found": 0}
    nobody = {"match": "none", "reason": "no_such_key", "customer_id": None, "customer_name": ""}
    page.mouse.move(0, 0)
    make_entry(task_sid="WT2", finding={"keys": [key]}, **nobody)
    expect(page.locator("#line-WT2")).to_contain_text("+1 415 ••• ••00")
    for secret in ("Lovelace", "4155550100", "415 555"):
        assert secret not in page.content()
    assert complaints == []


@pytest.fixture
def desk_port() -> Iterator[int]:
    """Another site, whose pages hold the card and the sign-in page in frames."""

    @Request.application
    def desk(request: Request) -> Response:
        frames = "".join(f'<iframe src="{source}"></iframe>' for source in request.args.getlist("frame"))
        return Response(frames, mimetype="text/html")

    server = make_server("127.0.0.1", 0, desk, threaded=True)
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    serving.start()
    yield server.server_port
    server.shutdown()
    serving.join()
    server.server_close()


@pytest.mark.parametrize(("host", "is_shown"), [("127.0.0.1", True), ("localhost", False)])
def test_the_card_is_shown_in_the_frames_of_one_site_only(
    page: Page, app: Flask, origin: str, desk_port: int, make_entry: Make, host: str, is_shown: bool
) -> None:
    parts = app.extensions["enrich"]
    sites = (f"http://127.0.0.1:{desk_port}",)
    app.extensions["enrich"] = replace(parts, settings=replace(parts.settings, frame_ancestors=sites))
    make_entry(task_sid="WT1", match="claimed", trust="claimed", customer_id=None, customer_name="")
    token = card_token.token_of(parts.rules.card_key, "WT1")
    frames = urlencode({"frame": [f"{origin}/card/WT1?token={token}", f"{origin}/login"]}, doseq=True)
    page.clock.install()
    page.goto(f"http://{host}:{desk_port}/?{frames}")
    first, second = (page.frame_locator(f"iframe >> nth={number}") for number in (0, 1))
    if is_shown:
        expect(first.get_by_role("heading", name="Verify first")).to_be_visible()
        make_entry(task_sid="WT1", match="none", reason="withheld", customer_id=None, customer_name="")
        page.clock.fast_forward("00:11")  # the card asks every ten seconds
        expect(first.get_by_role("heading", name="Unknown customer")).to_be_visible()
    else:
        expect(first.locator("#card")).to_have_count(0)
    expect(second.get_by_label("E-mail")).to_have_count(0)


def test_hostile_attributes_do_nothing(page: Page, make_entry: Make, complaints: list[str]) -> None:
    script = "<script>window.wasHit = 1</script><img src=x onerror='window.wasHit = 1'>"
    for number, hostile in enumerate((script, "javascript:window.wasHit=1", "\u202e\u2066drowssap", "🦜" * 4096)):
        told = {"customer_name": hostile[:200], "worker_name": hostile[:100], "task_channel": hostile[:60]}
        make_entry(
            task_sid=f"WT{number}",
            **told,
            attributes_before=json.dumps({"from": hostile}),
            attributes_after=json.dumps(
                {"from": hostile, "crm": {"name": hostile, "notes": [hostile]}}, ensure_ascii=False
            ),
            raw_form=urlencode({"TaskAttributes": hostile}),
            finding={"keys": [{"kind": "client", "value": hostile, "trust": "verified", "attribute": "x", "found": 1}]},
        )
    sign_in(page)
    for number in range(4):
        page.locator(f"#line-WT{number} a").click()
        expect(page).to_have_url(re.compile(f"/tasks/WT{number}$"))
        expect(page.locator("#detail[data-line]")).to_have_attribute("data-line", f"line-WT{number}")
        page.get_by_text("For engineers").click()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.locator("a[href^='javascript']").count() == 0
    page.get_by_text("Filters").click()
    page.get_by_label("Channel").select_option(index=1)
    page.get_by_role("button", name="Apply").click()
    assert page.evaluate("window.wasHit") is None
    assert complaints == []


def test_without_script_filters_search_and_pages_work_too(chromium: Browser, origin: str, make_entry: Make) -> None:
    many_tasks(make_entry, 60)
    context = chromium.new_context(base_url=origin, java_script_enabled=False)
    page = context.new_page()
    sign_in(page)
    expect(page.locator("#line-WT059 time")).to_have_attribute("title", re.compile("UTC$"))
    page.get_by_role("link", name="Older tasks").click()
    expect(page.locator("#feed .line")).to_have_count(10)
    page.get_by_role("link", name="Newest tasks").click()
    page.get_by_text("Filters").click()
    page.get_by_label("Channel").select_option(label="Voice")
    page.get_by_role("button", name="Apply").click()
    expect(page.locator("#feed .line")).to_have_count(30)
    page.get_by_label("Search by customer").fill("nobody")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("heading", name="No task fits")).to_be_visible()
    page.get_by_role("link", name="Show all tasks").click()
    expect(page.locator("#feed .line")).to_have_count(50)
    context.close()


@pytest.mark.parametrize("width", [481, 560, 640, 700, 740])
def test_the_header_stays_on_one_line_at_every_width(page: Page, database: Database, width: int) -> None:
    """200 % zoom on a laptop is 700 pixels; an administrator has the most entries in the navigation."""
    database.write(text("UPDATE users SET role = 'admin'"))
    sign_in(page)
    page.set_viewport_size({"width": width, "height": 700})
    lines = page.locator(".top a:visible, .top button:visible").evaluate_all(
        "parts => parts.map(part => part.getClientRects().length)"
    )
    assert set(lines) == {1}
    overflow = page.locator(".places").evaluate("places => places.scrollWidth - places.clientWidth")
    assert overflow <= 0
    assert page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize("width", [390, 480])
def test_every_entry_of_the_navigation_is_in_view_on_a_narrow_screen(
    page: Page, database: Database, width: int
) -> None:
    users.set_role(database, EMAIL, Role.ADMIN)
    seed_customers(database)  # files are a source, and sources have an entry of their own
    page.set_viewport_size({"width": width, "height": 800})
    sign_in(page)
    entries = page.get_by_role("navigation", name="Pages").get_by_role("link")
    expect(entries).to_have_text([label for _, label, _ in PLACES])
    for entry in entries.all():
        expect(entry).to_be_in_viewport(ratio=1)
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_an_accounts_date_stays_a_date(page: Page, database: Database) -> None:
    database.write(text("UPDATE users SET role = 'admin'"))
    sign_in(page, "/staff")
    expect(page.locator("td time")).to_have_text(re.compile(r"\b20\d\d\b"))
