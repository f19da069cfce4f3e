"""Warm before asked: a task is enriched when it is created, and the callback then asks TaskRouter nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from sqlalchemy import update

from enrich.customers.tables import CustomerRow
from tests.support.contact_centre import ContactCentre, Service
from tests.support.worker import worker_of

EVENTS = "task.created,task.updated"


def task_waits(centre: ContactCentre, attributes: dict[str, Any]) -> str:
    """A task that is offered to nobody yet: all workers are away."""
    away = next(each.sid for each in centre.workspace.activities.list() if not each.available)
    centre.workspace.workers(centre.worker_sid).update(activity_sid=away)
    task_sid = centre.task_arrives(attributes)
    centre.emulator.log.wait_for("event_answered", 10, task_sid=task_sid, event_type="task.created")
    return task_sid


def worker_comes(centre: ContactCentre) -> None:
    there = next(each.sid for each in centre.workspace.activities.list() if each.available)
    centre.workspace.workers(centre.worker_sid).update(activity_sid=there)


def requests_about(centre: ContactCentre, task_sid: str, after: int) -> list[tuple[str, str]]:
    """Return the REST requests about this task since then: method and path."""
    asked = centre.emulator.log.entries("rest_answered", after=after)
    return [(str(each["method"]), str(each["path"])) for each in asked if task_sid in str(each["path"])]


def test_the_callback_of_a_warm_task_makes_no_request(
    open_centre: Callable[..., ContactCentre], service: Service
) -> None:
    centre = open_centre(service, events=EVENTS)
    task_sid = task_waits(centre, {"from": "+14155550100"})
    with worker_of(service) as work:
        work()
    assert centre.block(task_sid)["customer_id"] == "C-1001"

    before = centre.emulator.log.last
    worker_comes(centre)
    assert centre.answer(task_sid, after=before) == {"instruction": "accept"}
    assert requests_about(centre, task_sid, before) == []
    warm, callback = (entry for entry in service.entries(task_sid=task_sid) if entry.kind != "event")
    assert (warm.kind, warm.outcome, warm.match) == ("warm", "enriched", "matched")
    assert (callback.kind, callback.outcome, callback.attributes_after) == ("assignment", "enriched", None)
    assert callback.concluded_at is not None
    assert [step["name"] for step in callback.steps] == ["look_up"]  # receipt and conclusion are one insert


def test_a_warm_callback_that_is_repeated_gets_the_stored_answer(
    open_centre: Callable[..., ContactCentre], service: Service, make_callback: Callable[..., dict[str, str]]
) -> None:
    centre = open_centre(service, events=EVENTS)
    task_sid = task_waits(centre, {"from": "+14155550100"})
    with worker_of(service) as work:
        work()
    form = make_callback(
        WorkspaceSid=centre.workspace_sid, TaskSid=task_sid, TaskAttributes=centre.attributes(task_sid)
    )
    answers = [service.post("/taskrouter/assignment", form).text for _ in range(3)]
    assert answers == ['{"instruction":"accept"}'] * 3
    (callback,) = service.entries(task_sid=task_sid, kind="assignment")
    assert (callback.repeats, callback.outcome, callback.answer) == (2, "enriched", '{"instruction":"accept"}')


def test_a_customer_who_changed_in_between_is_written_anew(
    open_centre: Callable[..., ContactCentre], service: Service
) -> None:
    centre = open_centre(service, events=EVENTS)
    task_sid = task_waits(centre, {"from": "+14155550100"})
    with worker_of(service) as work:
        work()
    ada = CustomerRow.id == "C-1001"
    service.database.write(update(CustomerRow).where(ada).values(tier="platinum"))
    try:
        before = centre.emulator.log.last
        worker_comes(centre)
        centre.answer(task_sid, after=before)
    finally:
        service.database.write(update(CustomerRow).where(ada).values(tier="gold"))
    assert centre.block(task_sid)["tier"] == "platinum"
    assert [method for method, _ in requests_about(centre, task_sid, before)] == ["GET", "POST", "GET"]


def test_when_the_callback_came_first_nothing_is_done_twice(
    open_centre: Callable[..., ContactCentre], service: Service
) -> None:
    centre = open_centre(service, events=EVENTS)
    task_sid = centre.task_arrives({"from": "+14155550100"})
    centre.answer(task_sid)
    centre.emulator.log.wait_for("event_answered", 10, task_sid=task_sid, event_type="task.created")
    before = centre.emulator.log.last
    with worker_of(service) as work:
        work()
    assert requests_about(centre, task_sid, before) == []
    (owed,) = service.owed(task_sid)
    assert (owed.kind, owed.done_at is not None) == ("warm", True)
    assert [entry.kind for entry in service.entries(task_sid=task_sid)].count("warm") == 0


def test_our_own_write_comes_back_and_causes_nothing(
    open_centre: Callable[..., ContactCentre], service: Service
) -> None:
    centre = open_centre(service, events=EVENTS)
    task_sid = task_waits(centre, {"from": "+14155550100"})
    with worker_of(service) as work:
        work()
        centre.emulator.log.wait_for("event_answered", 10, task_sid=task_sid, event_type="task.updated")
        assert work() == 0
    assert centre.log_of(task_sid).count("attributes_written") == 1
    assert [owed.kind for owed in service.owed(task_sid)] == ["warm"]


def test_a_mark_that_a_visitor_brings_along_does_not_survive(
    open_centre: Callable[..., ContactCentre], service: Service
) -> None:
    centre = open_centre(service, events=EVENTS)
    forged = {"from": "+14155550100", "crm": {"match": "matched", "customer_id": "C-1001", "escalation": 9}}
    task_sid = task_waits(centre, forged)
    with worker_of(service) as work:
        work()
    assert "escalation" not in json.dumps(centre.block(task_sid))
