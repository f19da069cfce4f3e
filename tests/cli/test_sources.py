"""`flask sources check`."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask

from enrich.errors import SourcesFileError
from enrich.services import build_services
from enrich.settings import Settings
from tests.support.app import run_command, services_of
from tests.support.fixtures import MakeApp

EXAMPLE = Path(__file__).parent.parent.parent / "docs" / "sources.example.toml"
PUSH = '[sources.shop]\nkind = "push"\n'
WRONG = '[sources.shop]\nkind = "pull"\n[sources.erp]\nkind = "sql"\n'


@pytest.fixture
def app(make_app: MakeApp, settings: Settings) -> Flask:
    return make_app(replace(settings, twilio_account_sid="", twilio_auth_token="", secret_key="", public_url=""))


def check(app: Flask, *arguments: str) -> tuple[int, str]:
    return run_command(app, "sources", "check", *arguments)


def write(folder: Path, text: str) -> Path:
    path = folder / "sources.toml"
    path.write_text(text)
    return path


def test_every_mistake_is_listed(app: Flask, tmp_path: Path) -> None:
    status, output = check(app, str(write(tmp_path, WRONG)))
    assert status == 1
    assert "line 2, sources, shop, kind: must be sql or push, not 'pull'" in output
    assert "line 3, sources, erp: url_env is missing" in output
    assert "line 3, sources, erp: person is missing" in output


def test_variables_that_are_not_set_are_mistakes(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ERP_URL", "sqlite://")
    monkeypatch.setenv("SHOP_WEBHOOK_SECRET", "")
    status, output = check(app, str(EXAMPLE))
    assert status == 1
    assert "sources, shop, secret_env: there is no environment variable of this name, or it is empty" in output
    assert "url_env" not in output


def test_without_a_file(app: Flask) -> None:
    status, output = check(app)
    assert status == 2
    assert "ENRICH_SOURCES" in output


def test_the_file_of_the_setting(make_app: MakeApp, settings: Settings, tmp_path: Path) -> None:
    app = make_app(replace(settings, sources=write(tmp_path, PUSH)))
    assert set(services_of(app).sources.declarations) == {"shop"}
    assert check(app) == (0, f"{tmp_path / 'sources.toml'}: shop (push): OK\n")


def test_what_serves_does_not_start_with_a_wrong_file(make_app: MakeApp, settings: Settings, tmp_path: Path) -> None:
    wrong = replace(settings, sources=write(tmp_path, WRONG))
    with pytest.raises(SourcesFileError, match="must be sql or push"):
        make_app(wrong)


def test_a_command_may_have_nothing_to_do_with_sources(settings: Settings, tmp_path: Path) -> None:
    services = build_services(replace(settings, sources=write(tmp_path, WRONG)), serves=False)
    with pytest.raises(SourcesFileError, match="must be sql or push"):
        services.require_sources()


def test_a_file_that_cannot_be_read(app: Flask, settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(SourcesFileError, match="ENRICH_SOURCES names it"):
        build_services(replace(settings, sources=tmp_path / "missing.toml"), serves=True)
    (tmp_path / "latin.toml").write_bytes(b"# M\xfcller")
    assert "not UTF-8 at byte 3" in check(app, str(tmp_path / "latin.toml"))[1]


def test_each_database_is_looked_at(app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(sqlite3.connect(tmp_path / "erp.db")) as database:
        database.execute("CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT)")
    monkeypatch.setenv("ERP_URL", f"sqlite:///{tmp_path / 'erp.db'}")
    person = '\n[sources.erp.person]\ntable = "customers"\nkey = "id"\nname = "name"\n'
    path = write(tmp_path, '[sources.erp]\nkind = "sql"\nurl_env = "ERP_URL"' + person)
    status, output = check(app, str(path))
    assert status == 0
    assert "ok       key                  customers.id identifies each row" in output
    assert "warning  change column        customers has none" in output
    path.write_text(path.read_text() + 'phones = "tel"\n')
    status, output = check(app, str(path))
    assert status == 1
    assert "customers has no column tel; it has id, name" in output
    assert check(app, "--offline", str(path)) == (0, f"{path}: erp (sql): OK\n")
