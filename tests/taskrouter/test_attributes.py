"""The splice: our member goes in and out, and nothing else moves."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrich.errors import AttributesUnreadable, NoRoom
from enrich.taskrouter.attributes import (
    LIMIT,
    Spliced,
    Unchanged,
    _end_of_deep_value,
    _end_of_value,
    block_text,
    is_same_json,
    length,
    parse,
    splice,
)
from tests.support.attribute_texts import (
    BLOCK,
    BLOCK_TEXT,
    SMALL,
    attribute_texts,
    json_values,
    objects,
    spelled_strings,
)


def put(text: str, *blocks: dict[str, Any]) -> str:
    result = splice(text, "crm", blocks or (BLOCK,))
    assert isinstance(result, Spliced)
    return result.text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("{}", f'{{"crm":{BLOCK_TEXT}}}', id="empty"),
        pytest.param("", f'{{"crm":{BLOCK_TEXT}}}', id="blank"),
        pytest.param(" {\n} ", f' {{"crm":{BLOCK_TEXT}\n}} ', id="empty-with-space"),
        pytest.param('{"a":1}', f'{{"a":1,"crm":{BLOCK_TEXT}}}', id="behind-the-last"),
        pytest.param('{ "a" : 1 }', f'{{ "a" : 1,"crm":{BLOCK_TEXT} }}', id="space-kept"),
        pytest.param('{"crm":null,"a":1}', f'{{"crm":{BLOCK_TEXT},"a":1}}', id="replaced-in-place"),
        pytest.param('{"a":1,"crm" : [1,2] ,"b":2}', f'{{"a":1,"crm" : {BLOCK_TEXT} ,"b":2}}', id="replaced-amid"),
        pytest.param(
            '{"crm":1,"a":2,"crm":3,"b":4,"crm":5}', f'{{"crm":{BLOCK_TEXT},"a":2,"b":4}}', id="our-duplicates-go"
        ),
        pytest.param('{"crm":1,"crm":3}', f'{{"crm":{BLOCK_TEXT}}}', id="nothing-but-our-duplicates"),
        pytest.param(r'{"c\u0072m":1}', f'{{"c\\u0072m":{BLOCK_TEXT}}}', id="our-name-spelt-with-an-escape"),
        pytest.param('{"Crm":1}', f'{{"Crm":1,"crm":{BLOCK_TEXT}}}', id="another-name"),
        pytest.param('{"x":{"crm":1}}', f'{{"x":{{"crm":1}},"crm":{BLOCK_TEXT}}}', id="nested-is-not-ours"),
    ],
)
def test_the_block_goes_in_and_the_rest_stays(before: str, after: str) -> None:
    assert put(before) == after


@pytest.mark.parametrize(
    "member",
    [
        '"f":3.14159265358979323846264338327950288419716939937510582',
        '"f":123456789012345678901.123456789012345678901',
        '"e":1e400',
        '"e":-1E-400',
        '"i":18446744073709551616000000000000000001',
        '"z":-0',
        '"z":1.0',
        '"n":{"a":null,"b":[null,{"c":null}]}',
        '"d":1,"d":2,"d":{"x":1,"x":2}',
        r'"s":"\ud800 alone \udfff"',
        r'"s":"\u00e9 é \/ / \" \\ 漢字 😀"',
        '"":""',
        '"\\u0000":"\\u0000"',
    ],
)
def test_what_a_parse_would_damage_survives_to_the_letter(member: str) -> None:
    assert put(f'{{"a": 1, {member} }}') == f'{{"a": 1, {member},"crm":{BLOCK_TEXT} }}'


@pytest.mark.parametrize(
    "text",
    [
        "null",
        "[]",
        '"text"',
        "12",
        "{",
        "{}}",
        "{} {}",
        '{"a":1,}',
        '{"a"}',
        '{"a":}',
        '{"a":1 "b":2}',
        "{'a':1}",
        "{a:1}",
        '{"a":NaN}',
        '{"a":-Infinity}',
        '{"a":01}',
        '{"a":"\n"}',
        '{"a":"\\x"}',
        '{"a":"',
        "<html></html>",
        "{" * 5000,
        '{"a":' * 5000,
        "\ufeff{}",
    ],
)
def test_what_is_not_an_object_is_not_touched(text: str) -> None:
    with pytest.raises(AttributesUnreadable):
        splice(text, "crm", (BLOCK,))


DEEP = "[" * 1950 + "]" * 1950
DEEP_OBJECTS = '[{"":' * 500 + "1" + "}]" * 500


@pytest.mark.parametrize("deep", [DEEP, DEEP_OBJECTS, "[" * 1200 + '{"x" : [1e400, null ] }' + "]" * 1200])
def test_however_deep_a_neighbour_is_nested_a_foreign_block_does_not_survive(deep: str) -> None:
    """Deeper than Python's own parser follows; TaskRouter documents no limit (docs/taskrouter.md, "Attributes")."""
    text = f'{{"from":"+14155550100","crm":{{"match":"matched","vip":true}},"x":{deep}, "y" : 1 }}'
    assert put(text, SMALL) == text.replace('{"match":"matched","vip":true}', '{"match":"matched"}')
    assert put(text.replace('"crm"', '"other"'), SMALL).endswith(',"crm":{"match":"matched"} }')
    assert put(f'{{"crm":{deep}}}') == f'{{"crm":{BLOCK_TEXT}}}'


