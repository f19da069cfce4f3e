"""The store equals a plain model of it, whatever sources and staff do, in any order.

More examples than in the suite, and longer ones, by hand:

    STORE_MODEL_EXAMPLES=2000 STORE_MODEL_STEPS=60 .venv/bin/pytest tests/customers/test_store_model.py
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from enrich.customers import audit, decisions, editing, records, streams
from enrich.customers.arrivals import Arrival, Origin
from enrich.customers.audit import AuditAction, AuditedChange
from enrich.customers.export import export
from enrich.customers.fixture_rows import CustomerFixture
from enrich.customers.identifiers import Identifier
from enrich.customers.projection import CUSTOMER, FILE, Decision, RecordState
from enrich.customers.projector import recompute
from enrich.customers.record_intake import apply_records
from enrich.customers.records import Actor, Scope
from enrich.customers.seeding import LoadRules, seed
from enrich.customers.source_record import SourceRecord
from enrich.customers.source_tables import DecisionRow, SourceRecordRow
from enrich.customers.tables import CustomerRow
from enrich.customers.undo import ChangedSince, undo_change
from enrich.database.engine import Database
from enrich.database.types import Base
from tests.support.customers import customer_of
from tests.support.databases import copy_template
from tests.support.slow_store import Applied, Decided, Event, SlowStore, Undone, differences, read_store

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
DANA = Actor(None, "dana@example.com")
HUB, DESK = "hub", "desk"
SHARED = frozenset({"email", "account_number"})
PLACEHOLDER = "none"

EXAMPLES = int(os.environ.get("STORE_MODEL_EXAMPLES", "15"))
# To explain a failure takes as long again as to shrink it.
PHASES = [phase for phase in Phase if phase is not Phase.explain]
STEPS = int(os.environ.get("STORE_MODEL_STEPS", "30"))

# Few ids and few values, so that they meet. A file may have the id that a customer of another source got.
FILE_IDS = ("C-1", "C-2", f"{HUB}:1")
HUB_IDS = ("1", "2", "3")
STAFF_IDS = ("C-1", f"{HUB}:1", "S-1")
KEYS = (
    Identifier("email", "ada@example.com"),
    Identifier("account_number", "1"),
    Identifier("phone", "+14155550100"),
    Identifier("customer_id", "c-1"),
)

EMAILS = st.lists(st.sampled_from(["ada@example.com", "eve@example.com"]), max_size=2, unique=True)
NUMBERS = st.lists(st.sampled_from(["+14155550100", "+14155550101"]), max_size=2, unique=True)
IDS = st.fixed_dictionaries({}, optional={"account_number": st.sampled_from(["1", "2", PLACEHOLDER])})
CASES = st.lists(
    st.fixed_dictionaries(
        {"id": st.sampled_from(["K-1", "K-2"]), "subject": st.sampled_from(["Lamp", "Moth"]), "status": st.just("open")}
    ),
    max_size=2,
    unique_by=lambda case: case["id"],
)
FIELDS = {
    "company": st.sampled_from(["", "Engines", "Looms"]),
    "phones": NUMBERS,
    "emails": EMAILS,
    "ids": IDS,
    "notes": st.lists(st.sampled_from(["Mornings", "Moved"]), max_size=2, unique=True),
    "cases": CASES,
}
NAMES = st.sampled_from(["Ada", "Eve"])
# A load of a file is newer than all before it.
SEEDED = Origin(FILE, CUSTOMER, read_after=1, is_partial=True)
VERSIONS = st.sampled_from([None, 1, 2, 3])
TOMBSTONES = (RecordState.ARCHIVED, RecordState.PURGED, RecordState.MERGED, RecordState.ERASED)


def rows(ids: Sequence[str]) -> st.SearchStrategy[CustomerFixture]:
    """Rows of which each has some of the fields, and perhaps another value for a name."""
    raws = st.fixed_dictionaries({"id": st.sampled_from(ids), "name": NAMES}, optional=FIELDS)
    return st.builds(
        lambda raw, is_nameless: replace(customer_of(raw), is_nameless=is_nameless),
        raws,
        st.sampled_from([False, False, False, True]),
    )


def tombstone(remote_id: str, state: RecordState, version: int | None = None, into: str | None = None) -> Arrival:
    return Arrival(SourceRecord.tombstone(remote_id), state, version, into if state is RecordState.MERGED else None)


def live(row: CustomerFixture, version: int | None = None, *, unread: bool = False) -> Arrival:
    """Return the arrival of this row. unread: a number and an address of it could not be read."""
    if unread:
        row = replace(row, identifier_fields=frozenset())
    return Arrival(SourceRecord.of_fixture(row), version=version)


def batches(one: st.SearchStrategy[Arrival]) -> st.SearchStrategy[list[Arrival]]:
    return st.lists(one, min_size=1, max_size=2, unique_by=lambda arrival: arrival.record.remote_id)


FROM_FILE = batches(
    st.one_of(
        st.builds(live, rows(FILE_IDS), unread=st.booleans()),
        st.builds(live, rows(FILE_IDS)),
        st.builds(tombstone, st.sampled_from(FILE_IDS), st.just(RecordState.ARCHIVED)),
    )
)
FROM_HUB = batches(
    st.one_of(
        st.builds(live, rows(HUB_IDS), VERSIONS),
        st.builds(live, rows(HUB_IDS), VERSIONS),
        st.builds(tombstone, st.sampled_from(HUB_IDS), st.sampled_from(TOMBSTONES), VERSIONS, st.sampled_from(HUB_IDS)),
    )
)
# A process that dies before its commit, or after it, so that what it did is done again.
CRASHES = st.sampled_from(["", "", "", "before", "after"])
# Mostly two sources beside files; the third one shows that several are several.
SOURCES = st.sampled_from([HUB, HUB, HUB, DESK])
CHOICE = st.integers(0, 5)


class _Crash(Exception):
    pass


def empty(database: Database) -> None:
    with database.transaction() as session:
        for table in reversed(Base.metadata.sorted_tables):
            session.execute(delete(table))


class StoreMachine(RuleBasedStateMachine):
    """Sources and staff at work on one database."""

    def __init__(self, database: Database, other: Database) -> None:
        """other: an empty database to load exports into."""
        super().__init__()
        self.database = database
        self.other = other
        self.history: list[Event] = []
        self.entries: list[int] = []
        self.readings: list[int] = []
        self.now = NOON
        self.is_seeded = False
        empty(database)

    # --- sources

    @initialize(is_seeded=st.booleans())
    def begin(self, is_seeded: bool) -> None:
        """Choose how files come: as `flask crm seed` loads them, or with shared ids, which it does not declare."""
        self.is_seeded = is_seeded

    @precondition(lambda self: not self.is_seeded)
    @rule(arrivals=FROM_FILE, crash=CRASHES)
    def load(self, arrivals: list[Arrival], crash: str) -> None:
        self.apply(FILE, arrivals, crash)

    @precondition(lambda self: self.is_seeded)
    @rule(
        loaded=st.lists(rows(FILE_IDS), max_size=3, unique_by=lambda row: row.id),
        unread=st.booleans(),
        replaces=st.booleans(),
        crash=CRASHES,
    )
    def seed(self, loaded: list[CustomerFixture], unread: bool, replaces: bool, crash: str) -> None:
        if unread:  # values of the first row
            loaded = [replace(row, identifier_fields=frozenset()) for row in loaded[:1]] + loaded[1:]
        arrivals = [live(row) for row in loaded]
        for _ in ["", "again"] if crash == "after" else [""]:
            self.now += timedelta(seconds=1)
            seed(self.database, loaded, now=self.now, rules=LoadRules(replaces, accepted=len(FILE_IDS)))
            self.history.append(Applied(SEEDED, arrivals, seq=0))
            if replaces:
                known = [one for one in SlowStore(self.history).records.values() if one.source == FILE]
                gone = {one.remote_id for one in known if one.state is RecordState.LIVE} - {row.id for row in loaded}
                self.history.append(Applied(SEEDED, [tombstone(one, RecordState.ARCHIVED) for one in gone], seq=0))

    @rule(source=SOURCES, arrivals=FROM_HUB, crash=CRASHES)
    def push(self, source: str, arrivals: list[Arrival], crash: str) -> None:
        self.apply(source, arrivals, crash)

    @rule()
    def begin_to_read(self) -> None:
        with self.database.reading() as session:
            self.readings.append(streams.seq(session, HUB))

    @precondition(lambda self: self.readings)
    @rule(arrivals=FROM_HUB, crash=CRASHES, number=CHOICE)
    def read(self, arrivals: list[Arrival], crash: str, number: int) -> None:
        self.apply(HUB, arrivals, crash, self.readings[number % len(self.readings)])

    def apply(self, source: str, arrivals: list[Arrival], crash: str, read_after: int | None = None) -> None:
        def act(session: Session) -> Event:
            seq = streams.next_seq(session, source, source)
            is_file = source == FILE
            origin = Origin(source, CUSTOMER, seq if is_file else read_after, is_file, SHARED, frozenset({PLACEHOLDER}))
            apply_records(session, origin, arrivals, self.now, seq=seq)
            return Applied(origin, arrivals, seq)

        self.commit(act, crash)
        if crash == "after":
            self.commit(act)

    def commit(self, act: Callable[[Session], Event | None], crash: str = "") -> None:
        """Act in a transaction, and note what happened."""
        self.now += timedelta(seconds=1)
        if crash == "before":
            with suppress(_Crash), self.database.transaction() as session:
                act(session)
                raise _Crash
        with self.database.transaction() as session:
            event = act(session)
        if event is not None:
            self.history.append(event)

    # --- staff

    def pick(self, number: int, *, any_part: bool = False) -> str:
        stored = read_store(self.database)
        ids = sorted(one for one in stored.created_at if any_part or one not in stored.merged_into)
        return ids[number % len(ids)]

    @precondition(lambda self: self.history)
    @rule(key=st.sampled_from(KEYS), number=CHOICE, crash=CRASHES)
    def link(self, key: Identifier, number: int, crash: str) -> None:
        if not read_store(self.database).customers:
            return
        customer_id = self.pick(number, any_part=True)
        scope = Scope(keys=frozenset({key}))
        self.change(
            AuditAction.LINKED,
            scope,
            lambda session: editing.linked(key, customer_id, records.owners(session, key)),
            crash,
        )

    @precondition(lambda self: self.history)
    @rule(key=st.sampled_from(KEYS), number=CHOICE, crash=CRASHES)
    def unlink(self, key: Identifier, number: int, crash: str) -> None:
        if not read_store(self.database).customers:
            return
        customer_id = self.pick(number, any_part=True)
        scope = Scope(keys=frozenset({key}))
        self.change(AuditAction.UNLINKED, scope, lambda _: [editing.unlinked(key, customer_id)], crash)

    @rule(row=rows(STAFF_IDS), crash=CRASHES)
    def create(self, row: CustomerFixture, crash: str) -> None:
        row = replace(row, is_nameless=False)
        with self.database.reading() as session:
            if decisions.is_known(session, row.id) or records.read(session, [row.id])[row.id] is not None:
                return
        self.change(AuditAction.CREATED, Scope(frozenset({row.id})), lambda _: [editing.created(row)], crash)

    @precondition(lambda self: self.history)
    @rule(row=rows(["?"]), number=CHOICE, crash=CRASHES)
    def edit(self, row: CustomerFixture, number: int, crash: str) -> None:
        """Edit the fields that the row has."""
        if not read_store(self.database).customers:
            return
        customer_id = self.pick(number)

        def decide(session: Session) -> list[Decision]:
            record = records.read(session, [customer_id])[customer_id]
            assert record is not None
            return editing.edited(customer_id, record, self.form(customer_id, record, row))

        self.change(AuditAction.EDITED, Scope(frozenset({customer_id})), decide, crash)

    def form(self, customer_id: str, record: dict[str, Any], row: CustomerFixture) -> CustomerFixture:
        """Return the page's form of this customer, with the fields of the row."""
        now = {Identifier(kind, value): as_written for kind, value, as_written, _ in record["identifiers"]}
        kept = {key: as_written for key, as_written in now.items() if key.kind not in ("email", "phone")}
        keys = {**kept, **row.identifiers} if row.identifier_fields else now
        cases = [
            {name: value for name, value in zip(("id", "subject", "status", "opened_on"), case, strict=True) if value}
            for case in record["cases"]
        ]
        shown = customer_of({"id": customer_id, "name": row.name, "notes": record["notes"], "cases": cases})
        texts = {name: record[name] for name in ("company", "tier", "language", "owner")}
        return CustomerFixture(
            id=customer_id,
            name=row.name,
            texts=texts | dict(row.texts),
            identifiers={key: as_written for key, as_written in keys.items() if key.value != "?"},
            identifier_fields=frozenset({"phones", "emails", "ids"}),
            notes=shown.notes if row.notes is None else row.notes,
            cases=shown.cases if row.cases is None else row.cases,
        )

    @precondition(lambda self: self.history)
    @rule(first=CHOICE, second=CHOICE, crash=CRASHES)
    def merge(self, first: int, second: int, crash: str) -> None:
        if not read_store(self.database).customers:
            return
        kept, gone = self.pick(first), self.pick(second)
        if kept == gone:
            return
        with self.database.reading() as session:
            scope = Scope(frozenset({kept, gone, *records.merged_into(session, gone)}))
        self.change(AuditAction.MERGED, scope, lambda _: [editing.merged(kept, gone)], crash)

    @precondition(lambda self: self.history)
    @rule(first=CHOICE, second=CHOICE, crash=CRASHES)
    def split(self, first: int, second: int, crash: str) -> None:
        stored = read_store(self.database)
        several = sorted(sorted(one.homes) for one in stored.customers if len(one.homes) > 1)
        if not several:
            return
        members = several[first % len(several)]
        home = members[second % len(members)]
        self.change(AuditAction.SPLIT, Scope(frozenset(members)), lambda _: editing.split(home, members), crash)

    @precondition(lambda self: self.history)
    @rule(number=CHOICE, crash=CRASHES)
    def delete(self, number: int, crash: str) -> None:
        stored = read_store(self.database)
        if not stored.customers:
            return
        customer_id = self.pick(number)
        (members,) = (one.homes for one in stored.customers if one.root == customer_id)
        self.change(AuditAction.DELETED, Scope(members), lambda _: [editing.deleted(customer_id)], crash)

    def change(
        self, action: AuditAction, scope: Scope, decide: Callable[[Session], list[Decision]], crash: str
    ) -> None:
        made: list[Decision] = []

        def act(session: Session) -> Event | None:
            new = decide(session)
            self.check_bases(new)
            ids: list[int] = []

            def carry_out() -> tuple[int, ...]:
                ids[:] = decisions.decide(session, new, DANA, self.now)
                return tuple(ids)

            changed = audit.change(session, scope, action, DANA, self.now, carry_out)
            made[:] = [replace(one, id=id_) for one, id_ in zip(new, ids, strict=True)]
            return Decided(changed.audit_id, list(made)) if changed is not None else None

        before = len(self.history)
        self.commit(act, "before" if crash == "before" else "")
        if len(self.history) > before:
            event = self.history[-1]
            assert isinstance(event, Decided)
            self.entries.append(event.entry)

    def check_bases(self, new: Sequence[Decision]) -> None:
        """An edit's base is what the sources say, whatever staff made of it before."""
        model = SlowStore(self.history)
        for one in new:
            if one.field is not None:
                (homes,) = (homes for homes in model.sets() if one.subject in homes)
                assert one.base == model.said(homes, one.field)

    @precondition(lambda self: self.entries)
    @rule(number=st.integers(0, 30), crash=CRASHES)
    def undo(self, number: int, crash: str) -> None:
        entry = self.entries[-1 - number % len(self.entries)]

        def act(session: Session) -> Event | None:
            undone = undo_change(session, entry, DANA, self.now)
            if isinstance(undone, ChangedSince):
                return None
            assert isinstance(undone, AuditedChange)
            return Undone(undone.audit_id, entry)

        model = SlowStore(self.history)
        before = len(self.history)
        self.commit(act, "before" if crash == "before" else "")
        if len(self.history) > before:
            event = self.history[-1]
            assert isinstance(event, Undone)
            self.entries.append(event.entry)
        else:
            assert not model.has_its_effect(entry)

    # --- what always holds

    @invariant()
    def the_store_equals_the_model(self) -> None:
        found = differences(SlowStore(self.history), read_store(self.database))
        assert not found, "\n".join(found)

    @invariant()
    def computing_everything_anew_changes_nothing(self) -> None:
        before = self.everything()
        with self.database.transaction() as session:
            changed = recompute(session, self.homes(session), self.now).changed
        assert not changed
        assert self.everything() == before

    def homes(self, session: Session) -> set[str]:
        homes = set(session.scalars(select(CustomerRow.id))) | set(session.scalars(select(SourceRecordRow.home_id)))
        return homes | set(session.scalars(select(DecisionRow.subject)))

    def everything(self) -> dict[str, list[Any]]:
        return {
            table.name: sorted(map(str, self.database.read(select(table))))
            for table in Base.metadata.sorted_tables
            if table.name in ("customers", "identifiers", "notes", "cases", "customer_words", "unlinked", "decisions")
        }

    def teardown(self) -> None:
        """Load what is exported into an empty store."""
        exported = list(export(self.database))
        empty(self.other)
        report = seed(self.other, [customer_of(one) for one in exported], now=self.now)
        assert report.bad == ()
        again = list(export(self.other))
        assert again == exported, f"{again}, not {exported}"


@pytest.fixture
def other(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    database = Database(copy_template(sqlite_template, tmp_path / "other.db"))
    yield database
    database.close()


def test_the_store_equals_the_model(database: Database, other: Database) -> None:
    class Machine(StoreMachine):
        def __init__(self) -> None:
            super().__init__(database, other)

    few = settings(
        max_examples=EXAMPLES, stateful_step_count=STEPS, suppress_health_check=list(HealthCheck), phases=PHASES
    )
    run_state_machine_as_test(Machine, settings=few)
