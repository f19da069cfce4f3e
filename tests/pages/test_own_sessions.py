"""The reader's own sessions: listed, and ended from another browser."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from flask import Flask
from flask.testing import FlaskClient

from enrich.accounts import users
from enrich.accounts.sessions import Sessions
from enrich.accounts.tables import Role
from enrich.database.engine import Database
from tests.support.app import EMAIL, PASSWORD

FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0"


@pytest.fixture
def other(app: Flask, browser: FlaskClient) -> FlaskClient:
    """Another browser in which Dana is signed in."""
    other = app.test_client()
    other.post("/login", data={"email": EMAIL, "password": PASSWORD}, headers={"User-Agent": FIREFOX})
    return other


def ends(page: str) -> list[str]:
    """Return the addresses that end one session each."""
    return re.findall(r'action="(/sessions/\d+/end)"', page)


def test_every_session_is_listed_and_which_one_is_here(browser: FlaskClient, other: FlaskClient) -> None:
    page = browser.get("/sessions").text
    rows = re.findall(r'<th scope="row">.*?</tr>', page, re.DOTALL)
    assert ["Firefox on Windows" in row for row in rows] == [True, False]
    assert ["this browser" in row for row in rows] == [False, True]
    assert len(ends(page)) == 1, "this one ends with signing out"
    assert 'href="/sessions"' in browser.get("/").text


def test_another_one_is_ended(browser: FlaskClient, other: FlaskClient) -> None:
    (path,) = ends(browser.get("/sessions").text)
    assert "signed out in that browser" in browser.post(path, follow_redirects=True).text
    assert other.get("/").status_code == 302
    assert browser.post(path).status_code == 404


def test_all_others_are_ended(app: Flask, browser: FlaskClient, other: FlaskClient) -> None:
    third = app.test_client()
    third.post("/login", data={"email": EMAIL, "password": PASSWORD})
    page = browser.post("/sessions/end-others", follow_redirects=True).text
    assert "signed out everywhere else" in page
    assert [client.get("/").status_code for client in (browser, other, third)] == [200, 302, 302]
    assert "/end-others" not in page, "there is none left"


def test_those_of_a_colleague_are_neither_shown_nor_ended(browser: FlaskClient, database: Database) -> None:
    sam = users.add(database, email="sam@example.com", role=Role.ADMIN, password=PASSWORD)
    assert sam
    session, token = Sessions(database).begin(sam, "Firefox on Windows", datetime.now(UTC))
    assert "Firefox" not in browser.get("/sessions").text
    assert browser.post(f"/sessions/{session.id}/end").status_code == 404
    browser.post("/sessions/end-others")
    assert Sessions(database).find(token, datetime.now(UTC))


def test_a_number_that_no_session_can_have_is_not_found(browser: FlaskClient) -> None:
    assert browser.post(f"/sessions/{2**63}/end").status_code == 404


def test_a_viewer_ends_their_own(browser: FlaskClient, other: FlaskClient, database: Database) -> None:
    users.set_role(database, EMAIL, Role.VIEWER)
    (path,) = ends(browser.get("/sessions").text)
    assert browser.post(path).status_code == 302
    assert other.get("/").status_code == 302
