"""Attributes as lines: laid out without being parsed, and compared."""

from __future__ import annotations

import json
from difflib import SequenceMatcher

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrich.pages import diff
from enrich.pages.diff import LineChange

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
        (LineChange.SAME, "{"),
        (LineChange.SAME, '"from": "+1"'),
        (LineChange.ADDED, '"crm": {'),
        (LineChange.ADDED, '"match": "none"'),
        (LineChange.ADDED, "}"),
        (LineChange.SAME, "}"),
    ]
    assert [(each.before, each.after) for each in found] == [(1, 1), (2, 2), (None, 3), (None, 4), (None, 5), (3, 6)]


def test_blanks_are_no_change() -> None:
    assert all(each.change is LineChange.SAME for each in diff.diff('{"a":1}', '{ "a" : 1 }'))


def test_a_changed_value_goes_and_comes() -> None:
    changes = [each.change for each in diff.diff('{"a":1}', '{"a":2}')]
    assert changes == [LineChange.SAME, LineChange.REMOVED, LineChange.ADDED, LineChange.SAME]


def test_too_long_to_match_up_is_gone_and_come_again() -> None:
    many = diff.MAX_MATCHED_LINES + 1
    found = diff.diff(f"[{','.join(['1'] * many)}]", f"[{','.join(['2'] * many)}]")
    assert [each.change for each in found[1:-1]] == [LineChange.REMOVED] * many + [LineChange.ADDED] * many


def test_what_repeats_itself_is_matched_up_without_trying_again_and_again() -> None:
    """difflib needed 464 ms for this: it began anew after every line that it matched."""
    found = diff.diff(json.dumps([0, 1] * 198), json.dumps([0, 2] * 198))
    assert [each.change for each in found[1:-1]] == [LineChange.SAME, LineChange.REMOVED, LineChange.ADDED] * 198


@given(st.lists(st.integers(0, 3)), st.lists(st.integers(0, 3)))
def test_what_is_matched_is_the_same_and_as_much_as_can_be(before: list[int], after: list[int]) -> None:
    found = diff.diff(json.dumps(before), json.dumps(after))
    lines = {True: diff.lines(json.dumps(before)), False: diff.lines(json.dumps(after))}
    same = [each for each in found if each.change is LineChange.SAME]
    for each in same:
        assert each.before
        assert each.after
        old, new = lines[True][each.before - 1], lines[False][each.after - 1]
        assert (old.depth, old.text) == (new.depth, new.text)
    blocks = SequenceMatcher(None, before, after, autojunk=False).get_matching_blocks()
    assert len(same) >= sum(block.size for block in blocks)


def test_attributes_as_they_are_in_life_are_matched_up() -> None:
    """Brackets are equal lines too."""
    cases = [{"id": number, "subject": f"Case {number}", "open": True} for number in range(60)]
    found = diff.diff(json.dumps({"a": 1, "cases": cases}), json.dumps({"a": 2, "cases": cases, "crm": 1}))
    assert sum(each.change is not LineChange.SAME for each in found) == 3


def dense(value: int, length: int = 1990) -> str:
    return f'{{"crm":{value},"x":[{",".join([str(value)] * length)}]}}'


def test_no_comparison_shows_more_lines_than_a_reader_can_take() -> None:
    found = diff.blocks(diff.diff(dense(1), dense(2)))
    assert sum(len(block.lines) for block in found) <= diff.MAX_SHOWN_LINES
    assert sum(len(block.lines) + block.left_out for block in found) == 2 * 1995 - 3
    shown = [each.change for block in found for each in block.lines]
    assert shown.count(LineChange.REMOVED) > 90
    assert shown.count(LineChange.ADDED) > 90, "what came is seen as well as what went"


def test_what_changed_is_shown_before_what_did_not() -> None:
    found = diff.blocks(diff.diff(dense(1), dense(1).replace('"crm":1', '"crm":2')), at_most=20)
    assert [(block.is_folded, len(block.lines), block.left_out) for block in found] == [(False, 6, 0), (True, 14, 1976)]
    assert diff.blocks(diff.diff(dense(1), dense(1).replace("1]}", '1],"crm":2}')), at_most=5)[-1].lines


@given(json_values, json_values, st.integers(1, 40))
def test_every_line_is_shown_or_counted(before: object, after: object, at_most: int) -> None:
    found = diff.diff(json.dumps(before), json.dumps(after))
    blocks = diff.blocks(found, at_most=at_most)
    assert sum(len(block.lines) for block in blocks) <= at_most
    assert sum(len(block.lines) + block.left_out for block in blocks) == len(found)
    shown = [line for block in blocks for line in block.lines]
    assert [line for line in found if line in shown] == shown
    if at_most >= len(found):
        assert shown == list(found)


def test_long_unchanged_stretches_are_folded() -> None:
    members = ",".join(f'"k{number}":{number}' for number in range(20))
    found = diff.blocks(diff.diff(f"{{{members}}}", f'{{{members},"crm":1}}'))
    assert [(block.is_folded, len(block.lines)) for block in found] == [(True, 18), (False, 5)]


def test_a_short_stretch_is_not_worth_folding() -> None:
    assert [block.is_folded for block in diff.blocks(diff.diff('{"a":1}', '{"a":1}'))] == [False]
