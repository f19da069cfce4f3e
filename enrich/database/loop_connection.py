"""PostgreSQL connections that wait in gevent's event loop itself, where gevent has patched the program."""

from __future__ import annotations

from typing import Any, TypeVar

import psycopg
from gevent import get_hub, monkey
from psycopg.abc import PQGen
from psycopg.waiting import Ready

T = TypeVar("T")


class LoopConnection(psycopg.Connection[Any]):
    """A connection of psycopg's, whose wait for the server is one watcher of the event loop.

    psycopg's own wait polls, and gevent's poll makes several objects for each: a fifth of the client's work for a
    statement. A wait with a time-out of its own, and all of them without gevent, stay psycopg's.
    """

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """Run this generator of psycopg's to its end and return its result. Source: `psycopg.waiting`."""
        if timeout is not None or not monkey.is_module_patched("select"):
            return super().wait(gen, interval, timeout)
        hub, descriptor = get_hub(), self.pgconn.socket
        try:
            awaited = int(next(gen))
            while True:
                # psycopg's bits for reading and writing are the loop's, too.
                watcher = hub.loop.io(descriptor, awaited)
                try:
                    hub.wait(watcher)
                finally:
                    watcher.close()
                # Of reading or writing, the loop does not tell which: psycopg tries both, and neither blocks.
                awaited = int(gen.send(Ready(awaited)))
        except StopIteration as end:
            result: T = end.value
            return result
