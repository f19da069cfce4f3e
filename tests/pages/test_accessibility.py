"""Every page under axe-core, in both colour schemes, wide and narrow: nothing serious against WCAG 2.2 AA.

axe-core comes from npm, once, into the user's cache, pinned and hash-checked; without npm the test is skipped.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page, ViewportSize

from enrich.accounts import users
from enrich.accounts.tables import Role
from enrich.customers import card_token, decisions, editing
from enrich.customers.projection import Decision, DecisionKind
from enrich.customers.records import Actor
from enrich.database.engine import Database
from tests.support.app import EMAIL, PASSWORD
from tests.support.browser import needs_chromium, sign_in
from tests.support.databases import seed_customers
from tests.support.journal import Make
from tests.support.stored_streams import quarantine_rows

pytestmark = needs_chromium

VERSION = "4.14.1"
INTEGRITY = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
SID = "WT" + "0" * 32
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
NOT_SERIOUS = ("minor", "moderate")


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """axe-core's script."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "taskrouter-enrich"
    kept = cache / f"axe-core-{VERSION}.tgz"
    if not kept.exists():
        npm = shutil.which("npm") or pytest.skip("there is no npm, which axe-core comes from")
        folder = tmp_path_factory.mktemp("axe")
        fetch = [npm, "pack", f"axe-core@{VERSION}", "--pack-destination", str(folder)]
        if subprocess.run(fetch, capture_output=True, cwd=folder, timeout=120, check=False).returncode:
            pytest.skip("npm could not fetch axe-core")
        cache.mkdir(parents=True, exist_ok=True)
        shutil.move(folder / f"axe-core-{VERSION}.tgz", kept)
    package = kept.read_bytes()
    assert base64.b64encode(hashlib.sha512(package).digest()).decode() == INTEGRITY
    with tarfile.open(fileobj=io.BytesIO(package)) as archive:
        member = archive.extractfile("package/axe.min.js")
        assert member
        return member.read().decode()


@pytest.fixture
def many_endings(database: Database, make_entry: Make, make_followup: Make) -> None:
    seed_customers(database, datetime.now(UTC))
    candidates = [{"customer_id": "C-1003", "name": "Maria Bell"}, {"customer_id": "C-1004", "name": "Peter Bell"}]
    key = {"kind": "phone", "value": "+16175550142", "trust": "verified", "attribute": "from", "found": 2}
    several = {"keys": [key], "withheld": ["caller"], "candidates": candidates}
    nobody = {"customer_id": None, "customer_name": ""}
    queue = {"task_channel": "whatsapp", "task_queue_sid": "WQ" + "1" * 32}
    make_entry(**queue)
    make_entry(task_sid="WT1", match="ambiguous", finding=several, **nobody, **queue)
    make_entry(task_sid="WT2", match="claimed", trust="claimed", by="email", finding=several, **nobody)
    make_entry(task_sid="WT3", match="none", reason="no_such_key", finding=several, **nobody)
    failed = {"outcome": "could_not_write", "reason": "rate_limited", "attributes_after": None}
    make_followup(make_entry(task_sid="WT4", **failed), attempts=2, last_reason="rate_limited")
    make_entry(task_sid="WT5", concluded_at=None, outcome=None, match=None, **nobody)
    decide(database)
    quarantine_rows(database, "file", [{"key": "7", "name": "Ada Lovelace", "phones": ["ask at the desk"]}])
    make_entry(kind="event", event_type="task.created", outcome=None, match=None)
    make_entry(kind="late")
    for number in range(6, 60):
        make_entry(task_sid=f"WT{number}")


def decide(database: Database) -> None:
    """Make C-1001 of two parts, with an edit that stands and one that has given way; delete C-1007."""

    def edit(name: str, value: str, base: str) -> Decision:
        return Decision(0, DecisionKind.EDIT, "C-1001", field=name, value=value, base=base)

    edits = [edit("name", "Ada King", "Ada Lovelace"), edit("tier", "platinum", "what it was then")]
    new = [editing.merged("C-1001", "C-1005"), *edits, editing.deleted("C-1007")]
    with database.transaction() as session:
        decisions.decide(session, new, Actor(None, "Dana Whitfield"), datetime.now(UTC))


