"""The control API, as another process uses it."""

import threading
from typing import Any

import pytest
from requests import Session

from support.receiver import Receiver
from support.workspace_driver import WorkspaceDriver
from taskrouter_emulator import EmulatorServer


@pytest.fixture
def drive(emulator: EmulatorServer, http: Session) -> Any:
    """GET without a body, POST with one, without credentials."""
    http.auth = None

    def call(path: str, body: Any = None) -> Any:
        url = f"{emulator.base_url}/_emulator/{path}"
        answer = http.get(url) if body is None else http.post(url, json=body)
        return answer.status_code, answer.json()

    return call


def test_it_is_alive(drive: Any) -> None:
    assert drive("healthz") == (200, {"status": "ok"})


def test_the_log_is_read_from_where_one_stopped(driver: WorkspaceDriver, drive: Any) -> None:
    driver.task()
    _, first = drive("log")
    assert [entry["seq"] for entry in first["entries"]] == list(range(1, first["last"] + 1))
    assert {"at", "kind", "seq"} <= set(first["entries"][0])
    task_sid = driver.task()
    _, second = drive(f"log?after={first['last']}&kind=task_created")
    assert [entry["task_sid"] for entry in second["entries"]] == [task_sid]


def test_deliveries_tell_what_was_sent_and_answered(driver: WorkspaceDriver, receiver: Receiver, drive: Any) -> None:
    driver.callbacks(receiver.answer("/assign", {"instruction": "accept"}))
    driver.worker()
    task_sid = driver.task()
    driver.settle()
    _, answer = drive("deliveries?kind=assignment")
    [delivery] = answer["deliveries"]
    assert (delivery["parameters"]["TaskSid"], delivery["status"]) == (task_sid, 200)
    assert (delivery["answer"], delivery["error"], delivery["attempts"]) == ('{"instruction": "accept"}', None, 1)
    assert "X-Twilio-Signature" in delivery["headers"]


def test_the_clock_is_put_forward_and_what_is_due_is_done(driver: WorkspaceDriver, drive: Any) -> None:
    driver.worker()
    task_sid = driver.task()
    assert drive("clock/advance", {"seconds": 120}) == (200, {"now": "2026-01-01T12:02:00+00:00"})
    assert driver.reservation(task_sid).reservation_status == "timeout"
    assert drive("clock") == (200, {"now": "2026-01-01T12:02:00+00:00"})


@pytest.mark.parametrize("body", [{}, {"seconds": -1}, {"seconds": "1"}, {"seconds": True}, {"seconds": 1e12}, []])
def test_the_clock_is_never_put_anywhere_else(drive: Any, body: Any) -> None:
    assert drive("clock/advance", body)[0] == 400


def test_switches_are_read_and_set(emulator: EmulatorServer, drive: Any) -> None:
    assert drive("switches", {"lax_attributes": True, "assignment_deadline_s": 2})[0] == 200
    assert (emulator.switches.lax_attributes, emulator.switches.assignment_deadline_s) == (True, 2)
    assert drive("switches", {"no_such": 1})[0] == 400
    assert drive("switches", {"lax_attributes": "yes", "default_channel_capacity": 3})[0] == 400
    assert drive("switches")[1]["default_channel_capacity"] == 1


def test_waiting_for_an_entry_ends_as_soon_as_it_is_there(emulator: EmulatorServer) -> None:
    threading.Timer(0.05, emulator.log.append, ["knock"], {"who": "there"}).start()
    assert emulator.log.wait_for("knock", who="there")["seq"] == 1
    with pytest.raises(TimeoutError, match="seen: knock"):
        emulator.log.wait_for("knock", timeout=0.01, who="else")


def test_the_alert_log_has_alerts_and_ignored_parameters(driver: WorkspaceDriver, http: Session, drive: Any) -> None:
    http.auth = (driver.emulator.account_sid, driver.emulator.auth_token)
    http.post(driver.workspace.fetch().links["tasks"], data={"Attributes": "{}", "Colour": "blue"})
    driver.workspace.update(events_filter="nothing.ever")
    _, answer = drive("alerts")
    assert [entry["kind"] for entry in answer["alerts"]] == ["parameters_ignored", "alert"]
    assert drive(f"alerts?after={answer['last']}")[1]["alerts"] == []


def test_a_caller_who_hangs_up_takes_the_waiting_task_along(driver: WorkspaceDriver, drive: Any) -> None:
    task_sid = driver.task('{"call_sid":"CA1"}')
    assert drive("calls/hang-up", {"task_sid": task_sid}) == (200, {"assignment_status": "canceled"})
    assert driver.workspace.tasks(task_sid).fetch().reason == "hangup"
    assert drive("calls/hang-up", {"task_sid": "WT" + "9" * 32})[0] == 404
    assert drive("calls/hang-up", {"task_sid": ["WT"]})[0] == 404
