"""Time limits that end a wait, in the server and outside it."""

from __future__ import annotations

import subprocess
import sys

from enrich.resilience.timeouts import time_limit


def test_outside_the_server_nothing_is_interrupted() -> None:
    with time_limit(0.0):
        pass


IN_THE_SERVER = """
from gevent import monkey; monkey.patch_all()
import socket
from enrich.resilience.timeouts import time_limit
from enrich.domain.deadline import OutOfTime
quiet, _ = socket.socketpair()
try:
    with time_limit(0.05):
        quiet.recv(1)
except OutOfTime:
    print("ended")
with time_limit(5):
    print("went on")
"""


def test_in_the_server_a_wait_is_ended_whatever_it_waits_for() -> None:
    """In a process of its own: gevent patches the standard library for good."""
    ended = subprocess.run(
        [sys.executable, "-c", IN_THE_SERVER], capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stdout.split("\n") == ["ended", "went on", ""]
