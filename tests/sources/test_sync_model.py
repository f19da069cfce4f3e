"""After every complete pass the store is what its source promises, whatever happens at the source, here and between.

Rows are written, hidden, removed and written again, some by transactions that commit late; passes end in the middle,
are killed and lose their lease; the source pushes what it had, late and more than once; staff decide about customers.
All of this happens between passes, and at any step within one. More and longer examples than in the suite, by hand:

    SYNC_MODEL_EXAMPLES=500 SYNC_MODEL_STEPS=40 .venv/bin/pytest tests/sources/test_sync_model.py
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from sqlalchemy import Connection, delete, select, text
from sqlalchemy.orm import Session

from enrich import errors
from enrich.customers import audit, decisions, editing, quarantine, records, streams
from enrich.customers.arrivals import Arrival, Origin
from enrich.customers.audit import AuditAction, AuditedChange
from enrich.customers.identifiers import Identifier
from enrich.customers.projection import CUSTOMER, Decision, DecisionKind, RecordState
from enrich.customers.projector import recompute
from enrich.customers.record_reading import read_record
from enrich.customers.records import Actor, Scope
from enrich.customers.source_record import SourceRecord
from enrich.customers.source_tables import SourceRecordRow
from enrich.customers.stream_states import StreamStates
from enrich.customers.stream_writer import StreamWriter
from enrich.customers.streams import Lease
from enrich.customers.tables import AuditRow, CustomerRow
from enrich.customers.undo import undo_change
from enrich.database.engine import DEFAULT_TIMEOUT_S, Database
from enrich.database.types import Base
from enrich.domain.streams import Intervals, Pass
from enrich.flows.sync import Run, Sync, SyncAdapters, SyncedSource
from enrich.sources.file import SqlDeclaration
from enrich.sources.pages import Page, Position, PulledRecord
from enrich.sources.sql import SqlSource
from tests.support.slow_store import Applied, Decided, Event, SlowStore, Undone, differences, read_store
from tests.support.sources import SourceDatabase, declared, make_source_database

pytestmark = pytest.mark.database

# A server takes ten times as long as a file; what it alone shows are transactions that commit late.
EXAMPLES = {True: 15, False: 4}
STEPS = int(os.environ.get("SYNC_MODEL_STEPS", "6"))
PHASES = [phase for phase in Phase if phase is not Phase.explain]

START = datetime(2026, 11, 28, 12, tzinfo=UTC)
DANA = Actor(None, "dana@example.com")
KEYS = range(1, 5)
# These are rewritten, and nothing else.
ALWAYS_SHOWN = (1, 3)
OVERLAP_S, LEASE_S = 10, 60
PERSON = 'changed = { field = "updated_at", unit = "s" }\ndeleted = "deleted"\nphones = "phone"'
TABLE = (
    "CREATE TABLE customers (id INTEGER PRIMARY KEY, name VARCHAR(80), phone VARCHAR(80), deleted INTEGER,"
    " updated_at BIGINT)"
)
UPSERT = text(
    "INSERT INTO customers VALUES (:key, :name, :phone, :hidden, :stamp) ON CONFLICT (id) DO UPDATE SET"
    " name = excluded.name, phone = excluded.phone, deleted = excluded.deleted, updated_at = excluded.updated_at"
)
NUMBERS = ("+14155550101", "+14155550102")
UNREADABLE = "ask at the desk"

OFTEN, SELDOM = (
    ("write", "remove", "push at once", "nameless", "begin late", "end late"),
    ("hide", "unreadable", "restore", "push", "push late"),
)
BY_STAFF = ("rename", "link", "unlink", "merge", "split", "delete", "undo")
ANYTHING = (*OFTEN, *OFTEN, *OFTEN, *SELDOM, *BY_STAFF, "wait")
TO_THE_RUN = ("crash", "crash", "crash", "stop", "stop", "steal")


def actions(kinds: Sequence[str]) -> st.SearchStrategy[Action]:
    return st.builds(Action, st.sampled_from(kinds), st.sampled_from(KEYS), st.integers(0, 30))


@dataclass(frozen=True)
class Action:
    """Something that happens. number: chooses among what there is."""

    kind: str
    key: int
    number: int


Happening = tuple[str, int, Action]
BEFORE_A_RUN = st.lists(actions(ANYTHING), min_size=1, max_size=4)
# Steps of a run: after a page or records were read from the source, after a look into the store, before and after a
# commit, and between two pages. Each event happens at such a step, the first one of a run or a later one.
STEPS_OF_RUNS = (
    "page read",
    "page read",
    "page read",
    "records read",
    "looked up",
    "committing",
    "committed",
    "page done",
)
LATER = st.integers(0, 3)


def during(kinds: Sequence[str], at_least: int) -> st.SearchStrategy[list[Happening]]:
    happening = st.tuples(st.sampled_from(STEPS_OF_RUNS), LATER, actions(kinds))
    return st.lists(happening, min_size=at_least, max_size=5)


# The second is what most faults are made of: rows change, and what they were is pushed while they are read. The third
# is of runners that die.
DURING_A_RUN = st.one_of(
    during(ANYTHING, 1),
    during(("push", "push late", "push late", "push at once", "end late", "remove"), 3),
    during((*TO_THE_RUN, "write", "remove"), 2),
)


class _Crash(Exception):
    pass


@dataclass(frozen=True)
class Row:
    """A row of the source as it was at some time. stamp: its time of change. committed: since when it can be read."""

    number: int
    name: str
    phone: str | None
    is_hidden: bool
    stamp: int
    committed: int

    @property
    def is_bad(self) -> bool:
        return not self.name

    @property
    def is_honest(self) -> bool:
        """Return whether a window has to find it."""
        return self.committed - self.stamp <= OVERLAP_S


@dataclass
class Source:
    """Somebody's table, and all that it ever had. history: (key, row; None when it was removed, the time)."""

    database: SourceDatabase
    clock: int = 1000
    number: int = 0
    rows: dict[int, Row] = field(default_factory=dict)
    history: list[tuple[int, Row | None, int]] = field(default_factory=list)
    late: dict[int, tuple[Row, Connection | None]] = field(default_factory=dict)
    restored: set[int] = field(default_factory=set)

    def act(self, action: Action) -> None:
        key = action.key
        if action.kind == "end late":
            for late in sorted(self.late):
                self.end_late(late)
        elif key not in self.late:
            self.clock += 1
            is_free = key not in ALWAYS_SHOWN or action.kind in ("write", "begin late")
            self.change(action.kind if is_free else "write", key, action.number)

    def change(self, kind: str, key: int, number: int) -> None:
        known = self.rows.get(key)
        if kind == "remove":
            self.remove(key)
        elif kind == "hide":
            if known is not None:
                self.put(key, replace(known, is_hidden=True, stamp=self.clock, committed=self.clock))
        elif kind == "restore":  # of a back-up, with its stamps
            self.restored.add(key)
            self.put(key, replace(self.new(number), stamp=self.clock - 1000))
        elif kind == "begin late":
            self.begin_late(key, self.new(number))
        else:
            if kind == "write" and number % 2:  # twice, so that there is a push of what was for a moment
                self.put(key, self.new(number))
                self.clock += 1
            row = self.new(number)
            bad = {"nameless": replace(row, name="", phone=None), "unreadable": replace(row, phone=UNREADABLE)}
            self.put(key, bad.get(kind, row))

    def new(self, number: int) -> Row:
        self.number += 1
        phone = (*NUMBERS, None)[number % 3]
        return Row(self.number, f"Name {self.number}", phone, False, self.clock, self.clock)

    def only_goes_on(self, key: int) -> bool:
        """Return whether each version of this row was newer than the one before, and was a customer."""
        return key not in self.restored and all(is_shown(row) for changed, row, _ in self.history if changed == key)

    def put(self, key: int, row: Row) -> None:
        with self.database.engine.begin() as connection:
            self.execute(connection, key, row)
        self.committed(key, row)

    def remove(self, key: int) -> None:
        self.database.execute("DELETE FROM customers WHERE id = :key", key=key)
        self.committed(key, None)

    def begin_late(self, key: int, row: Row) -> None:
        """Begin a transaction that stamps its row now; where there is one writer at a time, it writes at its end."""
        connection = None
        if self.database.kind != "sqlite":
            connection = self.database.engine.connect()
            self.execute(connection, key, row)
        self.late[key] = row, connection

    def end_late(self, key: int) -> None:
        if key not in self.late:
            return
        row, connection = self.late.pop(key)
        if connection is None:
            self.put(key, replace(row, committed=self.clock))
            return
        with connection:
            connection.commit()
        self.committed(key, replace(row, committed=self.clock))

    def execute(self, connection: Connection, key: int, row: Row) -> None:
        values = {"name": row.name, "phone": row.phone, "hidden": int(row.is_hidden), "stamp": row.stamp}
        connection.execute(UPSERT, {"key": key, **values})

    def committed(self, key: int, row: Row | None) -> None:
        if row is None:
            self.rows.pop(key, None)
        else:
            self.rows[key] = row
        self.history.append((key, row, self.clock))


