"""The worker: several follow-ups in flight, its jobs beside them, and how it stops."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from enrich import errors
from enrich.domain.deliveries import Followup
from enrich.domain.outcomes import FollowupKind
from enrich.flows.adapters import Adapters
from enrich.flows.dispatcher import FollowupDispatcher
from enrich.flows.worker import Job, Worker

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
# Nothing here takes as long; a test that waits in vain fails after it.
PATIENCE_S = 20.0


class Queue:
    """A queue of so many due follow-ups, which remembers what was asked of it. fails: raised by the next claims."""

    def __init__(self, due: int = 0) -> None:
        self._left: Iterator[int] = iter(range(1, due + 1))
        self.asked: list[tuple[int, int]] = []
        self.fails: list[errors.DatabaseError] = []

    def claim(self, _now: datetime, *, at_most: int, newest: int) -> tuple[Followup, ...]:
        self.asked.append((at_most, newest))
        if self.fails:
            raise self.fails.pop()
        ids = [number for _, number in zip(range(at_most), self._left, strict=False)]
        return tuple(Followup(number, FollowupKind.WARM, 1, number, "WS", "WT", None, "", "") for number in ids)


class Attempts:
    """A dispatcher whose attempts last until `go` is set. started: a semaphore that counts them."""

    def __init__(self, *, go: bool = True) -> None:
        self.go, self.started, self.ended = threading.Event(), threading.Semaphore(0), threading.Semaphore(0)
        if go:
            self.go.set()
        self._lock = threading.Lock()
        self.now = self.most = 0
        self.fails: list[Exception] = []

    def run(self, _followup: Followup) -> None:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        self.started.release()
        self.go.wait(PATIENCE_S)
        with self._lock:
            self.now -= 1
        self.ended.release()
        if self.fails:
            raise self.fails.pop()


@pytest.fixture
def stop() -> threading.Event:
    return threading.Event()


@pytest.fixture
def start(stop: threading.Event) -> Iterator[Callable[..., threading.Thread]]:
    """Start a worker with this queue and these attempts, in a thread that has ended when the test is over."""
    threads: list[threading.Thread] = []

    def start(queue: Queue, attempts: Attempts, concurrency: int = 4, **differences: Any) -> threading.Thread:
        unused = cast(Any, None)
        adapters = Adapters(unused, unused, unused, unused, unused, unused, lambda: NOW, unused)
        worker = Worker(
            replace(adapters, followups=cast(Any, queue)),
            cast(FollowupDispatcher, attempts),
            concurrency=concurrency,
            **{"capacity": lambda: 99, "beat": lambda _now: True} | differences,
        )
        thread = threading.Thread(target=worker.run_until, args=(stop,), daemon=True)
        threads.append(thread)
        thread.start()
        return thread

    yield start
    stop.set()
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def wait_for(counter: threading.Semaphore, number: int) -> None:
    for _ in range(number):
        assert counter.acquire(timeout=PATIENCE_S)


def test_as_many_are_in_flight_as_are_allowed(start: Callable[..., threading.Thread]) -> None:
    queue, attempts = Queue(due=10), Attempts(go=False)
    start(queue, attempts)
    wait_for(attempts.started, 4)
    assert not attempts.started.acquire(timeout=0.05), "no fifth one is started"
    attempts.go.set()
    wait_for(attempts.ended, 10)
    assert attempts.most == 4


def test_it_claims_no_more_than_taskrouter_bears(start: Callable[..., threading.Thread]) -> None:
    queue, attempts, capacity = Queue(due=9), Attempts(go=False), [2]
    start(queue, attempts, capacity=lambda: capacity[0])
    wait_for(attempts.started, 2)
    assert queue.asked[0][0] == 2
    capacity[0] = 4
    wait_for(attempts.started, 2)
    attempts.go.set()


def test_it_claims_nothing_while_taskrouter_rests(start: Callable[..., threading.Thread]) -> None:
    queue, attempts, turns = Queue(due=1), Attempts(), threading.Semaphore(0)
    capacity = [0]

    def beat(_now: datetime) -> bool:
        turns.release()
        return True

    start(queue, attempts, capacity=lambda: capacity[0], beat=beat)
    wait_for(turns, 2)
    assert queue.asked == []
    capacity[0] = 1
    wait_for(attempts.ended, 1)


def test_of_four_places_one_is_for_the_oldest(start: Callable[..., threading.Thread], stop: threading.Event) -> None:
    """Three places are free at a time, or two, or one: the share is that of all claims together."""
    queue, attempts = Queue(due=400), Attempts()
    start(queue, attempts, concurrency=3)
    wait_for(attempts.ended, 400)
    full = [asked for asked in queue.asked if asked[0] > 0]
    claimed = sum(at_most for at_most, _ in full)
    oldest = sum(at_most - newest for at_most, newest in full)
    assert abs(oldest - claimed / 4) <= len(full) / 4 + 1
    assert oldest >= 90


def test_it_is_woken(start: Callable[..., threading.Thread]) -> None:
    turns, wakeup = threading.Semaphore(0), threading.Event()

    def beat(_now: datetime) -> bool:
        turns.release()
        return True

    start(Queue(), Attempts(), beat=beat, wakeup=wakeup)
    wait_for(turns, 1)
    for _ in range(20):
        wakeup.set()
        wait_for(turns, 1)


def test_one_that_fails_holds_up_no_other(start: Callable[..., threading.Thread]) -> None:
    attempts = Attempts()
    attempts.fails = [ValueError("a mistake of ours"), errors.DatabaseError("away")]
    start(Queue(due=6), attempts, concurrency=2)
    wait_for(attempts.ended, 6)
    assert attempts.fails == []


def test_after_an_outage_it_tells_once_and_catches_up(
    start: Callable[..., threading.Thread], caplog: pytest.LogCaptureFixture
) -> None:
    queue, attempts, returned = Queue(due=1), Attempts(), threading.Semaphore(0)
    queue.fails = [errors.DatabaseUnavailable("away"), errors.DatabaseUnavailable("away")]
    start(queue, attempts, on_return=returned.release)
    wait_for(attempts.ended, 1)
    wait_for(returned, 1)
    assert [record.message for record in caplog.records].count("the worker cannot work") == 1


def test_it_stops_when_what_is_in_flight_has_ended(
    start: Callable[..., threading.Thread], stop: threading.Event
) -> None:
    queue, attempts = Queue(due=9), Attempts(go=False)
    thread = start(queue, attempts, concurrency=2)
    wait_for(attempts.started, 2)
    stop.set()
    asked = len(queue.asked)
    attempts.go.set()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert len(queue.asked) <= asked + 1
    assert attempts.now == 0


class TestJobs:
    def test_a_long_one_holds_up_neither_followups_nor_others(self, start: Callable[..., threading.Thread]) -> None:
        is_over, runs, attempts = threading.Event(), threading.Semaphore(0), Attempts()
        jobs = (Job("long", lambda: cast(None, is_over.wait(PATIENCE_S)), 60), Job("short", runs.release, 0.001))
        start(Queue(due=3), attempts, jobs=jobs)
        wait_for(runs, 3)
        wait_for(attempts.ended, 3)
        is_over.set()

    def test_one_that_is_due_runs_at_once(self, start: Callable[..., threading.Thread]) -> None:
        runs = threading.Semaphore(0)
        job = Job("rare", runs.release, 3600)
        start(Queue(), Attempts(), jobs=(job,))
        wait_for(runs, 1)
        job.due.set()
        wait_for(runs, 1)

    def test_one_that_fails_is_told_once_and_runs_again(
        self, start: Callable[..., threading.Thread], caplog: pytest.LogCaptureFixture
    ) -> None:
        runs = threading.Semaphore(0)

        def fail() -> None:
            runs.release()
            raise errors.DatabaseError("no such table")

        job = Job("failing", fail, 3600)
        start(Queue(), Attempts(), jobs=(job,))
        for _ in range(3):
            wait_for(runs, 1)
            job.due.set()
        wait_for(runs, 1)
        assert [record.message for record in caplog.records].count("a job of the worker failed") == 1
