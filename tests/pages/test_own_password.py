"""One's own password, changed by whoever knows the present one."""

from __future__ import annotations

import logging

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from enrich.accounts import passwords, users
from enrich.accounts.tables import Role
from enrich.database.engine import Database
from tests.support.app import EMAIL, PASSWORD

NEW = "seven quiet kettles"


def change(browser: FlaskClient, **fields: str) -> TestResponse:
    form = {"present": PASSWORD, "new": NEW, "again": NEW}
    return browser.post("/password", data=form | fields, follow_redirects=True)


@pytest.mark.parametrize("role", list(Role))
def test_whoever_is_signed_in_changes_theirs(browser: FlaskClient, database: Database, role: Role) -> None:
    users.set_role(database, EMAIL, role)
    assert "Your password" in browser.get("/").text
    assert "Your password is changed" in change(browser).text
    assert users.sign_in(database, EMAIL, NEW)
    assert users.sign_in(database, EMAIL, PASSWORD) is None


def test_the_other_sessions_end_and_this_one_does_not(browser: FlaskClient, app: Flask) -> None:
    other = app.test_client()
    other.post("/login", data={"email": EMAIL, "password": PASSWORD})
    assert other.get("/").status_code == 200
    change(browser)
    assert (browser.get("/").status_code, other.get("/").status_code) == (200, 302)


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("present", "wrong", "This is not your password"),
        ("new", "short", "at least 12 characters"),
        ("new", "1qaz2wsx3edc", "most common"),
        ("new", "Dana Whitfield 1", "mostly a name"),
        ("new", PASSWORD, "your present password"),
        ("again", "seven quiet kettle", "not the same"),
    ],
)
def test_what_is_wrong_is_told_beside_its_field_and_nothing_is_changed(
    browser: FlaskClient, database: Database, field: str, value: str, told: str
) -> None:
    refused = change(browser, **{field: value})
    assert refused.status_code == 422
    assert told in refused.text.partition(f'id="{field}-problem"')[2].partition("</div>")[0]
    assert f'value="{value}"' not in refused.text
    assert users.sign_in(database, EMAIL, PASSWORD)


def test_the_present_one_cannot_be_guessed_by_whoever_has_the_session(browser: FlaskClient, database: Database) -> None:
    assert [change(browser, present="wrong").status_code for _ in range(5)] == [422] * 5
    refused = change(browser)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
    assert users.sign_in(database, EMAIL, PASSWORD)


def test_it_is_in_the_log_without_a_name(browser: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "enrich")
    change(browser, present="wrong")
    change(browser)
    lines = {record.getMessage(): vars(record) for record in caplog.records}
    assert lines["password refused"]["reason"] == "wrong_password"
    assert lines["password set"]["user_id"] == lines["password set"]["by_user_id"]
    assert EMAIL not in repr(lines.values())


def test_an_admin_needs_their_present_one_too(browser: FlaskClient, database: Database) -> None:
    users.set_role(database, EMAIL, Role.ADMIN)
    user = users.find(database, EMAIL)
    assert user
    sent = browser.post(f"/staff/{user.id}/password", data={"password": NEW})
    assert sent.location == "/password"
    assert f"/staff/{user.id}/password" not in browser.get("/staff").text
    assert users.sign_in(database, EMAIL, PASSWORD)


def test_what_an_admin_has_set_is_changed_before_anything_else(
    app: Flask, stranger: FlaskClient, database: Database
) -> None:
    given = "given over the phone"
    users.set_password(database, EMAIL, given, by_admin=True)
    stranger.post("/login", data={"email": EMAIL, "password": given})
    for method, path in (("GET", "/"), ("GET", "/customers"), ("POST", "/staff"), ("GET", "/overview")):
        assert stranger.open(path, method=method).location == "/password", path
    poll = stranger.get("/feed", headers={"HX-Request": "true"})
    assert (poll.status_code, poll.headers["HX-Redirect"]) == (401, "/password")
    assert "An admin has set your password" in stranger.get("/password").text
    assert stranger.get("/healthz").status_code == 200
    change(stranger, present=given)
    assert stranger.get("/").status_code == 200
    assert "An admin has set" not in stranger.get("/password").text


def test_an_admin_sets_it_on_the_page_for_a_new_colleague_and_for_an_old_one(
    browser: FlaskClient, database: Database
) -> None:
    users.set_role(database, EMAIL, Role.ADMIN)
    browser.post("/staff", data={"email": "kim@example.com", "name": "", "role": "viewer", "password": NEW})
    kim = users.find(database, "kim@example.com")
    assert kim
    assert kim.password_by_admin
    users.set_password(database, kim.email, PASSWORD)
    assert not (users.find(database, kim.email) or kim).password_by_admin
    browser.post(f"/staff/{kim.id}/password", data={"password": NEW})
    signed_in = users.sign_in(database, kim.email, NEW)
    assert signed_in
    assert signed_in.password_by_admin


def test_a_hash_that_is_renewed_on_the_way_is_still_an_admins(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    users.set_password(database, EMAIL, NEW, by_admin=True)
    monkeypatch.setattr(passwords, "is_outdated", lambda _hash: True)
    user = users.sign_in(database, EMAIL, NEW)
    assert user
    assert user.password_by_admin
