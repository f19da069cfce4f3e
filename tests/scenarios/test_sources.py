"""A database as a source, read by a running worker: who is created there is known when they call."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import select

from enrich.customers.tables import IdentifierRow
from enrich.demo.processes import Processes
from tests.support.contact_centre import ContactCentre, Service
from tests.support.waiting import wait_until

pytestmark = pytest.mark.database

SOURCES = """
[sources.erp]
kind = "sql"
url_env = "ERP_URL"
every = "5s"

[sources.erp.person]
table = "customers"
key = "id"
changed = "updated_at"
deleted = "deleted"
name = "name"
phones = "phone"
"""
PATIENCE_S = 40.0


@pytest.fixture
def erp(tmp_path: Path) -> Path:
    path = tmp_path / "erp.db"
    execute(path, "CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, phone TEXT, deleted INTEGER, updated_at)")
    execute(path, "INSERT INTO customers VALUES (1, 'Mary Somerville', '+14155550171', 0, datetime('now'))")
    return path


def execute(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, timeout=30)) as connection, connection:
        connection.execute(statement)


def test_customers_of_a_database_are_known_and_forgotten(
    own_service: Service,
    open_centre: Callable[..., ContactCentre],
    processes: Processes,
    erp: Path,
    tmp_path: Path,
) -> None:
    service = own_service
    (tmp_path / "sources.toml").write_text(SOURCES)
    environment = {**service.environment, "ENRICH_SOURCES": str(tmp_path / "sources.toml")}
    processes.start("web", "gunicorn", "app:create_app()", env=environment)
    processes.start("worker", "flask", "worker", env={**environment, "ERP_URL": f"sqlite:///{erp}"})
    processes.wait_for("web", f"{service.url}/readyz", lambda: False)
    centre = open_centre(service)

    def owners(number: str) -> list[str]:
        rows = service.database.read(select(IdentifierRow.customer_id).where(IdentifierRow.value == number))
        return [row.customer_id for row in rows]

    def call(number: str) -> object:
        task = centre.task_arrives({"from": number})
        centre.answer(task)
        return centre.block(task)

    wait_until(lambda: owners("+14155550171") == ["erp:1"], PATIENCE_S)
    block = call("+14155550171")
    assert isinstance(block, dict)
    assert (block["customer_id"], block["name"]) == ("erp:1", "Mary Somerville")
    execute(erp, "INSERT INTO customers VALUES (2, 'Emmy Noether', '+14155550172', 0, datetime('now'))")
    execute(erp, "UPDATE customers SET deleted = 1, updated_at = datetime('now') WHERE id = 1")
    wait_until(lambda: owners("+14155550172") == ["erp:2"] and not owners("+14155550171"), PATIENCE_S)
    known = call("+14155550172")
    assert isinstance(known, dict)
    assert known["customer_id"] == "erp:2"
    assert call("+14155550171") == {"match": "none", "reason": "no_such_key"}
