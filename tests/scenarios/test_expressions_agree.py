"""Service and emulator read the expression language of workflow filters alike, each with a parser of its own."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrich.policy.expressions import compile_expression
from taskrouter_emulator.model import expressions as emulator
from tests.support.expressions import CONTEXT, HOLDS

EMULATOR_KNOWS = [
    (text, holds)
    for text, holds in HOLDS
    if not any(part in text for part in (">-", "<-", "[0]", "[1]", "[2]", "NOT   IN", "task.skills NOT", "]["))
]


@pytest.mark.parametrize(("text", "holds"), EMULATOR_KNOWS)
def test_the_emulator_reads_the_same_table_the_same_way(text: str, holds: bool) -> None:
    assert emulator.parse(text)(CONTEXT) is holds


scalars = st.sampled_from(
    ["null", "true", "false", "0", "1", "-1", "1.5", '"a"', "'b'", '"ab"', "x", "y", "z.a", "z.b.c"]
)
lists = st.lists(scalars, max_size=3).map(lambda items: f"[{', '.join(items)}]") | st.just("many")
comparisons = st.one_of(
    st.tuples(scalars, st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "=", "CONTAINS"]), scalars),
    st.tuples(scalars, st.sampled_from(["IN", "NOT IN"]), lists),
    st.tuples(lists, st.just("HAS"), scalars),
).map(" ".join)
conditions = st.recursive(
    comparisons,
    lambda inner: st.tuples(inner, st.sampled_from(["AND", "or"]), inner).map(" ".join) | inner.map("({})".format),
    max_leaves=6,
)
values = st.sampled_from([None, True, False, 0, 1, -1, 1.5, "a", "ab", ""])


@given(conditions, values, values, st.lists(values, max_size=3), values)
def test_both_read_any_condition_the_same_way(text: str, x: Any, y: Any, many: list[Any], deep: Any) -> None:
    context = {"x": x, "y": y, "many": many, "z": {"a": deep, "b": {"c": deep}}}
    assert compile_expression(text).holds(context) is emulator.parse(text)(context)
