import io
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from enrich.customers import json_customers
from enrich.customers.json_customers import JsonFileError, read_customers

Place = tuple[str, int | None, int | None]


def read(content: bytes, *, block: int = 1, encoding: str = "utf-8") -> tuple[list[tuple[int, Any]], Place | None]:
    """Return the customers with their lines, and the damage that ended the reading, if any."""
    customers = []
    try:
        for customer in read_customers(io.BytesIO(content), encoding, block=block):
            customers.append(customer)  # noqa: PERF402 - those before the damage count
    except JsonFileError as exc:
        return customers, (exc.reason, exc.line, exc.column)
    return customers, None


CUSTOMERS = (
    '{"made": [1, {"x": []}], "n": -1.5e3,\n "customers": [\n {"id": "é\\ud83d\\ude00"},\n\n [true, null], 12\n] }\n'
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("block", range(1, 30))
def test_the_size_of_a_block_changes_nothing(block: int, encoding: str) -> None:
    customers = [(3, {"id": "é😀"}), (5, [True, None]), (5, 12)]
    assert read(CUSTOMERS.encode(encoding), block=block, encoding=encoding) == (customers, None)


def test_the_customers_before_the_damage_are_read() -> None:
    customers, damage = read(b'[\n{"id": 1},\n{"id": 2},\n  {"id" 3},\n{"id": 4}]')
    assert customers == [(2, {"id": 1}), (3, {"id": 2})]
    assert damage == ("Expecting ':' delimiter", 4, 9)


def test_bytes_that_are_no_text_are_damage_behind_the_customers_before_them() -> None:
    assert read(b'[{"id": 1},\n\n{"id": "\xff"}]', block=1000) == (
        [(1, {"id": 1})],
        ("not UTF-8; save the file as UTF-8", 3, None),
    )
    assert read(b'[{"id": 1}]\n\xc3') == ([(1, {"id": 1})], ("not UTF-8; save the file as UTF-8", 2, None))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"customers": [{}]} x', ("Extra data", 1, 21)),
        ('{"customers": [{}], "more": }', ("Expecting value", 1, 29)),
        ('{"customers": [{}]', ("Expecting ',' delimiter", 1, 19)),
    ],
)
def test_damage_behind_the_customers_is_told(text: str, place: Place) -> None:
    assert read(text.encode()) == ([(1, {})], place)


def test_only_the_first_list_of_customers_counts() -> None:
    assert read(b'{"customers": [1], "customers": [2], "customers": 3}') == ([(1, 1)], None)


@pytest.mark.parametrize("text", ["{}", '{"customers": {}}', '{"people": []}', '"customers"', "17"])
def test_other_json_is_refused(text: str) -> None:
    assert read(text.encode()) == ([], ('must be {"customers": [...]} or a list of customers', None, None))


def test_nesting_without_end_is_refused() -> None:
    assert read(b"[\n" + b"[" * 100_000, block=4096) == ([], ("not JSON of customers (RecursionError)", 2, None))
    assert read(b"[" + b"1" * 10_000 + b"]") == ([], ("not JSON of customers (ValueError)", 1, None))


class Endless(io.RawIOBase):
    """A list whose one text never ends. taken: the number of bytes read."""

    def __init__(self) -> None:
        self.taken = 0

    def read(self, size: int = -1, /) -> bytes:
        content = (b'["' if not self.taken else b"") + b"x" * size
        self.taken += len(content)
        return content


def test_a_value_without_end_is_refused_before_it_fills_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_customers, "MAX_VALUE_LENGTH", 10_000)
    file = Endless()
    with pytest.raises(JsonFileError, match="longer than any customer"):
        list(read_customers(file, "utf-8", block=100))  # type: ignore[arg-type]
    assert file.taken < 50_000


def test_a_long_list_is_read_a_block_at_a_time() -> None:
    file = io.BytesIO(b"[" + b",\n".join([b'{"id": 1, "name": "Ada"}'] * 10_000) + b"]")
    for line, _ in read_customers(file, "utf-8", block=256):
        assert file.tell() <= line * 26 + 512


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3) | st.just("customers"), inner),
    max_leaves=10,
)


@given(st.lists(JSON, max_size=5), st.sampled_from([None, 1]), st.integers(1, 50), st.booleans())
def test_every_list_is_read_as_json_reads_it(
    customers: list[Any], indent: int | None, block: int, is_ascii: bool
) -> None:
    text = json.dumps({"x": customers, "customers": customers}, indent=indent, ensure_ascii=is_ascii)
    read_back, damage = read(text.encode(errors="surrogatepass" if is_ascii else "replace"), block=block)
    assert damage is None
    expected = json.loads(text.encode(errors="replace"))["customers"]
    assert json.dumps([one for _, one in read_back]) == json.dumps(expected)


@given(
    st.text(st.sampled_from('[]{}",:\\ \n1-eNtru"'), max_size=30),
    st.sampled_from(["", "[", '{"customers":', '{"customers":[{"id":"1"},']),
    st.integers(1, 40),
)
@example('"\\u12', "[", 3)
@example("tru", "[", 1)
@example("-Infinit", "[", 4)
def test_damage_is_told_as_json_tells_it(text: str, start: str, block: int) -> None:
    """Message and place of the damage are those of `json`, for every size of block."""
    whole = start + text
    _, damage = read(whole.encode(), block=block)
    expected = damage_by_json(whole)
    # Without a place: it is JSON, up to its damage at least, but has no list of customers.
    assert damage == expected or (damage is not None and damage[1] is None)


def damage_by_json(text: str) -> Place | None:
    try:
        json.loads(text)
    except json.JSONDecodeError as exc:
        return exc.msg, exc.lineno, exc.colno
    return None
