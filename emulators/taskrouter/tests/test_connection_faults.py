"""Faults of the connection and of what travels on it, seen from a bare socket."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
import requests
import urllib3

LONG_S = 600.0


@dataclass
class Caller:
    """Sends requests of one account on sockets of its own, and reads what comes, as it comes."""

    address: tuple[str, int]
    authorization: str
    open: ExitStack

    def send(self, method: str, path: str, body: str = "") -> socket.socket:
        """A new connection on which this request has been sent."""
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
def caller(emulator) -> Iterator[Caller]:
    authorization = urllib3.make_headers(basic_auth=f"{emulator.account_sid}:{emulator.auth_token}")["authorization"]
    with ExitStack() as connections:
        host, _, port = emulator.base_url.removeprefix("http://").partition(":")
        yield Caller((host, int(port)), authorization, connections)


@pytest.fixture
def tasks(desk) -> str:
    """The path of a workspace's tasks."""
    return f"/v1/Workspaces/{desk.workspace.fetch().sid}/Tasks"


def interpret_response(connected: socket.socket, octets: bytes = b"") -> tuple[str, dict[str, str], bytes]:
    """Status line, headers in lower case and body of one complete answer, of which some may have been read."""
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


def wait_for_strike(desk, kind: str) -> dict[str, object]:
    return desk.emulator.log.wait_for("fault_struck", fault=kind)


def test_a_stall_says_nothing_until_it_is_over_and_then_hangs_up(desk, caller, tasks):
    fault = desk.emulator.faults.stall(LONG_S, method="POST")
    connected = caller.send("POST", tasks, "Attributes={}")
    struck = wait_for_strike(desk, "stall")
    assert (struck["method"], struck["path"], struck["fault_id"], fault.hits) == ("POST", tasks, fault.id, 1)
    connected.setblocking(False)
    with pytest.raises(BlockingIOError):
        connected.recv(1)
    connected.settimeout(10)
    assert desk.workspace.tasks.list() == []
    desk.emulator.faults.clear(fault.id)
    assert connected.recv(1) == b""
    assert desk.workspace.tasks.list() == []
    assert desk.emulator.log.entries("rest_answered", method="POST", path=tasks) == []


def test_a_stall_after_processing_has_done_what_was_asked(desk, caller):
    """The POST whose answer never came."""
    task_sid = desk.task()
    path = desk.workspace.tasks(task_sid).fetch().url.removeprefix(desk.emulator.base_url)
    desk.emulator.faults.stall(LONG_S, after_processing=True, times=1)
    connected = caller.send("POST", path, "Attributes=%7B%22crm%22%3A1%7D")
    assert wait_for_strike(desk, "stall")["task_sid"] == task_sid
    assert desk.workspace.tasks(task_sid).fetch().attributes == '{"crm":1}'
    desk.emulator.faults.clear()
    assert connected.recv(1) == b""


def test_a_stall_ends_by_itself(desk, caller, tasks):
    desk.emulator.faults.stall(0.05)
    assert caller.send("GET", tasks).recv(1) == b""


def test_a_stall_that_is_used_up_can_still_be_cleared_by_its_number(desk, caller, tasks, http):
    url = f"{desk.emulator.base_url}/_emulator/faults"
    number = http.post(url, json={"kind": "stall", "times": 1}).json()["id"]
    connected = caller.send("GET", tasks)
    wait_for_strike(desk, "stall")
    assert http.get(url).json() == {"faults": []}
    assert http.delete(f"{url}/{number}").status_code == 204
    assert connected.recv(1) == b""


@pytest.mark.parametrize("after_processing", [False, True])
def test_stopping_does_not_wait_for_stalls_and_drips(desk, caller, tasks, after_processing):
    desk.emulator.faults.stall(LONG_S, times=1, after_processing=after_processing)
    desk.emulator.faults.drip_headers(LONG_S)
    stalled = caller.send("GET", tasks)
    wait_for_strike(desk, "stall")
    dripping = caller.send("GET", tasks)
    assert read(dripping) == b"H"
    began = time.monotonic()
    desk.emulator.stop()
    assert time.monotonic() - began < 5
    assert stalled.recv(1) == b""


def test_a_latency_ends_when_it_is_cleared(desk, caller, tasks):
    desk.emulator.faults.latency(LONG_S, times=1)
    connected = caller.send("GET", tasks)
    wait_for_strike(desk, "latency")
    desk.emulator.faults.clear()
    assert interpret_response(connected)[0] == "HTTP/1.1 200 OK"


