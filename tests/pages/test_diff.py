"""Attributes as lines: laid out without being parsed, and compared."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrich.pages import diff
from enrich.pages.diff import Change

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def shown(text: str) -> list[str]:
    return [line.indent + line.text + ("," if line.comma else "") for line in diff.lines(text)]


def test_every_member_gets_a_line() -> None:
    assert shown('{"a":1,"b":{"c":[true,null],"d":{},"e":[]}}') == [
        "{",
        '  "a": 1,',
        '  "b": {',
        '    "c": [',
        "      true,",
        "      null",
        "    ],",
        '    "d": {},',
        '    "e": []',
        "  }",
        "}",
    ]


@pytest.mark.parametrize(
    "stored",
    [
        "1.000000000000000000001",
        "123456789012345678901234567890",
        "1e400",
        '"\\ud800 \\u00e9 \\/"',
        '"a, {b}: [c] \\" d"',
        "-0.0",
    ],
)
def test_what_is_shown_is_what_is_stored(stored: str) -> None:
    """A parser would round, unescape or refuse every one of these."""
    assert shown(f'{{"a": {stored}}}')[1] == f'  "a": {stored}'


def test_duplicate_keys_stay_both() -> None:
    assert shown('{"a":1,"a":2}') == ["{", '  "a": 1,', '  "a": 2', "}"]


@pytest.mark.parametrize(
    "broken", ['{"a":1', '{"a":"open}', "[1,2}", "}{", "plain words\nin two lines", "", '"'], ids=repr
)
def test_what_is_no_json_is_shown_as_it_stands(broken: str) -> None:
    assert "\n".join(shown(broken)) == broken


def test_five_thousand_braces_are_harmless() -> None:
    assert len(shown("[" * 5000)) == 1
    deep = shown("[" * 2000 + "1" + "]" * 2000)
    assert max(map(len, deep)) < 100


@given(json_values)
def test_the_lines_say_the_same_json(value: object) -> None:
    assert json.loads("\n".join(shown(json.dumps(value)))) == value


@given(st.text(), st.text())
def test_no_text_is_too_strange(before: str, after: str) -> None:
    found = diff.diff(before, after)
    assert [each.line.text for each in found if each.before] == [line.text for line in diff.lines(before)]
    assert [each.after for each in found if each.after] == list(range(1, len(diff.lines(after)) + 1))


def test_an_added_member_is_all_that_changed() -> None:
    """The comma that now follows the last member is none of its own."""
    found = diff.diff('{"from":"+1"}', '{"from":"+1","crm":{"match":"none"}}')
    assert [(each.change, each.line.text) for each in found] == [
        (Change.SAME, "{"),
        (Change.SAME, '"from": "+1"'),
        (Change.ADDED, '"crm": {'),
        (Change.ADDED, '"match": "none"'),
        (Change.ADDED, "}"),
        (Change.SAME, "}"),
    ]
    assert [(each.before, each.after) for each in found] == [(1, 1), (2, 2), (None, 3), (None, 4), (None, 5), (3, 6)]


def test_blanks_are_no_change() -> None:
    assert all(each.change is Change.SAME for each in diff.diff('{"a":1}', '{ "a" : 1 }'))


def test_a_changed_value_goes_and_comes() -> None:
    changes = [each.change for each in diff.diff('{"a":1}', '{"a":2}')]
    assert changes == [Change.SAME, Change.REMOVED, Change.ADDED, Change.SAME]


def test_too_long_to_match_up_is_gone_and_come_again() -> None:
    many = diff.MATCHED_LINES + 1
    found = diff.diff(f"[{','.join(['1'] * many)}]", f"[{','.join(['2'] * many)}]")
    assert [each.change for each in found[1:-1]] == [Change.REMOVED] * many + [Change.ADDED] * many


def test_long_unchanged_stretches_are_folded() -> None:
    members = ",".join(f'"k{number}":{number}' for number in range(20))
    found = diff.blocks(diff.diff(f"{{{members}}}", f'{{{members},"crm":1}}'))
    assert [(block.is_folded, len(block.lines)) for block in found] == [(True, 18), (False, 5)]


def test_a_short_stretch_is_not_worth_folding() -> None:
    assert [block.is_folded for block in diff.blocks(diff.diff('{"a":1}', '{"a":1}'))] == [False]
