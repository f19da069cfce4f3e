"""Places: so many at a time, the others in turn, and no place is lost."""

from __future__ import annotations

import subprocess
import sys

import pytest

from enrich.resilience.places import Places

# Greenlets run until they wait, so what happens when is certain.
BEGIN = """
from gevent import monkey; monkey.patch_all()
import time
import gevent
from enrich.domain.deadline import OutOfTime
from enrich.resilience.places import Places
from enrich.resilience.timeouts import time_limit

places, got = Places(1), []
assert places.acquire(0)

def wait(name, timeout_s=20, came_in=None):
    got.append((name, places.acquire(timeout_s, came_in)))

def waiting(*names):
    greenlets = [gevent.spawn(wait, name) for name in names]
    gevent.sleep(0)
    return greenlets
"""

IN_TURN = """
for greenlet in waiting(1, 2, 3):
    places.release()
    wait("later", 0)  # the place is free for nobody else
    greenlet.join()
assert got == [(1, True), ("later", False), (2, True), ("later", False), (3, True), ("later", False)], got
"""

BY_AGE = """
now = time.monotonic()
greenlets = [gevent.spawn(wait, age, came_in=now - age) for age in (1, 3, 2, 0)]
gevent.sleep(0)
for _ in greenlets:
    places.release()
    gevent.sleep(0)
gevent.joinall(greenlets, timeout=20)
assert got == [(3, True), (2, True), (1, True), (0, True)], got
"""

TOO_LATE = """
wait("impatient", 0.001)
places.release()
wait("later")
assert got == [("impatient", False), ("later", True)], got
"""

INTERRUPTED = """
def interrupted():
    try:
        with time_limit(0.001):
            wait("interrupted")
    except OutOfTime:
        got.append("interrupted")

one = gevent.spawn(interrupted)
gevent.sleep(0)
{interrupt}
wait("later", 0)
assert got == ["interrupted", ("later", True)], got
"""

PROGRAMS = {
    "in turn": IN_TURN,
    "the oldest first": BY_AGE,
    "too late": TOO_LATE,
    "interrupted in its wait": INTERRUPTED.format(interrupt="one.join(); places.release()"),
    "interrupted with the place in its hand": INTERRUPTED.format(
        interrupt="one.kill(OutOfTime(0.0), block=False); places.release(); one.join()"
    ),
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_greenlets(program: str) -> None:
    done = subprocess.run([sys.executable, "-c", BEGIN + program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_as_many_as_there_are() -> None:
    places = Places(2)
    assert [places.acquire(0.0) for _ in range(3)] == [True, True, False]
    places.release()
    assert [places.acquire(0.0) for _ in range(2)] == [True, False]
