"""A cache of host addresses, which asks the resolver once at a time.

gevent asks the resolver in a small pool of threads, and nothing can interrupt a thread. A resolver that does not answer
would soon hold them all, and every new connection of the process behind them. So a name is asked for by one thread
only, whoever needs it waits for that one, interruptibly, and what was answered once is used for as long as nothing
better is known.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

# Twilio's names have answers that live for about a minute; older ones are still used while a new one is asked for.
FRESH_S = 60.0

Resolve = Callable[[str], tuple[str, ...]]


def ask_resolver(host: str) -> tuple[str, ...]:
    """The numeric addresses of a host, in the resolver's order. Raises OSError."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(address[0]) for _, _, _, _, address in found))


@dataclass
class _Known:
    """The cached addresses of one host. asking: a thread is resolving; answered: set when it has finished."""

    addresses: tuple[str, ...] = ()
    fresh_until: float = 0.0
    asking: bool = False
    error: OSError | None = None
    answered: threading.Event = field(default_factory=threading.Event)


class DnsCache:
    """The addresses of any number of hosts. Safe to share between greenlets and threads."""

    def __init__(self, resolve: Resolve = ask_resolver, now: Callable[[], float] = time.monotonic) -> None:
        self._resolve = resolve
        self._now = now
        self._known: dict[str, _Known] = {}
        self._lock = threading.Lock()

    def of(self, host: str) -> tuple[str, ...]:
        """At least one numeric address; those that were last answered, if the resolver takes its time.

        Waits only for a host that was never resolved before. Raises OSError when it cannot be.
        """
        if _is_numeric(host):
            return (host,)
        with self._lock:
            known = self._known.setdefault(host, _Known())
            if known.addresses and self._now() < known.fresh_until:
                return known.addresses
            if not known.asking:
                known.asking = True
                known.answered = threading.Event()
                threading.Thread(target=self._ask, args=(host, known), name="addresses", daemon=True).start()
            answered = known.answered
        if known.addresses:
            return known.addresses
        answered.wait()
        if not known.addresses:
            raise OSError(f"{host} does not resolve") from known.error
        return known.addresses

    def _ask(self, host: str, known: _Known) -> None:
        addresses: tuple[str, ...] = ()
        error: OSError | None = None
        try:
            addresses = self._resolve(host)
        except OSError as exc:
            error = exc
        with self._lock:
            known.error = error
            if addresses:
                known.addresses = addresses
                known.fresh_until = self._now() + FRESH_S
            known.asking = False
            known.answered.set()


def _is_numeric(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
