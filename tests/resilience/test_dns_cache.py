"""DnsCache are asked for once at a time, and kept."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from enrich.resilience.dns_cache import FRESH_S, RETRY_S, DnsCache
from tests.support.clock import ManualClock
from tests.support.threads import wait_for_resolver


class Resolver:
    """A resolver that answers when it is told to, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer: tuple[str, ...] | OSError = ("192.0.2.1",)
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.has_answered = threading.Semaphore(0)

    def __call__(self, host: str) -> tuple[str, ...]:
        self.asked += 1
        self.may_answer.wait(30)
        self.has_answered.release()
        if isinstance(self.answer, OSError):
            raise self.answer
        return self.answer


@pytest.fixture
def resolver() -> Resolver:
    return Resolver()


@pytest.fixture
def addresses(resolver: Resolver, clock: ManualClock) -> DnsCache:
    return DnsCache(resolver, clock)


def test_what_was_answered_is_kept(addresses: DnsCache, resolver: Resolver, clock: ManualClock) -> None:
    for _ in range(3):
        assert addresses.of("api.example.test") == ("192.0.2.1",)
        clock.now_s += FRESH_S / 4
    assert resolver.asked == 1


def test_many_who_need_it_at_once_ask_once(addresses: DnsCache, resolver: Resolver) -> None:
    resolver.may_answer.clear()
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(addresses.of, "api.example.test") for _ in range(8)]
        resolver.may_answer.set()
        assert {future.result() for future in waiting} == {("192.0.2.1",)}
    assert resolver.asked == 1


def test_a_resolver_that_takes_its_time_does_not_hold_what_is_known(
    addresses: DnsCache, resolver: Resolver, clock: ManualClock
) -> None:
    addresses.of("api.example.test")
    clock.now_s += FRESH_S + 1
    resolver.may_answer.clear()
    for _ in range(20):
        assert addresses.of("api.example.test") == ("192.0.2.1",)
    resolver.may_answer.set()
    assert resolver.asked <= 2


def test_an_answer_replaces_what_was_known(addresses: DnsCache, resolver: Resolver, clock: ManualClock) -> None:
    addresses.of("api.example.test")
    resolver.has_answered.acquire()
    clock.now_s += FRESH_S + 1
    resolver.answer = ("192.0.2.2",)
    addresses.of("api.example.test")
    wait_for_resolver()
    assert addresses.of("api.example.test") == ("192.0.2.2",)


def test_an_address_that_failed_is_tried_last_and_its_host_resolved_again(
    addresses: DnsCache, resolver: Resolver, clock: ManualClock
) -> None:
    resolver.answer = ("192.0.2.1", "192.0.2.2", "192.0.2.3")
    addresses.of("api.example.test")
    clock.now_s += RETRY_S
    addresses.failed("api.example.test", "192.0.2.1")
    wait_for_resolver()
    assert resolver.asked == 2
    assert addresses.of("api.example.test") == ("192.0.2.2", "192.0.2.3", "192.0.2.1")
    clock.now_s += RETRY_S
    addresses.failed("api.example.test", "192.0.2.2")
    wait_for_resolver()
    assert addresses.of("api.example.test") == ("192.0.2.3", "192.0.2.1", "192.0.2.2")


def test_an_address_that_comes_back_has_no_past(addresses: DnsCache, resolver: Resolver, clock: ManualClock) -> None:
    for resolver.answer in (("192.0.2.1", "192.0.2.2"), ("192.0.2.2",), ("192.0.2.1", "192.0.2.2")):
        clock.now_s += FRESH_S
        addresses.of("api.example.test")
        wait_for_resolver()
        if resolver.asked == 1:
            addresses.failed("api.example.test", "192.0.2.1")
    assert addresses.of("api.example.test") == ("192.0.2.1", "192.0.2.2")


def test_failures_without_end_do_not_ask_the_resolver_without_end(
    addresses: DnsCache, resolver: Resolver, clock: ManualClock
) -> None:
    addresses.of("api.example.test")
    for _ in range(100):
        addresses.failed("api.example.test", "192.0.2.1")
        wait_for_resolver()
    assert resolver.asked == 1
    clock.now_s += RETRY_S
    resolver.may_answer.clear()
    for _ in range(100):
        addresses.failed("api.example.test", "192.0.2.1")
    assert addresses.of("api.example.test") == ("192.0.2.1",)
    resolver.may_answer.set()
    wait_for_resolver()
    assert resolver.asked == 2


def test_a_failure_of_a_numeric_address_asks_nobody(addresses: DnsCache, resolver: Resolver) -> None:
    addresses.failed("127.0.0.1", "127.0.0.1")
    wait_for_resolver()
    assert (addresses.of("127.0.0.1"), resolver.asked) == (("127.0.0.1",), 0)


def test_a_failure_does_not_forget_what_was_known(addresses: DnsCache, resolver: Resolver, clock: ManualClock) -> None:
    addresses.of("api.example.test")
    resolver.answer = OSError("no answer")
    clock.now_s += 10 * FRESH_S
    assert addresses.of("api.example.test") == ("192.0.2.1",)


def test_a_name_that_never_resolved_is_an_error_and_asked_for_again(addresses: DnsCache, resolver: Resolver) -> None:
    resolver.answer = OSError("no such name")
    with pytest.raises(OSError, match="does not resolve"):
        addresses.of("api.example.test")
    resolver.answer = ("192.0.2.3",)
    assert addresses.of("api.example.test") == ("192.0.2.3",)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "fe80::1%eth0"])
def test_a_numeric_address_is_its_own(addresses: DnsCache, resolver: Resolver, host: str) -> None:
    assert addresses.of(host) == (host,)
    assert resolver.asked == 0


SILENT_RESOLVER = """
from gevent import monkey; monkey.patch_all()
import gevent, threading
from enrich.resilience.dns_cache import DnsCache
from enrich.resilience.timeouts import time_limit
from enrich.domain.deadline import OutOfTime

silent = monkey.get_original("threading", "Event")()
asked = []

def in_c(host):
    # Where getaddrinfo waits: in a thread of gevent's pool, which nothing can interrupt.
    asked.append(host)
    gevent.get_hub().threadpool.apply(silent.wait, (20,))
    return ("192.0.2.1",)

addresses = DnsCache(in_c)
ended = []

def callback(number):
    try:
        with time_limit(0.2):
            addresses.of("api.example.test")
    except OutOfTime:
        ended.append(number)

gevent.joinall([gevent.spawn(callback, number) for number in range(200)])
print(len(ended), len(asked), gevent.get_hub().threadpool.apply(len, ([1, 2, 3],)))
silent.set()
"""


def test_two_hundred_who_wait_for_a_silent_resolver_hold_one_thread_and_end_in_time() -> None:
    """In a process of its own: gevent patches the standard library for good. The pool still works afterwards."""
    server = [sys.executable, "-c", SILENT_RESOLVER]
    ended = subprocess.run(server, capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout.split() == ["200", "1", "3"], ended.stderr
