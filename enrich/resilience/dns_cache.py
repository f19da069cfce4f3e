"""A cache of host addresses that resolves each host in one thread at a time.

gevent resolves names in a small thread pool, and nothing can interrupt a thread. A resolver that does not answer would
soon block all of them, and with them every new connection of the process. So only one thread resolves a host, whoever
needs its addresses waits for that thread interruptibly, and the last known addresses are used until newer ones arrive.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

# Twilio's DNS records live for about a minute; older addresses stay in use while they are resolved again.
FRESH_S = 60.0

Resolve = Callable[[str], tuple[str, ...]]


def ask_resolver(host: str) -> tuple[str, ...]:
    """Return the numeric addresses of a host, in the resolver's order. Raises OSError."""
    results = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(address[0]) for _, _, _, _, address in results))


@dataclass
class _Entry:
    """The cached addresses of one host. is_resolving: a thread is at work; resolved: set when it has finished."""

    addresses: tuple[str, ...] = ()
    fresh_until: float = 0.0
    is_resolving: bool = False
    error: OSError | None = None
    resolved: threading.Event = field(default_factory=threading.Event)


class DnsCache:
    """The addresses of any number of hosts. Safe to share between greenlets and threads."""

    def __init__(self, resolve: Resolve = ask_resolver, now: Callable[[], float] = time.monotonic) -> None:
        self._resolve = resolve
        self._now = now
        self._entries: dict[str, _Entry] = {}
        self._lock = threading.Lock()

    def of(self, host: str) -> tuple[str, ...]:
        """Return at least one numeric address; the last known ones if the resolver is slow.

        Waits only for a host that was never resolved before. Raises OSError if it does not resolve.
        """
        if _is_numeric(host):
            return (host,)
        with self._lock:
            entry = self._entries.setdefault(host, _Entry())
            if entry.addresses and self._now() < entry.fresh_until:
                return entry.addresses
            if not entry.is_resolving:
                entry.is_resolving = True
                entry.resolved = threading.Event()
                threading.Thread(target=self._resolve_host, args=(host, entry), name="addresses", daemon=True).start()
            resolved = entry.resolved
        if entry.addresses:
            return entry.addresses
        resolved.wait()
        if not entry.addresses:
            raise OSError(f"{host} does not resolve") from entry.error
        return entry.addresses

    def _resolve_host(self, host: str, entry: _Entry) -> None:
        addresses: tuple[str, ...] = ()
        error: OSError | None = None
        try:
            addresses = self._resolve(host)
        except OSError as exc:
            error = exc
        with self._lock:
            entry.error = error
            if addresses:
                entry.addresses = addresses
                entry.fresh_until = self._now() + FRESH_S
            entry.is_resolving = False
            entry.resolved.set()


def _is_numeric(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
