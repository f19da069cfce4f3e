"""Projections beside our block: one member of an object that others write to, and nothing else moves."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrich.errors import NoRoom
from enrich.taskrouter.attributes import LIMIT, Projected, Spliced, Unchanged, length, splice
from tests.support.attribute_texts import BLOCK, BLOCK_TEXT, SMALL, json_values, objects, spaces

ID = Projected(("customers", "external_id"), "C-1001")
NO_ID = Projected(("customers", "external_id"), None)
CRM = f'"crm":{BLOCK_TEXT}'


def put(text: str, *projected: Projected, blocks: tuple[dict[str, Any], ...] = (BLOCK,)) -> str:
    result = splice(text, "crm", blocks, projected or (ID,))
    assert isinstance(result, Spliced)
    return result.text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("{}", f'{{{CRM},"customers":{{"external_id":"C-1001"}}}}', id="made"),
        pytest.param(
            '{"customers" : { "phone" : "+1" } , "a":1.0}',
            f'{{"customers" : {{ "phone" : "+1","external_id":"C-1001" }} , "a":1.0,{CRM}}}',
            id="beside-what-others-keep-there",
        ),
        pytest.param('{"customers":{}}', f'{{"customers":{{"external_id":"C-1001"}},{CRM}}}', id="into-an-empty-one"),
        pytest.param(
            '{"customers":{"x":1e400,"external_id":"evil","y":[1 ,2]}}',
            f'{{"customers":{{"x":1e400,"external_id":"C-1001","y":[1 ,2]}},{CRM}}}',
            id="instead-of-another",
        ),
        pytest.param(
            '{"customers":{"external_id":1,"x":1,"external_id":2}}',
            f'{{"customers":{{"external_id":"C-1001","x":1}},{CRM}}}',
            id="instead-of-duplicates",
        ),
        pytest.param(
            '{"customers":{"external_id":"evil","x":1},"customers":{"y":2}}',
            f'{{"customers":{{"x":1}},"customers":{{"y":2,"external_id":"C-1001"}},{CRM}}}',
            id="in-the-one-that-readers-see",
        ),
        pytest.param('{"customers":null}', f'{{"customers":null,{CRM}}}', id="no-object-is-left-alone"),
        pytest.param('{"customers":["x"]}', f'{{"customers":["x"],{CRM}}}', id="a-list-is-left-alone"),
        pytest.param(
            r'{"c\u0075stomers":{"external\u005fid":1}}',
            f'{{"c\\u0075stomers":{{"external\\u005fid":"C-1001"}},{CRM}}}',
            id="names-spelt-with-escapes",
        ),
    ],
)
def test_the_member_goes_in_and_the_rest_stays(before: str, after: str) -> None:
    assert put(before) == after


def test_a_path_may_be_short_or_long() -> None:
    projected = (Projected(("vip",), True), Projected(("a", "b", "c"), 2), Projected(("a", "b", "d"), "x"))
    assert put('{"a":{"z":0}}', *projected) == (f'{{"a":{{"z":0,"b":{{"c":2,"d":"x"}}}},{CRM},"vip":true}}')


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"customers":{"external_id":"evil","x":1}}', f'{{"customers":{{"x":1}},{CRM}}}'),
        ('{"customers":{"x":1,"external_id":"evil"}}', f'{{"customers":{{"x":1}},{CRM}}}'),
        ('{"customers":{"external_id":"evil"}}', f'{{"customers":{{}},{CRM}}}'),
        (
            '{"customers":{"external_id":1},"customers":{"external_id":2}}',
            f'{{"customers":{{}},"customers":{{}},{CRM}}}',
        ),
        ('{"customers":"external_id"}', f'{{"customers":"external_id",{CRM}}}'),
        ('{"a":1}', f'{{"a":1,{CRM}}}'),
    ],
)
def test_for_nobody_in_particular_ours_is_taken_out(before: str, after: str) -> None:
    """A projected member is ours: a value that a visitor put there does not pass for our finding."""
    assert put(before, NO_ID) == after


def test_what_stands_there_already_is_not_written_again() -> None:
    text = f'{{"customers": {{"x": 1, "external_id" : "C\\u002d1001"}}, {CRM}}}'
    assert splice(text, "crm", (BLOCK,), (ID,)) == Unchanged(BLOCK)
    assert isinstance(splice(text, "crm", (BLOCK,), (NO_ID,)), Spliced)
    assert isinstance(splice(text, "crm", (BLOCK,), (Projected(ID.path, "C-1002"),)), Spliced)


def test_a_neighbour_may_be_nested_however_deep() -> None:
    deep = "[" * 1950 + "]" * 1950
    text = f'{{"customers":{{"deep":{deep},"external_id":1}}}}'
    assert put(text, blocks=(SMALL,)) == text.replace(":1}", ':"C-1001"}')[:-1] + ',"crm":{"match":"matched"}}'


def test_the_block_shrinks_first_and_stands_alone_at_last() -> None:
    long = Projected(("customers", "external_id"), "C" * 100)
    for room, expected in ((300, (BLOCK, True)), (180, (SMALL, True)), (60, (SMALL, False))):
        filler = "x" * (LIMIT - room)
        result = splice(
            f'{{"a":"{filler}"}}',
            "crm",
            (BLOCK, SMALL),
            (long,),
        )
        assert isinstance(result, Spliced)
        assert length(result.text) <= LIMIT
        assert (result.block, "external_id" in result.text) == expected


def test_without_any_room_what_is_foreign_still_goes() -> None:
    filler = "x" * (LIMIT - 45)
    result = splice(f'{{"a":"{filler}","customers":{{"external_id":"evil"}}}}', "crm", ({"m": "m" * 60},), (ID,))
    assert result == Spliced(f'{{"a":"{filler}","customers":{{}}}}', None)
    with pytest.raises(NoRoom):
        splice(f'{{"a":"{filler}","customers":{{}}}}', "crm", ({"m": "m" * 60},), (ID,))


# --- properties

containers = st.one_of(objects(json_values), json_values)
names = st.sampled_from(['"customers"', r'"c\u0075stomers"', '"a"', '"crm"', '"external_id"'])
inner_members = st.tuples(
    st.sampled_from(['"external_id"', '"x"', '"phone"', r'"external\u005fid"']), spaces, json_values
)
customers_like = st.lists(inner_members, max_size=4).map(
    lambda members: "{" + " , ".join(f"{name}{space}:{value}" for name, space, value in members) + "}"
)
texts = st.lists(st.tuples(names, spaces, customers_like | containers), max_size=5).map(
    lambda members: "{ " + ", ".join(f"{name}{space}:{value}" for name, space, value in members) + "}"
)


def as_written(text: str) -> Any:
    """Objects as tuples of pairs, so that they are told from lists; duplicates kept, numbers as text."""
    return json.loads(text, object_pairs_hook=tuple, parse_int=str, parse_float=str)


def others(pairs: Any) -> list[Any]:
    """Return the members that are not ours, in order; an empty object of customers counts as none."""
    kept = []
    for name, value in pairs:
        if name == "customers" and isinstance(value, tuple):
            value = tuple(pair for pair in value if pair[0] != "external_id")
            if not value:
                continue
        if name != "crm":
            kept.append((name, value))
    return kept


@given(texts, st.sampled_from([ID, NO_ID, Projected(ID.path, 7)]))
def test_others_keep_every_name_value_duplicate_and_digit(text: str, projected: Projected) -> None:
    result = splice(text, "crm", (BLOCK,), (projected,))
    after = result.text if isinstance(result, Spliced) else text
    assert others(as_written(after)) == others(as_written(text))
    held = [value for name, value in as_written(after) if name == "customers"]
    ours = [pair for value in held if isinstance(value, tuple) for pair in value if pair[0] == "external_id"]
    can_stand = not held or isinstance(held[-1], tuple)
    value = projected.value if isinstance(projected.value, str | None) else str(projected.value)
    assert ours == ([("external_id", value)] if can_stand and value is not None else [])


@given(texts, st.sampled_from([ID, NO_ID]))
def test_splicing_twice_changes_nothing_the_second_time(text: str, projected: Projected) -> None:
    result = splice(text, "crm", (BLOCK,), (projected,))
    if isinstance(result, Spliced):
        assert splice(result.text, "crm", (BLOCK,), (projected,)) == Unchanged(BLOCK)


@given(texts, st.integers(0, 120))
def test_whatever_the_room_the_result_fits(text: str, room: int) -> None:
    filler = "x" * max(0, LIMIT - length(text) - room - 12)
    full = text.rstrip()[:-1] + ("," if as_written(text) else "") + f'"filler":"{filler}"}}'
    try:
        result = splice(full, "crm", (BLOCK, SMALL), (ID,))
    except NoRoom:
        return
    if isinstance(result, Spliced):
        assert length(result.text) <= LIMIT
        assert others(as_written(result.text)) == others(as_written(full))
