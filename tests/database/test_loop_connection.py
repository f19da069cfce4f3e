"""PostgreSQL connections under gevent: they wait in the loop, and hold nobody else up."""

from __future__ import annotations

import subprocess
import sys

import pytest

# The server's address is the first argument. Greenlets run until they wait, so what happens when is certain.
BEGIN = """
from gevent import monkey; monkey.patch_all()
import sys
import gevent
import psycopg
from enrich.database.engine import Database
from enrich.database.loop_connection import LoopConnection
from enrich.domain.deadline import OutOfTime
from enrich.resilience.timeouts import time_limit

connection = LoopConnection.connect(sys.argv[1], autocommit=True)
other = LoopConnection.connect(sys.argv[1], autocommit=True)
"""

OTHERS_GO_ON = """
lock = "SELECT pg_advisory_lock(1)"
connection.execute(lock)
waits = gevent.spawn(other.execute, lock)
gevent.sleep(0)
assert not waits.ready()
assert connection.execute("SELECT 1").fetchone() == (1,)
connection.execute("SELECT pg_advisory_unlock(1)")
waits.get(timeout=20)
"""

MORE_THAN_FITS = """
text = "x" * 20_000_000
assert connection.execute("SELECT %s::text", (text,)).fetchone() == (text,)
with connection.cursor() as cursor:
    cursor.execute("CREATE TEMPORARY TABLE lines (line text)")
    with cursor.copy("COPY lines FROM STDIN") as copy:
        for _ in range(200):
            copy.write("x" * 100_000 + "\\n")
    with cursor.copy("COPY lines TO STDOUT") as copy:
        assert sum(len(bytes(block)) for block in copy) == 200 * 100_001
    cursor.executemany("INSERT INTO lines VALUES (%s)", [("y",)] * 2_000)
    assert cursor.execute("SELECT count(*) FROM lines").fetchone() == (2_200,)
"""

INTERRUPTED = """
try:
    with time_limit(0.01):
        connection.execute("SELECT pg_sleep(60)")
except OutOfTime:
    connection.close()
else:
    raise AssertionError("not interrupted")
assert other.execute("SELECT 1").fetchone() == (1,)
"""

SERVER_GONE = """
def wait():
    try:
        connection.execute("SELECT pg_sleep(60)")
    except psycopg.OperationalError:
        return connection.closed

waits = gevent.spawn(wait)
gevent.sleep(0)
other.execute("SELECT pg_terminate_backend(%s)", (connection.info.backend_pid,))
assert waits.get(timeout=20)
"""

NOTIFIED = """
other.execute("LISTEN news")
assert list(other.notifies(timeout=0.01)) == []
connection.execute("NOTIFY news")
assert len(list(other.notifies(timeout=20, stop_after=1))) == 1
"""

OF_THE_ENGINE = """
database = Database(sys.argv[1])
with database.engine.connect() as pooled:
    assert type(pooled.connection.dbapi_connection) is LoopConnection
"""

PROGRAMS = {
    "others go on": OTHERS_GO_ON,
    "more than fits": MORE_THAN_FITS,
    "interrupted": INTERRUPTED,
    "server gone": SERVER_GONE,
    "notified": NOTIFIED,
    "of the engine": OF_THE_ENGINE,
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_under_gevent(program: str, postgresql: str) -> None:
    command = [sys.executable, "-c", BEGIN + program, postgresql]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
