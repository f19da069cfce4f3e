"""Faults of the connection and of what travels on it, seen from a bare socket."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
import requests
import urllib3
from requests import Session

from support.receiver import Receiver
from support.workspace_driver import WorkspaceDriver
from taskrouter_emulator import EmulatorServer

LONG_S = 600.0


@dataclass
class Caller:
    """Sends requests with credentials on sockets of its own, and reads what arrives, as it arrives."""

    address: tuple[str, int]
    authorization: str
    open: ExitStack

    def send(self, method: str, path: str, body: str = "") -> socket.socket:
        """Send this request on a new connection, and return the connection."""
        connected = self.open.enter_context(socket.create_connection(self.address, timeout=10))
        self.send_on(connected, method, path, body)
        return connected

    def send_on(self, connected: socket.socket, method: str, path: str, body: str = "") -> None:
        lines = [
            f"{method} {path} HTTP/1.1",
            "Host: emulator",
            f"Authorization: {self.authorization}",
            "Content-Type: application/x-www-form-urlencoded",
            f"Content-Length: {len(body)}",
        ]
        connected.sendall("\r\n".join([*lines, "", body]).encode())


@pytest.fixture
def caller(emulator: EmulatorServer) -> Iterator[Caller]:
    authorization = urllib3.make_headers(basic_auth=f"{emulator.account_sid}:{emulator.auth_token}")["authorization"]
    with ExitStack() as connections:
        host, _, port = emulator.base_url.removeprefix("http://").partition(":")
        yield Caller((host, int(port)), authorization, connections)


@pytest.fixture
def tasks(driver: WorkspaceDriver) -> str:
    """The path of a workspace's tasks."""
    return f"/v1/Workspaces/{driver.workspace.fetch().sid}/Tasks"


def read_response(connected: socket.socket, octets: bytes = b"") -> tuple[str, dict[str, str], bytes]:
    """Return status line, headers in lower case and body of one complete response, part of which may have been read."""
    while b"\r\n\r\n" not in octets:
        octets += read(connected)
    head, _, body = octets.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    while len(body) < int(headers["content-length"]):
        body += read(connected)
    return status, headers, body


def read(connected: socket.socket) -> bytes:
    octets = connected.recv(65_536)
    assert octets, "the connection ended too early"
    return octets


def wait_for_strike(driver: WorkspaceDriver, kind: str) -> dict[str, object]:
    return driver.emulator.log.wait_for("fault_struck", fault=kind)


def test_a_stall_says_nothing_until_it_is_over_and_then_hangs_up(
    driver: WorkspaceDriver, caller: Caller, tasks: str
) -> None:
    fault = driver.emulator.faults.stall(LONG_S, method="POST")
    connected = caller.send("POST", tasks, "Attributes={}")
    struck = wait_for_strike(driver, "stall")
    assert (struck["method"], struck["path"], struck["fault_id"], fault.hits) == ("POST", tasks, fault.id, 1)
    connected.setblocking(False)
    with pytest.raises(BlockingIOError):
        connected.recv(1)
    connected.settimeout(10)
    assert driver.workspace.tasks.list() == []
    driver.emulator.faults.clear(fault.id)
    assert connected.recv(1) == b""
    assert driver.workspace.tasks.list() == []
    assert driver.emulator.log.entries("rest_answered", method="POST", path=tasks) == []


def test_a_stall_after_processing_has_done_what_was_asked(driver: WorkspaceDriver, caller: Caller) -> None:
    """A POST whose response never arrives."""
    task_sid = driver.task()
    path = driver.workspace.tasks(task_sid).fetch().url.removeprefix(driver.emulator.base_url)
    driver.emulator.faults.stall(LONG_S, after_processing=True, times=1)
    connected = caller.send("POST", path, "Attributes=%7B%22crm%22%3A1%7D")
    assert wait_for_strike(driver, "stall")["task_sid"] == task_sid
    assert driver.workspace.tasks(task_sid).fetch().attributes == '{"crm":1}'
    driver.emulator.faults.clear()
    assert connected.recv(1) == b""


def test_a_stall_ends_by_itself(driver: WorkspaceDriver, caller: Caller, tasks: str) -> None:
    driver.emulator.faults.stall(0.05)
    assert caller.send("GET", tasks).recv(1) == b""


