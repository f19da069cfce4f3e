"""The words of this service: closed lists, and the small frozen records that travel between its parts.

Standard library only, no behaviour beyond what a word means. The words are those of TaskRouter's documentation (task,
reservation, worker, workflow, instruction) and of record linkage (key, candidate, match). What a callback makes several
of, looks up by, or fills with many parts is a named tuple: to make and to hash one costs a third.
"""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """How one piece of enrichment ended. `ENRICHED` alone means that our block stands on the task."""

    ENRICHED = "enriched"
    COULD_NOT_LOOK = "could_not_look"  # the store did not answer
    COULD_NOT_WRITE = "could_not_write"  # the customer is known, but TaskRouter did not take the block
    OUT_OF_TIME = "out_of_time"  # the clock of the callback ended it
    MALFORMED = "malformed"  # the callback could not be understood
    NOT_TRIED = "not_tried"  # only answered: the fallback endpoint, or more load than we carry
    GONE = "gone"  # the task is over: nothing left to enrich
    FAILED = "failed"  # a mistake of ours; the log has the traceback


class Reason(StrEnum):
    """Why an outcome is what it is, where neither an error (errors.py) nor the look-up (NoMatchReason) says so."""

    OUT_OF_TIME = "out_of_time"  # the clock ended it, and no step was waiting
    DATABASE_TOO_SLOW = "database_too_slow"  # the clock ended it while the database was being waited for
    TASKROUTER_TOO_SLOW = "taskrouter_too_slow"  # the same, for TaskRouter's REST API
    FAILED = "failed"  # a mistake of ours
    NOT_RECORDED = "not_recorded"  # the database did not take the receipt in time
    FALLBACK = "fallback"  # the fallback endpoint answered
    OVERLOAD = "overload"  # more callbacks in flight than the process carries
    CAUGHT_UP = "caught_up"  # never recorded when it came; found over REST afterwards
    INTERRUPTED = "interrupted"  # the process died before there was a conclusion


class EntryKind(StrEnum):
    """What made a row of the journal."""

    ASSIGNMENT = "assignment"  # an assignment callback
    FALLBACK = "fallback"  # a call of the fallback endpoint for a reservation that we had never seen
    EVENT = "event"  # an event callback
    LATE = "late"  # a follow-up that did what the callback could not
    STAFF = "staff"  # somebody asked for it on the page: settled, enriched anew, or replayed
    WARM = "warm"  # enriched because the task was created, before it was offered to anyone


class FollowupKind(StrEnum):
    """What can be owed."""

    ENRICH = "enrich"  # enrich the task of the entry, from a fresh read
    WARM = "warm"  # the same before it is offered to anyone; nothing when its callback came first
    MISSED = "missed"  # a reservation came to nothing: what the policy says to that
    HAND_OVER = "hand_over"  # cancel the task and create it anew elsewhere
    WRAP_UP = "wrap_up"  # put the task, or one reservation, into wrapping
    COMPLETE = "complete"  # complete the task, or one reservation that is wrapping
    FINISHED = "finished"  # what is over belongs to the customer's history, and ends its alarms


class ActivityType(StrEnum):
    """What we did to a task, as the journal's story tells it: events of ours beside TaskRouter's.

    None of TaskRouter's types has such a name; they say "group.verb".
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
