"""Names of the processes that hold a lease, by which one that has ended is recognised on the same machine."""

from __future__ import annotations

import os
import socket

MAX_HOST_LENGTH = 64


def own_name() -> str:
    """Return the name of this process as the owner of a lease, as "process 123 on host"."""
    return f"process {os.getpid()} on {_host()}"


def has_ended_here(owner: str) -> bool:
    """Return whether the owner is a process of this machine that has ended; False for a name of another form."""
    process, _, host = owner.removeprefix("process ").partition(" on ")
    if host != _host() or not process.isdecimal():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False


def _host() -> str:
    return socket.gethostname()[:MAX_HOST_LENGTH]
