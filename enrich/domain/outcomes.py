"""Closed lists of values that the journal, the log, the metrics and the pages share.

The vocabulary is TaskRouter's (task, reservation, worker, workflow, instruction) and that of record linkage (key,
candidate, match).
"""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """The result of one enrichment. Only `ENRICHED` means that the block is on the task."""

    ENRICHED = "enriched"
    COULD_NOT_LOOK = "could_not_look"  # the customer database did not respond
    COULD_NOT_WRITE = "could_not_write"  # TaskRouter did not accept the block
    OUT_OF_TIME = "out_of_time"  # the callback's deadline passed
    MALFORMED = "malformed"  # the callback could not be parsed
    NOT_TRIED = "not_tried"  # answered without enrichment: the fallback endpoint, or overload
    GONE = "gone"  # the task has ended: nothing left to enrich
    FAILED = "failed"  # internal error; the log has the traceback


# Outcomes that need attention; the feed's filter and the overview count the same ones.
TROUBLE_OUTCOMES = (
    Outcome.COULD_NOT_LOOK,
    Outcome.COULD_NOT_WRITE,
    Outcome.OUT_OF_TIME,
    Outcome.MALFORMED,
    Outcome.FAILED,
)


class Reason(StrEnum):
    """The reason for an outcome, besides those of errors (errors.py) and look-ups (NoMatchReason)."""

    OUT_OF_TIME = "out_of_time"  # the deadline passed, and no step was waiting
    DATABASE_TOO_SLOW = "database_too_slow"  # the deadline passed during a wait for the database
    TASKROUTER_TOO_SLOW = "taskrouter_too_slow"  # the deadline passed during a wait for TaskRouter's REST API
    FAILED = "failed"  # internal error
    NOT_RECORDED = "not_recorded"  # the database did not store the receipt in time
    FALLBACK = "fallback"  # answered by the fallback endpoint
    OVERLOAD = "overload"  # more callbacks in flight than the process accepts
    CAUGHT_UP = "caught_up"  # not recorded on arrival; found over REST afterwards
    EVENT_STREAM = "event_stream"  # an event that came by Event Streams
    INTERRUPTED = "interrupted"  # the process died before the conclusion


class EntryKind(StrEnum):
    """The origin of a journal entry."""

    ASSIGNMENT = "assignment"  # an assignment callback
    FALLBACK = "fallback"  # a call of the fallback endpoint for a reservation without an entry
    EVENT = "event"  # an event callback
    LATE = "late"  # a follow-up that did what the callback could not
    STAFF = "staff"  # requested on a page: customer identified, enriched again, or replayed
    WARM = "warm"  # enriched on task.created, before the task was offered to a worker


class FollowupKind(StrEnum):
    """The kinds of follow-ups."""

    ENRICH = "enrich"  # enrich the task of the entry, from a fresh read
    WARM = "warm"  # enrich before the task is offered to a worker; skipped if its callback came first
    MISSED = "missed"  # apply the policy to a reservation that was not accepted
    HAND_OVER = "hand_over"  # cancel the task and create it again elsewhere
    WRAP_UP = "wrap_up"  # move the task, or one reservation, to wrapping
    COMPLETE = "complete"  # complete the task, or one reservation that is wrapping
    FINISHED = "finished"  # add the finished task to the customer's history and clear its alarms
    RESTORE = "restore"  # put the block back where another program has overwritten it


class RestorationResult(StrEnum):
    """The result of a look at a task whose block was overwritten, if the block was indeed gone."""

    RESTORED = "restored"  # put back
    LEFT = "left"  # not put back: it was overwritten again and again, or has no room any more


class ActivityType(StrEnum):
    """Our own actions on a task, shown in the timeline beside TaskRouter's events.

    No clash with TaskRouter's event types, which have the form "group.verb".
    """

    ESCALATED = "escalated"
    PRIORITY_RAISED = "priority raised"
    WORKER_MOVED = "worker moved"
    HANDED_OVER = "handed over"
    TAKEN_OVER = "taken over"
    ALARM = "alarm"
    WRAP_UP_ASKED = "wrap-up asked for"
    COMPLETION_ASKED = "completion asked for"
    WRAPPED_UP = "wrapped up"
    OUTCOME = "outcome written"
    STUCK = "stuck in wrapping"
    COMPLETED = "completed"
    HISTORY = "kept in history"
    RESTORED = "block restored"
    OVERWRITTEN = "block overwritten"


# Event types that end a task (https://www.twilio.com/docs/taskrouter/api/event/reference). TaskRouter deletes a task
# that is assigned for 24 hours: `task.system-deleted`.
TASK_COMPLETED = "task.completed"
TASK_DELETED_EVENTS = ("task.deleted", "task.system-deleted")
TASK_END_EVENTS = (TASK_COMPLETED, "task.canceled", *TASK_DELETED_EVENTS)


class IntakeOutcome(StrEnum):
    """The result of one record that its source has sent."""

    CREATED = "created"  # a customer of its own
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    OLDER = "older"  # than what is known already
    DELETED = "deleted"  # no longer live at the source
    QUARANTINED = "quarantined"  # something is wrong with it; it is kept aside, and nothing of it was applied
    REFUSED = "refused"  # it has no id under which it could be kept
