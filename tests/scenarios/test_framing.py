"""Requests whose framing is hostile: refused, with nothing smuggled behind them and nothing recorded.

Straight to gunicorn and through nginx. Each has a signature of the right form, so that the service reads its body. What
is smuggled is a request that the service answers and nginx hides.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from urllib.parse import urlsplit

import pytest
import requests
from sqlalchemy import func, select

from bench.nginx import NGINX, nginx
from enrich.journal.tables import EntryRow
from tests.support.contact_centre import Service

EVENTS = "POST /taskrouter/events HTTP/1.1"
SIGNATURE = f"X-Twilio-Signature: {'A' * 27}="
SMUGGLED = "GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer not-a-real-token\r\n\r\n"
CHUNKED = "Transfer-Encoding: chunked"
WAITS_S = 0.3


def framed(*headers: str, line: str = EVENTS, body: str = "", host: str = "Host: x") -> bytes:
    lines = [line, *([host] if host else []), SIGNATURE, *headers]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode("latin-1")


LENGTHS = (
    "+12",
    "-1",
    "0x10",
    "1e2",
    "12, 12",
    "12,13",
    "1 2",
    "",
    " ",
    "twelve",
    "٣".encode().decode("latin-1"),
    "9" * 400,
)
CODINGS = (
    *("xchunked", "chunked, chunked", "chunked;q=1", "identity, chunked", "gzip, chunked", "chunked, gzip"),
    *("\x0bchunked", "'chunked'", "chun\x00ked", "CHUNKED\t,identity", ""),
)
SIZES = ("-1", "+5", "0x5", "g", "", "5 5", "ffffffffffffffffff", "1" * 5_000, "5;" + "x" * 9_000)
LINES = (
    *("POST  /taskrouter/events HTTP/1.1", "POST /taskrouter/events", "POST /taskrouter/events HTTP/9.9"),
    *(
        "POST /taskrouter/events HTTP/1.1 extra",
        "POST /taskrouter/events\tHTTP/1.1",
        "POST\t/taskrouter/events HTTP/1.1",
    ),
    *(
        "POST taskrouter/events HTTP/1.1",
        "P\x00ST / HTTP/1.1",
        "post /taskrouter/events HTTP/1.1",
        "\x16\x03\x01\x02\x00",
    ),
    *("PRI * HTTP/2.0", "CONNECT example.org:443 HTTP/1.1", "POST /taskrouter/\x00events HTTP/1.1"),
    *("POST http://evil.example/taskrouter/events HTTP/1.1", f"GET /{'x' * 20_000} HTTP/1.1"),
    *("POST /taskrouter/events%00 HTTP/1.1", "POST /taskrouter/../taskrouter/events HTTP/1.1", "POST * HTTP/1.1"),
)
FORMS: dict[str, bytes] = {
    **{f"length {each[:12]!r}": framed(f"Content-Length: {each}", body=SMUGGLED) for each in LENGTHS},
    **{f"coding {each!r}": framed(f"Transfer-Encoding: {each}", body="0\r\n\r\n" + SMUGGLED) for each in CODINGS},
    **{f"chunk of {each[:12]!r}": framed(CHUNKED, body=f"{each}\r\nabcde\r\n0\r\n\r\n" + SMUGGLED) for each in SIZES},
    **{f"line {each[:40]!r}": framed("Content-Length: 0", line=each, body=SMUGGLED) for each in LINES},
    "length and coding": framed("Content-Length: 5", CHUNKED, body="0\r\n\r\n" + SMUGGLED),
    "coding and length": framed(CHUNKED, "Content-Length: 5", body="0\r\n\r\n" + SMUGGLED),
    "two lengths": framed("Content-Length: 0", "Content-Length: 34", body=SMUGGLED),
    "two codings": framed(CHUNKED, "Transfer-Encoding: identity", body="0\r\n\r\n" + SMUGGLED),
    "coding with a space before its colon": framed("Transfer-Encoding : chunked", body="0\r\n\r\n" + SMUGGLED),
    "length with a space before its colon": framed("Content-Length : 34", body=SMUGGLED),
    "folded coding": framed("Transfer-Encoding:\r\n chunked", body="0\r\n\r\n" + SMUGGLED),
    "folded header": framed("X-A: b\r\n c", "Content-Length: 0", body=SMUGGLED),
    "header without a colon": framed("Content-Length", body=SMUGGLED),
    "header without a name": framed(": x", "Content-Length: 0", body=SMUGGLED),
    "NUL in a header": framed("X-A: b\0c", "Content-Length: 0", body=SMUGGLED),
    "bare CR in a header": framed("X-A: b\rX-B: c", "Content-Length: 0", body=SMUGGLED),
    "signature with an underscore": framed("X_Twilio_Signature: x", "Content-Length: 0", body=SMUGGLED),
    "two signatures": framed("X-Twilio-Signature: x", "Content-Length: 0", body=SMUGGLED),
    "two hosts": framed("Host: y", "Content-Length: 0", body=SMUGGLED),
    "no host": framed("Content-Length: 0", host="", body=SMUGGLED),
    "a host that is none": framed("Content-Length: 0", host="Host: a b/c", body=SMUGGLED),
    "coding in HTTP/1.0": framed(CHUNKED, line="POST /taskrouter/events HTTP/1.0", body="0\r\n\r\n" + SMUGGLED),
    "10,000 headers": framed(*(f"X-{number}: y" for number in range(10_000)), "Content-Length: 0"),
    "a header of 100 kB": framed("X-A: " + "b" * 100_000, "Content-Length: 0"),
    "10 GB announced": framed("Content-Length: 10000000000", body="a=b"),
    "trailer with a length": framed(CHUNKED, body="0\r\nContent-Length: 34\r\n\r\n" + SMUGGLED),
    "chunk longer than it says": framed(CHUNKED, body="2\r\nabcdef\r\n0\r\n\r\n" + SMUGGLED),
    "chunk without its end": framed(CHUNKED, body="5\r\nabcde"),
    "expectation": framed("Expect: 100-continue", "Content-Length: 3", body="a=b"),
    "unknown expectation": framed("Expect: 200-ok", "Content-Length: 3", body="a=b"),
    "upgrade": framed(
        "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP", "Content-Length: 0"
    ),
    "bare LF": framed("Content-Length: 0").replace(b"\r\n", b"\n"),
    "blank lines first": b"\r\n\r\n\r\n" + framed("Content-Length: 0"),
    "nothing but NUL": b"\0" * 1_000,
    "no end of the head": b"A" * 200_000,
}


@pytest.fixture(scope="module", params=["straight", "nginx"])
def service(
    request: pytest.FixtureRequest, start_service: Callable[..., Service], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Service, str]]:
    """The service, and the address that the requests are sent to."""
    service = start_service(WEB_CONCURRENCY="1")
    if request.param == "straight":
        yield service, service.url
        return
    if not NGINX:
        pytest.skip("nginx is not installed (Debian: nginx-light)")
    with nginx(tmp_path_factory.mktemp("nginx"), service.environment["BIND"]) as url:
        yield service, url


def statuses(url: str, text: bytes) -> list[int]:
    """Return the final statuses of the responses to this text.

    Who has said nothing for a while waits for more, which does not come: then the client closes its side. Not before,
    because nginx takes that for a client that has gone.
    """
    parts = urlsplit(url)
    received = b""
    client = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10)
    with client, suppress(ConnectionError):  # refused before all of it was sent or received
        client.sendall(text)
        client.settimeout(WAITS_S)
        try:
            while part := client.recv(65_536):
                received += part
        except TimeoutError:
            client.settimeout(10)
            client.shutdown(socket.SHUT_WR)
            while part := client.recv(65_536):
                received += part
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] ([2-5]\d\d) ", received)]


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS)
def test_hostile_framing_smuggles_nothing(service: tuple[Service, str], text: bytes) -> None:
    itself, url = service
    before = _count(itself)
    got = statuses(url, text)
    assert all(400 <= status < 500 or status in (501, 505) for status in got)
    assert len(got) <= 1 or url != itself.url, "the service read on after a refusal"
    # Of another client, on a connection that nginx may have kept.
    assert requests.get(f"{url}/healthz", timeout=5).text == "ok\n"
    assert _count(itself) == before


def _count(service: Service) -> int:
    return int(service.database.read(select(func.count()).select_from(EntryRow))[0][0])


def test_the_service_answers_what_is_smuggled(service: tuple[Service, str]) -> None:
    """Else the tests above could not fail."""
    assert statuses(service[0].url, SMUGGLED.encode() * 2) == [200, 200]
