"""How an answer leaves, or does not leave, when a fault of the connection has struck it.

Only the thread of the connection waits, and it holds no lock. The fault itself ends the wait when it is over.
"""

import socket
import struct
from functools import partial

from taskrouter_emulator.transport.faults import Fault, FaultKind
from taskrouter_emulator.transport.http_server import Send

_LINGER_0 = struct.pack("ii", 1, 0)


def sending(fault: Fault) -> Send:
    """What sends the answer, as far as a fault of this kind lets it. Raises KeyError for a kind that is none of these.

    With `drip_headers` and `drip_body` the answer is complete in the end, and the connection can serve more requests.
    """
    return partial(_SENDING[fault.kind], fault)


def _stall(fault: Fault, _connection: socket.socket, _head: bytes, _body: bytes) -> bool:
    fault.wait(fault.seconds)
    return False


def _reset(_fault: Fault, connection: socket.socket, _head: bytes, _body: bytes) -> bool:
    """RST at once. The server would say an orderly FIN first, and reading a FIN is not being reset."""
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
    """One byte every `every_s`, the first at once; what is left when the fault is over, at once."""
    for sent in range(len(octets)):
        if sent and not fault.wait(fault.every_s):
            connection.sendall(octets[sent:])
            return
        connection.sendall(octets[sent : sent + 1])


_SENDING = {
    FaultKind.STALL: _stall,
    FaultKind.RESET: _reset,
    FaultKind.CUT: _cut,
    FaultKind.DRIP_HEADERS: _drip_headers,
    FaultKind.DRIP_BODY: _drip_body,
}
