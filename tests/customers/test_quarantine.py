"""Quarantine: what could not be applied stands there once, with its reason, until it is applied whole."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from enrich.customers import quarantine
from enrich.customers.quarantine import QuarantinedRecord
from enrich.customers.record_reading import ReadRecord, read_record
from enrich.database.engine import Database

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
LATER = datetime(2026, 11, 28, 13, tzinfo=UTC)


def put(database: Database, *raws: Mapping[str, Any], source: str = "erp", object_: str = "customer") -> None:
    """Read these records leniently, each with its id, and put them."""
    read = [(read_record(str(raw["id"]), raw, "US", is_lenient=True), raw) for raw in raws]
    with database.transaction() as session:
        quarantine.put(session, source, object_, read, NOON)


def listed(database: Database, source: str = "erp", **page: Any) -> list[QuarantinedRecord]:
    with database.reading() as session:
        return list(quarantine.listed(session, source, **page))


def good(remote_id: str) -> dict[str, Any]:
    return {"id": remote_id, "name": "Ada"}


def bad(remote_id: str, number: str = "12") -> dict[str, Any]:
    return {"id": remote_id, "name": "Ada", "phones": [number]}


def test_it_has_the_values_as_they_came_and_the_reason(database: Database) -> None:
    put(database, bad("1"), good("2"), {"id": "3", "tier": "gold"})
    first, third = listed(database)
    assert (first.source, first.object, first.remote_id, first.field) == ("erp", "customer", "1", "phones")
    assert (first.fields, first.at, first.is_loaded) == (bad("1"), NOON, True)
    assert first.reason.startswith("phones[0]: ")
    assert (third.remote_id, third.field, third.is_loaded) == ("3", "name", False)


def test_a_second_copy_takes_the_place_of_the_first_and_a_good_one_ends_it(database: Database) -> None:
    put(database, bad("1"), bad("2"))
    put(database, bad("1", "13"))
    put(database, good("2"))
    assert [(one.remote_id, one.fields["phones"]) for one in listed(database)] == [("1", ["13"])]


def test_a_record_of_another_source_or_object_is_another_one(database: Database) -> None:
    put(database, bad("1"))
    put(database, bad("1"), source="shop")
    put(database, bad("1"), object_="lead")
    put(database, good("1"))
    assert [one.object for one in listed(database)] == ["lead"]
    assert [one.source for one in listed(database, "shop")] == ["shop"]


def test_what_no_database_stores_is_kept_as_text(database: Database) -> None:
    hostile = {"id": "1", "name": float("nan"), "ids": {"a\0\ud800": "1"}, "_note": "\0\ud800", "_size": 10**400}
    put(database, hostile)
    (one,) = listed(database)
    assert one.fields["name"] == "NaN"
    assert (one.fields["_note"], one.fields["_size"]) == ("\0\ud800", 10**400)
    assert "\\u0000\\ud800" in one.reason


def test_a_record_that_is_nested_too_deeply_is_kept_by_its_reason_alone(database: Database) -> None:
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"_": deep}
    with database.transaction() as session:
        quarantine.put(session, "erp", "customer", [(ReadRecord("1", None, ("name: missing",)), deep)], NOON)
    assert [(one.fields, one.reason) for one in listed(database)] == [({}, "name: missing")]
    while deep:  # to take it apart by itself, Python would need as much stack
        deep = deep["_"]


def test_of_a_great_many_problems_the_first_are_shown(database: Database) -> None:
    put(database, {"id": "1", "name": "Ada", "phones": ["12"] * 500, "x" * 100_000: 1})
    (one,) = listed(database)
    assert len(one.reason) == quarantine.MAX_REASON_LENGTH


@pytest.mark.parametrize("ids", [[], ["9"], ["1", "9"], ["1", "2"]])
def test_release_takes_those_and_no_others(database: Database, ids: list[str]) -> None:
    put(database, bad("1"), bad("2"))
    with database.transaction() as session:
        assert quarantine.quarantined_ids(session, "erp", "customer", ids) == set(ids) - {"9"}
        assert quarantine.fields_of(session, "erp", "customer", ids) == {one: bad(one) for one in ids if one != "9"}
        quarantine.release(session, "erp", "customer", ids)
    assert {one.remote_id for one in listed(database)} == {"1", "2"} - set(ids)


def test_they_are_counted_by_source_and_listed_in_pages(database: Database) -> None:
    put(database, *(bad(str(number)) for number in range(5)), {"id": "5", "tier": "gold"})
    put(database, {"id": "1"}, source="shop")
    with database.reading() as session:
        assert quarantine.numbers(session) == {"erp": (1, 5), "shop": (1, 0)}
    pages: list[list[str]] = []
    after = ("", "")
    while page := listed(database, after=after, limit=4):
        pages.append([one.remote_id for one in page])
        after = (page[-1].object, page[-1].remote_id)
    assert pages == [["0", "1", "2", "3"], ["4", "5"]]
