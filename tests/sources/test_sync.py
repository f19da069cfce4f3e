"""Syncs of real databases into the real store."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, text

from enrich import errors
from enrich.customers import quarantine, streams
from enrich.customers.arrivals import Arrival
from enrich.customers.audit import AuditAction
from enrich.customers.declared_sources import DeclaredSource, declare
from enrich.customers.fixture_rows import read_customer
from enrich.customers.projection import CUSTOMER
from enrich.customers.record_reading import read_record
from enrich.customers.seeding import seed
from enrich.customers.source_tables import SeenRow, SourceRecordRow
from enrich.customers.stream_states import StreamStates
from enrich.customers.stream_writer import StreamWriter
from enrich.customers.streams import Lease
from enrich.customers.tables import AuditRow, CustomerRow, IdentifierRow
from enrich.database.engine import Database
from enrich.domain.streams import Intervals, Pass, StreamState
from enrich.flows.sync import Run, Sync, SyncAdapters, SyncedSource
from enrich.sources.pages import Page, Position, PulledRecord
from enrich.sources.sql import SqlSource
from tests.support.sources import SourceDatabase, declared, make_source_database

pytestmark = pytest.mark.database

START = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
TABLE = (
    "CREATE TABLE customers (id INTEGER PRIMARY KEY, name VARCHAR(200), phone VARCHAR(200), deleted INTEGER,"
    " updated_at BIGINT)"
)
PERSON = 'changed = { field = "updated_at", unit = "ms" }\ndeleted = "deleted"\nphones = "phone"'


@dataclass
class Clock:
    at: datetime = START

    def __call__(self) -> datetime:
        return self.at


@dataclass
class Crm:
    """Somebody's customers, and the sync that keeps ours like them."""

    source: SourceDatabase
    database: Database
    clock: Clock = field(default_factory=Clock)
    person: str = PERSON
    settings: str = "page = 3"
    is_over: Callable[[], bool] = lambda: False
    connector: SqlSource | None = None

    def put(self, key: int | str, name: str, phone: str | None = None, *, deleted: int | None = None) -> None:
        """Write a row with its time of change."""
        values = {"id": key, "name": name, "phone": phone, "deleted": deleted, "at": self._now_ms()}
        self.source.execute("DELETE FROM customers WHERE id = :id", id=key)
        self.source.execute("INSERT INTO customers VALUES (:id, :name, :phone, :deleted, :at)", **values)

    def pushed(self, key: int, name: str) -> Arrival:
        """Return this record as the source pushes it now."""
        read = read_record(str(key), {"name": name}, "US")
        assert read.record is not None
        return Arrival(read.record, version=self._now_ms() * 1000)

    def push(self, arrival: Arrival) -> None:
        with self.database.transaction() as session:
            lease = streams.join(session, "erp", CUSTOMER, kind="sql")
        StreamWriter(self.database, lease, self.clock, by="source erp").apply([arrival], read_after=None)

    def remove(self, *keys: int | str) -> None:
        for key in keys:
            self.source.execute("DELETE FROM customers WHERE id = :id", id=key)

    def sync(self, owner: str = "a worker", connector: Any = None) -> Sync:
        declaration = declared(self.settings, self.person)
        connector = connector or self.source.open(declaration)

        def writer(lease: Lease, accepted: int | None) -> StreamWriter:
            return StreamWriter(self.database, lease, self.clock, by="source erp", accepted=accepted)

        minute = timedelta(minutes=1)
        source = SyncedSource(
            "erp",
            "sql",
            Intervals(minute, 60 * minute, 24 * 60 * minute, has_windows="changed" in self.person),
            declaration.fingerprint,
            "US",
        )
        adapters = SyncAdapters(
            StreamStates(self.database), connector, writer, self.clock, lambda: None, owner, self.is_over
        )
        return Sync(source, adapters)

    def run(self, pass_: Pass) -> Run:
        self.clock.at += timedelta(seconds=1)
        run = self.sync().run(pass_)
        assert run is not None
        return run

    @property
    def state(self) -> StreamState:
        state = StreamStates(self.database).of("erp", self.clock.at)
        assert state is not None
        return state

    def customers(self) -> dict[str, str]:
        """Return the customers who are there, by id, each with the name."""
        rows = self.database.read(select(CustomerRow.id, CustomerRow.name).where(~CustomerRow.is_gone))
        return {row.id: row.name for row in rows}

    def execute_here(self, *statements: str) -> None:
        """Execute statements in our own database."""
        with self.database.transaction() as session:
            for statement in statements:
                session.execute(text(statement))

    def owners(self, number: str) -> set[str]:
        rows = self.database.read(select(IdentifierRow.customer_id).where(IdentifierRow.value == number))
        return {row.customer_id for row in rows}

    def quarantined(self) -> dict[str, tuple[str, bool]]:
        with self.database.reading() as session:
            return {one.remote_id: (one.reason, one.is_loaded) for one in quarantine.listed(session, "erp")}

    def _now_ms(self) -> int:
        """Return the source's own time, by which it stamps and is read."""
        return int(datetime.now(UTC).timestamp() * 1000)


