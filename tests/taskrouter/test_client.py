"""Answers of Twilio: which count as success, and what follows from one that cannot be read. Over real HTTP."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from enrich import errors
from enrich.resilience.circuit_breaker import CircuitBreaker
from enrich.resilience.dns_cache import DnsCache
from enrich.taskrouter.client import TaskRouterClient
from tests.support.scripted_server import ScriptedServer

WORKSPACE, TASK, RESERVATION, WORKER = (prefix + "0" * 32 for prefix in ("WS", "WT", "WR", "WK"))
TASK_DOCUMENT = {"sid": TASK, "attributes": "{}", "assignment_status": "reserved"}
PAGE = b"<html>please sign in</html>"
Ask = Callable[[TaskRouterClient], None]


def said(status: int, body: object = None, *, etag: str = "") -> bytes:
    """Return a response. body: bytes as they are, anything else as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    etag_line = f"ETag: {etag}\r\n" if etag else ""
    return f"HTTP/1.1 {status} Said\r\n{etag_line}Content-Length: {len(content)}\r\n\r\n".encode() + content


def reservation(status: str) -> dict[str, str]:
    return {"sid": RESERVATION, "reservation_status": status}


@pytest.fixture
def client_of() -> Iterator[Callable[[ScriptedServer], TaskRouterClient]]:
    made: list[TaskRouterClient] = []

    def client_of(server: ScriptedServer) -> TaskRouterClient:
        breaker = CircuitBreaker(failures=1000)
        made.append(TaskRouterClient(server.url, "AC", "token", addresses=DnsCache(), breaker=breaker))
        return made[-1]

    yield client_of
    for client in made:
        client.close()


Serve = Callable[..., ScriptedServer]
ClientOf = Callable[[ScriptedServer], TaskRouterClient]


def methods(server: ScriptedServer) -> list[str]:
    return [request.split(b" ", 1)[0].decode() for request in server.got]


def fetch(client: TaskRouterClient) -> None:
    client.fetch_task(WORKSPACE, TASK, timeout_s=5)


def write(client: TaskRouterClient) -> None:
    client.update_attributes(WORKSPACE, TASK, "{}", if_match='"1"', timeout_s=5)


def set_priority(client: TaskRouterClient) -> None:
    client.update_priority(WORKSPACE, TASK, 5, if_match='"1"', timeout_s=5)


def complete(client: TaskRouterClient) -> None:
    client.move_task(WORKSPACE, TASK, "completed", "done", timeout_s=5)


def create(client: TaskRouterClient) -> None:
    client.create_task(WORKSPACE, {"Attributes": "{}"}, timeout_s=5)


def move_worker(client: TaskRouterClient) -> None:
    client.move_worker(WORKSPACE, WORKER, "WA" + "0" * 32, timeout_s=5)


def accept(client: TaskRouterClient) -> None:
    client.instruct(WORKSPACE, TASK, RESERVATION, [("ReservationStatus", "accepted")], timeout_s=5)


def dial(client: TaskRouterClient) -> None:
    client.instruct(WORKSPACE, TASK, RESERVATION, [("Instruction", "conference")], timeout_s=5)


def wrap_up(client: TaskRouterClient) -> None:
    client.update_reservation(WORKSPACE, TASK, RESERVATION, "wrapping", timeout_s=5)


ABOUT_A_TASK: dict[str, Ask] = {"write": write, "priority": set_priority, "complete": complete, "create": create}


@pytest.mark.parametrize("status", [200, 201, 202, 203, 206, 226])
@pytest.mark.parametrize("ask", [*ABOUT_A_TASK.values(), fetch], ids=[*ABOUT_A_TASK, "fetch"])
def test_any_2xx_with_the_task_is_success(serve: Serve, client_of: ClientOf, ask: Ask, status: int) -> None:
    server = serve(said(status, TASK_DOCUMENT, etag='"2"'))
    ask(client_of(server))
    assert len(server.got) == 1


@pytest.mark.parametrize("status", [200, 202])
@pytest.mark.parametrize("body", [PAGE, b"", b"null", b'"ok"', b"[]", b"{}", b'{"sid":null}', b'{"sid":"WT', b"\xff"])
@pytest.mark.parametrize("ask", [*ABOUT_A_TASK.values(), move_worker], ids=[*ABOUT_A_TASK, "worker"])
def test_a_2xx_that_cannot_be_read_is_no_success_and_nothing_is_written_again(
    serve: Serve, client_of: ClientOf, ask: Ask, body: bytes, status: int
) -> None:
    """Flows start with a fetch, and find what the write has done; here nobody knows."""
    server = serve(said(status, body))
    with pytest.raises(errors.NotUnderstood):
        ask(client_of(server))
    assert methods(server) == ["POST"]


def test_a_204_says_nothing_about_the_write(serve: Serve, client_of: ClientOf) -> None:
    server = serve(b"HTTP/1.1 204 No Content\r\n\r\n")
    with pytest.raises(errors.NotUnderstood):
        write(client_of(server))


