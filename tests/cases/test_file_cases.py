"""The .csv cases of identity/, and its searches: `identity/README.md` says what is right, and why."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from enrich.customers.fixture_rows import CustomerFixture
from enrich.customers.fixtures import read_fixtures
from enrich.customers.key_rules import KeyRules
from enrich.customers.matching import choose, lookup_keys
from enrich.customers.search import find_customers
from enrich.customers.seeding import SeedReport, seed
from enrich.customers.store import CustomerStore
from enrich.database.engine import Database
from enrich.domain.matches import Matched
from tests.support.databases import SEEDED_AT

CASES = Path(__file__).with_name("identity")
RULES = "customer_id, account_number, from"


@dataclass(frozen=True)
class Right:
    """The right result for a file: customers loaded, customers found by an attribute, rows reported, remarks."""

    loaded: list[str]
    found: dict[tuple[str, str], str] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    not_loaded: int = 0
    said: list[str] = field(default_factory=list)
    region: str = "US"


RIGHT = {
    "06-country-code-without-plus": Right(
        ["K-1", "K-2", "K-3"],
        {("from", "+491713920055"): "K-1", ("from", "+493023125100"): "K-2", ("from", "+491713920056"): "K-3"},
        region="DE",
    ),
    "07-number-with-decimal-tail": Right(["K-1", "K-2"], {("from", "+493023125100"): "K-1"}, region="DE"),
    "08-quotation-mark-inside-a-note": Right(["C-2"], told=["lines 2 to 4, C-1"], not_loaded=1),
    "09-quotation-mark-never-closed": Right(
        [f"C-{number}" for number in range(2, 11)],
        {("from", "+14155550102"): "C-2", ("from", "+14155550109"): "C-9"},
        told=["line 2, C-1"],
        not_loaded=1,
    ),
    "16-ids-guarded-for-a-spreadsheet": Right(
        ["007", "008", "009"],
        {("account_number", "00017"): "007", ("account_number", "00018"): "008", ("customer_id", "007"): "007"},
    ),
    "17-kind-of-id-in-another-case": Right(["C-1"], {("account_number", "A-17"): "C-1"}),
    "19-file-in-utf-16": Right(["C-1"], {("from", "+14155550100"): "C-1"}),
    "20-rows-that-end-early": Right(
        ["C-1", "C-2", "C-3"], {("from", "+14155550101"): "C-2", ("from", "+14155550102"): "C-3"}
    ),
    "21-number-without-its-area-code": Right(
        ["B-1", "B-2", "B-3"],
        {("from", "+5511985550101"): "B-2"},
        told=["line 2, B-1", "line 4, B-3"],
        region="BR",
    ),
    "23-export-with-its-own-columns": Right(
        ["101"], {("from", "ada@example.com"): "101", ("from", "+14155550100"): "101"}, said=["HubSpot export: "]
    ),
}


def load(database: Database, name: str, region: str) -> tuple[SeedReport, list[str], list[str]]:
    """Return the report, the ids of the customers that were loaded, and what was said about the file."""
    said: list[str] = []
    kinds = KeyRules.parse(RULES).kinds
    rows = list(read_fixtures(CASES / name, region=region, kinds=kinds, remark=said.append))
    loaded = [row.id for row in rows if isinstance(row, CustomerFixture)]
    return seed(database, rows, now=SEEDED_AT), loaded, said


def who_is(database: Database, attribute: str, value: str, region: str) -> str | None:
    keys = lookup_keys({attribute: value}, KeyRules.parse(RULES, region=region))
    match = choose(keys, CustomerStore(database).look_up(keys).candidates)
    return match.customer_id if isinstance(match, Matched) else None


@pytest.mark.parametrize("name", RIGHT)
def test_each_file_of_a_kind_is_loaded_right(name: str, database: Database) -> None:
    right = RIGHT[name]
    report, loaded, said = load(database, f"{name}.csv", right.region)
    assert loaded == right.loaded
    found = {(attribute, value): who_is(database, attribute, value, right.region) for attribute, value in right.found}
    assert found == right.found
    assert [str(row).partition(": ")[0] for row in report.bad] == right.told
    assert report.not_loaded == right.not_loaded
    assert [remark.startswith(start) for remark, start in zip(said, right.said, strict=True)] == [True] * len(said)


def test_every_file_is_a_case() -> None:
    assert {path.stem for path in CASES.glob("*.csv")} == set(RIGHT)


SEARCHES = json.loads((CASES / "22-names-without-their-accents.json").read_text(encoding="utf-8"))["searches"]


@pytest.mark.parametrize("search", SEARCHES, ids=lambda search: search["q"])
def test_a_search_finds_names_as_people_type_them(search: dict[str, list[str]], database: Database) -> None:
    load(database, "22-names-without-their-accents.json", "US")
    found = find_customers(database, str(search["q"]), kinds=(), region="US")
    assert [one.id for one in found] == search["right"]
