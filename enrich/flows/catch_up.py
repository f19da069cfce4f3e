"""Catch-up: events that were never recorded, read over REST from TaskRouter's own memory.

While our database did not respond, callbacks got the default and left only a log line, and events were refused. What
TaskRouter remembers is received like what it sends; an event that is recorded already stays as it is. A reservation
without a receipt of its callback gets one, and with it a follow-up that enriches its task.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from enrich import errors
from enrich.domain.deliveries import Delivery
from enrich.domain.outcomes import EntryKind, Reason
from enrich.flows.adapters import Adapters
from enrich.flows.lifecycle import Lifecycle
from enrich.taskrouter import callbacks

if TYPE_CHECKING:
    from enrich.domain.deliveries import PastEvent
    from enrich.taskrouter.history import History

# Younger events may still be on their way to us, and a receipt made here would look like a repeat of the callback.
SETTLED_AFTER = timedelta(seconds=30)
RECEIPT_S = 10.0
BATCH = 200


def _deliveries(workspace_sid: str, event: PastEvent) -> Iterable[Delivery]:
    """Return the event itself and, for a new reservation, the assignment callback that went with it."""
    body = urlencode(event.form).encode()
    of_event = callbacks.delivery_of(EntryKind.EVENT, event.form, body, event.happened_at)
    of_event = replace(of_event, workspace_sid=workspace_sid, reason=Reason.CAUGHT_UP)
    yield of_event
    if of_event.event_type == "reservation.created" and of_event.reservation_sid:
        yield replace(of_event, kind=EntryKind.ASSIGNMENT, delivery_key=of_event.reservation_sid, event_type="")


class CatchUp:
    """Records what was missed. history: TaskRouter's events over REST."""

    def __init__(self, adapters: Adapters, lifecycle: Lifecycle, history: History) -> None:
        self._adapters = adapters
        self._lifecycle = lifecycle
        self._history = history

    def run(self, workspace_sids: Iterable[str], since: datetime, now: datetime) -> int:
        """Record what was missed between `since` and half a minute ago, and return how many deliveries that was.

        A second run records nothing. A workspace that cannot be read is skipped. Raises
        DatabaseError; TaskRouterError when none could be read.
        """
        recorded, failed, was_read = 0, None, False
        for workspace_sid in workspace_sids:
            try:
                recorded += self._record(self._history.events(workspace_sid, since, now - SETTLED_AFTER), workspace_sid)
                was_read = True
            except errors.TaskRouterError as exc:
                failed = exc
        if failed and not was_read:
            raise failed
        return recorded

    def _record(self, events: Iterator[PastEvent], workspace_sid: str) -> int:
        recorded = 0
        while batch := list(islice(events, BATCH)):
            deliveries = [delivery for event in batch for delivery in _deliveries(workspace_sid, event)]
            known = self._adapters.journal.known(
                [delivery.delivery_key for delivery in deliveries if delivery.delivery_key]
            )
            for delivery in deliveries:
                if delivery.delivery_key not in known:
                    self._receive(delivery)
                    recorded += 1
        return recorded

    def _receive(self, delivery: Delivery) -> None:
        """Receive the delivery like one that TaskRouter sends."""
        if delivery.kind is EntryKind.EVENT:
            self._lifecycle.receive(delivery, timeout_s=RECEIPT_S)
        else:
            self._adapters.journal.receive(delivery, timeout_s=RECEIPT_S)
