"""Five times the load that was just carried: how late the latest answer is, and what is missing in the journal.

The other parts send the next request when they have an answer, so that a slow server slows its client down. Here the
requests leave when they are due, answered or not, over as many connections as that needs. `python -m
bench.overload` is that client, in a process of its own; like the server, it gets its part of the machine.
"""

from __future__ import annotations

import json
import os
import re
import selectors
import socket
import sys
import time
from collections import defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import select

from bench import load
from bench.figures import Figure, Line
from enrich.database.engine import Database
from enrich.journal.tables import EntryRow

TIMES = 5
# The service answers within this under any fault; TaskRouter itself waits 5 s (docs/taskrouter.md, "Time limits").
LATEST_S = 4.0
# After the last request is due, answers are waited for so long; it stands for a request without an answer.
MAX_ANSWER_S = 20.0
# What could not be recorded before its answer had to leave is recorded after it, within this.
_RECORDED_WITHIN_S = 10.0
_RESERVATION = re.compile(rb"ReservationSid=(WR[0-9a-f]{32})")


def figures(database: Database, kind: str, url: str, file: Path, size: int, carried: float) -> Iterator[Figure]:
    """Yield the figures of an overload with the requests in that file.

    carried: requests a second in a closed loop of 64.
    """
    rate = TIMES * carried
    told, unanswered = send(url, file, size, rate=rate)
    against = f"{rate:,.0f} a second, {told['requests']:,} in all"
    told["recorded_later"], missing = unrecorded(database, file, unanswered)
    yield Figure(
        Line("slowest answer, overload", kind, against, (LATEST_S,)),
        (told["slowest_s"],),
        "s",
        at_least=False,
        raw=told,
    )
    yield Figure(Line("answers later than 4.0 s", kind, against, (0,)), (told["late"] + len(unanswered),), "", False)
    yield Figure(Line("answered, not recorded", kind, against, (0,)), (missing,), "", at_least=False)


def _recorded(database: Database) -> set[str | None]:
    return {row.delivery_key for row in database.read(select(EntryRow.delivery_key))}


class _Connection:
    """One connection: idle, or with one request under way. number: that one's; due: when it was to leave."""

    __slots__ = ("due", "got", "number", "request", "socket")

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.connect_ex(address)
        self.request, self.number, self.due, self.got = b"", -1, 0.0, b""


