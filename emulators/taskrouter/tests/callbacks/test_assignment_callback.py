"""Assignment callbacks: the form, the handling of the response, and the fallback URL."""

import json
import threading
import time
from typing import Any

import pytest
from requests import Session
from twilio.request_validator import RequestValidator

from support.receiver import Receiver
from support.workspace_driver import WorkspaceDriver
from taskrouter_emulator.callbacks import connection_overrides
from taskrouter_emulator.callbacks.connection_overrides import ConnectionOverrides

VOICE = json.dumps({"call_sid": "CA" + "1" * 32, "from": "+14155550100", "to": "+14155550199"})


def test_the_callback_carries_the_documented_form(driver: WorkspaceDriver, receiver: Receiver) -> None:
    driver.callbacks(receiver.answer("/assign"))
    worker_sid = driver.worker("dana")
    task_sid = driver.task('{"from":"+14155550100","emoji":"\\ud83d"}', priority=7)
    form = receiver.wait_for(lambda one: one.path == "/assign").form
    assert form == {
        "AccountSid": driver.emulator.account_sid,
        "WorkspaceSid": driver.workspace.fetch().sid,
        "WorkflowSid": driver.workflow_sid,
        "TaskQueueSid": driver.queue_sid,
        "TaskSid": task_sid,
        "TaskAttributes": '{"from":"+14155550100","emoji":"\\ud83d"}',
        "TaskAge": "0",
        "TaskPriority": "7",
        "WorkerSid": worker_sid,
        "WorkerAttributes": '{"contact_uri": "client:dana"}',
        "ReservationSid": driver.reservation(task_sid).sid,
    }


def test_the_documented_timestamp_comes_by_switch(driver: WorkspaceDriver, receiver: Receiver) -> None:
    driver.emulator.switches.assignment_timestamp = True
    driver.callbacks(receiver.answer("/assign"))
    driver.worker()
    driver.task()
    assert receiver.wait_for(lambda one: one.path == "/assign").form["Timestamp"] == "1767268800"


def test_the_signature_convinces_twilios_own_validator(driver: WorkspaceDriver, receiver: Receiver) -> None:
    receiver.answer("/assign")
    url = receiver.base_url + "/assign?tenant=a%20b&x="
    driver.callbacks(url + "#rc=2&rp=5xx")
    driver.worker()
    driver.task('{"name":"Zoë ☎","empty":""}')
    one = receiver.wait_for(lambda one: one.path.startswith("/assign"))
    validator = RequestValidator(driver.emulator.auth_token)
    assert validator.validate(url, one.form, one.headers["x-twilio-signature"])
    assert not validator.validate(url, one.form | {"TaskAge": "1"}, one.headers["x-twilio-signature"])
    assert one.headers["i-twilio-idempotency-token"]


def test_the_log_proves_written_then_answered_then_accepted(
    driver: WorkspaceDriver, receiver: Receiver, http: Session
) -> None:
    def write_attributes(received: Any) -> None:
        if received.path == "/assign":
            task = driver.workspace.tasks(received.form["TaskSid"]).fetch_with_http_info()
            headers = {"If-Match": task.headers["ETag"], "User-Agent": "enricher"}
            http.post(task.data.url, data={"Attributes": '{"crm":1}'}, headers=headers).raise_for_status()

    receiver.before = write_attributes
    driver.callbacks(receiver.answer("/assign", {"instruction": "accept"}))
    driver.worker()
    task_sid = driver.task()
    driver.settle()
    kinds = (
        "task_created",
        "reservation_created",
        "assignment_callback_sent",
        "attributes_written",
        "assignment_callback_answered",
        "reservation_accepted",
    )
    assert tuple(driver.kinds(*kinds)) == kinds
    [written] = driver.emulator.log.entries("attributes_written")
    assert (written["task_sid"], written["version"], written["by"]) == (task_sid, 2, "enricher")
    [answered] = driver.emulator.log.entries("assignment_callback_answered")
    assert (answered["status"], answered["answer"]) == (200, '{"instruction": "accept"}')
    [accepted] = driver.emulator.log.entries("reservation_accepted")
    assert accepted["via"] == "callback"
    assert driver.status(task_sid) == "assigned"


def test_an_empty_object_leaves_the_reservation_pending(driver: WorkspaceDriver, receiver: Receiver) -> None:
    driver.callbacks(receiver.answer("/assign", {}))
    driver.worker()
    task_sid = driver.task()
    driver.settle()
    assert driver.reservation(task_sid).reservation_status == "pending"
    assert driver.alerts() == []


