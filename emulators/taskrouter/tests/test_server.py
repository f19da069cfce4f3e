"""The running emulator: ready at once, keep-alive, a ticking clock, and nothing left after it stops."""

import ast
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import requests
from twilio.rest import Client

import taskrouter_emulator
from support.receiver import Receiver
from support.workspace_driver import WorkspaceDriver
from taskrouter_emulator import EmulatorServer
from taskrouter_emulator.transport.http_server import HttpServer

ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - for the length of a test
SOURCES = str(Path(taskrouter_emulator.__file__).parents[1])


def test_it_answers_when_the_constructor_returns_and_leaves_nothing_behind() -> None:
    before = set(threading.enumerate())
    with EmulatorServer() as emulator, socket.create_connection(("127.0.0.1", _port(emulator))) as idle:
        assert requests.get(f"{emulator.base_url}/_emulator/healthz", timeout=5).status_code == 200
        idle.sendall(b"GET /half HTTP/1.1\r\n")
        emulator.stop()
        assert idle.recv(10) == b""
    assert set(threading.enumerate()) <= before
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{emulator.base_url}/_emulator/healthz", timeout=5)


def test_stopping_waits_for_a_connection_that_was_closed_but_whose_thread_still_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed, stopped, outlived = threading.Event(), threading.Event(), []
    close = HttpServer.shutdown_request

    def linger(server: HttpServer, request: Any) -> None:
        close(server, request)
        closed.set()
        outlived.append(stopped.wait(0.5))

    monkeypatch.setattr(HttpServer, "shutdown_request", linger)
    with EmulatorServer() as emulator:
        requests.get(f"{emulator.base_url}/_emulator/healthz", headers={"Connection": "close"}, timeout=5)
        assert closed.wait(5)
        emulator.stop()
        stopped.set()
    assert outlived == [False]


def test_stopping_cuts_a_callback_under_way_and_may_be_repeated(driver: WorkspaceDriver, receiver: Receiver) -> None:
    over, arrived = threading.Event(), threading.Event()

    def hold(_received: Any) -> None:
        arrived.set()
        over.wait(5)

    receiver.before = hold
    driver.callbacks(receiver.answer("/assign", {}))
    driver.worker()
    driver.task()
    assert arrived.wait(5)
    driver.emulator.stop()
    over.set()
    [failed] = driver.emulator.log.entries("assignment_callback_failed")
    assert failed["elapsed_ms"] < 4000
    driver.emulator.stop()


