"""The `[wrapup]` table, and what is told of one that is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from enrich.policy.problems import Problems
from enrich.policy.wrapup import WrapupPolicy, parse_wrapup


def parse(table: dict[str, Any]) -> tuple[WrapupPolicy, list[str]]:
    problems = Problems()
    return parse_wrapup(table, problems), [str(problem) for problem in problems.found]


def test_without_a_table_nothing_is_completed_for_anyone() -> None:
    assert parse({}) == (WrapupPolicy(complete_after_s=None), [])


def test_a_table_as_documented_is_read_whole() -> None:
    assert parse({"complete_after_s": 300, "reason": "over"}) == (WrapupPolicy(300, "over"), [])


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"complete_after_s": 4}, "wrapup, complete_after_s: must be a whole number from 5 to 86,400"),
        ({"complete_after_s": "300"}, "wrapup, complete_after_s: must be"),
        ({"complete_after_s": True}, "wrapup, complete_after_s: must be"),
        ({"reason": " "}, "wrapup, reason: must be a text"),
        ({"reason": "x" * 201}, "wrapup, reason: must be a text"),
        ({"outcome": "done"}, "wrapup, outcome: is not known here"),
    ],
)
def test_a_mistake_is_told_and_left_out(table: dict[str, Any], message: str) -> None:
    policy, wrong = parse(table)
    assert policy == WrapupPolicy()
    assert len(wrong) == 1
    assert wrong[0].startswith(message)