def test_a_stall_that_is_used_up_can_still_be_cleared_by_its_number(
    driver: WorkspaceDriver, caller: Caller, tasks: str, http: Session
) -> None:
    url = f"{driver.emulator.base_url}/_emulator/faults"
    number = http.post(url, json={"kind": "stall", "times": 1}).json()["id"]
    connected = caller.send("GET", tasks)
    wait_for_strike(driver, "stall")
    assert http.get(url).json() == {"faults": []}
    assert http.delete(f"{url}/{number}").status_code == 204
    assert connected.recv(1) == b""


@pytest.mark.parametrize("after_processing", [False, True])
def test_stopping_does_not_wait_for_stalls_and_drips(
    driver: WorkspaceDriver, caller: Caller, tasks: str, after_processing: bool
) -> None:
    driver.emulator.faults.stall(LONG_S, times=1, after_processing=after_processing)
    driver.emulator.faults.drip_headers(LONG_S)
    stalled = caller.send("GET", tasks)
    wait_for_strike(driver, "stall")
    dripping = caller.send("GET", tasks)
    assert read(dripping) == b"H"
    began = time.monotonic()
    driver.emulator.stop()
    assert time.monotonic() - began < 5
    assert stalled.recv(1) == b""


def test_a_latency_ends_when_it_is_cleared(driver: WorkspaceDriver, caller: Caller, tasks: str) -> None:
    driver.emulator.faults.latency(LONG_S, times=1)
    connected = caller.send("GET", tasks)
    wait_for_strike(driver, "latency")
    driver.emulator.faults.clear()
    assert read_response(connected)[0] == "HTTP/1.1 200 OK"


def test_headers_drip_byte_by_byte(driver: WorkspaceDriver, caller: Caller, tasks: str) -> None:
    driver.emulator.faults.drip_headers(0.0005, times=1)
    began = time.monotonic()
    connected = caller.send("GET", tasks)
    status, headers, body = read_response(connected)
    assert time.monotonic() - began >= 0.0005 * sum(len(f"{name}: {value}\r\n") for name, value in headers.items())
    assert (status, json.loads(body)["tasks"]) == ("HTTP/1.1 200 OK", [])
    caller.send_on(connected, "GET", tasks)
    assert read_response(connected)[2] == body


def test_clearing_lets_dripping_headers_run(driver: WorkspaceDriver, caller: Caller, tasks: str) -> None:
    driver.emulator.faults.drip_headers(LONG_S)
    connected = caller.send("GET", tasks)
    first = read(connected)
    assert first == b"H"
    driver.emulator.faults.clear()
    assert read_response(connected, first)[0] == "HTTP/1.1 200 OK"


def test_a_body_drips_after_its_headers(driver: WorkspaceDriver, caller: Caller, tasks: str) -> None:
    driver.emulator.faults.drip_body(LONG_S)
    connected = caller.send("GET", tasks)
    octets = b""
    while b"\r\n\r\n" not in octets or octets.endswith(b"\r\n\r\n"):
        octets += read(connected)
    assert octets.endswith(b"\r\n\r\n{")
    driver.emulator.faults.clear()
    _, headers, body = read_response(connected, octets)
    assert int(headers["content-length"]) == len(body) > 100
    assert json.loads(body)["tasks"] == []


def test_a_body_drips_to_its_end(driver: WorkspaceDriver, caller: Caller, tasks: str) -> None:
    driver.emulator.faults.drip_body(0.0002)
    began = time.monotonic()
    body = read_response(caller.send("GET", tasks))[2]
    assert time.monotonic() - began >= 0.0002 * (len(body) - 1)
    assert json.loads(body)["tasks"] == []


@pytest.mark.parametrize("after_processing", [False, True])
def test_a_reset_is_no_orderly_end(driver: WorkspaceDriver, caller: Caller, tasks: str, after_processing: bool) -> None:
    driver.emulator.faults.reset(after_processing=after_processing, method="POST", times=1)
    connected = caller.send("POST", tasks, "Attributes={}")
    with pytest.raises(ConnectionResetError):
        connected.recv(1)
    assert wait_for_strike(driver, "reset")["path"] == tasks
    assert len(driver.workspace.tasks.list()) == int(after_processing)


