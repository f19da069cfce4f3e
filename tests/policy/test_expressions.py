"""The expression language of workflow filters: what it means, what it refuses, and that the emulator agrees."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrich.policy.expressions import DEEPEST, ExpressionError, compile_expression, compile_reference
from taskrouter_emulator.model import expressions as emulator

CONTEXT: dict[str, Any] = {
    "task": {
        "channel": "voice",
        "priority": 10,
        "age": 7.5,
        "vip": True,
        "lang": None,
        "skills": ["billing", "sales"],
        "levels": [1, 2],
        "routing": {"skills": ["billing"], "deep": [{"name": "x"}, [1, 2]]},
        "order": "first",
        "in_hours": True,
        "temperature": -1,
    },
    "worker": {"name": "dana", "skills": []},
    "customer": None,
}

HOLDS = [
    ("1==1", True),
    ('task.channel == "voice"', True),
    ("task.channel = 'voice'", True),
    ('task.channel != "chat"', True),
    ("task.priority >= 10 and task.priority < 10.5", True),
    ("task.priority > 10", False),
    ("task.age == 7.5", True),
    ("task.vip == true", True),
    ("task.vip == TRUE", True),
    ("task.vip == 1", False),
    ('task.priority == "10"', False),
    ('task.priority != "10"', True),
    ("task.vip > false", False),
    ("task.absent == null", True),
    ("task.absent.deeper.still = NULL", True),
    ("task.absent != null", False),
    ("task.lang == null", True),
    ('task.absent == "x"', False),
    ('task.absent != "x"', True),
    ("task.absent < 1", False),
    ("customer.tier == null", True),
    ('customer.tier != "gold"', True),
    ('task.skills HAS "billing"', True),
    ('task.skills has "cooking"', False),
    ('task.skills >- "billing"', True),
    ('task.skills>-"billing"', True),
    ('"billing" <- task.skills', True),
    ('"billing" IN task.skills', True),
    ('"billing" in task.routing.skills', True),
    ('task.channel IN ["voice", "chat"]', True),
    ("task.channel In['voice']", True),
    ("task.channel NOT IN ['chat']", True),
    ("task.channel not in ['voice']", False),
    ("task.channel NOT   IN task.skills", True),
    ("task.absent NOT IN ['a']", True),
    ("task.absent NOT IN task.absent", False),
    ("task.skills NOT IN ['a']", False),
    ("task.priority IN [1, 10.0]", True),
    ("task.vip IN [1]", False),
    ("null IN [null]", True),
    ("task.channel IN [task.channel]", True),
    ("worker.skills HAS 'x'", False),
    ('task.channel CONTAINS "oic"', True),
    ('task.channel contains "x"', False),
    ('task.skills CONTAINS "billing"', False),
    ('task.skills == "billing"', False),
    ('task.skills != "billing"', False),
    ('task.routing == "x"', False),
    ("task.channel HAS 'v'", False),
    ("task.levels[1] == 2", True),
    ("task.levels[2] == null", True),
    ('task.routing.deep[0].name == "x"', True),
    ("task.routing.deep[1][0] == 1", True),
    ("task.channel[0] == null", True),
    ("task.temperature < 0", True),
    ("task.temperature == -1", True),
    ("task.temperature > -2 AND task.temperature < -0.5", True),
    ("task.priority < -1", False),
    ("task.order == 'first' OR task.in_hours == false", True),
    ('task.channel == "chat" AND task.vip == true OR task.priority == 10', True),
    ('task.channel == "chat" AND (task.vip == true OR task.priority == 10)', False),
    ("1==1 OR 1==2 AND 1==2", True),
    ("(1==2 OR 1==1) and (1==1)", True),
    ("1==1 AND 1==1 AND 1==2", False),
    ("1==2 OR 1==2 OR 1==1", True),
    ("'it\\s' == 'it\\s'", True),
    ("task.channel == 'voice'\n  AND\t1==1", True),
]


@pytest.mark.parametrize(("text", "holds"), HOLDS)
def test_a_condition_holds_or_not(text: str, holds: bool) -> None:
    assert compile_expression(text).holds(CONTEXT) is holds


@pytest.mark.parametrize(
    ("text", "at", "told"),
    [
        ("task.a ==", 10, "a value"),
        ("task.a", 7, "an operator"),
        ("(task.a == 1", 13, "a closing parenthesis"),
        ("task.a == 1 task.b == 2", 13, "AND or OR"),
        ("task.a ~ 1", 8, "an operator"),
        ("task.a == 1)", 12, "no parenthesis to close"),
        ("()", 2, "a value"),
        ("task.a && task.b", 8, "write AND"),
        ("task.a == 1 || 1==1", 13, "write OR"),
        ("NOT task.a == 1", 5, "there is no NOT before a condition"),
        ("!task.a == 1", 1, "there is no NOT before a condition"),
        ("task.a-b == 1", 7, "hyphen"),
        ('task.a == "x', 11, "quotation mark is not closed"),
        ("task.a == 1.", 11, "a value"),
        ("task.a IN [1 2]", 14, "a comma"),
        ("task.a[x] == 1", 7, "an operator"),
        ("task.a <-1", 8, "<- means IN; for a negative number write a space"),
        ("1 >- 1", 3, ">- means HAS"),
        ("task.a IN 'b'", 8, "IN needs a list"),
        ("'b' HAS task.a", 5, "HAS needs a list"),
        ("task.a == ['b']", 8, "== compares single values"),
    ],
)
def test_what_is_no_condition_is_refused_with_its_place(text: str, at: int, told: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(text)
    assert f"character {at}" in str(caught.value)
    assert told in str(caught.value)


@pytest.mark.parametrize("text", ["", "  ", "1==1 AND " * 600 + "1==1", "(" * 1900 + "1==1" + ")" * 1900])
def test_what_is_empty_or_beyond_measure_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError):
        compile_expression(text)


def test_nesting_is_followed_so_far_and_no_further() -> None:
    def nested(depth: int) -> str:
        return "(1==1 AND " * depth + "1==1" + ")" * depth

    assert compile_expression(nested(DEEPEST)).holds({}) is True
    with pytest.raises(ExpressionError, match="nested"):
        compile_expression(nested(DEEPEST + 1))


def test_all_references_are_known() -> None:
    found = compile_expression('task.a[0] == worker.b AND "x" IN [customer.c, task.a[0]]').references
    assert [each.path for each in found] == [("task", "a", 0), ("worker", "b"), ("customer", "c")]


@pytest.mark.parametrize("text", ["", "task a", "'x'", "1", "in", "task.a-b", "task.a ==", "task..a"])
def test_a_reference_is_nothing_else(text: str) -> None:
    with pytest.raises(ExpressionError, match="no reference"):
        compile_reference(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('task.channel == "chat"', 'task.channel == "chat" is false (task.channel is "voice")'),
        ("1==1 AND customer.tier == 'gold'", "customer.tier == 'gold' is false (customer.tier is NULL)"),
        ("1==2 OR task.vip  ==  true", "task.vip == true is true (task.vip is true)"),
        ("1==2 OR 1==3", "1==2 is false; 1==3 is false"),
    ],
)
def test_why_is_told_by_what_decided(text: str, why: str) -> None:
    assert compile_expression(text).why(CONTEXT) == why


# --- against the emulator, which has its own reading of the same pages

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


@given(st.text("task.a b[]()<>-=!'\"01,ANDORINHS \n", max_size=30))
def test_any_text_is_a_condition_or_refused(text: str) -> None:
    try:
        expression = compile_expression(text)
    except ExpressionError:
        return
    assert expression.holds({}) in (True, False)
