"""HTTP/1.1 with one server, over kept connections: one request, its whole answer, and how long that may take.

urllib3's connections connect and do TLS; httptools (llhttp) reads what comes back. urllib3's own way from a request to
its response, made for everybody, takes three times as long as the exchange itself, and a callback needs two of them.

No retries, no redirects: what to try again, and for how long, the story decides.
"""

from __future__ import annotations

import re
import select
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

import httptools
import urllib3
from gevent import monkey
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from enrich.resilience.dns_cache import DnsCache
from enrich.taskrouter.proxies import proxy_for

_READ_AT_ONCE = 65_536
# What may stand in a request's first line, and behind the name of a header.
_TARGET = re.compile(r"/[!-~]*")
_VALUE = re.compile(r"[\t -~\x80-\xff]*")
# The resolver's answers for a name that does not exist, or that has no address. With others (EAI_AGAIN, EAI_FAIL) it
# does not know, and may know a moment later.
_NO_SUCH_NAME = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
# How http.client says that the proxy answered CONNECT with a 4xx.
_TUNNEL_REFUSED = re.compile(r"Tunnel connection failed: (4\d\d)")
# A look that does not wait needs no loop to wait in: what gevent has in its place takes fifteen times as long.
_poll: Any = monkey.get_original("select", "poll")


class NotHttp(Exception):
    """The response was no HTTP, was cut off, or did not end."""


class TooLong(NotHttp):
    """The response has more bytes than are read."""


class TunnelRefused(OSError):
    """The proxy makes no connection, and will not do so by itself: 407, or another 4xx."""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """The whole answer. headers: by their names in small letters; of one that came several times, the last."""

    status: int
    headers: Mapping[str, str]
    data: bytes


