"""Finished interactions of a customer, derived from a task's events.

Pure. Events can be in any order, missing or repeated: the same set gives the same result.
Sources: docs/taskrouter.md, "Events" and "Wrap-up and completion".
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from enrich.domain.deliveries import TaskEvent
from enrich.domain.lengths import MAX_COMPLETION_REASON_LENGTH, MAX_TASK_OUTCOME_LENGTH
from enrich.domain.matches import Interaction
from enrich.domain.outcomes import TASK_COMPLETED, TASK_DELETED_EVENTS

ACCEPTED = "reservation.accepted"
RESERVATION_COMPLETED = "reservation.completed"
# The events that an interaction is derived from.
EVENT_TYPES = (ACCEPTED, RESERVATION_COMPLETED, TASK_COMPLETED, *TASK_DELETED_EVENTS)


def finished(task_sid: str, events: Sequence[TaskEvent]) -> Interaction | None:
    """Return the interaction of one task; None until it is finished, and if no worker accepted it.

    Finished when the task is; or, without such an event, when every accepted reservation is completed. If several
    workers had the task in turn, it is the last one's. A deleted task counts if a worker had accepted it.
    """
    ordered = sorted(events, key=_sort_key)
    accepted = [event for event in ordered if event.event_type == ACCEPTED]
    completed = [event for event in ordered if event.event_type == RESERVATION_COMPLETED]
    ends = [event for event in ordered if event.event_type == TASK_COMPLETED] or _deleted(ordered, accepted)
    if not ends and accepted and _sids(accepted) <= _sids(completed):
        ends = completed[-1:]
    if not ends:
        return None
    end = ends[0]
    last = (accepted or completed or ends)[-1]
    return Interaction(
        task_sid=task_sid,
        channel=_first(ordered, "TaskChannelUniqueName"),
        worker_sid=last.worker_sid,
        worker_name=last.worker_name,
        began_at=accepted[0].happened_at if accepted else None,
        ended_at=end.happened_at,
        outcome=_outcome(end.form.get("TaskAttributes", "")),
        reason=_first(ordered, "TaskCompletedReason")[:MAX_COMPLETION_REASON_LENGTH],
    )


def _first(events: Sequence[TaskEvent], parameter: str) -> str:
    """Return the first value of this parameter that is not empty; "" if there is none."""
    return next((value for event in events if (value := event.form.get(parameter))), "")


def _sort_key(event: TaskEvent) -> tuple[object, ...]:
    """Return the sort key of an event: its time, then its type, reservation and Sid."""
    return event.happened_at, event.event_type, event.reservation_sid, event.form.get("Sid", "")


def _deleted(events: Sequence[TaskEvent], accepted: Sequence[TaskEvent]) -> list[TaskEvent]:
    return [event for event in events if event.event_type in TASK_DELETED_EVENTS] if accepted else []


def _sids(events: Sequence[TaskEvent]) -> set[str]:
    return {event.reservation_sid for event in events}


def _outcome(raw_attributes: str) -> str:
    """Return the outcome that Flex or another system wrote to `conversations.outcome`, or "".

    Source: docs/taskrouter.md, "Flex and channel conventions".
    """
    try:
        attributes = json.loads(raw_attributes)
    except (ValueError, RecursionError):
        return ""
    conversations = attributes.get("conversations") if isinstance(attributes, dict) else None
    outcome = conversations.get("outcome") if isinstance(conversations, dict) else None
    return outcome[:MAX_TASK_OUTCOME_LENGTH] if isinstance(outcome, str) else ""
