"""Faults of the REST API, set in the process and over HTTP."""

import time
from typing import Any

import pytest
from requests import Session
from twilio.base.exceptions import TwilioRestException

from support.workspace_driver import WorkspaceDriver
from taskrouter_emulator import EmulatorServer


def code_of(call: Any, *arguments: Any, **parameters: Any) -> Any:
    with pytest.raises(TwilioRestException) as caught:
        call(*arguments, **parameters)
    return caught.value.status, caught.value.code


@pytest.mark.parametrize(("status", "code"), [(429, 20429), (500, 20500), (503, 20503)])
def test_a_status_hits_the_next_n_requests_and_nothing_is_done(driver: WorkspaceDriver, status: Any, code: int) -> None:
    driver.emulator.faults.status(status, times=2)
    assert code_of(driver.workspace.tasks.create) == (status, code)
    assert code_of(driver.workspace.fetch) == (status, code)
    assert driver.workspace.tasks.list() == []
    assert driver.emulator.faults.all() == []


def test_a_fault_can_strike_one_in_so_many_requests(driver: WorkspaceDriver) -> None:
    driver.emulator.faults.status(429, every=3, times=2, path="/Tasks$")
    struck = []
    for _ in range(9):
        try:
            driver.task()
            struck.append(False)
        except TwilioRestException:
            struck.append(True)
    assert struck == [False, False, True] * 2 + [False] * 3


def test_a_fault_can_be_limited_to_method_and_path(driver: WorkspaceDriver) -> None:
    task = driver.workspace.tasks(driver.task())
    driver.emulator.faults.status(503, method="POST", path="/Tasks/WT")
    assert task.fetch().assignment_status == "pending"
    assert code_of(task.update, attributes="{}") == (503, 20503)
    assert driver.task()
    driver.emulator.faults.clear()
    task.update(attributes="{}")


def test_latency_delays_the_answer_and_locks_nobody_out(driver: WorkspaceDriver) -> None:
    driver.emulator.faults.latency(0.2, times=1, method="GET")
    started = time.monotonic()
    driver.workspace.fetch()
    assert time.monotonic() - started >= 0.2
    assert driver.emulator.faults.all() == []


def test_stopping_does_not_wait_for_a_latency(emulator: EmulatorServer, http: Session) -> None:
    emulator.faults.latency(60)
    began = time.monotonic()
    emulator.stop()
    assert time.monotonic() - began < 5


def test_forced_412_hits_conditional_requests_only(driver: WorkspaceDriver) -> None:
    task = driver.workspace.tasks(driver.task())
    driver.emulator.faults.precondition_failed(times=1)
    assert task.update(attributes="{}").attributes == "{}"
    assert code_of(task.update, attributes="{}", if_match="1") == (412, 20412)
    assert task.update(attributes='{"a":1}', if_match="1").attributes == '{"a":1}'


def test_an_intruder_writes_between_fetch_and_update(driver: WorkspaceDriver) -> None:
    task = driver.workspace.tasks(driver.task('{"mine": 1.50}'))
    driver.emulator.faults.intruding_writer("theirs", times=2)
    for round_ in (1, 2):
        fetched = task.fetch_with_http_info()
        assert code_of(task.update, attributes="{}", if_match=fetched.headers["ETag"]) == (412, 20412)
        assert f"intrusion {round_}" not in fetched.data.attributes
    fetched = task.fetch_with_http_info()
    assert fetched.data.attributes == '{"mine": 1.50,"theirs":"intrusion 2"}'
    task.update(attributes="{}", if_match=fetched.headers["ETag"])
    assert [entry["by"] for entry in driver.emulator.log.entries("attributes_written")][:2] == ["intruder", "intruder"]


def test_faults_are_set_listed_and_cleared_over_http(driver: WorkspaceDriver, http: Session) -> None:
    url = f"{driver.emulator.base_url}/_emulator/faults"
    made = http.post(url, json={"kind": "status", "status": 429, "path": "/Tasks$", "method": "post"})
    assert (made.status_code, made.json()["id"], made.json()["times"]) == (201, "F1", None)
    http.post(url, json={"kind": "latency", "seconds": 0})
    assert code_of(driver.workspace.tasks.create) == (429, 20429)
    assert [(fault["kind"], fault["hits"]) for fault in http.get(url).json()["faults"]] == [
        ("status", 1),
        ("latency", 1),
    ]
    assert http.delete(f"{url}/F1").status_code == 204
    assert http.delete(f"{url}/F1").status_code == 404
    assert driver.task()
    assert http.delete(url).status_code == 204
    assert http.get(url).json() == {"faults": []}


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"kind": "earthquake"},
        {"kind": "status", "status": 200},
        {"kind": "status", "status": "503"},
        {"kind": "status", "seconds": 1},
        {"kind": "latency", "seconds": -1},
        {"kind": "latency", "seconds": 1, "times": 0},
        {"kind": "latency", "seconds": 1, "every": 0},
        {"kind": "latency", "seconds": 1, "path": "("},
        {"kind": "intruding_writer", "key": 3},
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(emulator: EmulatorServer, http: Session, wrong: Any) -> None:
    answer = http.post(f"{emulator.base_url}/_emulator/faults", json=wrong)
    assert answer.status_code == 400
    assert answer.json()["message"]
    assert emulator.faults.all() == []
