"""The name under which a process has a row of its own."""

from __future__ import annotations

import os
import secrets
import socket

MAX_HOST_LENGTH = 80


def process_name() -> str:
    """Return a new name for this process: host, process id and a random suffix; at most 120 characters.

    Host names can repeat between machines, and process ids over time.
    """
    return f"{socket.gethostname()[:MAX_HOST_LENGTH]}:{os.getpid()}:{secrets.token_hex(4)}"
