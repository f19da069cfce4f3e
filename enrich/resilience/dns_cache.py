"""A cache of host addresses that resolves each host in one thread at a time.

gevent resolves names in a small thread pool, and nothing can interrupt a thread. A resolver that does not answer would
soon block all of them, and with them every new connection of the process. So only one thread resolves a host, whoever
needs its addresses waits for that thread interruptibly, and the last known addresses are used until newer ones arrive.

After a fail-over the name leads elsewhere long before its addresses are a minute old. So callers report an address that
failed: it is tried last from then on, and the host is resolved again at once.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

# Twilio's DNS records live for about a minute; older addresses stay in use while they are resolved again.
FRESH_S = 60.0
# A host whose address fails is resolved again, but not more often than this, whatever the number of requests that fail.
RETRY_S = 1.0

Resolve = Callable[[str], tuple[str, ...]]


def ask_resolver(host: str) -> tuple[str, ...]:
    """Return the numeric addresses of a host, in the resolver's order. Raises OSError."""
    results = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(address[0]) for _, _, _, _, address in results))


@dataclass
class _Entry:
    """The cached addresses of one host, in the order in which to try them.

    failed_at: when a connection to an address last failed. is_resolving: a thread is at work; resolved: set when it has
    finished.
    """

    addresses: tuple[str, ...] = ()
    failed_at: dict[str, float] = field(default_factory=dict)
    fresh_until: float = 0.0
    resolved_at: float = 0.0
    is_resolving: bool = False
    error: OSError | None = None
    resolved: threading.Event = field(default_factory=threading.Event)

    def put_in_order(self, addresses: Sequence[str]) -> None:
        """Keep these addresses, those that failed last at the end, and forget the failures of all others."""
        self.failed_at = {address: at for address, at in self.failed_at.items() if address in addresses}
        self.addresses = tuple(sorted(addresses, key=lambda address: self.failed_at.get(address, float("-inf"))))


class DnsCache:
    """The addresses of any number of hosts. Safe to share between greenlets and threads."""

    def __init__(self, resolve: Resolve = ask_resolver, now: Callable[[], float] = time.monotonic) -> None:
        self._resolve = resolve
        self._now = now
        self._entries: dict[str, _Entry] = {}
        self._lock = threading.Lock()

    def of(self, host: str) -> tuple[str, ...]:
        """Return at least one numeric address; the last known ones if the resolver is slow.

        Those that failed come last. Waits only for a host that was never resolved before. Raises OSError if it does not
        resolve.
        """
        if _is_numeric(host):
            return (host,)
        with self._lock:
            entry = self._entries.setdefault(host, _Entry())
            if entry.addresses and self._now() < entry.fresh_until:
                return entry.addresses
            self._start_to_resolve(host, entry)
            resolved = entry.resolved
        if entry.addresses:
            return entry.addresses
        resolved.wait()
        if not entry.addresses:
            raise OSError(f"{host} does not resolve") from entry.error
        return entry.addresses

    def failed(self, host: str, address: str) -> None:
        """Record that no connection to this address of the host is possible: try others first, and resolve it again."""
        with self._lock:
            entry = self._entries.get(host)
            if entry is not None and address in entry.addresses:
                entry.failed_at[address] = self._now()
                entry.put_in_order(entry.addresses)
        self.refresh(host)

    def refresh(self, host: str) -> None:
        """Resolve the host again now, if its addresses are older than `RETRY_S`; does not wait for it."""
        with self._lock:
            entry = self._entries.get(host)
            if entry is not None and self._now() - entry.resolved_at >= RETRY_S:
                self._start_to_resolve(host, entry)

    def _start_to_resolve(self, host: str, entry: _Entry) -> None:
        if not entry.is_resolving:
            entry.resolved = threading.Event()
            threading.Thread(target=self._resolve_host, args=(host, entry), name="addresses", daemon=True).start()
            entry.is_resolving = True  # only once it has started; it cannot finish before the lock is released

    def _resolve_host(self, host: str, entry: _Entry) -> None:
        addresses: tuple[str, ...] = ()
        error: OSError | None = None
        try:
            addresses = self._resolve(host)
        except OSError as exc:
            error = exc
        with self._lock:
            entry.error = error
            entry.resolved_at = self._now()
            if addresses:
                entry.put_in_order(addresses)
                entry.fresh_until = entry.resolved_at + FRESH_S
            entry.is_resolving = False
            entry.resolved.set()


def _is_numeric(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
