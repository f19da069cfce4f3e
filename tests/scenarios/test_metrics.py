"""The metrics of the service: over HTTP, of all its processes, whatever else fails."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests
from sqlalchemy import insert

from enrich.demo.processes import Processes, free_port
from enrich.journal.tables import TaskStateRow
from enrich.telemetry.metrics import TABLE
from tests.support.contact_centre import ContactCentre, Service, sid
from tests.support.waiting import wait_until

ASSIGNMENT = "/taskrouter/assignment"
TOKEN = {"Authorization": "Bearer not-a-real-token"}


def told(service: Service) -> dict[str, float]:
    """Every series and its value."""
    response = requests.get(service.url + "/metrics", headers=TOKEN, timeout=5)
    assert (response.status_code, response.headers["Content-Type"].partition(";")[0]) == (200, "text/plain")
    lines = [line for line in response.text.splitlines() if not line.startswith("#")]
    return {series: float(value) for series, _, value in (line.rpartition(" ") for line in lines)}


def only_worker(service: Service) -> int:
    """The process that answers for this service, as the kernel knows it.

    It has the service's address in its environment, and a parent that has it too.
    """
    bind = f"BIND={service.environment['BIND']}".encode()
    ours = {}
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if bind in (path / "environ").read_bytes().split(b"\0"):
                ours[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
    (worker,) = (pid for pid, parent in ours.items() if parent in ours)
    return worker


@pytest.fixture
def counting(start_service: Callable[..., Service]) -> Service:
    """A service of three processes whose counts are this module's alone."""
    return start_service(WEB_CONCURRENCY="3")


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer "}])
def test_without_the_token_there_is_nothing(service: Service, headers: dict[str, str]) -> None:
    response = requests.get(service.url + "/metrics", headers=headers, timeout=5)
    assert response.status_code == 404
    assert "enrich_" not in response.text


def test_where_no_token_is_set_nobody_has_it(start_service: Callable[..., Service]) -> None:
    service = start_service(METRICS_TOKEN="")
    assert requests.get(service.url + "/metrics", headers={"Authorization": "Bearer "}, timeout=5).status_code == 404


def test_every_process_tells_what_all_of_them_counted(
    counting: Service, make_callback: Callable[..., dict[str, str]]
) -> None:
    """Connections are spread over the processes; a sum that grew by less would be one process's own."""
    series = 'enrich_callbacks_total{endpoint="assignment",outcome="gone",reason="task_gone"}'
    before = told(counting).get(series, 0.0)
    for _ in range(30):
        assert counting.post(ASSIGNMENT, make_callback()).status_code == 200
    sums = {told(counting)[series] for _ in range(10)}
    assert sums == {before + 30}


def test_what_happened_is_counted(open_centre: Callable[..., ContactCentre], counting: Service) -> None:
    service = counting
    centre = open_centre(service)
    before = told(service)
    task_sid = centre.task_arrives({"from": "+14155550100"})
    centre.answer(task_sid)
    event = {"Sid": sid("EV"), "EventType": "task.created", "TaskSid": task_sid}
    assert service.post("/taskrouter/events", event).status_code == 204
    assert service.post(ASSIGNMENT, {}, "forged").status_code == 403
    page = requests.post(service.url + "/login", data={"email": "x@example.com", "password": "wrong"}, timeout=5)
    assert page.status_code == 400  # without the form's own token nobody even tries

    after = told(service)
    grown = {series for series, value in after.items() if value > before.get(series, 0.0)}
    assert grown >= {
        'enrich_callbacks_total{endpoint="assignment",outcome="enriched",reason=""}',
        'enrich_rest_requests_total{method="GET",status="200"}',
        'enrich_rest_requests_total{method="POST",status="200"}',
        'enrich_step_seconds_count{step="look_up"}',
        'enrich_budget_left_seconds_bucket{le="3.5"}',
        'enrich_events_total{result="kept",type="task.created"}',
        'enrich_refused_total{reason="invalid_signature"}',
    }
    assert after["enrich_in_flight"] == 0


def test_every_metric_of_the_table_is_told(counting: Service) -> None:
    """But for those that only the worker has. Histograms and counters appear with their first event."""
    text = requests.get(counting.url + "/metrics", headers=TOKEN, timeout=5).text
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# HELP")}
    assert {row.name for row in TABLE if not row.labels} <= names


def test_a_worker_that_was_killed_is_not_in_flight_for_ever(
    start_service: Callable[..., Service], make_callback: Callable[..., dict[str, str]]
) -> None:
    service = start_service(WEB_CONCURRENCY="1", ENRICH_OWN_NUMBERS="+14155550199")
    series = 'enrich_callbacks_total{endpoint="assignment",outcome="gone",reason="task_gone"}'
    service.post(ASSIGNMENT, make_callback())
    counted = told(service)[series]
    os.kill(only_worker(service), signal.SIGKILL)
    after: dict[str, float] = {}
    until = time.monotonic() + 20
    while not after and time.monotonic() < until:
        with suppress(requests.ConnectionError):  # until its successor is there
            after = told(service)
    assert after["enrich_in_flight"] == 0
    assert after[series] == counted  # what it did stays counted


