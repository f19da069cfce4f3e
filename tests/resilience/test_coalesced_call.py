"""Calls that many ask for and that are made once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from enrich.resilience.coalesced_call import CoalescedCall
from tests.support.threads import UnstartableThread


@dataclass
class Threads:
    """Threads whose targets run when the test says so."""

    targets: list[Callable[[], None]] = field(default_factory=list)
    can_start: bool = True

    def make(self, *, target: Callable[[], None], daemon: bool) -> threading.Thread:
        assert daemon, "it keeps no process from ending"
        return HeldThread(self.targets, target) if self.can_start else UnstartableThread()


class HeldThread(threading.Thread):
    """A thread that hands its target to the test instead of running it."""

    def __init__(self, targets: list[Callable[[], None]], target: Callable[[], None]) -> None:
        super().__init__()
        self.targets, self.target = targets, target

    def start(self) -> None:
        self.targets.append(self.target)


@pytest.fixture
def threads() -> Threads:
    return Threads()


def test_however_many_ask_it_is_made_once(threads: Threads) -> None:
    made: list[str] = []
    call = CoalescedCall(lambda: made.append("call"), 0.02, make_thread=threads.make, pause=lambda _seconds: None)
    for _ in range(50):
        call.ask()
    assert (made, len(threads.targets)) == ([], 1), "whoever asks waits for nothing"
    threads.targets.pop()()
    assert made == ["call"]


def test_who_asks_in_the_pause_is_served_after_it(threads: Threads) -> None:
    events: list[object] = []

    def pause(seconds: float) -> None:
        events.append(seconds)
        if len(events) == 2:
            call.ask()
            call.ask()

    call = CoalescedCall(lambda: events.append("call"), 0.02, make_thread=threads.make, pause=pause)
    call.ask()
    threads.targets.pop()()
    assert events == ["call", 0.02, "call", 0.02]
    call.ask()
    assert len(threads.targets) == 1, "the first thread has ended"


def test_a_failure_is_logged_and_the_next_call_is_made(threads: Threads, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise ConnectionError("of no interest")

    call = CoalescedCall(fail, 0.02, make_thread=threads.make, pause=lambda _seconds: None)
    for _ in range(2):
        call.ask()
        threads.targets.pop()()
    assert [vars(record)["error"] for record in caplog.records] == ["ConnectionError"] * 2


def test_where_no_thread_can_be_started_the_next_one_tries_again(threads: Threads) -> None:
    made: list[str] = []
    call = CoalescedCall(lambda: made.append("call"), 0.02, make_thread=threads.make, pause=lambda _seconds: None)
    threads.can_start = False
    call.ask()
    threads.can_start = True
    call.ask()
    threads.targets.pop()()
    assert made == ["call"]
