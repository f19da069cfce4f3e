"""Our own activities on a task, as rows of the journal beside TaskRouter's events."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from enrich.domain.deliveries import Delivery, NewFollowup
from enrich.domain.lengths import MAX_SID_LENGTH
from enrich.domain.outcomes import ActivityType, EntryKind
from enrich.flows.adapters import Adapters
from enrich.flows.run import EnrichmentRun

# Nobody waits for a line of a timeline.
RECEIPT_S = 5.0


class ActivityLog:
    """Records in a task's timeline what this service did to it. Every method raises DatabaseError."""

    def __init__(self, adapters: Adapters) -> None:
        self._adapters = adapters

    def record(
        self,
        activity: ActivityType,
        workspace_sid: str,
        task_sid: str,
        *,
        once: str | None,
        details: Mapping[str, object],
        followups: Sequence[NewFollowup] = (),
    ) -> int:
        """Record the activity and return the id of its row.

        once: a name under which the activity is recorded only once; None: every time. details: empty ones are left
        out. followups: what the activity causes, committed together with it.
        """
        key = None if once is None else hashlib.sha256(f"{activity} {once}".encode()).hexdigest()[:MAX_SID_LENGTH]
        delivery = self._delivery(activity, workspace_sid, task_sid, details, key)
        return self._adapters.journal.receive(delivery, timeout_s=RECEIPT_S, followups=followups).entry_id

    def record_write(
        self,
        activity: ActivityType,
        workspace_sid: str,
        task_sid: str,
        run: EnrichmentRun,
        details: Mapping[str, object],
    ) -> None:
        """Record the activity with what the run wrote onto the task."""
        delivery = self._delivery(activity, workspace_sid, task_sid, details)
        self._adapters.journal.record(delivery, run.written(), at=self._adapters.now())

    def _delivery(
        self,
        activity: ActivityType,
        workspace_sid: str,
        task_sid: str,
        details: Mapping[str, object],
        key: str | None = None,
    ) -> Delivery:
        return Delivery(
            kind=EntryKind.EVENT,
            received_at=self._adapters.now(),
            delivery_key=key,
            workspace_sid=workspace_sid,
            task_sid=task_sid,
            event_type=activity,
            body=urlencode({name: value for name, value in details.items() if value not in ("", None)}).encode(),
        )