@pytest.mark.parametrize(
    ("answer", "kind", "alert", "falls_back"),
    [
        pytest.param("hello", "text/html", 40000, True, id="not the JSON type"),
        pytest.param("", "text/html", 40000, False, id="empty, the manual flow"),
        pytest.param('"{\\"instruction\\"', "application/json", 40001, False, id="not parseable"),
        pytest.param('{"do": "accept"}', "application/json", 40005, False, id="no instruction"),
        pytest.param("[]", "application/json", 40005, False, id="a list"),
        pytest.param('{"instruction": "dance"}', "application/json", 55555, False, id="unknown instruction"),
        pytest.param('{"instruction": {}}', "application/json", 55555, False, id="instruction of a wrong type"),
    ],
)
def test_an_answer_that_cannot_be_used_is_an_alert(
    driver: WorkspaceDriver, receiver: Receiver, answer: Any, kind: str, alert: Any, falls_back: Any
) -> None:
    url = receiver.answer("/assign", answer, kind=kind)
    driver.callbacks(url, receiver.answer("/fallback", {}))
    driver.worker()
    task_sid = driver.task()
    driver.settle()
    assert driver.alerts() == [alert]
    assert bool(receiver.on("/fallback")) is falls_back
    assert driver.reservation(task_sid).reservation_status == "pending"


def test_the_json_type_may_name_a_charset(driver: WorkspaceDriver, receiver: Receiver) -> None:
    driver.callbacks(receiver.answer("/assign", {"instruction": "accept"}, kind="Application/JSON; charset=utf-8"))
    driver.worker()
    task_sid = driver.task()
    driver.settle()
    assert driver.status(task_sid) == "assigned"


@pytest.mark.parametrize("status", [204, 302, 403, 500])
def test_any_other_status_than_200_goes_to_the_fallback_once(
    driver: WorkspaceDriver, receiver: Receiver, status: Any
) -> None:
    url = receiver.answer("/assign", {"instruction": "accept"}, status=status)
    driver.callbacks(url, receiver.answer("/fallback", {"instruction": "accept"}))
    driver.worker()
    task_sid = driver.task()
    driver.settle()
    assert driver.status(task_sid) == "assigned"
    [primary], [fallback] = receiver.on("/assign"), receiver.on("/fallback")
    assert fallback.form == primary.form
    assert RequestValidator(driver.emulator.auth_token).validate(
        receiver.base_url + "/fallback", fallback.form, fallback.headers["x-twilio-signature"]
    )
    assert len(driver.emulator.log.entries("fallback_sent")) == 1


def test_204_is_an_answer_when_the_switch_says_so(driver: WorkspaceDriver, receiver: Receiver) -> None:
    driver.emulator.switches.no_content_is_an_answer = True
    driver.callbacks(receiver.answer("/assign", "", status=204), receiver.answer("/fallback", {}))
    driver.worker()
    driver.task()
    driver.settle()
    assert receiver.on("/fallback") == []


def test_when_both_urls_fail_the_reservation_stays_pending(driver: WorkspaceDriver, receiver: Receiver) -> None:
    driver.callbacks(receiver.answer("/assign", status=500), receiver.answer("/fallback", status=500))
    driver.worker()
    task_sid = driver.task()
    driver.settle()
    assert driver.reservation(task_sid).reservation_status == "pending"
    assert len(receiver.on("/fallback")) == 1


