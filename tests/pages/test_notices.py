"""Notices: every form tells what it has done, and until then the browser's cookie says nothing personal."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from flask import Flask, session
from flask.sessions import session_json_serializer
from flask.testing import FlaskClient
from itsdangerous import URLSafeTimedSerializer

from enrich.accounts import users
from enrich.accounts.sessions import Sessions
from enrich.accounts.tables import Role
from enrich.accounts.tokens import ApiTokens
from enrich.customers import audit, records, seeding
from enrich.customers.audit import AuditedChange
from enrich.customers.fixture_rows import read_customer
from enrich.database.engine import Database
from enrich.domain.outcomes import Outcome
from enrich.flows.resolution import LiveEnrichment, Resolution
from enrich.pages import notices
from enrich.pages.notices import Done
from enrich.services import Services
from tests.support.app import EMAIL, PASSWORD, services_of
from tests.support.fixtures import MakeApp
from tests.support.journal import Make
from tests.support.stored_streams import held_stream, store_stream, write_sources_file

TASK = "WT" + "0" * 32
CUSTOMERS = (
    {"id": "C-1001", "name": "Zebulon Quartermain", "phones": ["+1 415 555 0100"]},
    {"id": "C-1002", "name": "Philippa Quartermain", "emails": ["philippa@example.org"]},
)
SAM = {"email": "sam@example.com", "name": "Sam Ottoway", "role": "viewer", "password": "another long password"}
# Everything personal that the forms below carry, or that the rows have which they change.
PERSONAL = re.compile("zebulon|philippa|hedwig|quartermain|55501|555 01|ottoway|whitfield|example", re.IGNORECASE)


@pytest.fixture
def app(make_app: MakeApp, tmp_path: Path) -> Flask:
    """Nothing listens where TaskRouter should be: what a form does there is left to the worker, and told, too."""
    app = make_app(
        PUBLIC_URL="http://127.0.0.1",
        TASKROUTER_BASE_URL="http://127.0.0.1:1",
        ENRICH_BREAKER_FAILURES="1",
        ENRICH_SOURCES=write_sources_file(tmp_path),
    )
    database = services_of(app).database
    users.add(database, email=EMAIL, role=Role.ADMIN, password=PASSWORD, name="Dana Whitfield")
    seeding.seed(database, [read_customer(customer, "US") for customer in CUSTOMERS], now=datetime.now(UTC))
    return app


class Cookies:
    """The texts of a browser's cookies after each form, as anybody reads them who has the cookies."""

    def __init__(self, browser: FlaskClient) -> None:
        self.browser = browser
        self.texts: list[str] = []
        self.done: set[str] = set()

    def post(self, path: str, **form: Any) -> str:
        """Post the form, keep what the cookies say, and return the notices of the next page."""
        response = self.browser.post(path, data=form)
        assert response.status_code in (302, 303), (path, form, response.text)
        for header in response.headers.getlist("Set-Cookie"):
            said = read_cookie(header)
            self.texts.append(str(said))
            self.done |= {notice["done"] for _, notice in said["_flashes"]}
        page = self.browser.get(response.location).text
        shown = re.findall(r'<div class="notice" role="status">\s*<p>(.*?)</p>', page)
        assert shown, (path, form)
        return unescape(" ".join(shown))


def read_cookie(header: str) -> Any:
    """Return what a cookie of Flask's says; no key is needed."""
    value = header.partition("=")[2].partition(";")[0]
    reader = URLSafeTimedSerializer("no key", serializer=session_json_serializer)
    return reader.load_payload(value.rsplit(".", 2)[0].encode())


@pytest.fixture
def cookies(stranger: FlaskClient) -> Cookies:
    cookies = Cookies(stranger)
    signed_in = stranger.post("/login", data={"email": EMAIL, "password": PASSWORD})
    assert len(signed_in.headers.getlist("Set-Cookie")) == 2
    return cookies


def decide(cookies: Cookies, database: Database) -> list[str]:
    """Make every decision about a task and its customer."""

    def settle(**form: str) -> str:
        with database.reading() as session:
            decision = audit.newest_decision(session, TASK)
        return cookies.post(f"/tasks/{TASK}/settle", decision=str(decision.id if decision else 0), **form)

    def version(customer_id: str) -> str:
        with database.reading() as session:
            return str(records.version(session, customer_id))

    key = urlencode({"phone": "+14155550100"})
    told = [
        settle(act="choose", customer="C-1002"),
        settle(act="choose", customer="C-1002", key=key),
        settle(act="choose", customer="C-1002", key=key),
        settle(act="unlink", customer="C-1002", key=key),
        settle(act="nobody"),
        settle(act="release"),
        settle(act="create", name="Hedwig Quartermain"),
        cookies.post(f"/tasks/{TASK}/enrich"),
        cookies.post(f"/tasks/{TASK}/replay", entry="1"),
        cookies.post("/new-customer", id="C-3", name="Hedwig Quartermain", phones="+1 415 555 0199"),
        cookies.post("/customers/C-3/edit", name="Hedwig Quartermain", notes="Ottoway", version=version("C-3")),
    ]
    merging = {"of": ["C-3", "C-1002"], "version": [version("C-3"), version("C-1002")]}
    told.append(cookies.post("/customers/C-3/merge", other="C-1002", kept="C-1002", **merging))
    told.append(cookies.post("/customers/C-1002/split", part="C-3", version=version("C-1002")))
    told.append(cookies.post("/customers/C-3/delete", version=version("C-3")))
    with database.reading() as session:
        (newest, *_) = audit.entries_of_customer(session, "C-1002")
    told.append(cookies.post(f"/changes/{newest.id}/undo", back="/customers/C-1002"))
    return told


