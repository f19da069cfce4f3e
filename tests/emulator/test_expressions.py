"""The small expression language of task queues."""

import pytest

from enrich.emulator.expressions import UnsupportedExpression, parse

DANA = {
    "name": "dana",
    "level": 3,
    "senior": True,
    "skills": ["billing", "sales"],
    "routing": {"skills": ["billing"], "language": "en"},
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
        ('name == "eve" OR level == 3 AND senior == true', True),
        ('(name == "eve" OR level == 3) AND senior == false', False),
    ],
)
def test_an_expression_holds_or_not(text, holds):
    assert parse(text)(DANA) is holds


@pytest.mark.parametrize("text", ["name", "name ==", "name ~ 1", "(1==1", "1==1 1==1", "NOT a == 1", "a[0] == 1"])
def test_what_is_not_understood_is_refused_with_the_place(text):
    with pytest.raises(UnsupportedExpression, match="not understood"):
        parse(text)
