"""A backlog after an outage: drained by one worker, in the order of each task, with one write each.

`ENRICH_TEST_BACKLOG=5000` has as many tasks as an outage of some minutes leaves.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, insert, select, update

from enrich.database.engine import Database
from enrich.demo.processes import Processes
from enrich.journal.tables import EntryRow, FollowupRow
from taskrouter_emulator import EmulatorServer
from tests.support.contact_centre import ContactCentre, Service, waiting_tasks
from tests.support.waiting import wait_until

TASKS = int(os.environ.get("ENRICH_TEST_BACKLOG", "120"))
PATIENCE_S = 60 + TASKS / 10


@pytest.fixture
def service(own_service: Service) -> Service:
    """The settings of a service that is not started: only its worker is."""
    return own_service


@pytest.fixture
def backlog(service: Service, open_centre: Callable[..., ContactCentre]) -> tuple[ContactCentre, list[str]]:
    """Waiting tasks, each with two follow-ups that have been due for some minutes."""
    centre = open_centre(service)
    tasks = waiting_tasks(centre, TASKS)
    now = datetime.now(UTC)
    entry = {"kind": "event", "claim": "0" * 16, "received_at": now, "workspace_sid": centre.workspace_sid}
    with service.database.transaction() as session:
        rows = session.execute(
            insert(EntryRow).returning(EntryRow.id, EntryRow.task_sid), [entry | {"task_sid": task} for task in tasks]
        ).all()
        session.execute(
            insert(FollowupRow),
            [
                {
                    "kind": kind,
                    "entry_id": row.id,
                    "task_sid": row.task_sid,
                    "created_at": now,
                    "due_at": now - timedelta(minutes=5) + timedelta(milliseconds=row.id, seconds=later),
                }
                for row in rows
                for kind, later in (("warm", 0), ("enrich", 60))
            ],
        )
    return centre, tasks


def test_it_is_drained_in_order(
    service: Service, processes: Processes, backlog: tuple[ContactCentre, list[str]]
) -> None:
    processes.start("worker", "flask", "worker", env=service.environment)
    assert_drained(service.database, *backlog)
    assert_in_order(service.database, backlog[1])
    processes.signal("worker", signal.SIGTERM)
    assert processes.wait_for_end("worker") == 0


def test_it_is_drained_although_taskrouter_refuses_some(
    service: Service, processes: Processes, backlog: tuple[ContactCentre, list[str]], emulator: EmulatorServer
) -> None:
    """Every third request gets 429. A follow-up that was put off gives way to the next one of its task."""
    emulator.faults.status(429, path="/Tasks/WT", every=3)
    processes.start("worker", "flask", "worker", env=service.environment)
    assert_drained(service.database, *backlog)
    rows = service.database.read(select(func.max(FollowupRow.attempts)))
    assert rows[0][0] == 1, "what was turned away does not count"


def test_it_is_drained_although_a_worker_is_killed(
    service: Service, processes: Processes, backlog: tuple[ContactCentre, list[str]]
) -> None:
    """The follow-ups that the dead worker had in flight are claimed again when their leases end."""
    database = service.database
    processes.start("worker", "flask", "worker", env=service.environment)
    wait_until(lambda: done(database) >= TASKS // 4, PATIENCE_S)
    processes.signal("worker", signal.SIGKILL)
    processes.wait_for_end("worker")
    assert done(database) < 2 * TASKS
    # As if the minute of the leases were over.
    database.write(update(FollowupRow).where(FollowupRow.due_at.is_not(None)).values(leased_until=None))
    processes.start("another worker", "flask", "worker", env=service.environment)
    assert_drained(database, *backlog)
    assert_in_order(database, backlog[1])


def done(database: Database) -> int:
    return int(database.read(select(func.count()).where(FollowupRow.done_at.is_not(None)))[0][0])


def assert_drained(database: Database, centre: ContactCentre, tasks: list[str]) -> None:
    """Everything is done, and each task was written to once."""
    wait_until(lambda: done(database) == 2 * len(tasks), PATIENCE_S)
    written = Counter(str(entry["task_sid"]) for entry in centre.emulator.log.entries("attributes_written"))
    assert {written[task] for task in tasks} == {1}


def assert_in_order(database: Database, tasks: list[str]) -> None:
    """The first follow-up of each task was done before its second."""
    rows = database.read(select(FollowupRow.task_sid, FollowupRow.kind, FollowupRow.done_at))
    done_at = {(row.task_sid, row.kind): row.done_at for row in rows}
    assert all(done_at[task, "warm"] < done_at[task, "enrich"] for task in tasks)
