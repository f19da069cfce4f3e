"""The .json cases of identity/: customers are seeded, and each task is looked up as a callback looks it up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from enrich.customers import block
from enrich.customers.fixtures import read_fixtures
from enrich.customers.key_rules import KeyRules
from enrich.customers.matching import choose, explain, lookup_keys
from enrich.customers.seeding import seed
from enrich.customers.store import CustomerStore
from enrich.database.engine import Database
from enrich.domain.matches import DEFAULT_REGION, NoMatch, NoMatchReason
from tests.support.databases import SEEDED_AT

CASES = Path(__file__).with_name("identity")


def tasks() -> Iterator[Any]:
    for path in sorted(CASES.glob("*.json")):
        for number, task in enumerate(json.loads(path.read_text(encoding="utf-8"))["tasks"]):
            yield pytest.param(path, task, id=f"{path.stem}-{number}")


def block_of(database: Database, path: Path, attributes: dict[str, Any]) -> dict[str, Any]:
    """Return the block that lands on a task with these attributes, the customers of the file being in the store."""
    settings = json.loads(path.read_text(encoding="utf-8")).get("settings", {})
    region = settings.get("ENRICH_DEFAULT_REGION", DEFAULT_REGION)
    seed(database, read_fixtures(path, region=region), now=SEEDED_AT)
    store = CustomerStore(database)
    keys = lookup_keys(attributes, KeyRules.parse(region=region))
    found = store.look_up(keys)
    match = choose(keys, found.candidates)
    return dict(block.compose(match, store.details_of(match, found), block.BlockShape())[0])


@pytest.mark.parametrize(("path", "task"), list(tasks()))
def test_each_case_of_a_kind_is_looked_up_right(path: Path, task: dict[str, Any], database: Database) -> None:
    found = block_of(database, path, task["attributes"])
    if "candidates" in found:
        found["candidates"] = [candidate["customer_id"] for candidate in found["candidates"]]
    assert {name: found.get(name) for name in task["right"]} == task["right"]


def test_an_address_of_unknown_form_is_named_with_its_attribute() -> None:
    keys = lookup_keys({"from": "gbm:a1b2c3"}, KeyRules.parse())
    match = choose(keys, ())
    assert match == NoMatch(NoMatchReason.UNKNOWN_FORM)
    assert explain(keys, (), match)["unknown"] == ["from"]
