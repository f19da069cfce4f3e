"""Records that travel between the webhooks, the flows, the journal and the follow-up queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from enrich.domain.deadline import Step
from enrich.domain.matches import Match
from enrich.domain.outcomes import EntryKind, FollowupKind, Outcome, Reason

# The channels that attributes suggest without naming one: none, and that of a call.
GUESSED_CHANNELS = ("", "voice")


@dataclass(frozen=True, slots=True)
class TaskEvent:
    """One TaskRouter event of a task.

    happened_at: TaskRouter's timestamp, or the time of receipt if it has none.
    reservation_sid, worker_sid, worker_name: "" if the event has none.
    form: all its parameters, under their names in the callback.
    """

    event_type: str
    happened_at: datetime
    reservation_sid: str = ""
    worker_sid: str = ""
    worker_name: str = ""
    form: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One signed request as it arrived. Missing or malformed SIDs are None or ""; `body` has the original.

    delivery_key: identifies repeats of the same delivery; None if it cannot be repeated.
    task_channel: "voice", "whatsapp", "web", ...; "" if unknown. guessed_channel: what the attributes suggest without
    naming a channel, which an event may correct; None if they name it.
    channel_unique_name: unique name of the task channel, None if the delivery has none. Only events carry it, as they
    do task_queue_name.
    raw_attributes: the task's attributes as sent, a snapshot; "" if the delivery has none.
    reason: set if the delivery is only answered now, not worked on.
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
    guessed_channel: str | None = None
    channel_unique_name: str | None = None
    task_queue_sid: str = ""
    task_queue_name: str = ""
    raw_attributes: str = ""
    reason: Reason | None = None
    body: bytes = b""


class TaskOrigin(Protocol):
    """A row that names a task and a reservation: a follow-up, or an entry of the journal."""

    @property
    def workspace_sid(self) -> str: ...

    @property
    def task_sid(self) -> str | None: ...

    @property
    def reservation_sid(self) -> str | None: ...

    @property
    def worker_sid(self) -> str: ...

    @property
    def worker_name(self) -> str: ...


def delivery_about(origin: TaskOrigin, kind: EntryKind, at: datetime) -> Delivery:
    """Return the delivery that records work of our own on this task."""
    return Delivery(
        kind=kind,
        received_at=at,
        workspace_sid=origin.workspace_sid,
        task_sid=origin.task_sid,
        reservation_sid=origin.reservation_sid,
        worker_sid=origin.worker_sid,
        worker_name=origin.worker_name,
    )


class OnExisting(StrEnum):
    """The treatment of an existing follow-up with the key of a new one."""

    KEEP = "keep"  # leave it as it is
    RESTART = "restart"  # make it due again, with the new data and no attempts
    REOPEN = "reopen"  # make it due again, with its own data, unless it waits for its time already
    RESTART_ONLY = "restart_only"  # make it due again, with its own data; create none if there is none


@dataclass(frozen=True, slots=True)
class NewFollowup:
    """One follow-up that a delivery causes, committed together with its receipt.

    key: unique among follow-ups; None: create one in any case. on_existing: applies if the key exists already.
    """

    kind: FollowupKind
    due_at: datetime
    key: str | None = None
    data: Mapping[str, Any] | None = None
    on_existing: OnExisting = OnExisting.KEEP


@dataclass(frozen=True, slots=True)
class Receipt:
    """The journal entry of a delivery.

    is_repeat: an earlier request created the entry. answer: the stored answer, None if there is none yet.
    is_concluded: the work on it has ended; without an answer, its process died before it had one.
    """

    entry_id: int
    is_repeat: bool
    answer: str | None
    is_concluded: bool = False


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The result of one piece of work, as the journal stores it; `journal.tables.EntryRow` describes each field."""

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
    """One attempt at a follow-up, for metrics, traces and logs.

    entry_id: the entry of the delivery that caused the follow-up. attempts: including this one.
    outcome: of the enrichment, or `done` or `not_done`. began_at: in monotonic time.
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


@dataclass(frozen=True, slots=True)
class CallbackResult:
    """The JSON answer for TaskRouter, and the facts about it for log, metrics and traces.

    outcome: None for a repeat, which does no work. rule: name of the policy rule, or of the channel whose default
    applied; "" for neither. entry_id: of the journal entry; None if there is none.
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
    """Return the SIDs of a delivery as fields of a log line: nothing personal."""
    return {
        "workspace_sid": delivery.workspace_sid,
        "task_sid": delivery.task_sid or "",
        "reservation_sid": delivery.reservation_sid or "",
    }


@dataclass(frozen=True, slots=True)
class Exchange:
    """One outgoing HTTP request.

    status: the HTTP status, or the reason why there was none. began_at: in monotonic time.
    """

    method: str
    status: str
    began_at: float
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class Followup:
    """One claimed follow-up. attempts: including the present one. data: parameters and progress, by kind.

    is_readable: False if its data are not of the form that this version writes; then `data` is empty.
    """

    id: int
    kind: FollowupKind
    attempts: int
    entry_id: int
    workspace_sid: str
    task_sid: str | None
    reservation_sid: str | None
    worker_sid: str
    worker_name: str
    event_type: str = ""
    received_at: datetime | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    is_readable: bool = True


@dataclass(frozen=True, slots=True)
class PastEvent:
    """One event as TaskRouter's REST API remembers it. form: the parameters that its callback had."""

    happened_at: datetime
    form: Mapping[str, str]
