"""Turns of a writer that writes a great deal, beside others and alone."""

from __future__ import annotations

from contextlib import closing

import pytest
from sqlalchemy import func, select, update

from enrich.customers.tables import CustomerRow
from enrich.database.engine import Database
from enrich.database.turns import COURTEOUS_FOR_S, GAP_S, LEAST_SHARE, MAX_FALL, TURN_S, Turns, TurnSize
from tests.support.databases import seed_customers

pytestmark = pytest.mark.database

WRITE = update(CustomerRow).values(company=CustomerRow.company + "x")


class Writer:
    """A writer with a clock of its own; what it slept in all."""

    def __init__(self, database: Database) -> None:
        self.time, self.slept = 1000.0, 0.0
        self._database = database
        self._turns = Turns(database, now=lambda: self.time, sleep=self._sleep)

    def turns(self, items: int, size: TurnSize, item_s: float) -> list[int]:
        """Have turns for so many items, each of which takes so long, and return how many items each turn had."""
        sizes = []
        for portion in self._turns.portions(range(items), size):
            self.turn(len(portion) * item_s)
            sizes.append(len(portion))
        return sizes

    def turn(self, seconds: float = 0.0) -> float:
        """Have a turn that takes so long, and return the gap after it."""
        before = self.slept
        with self._database.transaction() as session:
            self._turns.note(session.connection())
            session.execute(WRITE)
            self.time += seconds
        self._turns.end()
        return self.slept - before

    def _sleep(self, seconds: float) -> None:
        self.slept += seconds


@pytest.fixture
def writer(database: Database) -> Writer:
    seed_customers(database)
    return Writer(database)


def write_as_another(database_url: str) -> None:
    with closing(Database(database_url)) as other, other.transaction() as session:
        session.execute(WRITE)


@pytest.fixture
def writer_beside_another(writer: Writer, database_url: str) -> Writer:
    """A writer that knows that somebody else writes, where it can: on SQLite."""
    writer.turn()
    write_as_another(database_url)
    writer.turn()
    return writer


def test_alone_it_leaves_no_gaps(writer: Writer, database: Database) -> None:
    for _ in range(3):
        assert writer.turn() == 0.0
        with database.reading() as session:
            assert session.scalar(select(func.count()).select_from(CustomerRow))


def test_beside_another_writer_it_leaves_gaps(writer: Writer, database: Database, database_url: str) -> None:
    assert writer.turn() == 0.0
    write_as_another(database_url)
    gap = GAP_S if database.is_sqlite else 0.0  # PostgreSQL locks rows
    assert writer.turn() == pytest.approx(gap)
    writer.time += COURTEOUS_FOR_S - 1
    assert writer.turn() == pytest.approx(gap)
    writer.time += 1
    assert writer.turn() == 0.0


SLOW_ITEM_S = TURN_S / 10


def test_alone_each_turn_has_as_many_items_as_it_may(writer: Writer) -> None:
    assert writer.turns(70, TurnSize(32), SLOW_ITEM_S) == [32, 32, 6]


def test_beside_another_writer_a_turn_has_as_many_items_as_its_time_allows(
    writer_beside_another: Writer, database: Database
) -> None:
    writer, size = writer_beside_another, TurnSize(32)
    sizes = writer.turns(200, size, SLOW_ITEM_S)
    if database.is_sqlite:
        assert sizes[:3] == [32, 16, 10]
        assert set(sizes[3:-1]) == {10}, "as many as take the time"
        assert writer.turns(200, size, SLOW_ITEM_S / 10)[-2] == 32, "more when they are quick again"
    else:
        assert sizes == [32] * 6 + [8]


def test_a_portion_that_is_the_last_says_nothing_about_the_size(writer_beside_another: Writer) -> None:
    size = TurnSize(32)
    writer_beside_another.turns(1, size, TURN_S * 10)
    assert size.current == 32


def test_one_slow_turn_halves_the_next_and_no_more() -> None:
    """Something else may have had the processor."""
    size = TurnSize(32)
    size.took(TURN_S * 100)
    assert size.current == 32 * MAX_FALL


def test_a_turn_that_takes_long_whatever_its_size_does_not_shrink_to_nothing() -> None:
    size = TurnSize(32)
    for _ in range(20):
        size.took(TURN_S * 100)
    assert size.current == 32 * LEAST_SHARE
    for _ in range(4):
        size.took(0.0)
    assert size.current > 2 * 32 * LEAST_SHARE, "it grows again"


def test_a_turn_has_at_least_one_item() -> None:
    size = TurnSize(1)
    size.took(TURN_S * 100)
    assert size.current == 1
