"""The time that a request waited in the socket, from its last byte until the process read it.

Under load a connection waits, first to be accepted and then for its turn, while TaskRouter's five seconds run. The
kernel knows how long: TCP_INFO has the time since the last data on a connection (tcp(7), `tcpi_last_data_recv`).
"""

from __future__ import annotations

import socket
import struct
import time
from typing import Any

# The key of the environment for when the request came in, by the monotonic clock.
CAME_IN = "enrich.came_in"
# struct tcp_info (linux/tcp.h): eight single bytes, then 32-bit numbers; this is the twelfth of those, in milliseconds.
_LAST_DATA_RECV = 8 + 11 * 4
_TCP_INFO_BYTES = 64
# TaskRouter has given up long before this, so a larger number must be wrong and is ignored.
_MAX_WAIT_S = 60.0


def waited_s(environ: dict[str, Any]) -> float:
    """Return the seconds since the request came in, or since the first look where the kernel does not tell.

    environ: the WSGI environment, with gunicorn's own key for the connection. Keeps when the request came in, so that
    the kernel is asked only once.
    """
    now = time.monotonic()
    came_in = environ.get(CAME_IN)
    if came_in is None:
        came_in = environ[CAME_IN] = now - _since_last_data_s(environ)
    return now - came_in


def _since_last_data_s(environ: dict[str, Any]) -> float:
    """Return the seconds since the connection's last byte came in; 0.0 if unknown (another server, not Linux)."""
    connection = environ.get("gunicorn.socket")
    tcp_info = getattr(socket, "TCP_INFO", None)
    if connection is None or tcp_info is None:
        return 0.0
    try:
        raw_tcp_info = connection.getsockopt(socket.IPPROTO_TCP, tcp_info, _TCP_INFO_BYTES)
        (milliseconds,) = struct.unpack_from("@I", raw_tcp_info, _LAST_DATA_RECV)
    except (OSError, struct.error):
        return 0.0
    seconds = float(milliseconds) / 1000
    return seconds if seconds <= _MAX_WAIT_S else 0.0
