"""Databases as sources: a customers table on SQLite, PostgreSQL and MariaDB."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.mariadb import is_installed, running_mariadb
from tests.support.sources import SourceDatabase, make_source_database


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
