"""What a customer's history keeps of a task that is finished: who, when, how long.

Pure. From the set of a task's events, in any order, any of them missing or twice: the same set gives the same result.
Sources: facts sections 5 (events, their order) and 6 (completion).
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from enrich.domain.deliveries import TaskEvent
from enrich.domain.lengths import MAX_COMPLETION_REASON_LENGTH, MAX_TASK_OUTCOME_LENGTH
from enrich.domain.matches import Interaction
from enrich.domain.outcomes import TASK_COMPLETED, TASK_DELETED_EVENTS

ACCEPTED = "reservation.accepted"
PART_COMPLETED = "reservation.completed"
# The events that an interaction is derived from.
EVENT_TYPES = (ACCEPTED, PART_COMPLETED, TASK_COMPLETED, *TASK_DELETED_EVENTS)


def finished(task_sid: str, events: Sequence[TaskEvent]) -> Interaction | None:
    """The interaction that these events of one task make, None while it is not finished, or nobody ever worked on it.

    Finished when the task is; or, should that not be told, when every reservation that was accepted is completed.
    Where several workers had it, one after the other, it counts as the last one's.
    """
    ordered = sorted(events, key=_place)
    accepted = [event for event in ordered if event.event_type == ACCEPTED]
    parts = [event for event in ordered if event.event_type == PART_COMPLETED]
    ends = [event for event in ordered if event.event_type == TASK_COMPLETED] or _deleted(ordered, accepted)
    if not ends and accepted and _sids(accepted) <= _sids(parts):
        ends = parts[-1:]
    if not ends:
        return None
    end = ends[0]
    last = (accepted or parts or ends)[-1]
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


def _place(event: TaskEvent) -> tuple[object, ...]:
    """Where an event stands among the others: by its time, and by its own Sid where two have the same."""
    return event.happened_at, event.event_type, event.reservation_sid, event.form.get("Sid", "")


def _deleted(events: Sequence[TaskEvent], accepted: Sequence[TaskEvent]) -> list[TaskEvent]:
    return [event for event in events if event.event_type in TASK_DELETED_EVENTS] if accepted else []


def _sids(events: Sequence[TaskEvent]) -> set[str]:
    return {event.reservation_sid for event in events}


def _outcome(raw_attributes: str) -> str:
    """What somebody else, Flex for one, has written down as the outcome (facts section 10, `conversations.outcome`)."""
    try:
        attributes = json.loads(raw_attributes)
    except (ValueError, RecursionError):
        return ""
    conversations = attributes.get("conversations") if isinstance(attributes, dict) else None
    outcome = conversations.get("outcome") if isinstance(conversations, dict) else None
    return outcome[:MAX_TASK_OUTCOME_LENGTH] if isinstance(outcome, str) else ""
