"""Processes that die or are told to end, and more at once than they carry: nothing that was answered is lost."""

from __future__ import annotations

import json
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta

import psycopg
import pytest
import requests
from sqlalchemy import select

from enrich.demo.processes import Processes
from enrich.journal.followups import FollowupQueue
from enrich.journal.tables import HeartbeatRow
from taskrouter_emulator import EmulatorServer
from tests.support.contact_centre import ContactCentre, Service, forms_of, waiting_tasks
from tests.support.waiting import wait_until
from tests.support.worker import worker_of

ASSIGNMENT = "/taskrouter/assignment"
ATTRIBUTES = {"from": "+14155550100"}


@pytest.fixture
def service(own_service: Service) -> Service:
    return own_service


def start(service: Service, processes: Processes, name: str) -> None:
    processes.start(name, "gunicorn", "app:create_app()", env=service.environment)
    processes.wait_for(name, f"{service.url}/readyz", lambda: False)


def test_what_was_answered_survives_kill_9_and_what_is_owed_is_done(
    service: Service,
    processes: Processes,
    open_centre: Callable[..., ContactCentre],
    emulator: EmulatorServer,
    make_callback: Callable[..., dict[str, str]],
) -> None:
    """Web and worker are killed in the middle of forty callbacks, while TaskRouter's API fails every other time."""
    start(service, processes, "web")
    processes.start("worker", "flask", "worker", env=service.environment)
    centre = open_centre(service)
    forms = forms_of(centre, waiting_tasks(centre, 40), make_callback)
    emulator.faults.latency(0.05, path="/Tasks/WT")
    emulator.faults.status(401, path="/Tasks/WT", method="POST", times=10)  # ten are to be done late
    answered: list[str] = []
    some = threading.Semaphore(0)

    def ask(form: dict[str, str]) -> None:
        try:
            service.post(ASSIGNMENT, form).raise_for_status()
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
            return
        answered.append(form["TaskSid"])
        some.release()

    with ThreadPoolExecutor(8) as pool:
        asking = [pool.submit(ask, form) for form in forms]
        for _ in range(12):
            some.acquire()
        for name in ("web", "worker"):
            processes.signal(name, signal.SIGKILL)
        for each in asking:
            each.result()
    assert 12 <= len(answered) < 40
    emulator.faults.clear()

    recorded = {entry.task_sid for entry in service.entries(kind="assignment")}
    assert set(answered) <= recorded
    start(service, processes, "web again")
    for minutes in (2, 4, 6, 8):
        with worker_of(service, later=timedelta(minutes=minutes)) as work:
            work()
    assert FollowupQueue(service.database).overview() == ()
    assert all(centre.block(task)["customer_id"] == "C-1001" for task in recorded)
    assert all(centre.log_of(task).count("attributes_written") == 1 for task in recorded)


def test_sigterm_loses_nothing_that_is_in_flight(
    service: Service,
    processes: Processes,
    open_centre: Callable[..., ContactCentre],
    emulator: EmulatorServer,
    make_callback: Callable[..., dict[str, str]],
) -> None:
    start(service, processes, "web")
    centre = open_centre(service)
    forms = forms_of(centre, waiting_tasks(centre, 30), make_callback)
    fault = emulator.faults.latency(0.5, path="/Tasks/WT", method="GET")
    with ThreadPoolExecutor(30) as pool:
        asking = [pool.submit(service.post, ASSIGNMENT, form) for form in forms]
        seen = 0
        for _ in forms:  # each is at its first request to TaskRouter, and so long recorded
            seen = int(str(emulator.log.wait_for("fault_struck", 20, after=seen, fault_id=fault.id)["seq"]))
        processes.signal("web", signal.SIGTERM)
        assert {each.result().text for each in asking} == {'{"instruction":"accept"}'}
    assert processes.wait_for_end("web") == 0
    assert {entry.outcome for entry in service.entries(kind="assignment")} == {"enriched"}


def test_two_workers_do_everything_once(
    service: Service,
    processes: Processes,
    open_centre: Callable[..., ContactCentre],
    emulator: EmulatorServer,
    make_callback: Callable[..., dict[str, str]],
) -> None:
    start(service, processes, "web")
    centre = open_centre(service)
    tasks = waiting_tasks(centre, 30)
    emulator.faults.status(401, path="/Tasks/WT")
    for form in forms_of(centre, tasks, make_callback):
        service.post(ASSIGNMENT, form)
    emulator.faults.clear()
    for name in ("worker1", "worker2"):
        processes.start(name, "flask", "worker", env=service.environment)
    for task in tasks:
        emulator.log.wait_for("attributes_written", 60, task_sid=task)
    # One may have done it all before the other began.
    wait_until(lambda: len(service.database.read(select(HeartbeatRow.worker))) == 2, 60)
    for name in ("worker1", "worker2"):
        processes.signal(name, signal.SIGTERM)
        assert processes.wait_for_end(name) == 0
    late = [entry.task_sid for entry in service.entries(kind="late")]
    assert sorted(late) == sorted(tasks)
    assert all(centre.log_of(task).count("attributes_written") == 1 for task in tasks)


