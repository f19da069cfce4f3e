"""Rows about requests: written in full batches, and kept while the database does not take them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from enrich import errors
from enrich.accounts.tokens import ApiToken, ApiTokens
from enrich.api.recorder import MAX_WAITING, ROWS_AT_ONCE, Recorder
from enrich.database.engine import Database
from enrich.resilience.coalesced_call import CoalescedCall

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)


class Rows:
    """The batches of rows that a recorder has written; a row is a number here.

    meanwhile: rows that are added while the next batch is written. is_down: no batch is taken.
    """

    def __init__(self, database: Database, token: ApiToken) -> None:
        self.batches: list[list[int]] = []
        self.is_down = False
        self.meanwhile: list[int] = []
        self.recorder = Recorder(database, self._record)
        self._token = token

    def add(self, *rows: int) -> None:
        for row in rows:
            self.recorder.add(row, self._token, NOW)

    def _record(self, rows: Sequence[int]) -> None:
        if self.is_down:
            raise errors.DatabaseUnavailable("no connection")
        self.batches.append(list(rows))
        meanwhile, self.meanwhile = self.meanwhile, []
        self.add(*meanwhile)


@pytest.fixture
def rows(sqlite_database: Database, monkeypatch: pytest.MonkeyPatch) -> Rows:
    monkeypatch.setattr(CoalescedCall, "ask", lambda _self: None)  # each test says when they are written
    added = ApiTokens(sqlite_database).add(name="Studio", scopes=["lookup"], now=NOW)
    assert added
    return Rows(sqlite_database, added[0])


def test_all_that_wait_are_written_in_full_batches(rows: Rows) -> None:
    rows.add(*range(2 * ROWS_AT_ONCE + 20))
    rows.recorder.write()
    assert [len(batch) for batch in rows.batches] == [ROWS_AT_ONCE, ROWS_AT_ONCE, 20]
    assert [row for batch in rows.batches for row in batch] == list(range(2 * ROWS_AT_ONCE + 20))


def test_those_that_come_meanwhile_wait_for_the_next_time(rows: Rows) -> None:
    rows.meanwhile = [2, 3]
    rows.add(1)
    rows.recorder.write()
    assert rows.batches == [[1]]
    rows.recorder.write()
    assert rows.batches == [[1], [2, 3]]


def test_those_that_come_meanwhile_fill_a_batch_that_is_written_anyway(rows: Rows) -> None:
    rows.meanwhile = [1000, 1001]
    rows.add(*range(ROWS_AT_ONCE + 1))
    rows.recorder.write()
    assert rows.batches == [list(range(ROWS_AT_ONCE)), [ROWS_AT_ONCE, 1000, 1001]]


def test_what_the_database_does_not_take_waits_in_its_order(rows: Rows) -> None:
    rows.is_down = True
    rows.add(1, 2)
    with pytest.raises(errors.DatabaseUnavailable):
        rows.recorder.write()
    rows.add(3)
    rows.is_down = False
    rows.recorder.write()
    assert rows.batches == [[1, 2, 3]]


def test_no_more_wait_than_the_memory_is_to_hold(rows: Rows) -> None:
    rows.add(*range(MAX_WAITING + 1))
    rows.recorder.write()
    assert sum(len(batch) for batch in rows.batches) == MAX_WAITING


def test_the_last_ones_are_written_when_the_database_is_closed(rows: Rows, sqlite_database: Database) -> None:
    rows.add(1)
    sqlite_database.close()
    assert rows.batches == [[1]]


def test_a_database_that_takes_nothing_can_be_closed(rows: Rows, sqlite_database: Database) -> None:
    rows.is_down = True
    rows.add(1)
    sqlite_database.close()
    rows.is_down = False
    rows.recorder.write()
    assert rows.batches == []


def test_the_use_of_a_token_is_recorded_with_its_rows(rows: Rows, sqlite_database: Database) -> None:
    rows.add(1, 2)
    rows.recorder.write()
    assert [token.last_used_at for token in ApiTokens(sqlite_database).list_all()] == [NOW]