def end_task(cookies: Cookies) -> list[str]:
    why = {"outcome": "Hedwig Ottoway is well", "reason": "Quartermain"}
    return [cookies.post(f"/tasks/{TASK}/wrap-up"), cookies.post(f"/tasks/{TASK}/complete", **why)]


def manage(cookies: Cookies, database: Database) -> list[str]:
    """Do everything to accounts that an admin can."""
    added = cookies.post("/staff", **SAM)
    dana, sam = (users.find(database, email) for email in (EMAIL, SAM["email"]))
    assert dana
    assert sam
    paths = [f"/staff/{sam.id}/{what}" for what in ("role", "sign-out", "disable", "enable", "password")]
    form = {"role": "editor", "password": PASSWORD}
    return [added, *(cookies.post(path, **form) for path in [*paths, f"/staff/{dana.id}/disable"])]


def end_sessions(cookies: Cookies, database: Database) -> list[str]:
    dana = users.find(database, EMAIL)
    assert dana
    session, _ = Sessions(database).begin(dana, "", datetime.now(UTC))
    return [cookies.post(f"/sessions/{session.id}/end"), cookies.post("/sessions/end-others")]


def revoke_token(cookies: Cookies, database: Database) -> list[str]:
    cookies.browser.post("/tokens", data={"name": "Hedwig Quartermain", "scope": "lookup", "expires": "30"})
    (token,) = ApiTokens(database).list_all()
    return [cookies.post(f"/tokens/{token.id}/revoke")]


def look_after_sources(cookies: Cookies, services: Services) -> list[str]:
    """Ask for passes and answer the brake, of a source that nobody has seen and of two that it has stopped."""
    told = [cookies.post("/sources/erp/run", **{"pass": "window"})]
    answers = []
    for source, kind, answer in (("erp", "sql", "go"), ("erp", "sql", "leave"), ("shop", "push", "go")):
        store_stream(services, source, kind=kind, **held_stream())
        answers.append(cookies.post(f"/sources/{source}/answer", removed="1204", answer=answer))
    told += [*answers, cookies.post("/sources/erp/answer", removed="1204", answer="go")]
    told += [cookies.post("/sources/erp/run", **{"pass": wanted}) for wanted in ("window", "full")]
    return [*told, cookies.post("/sources/erp/quarantine/retry")]


def change_password(cookies: Cookies) -> list[str]:
    new = "a long password of her own"
    return [cookies.post("/password", present=PASSWORD, new=new, again=new)]


def test_every_form_tells_what_it_did_and_no_cookie_says_whom_it_was_about(
    app: Flask, cookies: Cookies, database: Database, make_entry: Make
) -> None:
    make_entry(task_sid=TASK, raw_form=urlencode({"TaskSid": TASK, "WorkspaceSid": "WS" + "0" * 32}))
    told = [*decide(cookies, database), *end_task(cookies), *manage(cookies, database)]
    told += [*end_sessions(cookies, database), *revoke_token(cookies, database)]
    told += [*look_after_sources(cookies, services_of(app)), *change_password(cookies)]
    assert cookies.done == set(Done), "a form is missing here"
    assert len(cookies.texts) >= len(told)
    leaked = [text for text in cookies.texts if PERSONAL.search(text)]
    assert not leaked
    assert len(set(told)) == len(told)


@pytest.mark.parametrize(
    ("live", "others", "told"),
    [
        (LiveEnrichment(Outcome.ENRICHED, "", False, 1), 0, "Saved. The task in TaskRouter is updated."),
        (LiveEnrichment(Outcome.GONE, "gone", False, 1), 0, "Saved. The task is over, so nothing more can be written"),
        (None, 1, "Saved. One more open task is being updated."),
        (None, 2, "Saved. 2 more open tasks are being updated."),
    ],
)
def test_it_tells_how_it_went_with_the_tasks(app: Flask, live: LiveEnrichment | None, others: int, told: str) -> None:
    change = AuditedChange(7, frozenset(), frozenset(), frozenset(), frozenset())
    with app.test_request_context():
        notices.flash_resolution(Done.SAVED, Resolution(change, live, others))
        ((text, audit_id),) = notices.shown()
    assert text.startswith(told)
    assert audit_id == 7


@pytest.mark.parametrize("flashed", ["Done by version n", {"done": "later"}, {"done": "saved", "more": 1}, 7])
def test_a_notice_of_another_version_says_little(app: Flask, flashed: object) -> None:
    """The cookie is carried from one version to the next, and back."""
    with app.test_request_context():
        session["_flashes"] = [("message", flashed)]
        assert notices.shown() == [("Done.", None)]
