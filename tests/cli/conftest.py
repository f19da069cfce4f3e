"""The application that commands run in: nothing of Twilio's is set, and no secret key."""

from __future__ import annotations

import pytest
from flask import Flask

from enrich.database.engine import Database
from tests.support.app import services_of
from tests.support.fixtures import MakeApp


@pytest.fixture
def app(make_app: MakeApp) -> Flask:
    return make_app(TWILIO_ACCOUNT_SID="", TWILIO_AUTH_TOKEN="", SECRET_KEY="", PUBLIC_URL="")


@pytest.fixture
def new_app(make_app: MakeApp) -> Flask:
    """An application whose database is still to be made."""
    return make_app(migrated=False, TWILIO_ACCOUNT_SID="", TWILIO_AUTH_TOKEN="", SECRET_KEY="", PUBLIC_URL="")


@pytest.fixture
def database(app: Flask) -> Database:
    return services_of(app).database
