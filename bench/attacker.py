"""Attacks without a secret: `python -m bench.attacker URL NAME` attacks until its input is closed.

Then it prints how many connections it opened and how often it sent.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import resource
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

from bench.deliveries import ASSIGNMENT, EVENTS

_OPEN_FILES = 8_000
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_WRONGLY_SIGNED = _FORM | {"X-Twilio-Signature": "A" * 27 + "="}


@dataclass(slots=True)
class Target:
    """The service that is attacked, and the counts of connections opened and requests sent.

    has_begun: as many connections were opened as wanted.
    """

    host: str
    port: int
    wanted: int
    has_begun: asyncio.Event = field(default_factory=asyncio.Event)
    connections: int = 0
    sent: int = 0
    random: random.Random = field(default_factory=lambda: random.Random(7))

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """Open a connection from somewhere in 127.0.0.0/8, since tries to sign in are counted by address."""
        address = f"127.{self.random.randrange(1, 255)}.{self.random.randrange(256)}.{self.random.randrange(1, 255)}"
        reader, writer = await asyncio.open_connection(self.host, self.port, local_addr=(address, 0))
        self.connections += 1
        if self.connections >= self.wanted:
            self.has_begun.set()
        try:
            yield reader, writer
        finally:
            writer.close()

    async def send(self, writer: asyncio.StreamWriter, text: bytes) -> None:
        """Send this and count it."""
        writer.write(text)
        await writer.drain()
        self.sent += 1


Attack = Callable[[Target], Coroutine[Any, Any, None]]


def request(
    method: str, path: str, body: bytes = b"", headers: Mapping[str, str] = _FORM, *, length: int | None = None
) -> bytes:
    """Return a request. length: of the body as it is announced, if that is not its own."""
    lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body) if length is None else length}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def pipelining(text: bytes) -> Attack:
    """Send the request back to back, and read answers beside it; connect anew when that is refused."""

    async def attack(target: Target) -> None:
        async with target.connection() as (reader, writer):
            reading = asyncio.create_task(_read_to_the_end(reader))
            while not reading.done():
                await target.send(writer, text)

    return attack


def one_by_one(text: bytes) -> Attack:
    """Send the request, wait for its answer, and send it again."""

    async def attack(target: Target) -> None:
        async with target.connection() as (reader, writer):
            while True:
                await target.send(writer, text)
                if not await reader.read(65_536):
                    return

    return attack


def holding(text: bytes) -> Attack:
    """Send this, the beginning of a request or nothing, and wait until the server closes the connection."""

    async def attack(target: Target) -> None:
        async with target.connection() as (reader, writer):
            await target.send(writer, text)
            await _read_to_the_end(reader)

    return attack


async def dripping(target: Target) -> None:
    """Send a head without an end, a byte at a time."""
    async with target.connection() as (reader, writer):
        reading = asyncio.create_task(_read_to_the_end(reader))
        writer.write(f"POST {EVENTS} HTTP/1.1\r\nHost: x\r\nX-A: ".encode())
        while not reading.done():
            await target.send(writer, b"a")
            await asyncio.sleep(0.2)


async def signing_in(target: Target) -> None:
    """Try a password with a token of the form, each try on an account and from an address of its own."""
    async with target.connection() as (reader, writer):
        writer.write(request("GET", "/login"))
        page = await reader.read(65_536)
        token, cookie = (
            re.search(pattern, page) for pattern in (rb'csrf_token" value="([^"]+)', rb"Set-Cookie: ([^;]+)")
        )
        if token is None or cookie is None:
            return
        email = f"{target.random.randrange(10**9)}@example.com"
        form = f"csrf_token={quote(token[1].decode())}&email={quote(email)}&password=not+the+right+one"
        await target.send(writer, request("POST", "/login", form.encode(), _FORM | {"Cookie": cookie[1].decode()}))
        await reader.read(65_536)


async def _read_to_the_end(reader: asyncio.StreamReader) -> None:
    with suppress(OSError):
        while await reader.read(65_536):
            pass


# Each with its connections at a time.
ATTACKS: dict[str, tuple[Attack, int]] = {
    "GET /healthz, pipelined": (pipelining(request("GET", "/healthz") * 50), 6),
    "unsigned POST, pipelined": (pipelining(request("POST", ASSIGNMENT) * 50), 6),
    "unsigned POST, one by one": (one_by_one(request("POST", EVENTS)), 64),
    "wrongly signed, one by one": (one_by_one(request("POST", ASSIGNMENT, b"TaskSid=WT1&a=b", _WRONGLY_SIGNED)), 64),
    "1 MB of %": (one_by_one(request("POST", ASSIGNMENT, b"%" * 1_000_000)), 16),
    "128 kB of %, wrongly signed": (one_by_one(request("POST", ASSIGNMENT, b"%" * 131_072, _WRONGLY_SIGNED)), 16),
    "sign-in form of a&": (one_by_one(request("POST", "/login", b"a&" * 4_000)), 16),
    "half-sent bodies": (holding(request("POST", ASSIGNMENT, b"a" * 129_000, _WRONGLY_SIGNED, length=131_072)), 400),
    "signing in": (signing_in, 16),
    "idle connections": (holding(b""), 1_500),
    "dripped heads": (dripping, 500),
}


async def _run(url: str, name: str) -> None:
    """Attack until the input is closed."""
    parts = urlsplit(url)
    attack, at_a_time = ATTACKS[name]
    # A full backlog may never let all of them in.
    target = Target(parts.hostname or "", parts.port or 80, wanted=at_a_time // 2)

    async def again() -> None:
        while True:
            try:
                await attack(target)
            except (OSError, asyncio.IncompleteReadError):
                await asyncio.sleep(0.01)

    attackers = [asyncio.create_task(again()) for _ in range(at_a_time)]
    await target.has_begun.wait()
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    for attacker in attackers:
        attacker.cancel()
    sys.stdout.write(json.dumps({"connections": target.connections, "sent": target.sent}))
    sys.stdout.flush()
    os._exit(0)  # closing thousands of connections in order is nobody's concern


if __name__ == "__main__":
    _, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    _files = _OPEN_FILES if _hard == resource.RLIM_INFINITY else min(_OPEN_FILES, _hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (_files, _hard))
    asyncio.run(_run(*sys.argv[1:]))
