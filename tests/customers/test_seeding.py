from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from enrich.customers import decisions
from enrich.customers.export import export
from enrich.customers.fixture_rows import BadRow, CustomerFixture, read_customer, read_row
from enrich.customers.fixtures import builtin_path, read_fixtures
from enrich.customers.identifiers import Identifier
from enrich.customers.key_rules import KeyRules
from enrich.customers.matching import choose, lookup_keys
from enrich.customers.projection import Decision, DecisionKind
from enrich.customers.record_batches import BATCH_ROWS
from enrich.customers.records import Actor
from enrich.customers.seeding import SeedReport, seed
from enrich.customers.store import CustomerStore
from enrich.customers.stream_states import StreamStates
from enrich.customers.tables import CustomerRow, IdentifierRow
from enrich.database.engine import Database
from enrich.domain.matches import Ambiguous, Claimed, Matched
from tests.support.customer_rows import ROWS
from tests.support.databases import copy_template

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)


def make_row(**changes: Any) -> dict[str, Any]:
    return {"id": "C-1", "name": "Ada", "phones": ["+1 415 555 0100"], "notes": ["Prefers mornings"]} | changes


def seed_rows(database: Database, *rows: dict[str, Any], now: datetime = NOON) -> tuple[int, int, int]:
    report = seed(database, (read_customer(row, "US") for row in rows), now=now)
    assert report.bad == ()
    return report.created, report.changed, report.unchanged


def decide(database: Database, *new: Decision) -> None:
    with database.transaction() as session:
        decisions.decide(session, new, Actor(1, "dana@example.com"), NOON)


def seed_builtin(database: Database) -> SeedReport:
    return seed(database, read_fixtures(builtin_path(), region="US"), now=NOON)


def who_is(database: Database, **attributes: Any) -> Any:
    keys = lookup_keys(attributes, KeyRules.parse("customer_id, account_number, from, customerAddress, email"))
    return choose(keys, CustomerStore(database).find_candidates(keys))


def identifiers_of(database: Database, customer_id: str) -> set[tuple[str, str]]:
    query = select(IdentifierRow.kind, IdentifierRow.value).where(IdentifierRow.customer_id == customer_id)
    return {(row.kind, row.value) for row in database.read(query)}


def test_seeding_twice_changes_nothing_the_second_time(database: Database) -> None:
    assert seed_builtin(database) == SeedReport(created=14, changed=0, unchanged=0, bad=())
    assert seed_builtin(database) == SeedReport(created=0, changed=0, unchanged=14, bad=())


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, (0, 0, 1)),
        ({"name": "Ada Lovelace"}, (0, 1, 0)),
        ({"company": "Engines"}, (0, 1, 0)),
        ({"phones": ["+14155550100"]}, (0, 1, 0)),
        ({"phones": []}, (0, 1, 0)),
        ({"emails": ["ada@example.com"]}, (0, 1, 0)),
        ({"notes": ["Prefers mornings", "Moved"]}, (0, 1, 0)),
        ({"cases": [{"id": "K-1", "status": "open"}]}, (0, 1, 0)),
        ({"id": "C-2"}, (1, 0, 0)),
    ],
)
def test_only_what_differs_is_a_change(
    database: Database, changes: dict[str, Any], outcome: tuple[int, int, int]
) -> None:
    seed_rows(database, make_row())
    assert seed_rows(database, make_row(**changes), now=LATER) == outcome
    assert seed_rows(database, make_row(**changes), now=LATER) == (0, 0, 1)
    (row,) = database.read(select(CustomerRow.updated_at).where(CustomerRow.id == make_row(**changes)["id"]))
    assert row.updated_at == (NOON if outcome == (0, 0, 1) else LATER)


def test_what_the_file_does_not_say_stays_and_what_is_empty_goes(database: Database) -> None:
    seed_rows(database, make_row(company="Engines", ids={"account_number": "A-17"}))
    seed_rows(database, {"id": "C-1", "name": "Ada", "notes": []})
    assert list(export(database)) == [
        {
            "id": "C-1",
            "name": "Ada",
            "company": "Engines",
            "phones": ["+1 415 555 0100"],
            "ids": {"account_number": "A-17"},
        }
    ]


def test_a_corrected_number_no_longer_finds_anybody(database: Database) -> None:
    seed_rows(database, make_row())
    seed_rows(database, make_row(phones=["+1 415 555 0101"]))
    assert identifiers_of(database, "C-1") == {("customer_id", "c-1"), ("phone", "+14155550101")}


