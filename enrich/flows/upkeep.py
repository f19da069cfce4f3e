"""The periodic jobs of a worker beside its follow-ups.

Adoption of what dead processes left, pruning, rollups, the search for tasks that wrap up too long, and catch-up. Each
runs by itself, so that a long one holds up neither the follow-ups nor the others.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from threading import Event, Lock

from enrich import errors
from enrich.flows.adapters import Adapters
from enrich.flows.catch_up import CaughtUp
from enrich.flows.worker import Job

ADOPT_INTERVAL_S = 1.0
COUNT_INTERVAL_S = 1.0
PRUNE_INTERVAL_S = 600.0
# A thousand rows keep everything else on SQLite waiting for some 75 ms.
PRUNE_PAUSE_S = 0.02
STUCK_INTERVAL_S = 60.0
ADOPT_CUSTOMERS_INTERVAL_S = 60.0
# SQLite's other writers have their turns in between.
ADOPT_CUSTOMERS_PAUSE_S = 0.01
# Catch-up finds what a web process alone could not record.
CATCH_UP_INTERVAL_S = 300.0
CATCH_UP_AT_START = timedelta(minutes=15)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class UpkeepTasks:
    """The work of the jobs that reaches beyond the flows' adapters.

    beat: records a heartbeat, and returns whether the clock is plausible. count: samples and counts for the rollups.
    catch_up: records what was missed between two moments (see `CatchUp.run`). find_stuck: adds the completion of
    tasks that wrap up for too long, and returns how many. may_prune: False while a clock is in doubt. prune: deletes
    some of what ends by itself, such as sessions, and returns how many. adopt_customers: adopts some customers that
    code from before the projection wrote, those after this id ("" at the start); returns the last one's id, None if
    there are no more (see `adopt_after`).
    """

    beat: Callable[[datetime], bool]
    count: Callable[[datetime], None]
    catch_up: Callable[[datetime, datetime], CaughtUp]
    find_stuck: Callable[[datetime], int]
    may_prune: Callable[[], bool]
    prune: Callable[[datetime], int]
    adopt_customers: Callable[[str, datetime], str | None]


class Upkeep:
    """The jobs of one worker. keep: journal rows and the audit trail are kept this long; stop: set when it ends."""

    def __init__(self, adapters: Adapters, tasks: UpkeepTasks, keep: timedelta, stop: Event) -> None:
        self._adapters = adapters
        self._tasks = tasks
        self._keep = keep
        self._stop = stop
        self._lock = Lock()
        self._catch_up_since = adapters.now() - CATCH_UP_AT_START
        self._catch_up = Job("catch-up", self.catch_up, CATCH_UP_INTERVAL_S)
        self.jobs = (
            Job("adoption", self.adopt, ADOPT_INTERVAL_S),
            Job("rollups", self.count, COUNT_INTERVAL_S),
            Job("pruning", self.prune, PRUNE_INTERVAL_S),
            Job("adoption of customers", self.adopt_customers, ADOPT_CUSTOMERS_INTERVAL_S),
            Job("search for stuck tasks", self.find_stuck, STUCK_INTERVAL_S),
            self._catch_up,
        )

    def beat(self, now: datetime) -> bool:
        """Record a heartbeat when one is due; return whether the clock is plausible."""
        with self._lock:
            return self._tasks.beat(now)

    def catch_up_soon(self) -> None:
        """Have the next catch-up run at once."""
        self._catch_up.due.set()

    def adopt(self) -> None:
        """Conclude what dead processes left behind, and queue its enrichment."""
        adopted = self._adapters.followups.adopt_abandoned(self._adapters.now())
        if adopted:
            log.warning("receipts without conclusion were adopted", extra={"count": adopted})

    def count(self) -> None:
        """Sample and count for the rollups, unless the counts would stand in the future."""
        now = self._adapters.now()
        if self.beat(now):
            self._tasks.count(now)

    def prune(self) -> None:
        """Delete what is older than is kept, a thousand rows at a time, unless the clock is in doubt."""
        now = self._adapters.now()
        self.beat(now)  # records a doubt about the clock, if there is one
        if not self._tasks.may_prune():
            return
        before = now - self._keep
        for prune in (partial(self._adapters.followups.prune, before), partial(self._tasks.prune, now)):
            while prune() and not self._stop.wait(PRUNE_PAUSE_S):
                pass
        self._adapters.task_states.prune(before)
        self._adapters.store.prune(before)

    def adopt_customers(self) -> None:
        """Adopt all customers that code from before the projection has left or changed."""
        last: str | None = ""
        while last is not None and not self._stop.wait(ADOPT_CUSTOMERS_PAUSE_S):
            last = self._tasks.adopt_customers(last, self._adapters.now())

    def find_stuck(self) -> None:
        """Queue the completion of tasks that wrap up for too long."""
        _search("what is wrapping for too long was found", partial(self._tasks.find_stuck, self._adapters.now()))

    def catch_up(self) -> None:
        """Record what was missed since the last run; one that is cut short is followed by the next at once."""
        now = self._adapters.now()
        run = self._tasks.catch_up(min(self._catch_up_since, now), now)
        self._catch_up_since = run.since
        if run.was_cut_short:
            self.catch_up_soon()


def _search(event: str, search: Callable[[], int]) -> None:
    """Run a search over REST, and log what it found. Raises DatabaseError; TaskRouter's errors are only logged.

    event: the log line if the search finds something.
    """
    try:
        count = search()
    except errors.TaskRouterError as exc:
        log.warning("a search over REST failed", extra={"reason": exc.reason, "detail": f"for: {event}"})
        return
    if count:
        log.warning(event, extra={"count": count})
