"""Sends prepared requests over a number of connections, each the next one as soon as it has its answer.

`wrk` does that where it is installed; else `python -m bench.load`, the same in Python, in a process of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from bench.figures import Load

_MAX_ANSWER_S = 10
_SCRIPT = Path(__file__).parent / "requests.lua"


class OutOfRequests(Exception):
    """There were more answers than prepared requests; what came after was a repeat."""


class Failed(Exception):
    """Answers other than 2xx, or none; or a client that failed itself."""


def has_wrk() -> bool:
    return shutil.which("wrk") is not None


def send(
    url: str,
    file: Path,
    size: int,
    *,
    connections: int,
    seconds: float,
    with_wrk: bool,
    may_be_refused: bool = False,
) -> Load:
    """Send prepared requests for one round; return the result.

    file, size: of `Deliveries.write`. may_be_refused: whether some may fail. Raises OutOfRequests, Failed.
    """
    if with_wrk:
        seconds = max(1, round(seconds))  # it knows whole seconds only
        command = [
            "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{seconds}s",
            "--timeout",
            f"{_MAX_ANSWER_S}s",
            "-s",
            str(_SCRIPT),
            url,
            "--",
        ]
    else:
        command = [sys.executable, "-m", "bench.load", url, str(connections), str(seconds)]
    done = subprocess.run([*command, str(file), str(size)], capture_output=True, text=True, check=False)
    results = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not results:
        raise Failed(f"{command[0]} said: {done.stdout} {done.stderr}")
    result = json.loads(results[0].removeprefix("RESULT "))
    if result.pop("exhausted"):
        raise OutOfRequests
    if (result["failed"] and not may_be_refused) or result["failed"] >= result["requests"]:
        raise Failed(f"{result['failed']} requests of {result['requests']} failed at {url}")
    return Load(**result)


def run_module(*arguments: str, env: Mapping[str, str] | None = None) -> Any:
    """Run `python -m <arguments>` and return the JSON that it prints. env: beside the present one. Raises Failed."""
    command = [sys.executable, "-m", *arguments]
    environment = {**os.environ, **(env or {})}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(done.stderr)
    return json.loads(done.stdout)


class _Connection(asyncio.Protocol):
    """Sends the next request when it has an answer, until the time is over or the server closes; then it closes."""

    def __init__(self, client: _Client) -> None:
        self._client = client
        self._got = b""
        self._is_waiting = False
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # asyncio gives a connected stream this kind; the protocol class declares only the base.
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, end, body = self._got.partition(b"\r\n\r\n")
        if not end or len(body) < content_length(head):
            return
        self._got = b""
        self._is_waiting = False
        self._client.answered(head, time.perf_counter() - self._sent_at)
        if will_close(head):
            self._transport.close()
        else:
            self._send()

    def connection_lost(self, _exc: Exception | None) -> None:
        self._client.failed += int(self._is_waiting)
        self.closed.set_result(None)

    def _send(self) -> None:
        request = self._client.next_request()
        if request:
            self._sent_at = time.perf_counter()
            self._is_waiting = True
            self._transport.write(request)
        else:
            self._transport.close()


class _Client:
    """All connections together."""

    def __init__(self, file: BufferedReader, size: int, until: float) -> None:
        self._file = file
        self._size = size
        self._until = until
        self.took_s: list[float] = []
        self.failed = 0
        self.exhausted = 0

    async def keep_connected(self, host: str, port: int) -> None:
        """Ask until the time is over or there are no more requests, on a new connection when the server closes one."""
        while not self._is_over():
            _, connection = await asyncio.get_running_loop().create_connection(lambda: _Connection(self), host, port)
            await connection.closed

    def _is_over(self) -> bool:
        return bool(self.exhausted) or time.perf_counter() >= self._until

    def next_request(self) -> bytes:
        """The next one; nothing when the time is over, or there is no other."""
        if self._is_over():
            return b""
        request = self._file.read(self._size)
        self.exhausted = self.exhausted or int(not request)
        return request

    def answered(self, head: bytes, took_s: float) -> None:
        self.took_s.append(took_s)
        if not head.split(b" ", 2)[1].startswith(b"2"):
            self.failed += 1


def content_length(head: bytes) -> int:
    """Bytes of the body that this head announces; 0 where it does not say."""
    at = head.lower().find(b"\ncontent-length:")
    return int(head[at + 16 :].split(b"\r", 1)[0]) if at >= 0 else 0


def will_close(head: bytes) -> bool:
    """Return whether the server closes the connection after the response with this head."""
    return b"\nconnection: close" in head.lower()


async def _run(url: str, connections: int, seconds: float, file: Path, size: int) -> str:
    parts = urlsplit(url)
    with file.open("rb") as requests:
        began = time.perf_counter()
        client = _Client(requests, size, began + seconds)
        asking = [
            asyncio.create_task(client.keep_connected(parts.hostname or "", parts.port or 80))
            for _ in range(connections)
        ]
        done, _ = await asyncio.wait(asking, timeout=seconds + _MAX_ANSWER_S)
        for task in done:
            task.result()  # raises what kept it from connecting
        took = sorted(client.took_s) or [0.0]
        return json.dumps(
            {
                "requests": len(client.took_s),
                "seconds": time.perf_counter() - began,
                "p50_ms": took[len(took) // 2] * 1000,
                "p99_ms": took[len(took) * 99 // 100] * 1000,
                "failed": client.failed,
                "exhausted": client.exhausted,
            }
        )


if __name__ == "__main__":
    _url, _connections, _seconds, _file, _size = sys.argv[1:]
    result = asyncio.run(_run(_url, int(_connections), float(_seconds), Path(_file), int(_size)))
    sys.stdout.write(f"RESULT {result}\n")
