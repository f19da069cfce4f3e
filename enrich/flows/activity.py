"""What we did to a task, told in its story: rows of the journal beside TaskRouter's events."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from enrich.domain.deliveries import Conclusion, Delivery, NewFollowup
from enrich.domain.outcomes import ActivityType, EntryKind, Outcome

if TYPE_CHECKING:
    from enrich.flows.work import Adapters, EnrichmentRun

# Nobody waits for a line of a story.
TELL_S = 5.0


def tell(
    told: ActivityType,
    workspace_sid: str,
    task_sid: str,
    adapters: Adapters,
    *,
    once: str | None,
    details: Mapping[str, object],
    owing: Sequence[NewFollowup] = (),
) -> int:
    """The id of the row that tells it. once: told only once of whatever this names; None: every time.

    details: empty ones are left out. owing: what it causes, committed together with it. Raises DatabaseError.
    """
    key = None if once is None else hashlib.sha256(f"{told} {once}".encode()).hexdigest()[:34]
    delivery = _delivery(told, workspace_sid, task_sid, adapters, details, key)
    return adapters.journal.receive(delivery, timeout_s=TELL_S, owing=owing).entry_id


def show(
    told: ActivityType,
    workspace_sid: str,
    task_sid: str,
    work: EnrichmentRun,
    adapters: Adapters,
    details: Mapping[str, object],
) -> None:
    """The same, with what was written onto the task. Raises DatabaseError."""
    conclusion = Conclusion(
        outcome=work.outcome or Outcome.ENRICHED,
        reason=work.reason,
        match=work.match,
        finding=work.finding,
        attributes_before=work.before,
        attributes_after=work.after,
    )
    adapters.journal.record(_delivery(told, workspace_sid, task_sid, adapters, details), conclusion, at=adapters.now())


def _delivery(
    told: ActivityType,
    workspace_sid: str,
    task_sid: str,
    adapters: Adapters,
    details: Mapping[str, object],
    key: str | None = None,
) -> Delivery:
    return Delivery(
        kind=EntryKind.EVENT,
        received_at=adapters.now(),
        delivery_key=key,
        workspace_sid=workspace_sid,
        task_sid=task_sid,
        event_type=told,
        body=urlencode({name: value for name, value in details.items() if value not in ("", None)}).encode(),
    )
