"""The .json cases of identity/: customers are seeded, and each task is looked up as a callback looks it up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from enrich.customers import block
from enrich.customers.fixtures import read_fixtures
from enrich.customers.matching import KeyRules, choose, lookup_keys
from enrich.customers.seeding import seed
from enrich.customers.store import CustomerStore
from enrich.database.engine import Database
from enrich.domain.matches import DEFAULT_REGION
from tests.support.databases import SEEDED_AT

CASES = Path(__file__).with_name("identity")
# By number of the file: tasks that are not looked up right yet.
NOT_YET = {
    "01": {1},
    "02": {0, 2},
    "03": {0, 1, 2},
    "04": {0, 1},
    "05": {0},
    "10": {0, 1, 2},
    "11": {0, 1},
    "12": {0, 1},
    "13": {0, 1, 2},
    "14": {0, 1, 2},
    "15": {0, 1, 3},
    "18": {0, 1},
}


def tasks() -> Iterator[Any]:
    for path in sorted(CASES.glob("*.json")):
        for number, task in enumerate(json.loads(path.read_text(encoding="utf-8"))["tasks"]):
            marks = [pytest.mark.xfail(strict=True)] if number in NOT_YET.get(path.name[:2], ()) else []
            yield pytest.param(path, task, id=f"{path.stem}-{number}", marks=marks)


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
