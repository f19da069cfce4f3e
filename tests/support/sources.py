"""Sources of customers: declarations, and databases of somebody else with a customers table."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, create_engine, make_url, text

from enrich.sources.file import SqlDeclaration, read_sources
from enrich.sources.sql import SqlSource
from tests.support.databases import create_database

STAMP = {"sqlite": "TEXT", "postgresql": "TIMESTAMP(6)", "mysql": "DATETIME(6)"}
AN_HOUR_AGO = datetime.now(UTC) - timedelta(hours=1)
PARTS = """
[[sources.erp.part]]
table = "phones"
parent = "customer_id"
changed = "updated_at"
phones = ["number"]
"""

_numbers = count(1)
_FILE = """
[sources.erp]
kind = "sql"
url_env = "ERP_URL"
{source}
[sources.erp.person]
table = "customers"
key = "id"
name = "name"
{person}
{parts}
"""


# --- declarations


def sources_file(source: str = "", person: str = 'changed = "updated_at"', parts: str = "") -> str:
    """Return the text of a sources file with one database, `erp`. source, person, parts: further lines of TOML."""
    return _FILE.format(source=source, person=person, parts=parts)


def declared(source: str = "", person: str = 'changed = "updated_at"', parts: str = "") -> SqlDeclaration:
    """Return the declaration of the same file's database."""
    declaration = read_sources(sources_file(source, person, parts)).declarations["erp"]
    assert isinstance(declaration, SqlDeclaration)
    return declaration


# --- databases


@dataclass(frozen=True)
class SourceDatabase:
    """The database of somebody else. engine: of its owner, who writes. url: for reading."""

    engine: Engine
    url: str
    open: Callable[[SqlDeclaration], SqlSource]

    @property
    def kind(self) -> str:
        return self.engine.dialect.name

    def execute(self, *statements: str, **values: Any) -> None:
        """Execute statements in a transaction of their own."""
        with self.engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement), values)


def make_source_database(kind: str, request: pytest.FixtureRequest, tmp_path: Path, stack: ExitStack) -> SourceDatabase:
    """Return an empty database; the stack removes it. kind: sqlite, postgresql or mariadb."""
    name = f"source_{next(_numbers)}"
    if kind == "sqlite":
        url = writing_url = f"sqlite:///{tmp_path / 'erp.db'}"
        (tmp_path / "erp.db").touch()
    elif kind == "postgresql":
        server = request.getfixturevalue("postgresql")
        url = create_database(server, name)
        writing_url = make_url(url).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
        stack.callback(_drop_postgresql, server, name)
    else:
        server = make_url(request.getfixturevalue("mariadb"))
        root = create_engine(server.set(drivername="mysql+pymysql"))
        with root.begin() as connection:
            connection.execute(text(f"CREATE DATABASE {name} CHARACTER SET utf8mb4"))
        root.dispose()
        url = server.set(database=name).render_as_string(hide_password=False)
        writing_url = server.set(drivername="mysql+pymysql", database=name).render_as_string(hide_password=False)
    engine = create_engine(writing_url)
    stack.callback(engine.dispose)

    def open_source(declaration: SqlDeclaration) -> SqlSource:
        source = SqlSource(declaration, url)
        stack.callback(source.close)
        return source

    return SourceDatabase(engine, url, open_source)


def _drop_postgresql(server: str, name: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


# --- their tables


def make_customers(database: SourceDatabase, *, key: str = "INTEGER", stamp: str = "") -> None:
    stamp = stamp or STAMP[database.kind]
    database.execute(
        f"CREATE TABLE customers (id {key} NOT NULL PRIMARY KEY, name VARCHAR(80), tel VARCHAR(40),"
        f" updated_at {stamp} NULL, deleted_at {stamp} NULL)"
    )


def insert(database: SourceDatabase, *rows: tuple[Any, str, datetime | None], deleted: bool = False) -> None:
    with database.engine.begin() as connection:
        for key, name, changed in rows:
            stamp = None if changed is None else _stamp_text(changed)
            statement = (
                "INSERT INTO customers (id, name, updated_at, deleted_at) VALUES (:key, :name, :stamp, :deleted)"
            )
            values = {"key": key, "name": name, "stamp": stamp, "deleted": stamp if deleted else None}
            if database.kind == "postgresql":
                statement = statement.replace(":stamp", "CAST(:stamp AS timestamp)")
                statement = statement.replace(":deleted", "CAST(:deleted AS timestamp)")
            connection.execute(text(statement), values)


def make_phones(database: SourceDatabase, parent: str = "INTEGER") -> None:
    database.execute(
        f"CREATE TABLE phones (customer_id {parent}, number VARCHAR(40), updated_at {STAMP[database.kind]})"
    )


def add_phone(database: SourceDatabase, parent: Any, number: str, changed: datetime) -> None:
    stamp = "CAST(:stamp AS timestamp)" if database.kind == "postgresql" else ":stamp"
    values = {"parent": parent, "number": number, "stamp": _stamp_text(changed)}
    database.execute(f"INSERT INTO phones VALUES (:parent, :number, {stamp})", **values)  # noqa: S608 - of two texts


def _stamp_text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
