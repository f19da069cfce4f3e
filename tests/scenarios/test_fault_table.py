"""Every fault of the REST side, under both ways of accepting: the answer, its reason, and the task in the end.

The service has half a second for its work here, so that a fault that lasts is soon over. An answer within TaskRouter's
own five seconds is proved by the emulator: it did not turn to the fallback.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from taskrouter_emulator import EmulatorServer
from tests.support.contact_centre import ContactCentre, Service
from tests.support.worker import worker_of

ONE_TASK = "/Tasks/WT[0-9a-f]{32}$"
Fault = Callable[[Any], object]


@dataclass(frozen=True)
class Row:
    """One fault and what is expected of it. in_time: the block stands on the task when the answer leaves.

    reasons: those that the journal may name; more than one where it depends on which wait the clock has ended.
    """

    name: str
    fault: Fault
    outcome: str
    reasons: tuple[str, ...]
    in_time: bool = False


OUT_OF_TIME = ("taskrouter_too_slow",)
ROWS = (
    Row("GET-stalled", lambda f: f.stall(20, method="GET", path=ONE_TASK), "out_of_time", OUT_OF_TIME),
    Row("POST-stalled", lambda f: f.stall(20, method="POST", path=ONE_TASK), "out_of_time", OUT_OF_TIME),
    Row(
        "POST-done-then-stalled",
        lambda f: f.stall(20, method="POST", path=ONE_TASK, after_processing=True),
        "out_of_time",
        OUT_OF_TIME,
        in_time=True,
    ),
    Row("headers-dripped", lambda f: f.drip_headers(1.0, path=ONE_TASK), "out_of_time", OUT_OF_TIME),
    Row("body-dripped", lambda f: f.drip_body(1.0, path=ONE_TASK), "out_of_time", OUT_OF_TIME),
    Row("slow", lambda f: f.latency(20, path=ONE_TASK), "out_of_time", OUT_OF_TIME),
    Row("reset-for-good", lambda f: f.reset(path=ONE_TASK), "could_not_write", ("taskrouter_unreachable",)),
    Row("reset-once", lambda f: f.reset(path=ONE_TASK, times=1), "enriched", ("",), in_time=True),
    Row(
        "POST-done-then-reset",
        lambda f: f.reset(method="POST", path=ONE_TASK, times=1, after_processing=True),
        "enriched",
        ("",),
        in_time=True,
    ),
    Row("cut-once", lambda f: f.cut(path=ONE_TASK, times=1), "enriched", ("",), in_time=True),
    Row("500-for-good", lambda f: f.status(500, path=ONE_TASK), "could_not_write", ("taskrouter_failed",)),
    Row("503-once", lambda f: f.status(503, path=ONE_TASK, times=1), "enriched", ("",), in_time=True),
    Row("429-for-good", lambda f: f.status(429, path=ONE_TASK), "could_not_write", ("rate_limited",)),
    Row("429-once", lambda f: f.status(429, path=ONE_TASK, times=1, retry_after=0), "enriched", ("",), in_time=True),
    Row(
        "429-come-back-in-a-minute",
        lambda f: f.status(429, path=ONE_TASK, times=1, retry_after=60),
        "could_not_write",
        ("rate_limited",),
    ),
    Row("401", lambda f: f.status(401, path=ONE_TASK), "could_not_write", ("not_authorized",)),
    Row("HTML", lambda f: f.html(path=ONE_TASK), "could_not_write", ("not_understood",)),
    Row(
        "POST-done-then-HTML-202",
        lambda f: f.html(202, method="POST", path=ONE_TASK, times=1, after_processing=True),
        "enriched",
        ("",),
        in_time=True,
    ),
    Row("HTML-502-once", lambda f: f.html(502, path=ONE_TASK, times=1), "enriched", ("",), in_time=True),
    Row("broken-JSON", lambda f: f.broken_json(method="GET", path=ONE_TASK), "could_not_write", ("not_understood",)),
    Row("no-ETag", lambda f: f.without_etag(method="GET", path=ONE_TASK), "could_not_write", ("not_understood",)),
    Row("412-without-end", lambda f: f.precondition_failed(path=ONE_TASK), "could_not_write", ("stale_task",)),
    Row("412-thrice", lambda f: f.precondition_failed(path=ONE_TASK, times=3), "enriched", ("",), in_time=True),
)


@pytest.fixture(params=["callback", "rest"])
def service(request: pytest.FixtureRequest, start_service: Callable[..., Service]) -> Service:
    return start_service(ENRICH_ACCEPT_VIA=request.param, ENRICH_BUDGET_S="0.6")


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in ROWS])
def test_whatever_fails_the_caller_is_routed_and_the_task_is_enriched_in_the_end(
    open_centre: Callable[..., ContactCentre], service: Service, emulator: EmulatorServer, row: Row
) -> None:
    centre = open_centre(service)
    row.fault(emulator.faults)
    task_sid = centre.task_arrives('{"from":"+14155550100","theirs":1.50}')
    answer = centre.answer(task_sid)
    accepted_by_rest = row.outcome == "enriched" and service.environment.get("ENRICH_ACCEPT_VIA") == "rest"
    assert answer == ({} if accepted_by_rest else {"instruction": "accept"})
    emulator.log.wait_for("reservation_accepted", 10, task_sid=task_sid)
    assert "fallback_sent" not in centre.log_of(task_sid)

    (entry,) = service.entries(task_sid=task_sid)
    assert (entry.outcome, entry.reason in row.reasons) == (row.outcome, True), entry.reason
    assert entry.match == "matched"
    emulator.faults.clear()
    assert ("crm" in json.loads(centre.attributes(task_sid))) == row.in_time

    for minutes in (1, 2):  # of a lease that another test left behind as well
        with worker_of(service, later=timedelta(minutes=minutes)) as work:
            work()
    attributes = centre.attributes(task_sid)
    assert attributes.startswith('{"from":"+14155550100","theirs":1.50,"crm":{"match":"matched"')
    assert centre.log_of(task_sid).count("attributes_written") == 1
    assert [row.done_at is not None for row in service.owed(task_sid)] == [True] * len(service.owed(task_sid))


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        pytest.param(lambda f: f.html(302, path=ONE_TASK), "taskrouter_redirected", id="302"),
        pytest.param(lambda f: f.status(401, path=ONE_TASK), "not_authorized", id="401"),
        pytest.param(lambda f: f.status(403, path=ONE_TASK), "not_authorized", id="403"),
    ],
)
def test_what_only_an_operator_can_mend_is_asked_for_once_and_left_to_a_follow_up(
    open_centre: Callable[..., ContactCentre], service: Service, emulator: EmulatorServer, fault: Fault, reason: str
) -> None:
    centre = open_centre(service)
    active: Any = fault(emulator.faults)
    task_sid = centre.task_arrives({"from": "+14155550100"})
    assert centre.answer(task_sid) == {"instruction": "accept"}
    assert active.hits == 1
    (entry,) = service.entries(task_sid=task_sid)
    assert (entry.outcome, entry.reason) == ("could_not_write", reason)
    emulator.faults.clear()
    with worker_of(service, later=timedelta(minutes=1)) as work:
        work()
    assert centre.block(task_sid)["customer_id"] == "C-1001"


def test_a_refused_write_is_tried_once_with_the_smallest_block(
    open_centre: Callable[..., ContactCentre], service: Service, emulator: EmulatorServer
) -> None:
    centre = open_centre(service)
    emulator.faults.status(400, method="POST", path=ONE_TASK, times=1)
    task_sid = centre.task_arrives({"from": "+14155550100"})
    centre.answer(task_sid)
    assert centre.block(task_sid) == {"match": "matched", "customer_id": "C-1001", "trimmed": True}


def test_a_name_that_does_not_resolve_keeps_nobody(
    open_centre: Callable[..., ContactCentre], start_service: Callable[..., Service]
) -> None:
    service = start_service(TASKROUTER_BASE_URL="http://taskrouter.invalid", ENRICH_BUDGET_S="0.6")
    centre = open_centre(service)
    task_sid = centre.task_arrives({"from": "+14155550100"})
    assert centre.answer(task_sid) == {"instruction": "accept"}
    (entry,) = service.entries(task_sid=task_sid)
    assert entry.outcome in ("could_not_write", "out_of_time")
    assert entry.reason in ("taskrouter_host_unknown", "taskrouter_unreachable", "taskrouter_too_slow")


def test_a_dead_api_is_left_alone_after_a_few_failures(
    open_centre: Callable[..., ContactCentre], start_service: Callable[..., Service], emulator: EmulatorServer
) -> None:
    """One web process, so that there is one breaker. What it does not ask for is owed all the same."""
    service = start_service(ENRICH_BREAKER_FAILURES="3", ENRICH_BUDGET_S="0.6", WEB_CONCURRENCY="1")
    centre = open_centre(service)
    fault = emulator.faults.reset(path=ONE_TASK)
    reasons = []
    for _ in range(6):
        task_sid = centre.task_arrives({"from": "+14155550100"})
        assert centre.answer(task_sid) == {"instruction": "accept"}
        (entry,) = service.entries(task_sid=task_sid)
        reasons.append(entry.reason)
        assert len(service.owed(task_sid)) == 1
    assert reasons[-1] == "taskrouter_resting"
    assert fault.hits <= 4  # three failures, and perhaps one probe
