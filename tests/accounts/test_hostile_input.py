"""Input that no database accepts identifies nobody: on both databases, signed in or not."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient

from enrich.accounts import users
from enrich.accounts.tables import Role
from enrich.database.engine import Database
from tests.support.app import EMAIL, PASSWORD, services_of
from tests.support.fixtures import MakeApp


@pytest.fixture
def app(make_app: MakeApp, database_url: str) -> Flask:
    """An application on either kind of database."""
    app = make_app(DATABASE_URL=database_url)
    users.add(services_of(app).database, email=EMAIL, role=Role.VIEWER, password=PASSWORD)
    return app


@pytest.fixture
def database(app: Flask) -> Database:
    return services_of(app).database


@pytest.mark.parametrize("email", ["a\0@b.c", "\0", "a\ud800@b.c", "\udcff"], ids=repr)
def test_such_an_email_is_nobodys(database: Database, email: str) -> None:
    assert users.find(database, email) is None
    assert users.sign_in(database, email, PASSWORD) is None
    assert users.set_password(database, email, PASSWORD) is None


@pytest.mark.parametrize("user_id", [0, 2**31 - 1, 2**31, 2**63, 10**100])
def test_an_id_that_nobody_has_is_nobodys(database: Database, user_id: int) -> None:
    assert users.find_by_id(database, user_id) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"email": "a\0@b.c"},
        {"email": f"{EMAIL}\0"},
        {"email": b"a\xed\xa0\x80@b.c"},
        {"email": "a" * 7_000},
        {"password": "\0"},
        {"password": b"\xed\xa0\x80"},
        {"password": "p" * 7_000},
    ],
    ids=lambda fields: repr(fields)[:30],
)
def test_signing_in_with_it_is_wrong_and_no_more(stranger: FlaskClient, fields: dict[str, str]) -> None:
    refused = stranger.post("/login", data={"email": EMAIL, "password": PASSWORD} | fields)
    assert refused.status_code == 401


def test_more_than_signing_in_needs_is_not_read(stranger: FlaskClient) -> None:
    assert stranger.post("/login", data={"email": EMAIL, "password": "p" * 900_000}).status_code == 413


PATHS = {
    "/?before=%00": 200,
    "/?before=-1": 200,
    f"/?before={2**63}": 200,
    f"/?before={'9' * 5000}": 200,
    f"/feed?before={2**63 - 1}": 200,
    "/feed?shown=%00": 200,
    "/?to=9999-12-31T23:59": 200,
    "/?from=0001-01-01T00:00&to=0001-01-01": 200,
    "/tasks/%00": 404,
    "/tasks/WT1%00": 404,
    "/tasks/WT%ED%A0%80": 404,
    "/tasks/WT1/detail?shown=%00": 404,
    "/tasks/WT1?entry=%00": 404,
    f"/tasks/WT1?entry={2**63 - 1}": 404,
    f"/tasks/WT1?entry={2**63}": 404,
    f"/entries/{2**63 - 1}": 404,
    f"/entries/{2**63 - 1}/detail?shown=x": 404,
    "/entries/99999999999999999999": 404,
    f"/entries/{'9' * 5000}": 404,
    "/entries/%00": 404,
    "/login?next=/%00": 200,
}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path[:40])
def test_no_address_is_too_strange(stranger: FlaskClient, path: str) -> None:
    assert stranger.get(path).status_code == (200 if path.startswith("/login") else 302)
    stranger.post("/login", data={"email": EMAIL, "password": PASSWORD})
    assert stranger.get(path).status_code == (302 if path.startswith("/login") else PATHS[path])
