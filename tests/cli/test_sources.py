"""`flask sources`."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from flask import Flask

from enrich.errors import SourcesFileError
from enrich.services import build_services
from enrich.settings import Settings
from tests.support.app import run_command, services_of
from tests.support.fixtures import MakeApp
from tests.support.sources import sources_file

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
    assert check(app, "--offline") == (0, f"{tmp_path / 'sources.toml'}: shop (push): OK\n")


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


# --- syncs

ERP = sources_file(person='changed = "updated_at"\nphones = "phone"')


@dataclass(frozen=True)
class Erp:
    """A database of customers, and the application that reads it."""

    app: Flask
    path: Path

    def run(self, *arguments: str) -> tuple[int, str]:
        return run_command(self.app, "sources", *arguments)

    def execute(self, statement: str, *rows: tuple[object, ...]) -> None:
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.executemany(statement, rows or [()])


@pytest.fixture
def erp(make_app: MakeApp, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Erp:
    monkeypatch.setenv("ERP_URL", f"sqlite:///{tmp_path / 'erp.db'}")
    erp = Erp(make_app(replace(settings, sources=write(tmp_path, ERP))), tmp_path / "erp.db")
    erp.execute("CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, phone TEXT, updated_at TEXT)")
    rows = [(number, f"Customer {number}", f"+1415555{number:04d}") for number in range(1, 61)]
    erp.execute("INSERT INTO customers VALUES (?, ?, ?, datetime('now'))", *rows)
    return erp


def test_a_sync_reads_the_database(erp: Erp) -> None:
    status, output = erp.run("sync", "erp")
    assert (status, output.split(", in ")[0]) == (0, "erp: full: 60 read, 60 created")
    erp.execute("UPDATE customers SET name = 'Ada Lovelace', updated_at = datetime('now') WHERE id = 7")
    status, output = erp.run("sync")
    assert "window: 60 read, 1 changed, 59 unchanged" in output
    status, output = erp.run("find", "erp", "+14155550007")
    assert status == 0
    assert 'at the source: {"id": "7", "name": "Ada Lovelace", "phones": ["+14155550007"]}' in output
    assert "in the store: customer erp:7: {" in output


def test_status_says_what_was_read(erp: Erp) -> None:
    assert erp.run("status") == (
        0,
        "Nothing was read yet. Declare a source (docs/sources.md), and run: flask sources sync\n",
    )
    erp.run("sync")
    status, output = erp.run("status", "erp")
    assert status == 0
    assert output.startswith("erp (sql): as it was ")
    assert "last run: 60 read, 60 created" in output
    assert "records: 60 live" in output
    status, output = erp.run("status", "shop")
    assert (status, "Nothing was ever read from shop" in output) == (1, True)


def test_the_brake_asks_and_is_answered(erp: Erp) -> None:
    erp.run("sync")
    erp.execute("DELETE FROM customers WHERE id > 30")
    status, output = erp.run("sync", "--full")
    assert status == 1
    assert "30 of 60 customers would be gone within 24 hours" in output
    assert "flask sources sync erp --accept 30" in output
    status, output = erp.run("status")
    assert (status, "flask sources sync erp --accept 30" in output) == (1, True)
    status, output = erp.run("sync", "erp", "--accept", "29")
    assert (status, "erp does not ask for 29" in output) == (1, True)
    status, output = erp.run("sync", "erp", "--accept", "30")
    assert (status, "30 removed" in output) == (0, True)
    assert erp.run("status")[0] == 0


def test_what_cannot_be_read_is_listed_and_tried_again(erp: Erp) -> None:
    erp.execute("UPDATE customers SET phone = 'ask at the desk' WHERE id = 7")
    erp.run("sync")
    status, output = erp.run("quarantine", "list", "erp")
    assert status == 0
    assert output.startswith("7  ")
    assert "loaded without this: phones[0]" in output
    assert "0 of 1 are out of quarantine" in erp.run("quarantine", "retry", "erp")[1]
    erp.execute("UPDATE customers SET phone = '+14155550107' WHERE id = 7")
    assert "1 of 1 are out of quarantine" in erp.run("quarantine", "retry", "erp", "7")[1]
    assert erp.run("quarantine", "list", "erp") == (0, "No records of erp are in quarantine.\n")
    assert "Not in quarantine: 8" in erp.run("quarantine", "retry", "erp", "8")[1]


def test_a_replay_reads_again(erp: Erp) -> None:
    erp.run("sync")
    erp.execute("UPDATE customers SET name = 'Unstamped' WHERE id IN (5, 6)")
    assert "2 changed" in erp.run("replay", "erp", "5", "6")[1]
    assert "60 read, 60 unchanged" in erp.run("replay", "erp", "--hours", "2")[1]
    assert erp.run("replay", "erp")[0] == 2


def test_a_table_that_is_missing_is_named(erp: Erp) -> None:
    erp.execute("ALTER TABLE customers RENAME TO clients")
    status, output = erp.run("sync")
    assert status == 1
    assert "erp: source_misfit: " in output
    assert "customers" in output
    status, output = erp.run("status")
    assert (status, "stopped until somebody mends it" in output) == (1, True)


def test_an_unknown_source(erp: Erp) -> None:
    status, output = erp.run("sync", "shop")
    assert (status, "There is no database shop; the file declares erp" in output) == (1, True)
