"""The expression language of workflow filters: its meaning, and what it refuses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrich.policy.expressions import MAX_DEPTH, ExpressionError, compile_expression, compile_reference
from tests.support.expressions import CONTEXT, HOLDS


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

    assert compile_expression(nested(MAX_DEPTH)).holds({}) is True
    with pytest.raises(ExpressionError, match="nested"):
        compile_expression(nested(MAX_DEPTH + 1))


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


@given(st.text("task.a b[]()<>-=!'\"01,ANDORINHS \n", max_size=30))
def test_any_text_is_a_condition_or_refused(text: str) -> None:
    try:
        expression = compile_expression(text)
    except ExpressionError:
        return
    assert expression.holds({}) in (True, False)
