"""A real app over a temporary SQLite file, with one account."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from enrich.accounts import users
from enrich.accounts.tables import Role
from enrich.accounts.users import User
from enrich.database.engine import Database
from enrich.database.types import Base
from enrich.settings import read_settings

EMAIL = "dana@example.com"
PASSWORD = "correct horse battery"


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    app = create_app(
        read_settings(
            {
                "SECRET_KEY": "only for tests",
                "PUBLIC_URL": "http://127.0.0.1",
                "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
                "TWILIO_AUTH_TOKEN": "only for tests",
                "ENRICH_INSTANCE_PATH": str(tmp_path),
            }
        )
    )
    Base.metadata.create_all(app.extensions["enrich"].database.engine)
    yield app
    app.extensions["enrich"].database.close()


@pytest.fixture
def database(app: Flask) -> Database:
    return app.extensions["enrich"].database


@pytest.fixture
def dana(database: Database) -> User:
    user = users.add(database, email=EMAIL, role=Role.VIEWER, password=PASSWORD, name="Dana Whitfield")
    assert user
    return user


@pytest.fixture
def browser(app: Flask, dana: User) -> FlaskClient:
    return app.test_client()
