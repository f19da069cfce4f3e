"""The worker: many follow-ups in flight in one process, and its periodic jobs beside them.

One loop claims as many follow-ups as there are free places and hands each to a thread, which under gevent is a
greenlet: what a follow-up waits for is TaskRouter. The loop is woken when something was added to the queue and when a
follow-up ends, and looks every half second in any case.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from threading import Event, Lock, Thread

from enrich import errors
from enrich.domain.deliveries import Followup
from enrich.flows.adapters import Adapters
from enrich.flows.dispatcher import FollowupDispatcher

POLL_INTERVAL_S = 0.5
# While more is due than there are places, the wait for further places, so that a claim is worth its statements.
GATHER_S = 0.02
# Of four places, three take what became due last and one what is due longest: the tasks of people who wait now come
# before those of an hour ago, and those come, too.
SHARE_OF_OLDEST = 4
# A job that failed is not run again before.
RETRY_S = 1.0
# After the last follow-up, jobs have so long to notice that the worker stops.
LAST_JOB_S = 2.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """Periodic work of the worker. run: ends soon once the worker stops. due: set to have it run at once."""

    name: str
    run: Callable[[], None]
    interval_s: float
    due: Event = field(default_factory=Event)


class Worker:
    """Runs due follow-ups, several at a time.

    concurrency: the number of follow-ups in flight, at most. capacity: the number that TaskRouter bears at present; 0
    while it is not asked. beat: records a heartbeat; called in each turn of the loop, so that it tells of the loop.
    jobs: run beside the follow-ups and each other. on_return: run once the database is back after an outage. wakeup:
    set by others when something was added to the queue.
    """

    def __init__(
        self,
        adapters: Adapters,
        dispatcher: FollowupDispatcher,
        *,
        concurrency: int,
        capacity: Callable[[], int],
        beat: Callable[[datetime], bool],
        jobs: Sequence[Job] = (),
        on_return: Callable[[], None] = lambda: None,
        wakeup: Event | None = None,
    ) -> None:
        self._adapters = adapters
        self._dispatcher = dispatcher
        self._concurrency = concurrency
        self._capacity = capacity
        self._beat = beat
        self._jobs = jobs
        self._on_return = on_return
        self._wakeup = wakeup or Event()
        self._lock = Lock()
        self._in_flight = 0
        self._claimed = 0
        self._is_database_away = False

    def run_until(self, stop: Event) -> None:
        """Run until `stop` is set; then claim nothing more, and return when what is in flight has ended.

        That takes some seconds: each attempt has a time limit. Survives a database that does not respond.
        """
        threads = [Thread(target=self._repeat, args=(job, stop), name=job.name, daemon=True) for job in self._jobs]
        for thread in threads:
            thread.start()
        with ThreadPoolExecutor(self._concurrency, thread_name_prefix="follow-up") as executor:
            while not stop.is_set():
                self._wakeup.clear()
                if self._turn(executor):
                    stop.wait(GATHER_S)
                self._wakeup.wait(POLL_INTERVAL_S)
            for job in self._jobs:
                job.due.set()
        for thread in threads:
            thread.join(LAST_JOB_S)

    def _turn(self, executor: Executor) -> bool:
        """Claim as many follow-ups as there are free places, and start them; return whether more may be due."""
        try:
            now = self._adapters.now()
            self._beat(now)
            with self._lock:
                free = min(self._concurrency, self._capacity()) - self._in_flight
            if free < 1:
                return False
            oldest = (self._claimed + free) // SHARE_OF_OLDEST - self._claimed // SHARE_OF_OLDEST
            claimed = self._adapters.followups.claim(now, at_most=free, newest=free - oldest)
        except errors.DatabaseError as exc:
            if not self._is_database_away:
                log.error("the worker cannot work", extra={"reason": exc.reason, "detail": str(exc)})
            self._is_database_away = True
            return False
        except Exception:  # an internal error must not keep everything else from being done
            log.exception("the worker failed; it goes on")
            return False
        if self._is_database_away:
            self._is_database_away = False
            self._on_return()
        self._claimed += len(claimed)
        with self._lock:
            self._in_flight += len(claimed)
        for followup in claimed:
            executor.submit(self._run, followup)
        return len(claimed) == free

    def _run(self, followup: Followup) -> None:
        try:
            self._dispatcher.run(followup)
        except errors.DatabaseError as exc:  # its lease ends, and it is claimed again
            log.warning(
                "the end of a follow-up was not recorded",
                extra={"followup": followup.kind, "entry": followup.entry_id, "reason": exc.reason, "detail": str(exc)},
            )
        except Exception:  # an internal error; its lease ends, and it is claimed again
            log.exception("the worker failed; it goes on")
        finally:
            with self._lock:
                self._in_flight -= 1
            self._wakeup.set()

    def _repeat(self, job: Job, stop: Event) -> None:
        """Run the job again and again; log the first of several failures in a row."""
        has_failed = False
        while not stop.is_set():
            job.due.clear()
            try:
                job.run()
                has_failed = False
            except errors.DatabaseError as exc:
                if not (has_failed or self._is_database_away):
                    log.error(
                        "a job of the worker failed", extra={"job": job.name, "reason": exc.reason, "detail": str(exc)}
                    )
                has_failed = True
            except Exception:  # an internal error must not end the job for good
                log.exception("the worker failed; it goes on")
                has_failed = True
            if not stop.is_set():
                job.due.wait(max(job.interval_s, RETRY_S) if has_failed else job.interval_s)
