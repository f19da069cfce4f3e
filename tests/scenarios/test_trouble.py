"""Failures: routing goes on, the reason is named, and the follow-up is done later."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
import requests

from enrich import __version__
from enrich.database import migrations
from tests.support.contact_centre import ContactCentre, Service
from tests.support.worker import worker_of

ASSIGNMENT = "/taskrouter/assignment"


@pytest.fixture
def hasty(start_service: Callable[..., Service]) -> Service:
    """A service that tries for half a second, so that a test of something that stays broken is soon over."""
    return start_service(ENRICH_BUDGET_S="0.5")


@pytest.mark.parametrize(
    ("status", "reason", "attempts"),
    [
        (500, "taskrouter_failed", 1),
        (503, "taskrouter_failed", 1),
        (429, "rate_limited", 0),
        (401, "not_authorized", 1),
        (403, "not_authorized", 1),
    ],
)
def test_a_failing_api_does_not_keep_the_caller_and_the_task_is_enriched_late(
    open_centre: Callable[..., ContactCentre], hasty: Service, status: int, reason: str, attempts: int
) -> None:
    service, centre = hasty, open_centre(hasty)
    centre.emulator.faults.status(status, path="/Tasks/WT")
    task_sid = centre.task_arrives({"from": "+14155550100"})
    assert centre.answer(task_sid) == {"instruction": "accept"}
    (entry,) = service.entries(task_sid=task_sid)
    assert (entry.outcome, entry.reason, entry.match) == ("could_not_write", reason, "matched")
    assert [row.done_at for row in service.owed(task_sid)] == [None]

    with worker_of(service) as work:
        assert work() >= 1
        (owed,) = service.owed(task_sid)
        assert (owed.attempts, owed.last_reason, owed.done_at) == (attempts, reason, None)
    centre.emulator.faults.clear()
    with worker_of(service, later=timedelta(minutes=5)) as work:
        assert work() >= 1
    (owed,) = service.owed(task_sid)
    assert owed.done_at is not None
    assert centre.block(task_sid)["customer_id"] == "C-1001"
    late = service.entries(task_sid=task_sid)[-1]
    assert (late.kind, late.outcome, late.match) == ("late", "enriched", "matched")


def test_a_dead_slow_api_is_given_up_in_time(open_centre: Callable[..., ContactCentre], hasty: Service) -> None:
    """The emulator's own 5 s rule is the witness: it gets an answer, and does not turn to the fallback."""
    service, centre = hasty, open_centre(hasty)
    centre.emulator.faults.latency(30, path="/Tasks/WT")
    task_sid = centre.task_arrives({"from": "+14155550100"})
    assert centre.answer(task_sid) == {"instruction": "accept"}
    assert "fallback_sent" not in centre.log_of(task_sid)
    (entry,) = service.entries(task_sid=task_sid)
    assert (entry.outcome, entry.reason, entry.match) == ("out_of_time", "taskrouter_too_slow", "matched")
    assert len(service.owed(task_sid)) == 1


def test_412_without_end_is_given_up_after_ten(centre: ContactCentre, service: Service) -> None:
    centre.emulator.faults.precondition_failed()
    task_sid = centre.task_arrives({"from": "+14155550100"})
    assert centre.answer(task_sid) == {"instruction": "accept"}
    (entry,) = service.entries(task_sid=task_sid)
    assert (entry.outcome, entry.reason) == ("could_not_write", "stale_task")
    assert [step["name"] for step in entry.steps].count("write") == 10


def test_attributes_without_room_are_left_alone(centre: ContactCentre, service: Service) -> None:
    full = json.dumps({"from": "+14155550100", "filler": "x" * 4048})
    task_sid = centre.task_arrives(full)
    assert centre.answer(task_sid) == {"instruction": "accept"}
    (entry,) = service.entries(task_sid=task_sid)
    assert (entry.outcome, entry.reason) == ("could_not_write", "no_room")
    assert centre.attributes(task_sid) == full
    assert service.owed(task_sid) == []


