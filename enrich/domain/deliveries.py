"""What arrives, what becomes of it, and what follows from it: records of the journal and of the queue."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from enrich.domain.deadline import Step
from enrich.domain.matches import Match
from enrich.domain.outcomes import EntryKind, FollowupKind, Outcome, Reason


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
class Delivery:
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
class NewFollowup:
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


@dataclass(frozen=True, slots=True)
class Receipt:
    """The row of a delivery. is_repeat: another request made it before. answer: the stored one, None if none yet.

    is_concluded: nobody is working on it any more; without an answer, its process died before it had one.
    """

    entry_id: int
    is_repeat: bool
    answer: str | None
    is_concluded: bool = False


@dataclass(frozen=True, slots=True)
class Conclusion:
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
class FollowupAttempt:
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


log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CallbackResult:
    """The JSON that TaskRouter gets, and what the log tells about it.

    outcome: None for a repeat: nothing was done. rule: the policy's, or the channel whose default it was; "" for
    neither. entry_id: of the row in the journal; None where there is none.
    """

    answer: str
    outcome: Outcome | None = None
    reason: str = ""
    match: str = ""
    rule: str = ""
    is_repeat: bool = False
    steps: tuple[Step, ...] = ()
    entry_id: int | None = None


def sids(delivery: Delivery) -> dict[str, str]:
    """What a log line may tell of a delivery: its SIDs, nothing personal."""
    return {
        "workspace_sid": delivery.workspace_sid,
        "task_sid": delivery.task_sid or "",
        "reservation_sid": delivery.reservation_sid or "",
    }


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request that went out. status: of HTTP, or the reason why there was none. began_at: of `time.monotonic`."""

    method: str
    status: str
    began_at: float
    elapsed_s: float