class Wire:
    """The connections to one server. Safe to share between greenlets and threads.

    base_url: its scheme, host and port count. connections: how many are kept; more are opened when needed, and closed
    after use. largest: bytes of the longest answer that is read to its end, unless a request says otherwise. Nothing is
    decompressed, so that is also the most that an answer takes in memory. The proxy that the environment names for this
    server is used; under https it makes a tunnel.
    """

    def __init__(self, base_url: str, *, addresses: DnsCache, connections: int, largest: int) -> None:
        url = urllib3.util.parse_url(base_url)
        self._is_tls = url.scheme == "https"
        self._host = url.host or ""
        self._port = url.port or (443 if self._is_tls else 80)
        self._address = f"{self._host}:{url.port}" if url.port else self._host
        self._proxy = proxy_for(base_url)
        is_forwarded = self._proxy is not None and not self._is_tls
        # A proxy that forwards is asked for the whole URL (RFC 9112, section 3.2.2).
        self._origin = f"http://{self._address}" if is_forwarded else ""
        headers = self._proxy.headers if self._proxy and is_forwarded else {}
        self._proxy_lines = [f"{name}: {value}" for name, value in headers.items()]
        self._addresses = addresses
        self._most = connections
        self._largest = largest
        # The one that was given back last is lent first: it is the least likely to have been closed meanwhile.
        self._idle: list[HTTPConnection] = []
        self._tls = _tls_context() if self._is_tls else None

    def exchange(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | None,
        *,
        timeout_s: float,
        largest: int | None = None,
    ) -> HttpResponse:
        """Send the request and return the answer. target: path and query, already encoded.

        Raises TimeoutError, OSError, NotHttp; ValueError when the request itself is none.
        """
        until = time.monotonic() + timeout_s
        request = self._request(method, target, headers, body)
        connection = self._take(timeout_s)
        try:
            connection.sock.settimeout(max(0.001, until - time.monotonic()))
            connection.sock.sendall(request)
            answer, may_be_kept = self._read(connection.sock, until, largest or self._largest)
        except BaseException:  # OutOfTime among them: nobody knows what else is on its way
            connection.close()
            raise
        if may_be_kept and len(self._idle) < self._most:
            self._idle.append(connection)
        else:
            connection.close()
        return answer

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().close()

    def _request(self, method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
        if not _TARGET.fullmatch(target):
            raise ValueError("not a path that can be asked for")
        lines = [f"{method} {self._origin}{target} HTTP/1.1", f"Host: {self._address}", *self._proxy_lines]
        for name, value in headers.items():
            if not _VALUE.fullmatch(value):
                raise ValueError(f"not a value for {name}")
            lines.append(f"{name}: {value}")
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join((*lines, "", "")).encode("latin-1") + (body or b"")

    def _take(self, timeout_s: float) -> HTTPConnection:
        """Return an open connection: a kept one that the server has not closed, or a new one."""
        while self._idle:
            connection = self._idle.pop()
            if _is_silent(connection):
                return connection
            connection.close()
        options: dict[str, Any] = {"timeout": timeout_s, "addresses": self._addresses}
        if self._is_tls:
            options["ssl_context"] = self._tls
        host, port = self._host.strip("[]"), self._port
        through = self._proxy
        connection = (_KeptAddressTls if self._is_tls else _KeptAddress)(
            through.host if through else host, through.port if through else port, **options
        )
        if through and self._is_tls:
            connection.set_tunnel(host, port, headers=through.headers)
        try:
            connection.connect()
        except BaseException:
            connection.close()
            raise
        return connection

    def _read(self, sock: Any, until: float, largest: int) -> tuple[HttpResponse, bool]:
        """Read the answer; also return whether the connection can be used again."""
        reading = _Reading()
        length = 0
        while not reading.is_over:
            left_s = until - time.monotonic()
            if left_s <= 0:
                raise TimeoutError("the answer takes too long")
            sock.settimeout(left_s)
            chunk = sock.recv(_READ_AT_ONCE)
            length += len(chunk)
            if length > largest:
                raise TooLong(f"an answer of more than {largest} bytes")
            if not chunk:
                if not reading.ends_with_the_connection:
                    raise NotHttp("the connection was closed before the answer was over")
                break
            reading.feed(chunk)
        return reading.answer(), reading.may_be_kept


class _Reading:
    """The callbacks of httptools for one response, and their result. Interim responses (1xx) are skipped."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[str, str] = {}
        self._parts: list[bytes] = []
        self._status = 0
        self.is_over = False
        self.may_be_kept = False

    def feed(self, chunk: bytes) -> None:
        """Parse the next chunk. Raises NotHttp."""
        try:
            self._parser.feed_data(chunk)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as exc:
            raise NotHttp(f"{type(exc).__name__}") from exc

    @property
    def ends_with_the_connection(self) -> bool:
        """Return whether the body ends when the server closes, since no length is given (RFC 9112, 6.3)."""
        tells_its_length = "content-length" in self._headers or "transfer-encoding" in self._headers
        return self._status >= 200 and not tells_its_length

    def answer(self) -> HttpResponse:
        return HttpResponse(self._status, self._headers, b"".join(self._parts))

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.is_over:
            self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if not self.is_over:
            self._status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        if not self.is_over:
            self._parts.append(body)

    def on_message_begin(self) -> None:
        self.may_be_kept = False  # of another one, that nobody has asked for

    def on_message_complete(self) -> None:
        if self.is_over:
            return
        if self._status < 200:
            self._headers, self._parts, self._status = {}, [], 0
            return
        self.is_over = True
        self.may_be_kept = self._parser.should_keep_alive()


def _is_silent(connection: HTTPConnection) -> bool:
    """Return whether a kept connection is quiet: neither closed, nor with a response that nobody asked for."""
    poll = _poll()
    poll.register(connection.sock, select.POLLIN)
    return not poll.poll(0)


class _KeptAddress(HTTPConnection):
    """A connection to an address that is kept, so that no request waits for the resolver."""

    def __init__(self, *args: Any, addresses: DnsCache, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._addresses = addresses

    def _new_conn(self) -> socket.socket:
        try:
            return self._connect_to_one_of(self._addresses.of(self._dns_host))
        except TimeoutError as exc:
            raise ConnectTimeoutError(self, f"no connection within {self.timeout} s") from exc
        except OSError as exc:
            refusal = exc if isinstance(exc, socket.gaierror) else exc.__cause__
            if isinstance(refusal, socket.gaierror) and refusal.errno in _NO_SUCH_NAME:
                raise NameResolutionError(self.host, self, refusal) from exc
            raise NewConnectionError(self, str(exc)) from exc

    def _tunnel(self) -> None:
        try:
            super()._tunnel()
        except HTTPException as exc:
            raise NotHttp(f"from the proxy: {type(exc).__name__}") from exc
        except OSError as exc:
            if refusal := _TUNNEL_REFUSED.match(str(exc)):
                raise TunnelRefused(f"the proxy answers {refusal[1]}") from exc
            raise

    def _connect_to_one_of(self, addresses: tuple[str, ...]) -> socket.socket:
        """A connection to the first that takes one. Raises the last one's OSError."""
        for number, address in enumerate(addresses, 1):
            try:
                return self._connect_to(address)
            except OSError:
                self._addresses.failed(self._dns_host, address)
                if number == len(addresses):
                    raise
        raise OSError("no address")

    def _connect_to(self, address: str) -> socket.socket:
        connection = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        try:
            for option in self.socket_options or ():
                connection.setsockopt(*option)
            if isinstance(self.timeout, int | float):
                connection.settimeout(self.timeout)
            connection.connect((address, self.port))
        except BaseException:  # OutOfTime among them
            connection.close()
            raise
        return connection


class _KeptAddressTls(_KeptAddress, HTTPSConnection):
    """A connection to a cached address under TLS; the certificate is checked against the host name."""


def _tls_context() -> ssl.SSLContext:
    context = urllib3.util.ssl_.create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED)
    context.check_hostname = True
    context.load_default_certs()
    return context
