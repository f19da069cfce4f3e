"""Resources that all callbacks of a process share stay usable after any number of interrupted waits."""

from __future__ import annotations

import subprocess
import sys

import pytest

# A hundred greenlets use the one thing; each use is ended by one of two clocks, one inside the other, at any moment.
PROGRAM = """
from gevent import monkey; monkey.patch_all()
import random
from types import SimpleNamespace
import gevent
from enrich.errors import DatabaseUnavailable
from enrich.resilience.timeouts import time_limit
from enrich.domain.deadline import OutOfTime
from enrich.database.pool import ConnectionPool, Slots
from enrich.journal.group_commit import GroupCommit
from enrich.domain.deliveries import Receipt

slots = Slots(2)

def commit(rows, timeout_s):
    gevent.sleep(random.uniform(0, 0.002))
    return [Receipt(1, False, row["delivery_key"], True) for row in rows]

crowd = GroupCommit(commit)

class Server(ConnectionPool):
    def __init__(self):
        super().__init__(SimpleNamespace(dialect=SimpleNamespace(name="postgresql")), 5)
        self.connecting, self.lent, self.made = 0, [], 0

    def _connect(self):  # takes as long as most have time for
        self.connecting += 1
        assert self.connecting == 1, "two at a time"
        gevent.sleep(0.01)
        self.connecting -= 1
        self.made += 1
        if self.made % 7 == 0:
            raise DatabaseUnavailable("now and then")
        return self.made

server = Server()

def a_connection(key):
    with server._slots:
        try:
            connection, _ = server._acquire()
        except DatabaseUnavailable:
            return
        assert connection not in server.lent, "two have the same"
        server.lent.append(connection)
        try:
            gevent.sleep(random.uniform(0, 0.002))
        finally:
            server.lent.remove(connection)
        server._release(connection)

def a_slot(key):
    with slots:
        gevent.sleep(random.uniform(0, 0.002))

def a_receipt(key):
    assert crowd.receive({"delivery_key": key}, timeout_s=20).answer == key

def interrupted(use, number):
    for time in range(50):
        try:
            with time_limit(random.uniform(0, 0.01)):
                try:
                    with time_limit(random.uniform(0, 0.01)):
                        use(f"{number} {time}")
                except OutOfTime:
                    pass
        except OutOfTime:
            pass

gevent.joinall([gevent.spawn(interrupted, USE, number) for number in range(100)], raise_error=True)
with time_limit(20):  # and now each gets its turn
    gevent.joinall([gevent.spawn(USE, f"{number}") for number in range(20)], raise_error=True)
assert len(set(server._idle)) == len(server._idle) <= server.made, server._idle
"""


@pytest.mark.parametrize("use", ["a_slot", "a_connection", "a_receipt"])
def test_interruptions_leave_nothing_locked_and_nothing_lost(use: str) -> None:
    program = PROGRAM.replace("USE", use)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
