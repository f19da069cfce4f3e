"""The demo: the customers of its CRM are found when they call, and what changes there is known soon."""

from __future__ import annotations

import os
import random
import shlex
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import select

from enrich.cli.syncs import declare_sources, sync_of
from enrich.database.engine import Database
from enrich.demo.arrivals import OUR_NUMBER, call
from enrich.demo.changes import ALICE, PLAN, Change
from enrich.demo.crm import SOURCE, SOURCES_FILE, URL_VARIABLE, Crm, forget_passes, is_read
from enrich.demo.processes import free_port
from enrich.demo.workplace import MAX_TALK_S, Workplace
from enrich.domain.streams import Pass
from enrich.journal.tables import EntryRow
from enrich.services import connector_of, declared_databases
from taskrouter_emulator import EMULATOR_ONLY, EmulatorServer
from tests.support.contact_centre import ContactCentre, Service
from tests.support.worker import services_of

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}


def run(*arguments: str, cwd: Path, timeout_s: float) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "enrich", *arguments]
    environment = {**ENVIRONMENT, "PYTHONPATH": str(ROOT), "FLASK_SKIP_DOTENV": "1"}
    return subprocess.run(
        command, cwd=cwd, env=environment, check=False, capture_output=True, text=True, timeout=timeout_s
    )


def test_the_plan_comes_true(
    start_service: Callable[..., Service], open_centre: Callable[..., ContactCentre], tmp_path: Path
) -> None:
    """Each change is in the store after the next pass, and each call finds whom the plan says, in the callback."""
    crm = Crm(tmp_path / "crm.db")
    crm.create()
    service = start_service(ENRICH_SOURCES=str(SOURCES_FILE), **{URL_VARIABLE: crm.url})
    centre, found = open_centre(service), []
    with services_of(service) as services:
        declare_sources(services)
        declaration = declared_databases(services)[SOURCE]
        with closing(connector_of(declaration, service.environment)) as connector:
            sync = sync_of(services, declaration, connector)
            sync.run(Pass.FULL)
            for event in PLAN:
                if isinstance(event, Change):
                    crm.change(event.sql)
                    sync.run(Pass.KEYS if "DELETE" in event.sql else Pass.WINDOW)
                    continue
                channel, attributes = call(event.caller, random.Random(event.text))
                task = centre.task_arrives(attributes, channel)
                centre.answer(task)
                found.append((event.text, centre.block(task).get("name")))
    assert found == [(event.text, event.finds) for event in PLAN if not isinstance(event, Change)]


def test_another_demo_on_the_same_day_reads_the_crm_as_it_is_then(
    start_service: Callable[..., Service], tmp_path: Path
) -> None:
    """Not even the brake remembers what left the CRM of a demo before."""
    crm = Crm(tmp_path / "crm.db")
    service = start_service(ENRICH_SOURCES=str(SOURCES_FILE), **{URL_VARIABLE: crm.url})
    with services_of(service) as services:
        declare_sources(services)
        declaration = declared_databases(services)[SOURCE]
        for _ in range(10):
            crm.create()
            forget_passes(service.database)
            assert not is_read(service.database, datetime.now(UTC))
            with closing(connector_of(declaration, service.environment)) as connector:
                sync = sync_of(services, declaration, connector)
                first = sync.run(Pass.WINDOW)
                assert first is not None
                assert first.pass_ is Pass.FULL
                assert first.question is None
                assert is_read(service.database, datetime.now(UTC))
                for event in PLAN:
                    if isinstance(event, Change):
                        crm.change(event.sql)
                for pass_ in (Pass.WINDOW, Pass.KEYS):
                    done = sync.run(pass_)
                    assert done is not None
                    assert done.question is None


def test_agents_take_up_calls_of_both_directions(service: Service, emulator: EmulatorServer) -> None:
    """A call that no agent can connect would keep its place, and every later task waiting."""
    now = datetime.now(UTC)
    workplace = Workplace(emulator.base_url, *EMULATOR_ONLY, now=lambda: now)
    workplace.set_up(service.url)
    inbound = call("+14155550100", random.Random(0))
    outbound = "voice", {"direction": "outbound", "from": OUR_NUMBER, "outbound_to": "+14155550100"}
    start = len(emulator.log.entries())
    for channel, attributes in (outbound, inbound):
        workplace.receive(channel, attributes)
    tasks = {str(entry["task_sid"]) for entry in emulator.log.entries()[start:] if entry["kind"] == "task_created"}
    assert len(tasks) == 2
    for task in tasks:
        emulator.log.wait_for("assignment_callback_answered", 10, task_sid=task)
    workplace.deal_with_tasks()
    now += timedelta(seconds=MAX_TALK_S)
    workplace.deal_with_tasks()
    for task in tasks:
        emulator.log.wait_for("reservation_accepted", 10, task_sid=task)
    workplace.deal_with_tasks()
    assert {task for task in tasks if emulator.log.entries(task_sid=task, kind="task_completed")} == tasks


def test_a_customer_of_both_sources_calls_in_the_running_demo(tmp_path: Path) -> None:
    """Alice Kern calls eight seconds after the first arrival; only the CRM has her number."""
    ports = ("--port", str(free_port(0)), "--emulator-port", str(free_port(0)))
    demo = run("demo", *ports, "--seconds", "12", "--folder", "demo", cwd=tmp_path, timeout_s=120)
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "Alice Kern calls" in demo.stdout
    database = Database(f"sqlite:///{tmp_path / 'demo' / 'enrich.db'}")
    of_alice = select(EntryRow.customer_id, EntryRow.by).where(
        EntryRow.kind == "assignment", EntryRow.first_key == ALICE
    )
    calls = [tuple(row) for row in database.read(of_alice)]
    database.close()
    assert set(calls) == {("C-1009", "phone")}

    printed = next(line for line in demo.stdout.splitlines() if line.endswith(" sources status"))
    status = run(*shlex.split(printed)[1:], cwd=tmp_path, timeout_s=60)
    assert status.returncode == 0, status.stdout + status.stderr
    assert "crm (sql): as it was" in status.stdout
    assert "records: 30 live" in status.stdout
