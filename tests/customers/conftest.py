"""A store of its own for each test, and builders with defaults nobody could take for real."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import enrich.customers.tables  # noqa: F401 - create_all needs to know the tables
from enrich.database.engine import Database
from enrich.database.types import Base


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'crm.db'}")
    Base.metadata.create_all(database.engine)
    yield database
    database.close()
