"""Signing in and out, in a browser without script."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from itsdangerous import URLSafeTimedSerializer
from sqlalchemy import event, select, text, update
from werkzeug.test import TestResponse

from enrich import errors
from enrich.accounts import passwords, users
from enrich.accounts.tables import AttemptsRow, Role, SessionRow, UserRow
from enrich.database.engine import Database
from enrich.pages import sessions
from tests.support.app import EMAIL, PASSWORD, services_of
from tests.support.fixtures import MakeApp


@pytest.fixture
def browser(app: Flask) -> FlaskClient:
    """A browser that is not signed in and has to send the CSRF tokens."""
    return app.test_client()


def token(browser: FlaskClient, path: str = "/login") -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', browser.get(path).text)
    assert found
    return found[1]


def sign_in(browser: FlaskClient, **fields: Any) -> TestResponse:
    form = {"email": EMAIL, "password": PASSWORD, "csrf_token": token(browser)}
    return browser.post("/login", data=form | fields)


def test_who_is_not_signed_in_is_asked_to_and_then_brought_back(browser: FlaskClient) -> None:
    refused = browser.get("/tasks/WT123?before=7")
    assert refused.status_code == 302
    assert refused.location == "/login?next=/tasks/WT123?before%3D7"
    assert sign_in(browser, next="/tasks/WT123?before=7").location == "/tasks/WT123?before=7"


def test_the_page_is_there_after_signing_in_and_gone_after_signing_out(browser: FlaskClient) -> None:
    assert sign_in(browser).location == "/"
    assert "Dana Whitfield" in browser.get("/").text
    signed_out = browser.post("/logout", data={"csrf_token": token(browser, "/")})
    assert signed_out.location == "/login"
    assert browser.get("/").status_code == 302


@pytest.mark.parametrize(
    "fields",
    [{"password": "wrong"}, {"email": "nobody@example.com"}, {"password": ""}],
    ids=["password", "email", "none"],
)
def test_the_answer_is_the_same_whichever_of_both_is_wrong(browser: FlaskClient, fields: dict[str, str]) -> None:
    refused = sign_in(browser, **fields)
    assert refused.status_code == 401
    assert "Wrong e-mail or password" in refused.text
    assert browser.get("/").status_code == 302


def test_a_nonexistent_account_costs_a_hash_too(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[tuple[object, ...]] = []

    def is_right(*given: object) -> bool:
        checked.append(given)
        return False

    monkeypatch.setattr(passwords, "is_right", is_right)
    users.sign_in(database, "nobody@example.com", PASSWORD)
    assert checked == [(PASSWORD, None)]


def test_while_too_many_sign_in_one_more_is_told_to_come_back_and_counts_nothing(
    browser: FlaskClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_full() -> None:
        raise errors.TooManySignIns("enough")

    fields = {"email": EMAIL, "password": PASSWORD, "csrf_token": token(browser)}
    monkeypatch.setattr(passwords, "require_room", is_full)
    refused = browser.post("/login", data=fields, headers={"Accept": "text/html"})
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "2")
    assert "Too many people are signing in" in refused.text
    assert database.read(select(AttemptsRow.key)) == []


@pytest.mark.parametrize("path", ["/login", "/logout"])
def test_a_form_without_its_token_is_refused(browser: FlaskClient, path: str) -> None:
    refused = browser.post(path, data={"email": EMAIL, "password": PASSWORD}, headers={"Accept": "text/html"})
    assert refused.status_code == 400
    assert "This form has expired" in refused.text
    assert browser.get("/").status_code == 302


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "https:evil.example",
        "https://evil.example/",
        "javascript:alert(1)",
        "/\t/evil.example",
        "/\n/evil.example",
        "evil",
        "",
    ],
)
def test_nobody_is_sent_to_another_site(browser: FlaskClient, target: str) -> None:
    assert sessions.local_path(target) is None
    assert sign_in(browser, next=target).location == "/"


@pytest.mark.parametrize("target", ["/", "/tasks/WT1", "/?before=3&x=//y"])
def test_a_path_of_this_site_is_kept(target: str) -> None:
    assert sessions.local_path(target) == target


def let_pass(database: Database, minutes: int) -> None:
    """Make every session so much older."""
    for row in database.read(select(SessionRow.id, SessionRow.began_at, SessionRow.seen_at)):
        older = {
            "began_at": row.began_at - timedelta(minutes=minutes),
            "seen_at": row.seen_at - timedelta(minutes=minutes),
        }
        database.write(update(SessionRow).where(SessionRow.id == row.id).values(older))


def test_a_session_ends_after_twelve_hours_however_busy_it_was(browser: FlaskClient, database: Database) -> None:
    sign_in(browser)
    for _ in range(7):
        let_pass(database, minutes=100)
        assert browser.get("/").status_code == 200
    let_pass(database, minutes=21)
    assert browser.get("/").status_code == 302


@pytest.mark.parametrize(
    ("headers", "status"),
    [({}, 302), ({"HX-Request": "true"}, 401), ({"HX-Request": "true", sessions.ACTIVE_HEADER: "1"}, 200)],
    ids=["nothing", "a page that lies open", "a page that somebody reads"],
)
def test_a_session_ends_two_hours_after_the_reader_did_anything(
    browser: FlaskClient, database: Database, headers: dict[str, str], status: int
) -> None:
    sign_in(browser)
    let_pass(database, minutes=70)
    if headers:
        browser.get("/feed?shown=x", headers=headers)
    let_pass(database, minutes=60)
    assert browser.get("/feed?shown=x", headers=headers).status_code == status


def test_a_new_password_ends_the_sessions_of_the_old_one(browser: FlaskClient, database: Database) -> None:
    sign_in(browser)
    users.set_password(database, EMAIL, "something else entirely")
    assert browser.get("/").status_code == 302


def test_a_password_that_the_old_version_changed_ends_them_too(browser: FlaskClient, database: Database) -> None:
    """It knows no sessions, and serves until its last process is replaced."""
    sign_in(browser)
    database.write(update(UserRow).values(password_hash=passwords.hash_password("something else entirely")))
    assert browser.get("/").status_code == 302


def test_who_is_made_inactive_is_signed_out(browser: FlaskClient, database: Database) -> None:
    sign_in(browser)
    database.write(update(UserRow).values(active=False))
    assert browser.get("/").status_code == 302


def test_a_session_that_a_disabled_account_had_does_not_come_back_with_it(
    browser: FlaskClient, database: Database
) -> None:
    sign_in(browser)
    for active in (False, True):
        users.set_active(database, EMAIL, active=active)
        assert browser.get("/").status_code == 302


COOKIE = "enrich_session"


def copy_of(browser: FlaskClient) -> FlaskClient:
    """Return another browser with this one's session cookie, as a thief has it."""
    other = browser.application.test_client()
    cookie = browser.get_cookie(COOKIE)
    assert cookie
    other.set_cookie(COOKIE, cookie.value)
    return other


