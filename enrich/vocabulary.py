"""The words of this service: closed lists, and the small frozen records that travel between its parts.

Standard library only, no behaviour beyond what a word means. The words are those of TaskRouter's documentation (task,
reservation, worker, workflow, instruction) and of record linkage (key, candidate, match). What a callback makes several
of, looks up by, or fills with many parts is a named tuple: to make and to hash one costs a third.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple


class Trust(StrEnum):
    """How far a look-up key may be believed."""

    VERIFIED = "verified"  # the carrier's number, or what the integrator's own flow has set
    CLAIMED = "claimed"  # typed by a visitor: a hint for the agent, never an identification


class MatchKind(StrEnum):
    """What a look-up came to. The same words stand in the block, the journal, the log and on the page."""

    MATCHED = "matched"
    AMBIGUOUS = "ambiguous"
    CLAIMED = "claimed"
    NONE = "none"


class NoMatchReason(StrEnum):
    """Why there is nobody, although we could look."""

    NO_SUCH_KEY = "no_such_key"  # keys were there, and no customer has any of them
    WITHHELD = "withheld"  # the caller hides the number, and nothing else identifies them
    NO_KEY = "no_key"  # the attributes hold nothing that could be looked up
    SET_BY_STAFF = "set_by_staff"  # staff said of this task that it is none of those who were found


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


class Told(StrEnum):
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


class LookupKey(NamedTuple):
    """One thing to look a customer up by.

    kind: `phone`, `email`, `customer_id`, `client`, or any kind of the customers' `ids`.
    value: the normal form, as stored in the identifiers table.
    attribute: the task attribute that it stood in (dotted for nested ones).
    """

    kind: str
    value: str
    trust: Trust
    attribute: str


@dataclass(frozen=True, slots=True)
class LookupKeys:
    """All keys of one task, in the order asked for; `withheld` names the attributes that hide a caller.

    task_sid: the task itself, which staff may have settled; None where no task is asked about.
    """

    keys: tuple[LookupKey, ...] = ()
    withheld: tuple[str, ...] = ()
    task_sid: str | None = None


class Candidate(NamedTuple):
    """One customer that one identifier (kind, value) points to, as the store returned it.

    Of kind `staff`, value is the task's SID, and staff have said whose it is; customer_id "": nobody's who was found.
    """

    customer_id: str
    name: str
    kind: str
    value: str


@dataclass(frozen=True, slots=True)
class Matched:
    """Exactly one customer, on verified evidence. `by` is the kind of key, `key` the first one that led there."""

    customer_id: str
    name: str
    key: LookupKey

    kind = MatchKind.MATCHED


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """Several customers on equal evidence, ordered by id; never empty, never one."""

    candidates: tuple[Candidate, ...]
    key: LookupKey

    kind = MatchKind.AMBIGUOUS


@dataclass(frozen=True, slots=True)
class Claimed:
    """Somebody says so: customers that only claimed keys point to, ordered by id; at least one."""

    candidates: tuple[Candidate, ...]
    key: LookupKey

    kind = MatchKind.CLAIMED


@dataclass(frozen=True, slots=True)
class NoMatch:
    """We looked, or had nothing to look with, and there is nobody."""

    reason: NoMatchReason

    kind = MatchKind.NONE


Match = Matched | Ambiguous | Claimed | NoMatch


@dataclass(frozen=True, slots=True)
class Case:
    """One case of a customer. `opened_on` is an ISO date, or None where the CRM has none."""

    id: str
    subject: str
    status: str
    opened_on: str | None = None


@dataclass(frozen=True, slots=True)
class Customer:
    """What the CRM knows about one customer. Empty text means: the CRM has nothing there.

    notes: newest first. open_cases: newest first, those whose status is not closed.
    """

    id: str
    name: str
    company: str = ""
    tier: str = ""
    language: str = ""
    owner: str = ""
    notes: tuple[str, ...] = ()
    open_cases: tuple[Case, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class TaskEvent:
    """One event of a task as TaskRouter told it. happened_at: by its own clock, or else when we got it.

    reservation_sid, worker_sid, worker_name: "" where the event has none. form: all of it, in the callback's spelling.
    """

    event_type: str
    happened_at: datetime
    reservation_sid: str = ""
    worker_sid: str = ""
    worker_name: str = ""
    form: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Interaction:
    """One finished piece of work for a customer. began_at: when a worker took it up; None where nobody has told.

    outcome: what came of it; reason: what TaskRouter was told on completion; "" where nobody said.
    """

    task_sid: str
    channel: str
    worker_sid: str
    worker_name: str
    began_at: datetime | None
    ended_at: datetime
    outcome: str = ""
    reason: str = ""

    @property
    def lasted_s(self) -> float | None:
        """Seconds from one to the other; None where it is not known."""
        if self.began_at is None:
            return None
        return max(0.0, (self.ended_at - self.began_at).total_seconds())


class Delivery(NamedTuple):
    """One signed request as it arrived. SIDs that were missing or malformed are None or ""; the body says the rest.

    delivery_key: what a repeat of it is known by; None: nothing, every one stands for itself.
    task_channel: "voice", "whatsapp", "web", ...; "" where nothing tells. channel_unique_name: TaskRouter's own name
    of the task's channel, None where the delivery has none; only events carry it. task_queue_name: so do these.
    reason: why it is only answered and not worked on now, where that is known beforehand.
    """

    kind: EntryKind
    received_at: datetime
    delivery_key: str | None = None
    workspace_sid: str = ""
    task_sid: str | None = None
    reservation_sid: str | None = None
    worker_sid: str = ""
    worker_name: str = ""
    event_type: str = ""
    task_channel: str = ""
    channel_unique_name: str | None = None
    task_queue_sid: str = ""
    task_queue_name: str = ""
    reason: Reason | None = None
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Owing:
    """One piece of work that a delivery causes, to be committed together with its receipt.

    key: what it is known by where there shall be only one of it; None: every one stands for itself. What is known
    already stays as it is. rearms: it is due again instead, from the beginning. only_wakes: and if there is none, none
    is made.
    """

    kind: FollowupKind
    due_at: datetime
    key: str | None = None
    data: Mapping[str, Any] | None = None
    rearms: bool = False
    only_wakes: bool = False


class Receipt(NamedTuple):
    """The row of a delivery. is_repeat: another request made it before. answer: the stored one, None if none yet.

    is_concluded: nobody is working on it any more; without an answer, its process died before it had one.
    """

    entry_id: int
    is_repeat: bool
    answer: str | None
    is_concluded: bool = False


class Conclusion(NamedTuple):
    """How one piece of work ended, as the journal keeps it; see `journal.tables.EntryRow` for each part."""

    outcome: Outcome
    reason: str = ""
    match: Match | None = None
    finding: Mapping[str, Any] | None = None
    attributes_before: str | None = None
    attributes_after: str | None = None
    decision: Mapping[str, Any] | None = None
    steps: Sequence[Mapping[str, Any]] = ()
    elapsed_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Tried:
    """One follow-up that was tried, for those who count. outcome: of the enrichment, or `done` or `not_done`.

    entry_id: of the delivery that it is owed for. attempts: this one included. began_at: in monotonic time.
    """

    kind: FollowupKind
    entry_id: int
    task_sid: str
    reservation_sid: str | None
    attempts: int
    outcome: str
    reason: str
    began_at: float
    elapsed_s: float