def test_keys_can_be_read_beside_a_neighbour_that_is_nested_too_deeply() -> None:
    assert parse(f'{{"from":"+14155550100","x":{"[" * 20_000 + "]" * 20_000},"a":{{"b":1}}}}')["from"] == "+14155550100"


@pytest.mark.parametrize(
    "broken",
    ["[" * 2000, DEEP[:-1], DEEP + "]", "[" * 1500 + "1 2" + "]" * 1500, "[" * 1500 + "{1:2}" + "]" * 1500],
)
def test_what_is_nested_deeply_and_broken_is_not_touched(broken: str) -> None:
    with pytest.raises(AttributesUnreadable):
        splice(f'{{"x":{broken}}}', "crm", (BLOCK,))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[1]", "the attributes are a JSON list, not an object"),
        ("\x0b", "the attributes are not a JSON object: Expecting value at character 0"),
        ('{"a":}', "the attributes are not a JSON object: Expecting value at character 5"),
    ],
)
def test_an_error_says_where_the_attributes_are_no_object(text: str, told: str) -> None:
    with pytest.raises(AttributesUnreadable, match=f"^{told}$"):
        parse(text)


def test_an_error_does_not_quote_the_attributes() -> None:
    with pytest.raises(AttributesUnreadable) as caught:
        splice('{"phone":"+14155550100" oops}', "crm", (BLOCK,))
    assert "4155550100" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        f'{{"crm":{BLOCK_TEXT}}}',
        '{"a":1, "crm" : { "customer_id" : "C-1001", "match" : "matched" } }',
        r'{"crm":{"match":"matched","customer_id":"C\u002d1001"}}',
    ],
)
def test_a_block_that_is_there_already_is_not_written_again(text: str) -> None:
    assert splice(text, "crm", (BLOCK,)) == Unchanged(BLOCK)


@pytest.mark.parametrize(
    ("block", "text"),
    [
        pytest.param({"n": 1}, '{"crm":{"n":true}}', id="true-is-not-1"),
        pytest.param({"n": 1}, '{"crm":{"n":1.0}}', id="1.0-is-not-1"),
        pytest.param({"n": 0}, '{"crm":{"n":false}}', id="false-is-not-0"),
        pytest.param({"n": 1}, '{"crm":{"n":2,"n":1}}', id="a-duplicate-within"),
        pytest.param({"n": 1}, '{"crm":{"n":1},"crm":{"n":1}}', id="a-duplicate-of-the-whole"),
        pytest.param({"n": 1}, '{"crm":{"n":1,"more":2}}', id="something-added"),
        pytest.param({"n": 1}, '{"crm":{"n":' + "9" * 5000 + "}}", id="an-endless-integer"),
    ],
)
def test_a_block_that_only_resembles_ours_is_replaced(block: dict[str, Any], text: str) -> None:
    assert put(text, block) == json.dumps({"crm": block}, separators=(",", ":"))