def test_a_dead_database_is_told_and_does_not_keep_the_scrape(
    start_service: Callable[..., Service],
) -> None:
    service = start_service(ENRICH_DEFAULT_REGION="GB")
    assert told(service)["enrich_database_up"] == 1
    with sqlite3.connect(str(service.database.url.database)) as connection:
        connection.execute("ALTER TABLE followups RENAME TO gone")
    began = time.monotonic()
    after = told(service)
    assert time.monotonic() - began < 2
    assert after["enrich_database_up"] == 0
    assert "enrich_followups_owed" not in after
    assert 'enrich_shed_total{cause="in_flight"}' in after


def test_what_is_owed_is_looked_up(
    open_centre: Callable[..., ContactCentre], start_service: Callable[..., Service]
) -> None:
    service = start_service(ENRICH_BUDGET_S="0.4")
    centre = open_centre(service)
    centre.emulator.faults.status(500, path="/Tasks/WT")
    centre.answer(centre.task_arrives({"from": "+14155550100"}))
    with sqlite3.connect(str(service.database.url.database)) as connection:
        connection.execute("UPDATE followups SET due_at = datetime('now', '-100 seconds')")
        received_at = datetime(2026, 1, 1, tzinfo=UTC).isoformat(" ")
        connection.execute(
            "INSERT INTO entries (kind, claim, received_at, repeats, workspace_sid, task_sid, worker_sid, worker_name, "
            "event_type, raw_form, reason, by, trust, customer_name) "
            "VALUES ('assignment', 'x', ?, 0, '', ?, '', '', '', '', '', '', '', '')",
            (received_at, sid("WT")),
        )
    after = told(service)
    assert after["enrich_followups_owed"] >= 1
    assert 99 < after["enrich_followups_overdue_seconds"] < 200
    assert after["enrich_receipts_unconcluded"] == 1
    assert after["enrich_followups_given_up"] == 0


def test_an_answer_tells_where_its_time_went(counting: Service, make_callback: Callable[..., dict[str, str]]) -> None:
    timing = counting.post(ASSIGNMENT, make_callback()).headers["Server-Timing"]
    times = dict(part.split(";dur=") for part in timing.split(", "))
    assert list(times) == ["receive", "look_up", "fetch", "conclude", "total"]
    assert float(times["total"]) >= sum(float(value) for name, value in times.items() if name != "total") * 0.9


def test_a_worker_serves_its_own_numbers(
    open_centre: Callable[..., ContactCentre], start_service: Callable[..., Service], tmp_path: Path
) -> None:
    """And that it works is told by every web process, from the word that it leaves in the database."""
    service = start_service(ENRICH_BUDGET_S="0.3")
    assert told(service)["enrich_worker_silent_seconds"] == float("inf")
    centre = open_centre(service)
    centre.emulator.faults.status(500, path="/Tasks/WT")
    task_sid = centre.task_arrives({"from": "+14155550100"})
    centre.answer(task_sid)
    centre.emulator.faults.clear()
    at = f"127.0.0.1:{free_port(0)}"
    with Processes(service.environment, tmp_path / "logs") as processes:
        processes.start("worker", "flask", "worker", "--metrics", at)
        processes.wait_for("worker", f"http://{at}/healthz", lambda: False)
        worker = replace(service, url=f"http://{at}")
        done = 'enrich_followups_total{kind="enrich",outcome="enriched",reason=""}'
        wait_until(lambda: done in told(worker), 20)
        assert told(worker)['enrich_rest_requests_total{method="POST",status="200"}'] >= 1
        assert told(service)["enrich_worker_silent_seconds"] < 30
        assert requests.get(f"http://{at}/metrics", timeout=5).status_code == 404
        assert requests.get(f"http://{at}/login", timeout=5).status_code == 404


def test_alarms_are_looked_up_by_what_they_are_about(start_service: Callable[..., Service]) -> None:
    service = start_service(ENRICH_DEFAULT_REGION="FR")
    after = told(service)
    assert after['enrich_alarms{alarm="canceled_loop"}'] == 0
    now = datetime.now(UTC)
    row = {"task_sid": sid("WT"), "workspace_sid": sid("WS"), "alarm": "canceled_loop"}
    service.database.write(insert(TaskStateRow).values(**row, alarm_since=now, updated_at=now))
    assert told(service)['enrich_alarms{alarm="canceled_loop"}'] == 1
