"""One's own password, changed by whoever knows the present one."""

from __future__ import annotations

import logging

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from enrich.accounts import users
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
