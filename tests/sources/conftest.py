"""Databases as sources: a customers table on SQLite, PostgreSQL and MariaDB."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, create_engine, make_url, text

from enrich.sources.file import SqlDeclaration, read_sources
from enrich.sources.sql import SqlSource
from tests.support.databases import create_database
from tests.support.mariadb import is_installed, running_mariadb

_numbers = count(1)

DECLARATION = """
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


def declared(source: str = "", person: str = 'changed = "updated_at"', parts: str = "") -> SqlDeclaration:
    text_of_file = DECLARATION.format(source=source, person=person, parts=parts)
    declaration = read_sources(text_of_file).declarations["erp"]
    assert isinstance(declaration, SqlDeclaration)
    return declaration


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


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real MariaDB server, started for this run."""
    if not is_installed():
        pytest.skip("MariaDB is not installed (Debian: mariadb-server)")
    with running_mariadb(tmp_path_factory.mktemp("mariadb")) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def source_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SourceDatabase]:
    """An empty database of somebody else; each test that asks for it runs on the three kinds."""
    with ExitStack() as stack:
        yield make_source_database(request.param, request, tmp_path, stack)


@pytest.fixture
def postgresql_source(request: pytest.FixtureRequest, postgresql: str, tmp_path: Path) -> Iterator[SourceDatabase]:
    """An empty PostgreSQL database of somebody else."""
    with ExitStack() as stack:
        yield make_source_database("postgresql", request, tmp_path, stack)


def make_source_database(kind: str, request: pytest.FixtureRequest, tmp_path: Path, stack: ExitStack) -> SourceDatabase:
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
