"""Base of all rules: one lock, one clock, one log, the schedule, and the outbox of callbacks.

Changes are made in `Store.transaction()`. When the outermost transaction ends, tasks are routed, the lock is released,
and only then are callbacks passed on: no HTTP request is made under the lock.
"""

import heapq
import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Protocol

from taskrouter_emulator.model import events
from taskrouter_emulator.model.clock import VirtualClock
from taskrouter_emulator.model.errors import precondition_failed
from taskrouter_emulator.model.event_streams import PendingStreamDelivery
from taskrouter_emulator.model.log import Log
from taskrouter_emulator.model.records import (
    Event,
    PendingCallback,
    PendingEventCallback,
    Reservation,
    Task,
    Worker,
    Workspace,
)
from taskrouter_emulator.model.sids import SidGenerator
from taskrouter_emulator.model.switches import Switches

Outgoing = PendingCallback | PendingStreamDelivery


class Versioned(Protocol):
    """A record with a version for its ETag: task, reservation or worker."""

    version: int
    date_updated: datetime


class Store:
    """The workspaces of one account, and the operations with which the rules change them.

    seed: makes SIDs reproducible; None makes them random.
    """

    def __init__(self, account_sid: str, clock: VirtualClock, log: Log, switches: Switches, seed: str | None) -> None:
        self.account_sid = account_sid
        self.clock = clock
        self.log = log
        self.switches = switches
        self.sids = SidGenerator(seed)
        self.workspaces: dict[str, Workspace] = {}
        self.route: Callable[[Workspace], None] = lambda _workspace: None
        self.publish: Callable[[Event], None] = lambda _event: None
        self.send: Callable[[Outgoing], None] = lambda _outgoing: None
        self._ordinals = itertools.count(1)
        self._timetable: list[tuple[datetime, int, Callable[[], None]]] = []
        self._lock = threading.RLock()
        self._depth = 0
        self.outbox: list[Outgoing] = []
        self._to_route: dict[str, Workspace] = {}

    @property
    def now(self) -> datetime:
        return self.clock.now()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Exclude other readers and writers; when the outermost one ends, tasks are routed and callbacks sent."""
        to_send: list[Outgoing] = []
        with self._lock:
            self._depth += 1
            try:
                yield
            finally:
                if self._depth == 1:
                    self._route_changed()
                    to_send, self.outbox = self.outbox, []
                self._depth -= 1
        for outgoing in to_send:
            self.send(outgoing)

    def changed(self, workspace: Workspace) -> None:
        """Mark the workspace to be routed at the end of the transaction; for changes without an event."""
        self._to_route[workspace.sid] = workspace

    def enqueue_callback(self, outgoing: Outgoing) -> None:
        """Send this callback at the end of the transaction."""
        self.outbox.append(outgoing)

    def ordinal(self) -> int:
        """Return the next number in the order of creation."""
        return next(self._ordinals)

    def touch(self, record: Versioned) -> None:
        """Add a revision, which makes the previous ETag stale."""
        record.version += 1
        record.date_updated = self.now

    def check_version(self, record: Versioned, if_match: str | None) -> None:
        """Raise ApiError 412/20412 unless `If-Match` is absent or names the current version, quoted or bare."""
        if if_match is not None and if_match.strip().strip('"') != str(record.version):
            raise precondition_failed()

    def emit(
        self,
        workspace: Workspace,
        event_type: str,
        *,
        task: Task | None = None,
        worker: Worker | None = None,
        reservation: Reservation | None = None,
        about: dict[str, str] | None = None,
        extra: dict[str, str] | None = None,
    ) -> None:
        """Record an event of the current state, and send its callback if the workspace wants it.

        Every event is a change that may bring a waiting task and a worker together, so the workspace is routed.

        about: the parameters of any other resource, its SID first. extra: parameters that only this event type has.
        """
        event = events.make_event(
            self.account_sid,
            self.sids.new("EV"),
            workspace,
            event_type,
            self.now,
            task=task,
            worker=worker,
            reservation=reservation,
            about=about,
            extra=extra,
            with_newer_fields=self.switches.newer_event_fields,
        )
        self.changed(workspace)
        workspace.events.append(event)
        self.publish(event)
        if workspace.event_callback_url and workspace.wants(event_type):
            sids = callback_sids(event.parameters) | {"event_sid": event.sid}
            self.enqueue_callback(
                PendingEventCallback(workspace.event_callback_url, event_type, event.parameters, sids)
            )

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Schedule an action in this many virtual seconds."""
        due = self.now + timedelta(seconds=seconds)
        heapq.heappush(self._timetable, (due, self.ordinal(), action))

    def process_due(self) -> None:
        """Do everything that is due, in the order in which it fell due; tasks are routed after each."""
        is_due = True
        while is_due:
            with self.transaction():
                is_due = bool(self._timetable) and self._timetable[0][0] <= self.now
                if is_due:
                    heapq.heappop(self._timetable)[2]()

    def advance(self, seconds: float) -> None:
        """Put the clock forward, stopping at everything that falls due on the way to do it."""
        target = self.now + timedelta(seconds=seconds)
        while (due := self._next_due()) is not None and due <= target:
            self.clock.advance_to(due)
            self.process_due()
        self.clock.advance_to(target)
        self.log.append("clock_advanced", seconds=seconds)

    def _next_due(self) -> datetime | None:
        with self._lock:
            return self._timetable[0][0] if self._timetable else None

    def _route_changed(self) -> None:
        while self._to_route:
            _, workspace = self._to_route.popitem()
            self.route(workspace)


def callback_sids(parameters: dict[str, str]) -> dict[str, str]:
    """Return the SIDs among a callback's parameters, in the spelling of the log."""
    names = {"TaskSid": "task_sid", "ReservationSid": "reservation_sid", "WorkerSid": "worker_sid"}
    return {ours: parameters[theirs] for theirs, ours in names.items() if theirs in parameters}