def test_an_answer_that_drips_is_cut_at_the_total_deadline(driver: WorkspaceDriver, receiver: Receiver) -> None:
    """Every byte comes in time for a per-read time-out; the whole does not."""
    driver.emulator.switches.assignment_deadline_s = 0.3
    hung_up = threading.Event()

    def drip(out: Any) -> None:
        out.write(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n")
        for _ in range(600):
            try:
                out.write(b" ")
            except OSError:
                hung_up.set()
                return
            time.sleep(0.02)

    driver.callbacks(receiver.write_raw("/assign", drip), receiver.answer("/fallback", {"instruction": "accept"}))
    driver.worker()
    task_sid = driver.task()
    failed = driver.emulator.log.wait_for("assignment_callback_failed")
    assert 300 <= failed["elapsed_ms"] < 600
    assert hung_up.wait(5)
    driver.settle()
    assert driver.status(task_sid) == "assigned"


def test_a_late_answer_is_not_executed(driver: WorkspaceDriver, receiver: Receiver) -> None:
    driver.emulator.switches.assignment_deadline_s = 0.2
    over = threading.Event()
    receiver.before = lambda _received: over.wait(5)
    driver.callbacks(receiver.answer("/assign", {"instruction": "accept"}))
    driver.worker()
    task_sid = driver.task()
    failed = driver.emulator.log.wait_for("assignment_callback_failed")
    over.set()
    driver.settle()
    assert failed["elapsed_ms"] < 500
    assert driver.reservation(task_sid).reservation_status == "pending"


def test_a_refused_connection_is_tried_twice_then_the_fallback_is_asked(
    driver: WorkspaceDriver, receiver: Receiver, unused_port: int
) -> None:
    driver.callbacks(f"http://127.0.0.1:{unused_port}/assign", receiver.answer("/fallback", {"instruction": "accept"}))
    driver.worker()
    task_sid = driver.task()
    driver.settle()
    [primary, fallback] = driver.emulator.deliveries.records()
    assert (primary.attempts, primary.status, fallback.attempts, fallback.status) == (2, None, 1, 200)
    assert primary.error is not None
    assert "refused" in primary.error
    assert driver.status(task_sid) == "assigned"


def test_one_slow_receiver_does_not_hold_up_other_callbacks(driver: WorkspaceDriver, receiver: Receiver) -> None:
    """Twenty callbacks meet inside the receiver: none waits for another's answer."""
    barrier = threading.Barrier(20)
    receiver.before = lambda _received: barrier.wait(5)
    driver.callbacks(receiver.answer("/assign", {"instruction": "accept"}))
    tasks = [driver.task() for _ in range(20)]
    for number in range(20):
        driver.worker(f"worker {number}")
    driver.settle()
    assert {driver.status(task_sid) for task_sid in tasks} == {"assigned"}


@pytest.mark.parametrize(
    ("fragment", "status", "tries"),
    [
        ("", 503, 1),
        ("#rc=2&rp=5xx", 503, 3),
        ("#rc=2&rp=4xx", 503, 1),
        ("#rc=1&rp=all", 404, 2),
        ("#rc=9&rp=5xx", 503, 2),
        ("#rc=0&rp=5xx", 503, 1),
        ("#rc=many&rp=never", 503, 1),
    ],
)
def test_the_fragment_of_the_url_says_what_is_tried_again(
    driver: WorkspaceDriver, receiver: Receiver, fragment: str, status: Any, tries: Any
) -> None:
    driver.callbacks(receiver.answer("/assign", status=status) + fragment)
    driver.worker()
    driver.task()
    driver.settle()
    [delivery] = driver.emulator.deliveries.records("assignment")
    assert (delivery.attempts, delivery.status, len(receiver.on("/assign"))) == (tries, status, tries)


def test_a_retry_that_succeeds_is_the_answer(driver: WorkspaceDriver, receiver: Receiver) -> None:
    url = receiver.answer("/assign", status=503)
    receiver.before = lambda _received: (
        len(receiver.on("/assign")) == 1 and receiver.answer("/assign", {"instruction": "accept"})
    )
    driver.callbacks(url + "#rc=3&rp=5xx")
    driver.worker()
    task_sid = driver.task()
    driver.settle()
    assert (driver.status(task_sid), len(receiver.on("/assign"))) == ("assigned", 2)


def test_a_read_limit_of_its_own_ends_sooner_than_the_deadline(driver: WorkspaceDriver, receiver: Receiver) -> None:
    over = threading.Event()
    receiver.before = lambda received: over.wait(5) if received.path == "/assign" else None
    driver.callbacks(
        receiver.answer("/assign", {}) + "#rt=200", receiver.answer("/fallback", {"instruction": "accept"})
    )
    driver.worker()
    task_sid = driver.task()
    failed = driver.emulator.log.wait_for("assignment_callback_failed")
    over.set()
    assert 200 <= failed["elapsed_ms"] < 2000
    driver.settle()
    assert driver.status(task_sid) == "assigned"


@pytest.mark.parametrize(
    ("fragment", "wanted"),
    [
        ("", ConnectionOverrides()),
        ("ct=100&rt=2500&tt=15000", ConnectionOverrides(connect_s=0.1, read_s=2.5, total_s=15.0)),
        ("ct=99&rt=15001&tt=soon", ConnectionOverrides()),
        ("rc=5&rp=5xx,rt,nonsense", ConnectionOverrides(retries=5, retry_on=frozenset({"5xx", "rt"}))),
        ("rp=all&sni=n&e=dublin", ConnectionOverrides(retry_on=frozenset({"4xx", "5xx", "ct", "rt"}))),
    ],
)
def test_overrides_are_read_and_what_is_out_of_range_is_not(fragment: str, wanted: Any) -> None:
    assert connection_overrides.parse(f"https://hooks.example.test/a?b=c#{fragment}") == wanted