def test_a_number_that_staff_have_linked_stays(database: Database) -> None:
    seed_rows(database, make_row())
    decide(database, Decision(0, DecisionKind.LINK, "C-1", key=Identifier("phone", "+14155550102")))
    assert seed_rows(database, make_row()) == (0, 0, 1)
    assert seed_rows(database, make_row(phones=[])) == (0, 1, 0)
    assert identifiers_of(database, "C-1") == {("customer_id", "c-1"), ("phone", "+14155550102")}


def test_customers_who_are_not_in_the_file_stay(database: Database) -> None:
    seed_rows(database, make_row())
    seed_rows(database, make_row(id="C-2"))
    assert [one["id"] for one in export(database)] == ["C-1", "C-2"]


def test_the_last_of_several_files_counts(database: Database) -> None:
    assert seed_rows(database, make_row(), make_row(name="Ada L."), make_row(name="Ada Lovelace")) == (1, 2, 0)
    assert next(export(database))["name"] == "Ada Lovelace"


def test_bad_rows_are_reported_and_the_rest_is_stored(database: Database) -> None:
    bad = BadRow(2, "C-2", "name: missing")
    good = read_customer(make_row(), "US")
    steps: list[int] = []
    report = seed(database, [good, bad], now=NOON, progress=steps.append)
    assert report == SeedReport(created=1, changed=0, unchanged=0, bad=(bad,))
    assert steps[-1] == 2


def test_more_than_one_batch_is_told_step_by_step(database: Database) -> None:
    rows = (read_customer({"id": f"C-{number:05}", "name": "N"}, "US") for number in range(BATCH_ROWS + 1))
    steps: list[int] = []
    assert seed(database, rows, now=NOON, progress=steps.append).created == BATCH_ROWS + 1
    assert steps == [BATCH_ROWS, BATCH_ROWS + 1]
    assert len(list(export(database))) == BATCH_ROWS + 1


@pytest.mark.parametrize(
    ("attributes", "customer_id"),
    [
        ({"customer_id": "c-1001"}, "C-1001"),
        ({"account_number": "a-17"}, "C-1001"),
        ({"from": "+14155550100"}, "C-1001"),
        ({"from": "+12125550123"}, "C-1002"),
        ({"from": "whatsapp:+447700900123"}, "C-1005"),
        ({"from": "+13125550170;ext=31"}, "C-1007"),
        ({"from": "ines@example.org"}, "C-1008"),
        ({"from": "client:alice"}, "C-1009"),
        ({"from": "whatsapp:+5215555550110"}, "C-1010"),
        ({"from": "+525555550110"}, "C-1010"),
        ({"from": "messenger:7700900456"}, "C-1014"),
        ({"from": "+16175550142", "email": "tom.bell@example.com"}, "C-1004"),
    ],
)
def test_the_built_in_customers_are_found(database: Database, attributes: dict[str, Any], customer_id: str) -> None:
    seed_builtin(database)
    match = who_is(database, **attributes)
    assert isinstance(match, Matched)
    assert match.customer_id == customer_id


def test_a_shared_number_is_ambiguous(database: Database) -> None:
    seed_builtin(database)
    match = who_is(database, **{"from": "+16175550142"})
    assert isinstance(match, Ambiguous)
    assert [one.customer_id for one in match.candidates] == ["C-1003", "C-1004"]


def test_a_switchboard_is_only_a_claim_of_those_who_have_an_extension(database: Database) -> None:
    seed_builtin(database)
    match = who_is(database, **{"from": "+13125550170"})
    assert isinstance(match, Claimed)
    assert [one.customer_id for one in match.candidates] == ["C-1006", "C-1007"]


def test_what_was_exported_can_be_seeded_again(database: Database, sqlite_template: Path, tmp_path: Path) -> None:
    seed_builtin(database)
    exported = list(export(database))
    assert seed_rows(database, *exported) == (0, 0, 14)
    other = Database(copy_template(sqlite_template, tmp_path / "other.db"))
    assert seed_rows(other, *exported) == (14, 0, 0)
    assert list(export(other)) == exported
    other.close()


