"""Catch-up: events missed while the database was away are read afterwards from TaskRouter."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from enrich.flows.catch_up import OVERLAP, SETTLED_AFTER, CatchUp, CaughtUp
from enrich.journal.receipts import Journal
from taskrouter_emulator import EmulatorServer
from tests.support.app import run_command
from tests.support.contact_centre import ContactCentre, Service
from tests.support.worker import app_of, services_of, worker_of


def test_a_task_that_came_while_the_database_was_locked_is_enriched_in_the_end(
    open_centre: Callable[..., ContactCentre], start_service: Callable[..., Service]
) -> None:
    service = start_service(ENRICH_KEEP_DAYS="32")  # a database of its own
    centre = open_centre(service, events="task.created,reservation.created")
    other = sqlite3.connect(str(service.database.url.database), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    began = centre.emulator.clock.now() - timedelta(seconds=1)
    task_sid = centre.task_arrives({"from": "+14155550100"})
    assert centre.answer(task_sid) == {"instruction": "accept"}
    for event_type in ("task.created", "reservation.created"):
        told = centre.emulator.log.wait_for("event_answered", 10, task_sid=task_sid, event_type=event_type)
        assert told["status"] == 503
    other.execute("ROLLBACK")
    other.close()
    assert service.entries(task_sid=task_sid) == []

    a_moment_ago = centre.emulator.clock.now()
    with services_of(service) as services:
        catch_up = CatchUp(services.adapters, services.lifecycle, lambda: [centre.workspace_sid])
        assert catch_up.run(began, a_moment_ago).count == 0  # may still be on its way
        later = centre.emulator.clock.now() + SETTLED_AFTER
        assert catch_up.run(began, later).count > 0
        assert catch_up.run(began, later) == CaughtUp(0, later - SETTLED_AFTER - OVERLAP)

    kinds = sorted((entry.kind, entry.event_type) for entry in service.entries(task_sid=task_sid))
    assert ("assignment", "") in kinds
    assert ("event", "task.created") in kinds
    assert ("event", "reservation.created") in kinds
    with worker_of(service, later=timedelta(seconds=60)) as work:
        work()
    assert centre.block(task_sid)["customer_id"] == "C-1001"
    (assignment,) = service.entries(task_sid=task_sid, kind="assignment")
    assert (assignment.outcome, assignment.reason) == ("not_tried", "caught_up")


def test_what_is_there_already_is_left_as_it_is(open_centre: Callable[..., ContactCentre], service: Service) -> None:
    centre = open_centre(service, events="task.created")
    task_sid = centre.task_arrives({"from": "+14155550100"})
    centre.answer(task_sid)
    centre.emulator.log.wait_for("event_answered", 10, task_sid=task_sid, event_type="task.created")
    later = centre.emulator.clock.now() + SETTLED_AFTER
    with services_of(service) as services:
        workspaces = ["WS" + "0" * 32, centre.workspace_sid]
        catch_up = CatchUp(services.adapters, services.lifecycle, lambda: workspaces)
        catch_up.run(later - timedelta(hours=1), later)
    (assignment,) = service.entries(task_sid=task_sid, kind="assignment")
    assert (assignment.outcome, assignment.repeats) == ("enriched", 0)
    (created,) = service.entries(task_sid=task_sid, event_type="task.created")
    assert created.repeats == 0


def test_the_recent_workspaces_are_those_of_the_journal(centre: ContactCentre, service: Service) -> None:
    task_sid = centre.task_arrives({"from": "+14155550100"})
    centre.answer(task_sid)
    assert centre.workspace_sid in Journal(service.database).recent_workspaces()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"kind": "status", "status": 401}, "not_authorized"),
        ({"kind": "status", "status": 503}, "taskrouter_failed"),
        ({"kind": "broken_json"}, "not_understood"),
        ({"kind": "reset"}, "taskrouter_unreachable"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_why_nothing_was_brought_in_is_told(
    centre: ContactCentre, service: Service, emulator: EmulatorServer, fault: dict[str, Any], reason: str
) -> None:
    emulator.faults.set({**fault, "path": "/Events"})
    with app_of(service, TWILIO_WORKSPACE_SID=centre.workspace_sid) as app:
        code, output = run_command(app, "taskrouter", "catch-up")
    assert (code, reason in output, "Traceback" in output) == (1, True, False), output