def test_a_cut_answer_ends_in_the_middle_of_its_body(driver: WorkspaceDriver, http: Session, tasks: str) -> None:
    driver.emulator.faults.cut(times=1)
    with pytest.raises(requests.exceptions.ChunkedEncodingError) as caught:
        http.post(driver.emulator.base_url + tasks, data={"Attributes": "{}"})
    broken = caught.value.args[0].args[1]
    assert isinstance(broken, urllib3.exceptions.IncompleteRead)
    assert broken.partial > 100
    assert abs(broken.partial - broken.expected) <= 1
    assert len(driver.workspace.tasks.list()) == 1


@pytest.mark.parametrize("status", [200, 201, 502])
@pytest.mark.parametrize("after_processing", [False, True])
def test_a_page_of_html_comes_instead_of_json(
    driver: WorkspaceDriver, http: Session, tasks: str, status: Any, after_processing: bool
) -> None:
    driver.emulator.faults.html(status, after_processing=after_processing, times=1)
    answer = http.post(driver.emulator.base_url + tasks, data={"Attributes": "{}"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "text/html; charset=utf-8")
    assert answer.text.startswith("<!DOCTYPE html>")
    assert len(driver.workspace.tasks.list()) == int(after_processing)


def test_broken_json_looks_right_but_for_its_end(driver: WorkspaceDriver, http: Session, tasks: str) -> None:
    driver.emulator.faults.broken_json(times=1)
    answer = http.post(driver.emulator.base_url + tasks, data={"Attributes": "{}"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (201, "application/json")
    assert int(answer.headers["Content-Length"]) == len(answer.content) > 100
    with pytest.raises(requests.JSONDecodeError):
        answer.json()
    assert len(driver.workspace.tasks.list()) == 1


def test_an_answer_lacks_its_etag_if_it_would_have_had_one(driver: WorkspaceDriver, http: Session, tasks: str) -> None:
    fault = driver.emulator.faults.without_etag(times=1)
    task_sid = driver.task()
    assert fault.hits == 1
    driver.emulator.faults.without_etag()
    url = f"{driver.emulator.base_url}{tasks}"
    assert "ETag" not in http.get(f"{url}/{task_sid}").headers
    http.get(url)
    assert [struck["path"] for struck in driver.emulator.log.entries("fault_struck")] == [tasks, f"{tasks}/{task_sid}"]
    driver.emulator.faults.clear()
    assert http.get(f"{url}/{task_sid}").headers["ETag"] == '"0"'


def test_an_answer_without_a_body_cannot_be_cut(driver: WorkspaceDriver, http: Session, tasks: str) -> None:
    url = f"{driver.emulator.base_url}{tasks}/{driver.task()}"
    for set_fault in (driver.emulator.faults.cut, driver.emulator.faults.broken_json, driver.emulator.faults.drip_body):
        set_fault()
    assert http.head(url).status_code == 200
    assert http.delete(url).status_code == 204
    assert [fault.hits for fault in driver.emulator.faults.all()] == [0, 0, 0]


@pytest.mark.parametrize(("given", "sent"), [(7, "7"), ("Wed, 21 Oct 2026 07:28:00 GMT",) * 2, (None, None)])
def test_a_status_may_say_when_to_come_back(
    driver: WorkspaceDriver, http: Session, tasks: str, given: Any, sent: Any
) -> None:
    driver.emulator.faults.status(429, retry_after=given)
    answer = http.get(driver.emulator.base_url + tasks)
    assert (answer.status_code, answer.headers.get("Retry-After")) == (429, sent)


def test_of_two_that_exclude_each_other_the_older_strikes(driver: WorkspaceDriver, http: Session, tasks: str) -> None:
    older, newer = driver.emulator.faults.html(times=1), driver.emulator.faults.status(503)
    answers = [http.get(driver.emulator.base_url + tasks).status_code for _ in range(2)]
    assert (answers, older.hits, newer.hits) == ([200, 503], 1, 1)


def test_who_may_not_enter_is_not_struck(driver: WorkspaceDriver, http: Session, tasks: str) -> None:
    fault = driver.emulator.faults.stall(LONG_S)
    late = driver.emulator.faults.cut()
    assert http.get(driver.emulator.base_url + tasks, auth=("AC" + "9" * 32, "wrong")).status_code == 401
    assert (fault.hits, late.hits) == (0, 0)


def test_fifty_stalled_connections_hold_up_nobody_else(driver: WorkspaceDriver, caller: Caller, tasks: str) -> None:
    fault = driver.emulator.faults.stall(LONG_S, path="/Tasks$", method="GET", after_processing=True)
    stalled = [caller.send("GET", tasks) for _ in range(50)]
    seen = 0
    for _ in stalled:
        seen = driver.emulator.log.wait_for("fault_struck", after=seen)["seq"]
    assert fault.hits == 50
    assert driver.task()
    driver.emulator.faults.clear()
    assert {connected.recv(1) for connected in stalled} == {b""}


@pytest.mark.parametrize(
    "wanted",
    [
        {"kind": "stall", "seconds": 10, "after_processing": True, "method": "POST", "path": "/Tasks/"},
        {"kind": "reset", "after_processing": True, "times": 3, "every": 2},
        {"kind": "html", "status": 502, "after_processing": False},
        {"kind": "status", "status": 429, "retry_after": 3},
        {"kind": "broken_json"},
        {"kind": "without_etag"},
        {"kind": "cut"},
        {"kind": "drip_headers", "every_s": 0.5},
        {"kind": "drip_body", "every_s": 2},
    ],
    ids=lambda wanted: wanted["kind"],
)
def test_each_is_set_listed_and_cleared_over_http(emulator: EmulatorServer, http: Session, wanted: Any) -> None:
    url = f"{emulator.base_url}/_emulator/faults"
    made = http.post(url, json=wanted).json()
    assert made == {"id": "F1", "times": None, "every": 1, "method": None, "path": None, "hits": 0} | wanted
    assert http.get(url).json() == {"faults": [made]}
    assert http.delete(f"{url}/F1").status_code == 204
    assert http.get(url).json() == {"faults": []}


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "stall", "seconds": float("inf")},
        {"kind": "stall", "every_s": 1},
        {"kind": "stall", "after_processing": "yes"},
        {"kind": "drip_body", "every_s": -1},
        {"kind": "drip_body", "after_processing": False},
        {"kind": "html", "status": 204},
        {"kind": "html", "status": 600},
        {"kind": "status", "status": 429, "retry_after": True},
        {"kind": "status", "status": 429, "retry_after": "1\r\nX: y"},
    ],
)
def test_one_that_makes_no_sense_is_refused(emulator: EmulatorServer, http: Session, wrong: Any) -> None:
    answer = http.post(f"{emulator.base_url}/_emulator/faults", data=json.dumps(wrong))
    assert answer.status_code == 400
    assert emulator.faults.all() == []


