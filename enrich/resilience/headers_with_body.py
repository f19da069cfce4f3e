"""A response's headers go out together with its body: sent apart, each would be a packet, and wake the client."""

from __future__ import annotations

from typing import Any

# A larger part is not copied behind the headers, because that would cost more than a packet.
MAX_JOINED_BYTES = 65_536


class HeadersWithBody:
    """The connection of a response: holds back what is sent first, the headers, until what is sent next."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._held: bytes | None = None  # until the headers come, and nothing once they are sent

    def sendall(self, data: bytes) -> None:
        """Hold back the headers; send anything else, behind them. Raises OSError if the client has gone."""
        if self._held is None:
            self._held = data
            return
        if self._held and len(data) <= MAX_JOINED_BYTES:
            data, self._held = self._held + data, b""
        self.send_held()
        self._connection.sendall(data)

    def sendfile(self, *arguments: Any, **options: Any) -> Any:
        """Send a file, behind what is held back. Arguments, answer and errors are those of the connection."""
        self.send_held()
        return self._connection.sendfile(*arguments, **options)

    def send_held(self) -> None:
        """Send what is held back, if anything is: a response without a body has nothing to wait for. Raises OSError."""
        if self._held:
            held, self._held = self._held, b""
            self._connection.sendall(held)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)
