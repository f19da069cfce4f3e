"""PostgreSQL's engine: connects to any address of the server's name, and leaves a server that has failed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.engine import ExceptionContext

from enrich import errors
from enrich.database.errors import concerns_connection
from enrich.database.loop_connection import LoopConnection
from enrich.database.types import read_json
from enrich.resilience.dns_cache import DnsCache

# Parameters of libpq, unless the URL sets them. The time-out is for each address of the name. A server that vanishes
# together with its connections is noticed after some six seconds by statements without a deadline, such as the
# worker's; the kernel alone takes from 15 minutes to two hours.
_PARAMETERS = {
    "connect_timeout": 3,
    "keepalives_idle": 2,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "tcp_user_timeout": 6000,
}


class Server:
    """The server of a URL, by its name; its addresses are resolved and tried here.

    libpq would try one of them only, and a resolver in C cannot be interrupted. A URL without a host, with several, or
    with `hostaddr` is left to libpq.
    """

    def __init__(self, url: URL, addresses: DnsCache) -> None:
        self._url = url
        self._addresses = addresses
        host = url.host or ""
        self._host = "" if host.startswith("/") or "," in host or {"host", "hostaddr"} & url.query.keys() else host

    def engine(self, connections: int) -> Engine:
        """Return an engine with a pool of this many connections."""
        engine = create_engine(
            self._url,
            pool_size=connections,
            # A connection is a process in PostgreSQL, and more of them than cores do no more work: under load, waiting
            # is better than opening a connection and closing it again.
            max_overflow=0,
            connect_args={name: value for name, value in _PARAMETERS.items() if name not in self._url.query},
            json_deserializer=read_json,
            hide_parameters=True,  # they are customers' data, and errors are logged
        )

        @event.listens_for(engine, "do_connect")
        def connect(dialect: Any, _record: Any, arguments: Any, parameters: dict[str, Any]) -> Any:
            if not self._host:
                return LoopConnection.connect(*arguments, **parameters)
            return self._connect_to_any(
                lambda address: LoopConnection.connect(*arguments, **parameters, hostaddr=address),
                dialect.loaded_dbapi.Error,
            )

        @event.listens_for(engine, "handle_error")
        def replace_connections(context: ExceptionContext) -> None:
            """Have SQLAlchemy close this connection and the idle ones, which lead to the same server."""
            if concerns_connection(context.original_exception) and context.connection is not None:
                context.is_disconnect = True
                self.leave(context.connection.connection.dbapi_connection)

        return engine

    def leave(self, connection: Any) -> None:
        """Try the address of this open connection last from now on: its server answers, but cannot do the work."""
        if self._host:
            self._addresses.failed(self._host, connection.info.hostaddr)

    def resolve_again(self) -> None:
        """Resolve the name again, because the server may have moved; does not wait for it."""
        if self._host:
            self._addresses.refresh(self._host)

    def _connect_to_any(self, connect: Callable[[str], Any], driver_error: Any) -> Any:
        """Return a connection to the first address that accepts one. Raises the last one's error."""
        try:
            addresses = self._addresses.of(self._host)
        except OSError as exc:
            raise errors.DatabaseUnavailable(str(exc)) from exc
        for address in addresses:
            try:
                return connect(address)
            except BaseException as exc:  # OutOfTime among them, which ends the search
                self._addresses.failed(self._host, address)
                if address == addresses[-1] or not isinstance(exc, driver_error):
                    raise
        raise AssertionError("a host that resolves has an address")