class Clocked(SqlSource):
    """A connector that is interrupted. now_s: the source's clock."""

    def __init__(
        self,
        declaration: SqlDeclaration,
        url: str,
        now_s: Callable[[], int],
        begin: Callable[[], None],
        happen: Callable[[str], None],
    ) -> None:
        super().__init__(declaration, url)
        self._now_s = now_s
        self._begin = begin
        self._happen = happen

    def start(self, pass_: Pass, watermark: int | None = None) -> Position:
        """Begin at the source's own time, which is that of its first page else."""
        self._begin()
        return {**super().start(pass_, watermark), "until": self._now_s() * 1_000_000}

    def pages(self, position: Position) -> Iterator[Page]:
        for page in super().pages(position):
            self._happen("page read")
            yield page

    def read(self, remote_ids: Iterable[str]) -> tuple[PulledRecord, ...]:
        found = super().read(remote_ids)
        self._happen("records read")
        return found


class Interrupted(Database):
    """The store as a runner sees it, who is interrupted before and after each commit."""

    happen: Callable[[str], None]

    @contextmanager
    def transaction(self, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> Iterator[Session]:
        with super().transaction(timeout_s=timeout_s) as session:
            yield session
            self.happen("committing")
        self.happen("committed")

    @contextmanager
    def reading(self) -> Iterator[Session]:
        with super().reading() as session:
            yield session
        self.happen("looked up")


class DyingWriter(StreamWriter):
    """The writer of a runner, who gives no lease back once dead."""

    def __init__(self, machine: SyncMachine, lease: Lease, accepted: int | None) -> None:
        super().__init__(machine.interrupted, lease, machine.now, by="source erp", accepted=accepted)
        self._machine = machine

    def release(self) -> None:
        self._machine.is_releasing = True
        if not self._machine.is_dead:
            super().release()


class SyncMachine(RuleBasedStateMachine):
    """One source, its pushes, staff, and the runners that read it."""

    def __init__(self, database: Database, interrupted: Interrupted, source: SourceDatabase) -> None:
        super().__init__()
        self.database = database
        self.interrupted = interrupted
        interrupted.happen = self.happen
        with database.transaction() as session:
            for table in reversed(Base.metadata.sorted_tables):
                session.execute(delete(table))
        source.execute("DELETE FROM customers")
        self.source = Source(source)
        self.connector = Clocked(
            declared(f"page = 2\noverlap = '{OVERLAP_S}s'", PERSON), source.url, self.now_s, self.mark, self.happen
        )
        self.pending: list[Happening] = []
        self.is_dead = self.is_stopping = self.is_stolen = self.is_releasing = False
        self.decided: list[Event] = []
        self.pushed: list[tuple[int, Row | None]] = []
        self.newest: dict[int, int] = {}
        self.mark()

    def now_s(self) -> int:
        return self.source.clock

    def now(self) -> datetime:
        return START + timedelta(seconds=self.source.clock)

    # --- what happens

    @initialize(is_read=st.booleans())
    def begin(self, is_read: bool) -> None:
        """Begin with rows that were read, or not yet."""
        for key in KEYS:
            self.source.act(Action("write", key, key))
        if is_read:
            self.run(Pass.FULL, "a")

    @rule(
        before=BEFORE_A_RUN,
        pass_=st.sampled_from(Pass),
        owner=st.sampled_from(["a", "a", "b"]),
        during=DURING_A_RUN,
    )
    def act_and_run(self, before: list[Action], pass_: Pass, owner: str, during: list[Happening]) -> None:
        for action in before:
            self.act(action)
        self.run(pass_, owner, during)

    def act(self, action: Action) -> None:
        if action.kind == "push":
            self.push(action.key, action.number % 3)
        elif action.kind == "push late":
            for key in KEYS:
                self.push(key, 1)
        elif action.kind == "push at once":
            for key in (action.key, *ALWAYS_SHOWN):
                self.source.act(Action("write", key, action.number))
                self.push(key, 0)
        elif action.kind == "wait":
            self.source.clock += 1 + 2 * action.number
        elif action.kind in BY_STAFF:
            self.decide(action)
        else:
            self.source.act(action)

    def run(self, pass_: Pass, owner: str, during: Sequence[Happening] = ()) -> None:
        self.pending = list(during)
        self.is_dead = self.is_stopping = self.is_stolen = self.is_releasing = False
        try:
            done = self.sync(owner).run(pass_)
            if done is None:  # a dead one has the lease
                self.source.clock += LEASE_S + 1
                done = self.sync(owner).run(pass_)
            assert done is not None
            self.pending = []
            if done.is_complete and not self.is_stolen:
                self.check(done)
        except _Crash:
            pass
        except errors.LeaseLost:
            assert self.is_stolen
        self.pending = []
        self.check_customers()

    def sync(self, owner: str) -> Sync:
        minute = timedelta(minutes=1)
        source = SyncedSource(
            "erp", "sql", Intervals(minute, minute, minute), "a mapping", "US", lease=timedelta(seconds=LEASE_S)
        )
        adapters = SyncAdapters(
            states=StreamStates(self.interrupted),
            connector=self.connector,
            writer=lambda lease, accepted: DyingWriter(self, lease, accepted),
            now=self.now,
            pause=lambda: None,
            owner=owner,
            is_over=lambda: self.is_stopping,
        )
        return Sync(source, adapters, lambda _run: self.happen("page done"))

    def happen(self, where: str) -> None:
        """Take one step of a run."""
        if self.is_dead or self.is_releasing:
            return
        assert not (self.is_stolen and where == "committed")
        due = [action for step, later, action in self.pending if (step, later) == (where, 0)]
        self.pending = [
            (step, later - (step == where), action)
            for step, later, action in self.pending
            if (step, later) != (where, 0)
        ]
        for action in due:
            if action.kind == "crash":
                self.is_dead = True
                raise _Crash
            if action.kind == "stop":
                self.is_stopping = True
            elif where == "committing":  # nobody else can write now
                self.pending.append(("committed", 0, action))
            elif action.kind == "steal":
                self.steal(tuple(Pass)[action.number % 3])
            else:
                self.act(action)

    def steal(self, pass_: Pass) -> None:
        """Have another runner take over and read a whole pass."""
        pending, self.pending = self.pending, []
        self.source.clock += LEASE_S + 1
        is_stopping, self.is_stopping, self.is_stolen = self.is_stopping, False, False
        done = self.sync("a thief").run(pass_)
        assert done is not None
        assert done.is_complete
        self.check(done)
        self.pending, self.is_stopping, self.is_stolen, self.is_releasing = pending, is_stopping, True, False

    def push(self, key: int, age: int) -> None:
        """Push what the source has of this row, or had so many changes ago."""
        was = [(row, at) for changed, row, at in self.source.history if changed == key]
        row, at = was[-1 - min(age, len(was) - 1)]
        if row is not None and row.is_bad:
            return
        version = (at if row is None else row.stamp) * 1_000_000
        arrival = Arrival(SourceRecord.tombstone(str(key)), RecordState.ARCHIVED, version)
        if row is not None and not row.is_hidden:
            raw = {"name": row.name, "phones": [row.phone] if row.phone else [], "emails": [], "notes": [], "ids": {}}
            record = read_record(str(key), raw, "US", is_lenient=True).record
            assert record is not None
            arrival = Arrival(record, version=version)
        with self.database.transaction() as session:
            lease = streams.join(session, "erp", CUSTOMER, kind="sql")
        StreamWriter(self.database, lease, self.now, by="erp").apply([arrival], read_after=None)
        self.pushed.append((key, row))
        self.check_records()

    # --- staff

    def decide(self, action: Action) -> None:
        stored = read_store(self.database)
        ids = sorted(one for one in stored.created_at if one not in stored.merged_into)
        if not ids:
            return
        customer_id, other = ids[action.key % len(ids)], ids[action.number % len(ids)]
        key = Identifier("phone", NUMBERS[action.number % 2])
        if action.kind == "undo":
            self.undo(action.number)
        elif action.kind == "link":
            self.change(
                AuditAction.LINKED,
                Scope(keys=frozenset({key})),
                lambda session: editing.linked(key, customer_id, records.owners(session, key)),
            )
        elif action.kind == "unlink":
            unlinked = [editing.unlinked(key, customer_id)]
            self.change(AuditAction.UNLINKED, Scope(keys=frozenset({key})), lambda _: unlinked)
        elif action.kind == "rename":
            self.change(
                AuditAction.EDITED,
                Scope(frozenset({customer_id})),
                lambda session: self.renamed(session, customer_id, action),
            )
        elif action.kind == "merge" and customer_id != other:
            with self.database.reading() as session:
                scope = Scope(frozenset({customer_id, other, *records.merged_into(session, other)}))
            self.change(AuditAction.MERGED, scope, lambda _: [editing.merged(customer_id, other)])
        elif action.kind in ("split", "delete"):
            (homes,) = (one.homes for one in stored.customers if one.root == customer_id)
            home = sorted(homes)[action.number % len(homes)]
            if action.kind == "delete":
                self.change(AuditAction.DELETED, Scope(homes), lambda _: [editing.deleted(customer_id)])
            elif len(homes) > 1:
                self.change(AuditAction.SPLIT, Scope(homes), lambda _: editing.split(home, sorted(homes)))

    def renamed(self, session: Session, customer_id: str, action: Action) -> list[Decision]:
        record = records.read(session, [customer_id])[customer_id]
        assert record is not None
        said = (record["settled"] or {}).get("name", record["name"])
        return [Decision(0, DecisionKind.EDIT, customer_id, field="name", value=f"Staff {action.number}", base=said)]

    def change(self, action: AuditAction, scope: Scope, decide: Callable[[Session], list[Decision]]) -> None:
        with self.database.transaction() as session:
            new = decide(session)
            ids: list[int] = []

            def carry_out() -> Sequence[int]:
                ids[:] = decisions.decide(session, new, DANA, self.now())
                return ids

            made = audit.change(session, scope, action, DANA, self.now(), carry_out)
        if made is not None:
            numbered = [replace(one, id=id_) for one, id_ in zip(new, ids, strict=True)]
            self.decided.append(Decided(made.audit_id, numbered))

    def undo(self, number: int) -> None:
        entries = [one.entry for one in self.decided if isinstance(one, Decided | Undone)]
        if not entries:
            return
        entry = entries[-1 - number % len(entries)]
        with self.database.transaction() as session:
            undone = undo_change(session, entry, DANA, self.now())
        if isinstance(undone, AuditedChange):
            self.decided.append(Undone(undone.audit_id, entry))

    # --- what holds

    def mark(self) -> None:
        """Note what there is as a pass begins."""
        self.rows_before = dict(self.source.rows)
        self.since = len(self.source.history), len(self.pushed)

    def check(self, done: Run) -> None:
        """Check what a complete pass promises."""
        stored = {row.remote_id: row for row in self.database.read(select(SourceRecordRow.__table__))}
        with self.database.reading() as session:
            aside = {one.remote_id: one.is_loaded for one in quarantine.listed(session, "erp")}
        for key in KEYS:
            is_, row = stored.get(str(key)), self.source.rows.get(key)
            changed = [row for changed, row, _ in self.source.history[self.since[0] :] if changed == key]
            pushed = [row for about, row in self.pushed[self.since[1] :] if about == key]
            place = f"{done.pass_} pass, row {key}: {is_}, not {row}"
            if done.pass_ is Pass.FULL:
                allowed = [self.rows_before.get(key), *changed, *pushed]
                assert any(shows(is_, one) for one in allowed), place
                if self.source.only_goes_on(key) and (before := self.rows_before.get(key)):
                    assert number_of(is_) >= before.number, place
                if not changed:
                    assert aside.get(str(key)) == put_aside(row), place
            elif not (changed or pushed):
                if done.pass_ is Pass.KEYS:
                    assert self.has_key(is_, row, aside.get(str(key)) is False), place
                elif row is not None and row.is_honest and key not in self.source.restored:
                    assert shows(is_, row), place

    def has_key(self, stored: Any, row: Row | None, is_aside: bool) -> bool:
        if row is None:
            return not is_live(stored) and not is_aside
        return is_live(stored) or is_aside or not is_shown(row)

    def check_customers(self) -> None:
        """Check that customers are what records and decisions make of them."""
        self.check_records()
        found = differences(SlowStore([*self.applied(), *self.decided]), read_store(self.database))
        assert not found, "\n".join(found)

    def check_records(self) -> None:
        """Check that no record of a row that only goes on went back."""
        for row in self.database.read(select(SourceRecordRow.__table__)):
            key = int(row.remote_id)
            if self.source.only_goes_on(key):
                assert number_of(row) >= self.newest.get(key, 0), f"row {key} went back to {row.fields}"
                self.newest[key] = number_of(row)

    def applied(self) -> Iterator[Event]:
        origin = Origin("erp", CUSTOMER, read_after=10**9)
        for row in self.database.read(select(SourceRecordRow.__table__).order_by(SourceRecordRow.seq)):
            if row.fields:
                record = SourceRecord(row.remote_id, dict(row.fields), False, "", row.hash)
                yield Applied(origin, [Arrival(record, version=row.version)], row.seq)
            if row.state != RecordState.LIVE:
                gone = Arrival(SourceRecord.tombstone(row.remote_id), RecordState(row.state), row.version)
                yield Applied(origin, [gone], row.seq)

    def everything(self, *but: str) -> dict[str, list[Any]]:
        tables = [table for table in Base.metadata.sorted_tables if table.name not in ("streams", *but)]
        return {table.name: sorted(map(str, self.database.read(select(table)))) for table in tables}

    def teardown(self) -> None:
        """Read everything once more, undisturbed; a second time changes nothing, and neither does computing anew."""
        try:
            for key in list(self.source.late):
                self.source.end_late(key)
            self.source.clock += LEASE_S + 1
            for _ in range(2):  # the first one may end what was interrupted
                self.run(Pass.FULL, "at the end")
            before = self.everything()
            self.run(Pass.FULL, "at the end")
            assert self.everything() == before
            with self.database.transaction() as session:
                assert not recompute(session, set(session.scalars(select(CustomerRow.id))), self.now()).changed
            assert self.everything() == before
            self.check_trail()
        finally:
            self.connector.close()
            for _, connection in self.source.late.values():
                if connection is not None:
                    connection.close()

    def check_trail(self) -> None:
        """Check that nothing was applied twice: where only passes wrote, each name of a row was noted once at most."""
        synced = select(AuditRow.customer_id, AuditRow.after).where(AuditRow.action == AuditAction.SYNCED)
        notes = [(row.customer_id, row.after["fields"]) for row in self.database.read(synced)]
        assert all(fields for _, fields in notes)
        if not self.pushed and not self.decided:
            names = [(customer_id, fields["name"]) for customer_id, fields in notes if "name" in fields]
            assert len(names) == len(set(names))


def is_live(stored: Any) -> bool:
    return stored is not None and stored.state == RecordState.LIVE


def is_shown(row: Row | None) -> bool:
    """Return whether this row is to be a customer of the store."""
    return row is not None and not row.is_hidden and not row.is_bad


def shows(stored: Any, row: Row | None) -> bool:
    """Return whether a record says what this row says; one without a name leaves the record as it was."""
    if row is None or row.is_hidden:
        return not is_live(stored)
    if row.is_bad:
        return True
    phones = [] if row.phone in (None, UNREADABLE) else [row.phone]
    return is_live(stored) and (stored.fields["name"], [one[1] for one in stored.fields.get("phones", [])]) == (
        row.name,
        phones,
    )


def number_of(stored: Any) -> int:
    return int(stored.fields["name"].removeprefix("Name "))


def put_aside(row: Row | None) -> bool | None:
    """Return as `QuarantinedRecord.is_loaded` what is in quarantine of this row; None for nothing."""
    if row is None or row.is_hidden or (row.phone != UNREADABLE and not row.is_bad):
        return None
    return not row.is_bad


def test_the_store_is_what_its_source_promises(
    database: Database, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    kind = "sqlite" if database.is_sqlite else "postgresql"
    with ExitStack() as stack:
        source = make_source_database(kind, request, tmp_path, stack)
        source.execute(TABLE)
        interrupted = Interrupted(database.url.render_as_string(hide_password=False))
        stack.callback(interrupted.close)

        class Machine(SyncMachine):
            def __init__(self) -> None:
                super().__init__(database, interrupted, source)

        few = settings(
            max_examples=int(os.environ.get("SYNC_MODEL_EXAMPLES", EXAMPLES[database.is_sqlite])),
            stateful_step_count=STEPS,
            suppress_health_check=list(HealthCheck),
            phases=PHASES,
        )
        run_state_machine_as_test(Machine, settings=few)
