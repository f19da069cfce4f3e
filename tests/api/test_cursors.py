"""Cursors: back to the key that they were made of, and to nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrich.api.cursors import MAX_CURSOR_LENGTH, BadCursor, cursor_of, key_of
from enrich.domain.lengths import MAX_CUSTOMER_ID_LENGTH

KEYS = st.integers(1, 2**63 - 1) | st.text(
    st.characters(exclude_categories=["Cs"]), min_size=1, max_size=MAX_CUSTOMER_ID_LENGTH
)
QUERIES = st.lists(st.none() | st.sampled_from(["tasks", "followups", "done", "2026-11-28T00:00:00+00:00"]), max_size=3)


@given(QUERIES, KEYS)
def test_a_cursor_gives_its_key_back(query: list[str | None], key: int | str) -> None:
    cursor = cursor_of(query, key)
    assert key_of(query, cursor, type(key)) == key
    assert len(cursor) <= MAX_CURSOR_LENGTH
    assert cursor.replace("-", "").replace("_", "").isalnum()


@given(QUERIES, QUERIES, KEYS)
def test_of_another_query_or_another_kind_it_is_none(
    query: list[str | None], other: list[str | None], key: int | str
) -> None:
    cursor = cursor_of(query, key)
    with pytest.raises(BadCursor):
        key_of(query, cursor, str if isinstance(key, int) else int)
    if other != query:
        with pytest.raises(BadCursor):
            key_of(other, cursor, type(key))


@given(KEYS, st.data())
def test_a_changed_one_is_none(key: int | str, data: st.DataObject) -> None:
    cursor = cursor_of(["tasks"], key)
    place = data.draw(st.integers(0, len(cursor) - 1))
    other = data.draw(st.characters())
    for changed in (cursor[:place], cursor[:place] + other + cursor[place + 1 :], cursor + other, other + cursor):
        if changed != cursor:
            with pytest.raises(BadCursor):
                key_of(["tasks"], changed, type(key))


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda data: data.decode("latin-1")))
def test_any_other_text_is_none(text: str) -> None:
    with pytest.raises(BadCursor):
        key_of(["tasks"], text, int)