def test_a_copied_cookie_ends_with_signing_out(browser: FlaskClient) -> None:
    sign_in(browser)
    copy = copy_of(browser)
    assert copy.get("/").status_code == 200
    browser.post("/logout", data={"csrf_token": token(browser, "/")})
    assert copy.get("/").status_code == 302


def test_a_copied_cookie_ends_with_signing_in_again(browser: FlaskClient) -> None:
    sign_in(browser)
    copy = copy_of(browser)
    csrf_token = token(browser, "/")
    assert browser.post("/login", data={"email": EMAIL, "password": PASSWORD, "csrf_token": csrf_token}).location == "/"
    assert browser.get("/").status_code == 200
    assert copy.get("/").status_code == 302


def test_a_cookie_from_before_signing_in_is_not_signed_in_by_it(browser: FlaskClient) -> None:
    """Nobody can hand a colleague a session of their own making."""
    browser.get("/login")
    before = copy_of(browser)
    sign_in(browser)
    assert before.get("/").status_code == 302


def test_the_database_does_not_hold_what_the_cookie_does(browser: FlaskClient, database: Database) -> None:
    sign_in(browser)
    with browser.session_transaction() as session:
        held = session["token"]
    assert len(held) >= 40
    (row,) = database.read(text("SELECT * FROM sessions"))
    assert held not in str(tuple(row))


def test_a_page_reads_session_and_user_in_one_statement_and_writes_once_a_minute(
    browser: FlaskClient, database: Database
) -> None:
    sign_in(browser)
    statements: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))

    def accounts() -> list[str]:
        statements.clear()
        assert browser.get("/").status_code == 200
        return [statement.split()[0] for statement in statements if re.search("users|sessions", statement)]

    assert accounts() == ["SELECT"]
    let_pass(database, minutes=2)
    assert accounts() == ["SELECT", "UPDATE"]
    assert accounts() == ["SELECT"]


def test_a_page_is_shown_while_the_database_cannot_be_written_to(browser: FlaskClient, database: Database) -> None:
    sign_in(browser)
    let_pass(database, minutes=2)
    database.write(
        text("CREATE TRIGGER read_only BEFORE UPDATE ON sessions BEGIN SELECT RAISE(FAIL, 'read-only'); END")
    )
    assert browser.get("/").status_code == 200
    (session,) = database.read(select(SessionRow.seen_at))
    assert session.seen_at < datetime.now(UTC) - timedelta(minutes=1)