class _Client:
    """Sends each request when it is due, over a connection that is idle, or a new one.

    fresh: every so many have a connection of their own; 0 for none. took_s: of each 200, from when it was due.
    unanswered: the numbers of the requests that got no 200, by kind.
    Bare sockets: the client runs on the machine that it measures, and what it takes is missing there.
    """

    def __init__(self, url: str, fresh: int = 0) -> None:
        parts = urlsplit(url)
        self._fresh = fresh
        self._address = (parts.hostname or "", parts.port or 80)
        self._selector = selectors.DefaultSelector()
        self._idle: list[_Connection] = []
        self._under_way: dict[int, _Connection] = {}
        self.took_s: list[float] = []
        self.unanswered: dict[str, list[int]] = defaultdict(list)

    def run(self, requests: bytes, size: int, rate: float) -> None:
        number, began = 0, time.perf_counter()
        all_due = range(len(requests) // size)
        while number < len(all_due) or self._under_way:
            now = time.perf_counter()
            while number < len(all_due) and began + number / rate <= now:
                self._send(number, requests[number * size : (number + 1) * size], began + number / rate)
                number += 1
            if number == len(all_due) and now > began + number / rate + MAX_ANSWER_S:
                break
            wait_s = began + number / rate - now if number < len(all_due) else 0.1
            for key, events in self._selector.select(max(0.0, wait_s)):
                self._ready(key.data, events)
        if self._under_way:
            self.unanswered["still waiting at the end"] += self._under_way

    def _is_fresh(self, number: int) -> bool:
        return self._fresh > 0 and number % self._fresh == 0

    def _send(self, number: int, request: bytes, due: float) -> None:
        is_new = not self._idle or self._is_fresh(number)
        try:
            connection = _Connection(self._address) if is_new else self._idle.pop()
        except OSError as exc:  # no file is left: thousands wait
            self.unanswered[_kind(exc)].append(number)
            return
        connection.request, connection.number, connection.due = request, number, due
        self._under_way[number] = connection
        if is_new:  # it is sent when the connection stands
            self._selector.register(connection.socket, selectors.EVENT_WRITE, connection)
        else:
            self._write(connection)

    def _write(self, connection: _Connection) -> None:
        try:
            connection.socket.send(connection.request)
        except OSError as exc:
            self._is_gone(connection, _kind(exc))

    def _ready(self, connection: _Connection, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            self._selector.modify(connection.socket, selectors.EVENT_READ, connection)
            self._write(connection)
            return
        try:
            got = connection.socket.recv(65_536)
        except OSError as exc:
            self._is_gone(connection, _kind(exc))
            return
        if not got:
            self._is_gone(connection, "closed without an answer")
            return
        connection.got += got
        head, end, body = connection.got.partition(b"\r\n\r\n")
        if end and len(body) >= load.content_length(head):
            self._answered(connection, head)

    def _answered(self, connection: _Connection, head: bytes) -> None:
        number = connection.number
        del self._under_way[number]
        status = head.split(b" ", 2)[1].decode()
        if status == "200":
            self.took_s.append(time.perf_counter() - connection.due)
        else:
            self.unanswered[f"status {status}"].append(number)
        if self._is_fresh(number) or load.will_close(head):
            self._close(connection)
            return
        connection.got, connection.number = b"", -1
        self._idle.append(connection)

    def _is_gone(self, connection: _Connection, kind: str) -> None:
        self._close(connection)
        if connection.number < 0:
            self._idle.remove(connection)
        else:
            del self._under_way[connection.number]
            self.unanswered[kind].append(connection.number)

    def _close(self, connection: _Connection) -> None:
        self._selector.unregister(connection.socket)
        connection.socket.close()


def _kind(exc: OSError) -> str:
    """Return the kind of a failed connection, such as "connection refused"."""
    return os.strerror(exc.errno or 0).lower()


def send(url: str, file: Path, size: int, *, rate: float, fresh: int = 0) -> tuple[dict[str, Any], set[int]]:
    """Send the requests in that file from a process of its own, so many a second.

    fresh: every so many have a connection of their own; 0 for none.
    Returns what became of them, in `unanswered` how many got no 200 by kind, and the numbers of these. Raises Failed.
    """
    told: dict[str, Any] = load.run_module("bench.overload", url, str(rate), str(file), str(size), str(fresh))
    unanswered: dict[str, list[int]] = told["unanswered"]
    told["unanswered"] = {kind: len(numbers) for kind, numbers in unanswered.items()}
    return told, {number for numbers in unanswered.values() for number in numbers}


def unrecorded(database: Database, file: Path, unanswered: Collection[int]) -> tuple[int, int]:
    """Return how many of the answered requests in that file are not in the journal: at once, and some seconds later."""
    reservations = _RESERVATION.findall(file.read_bytes())
    answered = {sid.decode() for number, sid in enumerate(reservations) if number not in unanswered}
    at_once = len(missing := answered - _recorded(database))
    until = time.monotonic() + _RECORDED_WITHIN_S
    while missing and time.monotonic() < until:
        time.sleep(0.5)
        missing -= _recorded(database)
    return at_once, len(missing)


def _run(url: str, rate: float, file: Path, size: int, fresh: int) -> dict[str, Any]:
    client = _Client(url, fresh)
    requests = file.read_bytes()
    client.run(requests, size, rate)
    took = sorted(client.took_s) or [MAX_ANSWER_S]
    return {
        "requests": len(requests) // size,
        "p50_s": took[len(took) // 2],
        "p99_s": took[len(took) * 99 // 100],
        "slowest_s": took[-1],
        "late": sum(seconds > LATEST_S for seconds in took),
        "unanswered": client.unanswered,
        "processor_s": time.process_time(),
    }


if __name__ == "__main__":
    _url, _rate, _file, _size, _each_fresh = sys.argv[1:]
    json.dump(_run(_url, float(_rate), Path(_file), int(_size), int(_each_fresh)), sys.stdout)
