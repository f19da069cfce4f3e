"""An application on a temporary SQLite file, and a browser that is signed in."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from flask import Flask
from werkzeug.serving import make_server

from enrich.accounts import users
from enrich.accounts.tables import Role
from enrich.database.engine import Database
from tests.support.app import EMAIL, PASSWORD, services_of
from tests.support.fixtures import MakeApp


@pytest.fixture
def app(make_app: MakeApp) -> Flask:
    app = make_app(PUBLIC_URL="http://127.0.0.1", ENRICH_FRAME_ANCESTORS="http://127.0.0.1")
    users.add(services_of(app).database, email=EMAIL, role=Role.EDITOR, password=PASSWORD, name="Dana Whitfield")
    return app


@pytest.fixture
def database(app: Flask) -> Database:
    return services_of(app).database


@pytest.fixture
def origin(app: Flask) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    serving.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    serving.join()
    server.server_close()


@pytest.fixture
def complaints() -> list[str]:
    """The errors in the browser's console, violations of the content security policy included."""
    return []
