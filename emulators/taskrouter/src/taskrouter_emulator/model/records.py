"""The resources of TaskRouter as the emulator keeps them, and the callbacks it owes.

Records point to each other instead of carrying SIDs, so that a name is never stale. They are changed by `state` and
`lifecycle` alone, and only under the state's lock. Datetimes are aware, UTC.
"""

from collections import deque
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from taskrouter_emulator.model import attributes as attribute_text
from taskrouter_emulator.model import expressions
from taskrouter_emulator.model.steps import Step
from taskrouter_emulator.model.workflow_configuration import Configuration

KEPT_EVENTS = 10_000


class TaskStatus(StrEnum):
    """`assignment_status`: https://www.twilio.com/docs/taskrouter/lifecycle-task-state"""

    PENDING = "pending"
    RESERVED = "reserved"
    ASSIGNED = "assigned"
    CANCELED = "canceled"
    WRAPPING = "wrapping"
    COMPLETED = "completed"


class ReservationStatus(StrEnum):
    """`reservation_status`: https://www.twilio.com/docs/taskrouter/api/reservations"""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    TIMEOUT = "timeout"
    CANCELED = "canceled"
    RESCINDED = "rescinded"
    WRAPPING = "wrapping"
    COMPLETED = "completed"


OPEN = frozenset({ReservationStatus.PENDING, ReservationStatus.ACCEPTED, ReservationStatus.WRAPPING})
"""Reservations in these states take up capacity: https://www.twilio.com/docs/taskrouter/multitasking"""


@dataclass(eq=False)
class Activity:
    sid: str
    friendly_name: str
    available: bool
    date_created: datetime
    date_updated: datetime


@dataclass(eq=False)
class TaskChannel:
    sid: str
    friendly_name: str
    unique_name: str
    channel_optimized_routing: bool
    date_created: datetime
    date_updated: datetime


@dataclass(eq=False)
class TaskQueue:
    """target_workers: the expression as given; `admits` is what it means."""

    sid: str
    friendly_name: str
    target_workers: str
    max_reserved_workers: int
    task_order: str
    date_created: datetime
    date_updated: datetime
    reservation_activity: Activity | None = None
    assignment_activity: Activity | None = None

    def admits(self, worker: "Worker") -> bool:
        expression = expressions.parse(self.target_workers)
        return expression(worker.scope(expression.roots))


@dataclass(eq=False)
class Workflow:
    """configuration: the text as given; `plan` is what it means."""

    sid: str
    friendly_name: str
    configuration: str
    plan: Configuration
    assignment_callback_url: str | None
    fallback_assignment_callback_url: str | None
    task_reservation_timeout: int
    date_created: datetime
    date_updated: datetime


