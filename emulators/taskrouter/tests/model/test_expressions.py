"""The expression language of queues, filters and targets."""

from typing import Any

import pytest

from taskrouter_emulator.model.expressions import MalformedExpression, parse

DANA = {
    "name": "dana",
    "level": 3,
    "senior": True,
    "skills": ["billing", "sales"],
    "routing": {"skills": ["billing"], "language": "en"},
    "grid": [[1, 2], [3]],
}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("1==1", True),
        ("1 == 2", False),
        ("", False),
        ('name == "dana"', True),
        ("name = 'dana'", True),
        ('name != "eve"', True),
        ('name ! = "eve"', True),
        ('name ! = "dana"', False),
        ("level > 2 and level <= 3", True),
        ("level < 3.5", True),
        ("level < -1", False),
        ("senior == true", True),
        ("senior == 1", False),
        ('level == "3"', False),
        ('skills HAS "billing"', True),
        ('skills has "rocketry"', False),
        ('routing.skills HAS "billing" AND routing.language == "en"', True),
        ('name IN ["dana", "eve"]', True),
        ("name NOT IN ['eve']", True),
        ("level in [1, 2]", False),
        ('name CONTAINS "an"', True),
        ('skills == "billing"', False),
        ('name HAS "d"', False),
        ('absent.deep == "x"', False),
        ("absent == null", True),
        ('skills >- "billing"', True),
        ('name <- ["dana"]', True),
        ('"dana" IN [name, "eve"]', True),
        ("level IN[3]", True),
        ("level > -1", True),
        ("level >- 1", False),
        ('skills[1] == "sales"', True),
        ("skills[7] == null", True),
        ("grid[0][1] == 2", True),
        ('routing.skills[0] == "billing"', True),
        ('skills CONTAINS "sales"', False),
        ('absent NOT IN ["x"]', True),
        ('name NOT IN "dana"', False),
        ('"3" != level', True),
        ("level == 3.0", True),
        ("senior > false", False),
        ('name == "eve" OR level == 3 AND senior == true', True),
        ('(name == "eve" OR level == 3) AND senior == false', False),
    ],
)
def test_an_expression_holds_or_not(text: str, holds: Any) -> None:
    assert parse(text)(DANA) is holds


@pytest.mark.parametrize(
    "text",
    [
        "name",
        "name ==",
        "name ~ 1",
        "(1==1",
        "1==1 1==1",
        "NOT a == 1",
        "a-b == 1",
        "a[x] == 1",
        "a IN [1,",
        '"a" == "b',
    ],
)
def test_what_is_not_understood_is_refused_with_the_place(text: str) -> None:
    with pytest.raises(MalformedExpression, match="cannot parse"):
        parse(text)


@pytest.mark.parametrize("text", ["(" * 5000 + "1==1" + ")" * 5000, "a IN " + "[" * 5000 + "]" * 5000])
def test_what_is_nested_too_deeply_is_refused(text: str) -> None:
    with pytest.raises(MalformedExpression, match="nested"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "assumes"),
    [
        ("a == 1 AND b == 2 OR c == 3", True),
        ("a == 1 OR (b == 2 AND c == 3 OR d == 4)", True),
        ("a == 1 OR (b == 2 AND c == 3)", False),
        ("(a == 1 OR b == 2) AND c == 3", False),
        ("a == 1 AND b == 2 AND c == 3", False),
    ],
)
def test_it_is_told_when_the_order_of_and_and_or_matters(text: str, assumes: Any) -> None:
    assert parse(text).assumes_precedence is assumes


def test_the_names_that_an_expression_asks_for_are_known() -> None:
    assert parse('worker.level > task.wanted[0] AND "x" IN [kind, 1]').roots == {"worker", "task", "kind"}