@settings(max_examples=40, deadline=None)
@given(st.lists(ROWS, max_size=4))
def test_seeding_and_exporting_come_to_rest(
    sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    """After a seed, the same row again and the export of all rows both change nothing."""
    database = Database(copy_template(sqlite_template, tmp_path_factory.mktemp("seed") / "crm.db"))
    good = [one for one in (read_customer(row, "US") for row in rows) if isinstance(one, CustomerFixture)]
    seed(database, good, now=NOON)
    if good:
        assert seed(database, good[-1:], now=LATER).unchanged == 1
    exported = list(export(database))
    again = seed(database, (read_customer(row, "US") for row in exported), now=LATER)
    assert again == SeedReport(created=0, changed=0, unchanged=len(exported), bad=())
    database.close()


def test_several_numbers_in_one_value_are_seeded_exported_and_seeded_again(database: Database) -> None:
    row = make_row(phones=["4155550110; 4155550111 x12"])
    assert seed_rows(database, row) == (1, 0, 0)
    assert seed_rows(database, row) == (0, 0, 1)
    (exported,) = export(database)
    assert exported["phones"] == ["4155550110", "4155550111 x12"]
    assert seed_rows(database, exported) == (0, 0, 1)
    for caller in ("+14155550110", "+14155550111;ext=12"):
        assert isinstance(who_is(database, **{"from": caller}), Matched)
    assert isinstance(who_is(database, **{"from": "+14155550111"}), Claimed)


def test_customers_whose_ids_differ_in_case_only_are_found_by_their_own(database: Database) -> None:
    assert seed_rows(database, make_row(id="0015gAbC"), make_row(id="0015gabc")) == (2, 0, 0)
    for customer_id in ("0015gAbC", "0015gabc"):
        match = who_is(database, customer_id=customer_id)
        assert isinstance(match, Matched)
        assert match.customer_id == customer_id
    assert isinstance(who_is(database, customer_id="0015GABC"), Ambiguous)


def test_a_customer_without_a_name_keeps_the_one_that_is_stored(database: Database) -> None:
    def load(row: dict[str, Any]) -> str:
        seed(database, read_row(row, "US"), now=NOON)
        (stored,) = database.read(select(CustomerRow.name).where(CustomerRow.id == "C-1"))
        return str(stored.name)

    assert load({"id": "C-1", "phones": ["+1 415 555 0100"]}) == "+1 415 555 0100"
    assert load({"id": "C-1", "phones": ["+1 415 555 0101"], "emails": ["a@example.com"]}) == "a@example.com"
    assert load({"id": "C-1", "name": "Ada", "emails": ["a@example.com"]}) == "Ada"
    assert load({"id": "C-1", "emails": ["b@example.com"]}) == "Ada"


def test_a_customer_without_a_name_keeps_the_one_that_staff_gave(database: Database) -> None:
    nameless = {"id": "C-1", "company": "Engines"}
    seed(database, read_row(nameless, "US"), now=NOON)
    decide(database, Decision(0, DecisionKind.EDIT, "C-1", field="name", value="Ada Lovelace", base="Engines"))
    assert seed(database, read_row(nameless, "US"), now=LATER).unchanged == 1
    (row,) = database.read(select(CustomerRow.name))
    assert row.name == "Ada Lovelace"


def test_rows_without_some_of_their_values_are_counted_apart(database: Database) -> None:
    rows = [{"id": "C-1", "name": "Ada", "phones": ["12"]}, {"id": "C-2"}, {"id": "C-3", "name": "Cy"}]
    report = seed(database, chain.from_iterable(read_row(row, "US") for row in rows), now=NOON)
    assert (report.created, report.incomplete, report.not_loaded) == (2, 1, 1)


def test_what_is_stored_stays_where_the_file_has_a_bad_value(database: Database) -> None:
    seed_rows(database, make_row())
    seed(database, read_row(make_row(phones=["12", "+1 415 555 0101"]), "US"), now=LATER)
    assert {value for kind, value in identifiers_of(database, "C-1") if kind == "phone"} == {
        "+14155550100",
        "+14155550101",
    }


def test_the_last_load_is_known_afterwards(database: Database) -> None:
    rows = [make_row(), make_row(id="C-2", phones=[]), make_row(id="")]
    seed(database, chain.from_iterable(read_row(row, "US") for row in rows), now=NOON)
    seed(database, chain.from_iterable(read_row(row, "US") for row in rows[:1]), now=LATER)
    state = StreamStates(database).of("file", LATER)
    assert state is not None
    assert (state.kind, state.began_at, state.ended_at) == ("file", LATER, LATER)
    assert state.counts == {"read": 1, "unchanged": 1, "quarantined": 0, "incomplete": 0}


def test_a_load_that_ends_in_the_middle_has_no_end(database: Database) -> None:
    def rows() -> Iterator[CustomerFixture]:
        found = read_customer(make_row(), "US")
        assert isinstance(found, CustomerFixture)
        yield found
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        seed(database, rows(), now=NOON)
    state = StreamStates(database).of("file", NOON)
    assert state is not None
    assert (state.began_at, state.ended_at, state.owner) == (NOON, None, None)
