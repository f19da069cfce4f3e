"""API tokens, made and revoked by an admin on the page."""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime

import pytest
from flask.testing import FlaskClient

from enrich.accounts import users
from enrich.accounts.tables import Role
from enrich.accounts.tokens import PATTERN, ApiTokens
from enrich.database.engine import Database
from tests.support.app import EMAIL

FORM = {"name": "Studio", "scope": "lookup", "expires": "30"}


@pytest.fixture
def admin(browser: FlaskClient, database: Database) -> FlaskClient:
    users.set_role(database, EMAIL, Role.ADMIN)
    return browser


@pytest.mark.parametrize("role", [Role.VIEWER, Role.EDITOR])
def test_it_is_for_admins_alone(browser: FlaskClient, database: Database, role: Role) -> None:
    users.set_role(database, EMAIL, role)
    assert browser.get("/tokens").status_code == 403
    assert browser.post("/tokens", data=FORM).status_code == 403
    assert browser.post("/tokens/1/revoke").status_code == 403
    assert ApiTokens(database).list_all() == ()


def test_the_page_of_accounts_leads_there(admin: FlaskClient) -> None:
    assert 'href="/tokens">API tokens</a>' in admin.get("/staff").text


def test_the_form_says_which_scope_shows_personal_data(admin: FlaskClient, database: Database) -> None:
    page = admin.get("/tokens").text
    assert "<code>read</code> read customers, tasks and follow-ups as a viewer sees them" in page
    assert "<code>read:unmasked</code> read them as an editor sees them" in page
    assert admin.post("/tokens", data=FORM | {"scope": "read:unmasked"}).status_code == 200
    assert ApiTokens(database).list_all()[0].scopes == ("read:unmasked",)


def test_a_token_is_shown_once(admin: FlaskClient, database: Database, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    response = admin.post("/tokens", data=FORM | {"intake": "crm, shop"})
    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "no-store"
    secret = re.findall(PATTERN, response.text)[0]
    token = ApiTokens(database).find(secret, datetime.now(UTC))
    assert token
    assert token.scopes == ("intake:crm", "intake:shop", "lookup")
    assert secret not in str(response.headers)
    page = admin.get("/tokens").text
    assert secret not in page
    assert token.prefix in page
    assert EMAIL in page
    assert secret not in " ".join(str(vars(record)) for record in caplog.records)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"name": ""}, "Enter a name"),
        ({"name": "taken"}, "There is a token of this name"),
        ({"scope": ""}, "at least one scope"),
        ({"scope": "admin"}, "is no scope"),
        ({"intake": "No!"}, "is no scope"),
        ({"scope": ["lookup", "lookup:claimed"]}, "choose one"),
        ({"expires": "7000"}, "Choose when"),
    ],
)
def test_a_wrong_form_is_shown_again(
    admin: FlaskClient, database: Database, wrong: dict[str, str | list[str]], told: str
) -> None:
    ApiTokens(database).add(name="taken", scopes=["read"], now=datetime.now(UTC))
    response = admin.post("/tokens", data=FORM | wrong)
    assert response.status_code == 422
    assert told in response.text
    assert len(ApiTokens(database).list_all()) == 1
    assert not re.search(PATTERN, response.text)


def test_a_token_is_revoked_and_stays_in_the_list(admin: FlaskClient, database: Database) -> None:
    added = ApiTokens(database).add(name="Studio", scopes=["lookup"], now=datetime.now(UTC))
    assert added
    path = f"/tokens/{added[0].id}/revoke"
    page = admin.post(path, follow_redirects=True).text
    assert "The token is revoked." in page
    assert "Studio" in page
    assert ApiTokens(database).find(added[1], datetime.now(UTC)) is None
    assert admin.post(path).status_code == 404
    assert admin.post("/tokens/4711/revoke").status_code == 404