def test_little_room_gets_a_smaller_block_that_says_so(centre: ContactCentre) -> None:
    task_sid = centre.task_arrives({"from": "+14155550100", "filler": "x" * 3900})
    centre.answer(task_sid)
    block = centre.block(task_sid)
    assert block["customer_id"] == "C-1001"
    assert block["trimmed"] is True
    assert "notes" not in block
    assert len(centre.attributes(task_sid)) <= 4096


def test_a_task_that_is_gone_is_not_owed(service: Service, make_callback: Callable[..., dict[str, str]]) -> None:
    form = make_callback()
    assert service.post(ASSIGNMENT, form).json() == {"instruction": "accept"}
    (entry,) = service.entries(task_sid=form["TaskSid"])
    assert (entry.outcome, entry.reason) == ("gone", "task_gone")
    assert service.owed(form["TaskSid"]) == []


@pytest.mark.parametrize("accept_via", ["callback", "rest"])
def test_a_locked_database_does_not_keep_the_caller(
    start_service: Callable[..., Service], make_callback: Callable[..., dict[str, str]], accept_via: str
) -> None:
    """Nothing can be recorded, so nothing is written to the task either; events are to be sent again."""
    service = start_service(ENRICH_KEEP_DAYS="30", ENRICH_ACCEPT_VIA=accept_via)  # a database of its own
    other = sqlite3.connect(str(service.database.url.database), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    form = make_callback()
    assert service.post(ASSIGNMENT, form).json() == {"instruction": "accept"}
    assert service.post(ASSIGNMENT + "/fallback", form).json() == {"instruction": "accept"}
    assert service.post("/taskrouter/events", {"Sid": "EV" + "1" * 32}).status_code == 503
    other.execute("ROLLBACK")
    other.close()
    assert service.post(ASSIGNMENT, form).json() == {"instruction": "accept"}
    assert len(service.entries(task_sid=form["TaskSid"])) == 1


def test_a_receipt_whose_process_died_is_adopted(
    centre: ContactCentre, service: Service, make_callback: Callable[..., dict[str, str]]
) -> None:
    """The fallback's receipt has no conclusion either: the same path."""
    task_sid = centre.task_arrives({"from": "+16175550142", "call_sid": "CA" + "1" * 32})
    centre.answer(task_sid)
    form = make_callback(WorkspaceSid=centre.workspace_sid, TaskSid=task_sid)
    service.post(ASSIGNMENT + "/fallback", form)
    received_at = service.entries(task_sid=task_sid)[-1].received_at
    with worker_of(service, timedelta(seconds=9), after=received_at) as work:
        work()
        assert service.owed(task_sid) == []
    with worker_of(service, timedelta(seconds=11), after=received_at) as work:
        work()
    (owed,) = service.owed(task_sid)
    assert owed.done_at is not None
    (_, fallback, late) = service.entries(task_sid=task_sid)
    assert (fallback.outcome, fallback.reason) == ("not_tried", "fallback")
    assert (late.kind, late.outcome) == ("late", "enriched")


def test_a_database_without_its_tables_is_told_by_readyz(
    start_service: Callable[..., Service],
) -> None:
    service = start_service(ENRICH_KEEP_DAYS="31")
    secret = {"Authorization": "Bearer not-a-real-token"}
    assert requests.get(f"{service.url}/readyz", timeout=5).json() == {"ready": True}
    told = requests.get(f"{service.url}/readyz", headers=secret, timeout=5).json()
    assert told == {
        "ready": True,
        "version": __version__,
        "database": "ok",
        "migrations": "ok",
        "worker": "never seen",
        "clock": "ok",
    }

    migrations.downgrade(service.database, "base")
    until = time.monotonic() + 10
    while (response := requests.get(f"{service.url}/readyz", headers=secret, timeout=5)).status_code == 200:
        assert time.monotonic() < until, "the findings of a second ago are told for ever"
    assert response.json()["migrations"].startswith("at nothing, needs ")
    assert requests.get(f"{service.url}/healthz", timeout=5).status_code == 200
    migrations.upgrade(service.database)