def test_the_largest_version_that_fits_is_taken() -> None:
    others = f'{{"a":"{"x" * (LIMIT - 40)}"}}'
    result = splice(others, "crm", (BLOCK, SMALL))
    assert isinstance(result, Spliced)
    assert result.block == SMALL
    assert length(result.text) <= LIMIT


def test_white_space_goes_before_the_block_shrinks() -> None:
    others = '{"a":  "' + "x " * 1500 + '" ,' + " " * 1500 + '"b":1.50}'
    text = put(others, BLOCK, SMALL)
    assert text == others.replace(":  ", ":").replace('" ,', '",').replace("," + " " * 1500, ",")[:-1] + (
        f',"crm":{BLOCK_TEXT}}}'
    )


def short_by(missing: int, text: str) -> str:
    """Return this object, not empty, with a member so long that it and the whole block are too long by this much."""
    with_block = f'{text[:-1]},"filler":"","crm":{BLOCK_TEXT}}}'
    return f'{text[:-1]},"filler":"{"x" * (LIMIT - length(with_block) + missing)}"}}'


@pytest.mark.parametrize(
    ("escaped", "plain"),
    [
        pytest.param(r"\u00e9", "é", id="latin"),
        pytest.param(r"\u00E9", "é", id="upper-case"),
        pytest.param(r"\u6f22\u5b57", "漢字", id="chinese"),
        pytest.param(r"\ud83d\ude00", "😀", id="pair"),
        pytest.param(r"\uD83D\ud83d\ude00", r"\uD83D😀", id="half-before-a-pair"),
        pytest.param(r"\ud83d\ude00\ude00", r"😀\ude00", id="half-after-a-pair"),
        pytest.param(r"\\\u00e9", r"\\é", id="behind-an-escaped-backslash"),
        pytest.param(r"\\\\\u00e9", r"\\\\é", id="behind-two"),
        pytest.param(r"\/\n\u00e9\t", r"\/\né\t", id="other-escapes-stay"),
        pytest.param(r"\u0041\u0020\u00a0", "A \u00a0", id="letter-and-spaces"),
    ],
)
def test_escapes_go_before_the_block_shrinks(escaped: str, plain: str) -> None:
    text = short_by(1, f'{{"n{escaped}":"{escaped}"}}')
    assert put(text, BLOCK, SMALL) == f'{text.replace(escaped, plain)[:-1]},"crm":{BLOCK_TEXT}}}'


@pytest.mark.parametrize(
    "stays",
    [
        pytest.param(r"\\u00e9", id="escaped-backslash-before-u"),
        pytest.param(r"\\\\u00e9", id="two-escaped-backslashes-before-u"),
        pytest.param(r"\u005cu00e9", id="backslash-as-an-escape-before-u"),
        pytest.param(r"\u0022", id="quotation-mark"),
        pytest.param(r"\u005c", id="backslash"),
        pytest.param(r"\u0000\u001f\u000a", id="controls"),
        pytest.param(r"\u007f\u0085\u009f", id="delete-and-c1"),
        pytest.param(r"\u2028\u2029", id="line-separators"),
        pytest.param(r"\u003c\u002fscript\u003E\u0026\u0027", id="html"),
        pytest.param(r"\ud83d", id="high-surrogate"),
        pytest.param(r"\ude00", id="low-surrogate"),
        pytest.param(r"\ude00\ud83d", id="pair-in-the-wrong-order"),
        pytest.param(r"\ud83d \ude00", id="halves-apart"),
        pytest.param(r"\ud83d\\ude00", id="half-and-an-escaped-backslash"),
        pytest.param(r"\ufdd0\uffff\ud83f\udffe", id="noncharacters"),
        pytest.param(r"\ufeff", id="byte-order-mark"),
    ],
)
def test_an_escape_that_is_needed_stays_and_the_block_shrinks(stays: str) -> None:
    text = short_by(1, f'{{"a":"{stays}"}}')
    assert put(text, BLOCK, SMALL) == f'{text[:-1]},"crm":{{"match":"matched"}}}}'


def test_escapes_stay_where_there_is_room() -> None:
    text = short_by(0, r'{"a":"\u00e9"}')
    assert put(text, BLOCK, SMALL) == f'{text[:-1]},"crm":{BLOCK_TEXT}}}'