@pytest.fixture
def crm(database: Database, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Crm]:
    kind = "sqlite" if database.is_sqlite else "postgresql"
    with ExitStack() as stack:
        crm = Crm(make_source_database(kind, request, tmp_path, stack), database)
        crm.source.execute(TABLE)
        yield crm


def test_the_first_pass_reads_everything(crm: Crm) -> None:
    for key in range(1, 8):
        crm.put(key, f"Customer {key}", f"+1415555010{key}")
    run = crm.run(Pass.WINDOW)
    assert (run.pass_, run.is_complete) == (Pass.FULL, True)
    assert run.counts["read"] == run.counts["created"] == 7
    assert crm.customers() == {f"erp:{key}": f"Customer {key}" for key in range(1, 8)}
    assert crm.owners("+14155550103") == {"erp:3"}
    assert crm.state.counts["created"] == 7


def test_a_window_finds_what_changed(crm: Crm) -> None:
    crm.put(1, "Ada Lovelace", "+14155550101")
    crm.put(2, "Grace Hopper", "+14155550102")
    crm.run(Pass.FULL)
    crm.put(1, "Ada King", "+14155550109")
    crm.put(2, "Grace Hopper", "+14155550102", deleted=1)
    crm.put(3, "Katherine Johnson")
    run = crm.run(Pass.WINDOW)
    assert run.pass_ is Pass.WINDOW
    assert (run.counts["created"], run.counts["changed"], run.counts["removed"]) == (1, 1, 1)
    assert crm.customers() == {"erp:1": "Ada King", "erp:3": "Katherine Johnson"}
    assert not crm.owners("+14155550101")
    assert not crm.owners("+14155550102")


def test_a_number_that_is_spelled_otherwise_is_no_entry_of_the_audit_trail(crm: Crm) -> None:
    crm.put(1, "Ada Lovelace", "+14155550101")
    crm.run(Pass.FULL)
    crm.put(1, "Ada Lovelace", "(415) 555-0101")
    assert crm.run(Pass.WINDOW).counts["changed"] == 1
    assert crm.owners("+14155550101") == {"erp:1"}
    actions = {row.action for row in crm.database.read(select(AuditRow.action))}
    assert actions == {AuditAction.LOADED}


def test_a_pass_over_keys_finds_rows_that_went_and_rows_that_no_window_saw(crm: Crm) -> None:
    for key in (1, 2, 3):
        crm.put(key, f"Customer {key}")
    crm.run(Pass.FULL)
    crm.remove(2)
    crm.source.execute("INSERT INTO customers VALUES (9, 'Late', NULL, NULL, 1000)")
    crm.run(Pass.WINDOW)
    assert crm.customers().keys() == {"erp:1", "erp:2", "erp:3"}
    run = crm.run(Pass.KEYS)
    assert crm.customers().keys() == {"erp:1", "erp:3", "erp:9"}
    assert (run.counts["removed"], run.counts["created"]) == (1, 1)


def test_a_deleted_row_that_comes_back_is_the_same_customer(crm: Crm) -> None:
    crm.put(1, "Ada Lovelace", "+14155550101")
    crm.run(Pass.FULL)
    crm.remove(1)
    crm.run(Pass.KEYS)
    assert crm.customers() == {}
    crm.put(1, "Ada Lovelace", "+14155550101")
    crm.run(Pass.WINDOW)
    assert crm.customers() == {"erp:1": "Ada Lovelace"}
    assert crm.owners("+14155550101") == {"erp:1"}


