"""The order in which requests begin that one turn of the event loop has found."""

from __future__ import annotations

import socket

import gevent
from gevent.socket import wait_read

from enrich.resilience.arrival_order import TURN_S, ArrivalOrder, next_turn


def test_the_oldest_begins_first() -> None:
    order, begun = ArrivalOrder(), []

    def request(waited_s: float) -> None:
        order.wait(waited_s)
        begun.append(waited_s)

    gevent.joinall([gevent.spawn(request, waited_s) for waited_s in (0.0, 0.2, 0.5, 0.1)], raise_error=True)
    assert begun == [0.5, 0.2, 0.1, 0.0]


def test_those_of_one_age_begin_in_the_order_in_which_they_were_read() -> None:
    """The kernel tells the age in milliseconds, on many machines in steps of four."""
    order, begun = ArrivalOrder(), []

    def request(number: int) -> None:
        order.wait(0.0)
        begun.append(number)

    gevent.joinall([gevent.spawn(request, number) for number in range(20)], raise_error=True)
    assert begun == [*range(20)]


def test_a_turn_ends_and_who_has_waited_for_longer_begins_in_the_next() -> None:
    """A request that comes from a connection which was not accepted while others were worked on."""
    here, there = socket.socketpair()
    clock, begun = [0.0], []
    order = ArrivalOrder(now=lambda: clock[0])

    def request(name: str, takes_s: float, waited_s: float = 0.0) -> None:
        order.wait(waited_s)
        begun.append(name)
        clock[0] += takes_s

    def accepted_late() -> None:
        wait_read(there.fileno())
        request("late", 0.0, waited_s=10.0)

    with here, there:
        late = gevent.spawn(accepted_late)
        gevent.sleep(0)
        here.send(b"x")
        others = [gevent.spawn(request, name, TURN_S / 2) for name in ("first", "second", "third", "fourth")]
        gevent.joinall(others, raise_error=True)
        late.get()
    assert begun == ["first", "second", "late", "third", "fourth"]


def test_the_next_turn_comes_after_a_look_at_the_sockets() -> None:
    here, there = socket.socketpair()
    seen = []

    def read() -> None:
        wait_read(there.fileno())
        seen.append("readable")

    with here, there:
        reader = gevent.spawn(read)
        gevent.sleep(0)
        here.send(b"x")
        for _ in range(10):
            gevent.sleep(0)
        assert not seen, "gevent runs up to a thousand callbacks before it looks"
        next_turn()
        gevent.sleep(0)
        assert seen
        reader.join()
