"""Ways in which a response leaves, or does not leave, when a fault of the connection strikes.

Only the connection's thread waits, without holding a lock. Clearing the fault ends the wait.
"""

import socket
import struct
from functools import partial

from taskrouter_emulator.transport.faults import Fault, FaultKind
from taskrouter_emulator.transport.http_server import ResponseSender

_LINGER_0 = struct.pack("ii", 1, 0)


def faulty_sender(fault: Fault) -> ResponseSender:
    """Return the function that sends a response under this fault. Raises KeyError for a fault of another kind.

    With `drip_headers` and `drip_body` the response is complete in the end, and the connection stays usable.
    """
    return partial(_SENDERS[fault.kind], fault)


def _stall(fault: Fault, _connection: socket.socket, _head: bytes, _body: bytes) -> bool:
    fault.wait(fault.seconds)
    return False


def _reset(_fault: Fault, connection: socket.socket, _head: bytes, _body: bytes) -> bool:
    """Send RST at once. The server would send an orderly FIN first, which clients do not see as a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
    socket.close(connection.detach())
    return False


def _cut(_fault: Fault, connection: socket.socket, head: bytes, body: bytes) -> bool:
    connection.sendall(head + body[: len(body) // 2])
    return False


def _drip_headers(fault: Fault, connection: socket.socket, head: bytes, body: bytes) -> bool:
    _drip(fault, connection, head)
    connection.sendall(body)
    return True


def _drip_body(fault: Fault, connection: socket.socket, head: bytes, body: bytes) -> bool:
    connection.sendall(head)
    _drip(fault, connection, body)
    return True


def _drip(fault: Fault, connection: socket.socket, octets: bytes) -> None:
    """Send one byte every `every_s`, the first at once; when the fault is cleared, send the rest at once."""
    for position in range(len(octets)):
        if position and not fault.wait(fault.every_s):
            connection.sendall(octets[position:])
            return
        connection.sendall(octets[position : position + 1])


_SENDERS = {
    FaultKind.STALL: _stall,
    FaultKind.RESET: _reset,
    FaultKind.CUT: _cut,
    FaultKind.DRIP_HEADERS: _drip_headers,
    FaultKind.DRIP_BODY: _drip_body,
}
