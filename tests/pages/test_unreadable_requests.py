"""Requests that no browser sends: every page refuses them, and none answers with a server error."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient

from enrich.accounts import users
from enrich.accounts.tables import Role
from tests.support.app import PASSWORD, services_of

ADMIN = "admin@example.com"
VALUES = {"task_sid": "WT" + "0" * 32, "entry_id": "1", "customer_id": "C-1001", "user_id": "1", "audit_id": "1"}
# A poll reads its query before its view does.
HEADERS = [{}, {"HX-Request": "true"}]


def addresses(app: Flask) -> list[tuple[str, str]]:
    """Every method and path of the application, with made-up values for its parameters."""
    found = []
    for rule in app.url_map.iter_rules():
        if rule.endpoint == "static":
            continue
        _, path = rule.build({name: VALUES.get(name, "1") for name in rule.arguments}) or ("", rule.rule)
        found += [(method, path) for method in sorted((rule.methods or set()) & {"GET", "POST"})]
    return found


@pytest.fixture
def admin(app: Flask, stranger: FlaskClient) -> FlaskClient:
    """A browser in which an administrator is signed in, who may see every page."""
    users.add(services_of(app).database, email=ADMIN, role=Role.ADMIN, password=PASSWORD, name="Admin")
    stranger.post("/login", data={"email": ADMIN, "password": PASSWORD})
    assert stranger.get("/staff").status_code == 200
    return stranger


@pytest.mark.parametrize("headers", HEADERS, ids=["page", "poll"])
@pytest.mark.parametrize("query", ["\xff", "task=\xc3(", "%ff", "q=%c3%28&q=%00", "a=%ed%a0%80"])
def test_no_page_fails_on_a_query_that_is_no_text(
    app: Flask, admin: FlaskClient, query: str, headers: dict[str, str]
) -> None:
    requests = [request for request in addresses(app) if request != ("POST", "/logout")]
    assert len(requests) > 20
    for method, path in requests:
        response = admin.open(path, method=method, headers=headers, environ_overrides={"QUERY_STRING": query})
        assert response.status_code < 500, (method, path)


@pytest.mark.parametrize("headers", HEADERS, ids=["page", "poll"])
@pytest.mark.parametrize("path", ["/staff", "/", "/customers", "/overview", "/login", "/nowhere"])
def test_a_query_that_is_no_text_is_refused(admin: FlaskClient, path: str, headers: dict[str, str]) -> None:
    response = admin.get(path, headers=headers, environ_overrides={"QUERY_STRING": "\xff"})
    assert response.status_code in (400, 404)


def test_no_page_fails_on_a_form_from_a_malformed_address(app: Flask, admin: FlaskClient) -> None:
    for method, path in addresses(app):
        response = admin.open(path, method=method, headers={"Referer": "http://[:1"})
        assert response.status_code < 500, (method, path)