def test_headers_drip_byte_by_byte(desk, caller, tasks):
    desk.emulator.faults.drip_headers(0.0005, times=1)
    began = time.monotonic()
    connected = caller.send("GET", tasks)
    status, headers, body = interpret_response(connected)
    assert time.monotonic() - began >= 0.0005 * sum(len(f"{name}: {value}\r\n") for name, value in headers.items())
    assert (status, json.loads(body)["tasks"]) == ("HTTP/1.1 200 OK", [])
    caller.send_on(connected, "GET", tasks)
    assert interpret_response(connected)[2] == body


def test_clearing_lets_dripping_headers_run(desk, caller, tasks):
    desk.emulator.faults.drip_headers(LONG_S)
    connected = caller.send("GET", tasks)
    first = read(connected)
    assert first == b"H"
    desk.emulator.faults.clear()
    assert interpret_response(connected, first)[0] == "HTTP/1.1 200 OK"


def test_a_body_drips_after_its_headers(desk, caller, tasks):
    desk.emulator.faults.drip_body(LONG_S)
    connected = caller.send("GET", tasks)
    octets = b""
    while b"\r\n\r\n" not in octets or octets.endswith(b"\r\n\r\n"):
        octets += read(connected)
    assert octets.endswith(b"\r\n\r\n{")
    desk.emulator.faults.clear()
    _, headers, body = interpret_response(connected, octets)
    assert int(headers["content-length"]) == len(body) > 100
    assert json.loads(body)["tasks"] == []


def test_a_body_drips_to_its_end(desk, caller, tasks):
    desk.emulator.faults.drip_body(0.0002)
    began = time.monotonic()
    body = interpret_response(caller.send("GET", tasks))[2]
    assert time.monotonic() - began >= 0.0002 * (len(body) - 1)
    assert json.loads(body)["tasks"] == []


@pytest.mark.parametrize("after_processing", [False, True])
def test_a_reset_is_no_orderly_end(desk, caller, tasks, after_processing):
    desk.emulator.faults.reset(after_processing=after_processing, method="POST", times=1)
    connected = caller.send("POST", tasks, "Attributes={}")
    with pytest.raises(ConnectionResetError):
        connected.recv(1)
    assert wait_for_strike(desk, "reset")["path"] == tasks
    assert len(desk.workspace.tasks.list()) == int(after_processing)


def test_a_cut_answer_ends_in_the_middle_of_its_body(desk, http, tasks):
    desk.emulator.faults.cut(times=1)
    with pytest.raises(requests.exceptions.ChunkedEncodingError) as caught:
        http.post(desk.emulator.base_url + tasks, data={"Attributes": "{}"})
    broken = caught.value.args[0].args[1]
    assert isinstance(broken, urllib3.exceptions.IncompleteRead)
    assert broken.partial > 100
    assert abs(broken.partial - broken.expected) <= 1
    assert len(desk.workspace.tasks.list()) == 1


