"""Catch-up: events that were never recorded, read over REST from TaskRouter's own memory.

While our database did not respond, callbacks got the default and left only a log line, and events were refused. What
TaskRouter remembers is received like what it sends; an event that is recorded already stays as it is. A reservation
without a receipt of its callback gets one, and with it a follow-up that enriches its task.

TaskRouter promises no order of its events, so a period is read in windows, one after the other, and each of them to its
end. A run has a time limit; the next one goes on behind the last window that was read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import chain
from urllib.parse import urlencode

from enrich import errors
from enrich.domain.deadline import Deadline, OutOfTime
from enrich.domain.deliveries import Delivery, PastEvent
from enrich.domain.lengths import MAX_FORM_BYTES
from enrich.domain.outcomes import EntryKind, Reason
from enrich.flows.adapters import Adapters
from enrich.flows.lifecycle import Lifecycle
from enrich.taskrouter import callbacks

# Younger events may still be on their way to us, and a receipt made here would look like a repeat of the callback.
SETTLED_AFTER = timedelta(seconds=30)
# A run that reached its end is followed by one that begins a little before it, for events that TaskRouter listed late.
OVERLAP = timedelta(minutes=2)
RECEIPT_S = 10.0
RUN_S = 20.0
PAGE_S = 5.0
# A window with more pages, or with one that is too long, is halved, down to a second.
MAX_PAGES = 20
FIRST_WINDOW = timedelta(minutes=1)
MIN_WINDOW = timedelta(seconds=1)
MAX_WINDOW = timedelta(hours=1)
# Errors of one workspace alone: the others are read all the same.
_OF_THE_WORKSPACE = (errors.TaskGone, errors.NotAuthorized, errors.RequestRefused)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """The result of a run. count: deliveries that were recorded. since: from where the next run reads.

    was_cut_short: its time was over, or its process is to end; the next run need not wait. error: that which ended the
    run. Without either the whole period was read.
    """

    count: int
    since: datetime
    was_cut_short: bool = False
    error: errors.TaskRouterError | None = None


class CatchUp:
    """Records what was missed. One object for all runs of a process: it learns how much a window may hold.

    workspaces: returns the SIDs of the workspaces to read. Not for several greenlets at once.
    """

    def __init__(self, adapters: Adapters, lifecycle: Lifecycle, workspaces: Callable[[], Sequence[str]]) -> None:
        self._adapters = adapters
        self._lifecycle = lifecycle
        self._workspaces = workspaces
        self._window = FIRST_WINDOW

    def run(
        self,
        since: datetime,
        now: datetime,
        is_over: Callable[[], bool] = lambda: False,
        *,
        timeout_s: float = RUN_S,
    ) -> CaughtUp:
        """Record what was missed between `since` and half a minute ago, as far as this gets in the time.

        is_over: asked after every page and every record; True cuts the run short. A second run over the same period
        records nothing. A workspace that refuses to be read is skipped. Logs what it found. Raises DatabaseError.
        """
        run = self._run(since, now - SETTLED_AFTER, is_over, Deadline.after(timeout_s))
        if run.count:
            log.warning("what was never recorded was brought in", extra={"count": run.count})
        if run.error:
            log.warning("a search over REST failed", extra={"reason": run.error.reason, "detail": str(run.error)})
        return run

    def _run(self, since: datetime, until: datetime, is_over: Callable[[], bool], deadline: Deadline) -> CaughtUp:
        workspaces, count = list(self._workspaces()), 0
        while since < until:
            end = min(since + self._window, until)
            try:
                for recorded in self._read(workspaces, since, end):
                    count += recorded
                    if is_over() or not deadline.remaining_s():
                        self._shrink_window()
                        return CaughtUp(count, since, was_cut_short=True)
            except (_TooManyPages, errors.AnswerTooLong):
                if self._window == MIN_WINDOW:
                    return CaughtUp(count, since, error=errors.NotUnderstood("the events of one second have no end"))
                self._shrink_window()
                continue
            except errors.TaskRouterError as exc:
                return CaughtUp(count, since, error=exc)
            since, self._window = end, min(2 * self._window, MAX_WINDOW)
        return CaughtUp(count, until - OVERLAP)

    def _shrink_window(self) -> None:
        self._window = max(self._window / 2, MIN_WINDOW)

    def _read(self, workspaces: list[str], since: datetime, until: datetime) -> Iterator[int]:
        """Read this window of every workspace; yield 1 for every record and 0 for every page.

        Removes from `workspaces` those that refuse to be read. Raises TaskRouterError if all of them do.
        """
        for workspace_sid in list(workspaces):
            try:
                yield from self._read_workspace(workspace_sid, since, until)
            except _OF_THE_WORKSPACE:
                workspaces.remove(workspace_sid)
                if not workspaces:
                    raise

    def _read_workspace(self, workspace_sid: str, since: datetime, until: datetime) -> Iterator[int]:
        pages = self._adapters.taskrouter.list_events(workspace_sid, since, until, timeout_s=PAGE_S)
        for _ in range(MAX_PAGES):
            page = self._next_page(pages)
            if page is None:
                return
            yield 0
            yield from self._record(workspace_sid, page)
        raise _TooManyPages

    def _next_page(self, pages: Iterator[list[PastEvent | None]]) -> list[PastEvent | None] | None:
        """Return the next page, None after the last one; resolver and TLS handshake count as well."""
        try:
            with self._adapters.time_limit(PAGE_S):
                return next(pages, None)
        except OutOfTime as exc:
            raise errors.TaskRouterTooSlow(f"no page of events within {PAGE_S:.0f} s") from exc

    def _record(self, workspace_sid: str, page: list[PastEvent | None]) -> Iterator[int]:
        """Record what is missing of a page; yield 1 for each record."""
        by_event = [_deliveries(workspace_sid, event) if event else () for event in page]
        if unreadable := by_event.count(()):
            log.warning("past events cannot be read", extra={"workspace_sid": workspace_sid, "count": unreadable})
        deliveries = list(chain.from_iterable(by_event))
        known = self._adapters.journal.known(
            [delivery.delivery_key for delivery in deliveries if delivery.delivery_key]
        )
        for delivery in deliveries:
            if delivery.delivery_key not in known:
                self._receive(delivery)
                yield 1

    def _receive(self, delivery: Delivery) -> None:
        """Receive the delivery like one that TaskRouter sends."""
        if delivery.kind is EntryKind.EVENT:
            self._lifecycle.receive(delivery, timeout_s=RECEIPT_S)
        else:
            self._adapters.journal.receive(delivery, timeout_s=RECEIPT_S)


class _TooManyPages(Exception):
    """A window has more pages than a window may have."""


def _deliveries(workspace_sid: str, event: PastEvent) -> tuple[Delivery, ...]:
    """Return the event itself and, for a new reservation, the assignment callback that went with it.

    An event that is longer than any callback has none.
    """
    body = urlencode(event.form).encode()
    if len(body) > MAX_FORM_BYTES:
        return ()
    of_event = callbacks.delivery_of(EntryKind.EVENT, event.form, body, event.happened_at)
    of_event = replace(of_event, workspace_sid=workspace_sid, reason=Reason.CAUGHT_UP)
    if of_event.event_type != "reservation.created" or not of_event.reservation_sid:
        return (of_event,)
    callback = replace(of_event, kind=EntryKind.ASSIGNMENT, delivery_key=of_event.reservation_sid, event_type="")
    return (of_event, callback)
