"""Requests to TaskRouter through the proxy of the environment, which is a real one here."""

from __future__ import annotations

import json
import socket
import ssl
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from enrich import errors
from enrich.diagnosis.inspection import workspaces
from enrich.resilience.circuit_breaker import CircuitBreaker
from enrich.resilience.dns_cache import DnsCache
from enrich.taskrouter.client import TaskRouterClient
from enrich.taskrouter.proxies import Proxy, proxy_for
from tests.support.forward_proxy import ForwardProxy, forward_proxy
from tests.support.scripted_server import ScriptedServer, response

HOST = "taskrouter.example.com"
WORKSPACE, TASK = "WS" + "0" * 32, "WT" + "0" * 32
TASK_FOUND = response(
    json.dumps({"sid": TASK, "attributes": "{}", "assignment_status": "reserved"}).encode(), headers='ETag: "1"\r\n'
)
OUR_CREDENTIALS = b"authorization: Basic " + b64encode(b"AC:token")
ITS_CREDENTIALS = b"proxy-authorization: Basic " + b64encode(b"dana:open sesame")
Serve = Callable[..., ScriptedServer]


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def fetch(base_url: str, addresses: DnsCache | None = None) -> None:
    """Fetch a task. addresses: where the names are that are looked up; without, there are none."""
    breaker = CircuitBreaker(failures=1000)
    client = TaskRouterClient(base_url, "AC", "token", addresses=addresses or DnsCache(unknown), breaker=breaker)
    with closing(client):
        assert client.fetch_task(WORKSPACE, TASK, timeout_s=10).sid == TASK


def unknown(_host: str) -> tuple[str, ...]:
    raise socket.gaierror(socket.EAI_NONAME, "only the proxy knows it")


@pytest.fixture
def behind_tls(
    serve: Serve, self_signed: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., ScriptedServer]:
    """Starts servers under TLS with a certificate that is trusted."""
    monkeypatch.setenv("SSL_CERT_FILE", str(self_signed[0]))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*self_signed)

    def start(*says: bytes) -> ScriptedServer:
        listening = context.wrap_socket(socket.create_server(("127.0.0.1", 0)), server_side=True)
        return serve(*says, listening=listening, scheme="https")

    return start


@pytest.fixture
def proxy() -> Iterator[ForwardProxy]:
    with forward_proxy({}) as proxy:
        yield proxy


def test_under_https_the_proxy_makes_a_tunnel_and_sees_no_credentials(
    behind_tls: Serve, proxy: ForwardProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = behind_tls(TASK_FOUND)
    proxy.hosts[HOST] = server.listening.getsockname()
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    fetch(f"https://{HOST}")
    (connect,) = proxy.got
    assert connect.startswith(f"CONNECT {HOST}:443 ".encode())
    assert ITS_CREDENTIALS in connect
    (request,) = server.got
    assert (OUR_CREDENTIALS in request, b"proxy-" in request) == (True, False)


def test_the_sdk_goes_through_the_same_proxy(
    behind_tls: Serve, proxy: ForwardProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.hosts[HOST] = behind_tls(response(b'{"workspaces":[]}')).listening.getsockname()
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    assert workspaces(f"https://{HOST}", "AC", "AC", "token") == ()
    assert len(proxy.got) == 1


def test_under_http_the_proxy_forwards(serve: Serve, proxy: ForwardProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(TASK_FOUND)
    proxy.hosts[HOST] = server.listening.getsockname()
    monkeypatch.setenv("http_proxy", proxy.url)
    fetch(f"http://{HOST}")
    (request,) = proxy.got
    assert request.startswith(f"GET http://{HOST}/v1/Workspaces/{WORKSPACE}/Tasks/{TASK} HTTP/1.1".encode())
    assert ITS_CREDENTIALS in request


def test_a_host_of_no_proxy_is_reached_directly(
    serve: Serve, proxy: ForwardProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(TASK_FOUND)
    monkeypatch.setenv("ALL_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", "example.org, .example.com")
    here = DnsCache(lambda _host: ("127.0.0.1",))
    fetch(f"http://{HOST}:{server.listening.getsockname()[1]}", here)
    assert (len(server.got), proxy.got) == (1, [])


def test_this_machine_is_reached_directly(serve: Serve, proxy: ForwardProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(TASK_FOUND)
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    fetch(server.url)
    assert (len(server.got), proxy.got) == (1, [])


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("status", [403, 407])
def test_a_proxy_that_refuses_is_told_as_such(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, scheme: str, status: int
) -> None:
    """A 403 of a proxy that forwards may as well be TaskRouter's."""
    monkeypatch.setenv("ALL_PROXY", serve(response(b"no", status=status)).url)
    with pytest.raises(errors.TaskRouterError) as raised:
        fetch(f"{scheme}://{HOST}")
    told_apart = scheme == "https" or status == 407
    assert raised.value.reason == ("taskrouter_proxy_refused" if told_apart else "not_authorized")


@pytest.mark.parametrize("answer", [response(b"", status=502), b"", b"SSH-2.0-OpenSSH_9.2\r\n"])
def test_a_proxy_that_fails_may_be_asked_again(serve: Serve, monkeypatch: pytest.MonkeyPatch, answer: bytes) -> None:
    monkeypatch.setenv("HTTPS_PROXY", serve(answer).url)
    with pytest.raises(errors.TaskRouterUnreachable) as raised:
        fetch(f"https://{HOST}")
    assert (raised.value.reason, raised.value.transient) == ("taskrouter_unreachable", True)


@pytest.mark.parametrize(
    ("value", "proxy"),
    [
        ("http://proxy.example.com:3128", Proxy("proxy.example.com", 3128, {})),
        ("proxy.example.com:3128", Proxy("proxy.example.com", 3128, {})),
        ("http://proxy.example.com/", Proxy("proxy.example.com", 80, {})),
        ("http://[2001:db8::1]:3128", Proxy("2001:db8::1", 3128, {})),
    ],
)
def test_a_proxy_is_read_as_others_read_it(monkeypatch: pytest.MonkeyPatch, value: str, proxy: Proxy) -> None:
    monkeypatch.setenv("HTTPS_PROXY", value)
    assert proxy_for(f"https://{HOST}") == proxy
    assert proxy_for(f"http://{HOST}") is None


@pytest.mark.parametrize(
    "value", ["socks5://dana:sesame@proxy.example.com", "https://dana:sesame@proxy.example.com", "http://sesame:x:y"]
)
def test_a_proxy_that_cannot_be_used_stops_the_start(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("ALL_PROXY", value)
    with pytest.raises(errors.SettingsError, match="ALL_PROXY is not") as raised:
        proxy_for(f"https://{HOST}")
    assert "sesame" not in str(raised.value)