@pytest.mark.parametrize("status", [200, 201, 502])
@pytest.mark.parametrize("after_processing", [False, True])
def test_a_page_of_html_comes_instead_of_json(desk, http, tasks, status, after_processing):
    desk.emulator.faults.html(status, after_processing=after_processing, times=1)
    answer = http.post(desk.emulator.base_url + tasks, data={"Attributes": "{}"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "text/html; charset=utf-8")
    assert answer.text.startswith("<!DOCTYPE html>")
    assert len(desk.workspace.tasks.list()) == int(after_processing)


def test_broken_json_looks_right_but_for_its_end(desk, http, tasks):
    desk.emulator.faults.broken_json(times=1)
    answer = http.post(desk.emulator.base_url + tasks, data={"Attributes": "{}"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (201, "application/json")
    assert int(answer.headers["Content-Length"]) == len(answer.content) > 100
    with pytest.raises(requests.JSONDecodeError):
        answer.json()
    assert len(desk.workspace.tasks.list()) == 1


def test_an_answer_lacks_its_etag_if_it_would_have_had_one(desk, http, tasks):
    fault = desk.emulator.faults.without_etag(times=1)
    task_sid = desk.task()
    assert fault.hits == 1
    desk.emulator.faults.without_etag()
    url = f"{desk.emulator.base_url}{tasks}"
    assert "ETag" not in http.get(f"{url}/{task_sid}").headers
    http.get(url)
    assert [struck["path"] for struck in desk.emulator.log.entries("fault_struck")] == [tasks, f"{tasks}/{task_sid}"]
    desk.emulator.faults.clear()
    assert http.get(f"{url}/{task_sid}").headers["ETag"] == '"0"'


def test_an_answer_without_a_body_cannot_be_cut(desk, http, tasks):
    url = f"{desk.emulator.base_url}{tasks}/{desk.task()}"
    for set_fault in (desk.emulator.faults.cut, desk.emulator.faults.broken_json, desk.emulator.faults.drip_body):
        set_fault()
    assert http.head(url).status_code == 200
    assert http.delete(url).status_code == 204
    assert [fault.hits for fault in desk.emulator.faults.all()] == [0, 0, 0]


@pytest.mark.parametrize(("given", "sent"), [(7, "7"), ("Wed, 21 Oct 2026 07:28:00 GMT",) * 2, (None, None)])
def test_a_status_may_say_when_to_come_back(desk, http, tasks, given, sent):
    desk.emulator.faults.status(429, retry_after=given)
    answer = http.get(desk.emulator.base_url + tasks)
    assert (answer.status_code, answer.headers.get("Retry-After")) == (429, sent)


def test_of_two_that_exclude_each_other_the_older_strikes(desk, http, tasks):
    older, newer = desk.emulator.faults.html(times=1), desk.emulator.faults.status(503)
    answers = [http.get(desk.emulator.base_url + tasks).status_code for _ in range(2)]
    assert (answers, older.hits, newer.hits) == ([200, 503], 1, 1)


def test_who_may_not_enter_is_not_struck(desk, http, tasks):
    fault = desk.emulator.faults.stall(LONG_S)
    late = desk.emulator.faults.cut()
    assert http.get(desk.emulator.base_url + tasks, auth=("AC" + "9" * 32, "wrong")).status_code == 401
    assert (fault.hits, late.hits) == (0, 0)


def test_fifty_stalled_connections_hold_up_nobody_else(desk, caller, tasks):
    fault = desk.emulator.faults.stall(LONG_S, path="/Tasks$", method="GET", after_processing=True)
    stalled = [caller.send("GET", tasks) for _ in range(50)]
    seen = 0
    for _ in stalled:
        seen = desk.emulator.log.wait_for("fault_struck", after=seen)["seq"]
    assert fault.hits == 50
    assert desk.task()
    desk.emulator.faults.clear()
    assert {connected.recv(1) for connected in stalled} == {b""}


@pytest.mark.parametrize(
    "wanted",
    [
        {"kind": "stall", "seconds": 10, "after_processing": True, "method": "POST", "path": "/Tasks/"},
        {"kind": "reset", "after_processing": True, "times": 3},
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
def test_each_is_set_listed_and_cleared_over_http(emulator, http, wanted):
    url = f"{emulator.base_url}/_emulator/faults"
    made = http.post(url, json=wanted).json()
    assert made == {"id": "F1", "times": None, "method": None, "path": None, "hits": 0} | wanted
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
def test_one_that_makes_no_sense_is_refused(emulator, http, wrong):
    answer = http.post(f"{emulator.base_url}/_emulator/faults", data=json.dumps(wrong))
    assert answer.status_code == 400
    assert emulator.faults.all() == []


def test_an_assignment_callback_is_sent_twice_at_once_and_obeyed_once(desk, receiver):
    both = threading.Barrier(2)
    receiver.before = lambda _received: both.wait(5)
    desk.emulator.switches.duplicate_callbacks = True
    desk.callbacks(receiver.answer("/assign", {"instruction": "accept"}))
    desk.worker()
    task_sid = desk.task()
    desk.set_reservation_status()
    first, second = receiver.on("/assign")
    assert first.form == second.form
    assert first.headers["i-twilio-idempotency-token"] == second.headers["i-twilio-idempotency-token"]
    assert (
        desk.kinds("assignment_callback_answered", "reservation_accepted", "alert").count("reservation_accepted") == 1
    )
    assert (desk.status(task_sid), desk.alerts()) == ("assigned", [])


def test_the_fallback_of_a_doubled_callback_is_asked_once(desk, receiver):
    desk.emulator.switches.duplicate_callbacks = True
    desk.callbacks(receiver.answer("/assign", status=500), receiver.answer("/fallback", {"instruction": "accept"}))
    desk.worker()
    task_sid = desk.task()
    desk.set_reservation_status()
    assert (len(receiver.on("/assign")), len(receiver.on("/fallback"))) == (2, 1)
    assert desk.status(task_sid) == "assigned"


def test_an_event_callback_is_sent_twice(desk, receiver):
    desk.emulator.switches.duplicate_events = True
    desk.workspace.update(event_callback_url=receiver.answer("/events", "", status=204), events_filter="task.created")
    desk.task()
    desk.emulator.deliveries.wait_until_idle()
    first, second = receiver.on("/events")
    assert first.form == second.form