def test_an_unchanged_source_changes_nothing(crm: Crm) -> None:
    for key in range(1, 6):
        crm.put(key, f"Customer {key}")
    crm.run(Pass.FULL)
    before = crm.database.read(select(CustomerRow.id, CustomerRow.version, CustomerRow.updated_at))
    run = crm.run(Pass.FULL)
    assert run.counts == {"read": 5, "unchanged": 5, "quarantined": 0, "incomplete": 0}
    assert crm.database.read(select(CustomerRow.id, CustomerRow.version, CustomerRow.updated_at)) == before


def test_a_table_without_a_change_column_is_read_whole(crm: Crm) -> None:
    crm.person = 'phones = "phone"'
    crm.put(1, "Ada Lovelace")
    crm.put(2, "Grace Hopper")
    crm.run(Pass.WINDOW)
    crm.put(1, "Ada King")
    crm.remove(2)
    assert crm.run(Pass.WINDOW).pass_ is Pass.FULL
    assert crm.customers() == {"erp:1": "Ada King"}


def test_a_bad_value_costs_the_value_and_a_row_of_nobody_is_put_aside(crm: Crm) -> None:
    crm.put(1, "Ada Lovelace", "ask at the desk")
    crm.put(2, "", None)
    run = crm.run(Pass.FULL)
    assert crm.customers() == {"erp:1": "Ada Lovelace"}
    assert (run.counts["quarantined"], run.counts["incomplete"]) == (1, 1)
    assert {key: is_loaded for key, (_, is_loaded) in crm.quarantined().items()} == {"1": True, "2": False}
    assert "name: missing" in crm.quarantined()["2"][0]
    crm.put(1, "Ada Lovelace", "+14155550101")
    crm.put(2, "Grace Hopper")
    crm.run(Pass.WINDOW)
    assert crm.quarantined() == {}
    assert crm.customers() == {"erp:1": "Ada Lovelace", "erp:2": "Grace Hopper"}


def test_a_customer_whose_row_went_bad_stays_as_they_were(crm: Crm) -> None:
    crm.put(1, "Ada Lovelace", "+14155550101")
    crm.run(Pass.FULL)
    crm.put(1, "")
    crm.run(Pass.FULL)
    assert crm.customers() == {"erp:1": "Ada Lovelace"}
    assert not crm.quarantined()["1"][1]
    crm.remove(1)
    crm.run(Pass.FULL)
    assert crm.customers() == {}


@pytest.mark.parametrize("pass_", [Pass.KEYS, Pass.FULL])
def test_a_row_that_was_put_aside_and_goes_is_forgotten(crm: Crm, pass_: Pass) -> None:
    crm.settings = "page = 1"
    for key in (1, 2, 3):
        crm.put(key, "")
    crm.run(Pass.FULL)
    assert crm.quarantined().keys() == {"1", "2", "3"}
    crm.remove(1, 3)
    crm.run(pass_)
    assert crm.quarantined().keys() == {"2"}


def test_what_an_interrupted_pass_has_seen_does_not_count_for_the_next_one(crm: Crm) -> None:
    crm.settings = "page = 1"
    for key in (1, 2):
        crm.put(key, "")
    crm.run(Pass.FULL)
    crm.is_over = lambda: True
    assert not crm.run(Pass.FULL).is_complete
    crm.is_over = lambda: False
    crm.remove(1)
    assert crm.run(Pass.KEYS).is_complete
    assert crm.quarantined().keys() == {"2"}


def test_what_a_long_pass_has_not_seen_is_found_at_once(database: Database) -> None:
    """Before PostgreSQL has counted the rows of its tables."""
    record = {"source": "erp", "object": CUSTOMER, "version": 1, "hash": b"", "state": "live", "seq": 1, "fields": {}}
    with database.transaction() as session:
        lease = streams.join(session, "erp", CUSTOMER, kind="sql")
        seen = {"source": "erp", "stream": CUSTOMER, "run": lease.run}
        ids = [str(number) for number in range(15_000)]
        session.execute(
            insert(SourceRecordRow), [{**record, "remote_id": one, "home_id": f"erp:{one}"} for one in (*ids, "gone")]
        )
        session.execute(insert(SeenRow), [{**seen, "remote_id": one} for one in ids])
    began = time.monotonic()
    assert list(StreamWriter(database, lease, Clock(), by="source erp").unseen()) == [["gone"]]
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("key", ["K\0-1", "K" * 200, "K\x01-1"], ids=["null", "long", "control"])
def test_a_key_that_cannot_be_an_id_is_put_aside(
    database: Database, request: pytest.FixtureRequest, tmp_path: Path, key: str
) -> None:
    with ExitStack() as stack:
        crm = Crm(make_source_database("sqlite", request, tmp_path, stack), database)
        crm.source.execute(TABLE.replace("id INTEGER", "id TEXT"))
        for id_ in (key, "K-2"):
            crm.put(id_, "Ada Lovelace")
        for pass_ in (Pass.FULL, Pass.WINDOW, Pass.KEYS, Pass.FULL):
            crm.run(pass_)
            assert crm.customers() == {"erp:K-2": "Ada Lovelace"}
            assert len(crm.quarantined()) == 1
        crm.remove(key)
        crm.run(Pass.KEYS)
        assert crm.quarantined() == {}


