"""The SDK on our transport: against servers whose answers are wrong, and against lists without end."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from enrich import errors
from enrich.diagnosis import inspection
from enrich.taskrouter.client import MAX_PAGE_BYTES
from enrich.taskrouter.event_sinks import EventSinks
from enrich.taskrouter.sdk import MAX_PAGES, Transport, connect, translated
from tests.support.scripted_server import ScriptedServer, response

ACCOUNT = ("AC" + "0" * 32, "AC" + "0" * 32, "token")
Serve = Callable[..., ScriptedServer]


def page(key: str, rows: list[dict[str, Any]], next_url: str | None = None) -> bytes:
    return response(json.dumps({key: rows, "meta": {"key": key, "next_page_url": next_url}}).encode())


def workspace_row(number: int) -> dict[str, Any]:
    return {"sid": f"WS{number:032d}", "friendly_name": f"Centre {number}"}


def names(server: ScriptedServer) -> list[str]:
    """Read the workspaces. Raises TaskRouterError."""
    client = connect(server.url, *ACCOUNT)
    with translated(client, "reading"):
        return [workspace.friendly_name for workspace in client.taskrouter.v1.workspaces.list()]


def test_all_pages_of_a_list_are_read_on_one_connection(serve: Serve) -> None:
    server = serve()
    server.says += [page("workspaces", [workspace_row(1)], f"{server.url}/v1/Workspaces?PageToken=2")]
    server.says += [page("workspaces", [workspace_row(2)])]
    assert names(server) == ["Centre 1", "Centre 2"]
    assert [request.split(b" ")[1] for request in server.got] == [b"/v1/Workspaces", b"/v1/Workspaces?PageToken=2"]
    assert all(b"authorization: Basic " in request for request in server.got)
    assert server.connections == 1


@pytest.mark.parametrize(
    "address", ["{other}", "https://127.0.0.1:{port}", "http://localhost:{port}", "http://[", "//example.org"]
)
def test_credentials_go_to_no_other_address(serve: Serve, address: str) -> None:
    own, other = serve(), serve()
    port = own.url.rpartition(":")[2]
    own.says.append(page("workspaces", [], address.format(other=other.url, port=port) + "/v1/Workspaces?PageToken=2"))
    with pytest.raises(errors.NotUnderstood):
        names(own)
    assert (len(own.got), other.connections) == (1, 0)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param(
            response(
                gzip.compress(b'{"workspaces":[],"meta":{"key":"workspaces"}}'), headers="Content-Encoding: gzip\r\n"
            ),
            "not_understood",
            id="compressed, which nobody asked for",
        ),
        pytest.param(response(b"[" * 100_000), "not_understood", id="deep"),
        pytest.param(response(b"[]"), "not_understood", id="no object"),
        pytest.param(response(b" " * MAX_PAGE_BYTES), "not_understood", id="too long"),
        pytest.param(response(b"{}", status=302), "taskrouter_redirected", id="redirect"),
        pytest.param(response(b"{}", status=401), "not_authorized", id="401"),
        pytest.param(response(b"[" * 100_000, status=500), "taskrouter_failed", id="an error that is deep"),
        pytest.param(b"", "taskrouter_unreachable", id="nothing"),
    ],
)
def test_an_answer_that_is_none_says_why(serve: Serve, answer: bytes, reason: str) -> None:
    with pytest.raises(errors.TaskRouterError) as raised:
        names(serve(answer))
    assert raised.value.reason == reason


def doctor(server: ScriptedServer) -> None:
    inspection.workspaces(server.url, *ACCOUNT)


def sinks(server: ScriptedServer) -> None:
    EventSinks(server.url, *ACCOUNT).read()


@pytest.mark.parametrize("read", [names, doctor, sinks])
def test_a_list_without_end_is_given_up(serve: Serve, read: Callable[[ScriptedServer], object]) -> None:
    def reply(request: bytes) -> bytes:
        path = request.split(b" ")[1].decode().partition("?")[0]
        return page(path.rpartition("/")[2].lower(), [], f"{server.url}{path}?PageToken=next")

    server = serve(reply=reply)
    with pytest.raises(errors.NotUnderstood, match="pages"):
        read(server)
    assert len(server.got) == MAX_PAGES


def test_an_operation_has_a_time_limit(serve: Serve) -> None:
    server = serve(response(b"{}"))
    with pytest.raises(errors.TaskRouterTooSlow):
        Transport(server.url, operation_s=0.0).request("GET", server.url)
    assert server.got == []


def test_what_comes_in_drips_is_not_waited_for(serve: Serve) -> None:
    server = serve(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", response(b"{}"))
    with pytest.raises(errors.TaskRouterTooSlow):
        Transport(server.url).request("GET", server.url + "/v1/Workspaces", timeout=0.05)


def test_an_edge_of_the_environment_does_not_change_the_host(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWILIO_EDGE", "dublin")
    monkeypatch.setenv("TWILIO_REGION", "ie1")
    assert names(serve(page("workspaces", [workspace_row(1)]))) == ["Centre 1"]


def test_an_array_repeats_its_name_and_none_is_left_out(serve: Serve) -> None:
    server = serve(response(b"{}"))
    data = {"Types": ["a b", "c&d"], "Description": None, "Number": 5}
    Transport(server.url).request("POST", server.url + "/v1/Subscriptions", {"PageSize": 1}, data)
    (request,) = server.got
    assert request.startswith(b"POST /v1/Subscriptions?PageSize=1 HTTP/1.1\r\n")
    assert request.endswith(b"\r\n\r\nTypes=a+b&Types=c%26d&Number=5")


@pytest.mark.parametrize(
    ("answer", "access"),
    [
        (response(b'{"workspaces":[]}', headers="Date: Tue, 24 Nov 2026 12:00:05 GMT\r\n"), "ok"),
        (response(b"{}", status=403), "not_authorized"),
        (response(b"{}", status=302), "taskrouter_redirected (checking the credentials: HTTP 302)"),
        (response(b"{}", status=500), "HTTP 500"),
        (response(b"<html>"), "not_understood (checking the credentials: the answer is not JSON: None)"),
        (b"", "taskrouter_unreachable (checking the credentials: GET: NotHttp)"),
    ],
)
def test_the_doctor_says_why_credentials_are_not_accepted(serve: Serve, answer: bytes, access: str) -> None:
    now = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
    check = inspection.check_credentials(serve(answer).url, *ACCOUNT[1:], lambda: now)
    assert check.access == access
    assert check.skew_s == (5.0 if access == "ok" else None)