def test_white_space_goes_before_escapes() -> None:
    text = short_by(1, r'{"a": "\u00e9"}')
    assert put(text, BLOCK, SMALL) == f'{text.replace(": ", ":")[:-1]},"crm":{BLOCK_TEXT}}}'


@pytest.mark.parametrize(
    ("escaped", "saved"),
    [pytest.param(r"\u00e9", 5, id="one-unit-for-six"), pytest.param(r"\ud83d\ude00", 10, id="two-units-for-twelve")],
)
def test_the_limit_is_4096_utf_16_units(escaped: str, saved: int) -> None:
    fits = put(short_by(saved, f'{{"a":"{escaped}"}}'), BLOCK, SMALL)
    assert (length(fits), as_written(fits)[-1]) == (4096, ("crm", list(BLOCK.items())))
    does_not = put(short_by(saved + 1, f'{{"a":"{escaped}"}}'), BLOCK, SMALL)
    assert as_written(does_not)[-1] == ("crm", list(SMALL.items()))


def test_attributes_that_leave_no_room_are_left_alone() -> None:
    with pytest.raises(NoRoom):
        splice(f'{{"a":"{"x" * (LIMIT - 12)}"}}', "crm", (BLOCK, SMALL))


@pytest.mark.parametrize("where", ['{"crm":{"vip":true},"a":"%s"}', '{"a":"%s", "crm":{"vip":true}}'])
def test_a_foreign_block_goes_even_when_ours_has_no_room(where: str) -> None:
    filler = "x" * (LIMIT - len(where % ""))
    result = splice(where % filler, "crm", ({"match": "m" * 40},))
    assert result == Spliced(f'{{"a":"{filler}"}}', None)


@pytest.mark.parametrize(
    ("text", "stands"),
    [
        (f'{{"crm":{BLOCK_TEXT}}}', True),
        (f'{{"a":1, "crm" : {BLOCK_TEXT} , "b":2}}', True),
        (r'{"c\u0072m":{"match":"none"}}', True),
        ('{"crm":1,"crm":{"match":"none"}}', True),
        ('{"crm":{"match":"none"},"crm":1}', False),
        ("{}", False),
        ('{"Crm":{"match":"none"}}', False),
        ('{"crm":null}', False),
        ('{"crm":{}}', False),
        ('{"crm":["match"]}', False),
        ('{"x":{"crm":{"match":"none"}}}', False),
        (r'{"x":"\"crm\":{\"match\":1}"}', False),
        (f'{{"x":{DEEP},"crm":{{"match":"none"}}}}', True),
    ],
)
def test_whether_our_block_stands_there(text: str, stands: bool) -> None:
    assert bool(block_text(text, "crm")) is stands


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (BLOCK_TEXT, BLOCK_TEXT, True),
        (BLOCK_TEXT, r'{"customer_id" : "C\u002d1001", "match":"matched"}', True),
        (BLOCK_TEXT, '{"match":"matched"}', False),
        ('{"match":1}', '{"match":true}', False),
        ('{"match":1}', '{"match":1.0}', False),
        (f'{{"match":{DEEP}}}', f'{{"match": {DEEP}}}', False),
        (f'{{"match":{"9" * 5000}}}', f'{{"match": {"9" * 5000}}}', False),
    ],
)
def test_whether_it_is_the_same_json(one: str, other: str, same: bool) -> None:
    assert is_same_json(one, other) is same
    assert is_same_json(other, one) is same


@given(attribute_texts)
def test_a_block_that_was_put_in_stands_there(text: str) -> None:
    assert block_text(put(text), "crm") == BLOCK_TEXT


def test_an_emoji_counts_as_two() -> None:
    assert length("😀a") == 3


def test_a_surrogate_that_stands_alone_is_written_so_that_it_can_be_sent() -> None:
    text = put('{"a":"\ud800"}')
    assert text.startswith(r'{"a":"\ud800",')
    text.encode()


def test_what_is_written_out_so_that_it_can_be_sent_still_fits() -> None:
    text = '{"a":"' + "\ud800" * 670 + '"}'
    assert length(put(text, BLOCK, SMALL)) <= LIMIT


def test_blank_attributes_parse_as_no_attributes() -> None:
    assert parse(" ") == {}