def test_values_that_cannot_be_stored_stop_nothing(
    database: Database, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        crm = Crm(make_source_database("sqlite", request, tmp_path, stack), database)
        crm.source.execute(TABLE)
        crm.put(1, "Ada\0Lovelace", "\0")
        crm.put(2, "Grace Hopper", "+14155550102\0")
        crm.run(Pass.FULL)
        assert crm.customers() == {"erp:2": "Grace Hopper"}
        assert crm.quarantined().keys() == {"1", "2"}


def test_a_run_goes_on_where_it_was_interrupted(crm: Crm) -> None:
    for key in range(1, 9):
        crm.put(key, f"Customer {key}")
    crm.is_over = lambda: True
    run = crm.run(Pass.FULL)
    assert not run.is_complete
    assert len(crm.customers()) == 3
    assert crm.state.interrupted is Pass.FULL
    crm.is_over = lambda: False
    connector = Recording(crm.source.open(declared(crm.settings, crm.person)))
    run_again = crm.sync(connector=connector).run(Pass.FULL)
    assert run_again is not None
    assert run_again.counts["read"] == 8
    assert connector.read_rows == 5
    assert len(crm.customers()) == 8
    assert crm.state.interrupted is None


def test_another_mapping_is_followed_by_a_full_pass(crm: Crm) -> None:
    crm.put(1, "Ada Lovelace", "+14155550101")
    crm.run(Pass.FULL)
    crm.person = PERSON.replace('\nphones = "phone"', "")
    assert crm.run(Pass.WINDOW).pass_ is Pass.FULL
    assert not crm.owners("+14155550101")
    assert crm.run(Pass.WINDOW).pass_ is Pass.WINDOW


def test_a_replay_reads_what_changed_before_unless_somebody_reads(crm: Crm) -> None:
    crm.put(1, "Ada Lovelace")
    crm.run(Pass.FULL)
    crm.source.execute("UPDATE customers SET name = 'Ada King', updated_at = updated_at - 3600000")
    crm.run(Pass.WINDOW)
    assert crm.customers() == {"erp:1": "Ada Lovelace"}
    watermark = (crm.state.watermark or 0) - 2 * 3_600_000_000
    lease = StreamStates(crm.database).take("erp", "sql", owner="b", now=crm.clock.at, lasts=timedelta(minutes=1))
    with pytest.raises(errors.StreamTaken):
        crm.sync().rewind(watermark)
    StreamWriter(crm.database, lease, crm.clock, by="source erp").release()
    crm.sync().rewind(watermark)
    assert crm.sync().run_due() is not None
    assert crm.customers() == {"erp:1": "Ada King"}


def test_one_runner_reads_a_source(crm: Crm) -> None:
    crm.put(1, "Ada Lovelace")
    crm.run(Pass.FULL)
    states = StreamStates(crm.database)
    lease = states.take("erp", "sql", owner="another worker", now=crm.clock.at, lasts=timedelta(minutes=1))
    assert crm.sync().run(Pass.WINDOW) is None
    assert crm.state.owner == "another worker"
    crm.clock.at += timedelta(minutes=2)
    assert crm.sync().run(Pass.WINDOW) is not None
    writer = StreamWriter(crm.database, lease, crm.clock, by="source erp")
    with pytest.raises(errors.LeaseLost):
        writer.end_pass()


def test_a_runner_that_lost_its_lease_rolls_back(crm: Crm) -> None:
    for key in range(1, 9):
        crm.put(key, f"Customer {key}")

    def interrupt() -> bool:
        """Have another runner take over after the first page."""
        crm.clock.at += timedelta(minutes=2)
        StreamStates(crm.database).take("erp", "sql", owner="b", now=crm.clock.at, lasts=timedelta(minutes=1))
        return False

    crm.is_over = interrupt
    with pytest.raises(errors.LeaseLost):
        crm.run(Pass.FULL)
    assert len(crm.customers()) == 3


def test_a_runner_that_lost_its_lease_before_it_began_disturbs_nobody(crm: Crm) -> None:
    crm.settings = "page = 30"
    for key in range(1, 41):
        crm.put(key, f"Customer {key}")
    others = Recording(crm.source.open(declared(crm.settings, crm.person)))

    class Slow(Recording):
        def start(self, pass_: Pass, watermark: int | None = None) -> Position:
            """Let another runner read the first page meanwhile."""
            crm.clock.at += timedelta(minutes=2)
            crm.is_over = lambda: True
            assert crm.sync("another worker", others).run(Pass.FULL) is not None
            return super().start(pass_, watermark)

    with pytest.raises(errors.LeaseLost):
        crm.sync(connector=Slow(crm.source.open(declared(crm.settings, crm.person)))).run(Pass.FULL)
    crm.is_over = lambda: False
    run = crm.sync("another worker", others).run(Pass.FULL)
    assert run is not None
    assert (run.is_complete, run.counts["read"], run.question, others.read_again) == (True, 40, None, 0)


def test_a_runner_that_lost_its_lease_leaves_the_state_to_the_one_that_has_it(crm: Crm) -> None:
    crm.put(1, "Ada Lovelace")

    class Slow(Away):
        def start(self, pass_: Pass, watermark: int | None = None) -> Position:
            crm.clock.at += timedelta(minutes=2)
            assert crm.sync("another worker").run(Pass.FULL) is not None
            raise errors.SourceUnavailable("no connection")

    with pytest.raises(errors.SourceUnavailable):
        crm.sync(connector=Slow()).run(Pass.FULL)
    assert (crm.state.problem, crm.state.failures) == (None, 0)


@pytest.mark.parametrize("pass_", [Pass.WINDOW, Pass.FULL])
def test_a_push_that_was_late_does_not_outlast_a_page_that_was_newer(crm: Crm, pass_: Pass) -> None:
    crm.put(1, "Ada Lovelace")
    crm.run(Pass.FULL)
    late = crm.pushed(1, "Ada Byron")
    crm.put(1, "Ada King")
    run = crm.sync(connector=Interrupted(crm, lambda: crm.push(late))).run(pass_)
    assert run is not None
    assert (run.counts["changed"], run.counts["older"]) == (1, 0)
    assert crm.customers() == {"erp:1": "Ada King"}


def test_a_push_that_was_late_does_not_bring_back_a_row_that_is_missing(crm: Crm) -> None:
    crm.put(1, "Ada Lovelace")
    crm.run(Pass.FULL)
    late = crm.pushed(1, "Ada King")
    crm.remove(1)
    run = crm.sync(connector=Interrupted(crm, lambda: crm.push(late), of_reading=True)).run(Pass.FULL)
    assert run is not None
    assert crm.customers() == {}


def test_what_was_pushed_while_a_page_was_read_stays_if_it_is_newer(crm: Crm) -> None:
    crm.put(1, "Ada Lovelace")
    crm.run(Pass.FULL)
    crm.put(1, "Ada Byron")

    def change() -> None:
        crm.put(1, "Ada King")
        crm.push(crm.pushed(1, "Ada King"))

    assert crm.sync(connector=Interrupted(crm, change)).run(Pass.WINDOW) is not None
    assert crm.customers() == {"erp:1": "Ada King"}


def test_a_record_that_is_pushed_whenever_it_is_read_is_left_at_what_was_pushed(crm: Crm) -> None:
    crm.put(1, "Ada Lovelace")
    crm.run(Pass.FULL)
    crm.put(1, "Ada King")
    connector = Interrupted(crm, lambda: crm.push(crm.pushed(1, "Ada Byron")), of_reading=True, is_once=False)
    run = crm.sync(connector=connector).run(Pass.WINDOW)
    assert run is not None
    assert (run.is_complete, run.counts["older"]) == (True, 1)
    assert crm.customers() == {"erp:1": "Ada Byron"}


# --- the brake


def _fill(crm: Crm, number: int) -> None:
    for key in range(1, number + 1):
        crm.put(key, f"Customer {key}")
    crm.run(Pass.FULL)


def test_many_rows_that_went_wait_for_an_answer_and_changes_go_on(crm: Crm) -> None:
    crm.settings = "page = 50"
    _fill(crm, 40)
    crm.remove(*range(1, 31))
    run = crm.run(Pass.KEYS)
    assert run.is_complete
    assert run.question is not None
    assert (run.question.records, run.question.of_records) == (30, 40)
    assert len(crm.customers()) == 40
    crm.put(40, "Changed")
    crm.run(Pass.WINDOW)
    assert crm.customers()["erp:40"] == "Changed"
    assert crm.state.question == run.question
    assert not StreamStates(crm.database).accept("erp", 29)
    assert StreamStates(crm.database).accept("erp", 30)
    assert crm.state.requested is Pass.KEYS
    assert crm.sync().run_due() is not None
    assert len(crm.customers()) == 10
    after = crm.state
    assert (after.question, after.accepted, after.requested) == (None, None, None)


def test_a_yes_holds_for_that_number_alone(crm: Crm) -> None:
    crm.settings = "page = 50"
    _fill(crm, 60)
    crm.remove(*range(1, 31))
    crm.run(Pass.KEYS)
    assert StreamStates(crm.database).accept("erp", 30)
    crm.remove(*range(31, 51))
    run = crm.sync().run_due()
    assert run is not None
    assert run.question is not None
    assert run.question.removed == 50
    assert len(crm.customers()) == 60


def test_no_leaves_them(crm: Crm) -> None:
    crm.settings = "page = 50"
    _fill(crm, 40)
    crm.remove(*range(1, 31))
    crm.run(Pass.KEYS)
    assert StreamStates(crm.database).leave("erp", 30)
    assert crm.state.question is None
    assert crm.sync().run_due() is None
    assert len(crm.customers()) == 40


def test_rows_that_come_back_take_the_question_away(crm: Crm) -> None:
    crm.settings = "page = 50"
    _fill(crm, 40)
    crm.remove(*range(1, 31))
    crm.run(Pass.KEYS)
    for key in range(1, 31):
        crm.put(key, f"Customer {key}")
    crm.run(Pass.KEYS)
    assert crm.state.question is None


def test_many_rows_marked_as_deleted_stop_the_pass(crm: Crm) -> None:
    crm.settings = "page = 100"
    _fill(crm, 40)
    crm.source.execute("UPDATE customers SET deleted = 1, updated_at = updated_at + 1 WHERE id <= 30")
    with pytest.raises(errors.BrakeApplied):
        crm.run(Pass.WINDOW)
    assert crm.state.problem == "brake_applied"
    assert crm.state.question is not None
    assert len(crm.customers()) > 10
    assert crm.sync().run_due() is None
    assert StreamStates(crm.database).accept("erp", crm.state.question.removed)
    run = _accepting(crm)
    assert run.is_complete
    assert len(crm.customers()) == 10
    assert crm.state.problem is None


def _accepting(crm: Crm) -> Run:
    """Run what is due, answering the brake each time with yes: it asks as often as there is more."""
    while True:
        try:
            if run := crm.sync().run_due():
                return run
        except errors.BrakeApplied as exc:
            StreamStates(crm.database).accept("erp", exc.removed)


# --- the quarantine read again


def test_the_quarantine_is_read_again_when_an_operator_wants_it(crm: Crm) -> None:
    """The source was mended without a trace in its change column, so that no window would see it."""
    crm.put(1, "Ada Lovelace", "ask at the desk")
    crm.put(2, "")
    crm.put(3, "Grace Hopper", "+14155550103")
    crm.run(Pass.FULL)
    crm.source.execute("UPDATE customers SET phone = '+14155550101' WHERE id = 1")
    crm.source.execute("UPDATE customers SET name = 'Katherine Johnson' WHERE id = 2")
    assert crm.sync().run_due() is None
    assert StreamStates(crm.database).request_retry("erp")
    run = crm.sync().run_due()
    assert run is not None
    assert (run.counts["created"], run.counts["changed"], run.counts["unchanged"]) == (1, 1, 0)
    assert crm.quarantined() == {}
    assert crm.customers() == {"erp:1": "Ada Lovelace", "erp:2": "Katherine Johnson", "erp:3": "Grace Hopper"}
    assert not crm.state.wants_retry
    assert crm.sync().run_due() is None


def test_a_retry_leaves_the_counts_of_the_last_pass_and_of_an_interrupted_one(crm: Crm) -> None:
    crm.put(1, "")
    for key in range(2, 9):
        crm.put(key, f"Customer {key}")
    crm.run(Pass.FULL)
    counts = crm.state.counts
    StreamStates(crm.database).request_retry("erp")
    crm.sync().run_due()
    assert crm.state.counts == counts
    assert counts["read"] == 8
    crm.is_over = lambda: True
    crm.run(Pass.FULL)
    crm.is_over = lambda: False
    interrupted = crm.state.counts
    StreamStates(crm.database).request_retry("erp")
    crm.sync().run_due()
    crm.sync().read_again(["2"])
    assert crm.state.counts == interrupted
    assert interrupted["read"] == 3
    run = crm.sync().run_due()
    assert run is not None
    assert run.counts["read"] == 8


def test_records_that_went_meanwhile_leave_the_quarantine(crm: Crm) -> None:
    crm.put(1, "Ada Lovelace", "ask at the desk")
    crm.put(2, "")
    crm.run(Pass.FULL)
    crm.remove(1, 2)
    StreamStates(crm.database).request_retry("erp")
    crm.sync().run_due()
    assert (crm.quarantined(), crm.customers()) == ({}, {})


def test_a_wish_for_the_quarantine_does_not_take_back_one_for_everything(crm: Crm) -> None:
    crm.put(1, "Ada Lovelace")
    crm.run(Pass.FULL)
    states = StreamStates(crm.database)
    states.request("erp", Pass.FULL)
    assert states.request_retry("erp")
    assert (crm.state.requested, crm.state.wants_retry) == (Pass.FULL, False)
    assert not states.request_retry("shop")


def test_a_retry_that_fails_is_stored_and_nothing_leaves(crm: Crm) -> None:
    crm.put(1, "", None)
    crm.run(Pass.FULL)
    StreamStates(crm.database).request_retry("erp")
    with pytest.raises(errors.SourceUnavailable):
        crm.sync(connector=Away()).run_due()
    assert (crm.state.problem, crm.state.wants_retry, crm.state.owner) == ("source_unavailable", False, None)
    assert crm.quarantined().keys() == {"1"}


# --- failures


def test_a_source_that_is_away_is_tried_again_later_and_later(crm: Crm) -> None:
    crm.put(1, "Ada Lovelace")
    away = Away()
    waits = []
    for _ in range(4):
        with pytest.raises(errors.SourceUnavailable):
            crm.sync(connector=away).run_due()
        assert crm.sync(connector=away).run_due() is None
        assert crm.state.due_at is not None
        waits.append((crm.state.due_at - crm.clock.at).total_seconds())
        crm.clock.at = crm.state.due_at
    assert waits == [1, 2, 4, 8]
    assert (crm.state.problem, crm.state.failures, crm.state.failed_since) == ("source_unavailable", 4, START)
    assert crm.sync().run_due() is not None
    assert (crm.state.problem, crm.state.failures, crm.state.failed_since) == (None, 0, None)


def test_a_source_that_does_not_fit_stops_until_somebody_mends_it(crm: Crm) -> None:
    crm.put(1, "Ada Lovelace")
    crm.run(Pass.FULL)
    crm.source.execute("ALTER TABLE customers RENAME TO clients")
    crm.clock.at += timedelta(hours=1)
    sync = crm.sync()
    with pytest.raises(errors.SourceMisfit):
        sync.run_due()
    crm.clock.at += timedelta(days=2)
    assert sync.run_due() is None
    assert crm.state.is_stopped
    crm.source.execute("ALTER TABLE clients RENAME TO customers")
    assert StreamStates(crm.database).request("erp", Pass.WINDOW)
    assert sync.run_due() is not None
    assert not crm.state.is_stopped


def test_a_new_process_tries_a_stopped_source_once(crm: Crm) -> None:
    crm.put(1, "Ada Lovelace")
    crm.run(Pass.FULL)
    crm.source.execute("ALTER TABLE customers RENAME TO clients")
    with pytest.raises(errors.SourceMisfit):
        crm.run(Pass.WINDOW)
    crm.source.execute("ALTER TABLE clients RENAME TO customers")
    crm.clock.at += timedelta(days=2)
    assert crm.sync().run_due() is not None


# --- customers of several sources


def test_the_order_of_sources_is_the_stored_one(crm: Crm) -> None:
    crm.person = PERSON + '\nids = { account_number = "phone" }'
    crm.settings = 'page = 3\nsame = ["account_number"]'
    sources = [DeclaredSource("erp", "sql", frozenset({"account_number"}))]
    _load_file(crm, "C-1", "Ada of the file", "77")
    declare(crm.database, sources, ("file", "erp"), {}, crm.clock)
    crm.person = crm.person.replace('phones = "phone"\n', "")
    crm.put(1, "Ada of the ERP", "77")
    crm.run(Pass.FULL)
    assert crm.customers() == {"C-1": "Ada of the file", "erp:1": "Ada of the ERP"}
    assert _living(crm) == {"C-1": "Ada of the file"}
    declare(crm.database, sources, ("erp", "file"), {}, crm.clock)
    assert _living(crm) == {"C-1": "Ada of the ERP"}
    declare(crm.database, [DeclaredSource("erp", "sql")], ("erp", "file"), {}, crm.clock)
    assert _living(crm) == {"C-1": "Ada of the file", "erp:1": "Ada of the ERP"}
    declare(crm.database, sources, ("file",), {"name": ("erp",)}, crm.clock)
    assert _living(crm) == {"C-1": "Ada of the ERP"}


def test_customers_from_before_there_were_sources_take_part(crm: Crm) -> None:
    crm.person = PERSON.replace('\nphones = "phone"', "") + '\nids = { account_number = "phone" }'
    crm.settings = 'page = 3\nsame = ["account_number"]'
    _load_file(crm, "C-1", "Ada of the file", "77")
    # Adoption writes records of files, and no row of their source.
    crm.execute_here("DELETE FROM streams", "DELETE FROM sources")
    sources = [DeclaredSource("erp", "sql", frozenset({"account_number"}))]
    declare(crm.database, sources, ("file", "erp"), {}, crm.clock)
    crm.put(1, "Ada of the ERP", "77")
    crm.run(Pass.FULL)
    assert _living(crm) == {"C-1": "Ada of the file"}


def _living(crm: Crm) -> dict[str, str]:
    rows = crm.database.read(
        select(CustomerRow.id, CustomerRow.name).where(~CustomerRow.is_gone, CustomerRow.merged_into.is_(None))
    )
    return {row.id: row.name for row in rows}


def _load_file(crm: Crm, customer_id: str, name: str, account: str) -> None:
    row = read_customer({"id": customer_id, "name": name, "ids": {"account_number": account}}, "US")
    seed(crm.database, [row], now=crm.clock.at)


class Recording:
    """A connector that counts the rows that are read, in pages and again."""

    def __init__(self, inner: SqlSource) -> None:
        self._inner = inner
        self.read_rows = 0
        self.read_again = 0

    def start(self, pass_: Pass, watermark: int | None = None) -> Position:
        return self._inner.start(pass_, watermark)

    def pages(self, position: Position) -> Iterator[Page]:
        for page in self._inner.pages(position):
            self.read_rows += len(page.records)
            yield page

    def read(self, remote_ids: Iterable[str]) -> tuple[PulledRecord, ...]:
        found = self._inner.read(remote_ids)
        self.read_again += len(found)
        return found


class Interrupted(Recording):
    """A connector during which something happens: after a page was read, or some records, the first time or always."""

    def __init__(self, crm: Crm, happen: Callable[[], None], *, of_reading: bool = False, is_once: bool = True) -> None:
        super().__init__(crm.source.open(declared(crm.settings, crm.person)))
        self._happen = happen
        self._of_reading = of_reading
        self._is_once = is_once

    def pages(self, position: Position) -> Iterator[Page]:
        for page in super().pages(position):
            if not (self._of_reading and self._is_once):
                self._do()
            yield page

    def read(self, remote_ids: Iterable[str]) -> tuple[PulledRecord, ...]:
        found = super().read(remote_ids)
        if self._of_reading:
            self._do()
        return found

    def _do(self) -> None:
        happen = self._happen
        if self._is_once:
            self._happen = _nothing
        happen()


def _nothing() -> None:
    pass


class Away:
    """A connector to a database that does not answer."""

    def start(self, pass_: Pass, watermark: int | None = None) -> Position:
        return {"pass": pass_.value}

    def pages(self, position: Position) -> Iterator[Page]:
        return iter(self._page, None)

    def _page(self) -> Page | None:
        raise errors.SourceUnavailable("no connection")

    def read(self, remote_ids: Iterable[str]) -> tuple[PulledRecord, ...]:
        raise errors.SourceUnavailable("no connection")