@pytest.mark.parametrize("accept_via", ["callback", "rest"])
def test_two_hundred_at_once_on_a_dead_upstream_are_all_answered_and_none_is_forgotten(
    service: Service,
    processes: Processes,
    emulator: EmulatorServer,
    make_callback: Callable[..., dict[str, str]],
    accept_via: str,
) -> None:
    """TaskRouter's five seconds are the clients' time-out. Meanwhile the fallback endpoint answers, too."""
    service = Service(service.url, service.database, {**service.environment, "ENRICH_ACCEPT_VIA": accept_via})
    start(service, processes, "web")
    fault = emulator.faults.stall(30, path="/Tasks/WT")
    forms = [make_callback() for _ in range(200)]
    with ThreadPoolExecutor(200) as pool:
        asking = [pool.submit(service.post, ASSIGNMENT, form) for form in forms]
        emulator.log.wait_for("fault_struck", 10, fault_id=fault.id)
        assert service.post(ASSIGNMENT + "/fallback", make_callback()).json() == {"instruction": "accept"}
        assert {each.result().text for each in asking} == {'{"instruction":"accept"}'}
    entries = service.entries(kind="assignment")
    # What the database does not take within half a second is answered all the same, and named in the log.
    log = (processes.logs / "web.log").read_text().splitlines()
    named = {json.loads(line)["task_sid"] for line in log if "receipt not recorded" in line}
    asked, recorded = {form["TaskSid"] for form in forms}, {entry.task_sid for entry in entries}
    assert recorded <= asked <= recorded | named  # the fallback's own may be named, too
    # One that is not concluded yet is found by the worker.
    told = {"taskrouter_too_slow", "taskrouter_resting", "overload", ""}
    assert {entry.reason for entry in entries if entry.outcome} <= told - {""}
    assert {entry.reason for entry in entries} <= told


def test_more_than_a_process_carries_is_answered_at_once_and_enriched_late(
    service: Service,
    processes: Processes,
    open_centre: Callable[..., ContactCentre],
    emulator: EmulatorServer,
    make_callback: Callable[..., dict[str, str]],
) -> None:
    small = Service(
        service.url, service.database, {**service.environment, "ENRICH_MAX_IN_FLIGHT": "1", "WEB_CONCURRENCY": "1"}
    )
    start(small, processes, "web")
    centre = open_centre(small)
    tasks = waiting_tasks(centre, 5)
    fault = emulator.faults.stall(30, path="/Tasks/WT")
    forms = forms_of(centre, tasks, make_callback)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(small.post, ASSIGNMENT, forms[0])
        emulator.log.wait_for("fault_struck", 10, fault_id=fault.id)
        for form in forms[1:]:
            assert small.post(ASSIGNMENT, form).json() == {"instruction": "accept"}
        assert not first.done()
        emulator.faults.clear()
        assert first.result().json() == {"instruction": "accept"}
    reasons = {entry.task_sid: entry.reason for entry in small.entries(kind="assignment")}
    assert [reasons[task] for task in tasks[1:]] == ["overload"] * 4
    with worker_of(small, later=timedelta(seconds=15)) as work:
        work()
    assert all(centre.block(task)["customer_id"] == "C-1001" for task in tasks)


@contextmanager
def nobody_else_writes(service: Service) -> Iterator[None]:
    """Another process holds the journal, as a long migration would."""
    with ExitStack() as stack:
        if service.database.is_sqlite:
            other = stack.enter_context(closing(sqlite3.connect(service.database.url.database or "")))
            other.execute("BEGIN IMMEDIATE")
        else:
            url = service.database.url.set(drivername="postgresql").render_as_string(hide_password=False)
            stack.enter_context(psycopg.connect(url)).execute("LOCK TABLE entries IN EXCLUSIVE MODE")
        yield


def test_what_was_answered_before_it_could_be_recorded_is_recorded_before_the_process_ends(
    service: Service, processes: Processes, emulator: EmulatorServer, make_callback: Callable[..., dict[str, str]]
) -> None:
    small = Service(
        service.url, service.database, {**service.environment, "ENRICH_MAX_IN_FLIGHT": "1", "WEB_CONCURRENCY": "1"}
    )
    start(small, processes, "web")
    fault = emulator.faults.stall(30, path="/Tasks/WT")
    forms = [make_callback() for _ in range(5)]

    def answer_to(form: dict[str, str]) -> str:
        return small.post(ASSIGNMENT, form).text

    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(answer_to, forms[0])
        emulator.log.wait_for("fault_struck", 10, fault_id=fault.id)
        with nobody_else_writes(small):
            assert set(pool.map(answer_to, forms[1:])) == {'{"instruction":"accept"}'}
            assert first.result() == '{"instruction":"accept"}'
            processes.signal("web", signal.SIGTERM)
            log = processes.logs / "web.log"
            wait_until(lambda: "Worker exiting" in log.read_text(), 20)
    assert processes.wait_for_end("web") == 0
    assert {entry.task_sid for entry in small.entries(kind="assignment")} == {form["TaskSid"] for form in forms}


def test_an_answer_that_drips_does_not_hold_the_worker(
    service: Service,
    processes: Processes,
    open_centre: Callable[..., ContactCentre],
    emulator: EmulatorServer,
    make_callback: Callable[..., dict[str, str]],
) -> None:
    """A byte now and then would keep a time-out that counts from one read to the next from ever coming."""
    start(service, processes, "web")
    centre = open_centre(service)
    (form,) = forms_of(centre, waiting_tasks(centre, 1), make_callback)
    emulator.faults.status(401, path="/Tasks/WT", times=1)
    service.post(ASSIGNMENT, form)
    fault = emulator.faults.drip_body(0.5, path="/Tasks/WT")
    processes.start("worker", "flask", "worker", env=service.environment)
    first = emulator.log.wait_for("fault_struck", 20, fault_id=fault.id)
    emulator.log.wait_for("fault_struck", 20, fault_id=fault.id, after=int(str(first["seq"])))  # it came back for more
    (owed,) = service.owed(form["TaskSid"])
    assert (owed.last_reason, owed.done_at) == ("taskrouter_too_slow", None)
    emulator.faults.clear()
    emulator.log.wait_for("attributes_written", 20, task_sid=form["TaskSid"])
    processes.signal("worker", signal.SIGTERM)
    assert processes.wait_for_end("worker") == 0