PATHS = [
    "/customers/C-1003",
    "/customers/C-1005",
    "/customers/C-1007",
    "/",
    "/?outcome=trouble&channel=whatsapp&q=ada",
    "/?q=nobody",
    "/?before=20",
    f"/tasks/{SID}",
    *(f"/tasks/WT{number}" for number in range(1, 6)),
]


def every_page(app: Flask) -> list[str]:
    """The pages that other parts have added, by their addresses."""
    ids = {"task_sid": SID, "entry_id": "1", "customer_id": "C-1001", "source": "file"}
    urls = app.url_map.bind("")
    return [
        str(urls.build(rule.endpoint, {name: ids[name] for name in rule.arguments}))
        for rule in app.url_map.iter_rules()
        if "GET" in (rule.methods or set()) and rule.endpoint.partition(".")[0] in OTHERS
        if rule.endpoint != "sources.fragment"  # a part of a page
    ]


OTHERS = ("customers", "settling", "overview", "staff", "tokens", "sessions", "sources")


# The narrow one is what a screen of 1,280 pixels shows at 400 % (WCAG 2.2, 1.4.10, reflow).
WIDTHS = {"wide": 1280, "narrow": 320}


@pytest.fixture(params=["light, wide", "dark, wide", "light, narrow"])
def page(request: pytest.FixtureRequest, chromium: Browser, origin: str) -> Iterator[Page]:
    scheme, width = request.param.split(", ")
    viewport: ViewportSize = {"width": WIDTHS[width], "height": 900}
    context = chromium.new_context(base_url=origin, viewport=viewport, color_scheme=scheme, reduced_motion="reduce")
    yield context.new_page()
    context.close()


def findings(page: Page, axe: str, path: str) -> list[str]:
    page.evaluate(axe)
    run = "tags => axe.run(document, {runOnly: {type: 'tag', values: tags}}).then(found => found.violations)"
    return [
        f"{path}: {found['impact']} {found['id']}: {found['nodes'][0]['target']} {found['nodes'][0]['failureSummary']}"
        for found in page.evaluate(run, TAGS)
        if found["impact"] not in NOT_SERIOUS
    ]


def test_no_page_has_a_serious_fault(page: Page, axe: str, app: Flask, database: Database, many_endings: None) -> None:
    page.goto("/login")
    found = findings(page, axe, "/login")
    page.get_by_label("Password").fill("wrong")
    page.get_by_label("E-mail").fill("nobody@example.com")
    page.get_by_role("button", name="Sign in").click()
    found += findings(page, axe, "/login, refused")
    users.set_role(database, EMAIL, Role.ADMIN)  # who may see every page
    sign_in(page)
    for path in [*PATHS, *every_page(app), "/nowhere"]:
        page.goto(path)
        found += findings(page, axe, path)
        # A page that is wider than the screen has to be moved about to be read.
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    assert not found, "\n".join(found)


def test_the_masked_pages_and_the_cards_have_none_either(
    page: Page, axe: str, app: Flask, database: Database, many_endings: None
) -> None:
    users.add(database, email="vera@example.com", role=Role.VIEWER, password=PASSWORD, name="Vera")
    sign_in(page, email="vera@example.com")
    found = []
    for path in ("/", f"/tasks/{SID}", "/?q=Ada"):
        page.goto(path)
        found += findings(page, axe, path)
    assert not found, "\n".join(found)
    key = app.extensions["enrich"].rules.card_key
    for sid in (SID, "WT1", "WT2", "WT3", "WT5"):
        page.goto(f"/card/{sid}?token={card_token.token_of(key, sid)}")
        found += findings(page, axe, f"card of {sid}")
    page.goto(f"/card/{SID}?token=x")
    assert not found + findings(page, axe, "no card"), "\n".join(found)