def test_an_assignment_callback_is_sent_twice_at_once_and_obeyed_once(
    driver: WorkspaceDriver, receiver: Receiver
) -> None:
    both = threading.Barrier(2)
    receiver.before = lambda _received: both.wait(5)
    driver.emulator.switches.duplicate_callbacks = True
    driver.callbacks(receiver.answer("/assign", {"instruction": "accept"}))
    driver.worker()
    task_sid = driver.task()
    driver.settle()
    first, second = receiver.on("/assign")
    assert first.form == second.form
    assert first.headers["i-twilio-idempotency-token"] == second.headers["i-twilio-idempotency-token"]
    assert (
        driver.kinds("assignment_callback_answered", "reservation_accepted", "alert").count("reservation_accepted") == 1
    )
    assert (driver.status(task_sid), driver.alerts()) == ("assigned", [])


def test_the_fallback_of_a_doubled_callback_is_asked_once(driver: WorkspaceDriver, receiver: Receiver) -> None:
    driver.emulator.switches.duplicate_callbacks = True
    driver.callbacks(receiver.answer("/assign", status=500), receiver.answer("/fallback", {"instruction": "accept"}))
    driver.worker()
    task_sid = driver.task()
    driver.settle()
    assert (len(receiver.on("/assign")), len(receiver.on("/fallback"))) == (2, 1)
    assert driver.status(task_sid) == "assigned"


def test_an_event_callback_is_sent_twice(driver: WorkspaceDriver, receiver: Receiver) -> None:
    driver.emulator.switches.duplicate_events = True
    driver.workspace.update(event_callback_url=receiver.answer("/events", "", status=204), events_filter="task.created")
    driver.task()
    driver.emulator.deliveries.wait_until_idle()
    first, second = receiver.on("/events")
    assert first.form == second.form
