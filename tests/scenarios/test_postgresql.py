"""The main job with PostgreSQL instead of the embedded default: a real server, two web processes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from enrich.database import migrations
from enrich.database.engine import Database
from tests.support.contact_centre import ContactCentre, Service
from tests.support.databases import make_postgresql
from tests.support.worker import worker_of


@pytest.fixture(scope="session")
def service(start_service: Callable[..., Service], postgresql: str) -> Service:
    """The service on a database of its own in that server, under its own role; the owner of the schema migrates."""
    owner_url, service_url = make_postgresql(postgresql, "scenarios")
    owner = Database(owner_url)
    migrations.upgrade(owner)
    owner.close()
    return start_service(DATABASE_URL=service_url)


def test_a_known_caller_is_on_the_task_before_it_is_accepted(centre: ContactCentre, service: Service) -> None:
    task_sid = centre.task_arrives({"from": "+14155550100"})
    centre.emulator.log.wait_for("reservation_accepted", 10, task_sid=task_sid)
    kinds = centre.log_of(task_sid)
    assert kinds.index("attributes_written") < kinds.index("assignment_callback_answered")
    assert centre.block(task_sid)["customer_id"] == "C-1001"
    (entry,) = service.entries(task_sid=task_sid)
    assert (entry.outcome, entry.answer) == ("enriched", '{"instruction":"accept"}')


def test_twenty_at_once_make_one_write(
    centre: ContactCentre, service: Service, make_callback: Callable[..., dict[str, str]]
) -> None:
    centre.emulator.faults.latency(0.2)
    task_sid = centre.task_arrives({"from": "+14155550100", "call_sid": "CA" + "1" * 32})
    centre.answer(task_sid)
    written = centre.log_of(task_sid).count("attributes_written")
    form = make_callback(
        WorkspaceSid=centre.workspace_sid, TaskSid=task_sid, TaskAttributes='{"from":"+16175550142","call_sid":"CA1"}'
    )
    with ThreadPoolExecutor(20) as pool:
        answers = {
            answer.text for answer in pool.map(lambda _: service.post("/taskrouter/assignment", form), range(20))
        }
    assert answers == {"{}"}
    assert centre.log_of(task_sid).count("attributes_written") == written + 1
    assert centre.block(task_sid)["match"] == "ambiguous"


def test_the_worker_does_late_what_failed(centre: ContactCentre, service: Service) -> None:
    centre.emulator.faults.status(500, path="/Tasks/WT")
    task_sid = centre.task_arrives({"from": "+14155550100"})
    centre.answer(task_sid)
    centre.emulator.faults.clear()
    with worker_of(service, later=timedelta(minutes=5)) as work:
        assert work() >= 1
    assert [row.done_at is not None for row in service.owed(task_sid)] == [True]
    assert centre.block(task_sid)["customer_id"] == "C-1001"
