"""What was never recorded, brought in afterwards: TaskRouter's own memory of its events, read over REST.

While our database did not answer, callbacks got the default and left only a log line, and events were refused. What
TaskRouter remembers goes through the same door as what it sends: an event that is there already is left as it is. A
reservation that was created without our having a receipt of its callback becomes one, and its enrichment is owed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from enrich import errors
from enrich.domain.deliveries import Delivery
from enrich.domain.outcomes import EntryKind, Reason
from enrich.flows import lifecycle

if TYPE_CHECKING:
    from enrich.flows.work import Adapters
    from enrich.taskrouter.history import History, PastEvent

# What is younger may still be on its way to us; a receipt made for it here would be in its callback's way.
SETTLED_AFTER = timedelta(seconds=30)
RECEIPT_S = 10.0
BATCH = 200


def catch_up(
    history: History, adapters: Adapters, workspace_sids: Iterable[str], since: datetime, now: datetime
) -> int:
    """How many deliveries were brought in, of those between `since` and half a minute ago.

    Doing it twice brings in nothing the second time. A workspace that cannot be read is passed over. Raises
    DatabaseError; TaskRouterError when none could be read.
    """
    brought_in, failed, was_read = 0, None, False
    for workspace_sid in workspace_sids:
        try:
            brought_in += _catch_up(history.events(workspace_sid, since, now - SETTLED_AFTER), workspace_sid, adapters)
            was_read = True
        except errors.TaskRouterError as exc:
            failed = exc
    if failed and not was_read:
        raise failed
    return brought_in


def _catch_up(events: Iterator[PastEvent], workspace_sid: str, adapters: Adapters) -> int:
    brought_in = 0
    while batch := list(islice(events, BATCH)):
        deliveries = [delivery for event in batch for delivery in _deliveries(workspace_sid, event)]
        known = adapters.journal.known([delivery.delivery_key for delivery in deliveries if delivery.delivery_key])
        for delivery in deliveries:
            if delivery.delivery_key not in known:
                _receive(delivery, adapters)
                brought_in += 1
    return brought_in


def _receive(delivery: Delivery, adapters: Adapters) -> None:
    """Through the same door as what TaskRouter sends."""
    if delivery.kind is EntryKind.EVENT:
        lifecycle.receive(delivery, adapters, timeout_s=RECEIPT_S)
    else:
        adapters.journal.receive(delivery, timeout_s=RECEIPT_S)


def _deliveries(workspace_sid: str, event: PastEvent) -> Iterable[Delivery]:
    """The event itself, and, for a new reservation, the assignment callback that went with it."""
    kinds = {EntryKind.EVENT: event.sid}
    if event.event_type == "reservation.created" and event.reservation_sid:
        kinds[EntryKind.ASSIGNMENT] = event.reservation_sid
    for kind, key in kinds.items():
        yield Delivery(
            kind=kind,
            received_at=event.happened_at,
            delivery_key=key,
            workspace_sid=workspace_sid,
            task_sid=event.task_sid,
            reservation_sid=event.reservation_sid,
            worker_sid=event.worker_sid,
            worker_name=event.worker_name,
            event_type=event.event_type if kind is EntryKind.EVENT else "",
            channel_unique_name=event.form.get("TaskChannelUniqueName", "")[:64] or None,
            reason=Reason.CAUGHT_UP,
            body=urlencode(event.form).encode(),
        )