def test_one_connection_serves_many_requests(emulator: EmulatorServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", _port(emulator))
    connection.connect()
    connected = connection.sock
    for path in ("/_emulator/healthz", "/v1/Workspaces", "/nowhere", "/_emulator/healthz"):
        connection.request("GET", path)
        response = connection.getresponse()
        assert response.read()
        assert response.version == 11
        assert connection.sock is connected
    connection.close()


def test_bodies_of_another_coding_or_too_large_are_refused(emulator: EmulatorServer) -> None:
    absurd = {"Content-Length": "9" * 5000}
    for headers, status in (
        ({"Transfer-Encoding": "gzip, chunked"}, 501),
        ({"Content-Length": "99999999"}, 413),
        (absurd, 413),
    ):
        connection = http.client.HTTPConnection("127.0.0.1", _port(emulator))
        connection.putrequest("POST", "/v1/Workspaces")
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        refusal = json.loads(response.read())
        assert (response.status, refusal["status"], refusal["code"]) == (status, status, 20000 + status)
        connection.close()


def test_even_what_is_no_request_is_refused_in_taskrouters_form(emulator: EmulatorServer) -> None:
    with socket.create_connection(("127.0.0.1", _port(emulator))) as connected:
        connected.sendall(b"PROPFIND /v1/Workspaces HTTP/1.1\r\nHost: emulator\r\n\r\n")
        head, _, body = b"".join(iter(lambda: connected.recv(4096), b"")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 501 ")
    assert set(json.loads(body)) == {"code", "message", "more_info", "status"}


def test_time_passes_by_itself(receiver: Receiver) -> None:
    """With the ticker on, a dialled worker answers without anybody advancing the clock."""
    with EmulatorServer() as emulator:
        workspace = emulator.state.provisioning.create_workspace("Support")
        queue = emulator.state.provisioning.create_task_queue(workspace, "Everybody")
        emulator.state.provisioning.create_workflow(
            workspace,
            "Main",
            f'{{"task_routing": {{"default_filter": {{"queue": "{queue.sid}"}}}}}}',
            assignment_callback_url=receiver.answer("/assign", {"instruction": "dequeue", "to": "client:dana"}),
        )
        available = next(activity for activity in workspace.activities.values() if activity.available)
        emulator.state.provisioning.create_worker(workspace, "dana", activity=available)
        task = emulator.state.tasks.create_task(workspace, attributes='{"call_sid":"CA1"}')
        assert emulator.log.wait_for("reservation_accepted")["task_sid"] == task.sid


def test_an_api_key_may_enter_too() -> None:
    with EmulatorServer(api_keys={"SK" + "1" * 32: "secret"}) as emulator:
        client = Client("SK" + "1" * 32, "secret", emulator.account_sid)
        client.taskrouter.base_url = emulator.base_url
        assert client.taskrouter.v1.workspaces.list() == []
        client.http_client.session.close()


def test_the_same_seed_gives_the_same_sids() -> None:
    def first_sid() -> Any:
        with EmulatorServer(seed="seven", ticking=False) as emulator:
            return emulator.state.provisioning.create_workspace("Support").sid

    assert first_sid() == first_sid()


@pytest.mark.scenario
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_as_a_process_it_says_where_it_is_and_ends_silently(number: signal.Signals) -> None:
    environment = {"PATH": os.environ["PATH"], "TWILIO_AUTH_TOKEN": "mine", "PYTHONPATH": SOURCES}
    command = [sys.executable, "-m", "taskrouter_emulator", "--port", "0"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split(" at ")[1].split(",")[0]
        assert requests.get(f"{address}/_emulator/healthz", timeout=5).json() == {"status": "ok"}
        auth = ("AC" + "0" * 32, "mine")
        assert requests.get(f"{address}/v1/Workspaces", auth=auth, timeout=5).status_code == 200
        process.send_signal(number)
        _, said = process.communicate(timeout=5)
        assert (process.returncode, said) == (0, "")


@pytest.mark.scenario
@pytest.mark.parametrize(
    ("options", "environment", "warned"),
    [
        (["--host", ANY_ADDRESS], {}, True),
        (["--host", ANY_ADDRESS, "--token", "ours"], {}, False),
        (["--host", ANY_ADDRESS], {"TASKROUTER_EMULATOR_TOKEN": "ours"}, False),
        (["--host", "localhost"], {}, False),
    ],
    ids=["open", "token", "token of the environment", "loopback"],
)
def test_who_lets_others_in_is_warned(options: list[str], environment: dict[str, str], warned: bool) -> None:
    environment |= {"PATH": os.environ["PATH"], "PYTHONPATH": SOURCES}
    command = [sys.executable, "-m", "taskrouter_emulator", "--port", "0", *options]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        port = process.stdout.readline().split(",")[0].rpartition(":")[2]
        status = requests.get(f"http://127.0.0.1:{port}/_emulator/log", timeout=5).status_code
        assert status == (200 if warned or "localhost" in options else 401)
        process.terminate()
        _, said = process.communicate(timeout=5)
    assert ("--token" in said) == warned


@pytest.mark.scenario
def test_a_taken_port_gives_one_clear_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-W", "error", "-m", "taskrouter_emulator", "--port", port]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr == f"Cannot listen on 127.0.0.1:{port}: Address already in use\n"


def test_the_package_imports_flask_and_the_standard_library_alone() -> None:
    allowed = set(sys.stdlib_module_names) | {"flask", "werkzeug", "_typeshed", "taskrouter_emulator"}
    for path in Path(taskrouter_emulator.__file__).parent.rglob("*.py"):
        own = allowed | {"pytest"} if path.name == "pytest_plugin.py" else allowed
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert {alias.name.split(".")[0] for alias in node.names} <= own, path
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, path
                assert (node.module or "").split(".")[0] in own, path


def _port(emulator: EmulatorServer) -> Any:
    return int(emulator.base_url.rpartition(":")[2])