@pytest.mark.parametrize("text", ["[]", "nonsense", "{" * 5000, '{"a":' * 5000, "null"])
def test_attributes_that_are_no_object_do_not_parse(text: str) -> None:
    with pytest.raises(AttributesUnreadable):
        parse(text)


# --- properties -------------------------------------------------------------------------------------------------------


def as_written(text: str) -> list[tuple[str, Any]]:
    """Names and values in order, duplicates kept, numbers as text: an oracle that shares nothing with the splice."""
    pairs: list[tuple[str, Any]] = json.loads(text, object_pairs_hook=list, parse_int=str, parse_float=str)
    return pairs


def others(text: str) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in as_written(text) if name != "crm"]


@given(attribute_texts)
def test_others_keep_every_name_value_duplicate_and_digit(text: str) -> None:
    after = put(text)
    assert others(after) == others(text)
    assert [value for name, value in as_written(after) if name == "crm"] == [list(BLOCK.items())]


@given(json_values)
def test_both_ways_of_skipping_a_value_end_at_the_same_place(text: str) -> None:
    assert _end_of_deep_value(text, 0) == _end_of_value(text, 0) == len(text)


@given(st.text('{}[]",:1-e.truefalsn \\', max_size=14))
def test_both_ways_refuse_the_same_texts(text: str) -> None:
    ends = []
    for skip in (_end_of_deep_value, _end_of_value):
        try:
            ends.append(skip(text, 0))
        except ValueError:
            ends.append(-1)
    assert ends[0] == ends[1]


@given(attribute_texts)
def test_splicing_twice_changes_nothing_the_second_time(text: str) -> None:
    assert splice(put(text), "crm", (BLOCK,)) == Unchanged(BLOCK)


@given(objects(json_values).filter(lambda text: all(name != "crm" for name, _ in as_written(text))))
def test_taking_our_member_out_again_gives_the_text_as_it_was(text: str) -> None:
    after = put(text)
    mine = f'"crm":{BLOCK_TEXT}'
    assert after.replace(f",{mine}", "", 1) == text or after.replace(mine, "", 1) == text


@given(attribute_texts, st.integers(0, 60))
def test_whatever_the_room_the_result_fits_and_others_are_whole(text: str, room: int) -> None:
    filler = "x" * max(0, LIMIT - length(text) - room - 12)
    full = text.rstrip(" \t\n\r")[:-1] + ("," if as_written(text) else "") + f'"filler":"{filler}"}}'
    try:
        result = splice(full, "crm", (BLOCK, SMALL))
    except NoRoom:
        return
    if isinstance(result, Spliced):
        assert length(result.text) <= LIMIT
        assert others(result.text) == others(full)


def units(text: str) -> list[tuple[str, Any]]:
    """Return the members in UTF-16, where two halves that were written apart are one character."""
    return [(as_utf_16(name), as_utf_16(value)) for name, value in as_written(text)]


def as_utf_16(value: Any) -> Any:
    return value.encode("utf-16-le", "surrogatepass") if isinstance(value, str) else value


@given(spelled_strings, spelled_strings, st.integers(1, len(BLOCK_TEXT) - len(json.dumps(SMALL))))
def test_whatever_is_escaped_reads_as_before(name: str, value: str, missing: int) -> None:
    text = short_by(missing, f'{{{name}:{value},"more":[{value}]}}')
    after = put(text, BLOCK, SMALL)
    assert length(after) <= LIMIT
    assert [pair for pair in units(after) if pair[0] != as_utf_16("crm")] == units(text)
    after.encode()


@given(st.lists(st.sampled_from("éÿ漢😀𝄞\xa0 aZ"), min_size=1, max_size=30))
def test_the_block_is_whole_if_there_is_room_without_escapes(characters: list[str]) -> None:
    """The number of escaped characters does not matter: unfolding them makes the room."""
    plain = "".join(characters)
    escaped = "".join(f"\\u{unit:04x}" for unit in memoryview(plain.encode("utf-16-le")).cast("H"))
    saved = length(escaped) - length(plain)
    assert length(put(short_by(saved, f'{{"a":"{escaped}"}}'), BLOCK, SMALL)) == LIMIT
