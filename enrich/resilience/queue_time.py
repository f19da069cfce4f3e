"""The time that a request waited in the socket, from its last byte until the process read it.

Under load a connection waits, first to be accepted and then for its turn, and TaskRouter's five seconds run meanwhile.
The kernel knows how long: TCP_INFO tells when the last data came in on a connection (tcp(7), `tcpi_last_data_recv`).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping
from typing import Any

# struct tcp_info (linux/tcp.h): eight single bytes, then 32-bit numbers; this is the twelfth of those, in milliseconds.
_LAST_DATA_RECV = 8 + 11 * 4
_ENOUGH = 64
# Nothing that waited longer is still of interest; and a number that makes no sense is not believed.
_LONGEST_S = 60.0


def waited_s(environ: Mapping[str, Any]) -> float:
    """Seconds since the request's last byte came in; 0.0 where that cannot be known (another server, no Linux).

    environ: WSGI's, with gunicorn's own key for the connection.
    """
    connection = environ.get("gunicorn.socket")
    tcp_info = getattr(socket, "TCP_INFO", None)
    if connection is None or tcp_info is None:
        return 0.0
    try:
        told = connection.getsockopt(socket.IPPROTO_TCP, tcp_info, _ENOUGH)
        (milliseconds,) = struct.unpack_from("@I", told, _LAST_DATA_RECV)
    except (OSError, struct.error):
        return 0.0
    seconds = float(milliseconds) / 1000
    return seconds if seconds <= _LONGEST_S else 0.0
