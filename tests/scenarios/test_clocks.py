"""Machines with different clocks on one PostgreSQL: they work by its time, so nobody is early or late."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import pytest

from enrich.database.clock import clock_of
from enrich.flows.dispatcher import FollowupDispatcher
from enrich.services import flows_of
from taskrouter_emulator import EmulatorServer
from tests.support.contact_centre import ASSIGNMENT, ContactCentre, Service, forms_of, waiting_tasks
from tests.support.databases import create_database
from tests.support.worker import services_of

pytestmark = pytest.mark.parametrize("ahead_s", [-3600.0, -12.0, 12.0, 3600.0])


@pytest.fixture(scope="module")
def service(start_service: Callable[..., Service], postgresql: str) -> Service:
    """Two web processes on a database of their own; their clocks are right."""
    return start_service(DATABASE_URL=create_database(postgresql, "clocks"))


@contextmanager
def worker_on_a_machine(service: Service, ahead_s: float) -> Iterator[FollowupDispatcher]:
    """A worker on a machine whose clock is so far ahead."""
    with services_of(service) as services:
        clock = clock_of(services.database, wall=lambda: time.time() + ahead_s)
        clock.synchronize()
        yield flows_of(replace(services.adapters, now=clock.now), services.rules)["dispatcher"]


def test_no_callback_in_flight_is_taken_for_abandoned(
    centre: ContactCentre,
    service: Service,
    emulator: EmulatorServer,
    make_callback: Callable[..., dict[str, str]],
    ahead_s: float,
) -> None:
    (form,) = forms_of(centre, waiting_tasks(centre, 1), make_callback)
    fault = emulator.faults.latency(2.0, path="/Tasks/WT", method="GET")
    with worker_on_a_machine(service, ahead_s) as worker, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(service.post, ASSIGNMENT, form)
        emulator.log.wait_for("fault_struck", 10, fault_id=fault.id)
        assert worker.run_batch() == 0
        assert answer.result().json() == {"instruction": "accept"}
        assert worker.run_batch() == 0
    (entry,) = service.entries(task_sid=form["TaskSid"])
    assert (entry.outcome, entry.reason) == ("enriched", "")
    assert centre.log_of(form["TaskSid"]).count("attributes_written") == 1


def test_what_is_owed_is_done_at_once_and_by_one(
    centre: ContactCentre,
    service: Service,
    emulator: EmulatorServer,
    make_callback: Callable[..., dict[str, str]],
    ahead_s: float,
) -> None:
    """A worker whose clock is right, and so the time at which its lease ends, is not taken for dead, either."""
    (form,) = forms_of(centre, waiting_tasks(centre, 1), make_callback)
    task_sid = form["TaskSid"]
    emulator.faults.status(401, path="/Tasks/WT", method="POST")
    service.post(ASSIGNMENT, form)
    emulator.faults.clear()
    fault = emulator.faults.latency(2.0, path="/Tasks/WT", method="GET")
    with (
        worker_on_a_machine(service, ahead_s) as worker,
        worker_on_a_machine(service, 0.0) as colleague,
        ThreadPoolExecutor(1) as pool,
    ):
        done = pool.submit(worker.run_batch)
        emulator.log.wait_for("fault_struck", 10, fault_id=fault.id)
        assert colleague.run_batch() == 0
        assert done.result() == 1
    assert centre.block(task_sid)["customer_id"] == "C-1001"
    assert [entry.kind for entry in service.entries(task_sid=task_sid)] == ["assignment", "late"]
