"""Turns of a writer that writes a great deal, beside others and alone."""

from __future__ import annotations

from contextlib import closing

import pytest
from sqlalchemy import func, select, update

from enrich.customers.tables import CustomerRow
from enrich.database.engine import Database
from enrich.database.turns import COURTEOUS_FOR_S, GAP_S, Turns
from tests.support.databases import seed_customers

pytestmark = pytest.mark.database

WRITE = update(CustomerRow).values(company=CustomerRow.company + "x")


class Writer:
    """A writer with a clock of its own; what it slept in all."""

    def __init__(self, database: Database) -> None:
        self.time, self.slept = 1000.0, 0.0
        self._database = database
        self._turns = Turns(database, now=lambda: self.time, sleep=self._sleep)

    def turn(self) -> float:
        """Have a turn, and return the gap after it."""
        before = self.slept
        with self._database.transaction() as session:
            self._turns.note(session.connection())
            session.execute(WRITE)
        self._turns.end()
        return self.slept - before

    def _sleep(self, seconds: float) -> None:
        self.slept += seconds


@pytest.fixture
def writer(database: Database) -> Writer:
    seed_customers(database)
    return Writer(database)


def test_alone_it_leaves_no_gaps(writer: Writer, database: Database) -> None:
    for _ in range(3):
        assert writer.turn() == 0.0
        with database.reading() as session:
            assert session.scalar(select(func.count()).select_from(CustomerRow))


def test_beside_another_writer_it_leaves_gaps(writer: Writer, database: Database, database_url: str) -> None:
    assert writer.turn() == 0.0
    with closing(Database(database_url)) as other, other.transaction() as session:
        session.execute(WRITE)
    gap = GAP_S if database.is_sqlite else 0.0  # PostgreSQL locks rows
    assert writer.turn() == pytest.approx(gap)
    writer.time += COURTEOUS_FOR_S - 1
    assert writer.turn() == pytest.approx(gap)
    writer.time += 1
    assert writer.turn() == 0.0
