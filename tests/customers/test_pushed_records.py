"""Records that their source sends: version, state, and a customer as a whole."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrich.customers.projection import RecordState
from enrich.customers.pushed_records import (
    MAX_DEPTH,
    MAX_NAME_LENGTH,
    MAX_VALUES,
    PushedRecord,
    parse_version,
    read_pushed,
    remote_id_of,
    version_of,
)

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
NOON_US = 1_795_867_200_000_000
ADA = {"version": 3, "name": "Ada", "phones": ["(415) 555-0100"]}


def read(remote_id: str = "17", **values: Any) -> PushedRecord:
    return read_pushed(remote_id, ADA | values, "US", kinds=(), now=NOON)


def problems(**values: Any) -> list[str]:
    pushed = read(**values)
    assert (pushed.arrival is None) == bool(pushed.read.problems)
    return [place for place, _ in pushed.read.wrong]


@pytest.mark.parametrize(
    ("version", "number"),
    [
        (0, 0),
        (-5, -5),
        (2**63 - 1, 2**63 - 1),
        ("17", 17),
        ("2026-11-28T12:00:00Z", NOON_US),
        ("2026-11-28t12:00:00z", NOON_US),
        ("2026-11-28 13:00:00+01:00", NOON_US),
        ("2026-11-28T12:00:00.000001Z", NOON_US + 1),
        ("2026-11-28T12:00:00.5Z", NOON_US + 500_000),
        ("2026-11-28T12:00:00.0000019Z", NOON_US + 1),
        ("0001-01-01T00:00:00Z", -62_135_596_800_000_000),
    ],
)
def test_a_version_is_a_number_or_a_time(version: Any, number: int) -> None:
    assert parse_version(version) == number
    assert read(version=version).version == number


@pytest.mark.parametrize(
    "version",
    [
        None,
        "",
        True,
        1.0,
        2**63,
        -(2**63) - 1,
        "9" * 20,
        "1e3",
        "٣",
        [],
        "2026-11-28",
        "2026-11-28T12:00:00",
        "2026-11-28T12:00:00 01:00",
        "2026-02-30T12:00:00Z",
        "2026-11-28T12:00:00+99:00",
        "20261128T120000Z",
        "2026-W48-6T12:00:00Z",
        "yesterday",
    ],
)
def test_anything_else_is_no_version(version: Any) -> None:
    with pytest.raises(ValueError, match=r"must|missing|no such time"):
        parse_version(version)
    assert problems(version=version) == ["version"]
    assert version_of({"version": version}, NOON) is None


def test_a_time_from_the_future_is_refused_and_a_counter_is_not() -> None:
    assert problems(version="2026-11-28T12:05:00Z") == []
    assert problems(version="2026-11-28T12:05:00.000001Z") == ["version"]
    assert read(version="2026-11-28T12:06:00Z").version is None
    assert problems(version=2**62) == []
    assert problems(version=str(2**62)) == []


def test_of_a_live_record_all_fields_count() -> None:
    for state in (None, "live"):
        arrival = read(state=state, _note="kept aside", id=17).arrival
        assert arrival
        assert (arrival.state, arrival.version, arrival.into_remote_id) == (RecordState.LIVE, 3, None)
        assert arrival.record.fields == {"name": "Ada", "phones": [["phone", "+14155550100", "(415) 555-0100"]]}


@pytest.mark.parametrize("state", ["archived", "purged", "erased", "merged"])
def test_of_any_other_state_nothing_else_is_read(state: str) -> None:
    more = {"into": "18"} if state == "merged" else {}
    arrival = read(state=state, phones="none", nonsense=1, **more).arrival
    assert arrival
    assert (arrival.state, arrival.version, arrival.into_remote_id) == (state, 3, more.get("into"))
    assert arrival.record.fields == {}


@pytest.mark.parametrize(
    ("values", "places"),
    [
        ({"state": "gone"}, ["state"]),
        ({"state": ["live"]}, ["state"]),
        ({"state": "Live"}, ["state"]),
        ({"state": "merged"}, ["into"]),
        ({"state": "merged", "into": "17"}, ["into"]),
        ({"state": "merged", "into": {}}, ["into"]),
        ({"state": "merged", "into": "x" * 129}, ["into"]),
        ({"into": "18"}, ["into"]),
        ({"state": "archived", "into": "18"}, ["into"]),
        ({"phones": ["12"], "version": "x", "name": ""}, ["version", "name", "phones[0]"]),
    ],
)
def test_every_problem_is_named(values: dict[str, Any], places: list[str]) -> None:
    assert problems(**values) == places


def test_an_id_may_be_a_number() -> None:
    values: list[Any] = ["17", 17, " 17", "", True, 1.0, None, [], 2**70]
    assert [remote_id_of({"id": one}) for one in values] == ["17", "17", " 17", "", "", "", "", "", ""]
    arrival = read(state="merged", into=18).arrival
    assert arrival
    assert arrival.into_remote_id == "18"


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"_": value}
    return value


@pytest.mark.parametrize(
    ("values", "more"),
    [
        ({"_": [None] * (MAX_VALUES - 5)}, {"_": [None] * (MAX_VALUES - 4)}),
        ({"_" * MAX_NAME_LENGTH: 1}, {"_" * (MAX_NAME_LENGTH + 1): 1}),
        (nested(MAX_DEPTH - 1), nested(MAX_DEPTH)),
    ],
    ids=["values", "length of a name", "depth"],
)
def test_what_is_no_customer_by_its_size_is_not_read(values: dict[str, Any], more: dict[str, Any]) -> None:
    assert problems(**values) == []
    pushed = read(**more)
    assert [place for place, _ in pushed.read.wrong] == ["record"]
    assert pushed.version == 3


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)
NAMES = st.sampled_from(["id", "version", "state", "into", "name", "phones", "emails", "ids", "notes", "cases"])


@given(st.dictionaries(NAMES | st.text(max_size=5), JSON, max_size=6), st.text(max_size=10))
def test_whatever_is_sent_is_applied_whole_or_has_a_problem(raw: dict[str, Any], remote_id: str) -> None:
    pushed = read_pushed(remote_id, raw, "US", kinds=(), now=NOON)
    assert (pushed.arrival is None) == (pushed.read.record is None) == bool(pushed.read.problems)
    assert pushed.arrival is None or pushed.arrival.version == pushed.version == version_of(raw, NOON)
