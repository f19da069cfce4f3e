"""A TaskRouter that only answers: every task exists, has the same attributes, and takes every write.

`python -m bench.upstream PORT DELAY_S [tells]`. The emulator knows tasks, revisions and routing, and would take longer
for an answer than the service for a whole callback; this one compares a few bytes. asyncio, without a web framework.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import cast

from bench.load import content_length

ATTRIBUTES = json.dumps(
    {
        "from": "+14155550100",
        "to": "+14155550199",
        "call_sid": "CA" + "0" * 32,
        "direction": "inbound",
        "language": "en",
        "queue": "support",
        "conversations": {"channel": "voice", "initiated_by": "Customer"},
    },
    separators=(",", ":"),
)


def task_document() -> bytes:
    """A task as TaskRouter tells it (docs/taskrouter.md, "Tasks")."""
    base = "https://taskrouter.twilio.com/v1/Workspaces/WS" + "0" * 32
    task_sid = "WT" + "0" * 32
    return json.dumps(
        {
            "account_sid": "AC" + "0" * 32,
            "workspace_sid": "WS" + "0" * 32,
            "sid": task_sid,
            "age": 3,
            "assignment_status": "reserved",
            "attributes": ATTRIBUTES,
            "addons": "{}",
            "date_created": "2026-11-02T09:00:00Z",
            "date_updated": "2026-11-02T09:00:03Z",
            "task_queue_entered_date": "2026-11-02T09:00:00Z",
            "virtual_start_time": "2026-11-02T09:00:00Z",
            "priority": 0,
            "reason": None,
            "task_queue_sid": "WQ" + "0" * 32,
            "task_queue_friendly_name": "Support",
            "task_channel_sid": "TC" + "0" * 32,
            "task_channel_unique_name": "voice",
            "timeout": 86400,
            "workflow_sid": "WW" + "0" * 32,
            "workflow_friendly_name": "All",
            "routing_target": None,
            "ignore_capacity": False,
            "url": f"{base}/Tasks/{task_sid}",
            "links": {
                "task_queue": f"{base}/TaskQueues/WQ{'0' * 32}",
                "workflow": f"{base}/Workflows/WW{'0' * 32}",
                "workspace": base,
                "reservations": f"{base}/Tasks/{task_sid}/Reservations",
            },
        }
    ).encode()


def _response() -> bytes:
    body = task_document()
    head = f'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nETag: "3"\r\nContent-Length: {len(body)}\r\n\r\n'
    return head.encode() + body


class Upstream(asyncio.Protocol):
    """One connection. The requests on it come one after the other, as urllib3 sends them.

    tells: print each write with the monotonic time of its answer.
    """

    def __init__(self, response: bytes, delay_s: float, *, tells: bool) -> None:
        self._response = response
        self._delay_s = delay_s
        self._tells = tells
        self._got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # asyncio gives a connected stream this kind; the protocol class declares only the base.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._got = self._got + data if self._got else data
        head, end, body = self._got.partition(b"\r\n\r\n")
        if not end or len(body) < content_length(head):
            return
        self._got = b""
        if self._tells and head.startswith(b"POST"):
            path = head.split(b" ", 2)[1].decode()
            print("POST", path, time.monotonic() + self._delay_s, flush=True)  # noqa: T201 - read from the log
        if self._delay_s:
            asyncio.get_running_loop().call_later(self._delay_s, self._answer)
        else:
            self._answer()

    def _answer(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(self._response)


async def serve(port: int, delay_s: float, *, tells: bool) -> None:
    response = _response()
    server = await asyncio.get_running_loop().create_server(
        lambda: Upstream(response, delay_s, tells=tells), "127.0.0.1", port, backlog=1024
    )
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2]), tells="tells" in sys.argv[3:]))
