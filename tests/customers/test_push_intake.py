"""Records that a source sends: by their versions, in any order and however often."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, select

from enrich import errors
from enrich.customers import quarantine
from enrich.customers.export import export
from enrich.customers.push_intake import TOGETHER, PushIntake
from enrich.customers.pushed_records import PushedRecord, read_pushed, remote_id_of
from enrich.customers.source_tables import QuarantineRow, SourceRecordRow
from enrich.customers.stream_states import StreamStates
from enrich.customers.tables import AuditRow, CustomerRow, IdentifierRow
from enrich.database.engine import Database
from enrich.database.types import Base
from enrich.domain.outcomes import IntakeOutcome

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
BAD: dict[str, Any] = {"phones": ["12"]}


def read(raw: dict[str, Any]) -> PushedRecord:
    return read_pushed(remote_id_of(raw), raw, "US", kinds=(), now=NOON)


def push(database: Database, *raws: dict[str, Any], now: datetime = NOON) -> list[str]:
    """Push these together; return the outcome of each."""
    outcomes = PushIntake(database, lambda: now, lambda: None).apply("shop", [read(raw) for raw in raws])
    return [outcome.value for outcome in outcomes]


def ada(version: int, remote_id: str = "1", **values: Any) -> dict[str, Any]:
    return {"id": remote_id, "version": version, "name": f"Ada {version}", **values}


def gone(version: int, remote_id: str = "1", state: str = "archived", **values: Any) -> dict[str, Any]:
    return {"id": remote_id, "version": version, "state": state, **values}


def names(database: Database) -> dict[str, str]:
    """Return the customers who are there, by id."""
    rows = database.read(select(CustomerRow.id, CustomerRow.name).where(~CustomerRow.is_gone))
    return {row.id: row.name for row in rows}


def quarantined(database: Database) -> dict[str, Any]:
    """Return the versions of the records in quarantine, by id."""
    with database.reading() as session:
        return {one.remote_id: one.fields.get("version") for one in quarantine.listed(session, "shop")}


def test_each_record_has_its_outcome(database: Database) -> None:
    assert push(database, ada(2), ada(2, "2"), ada(5, "3", **BAD)) == ["created", "created", "quarantined"]
    assert push(database, ada(2), ada(3, "2"), ada(1), gone(9, "4")) == ["unchanged", "changed", "older", "deleted"]
    assert push(database, gone(3), gone(3), ada(9, "4"), ada(10, "4")) == ["unchanged", "deleted", "older", "changed"]
    assert names(database) == {"shop:2": "Ada 3", "shop:4": "Ada 10"}
    assert quarantined(database) == {"3": 5}


def test_a_tombstone_of_nobody_keeps_older_records_out(database: Database) -> None:
    assert push(database, gone(5)) == ["deleted"]
    assert push(database, gone(5)) == ["unchanged"]
    assert push(database, ada(4)) == ["older"]
    assert names(database) == {}
    assert push(database, ada(6)) == ["changed"]
    assert names(database) == {"shop:1": "Ada 6"}


class TestOneIdTwiceInABatch:
    def test_the_versions_decide_and_not_the_order(self, database: Database) -> None:
        assert push(database, ada(2), ada(1)) == ["created", "older"]
        assert push(database, ada(3), ada(4)) == ["older", "changed"]
        assert names(database) == {"shop:1": "Ada 4"}

    def test_of_one_version_it_ends_as_if_they_came_one_by_one(self, database: Database) -> None:
        both = ada(1, name="Ada"), ada(1, name="Eve")
        outcomes = push(database, *both)
        assert sorted(outcomes) == ["created", "older"]
        for one in both:
            push(database, one | {"id": "2"})
        assert names(database)["shop:1"] == names(database)["shop:2"]

    def test_a_copy_changes_nothing(self, database: Database) -> None:
        assert push(database, ada(1), ada(1)) == ["unchanged", "created"]
        assert push(database, ada(0), ada(0)) == ["older", "older"]

    def test_an_erasure_counts_whatever_its_version(self, database: Database) -> None:
        assert push(database, gone(1, state="erased"), ada(2)) == ["deleted", "older"]
        assert names(database) == {}

    def test_good_and_bad_ones_are_told_apart(self, database: Database) -> None:
        assert push(database, ada(1), ada(2, **BAD), ada(0, **BAD)) == ["created", "quarantined", "older"]
        assert push(database, ada(3, **BAD), ada(4), ada(2, **BAD)) == ["older", "changed", "older"]
        assert (names(database), quarantined(database)) == ({"shop:1": "Ada 4"}, {})


class TestQuarantine:
    def test_an_older_good_one_does_not_release_and_a_newer_one_does(self, database: Database) -> None:
        assert push(database, ada(5, **BAD)) == ["quarantined"]
        assert push(database, ada(3)) == ["created"]
        assert quarantined(database) == {"1": 5}
        assert push(database, ada(2)) == ["older"]
        assert quarantined(database) == {"1": 5}
        assert push(database, ada(6)) == ["changed"]
        assert quarantined(database) == {}

    def test_a_good_one_of_the_same_version_releases(self, database: Database) -> None:
        push(database, ada(5, **BAD))
        assert push(database, ada(5)) == ["created"]
        assert quarantined(database) == {}
        assert push(database, ada(5, **BAD)) == ["older"]
        assert quarantined(database) == {}

    def test_a_tombstone_releases_as_a_record_does(self, database: Database) -> None:
        push(database, ada(5, **BAD))
        assert push(database, gone(4)) == ["deleted"]
        assert quarantined(database) == {"1": 5}
        assert push(database, gone(6)) == ["unchanged"]
        assert quarantined(database) == {}

    def test_the_newest_bad_one_stands_there(self, database: Database) -> None:
        assert push(database, ada(5, **BAD)) == ["quarantined"]
        assert push(database, ada(4, **BAD)) == ["older"]
        assert quarantined(database) == {"1": 5}
        assert push(database, ada(6, **BAD)) == ["quarantined"]
        assert quarantined(database) == {"1": 6}

    def test_what_is_older_than_what_is_stored_does_not_get_there(self, database: Database) -> None:
        push(database, ada(5))
        assert push(database, ada(4, **BAD)) == ["older"]
        assert quarantined(database) == {}

    def test_a_repetition_releases_if_the_process_died_before_it_did(self, database: Database) -> None:
        push(database, ada(6))
        with database.transaction() as session:
            quarantine.put(session, "shop", "customer", [(read(ada(5, **BAD)).read, ada(5, **BAD))], NOON)
        assert push(database, ada(6)) == ["unchanged"]
        assert quarantined(database) == {}

    def test_one_without_a_version_is_released_by_any_and_takes_no_place(self, database: Database) -> None:
        assert push(database, ada(1) | {"version": "soon"}) == ["quarantined"]
        assert push(database, ada(1)) == ["created"]
        assert quarantined(database) == {}
        assert push(database, ada(1) | {"version": None}) == ["quarantined"]
        assert push(database, ada(0)) == ["older"]
        assert quarantined(database) == {"1": None}
        assert push(database, ada(3, **BAD)) == ["quarantined"]
        assert push(database, ada(1) | {"version": None}) == ["older"]
        assert quarantined(database) == {"1": 3}

    def test_a_version_from_the_future_does_not_shut_others_out(self, database: Database) -> None:
        assert push(database, ada(1) | {"version": "2036-11-28T12:00:00Z"}) == ["quarantined"]
        assert push(database, ada(1) | {"version": "2026-11-28T12:00:00Z"}) == ["created"]
        assert quarantined(database) == {}

    def test_nothing_of_what_is_erased_stays_or_gets_there(self, database: Database) -> None:
        push(database, ada(5, **BAD))
        assert push(database, gone(1, state="erased")) == ["deleted"]
        assert quarantined(database) == {}
        assert push(database, ada(6, **BAD), ada(7)) == ["older", "older"]
        assert quarantined(database) == {}

    def test_of_another_source_it_is_another_record(self, database: Database) -> None:
        push(database, ada(5, **BAD))
        intake = PushIntake(database, lambda: NOON, lambda: None)
        assert intake.apply("desk", [read(ada(6))]) == [IntakeOutcome.CREATED]
        assert quarantined(database) == {"1": 5}


class TestBrake:
    """2 % of 300 are 6, and 20 are few."""

    @pytest.fixture(autouse=True)
    def _three_hundred(self, database: Database) -> None:
        push(database, *(ada(1, str(number)) for number in range(300)))

    def removals(self, number: int, version: int = 2) -> list[dict[str, Any]]:
        return [gone(version, str(one)) for one in range(number)]

    def test_it_stops_them_and_asks_while_others_go_on(self, database: Database) -> None:
        assert push(database, *self.removals(19)) == ["deleted"] * 19
        with pytest.raises(errors.BrakeApplied):
            push(database, *self.removals(25), ada(2, "299"))
        state = StreamStates(database).of("shop", NOON)
        assert state
        assert state.question
        assert state.problem == "brake_applied"
        assert 20 <= state.question.records <= 25
        there = names(database)
        assert there["shop:299"] == "Ada 2"  # what removes nobody was applied
        assert len(there) > 300 - 25
        assert push(database, ada(3, "298")) == ["changed"]
        state = StreamStates(database).of("shop", NOON)
        assert state
        assert state.question  # it stands until it is answered

    def test_a_yes_lets_so_many_go_for_a_day(self, database: Database) -> None:
        with pytest.raises(errors.BrakeApplied):
            push(database, *self.removals(25))
        state = StreamStates(database).of("shop", NOON)
        assert state
        assert state.question
        StreamStates(database).accept("shop", state.question.removed)
        removed = state.question.removed
        push(database, ada(2, "299"))  # something else comes first
        push(database, *self.removals(removed))
        assert len(names(database)) == 300 - removed
        with pytest.raises(errors.BrakeApplied):
            push(database, *self.removals(removed + 1))
        StreamStates(database).leave("shop", removed + 1)
        state = StreamStates(database).of("shop", NOON)
        assert state
        push(database, ada(3, "298"))
        later = StreamStates(database).of("shop", NOON)
        assert later
        assert (later.problem, later.failures) == (None, 0)

    def test_the_day_after_a_yes_it_asks_again(self, database: Database) -> None:
        with pytest.raises(errors.BrakeApplied):
            push(database, *self.removals(25))
        state = StreamStates(database).of("shop", NOON)
        assert state
        assert state.question
        StreamStates(database).accept("shop", state.question.removed)
        with pytest.raises(errors.BrakeApplied):
            push(database, *self.removals(80), now=NOON + timedelta(days=1, seconds=1))


def test_others_have_their_turn_between_small_portions(database: Database) -> None:
    """Of what is written and of what is only compared."""
    count = select(func.count()).select_from(SourceRecordRow)
    written: list[int] = []
    intake = PushIntake(database, lambda: NOON, lambda: written.append(database.read(count)[0][0]))
    many = [read(ada(1, str(number))) for number in range(5 * TOGETHER)]
    intake.apply("shop", many)
    assert written[-1] == len(many)
    assert max(after - before for before, after in pairwise([0, *written])) <= TOGETHER
    written.clear()
    intake.apply("shop", many)
    assert len(written) >= 5


# --- any order and any repetition

REMOTE_IDS = ("1", "2", "3")
VERSIONS = st.integers(1, 4)
LIVE = st.builds(
    lambda remote_id, version, name, numbers: {"id": remote_id, "version": version, "name": name, "phones": numbers},
    st.sampled_from(REMOTE_IDS),
    VERSIONS,
    st.sampled_from(["Ada", "Eve"]),
    st.sampled_from([[], ["+14155550100"], ["+14155550101"], ["12"]]),
)
STATES = st.sampled_from(["archived", "purged", "erased", "merged"])
ENDED = st.builds(
    lambda remote_id, version, state, into: gone(
        version, remote_id, state, **({"into": into} if state == "merged" and into != remote_id else {})
    ),
    st.sampled_from(REMOTE_IDS),
    VERSIONS,
    STATES,
    st.sampled_from(REMOTE_IDS),
)
RECORDS = st.lists(st.one_of(LIVE, LIVE, ENDED), max_size=6)


def everything(database: Database) -> Any:
    """Return what the store says: records, living customers by their homes, identifiers, and quarantine.

    Not what only the history knows: when it came, the last fields of what is gone, and the version of an erasure.
    """
    records = {
        row.remote_id: (row.state, row.state == "erased" or row.version, row.into_remote_id, row.fields)
        if row.state == "live"
        else (row.state, row.state == "erased" or row.version, row.into_remote_id)
        for row in database.read(select(SourceRecordRow.__table__))
    }
    rows = database.read(select(CustomerRow.id, CustomerRow.merged_into, CustomerRow.is_gone))
    living = {row.id for row in rows if not row.is_gone and row.merged_into is None}
    homes = {one: frozenset({one, *(row.id for row in rows if row.merged_into == one)}) for one in living}
    keys = database.read(select(IdentifierRow.customer_id, IdentifierRow.kind, IdentifierRow.value))
    found = {(homes[row.customer_id], row.kind, row.value) for row in keys if row.kind != "customer_id"}
    return records, found, quarantined(database)


@given(records=RECORDS, data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_order_and_any_repetition_end_in_the_same_store(
    database: Database, records: list[dict[str, Any]], data: st.DataObject
) -> None:
    empty(database)
    push_all(database, [[one] for one in records])
    expected = everything(database)
    again = data.draw(st.lists(st.sampled_from(records), max_size=3)) if records else []
    shuffled = data.draw(st.permutations([*records, *again]))
    cuts = data.draw(st.lists(st.integers(0, len(shuffled)), max_size=2))
    empty(database)
    push_all(database, batches(shuffled, cuts))
    assert everything(database) == expected


def batches(records: list[dict[str, Any]], cuts: list[int]) -> Iterable[list[dict[str, Any]]]:
    ends = [*sorted(cuts), len(records)]
    return (records[start:end] for start, end in zip([0, *ends], ends, strict=False))


def push_all(database: Database, together: Iterable[list[dict[str, Any]]]) -> None:
    for raws in together:
        push(database, *raws)


def empty(database: Database) -> None:
    with database.transaction() as session:
        for table in reversed(Base.metadata.sorted_tables):
            session.execute(delete(table))


def test_what_is_pushed_can_be_exported_and_is_noted(database: Database) -> None:
    push(database, ada(1, phones=["+14155550100"]))
    assert [(one["id"], one["phones"]) for one in export(database)] == [("shop:1", ["+14155550100"])]
    push(database, ada(2))
    noted = database.read(select(AuditRow.by, AuditRow.action).order_by(AuditRow.id))
    assert {(row.by, row.action) for row in noted} == {("shop", "loaded"), ("shop", "synced")}
    assert not database.read(select(QuarantineRow.remote_id))
