"""What no database can be asked for is nobody's: on both kinds, signed in or not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from app import create_app
from enrich.accounts import users
from enrich.accounts.tables import Role
from enrich.database import migrations
from enrich.database.engine import Database
from enrich.settings import read_settings

EMAIL = "dana@example.com"
PASSWORD = "correct horse battery"


@pytest.fixture(params=["sqlite", "postgresql"])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Flask]:
    url = f"sqlite:///{tmp_path / 'enrich.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql")
    app = create_app(
        read_settings(
            {
                "SECRET_KEY": "only for tests",
                "PUBLIC_URL": "http://127.0.0.1",
                "DATABASE_URL": url,
                "ENRICH_INSTANCE_PATH": str(tmp_path),
            }
        )
    )
    app.config["WTF_CSRF_ENABLED"] = False
    database: Database = app.extensions["enrich"].database
    if request.param == "postgresql":
        database.write(text("DROP SCHEMA public CASCADE"))
        database.write(text("CREATE SCHEMA public"))
    migrations.upgrade(database)
    users.add(database, email=EMAIL, role=Role.VIEWER, password=PASSWORD)
    yield app
    database.close()


@pytest.fixture
def stranger(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.mark.parametrize("email", ["a\0@b.c", "\0", "a\ud800@b.c", "\udcff"], ids=repr)
def test_such_an_email_is_nobodys(database: Database, email: str) -> None:
    assert users.find(database, email) is None
    assert users.sign_in(database, email, PASSWORD) is None
    assert users.set_password(database, email, PASSWORD) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"email": "a\0@b.c"},
        {"email": f"{EMAIL}\0"},
        {"email": b"a\xed\xa0\x80@b.c"},
        {"email": "a" * 100_000},
        {"password": "\0"},
        {"password": b"\xed\xa0\x80"},
        {"password": "p" * 900_000},
    ],
    ids=lambda fields: repr(fields)[:30],
)
def test_signing_in_with_it_is_wrong_and_no_more(stranger: FlaskClient, fields: dict[str, str]) -> None:
    refused = stranger.post("/login", data={"email": EMAIL, "password": PASSWORD} | fields)
    assert refused.status_code == 401


PATHS = {
    "/?before=%00": 200,
    "/?before=-1": 200,
    f"/?before={2**63}": 200,
    f"/?before={'9' * 5000}": 200,
    f"/feed?before={2**63 - 1}": 200,
    "/feed?shown=%00": 200,
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