@dataclass(eq=False)
class WorkerChannel:
    """open_reservations: those of the worker on this channel that are pending, accepted or wrapping."""

    sid: str
    worker: "Worker"
    task_channel: TaskChannel
    configured_capacity: int
    available: bool
    date_created: datetime
    date_updated: datetime
    open_reservations: "dict[str, Reservation]" = field(default_factory=dict)

    @property
    def assigned_tasks(self) -> int:
        open_ones = self.open_reservations.values()
        return sum(reservation.status is not ReservationStatus.PENDING for reservation in open_ones)

    @property
    def has_room(self) -> bool:
        return self.available and len(self.open_reservations) < self.configured_capacity

    @property
    def available_capacity_percentage(self) -> int:
        if self.configured_capacity == 0:
            return 0
        free = self.configured_capacity - len(self.open_reservations)
        return max(0, 100 * free // self.configured_capacity)

    @property
    def as_scope(self) -> Mapping[str, object]:
        """What expressions find below `worker.channel.<unique name>`."""
        return {
            "configured_capacity": self.configured_capacity,
            "assigned_tasks": self.assigned_tasks,
            "available_capacity_percentage": self.available_capacity_percentage,
        }


@dataclass(eq=False)
class Worker:
    """idle_since: when this worker was last given or rid of a task; last_reserved: the ordinal of when given one."""

    sid: str
    ordinal: int
    friendly_name: str
    attributes: str
    parsed_attributes: dict[str, object]
    activity: Activity
    date_created: datetime
    date_updated: datetime
    date_status_changed: datetime
    idle_since: datetime
    last_reserved: int = 0
    version: int = 0
    channels: dict[str, WorkerChannel] = field(default_factory=dict)
    open_reservations: "dict[str, Reservation]" = field(default_factory=dict)

    def scope(self, roots: Set[str]) -> Mapping[str, object]:
        """What an expression about workers may name: the attributes, the worker's own fields, and `worker.` of both.

        roots: the first names that it asks for; what nobody asks for is left out.
        """
        if not roots & _WORKER_FIELDS:
            return self.parsed_attributes
        fields = {
            "sid": self.sid,
            "friendly_name": self.friendly_name,
            "activity_sid": self.activity.sid,
            "activity_name": self.activity.friendly_name,
        }
        scope = fields | self.parsed_attributes
        if "worker" in roots:
            channels = {one.task_channel.unique_name: one.as_scope for one in self.channels.values()}
            scope["worker"] = self.parsed_attributes | fields | {"channel": channels}
        return scope


_WORKER_FIELDS = {"worker", "sid", "friendly_name", "activity_sid", "activity_name"}


@dataclass(eq=False)
class Task:
    """attributes: the exact text somebody wrote. assignment_count: how often it went from pending to reserved.

    step: where it stands in its workflow, None if it was routed past it. task_queue: None if no filter fitted.
    evaluated_at: when it entered its workflow; step_entered_at: when it entered the step.
    routing_target: the SID that it was created for; for_worker: that worker, if it is one. ignore_capacity: whether
    that worker's activity and capacity do not matter; None if it is for nobody in particular.
    """

    sid: str
    ordinal: int
    workspace: "Workspace"
    workflow: Workflow
    task_queue: TaskQueue | None
    task_channel: TaskChannel
    attributes: str
    priority: int
    timeout: int
    virtual_start_time: datetime
    date_created: datetime
    date_updated: datetime
    evaluated_at: datetime
    step_entered_at: datetime
    task_queue_entered_date: datetime | None = None
    step: Step | None = None
    routing_target: str | None = None
    for_worker: Worker | None = None
    ignore_capacity: bool | None = None
    status: TaskStatus = TaskStatus.PENDING
    reason: str | None = None
    version: int = 0
    assignment_count: int = 0
    reservations: "dict[str, Reservation]" = field(default_factory=dict)

    @property
    def parsed_attributes(self) -> Mapping[str, object]:
        return attribute_text.as_object(self.attributes)

    @property
    def parties(self) -> "list[Reservation]":
        """The reservations that are not over yet."""
        return [reservation for reservation in self.reservations.values() if reservation.status in OPEN]

    @property
    def wants_workers(self) -> bool:
        """Whether it is to be given one more worker: none yet, or less than its queue reserves side by side."""
        if self.status is TaskStatus.PENDING:
            return True
        if self.status is not TaskStatus.RESERVED or self.task_queue is None:
            return False
        parties = self.parties
        undecided = all(one.status is ReservationStatus.PENDING and not one.on_hold for one in parties)
        return undecided and len(parties) < self.task_queue.max_reserved_workers


@dataclass(eq=False)
class Reservation:
    """worker_channel: whose capacity it takes, even if the task's channel is changed meanwhile.
    on_hold: a worker's leg is being set up; the time-out is paused until that has worked or failed.
    activity_before: what the worker did before, when a workspace without multitasking moved them for this one.
    call: the connected call, while it lasts.
    """

    sid: str
    task: Task
    worker: Worker
    worker_channel: WorkerChannel
    date_created: datetime
    date_updated: datetime
    status: ReservationStatus = ReservationStatus.PENDING
    version: int = 0
    on_hold: bool = False
    activity_before: Activity | None = None
    call: "Call | None" = None


@dataclass(frozen=True)
class Call:
    """A worker's leg that TaskRouter has connected. post_work_activity: where the worker goes when it has ended."""

    instruction: str
    post_work_activity: Activity | None


@dataclass(frozen=True)
class Event:
    """parameters: the form of the event callback, in the callback's spelling."""

    sid: str
    event_type: str
    description: str
    resource_type: str
    resource_sid: str
    date: datetime
    parameters: dict[str, str]


@dataclass(eq=False)
class Workspace:
    """events_filter: None means every event. A dict's order is the order of creation."""

    sid: str
    friendly_name: str
    event_callback_url: str | None
    events_filter: str | None
    multi_task_enabled: bool
    prioritize_queue_order: str
    date_created: datetime
    date_updated: datetime
    default_activity: Activity | None = None
    timeout_activity: Activity | None = None
    activities: dict[str, Activity] = field(default_factory=dict)
    task_channels: dict[str, TaskChannel] = field(default_factory=dict)
    task_queues: dict[str, TaskQueue] = field(default_factory=dict)
    workflows: dict[str, Workflow] = field(default_factory=dict)
    workers: dict[str, Worker] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    events: deque[Event] = field(default_factory=lambda: deque(maxlen=KEPT_EVENTS))

    def wants(self, event_type: str) -> bool:
        """Whether the event callback URL is set and the filter lets this event through."""
        return bool(self.event_callback_url) and (not self.wanted_events or event_type in self.wanted_events)

    @property
    def wanted_events(self) -> set[str]:
        """The event types of the filter; empty if there is none."""
        return {wanted.strip() for wanted in (self.events_filter or "").split(",") if wanted.strip()}


@dataclass(frozen=True)
class AssignmentCallback:
    """What is owed to a workflow's assignment callback URL for one new reservation."""

    url: str
    fallback_url: str | None
    parameters: dict[str, str]
    reservation: Reservation
    sids: dict[str, str]


@dataclass(frozen=True)
class EventCallback:
    """What is owed to a workspace's event callback URL for one event."""

    url: str
    event_type: str
    parameters: dict[str, str]
    sids: dict[str, str]


Outgoing = AssignmentCallback | EventCallback
