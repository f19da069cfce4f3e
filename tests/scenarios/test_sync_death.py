"""Runners of a source that are killed, or lose their lease: the next one goes on, nothing twice and nothing missing."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from enrich.customers.audit import AuditAction
from enrich.customers.source_tables import SeenRow, SourceRecordRow
from enrich.customers.stream_states import StreamStates
from enrich.customers.tables import AuditRow, CustomerRow
from enrich.database.engine import Database
from enrich.demo.processes import Processes
from enrich.domain.streams import Pass, StreamState
from tests.support.contact_centre import Service
from tests.support.sources import SourceDatabase, make_source_database, sources_file
from tests.support.waiting import wait_until

pytestmark = pytest.mark.database

ROWS, CHANGED_ROWS = 3000, 1500
PATIENCE_S = 60.0
SOURCES = sources_file("page = 100\nevery = '5s'", 'changed = { field = "updated_at", unit = "ms" }\nphones = "phone"')
TABLE = "CREATE TABLE customers (id INTEGER PRIMARY KEY, name VARCHAR(80), phone VARCHAR(80), updated_at BIGINT)"
FILL = """
INSERT INTO customers
WITH RECURSIVE numbers AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM numbers WHERE n < :rows)
SELECT n, 'Customer ' || n, '+1415555' || (1000 + n), :now FROM numbers
"""


class Crm:
    """Somebody's customers, and the processes that read them."""

    def __init__(self, source: SourceDatabase, service: Service, processes: Processes, folder: Path) -> None:
        self.database: Database = service.database
        self._source = source
        self._processes = processes
        (folder / "sources.toml").write_text(SOURCES)
        settings = {"ENRICH_SOURCES": str(folder / "sources.toml"), "ERP_URL": source.url}
        self._environment = {**service.environment, **settings}
        source.execute(TABLE)
        source.execute(FILL, rows=ROWS, now=now_ms())

    def rename(self, rows: int) -> None:
        self._source.execute(
            "UPDATE customers SET name = 'Renamed ' || id, updated_at = :now WHERE id <= :rows", rows=rows, now=now_ms()
        )

    def start(self, name: str, *options: str) -> None:
        self._processes.start(name, "flask", "sources", "sync", "erp", *options, env=self._environment)

    def end(self, name: str) -> int:
        return self._processes.wait_for_end(name, PATIENCE_S)

    def kill_in_the_middle(self, name: str, pass_: Pass, rows: int) -> None:
        wait_until(lambda: self.is_in_the_middle(pass_, rows), PATIENCE_S)
        self._processes.signal(name, signal.SIGKILL)
        self.end(name)
        assert self.state.interrupted is pass_
        assert self.state.counts["read"] < rows

    def is_in_the_middle(self, pass_: Pass, rows: int) -> bool:
        state = StreamStates(self.database).of("erp", datetime.now(UTC))
        return state is not None and state.interrupted is pass_ and state.counts.get("read", 0) >= rows // 8

    @property
    def state(self) -> StreamState:
        state = StreamStates(self.database).of("erp", datetime.now(UTC))
        assert state is not None
        return state

    def applied(self) -> dict[str, int]:
        """Return when each record was applied last, by the source's counter."""
        rows = self.database.read(
            select(SourceRecordRow.remote_id, SourceRecordRow.seq).where(SourceRecordRow.source == "erp")
        )
        return {row.remote_id: row.seq for row in rows}

    def names(self) -> dict[str, tuple[str, int]]:
        """Return the names of customers and how often each was written."""
        rows = self.database.read(select(CustomerRow.id, CustomerRow.name, CustomerRow.version))
        return {row.id: (row.name, row.version) for row in rows if row.id.startswith("erp:")}

    def changes_noted(self) -> list[str]:
        synced = select(AuditRow.customer_id).where(AuditRow.action == AuditAction.SYNCED)
        return sorted(row.customer_id for row in self.database.read(synced))

    def seen(self) -> int:
        return int(self.database.read(select(func.count().label("number")).select_from(SeenRow))[0].number)


def now_ms() -> int:
    return int(datetime.now(UTC).timestamp() * 1000)


@pytest.fixture
def crm(own_service: Service, processes: Processes, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Crm]:
    kind = "sqlite" if own_service.database.is_sqlite else "postgresql"
    with ExitStack() as stack:
        yield Crm(make_source_database(kind, request, tmp_path, stack), own_service, processes, tmp_path)


def expected(renamed: int = 0) -> dict[str, str]:
    return {f"erp:{n}": f"{'Renamed' if n <= renamed else 'Customer'} {n}" for n in range(1, ROWS + 1)}


def test_a_run_that_is_killed_goes_on_where_it_was(crm: Crm) -> None:
    """A full load and then a window, each killed in its middle."""
    crm.start("load")
    crm.kill_in_the_middle("load", Pass.FULL, ROWS)
    applied = crm.applied()
    assert 0 < len(applied) < ROWS
    crm.start("load again")
    assert crm.end("load again") == 0
    assert crm.applied().items() >= applied.items()
    once = crm.names()
    assert {id_: name for id_, (name, _) in once.items()} == expected()
    assert (crm.state.counts["read"], crm.state.interrupted, crm.seen()) == (ROWS, None, 0)
    assert crm.changes_noted() == []

    crm.rename(CHANGED_ROWS)
    crm.start("window")
    crm.kill_in_the_middle("window", Pass.WINDOW, CHANGED_ROWS)
    crm.start("window again")
    assert crm.end("window again") == 0
    assert {id_: name for id_, (name, _) in crm.names().items()} == expected(CHANGED_ROWS)
    assert crm.changes_noted() == sorted(f"erp:{n}" for n in range(1, CHANGED_ROWS + 1))
    assert {version - once[id_][1] for id_, (_, version) in crm.names().items()} == {0, 1}


def test_two_runners_read_a_source_once(crm: Crm) -> None:
    for name in ("one", "two"):
        crm.start(name, "--watch")
    wait_until(lambda: StreamStates(crm.database).of("erp", datetime.now(UTC)) is not None, PATIENCE_S)
    wait_until(lambda: crm.state.full_at is not None and crm.state.ended_at is not None, PATIENCE_S)
    assert {id_: name for id_, (name, _) in crm.names().items()} == expected()
    of_loads = (AuditRow.action == AuditAction.LOADED, AuditRow.by == "source erp")
    loaded = crm.database.read(select(AuditRow.after).where(*of_loads))
    assert sum(row.after["loaded"].get("created", 0) for row in loaded) == ROWS
    assert len({version for _, version in crm.names().values()}) == 1


def test_a_runner_that_lost_its_lease_applies_nothing_more(crm: Crm) -> None:
    crm.start("slow")
    wait_until(lambda: crm.is_in_the_middle(Pass.FULL, ROWS), PATIENCE_S)
    later = datetime.now(UTC) + timedelta(minutes=5)
    lease = StreamStates(crm.database).take("erp", "sql", owner="somebody", now=later, lasts=timedelta(minutes=1))
    applied = crm.applied()
    assert crm.end("slow") == 1
    assert crm.applied() == applied
    assert lease.position is not None
    assert (crm.state.owner, crm.state.interrupted, crm.state.problem) == ("somebody", Pass.FULL, None)