def test_the_cookies_are_kept_from_scripts_and_other_sites(browser: FlaskClient) -> None:
    cookies = sign_in(browser).headers.getlist("Set-Cookie")
    assert [cookie.partition("=")[0] for cookie in cookies] == ["enrich_device", "enrich_session"]
    for cookie in cookies:
        assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
        assert "Secure" not in cookie, "the demo is served over http on 127.0.0.1"


@pytest.mark.parametrize("public_url", ["https://hooks.example.com", "https://hooks.example.com/enrich"])
def test_over_https_only_this_host_sets_the_cookies(make_app: MakeApp, public_url: str) -> None:
    """A browser takes a cookie of this name only if it is Secure, for the path / and without a domain."""
    app = make_app(PUBLIC_URL=public_url)
    users.add(services_of(app).database, email=EMAIL, role=Role.VIEWER, password=PASSWORD)
    app.config["WTF_CSRF_ENABLED"] = False
    browser = app.test_client()
    form = {"email": EMAIL, "password": PASSWORD}
    cookies = browser.post("/login", data=form, base_url="https://hooks.example.com").headers.getlist("Set-Cookie")
    assert [cookie.partition("=")[0] for cookie in cookies] == ["__Host-enrich_device", "__Host-enrich_session"]
    for cookie in cookies:
        assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
        assert "Domain" not in cookie
    assert browser.get("/", base_url="https://hooks.example.com").status_code == 200


def test_no_cookie_holds_an_address_that_could_be_guessed(browser: FlaskClient) -> None:
    """Neither the reader's e-mail nor their network address, nor a hash that anybody can make of either."""
    cookies = sign_in(browser).headers.getlist("Set-Cookie")
    said = [cookie.partition("=")[2].partition(";")[0].rsplit(".", 2)[0] for cookie in cookies]
    read = "".join(str(URLSafeTimedSerializer("no key").load_payload(payload.encode())) for payload in said)
    assert not re.search("example|127\\.0", read)
    for address in (EMAIL, "127.0.0.1"):
        assert hashlib.sha256(address.encode()).hexdigest()[:16] not in read


def test_a_fragment_is_told_to_load_the_sign_in_page_as_a_whole(browser: FlaskClient) -> None:
    """Following a redirect, htmx would put the form into the feed."""
    refused = browser.get("/feed", headers={"HX-Request": "true", "HX-Current-URL": "http://127.0.0.1/tasks/WT1?a=b"})
    assert refused.status_code == 401
    assert refused.headers["HX-Redirect"] == "/login?next=/tasks/WT1?a%3Db"


def test_a_foreign_current_address_is_not_gone_back_to(browser: FlaskClient) -> None:
    refused = browser.get("/feed", headers={"HX-Request": "true", "HX-Current-URL": "http://x//evil.example"})
    assert refused.headers["HX-Redirect"] == "/login"


@pytest.mark.parametrize("address", ["http://[", "http://\u00e9[/", "\x00", "", "//", "http://x/\x01"])
def test_an_address_that_is_none_is_not_gone_back_to(browser: FlaskClient, address: str) -> None:
    headers = {"HTTP_HX_REQUEST": "true", "HTTP_HX_CURRENT_URL": address}
    refused = browser.get("/feed", environ_overrides=headers)
    assert refused.status_code == 401
    assert refused.headers["HX-Redirect"] == "/login"


@pytest.mark.parametrize("path", ["/", "/feed", "/login", "/tasks/WT1"])
def test_a_query_that_is_no_text_is_refused(browser: FlaskClient, path: str) -> None:
    query = {"QUERY_STRING": "before=\xff"}
    assert browser.get(path, environ_overrides=query).status_code == 400
    sign_in(browser)
    assert browser.get(path, environ_overrides=query).status_code == 400


@pytest.mark.parametrize("referrer", ["https://[", "https://localhost:x/"])
def test_a_form_from_an_address_that_is_none_is_refused(browser: FlaskClient, referrer: str) -> None:
    """Over https, Flask-WTF takes it apart."""
    form = {"email": EMAIL, "password": PASSWORD, "csrf_token": token(browser)}
    refused = browser.post("/login", data=form, base_url="https://localhost", headers={"Referer": referrer})
    assert refused.status_code == 400


def test_who_is_signed_in_passes_the_form(browser: FlaskClient) -> None:
    sign_in(browser)
    assert browser.get("/login?next=/tasks/WT1").location == "/tasks/WT1"