@pytest.mark.parametrize("status", [301, 302, 307])
def test_a_3xx_is_no_answer_of_taskrouter(serve: Serve, client_of: ClientOf, status: int) -> None:
    server = serve(said(status, TASK_DOCUMENT))
    with pytest.raises(errors.Redirected):
        write(client_of(server))


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (socket.EAI_NONAME, "taskrouter_host_unknown"),
        (socket.EAI_NODATA, "taskrouter_host_unknown"),
        (socket.EAI_AGAIN, "taskrouter_unreachable"),
        (socket.EAI_FAIL, "taskrouter_unreachable"),
    ],
)
def test_a_name_that_does_not_exist_is_told_from_one_that_could_not_be_looked_up(code: int, reason: str) -> None:
    def resolve(_host: str) -> tuple[str, ...]:
        raise socket.gaierror(code, "from the resolver")

    breaker = CircuitBreaker(failures=1000)
    client = TaskRouterClient(
        "http://taskrouter.example.com", "AC", "token", addresses=DnsCache(resolve), breaker=breaker
    )
    with pytest.raises(errors.TaskRouterUnreachable) as raised:
        fetch(client)
    assert raised.value.reason == reason


def test_a_certificate_that_is_not_trusted_is_told_as_such(
    serve: Serve, client_of: ClientOf, self_signed: tuple[Path, Path]
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*self_signed)
    listening = context.wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True)
    with pytest.raises(errors.TlsFailed, match="self-signed"):
        fetch(client_of(serve(listening=listening, scheme="https")))


def test_a_server_without_tls_is_told_as_such(serve: Serve, client_of: ClientOf) -> None:
    with pytest.raises(errors.TlsFailed):
        fetch(client_of(serve(b"HTTP/1.1 400 Bad Request\r\n\r\n", scheme="https")))


def test_a_connection_that_breaks_under_tls_may_be_tried_again(serve: Serve, client_of: ClientOf) -> None:
    with pytest.raises(errors.TaskRouterUnreachable) as raised:
        fetch(client_of(serve(b"", scheme="https")))
    assert raised.value.reason == "taskrouter_unreachable"


@pytest.mark.parametrize(
    "error", [errors.HostUnknown, errors.ProxyRefused, errors.TlsFailed, errors.Redirected, errors.NotAuthorized]
)
def test_what_only_an_operator_can_mend_is_left_to_follow_ups(error: type[errors.TaskRouterError]) -> None:
    assert (error.transient, error.retryable) == (False, True)


def test_a_refused_connection_is_not_slow() -> None:
    """It is tried again at once, which a server that does not answer in time is not."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
    breaker = CircuitBreaker(failures=1000)
    client = TaskRouterClient(url, "AC", "token", addresses=DnsCache(), breaker=breaker)
    with pytest.raises(errors.TaskRouterUnreachable):
        fetch(client)


@pytest.mark.parametrize("status", [200, 201, 202])
def test_an_acceptance_counts_where_the_answer_says_accepted(serve: Serve, client_of: ClientOf, status: int) -> None:
    server = serve(said(status, reservation("accepted")))
    accept(client_of(server))
    assert methods(server) == ["POST"]


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(said(200, PAGE), id="html"),
        pytest.param(said(200, b""), id="empty"),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", id="204"),
        pytest.param(said(200, {}), id="no-status"),
        pytest.param(said(200, TASK_DOCUMENT), id="a-task"),
        pytest.param(said(202, reservation("pending")), id="pending"),
    ],
)
class TestAnAcceptanceThatTheAnswerDoesNotConfirm:
    @pytest.mark.parametrize("now", ["accepted", "wrapping", "completed"])
    def test_counts_if_the_reservation_was_accepted(
        self, serve: Serve, client_of: ClientOf, first: bytes, now: str
    ) -> None:
        server = serve(first, said(200, reservation(now)))
        accept(client_of(server))
        assert methods(server) == ["POST", "GET"]

    def test_may_be_tried_again_while_it_is_pending(self, serve: Serve, client_of: ClientOf, first: bytes) -> None:
        server = serve(first, said(200, reservation("pending")))
        with pytest.raises(errors.NotUnderstood):
            accept(client_of(server))
        assert methods(server) == ["POST", "GET"]

    @pytest.mark.parametrize("now", ["timeout", "canceled", "rescinded", "rejected"])
    def test_is_refused_once_the_reservation_has_ended(
        self, serve: Serve, client_of: ClientOf, first: bytes, now: str
    ) -> None:
        server = serve(first, said(200, reservation(now)))
        with pytest.raises(errors.RequestRefused) as refused:
            accept(client_of(server))
        assert refused.value.code == errors.WRONG_STATE


def test_wrapping_up_a_reservation_counts_where_it_is_completed_already(serve: Serve, client_of: ClientOf) -> None:
    server = serve(said(200, PAGE), said(200, reservation("completed")))
    wrap_up(client_of(server))


@pytest.mark.parametrize("status", [200, 202])
def test_an_instruction_that_dials_leaves_the_reservation_pending(
    serve: Serve, client_of: ClientOf, status: int
) -> None:
    server = serve(said(status, reservation("pending")))
    dial(client_of(server))
    assert methods(server) == ["POST"]


def test_an_instruction_whose_answer_cannot_be_read_counts_once_the_reservation_has_moved(
    serve: Serve, client_of: ClientOf
) -> None:
    dial(client_of(serve(said(200, PAGE), said(200, reservation("accepted")))))
    with pytest.raises(errors.NotUnderstood):
        dial(client_of(serve(said(200, PAGE), said(200, reservation("pending")))))
