"""Three times the load that was just carried: how late the latest answer is, and what is missing in the journal.

The other parts send the next request when they have an answer, so that a slow server slows its client down. Here the
requests leave when they are due, answered or not, over as many connections as that needs. `python -m
tests.bench.overload` is that client, in a process of its own; like the server, it gets its part of the machine.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import select

from enrich.db import Database
from enrich.journal.tables import EntryRow
from tests.bench import load
from tests.bench.figures import Figure, Line

TIMES = 3
# The design's: no answer later than this, under any fault. TaskRouter itself waits 5 s.
LATEST_S = 4.0
_LONGEST_ANSWER_S = 20.0
_RESERVATION = re.compile(rb"ReservationSid=(WR[0-9a-f]{32})")


def figures(database: Database, kind: str, url: str, file: Path, size: int, carried: float) -> Iterator[Figure]:
    """What became of the requests in that file. carried: requests a second in a closed loop of 64."""
    rate = TIMES * carried
    command = [sys.executable, "-m", "tests.bench.overload", url, str(rate), str(file), str(size)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise load.Failed(done.stderr)
    told = json.loads(done.stdout)
    against = f"{rate:,.0f} a second, {told['requests']:,} in all"
    unanswered = set(told.pop("unanswered"))
    yield Figure(
        Line("slowest answer, overload", kind, against, (LATEST_S,)),
        (told["slowest_s"],),
        "s",
        at_least=False,
        raw=told,
    )
    yield Figure(Line("answers later than 4.0 s", kind, against, (0,)), (told["late"] + len(unanswered),), "", False)
    reservations = _RESERVATION.findall(file.read_bytes())
    answered = {sid.decode() for number, sid in enumerate(reservations) if number not in unanswered}
    recorded = {row.delivery_key for row in database.read(select(EntryRow.delivery_key))}
    yield Figure(Line("answered, not recorded", kind, against, (0,)), (len(answered - recorded),), "", at_least=False)


class _Client:
    """Sends each request when it is due, over a connection that is idle, or a new one."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 80)
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.took_s: list[float] = []
        self.unanswered: list[int] = []

    async def send(self, number: int, request: bytes, due: float) -> None:
        try:
            async with asyncio.timeout(_LONGEST_ANSWER_S):
                reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection(*self._address)
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(load.content_length(head))
        except (OSError, EOFError):
            self.unanswered.append(number)
            return
        if head.split(b" ", 2)[1] != b"200":
            self.unanswered.append(number)
            return
        self.took_s.append(time.perf_counter() - due)
        self._idle.append((reader, writer))


async def _run(url: str, rate: float, file: Path, size: int) -> dict[str, Any]:
    client = _Client(url)
    requests = file.read_bytes()
    began = time.perf_counter()
    sent = []
    for number in range(len(requests) // size):
        due = began + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        request = requests[number * size : (number + 1) * size]
        sent.append(asyncio.create_task(client.send(number, request, due)))
    await asyncio.gather(*sent)
    took = sorted(client.took_s) or [_LONGEST_ANSWER_S]
    return {
        "requests": len(sent),
        "p50_s": took[len(took) // 2],
        "p99_s": took[len(took) * 99 // 100],
        "slowest_s": took[-1],
        "late": sum(seconds > LATEST_S for seconds in took),
        "unanswered": client.unanswered,
    }


if __name__ == "__main__":
    _url, _rate, _file, _size = sys.argv[1:]
    json.dump(asyncio.run(_run(_url, float(_rate), Path(_file), int(_size))), sys.stdout)
