"""Passes over a database that changes meanwhile: whoever applies the pages ends with what the database has."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, create_engine, text

from enrich.domain.streams import Pass
from enrich.sources.pages import Page, Position
from enrich.sources.sql import SqlSource
from tests.support.sources import declared

pytestmark = pytest.mark.database

KEYS = st.integers(1, 12)
ACTIONS = st.one_of(
    st.tuples(st.sampled_from(("write", "hide", "remove")), KEYS),
    st.tuples(st.sampled_from(("page", "again", "window", "full", "keys")), st.just(0)),
)


class Store:
    """The source as the pages of passes show it, each position stored with its page."""

    def __init__(self, source: SqlSource) -> None:
        self.names: dict[str, str] = {}
        self._source = source
        self._position: Position | None = None
        self._before: Position | None = None
        self._watermark: int | None = None
        self._seen: set[str] = set()
        self._pass = Pass.FULL

    def begin(self, pass_: Pass) -> None:
        self._position = self._source.start(pass_, self._watermark)
        self._pass, self._seen = Pass(self._position["pass"]), set()

    def page(self, *, again: bool = False) -> bool:
        """Apply the next page, or the one before it once more, as after a crash; return whether there was one."""
        position = self._before if again and self._before is not None else self._position
        if position is None:
            return False
        page = next(self._source.pages(json.loads(json.dumps(position))))
        self._apply(page)
        self._before, self._position = position, page.position
        if page.is_complete:
            self._before = None
            self._watermark = page.watermark or self._watermark
            if self._pass is not Pass.WINDOW:
                self.names = {key: name for key, name in self.names.items() if key in self._seen}
        return True

    def finish(self, pass_: Pass) -> None:
        self.begin(pass_)
        while self.page():
            pass

    def _apply(self, page: Page) -> None:
        self._seen |= {record.remote_id for record in page.records} | set(page.keys)
        for record in page.records:
            self.names[record.remote_id] = record.customer["name"]
        for record in page.gone:
            self.names.pop(record.remote_id, None)


@contextmanager
def changing_source(page: int) -> Iterator[tuple[Connection, SqlSource]]:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'erp.db'}"
        engine = create_engine(url)
        source = SqlSource(declared(f"page = {page}", 'changed = "updated_at"\ndeleted = "hidden"'), url)
        with engine.connect() as connection:
            connection.execute(
                text("CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, updated_at TEXT, hidden INTEGER)")
            )
            connection.commit()
            yield connection, source
        source.close()
        engine.dispose()


def change(connection: Connection, action: str, key: int, number: int) -> None:
    statement = {
        "write": "INSERT OR REPLACE INTO customers VALUES (:key, :name, strftime('%Y-%m-%d %H:%M:%f', 'now'), 0)",
        "hide": "UPDATE customers SET hidden = 1, updated_at = strftime('%Y-%m-%d %H:%M:%f', 'now') WHERE id = :key",
        "remove": "DELETE FROM customers WHERE id = :key",
    }[action]
    values = {"key": key, "name": f"Name {number}"} if action == "write" else {"key": key}
    connection.execute(text(statement), values)
    connection.commit()


@settings(max_examples=60)
@given(actions=st.lists(ACTIONS, max_size=40), page=st.integers(1, 4))
def test_after_a_full_pass_it_is_what_the_database_has(actions: list[tuple[str, int]], page: int) -> None:
    with changing_source(page) as (connection, source):
        store = Store(source)
        store.begin(Pass.FULL)
        removed = False
        for number, (action, key) in enumerate(actions):
            if action in {"page", "again"}:
                store.page(again=action == "again")
            elif action in {"window", "full", "keys"}:
                store.begin(Pass(action))
            else:
                change(connection, action, key, number)
                removed = removed or action == "remove"
        expected = {
            str(row.id): row.name for row in connection.execute(text("SELECT id, name FROM customers WHERE hidden = 0"))
        }
        # A window finds what was written; only a row that vanished without a trace needs the keys.
        store.finish(Pass.WINDOW)
        if removed:
            assert expected.items() <= store.names.items()
            store.finish(Pass.KEYS)
        assert store.names == expected
        store.finish(Pass.FULL)
        assert store.names == expected
