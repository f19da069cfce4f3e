"""The CRM of the demo and the plan of what changes in it."""

from __future__ import annotations

import json
import random
import re
import sqlite3
from collections import Counter
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from enrich.cli.demo import FAULTS
from enrich.customers.fixtures import builtin_path
from enrich.demo.arrivals import call
from enrich.demo.changes import PLAN, Call, Change, due
from enrich.demo.crm import SOURCE, SOURCES_FILE, URL_VARIABLE, Crm
from enrich.sources.file import SqlDeclaration, read_sources

# A pass every five seconds, two until somebody looks whether one is due, and one for the pass itself.
UNTIL_FOUND_S = 8
# The same after the pass over all keys, once a minute.
UNTIL_MISSED_S = 63
# Between two arrivals.
LONGEST_TURN_S = 2.2


@pytest.fixture
def crm(tmp_path: Path) -> Crm:
    crm = Crm(tmp_path / "crm.db")
    crm.create()
    return crm


def rows(crm: Crm, sql: str) -> list[Any]:
    with closing(sqlite3.connect(crm.path)) as connection:
        return connection.execute(sql).fetchall()


def dialled(number: str) -> str:
    _, attributes = call(number, random.Random(0))
    return str(attributes["from"])


def test_each_number_is_fictional_and_stands_in_one_place() -> None:
    people = json.loads(builtin_path().read_text(encoding="utf-8"))["customers"]
    sql = (SOURCES_FILE.parent / "crm.sql").read_text(encoding="utf-8")
    changed = " ".join(event.sql for event in PLAN if isinstance(event, Change))
    in_crm = [dialled(text) for text in re.findall(r"'([^']*555[^']*)'", sql + changed)]
    in_file = {dialled(phone) for person in people for phone in person.get("phones", ())}
    assert len(in_crm) > 30
    assert [number for number, times in Counter(in_crm).items() if times > 1] == []
    assert [number for number in in_crm if not re.fullmatch(r"\+1[2-9]\d\d55501\d\d", number)] == []
    assert in_file & set(in_crm) == set()


def test_one_customer_stands_in_both_with_the_same_account_number(crm: Crm) -> None:
    people = json.loads(builtin_path().read_text(encoding="utf-8"))["customers"]
    of_file = {person["ids"]["account_number"]: person["name"] for person in people if "ids" in person}
    of_crm = dict(rows(crm, "SELECT account_no, first_name || ' ' || last_name FROM contacts"))
    assert {number: of_crm[number] for number in of_file.keys() & of_crm.keys()} == {"A-52": "Alice Kern"}
    assert of_file["A-52"] == "Alice Kern"


def test_those_of_the_plan_are_no_callers_at_other_times(crm: Crm) -> None:
    others = {dialled(number) for number in crm.phones()}
    plan = {event.caller for event in PLAN if isinstance(event, Call)}
    assert len(others) > 20
    assert plan & others == {dialled("(503) 555-0101")}, "Alice alone, to whom nothing happens"


def test_a_new_demo_begins_with_the_crm_as_it_was(crm: Crm) -> None:
    before = rows(crm, "SELECT id, first_name, deleted_at FROM contacts"), rows(crm, "SELECT * FROM phones")
    for event in PLAN:
        if isinstance(event, Change):
            crm.change(event.sql)
    assert rows(crm, "SELECT id, first_name, deleted_at FROM contacts") != before[0]
    crm.create()
    after = rows(crm, "SELECT id, first_name, deleted_at FROM contacts"), rows(crm, "SELECT * FROM phones")
    assert [row[:3] for row in after[1]] == [row[:3] for row in before[1]]
    assert after[0] == before[0]


def test_the_plan_is_in_order_and_leaves_time_for_the_pass_that_finds_a_change() -> None:
    times = [event.at_s for event in PLAN]
    assert times == sorted(times)
    assert len(set(times)) == len(times)
    created, moved, deleted, merged = (event for event in PLAN if isinstance(event, Change))
    calls = {(event.caller, event.finds): event.at_s for event in PLAN if isinstance(event, Call)}
    assert calls["+15035550141", "Nadia Okafor"] - created.at_s == pytest.approx(60, abs=5)
    assert calls["+15035550147", "Erik Lindholm"] - moved.at_s > UNTIL_FOUND_S
    assert calls["+15035550144", "Tomás Rivera"] - merged.at_s > UNTIL_FOUND_S
    assert calls["+15035550145", None] - deleted.at_s > UNTIL_MISSED_S + UNTIL_FOUND_S


def test_no_call_of_the_plan_falls_into_a_fault() -> None:
    calls = [event.at_s for event in PLAN if isinstance(event, Call)]
    at_s = late_s = 0.0
    for calm_s, _symptom, _fault, lasts_s in (*FAULTS, *FAULTS):
        begins_s = at_s + calm_s
        at_s = begins_s + lasts_s
        late_s += 2 * LONGEST_TURN_S  # a fault begins and ends with the next turn
        assert [call_s for call_s in calls if begins_s <= call_s <= at_s + late_s] == []
    assert at_s > max(calls)


def test_each_event_of_the_plan_is_due_once() -> None:
    turns = [float(turn) for turn in range(0, 201, 3)]
    happened = [event for since, until in pairwise(turns) for event in due(PLAN, since, until)]
    assert happened == list(PLAN)


def test_the_sources_file_is_right_and_reads_as_often_as_the_plan_expects() -> None:
    declared = read_sources(SOURCES_FILE.read_text(encoding="utf-8"), environ={URL_VARIABLE})
    crm = declared.declarations[SOURCE]
    assert isinstance(crm, SqlDeclaration)
    assert crm.url_env == URL_VARIABLE
    assert crm.every + 3 <= UNTIL_FOUND_S
    assert crm.keys_every + 3 <= UNTIL_MISSED_S
    assert crm.sharing.kinds == {"account_number"}
