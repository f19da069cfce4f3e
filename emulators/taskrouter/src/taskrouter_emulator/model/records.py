"""Records: the resources of TaskRouter as the emulator keeps them, and callbacks that are to be sent.

Records refer to each other instead of holding SIDs, so that no name is stale. Only the engine changes them, in a
transaction. Datetimes are aware, UTC.
"""

from collections import deque
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from taskrouter_emulator.model import attributes as attribute_text
from taskrouter_emulator.model import expressions
from taskrouter_emulator.model.steps import RoutingStep
from taskrouter_emulator.model.workflow_configuration import WorkflowConfiguration

MAX_EVENTS = 10_000


class TaskStatus(StrEnum):
    """`assignment_status` (https://www.twilio.com/docs/taskrouter/lifecycle-task-state)."""

    PENDING = "pending"
    RESERVED = "reserved"
    ASSIGNED = "assigned"
    CANCELED = "canceled"
    WRAPPING = "wrapping"
    COMPLETED = "completed"


class ReservationStatus(StrEnum):
    """`reservation_status` (https://www.twilio.com/docs/taskrouter/api/reservations)."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    TIMEOUT = "timeout"
    CANCELED = "canceled"
    RESCINDED = "rescinded"
    WRAPPING = "wrapping"
    COMPLETED = "completed"


OPEN = frozenset({ReservationStatus.PENDING, ReservationStatus.ACCEPTED, ReservationStatus.WRAPPING})
"""States in which a reservation takes capacity: https://www.twilio.com/docs/taskrouter/multitasking"""


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
    """A task queue. target_workers: the expression as text; `admits` evaluates it."""

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
    """A workflow. configuration: the text as written; plan: the parsed configuration."""

    sid: str
    friendly_name: str
    configuration: str
    plan: WorkflowConfiguration
    assignment_callback_url: str | None
    fallback_assignment_callback_url: str | None
    task_reservation_timeout: int
    date_created: datetime
    date_updated: datetime


@dataclass(eq=False)
class WorkerChannel:
    """A worker's channel. open_reservations: the worker's pending, accepted and wrapping reservations on it."""

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
        open_reservations = self.open_reservations.values()
        return sum(reservation.status is not ReservationStatus.PENDING for reservation in open_reservations)

    @property
    def has_capacity(self) -> bool:
        return self.available and len(self.open_reservations) < self.configured_capacity

    @property
    def available_capacity_percentage(self) -> int:
        if self.configured_capacity == 0:
            return 0
        free = self.configured_capacity - len(self.open_reservations)
        return max(0, 100 * free // self.configured_capacity)

    @property
    def as_scope(self) -> Mapping[str, object]:
        """The members that expressions find below `worker.channel.<unique name>`."""
        return {
            "configured_capacity": self.configured_capacity,
            "assigned_tasks": self.assigned_tasks,
            "available_capacity_percentage": self.available_capacity_percentage,
        }


@dataclass(eq=False)
class Worker:
    """A worker. last_reserved: the ordinal of the newest reservation; idle_since: when one last began or ended."""

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

    def scope(self, roots: AbstractSet[str]) -> Mapping[str, object]:
        """Return the scope of an expression about workers: attributes, own fields, and both below `worker.`.

        roots: the first names of the expression's references; the rest is left out.
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
            channels = {channel.task_channel.unique_name: channel.as_scope for channel in self.channels.values()}
            scope["worker"] = self.parsed_attributes | fields | {"channel": channels}
        return scope


_WORKER_FIELDS = {"worker", "sid", "friendly_name", "activity_sid", "activity_name"}


@dataclass(eq=False)
class Task:
    """A task. attributes: the text as written. assignment_count: transitions from pending to reserved.

    step: the routing step it is in, None if it was routed directly. task_queue: None if no filter matched.
    evaluated_at: when it entered its workflow; step_entered_at: when it entered the step. routing_target: the SID that
    it was created for; target_worker: that worker, if it is one. chosen_queue: the queue that it was created in, None
    if its workflow chooses. ignore_capacity: whether that worker's activity and
    capacity are ignored; None without a target worker.
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
    step: RoutingStep | None = None
    routing_target: str | None = None
    target_worker: Worker | None = None
    chosen_queue: TaskQueue | None = None
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
    def open_reservations(self) -> "list[Reservation]":
        """The reservations that are pending, accepted or wrapping."""
        return [reservation for reservation in self.reservations.values() if reservation.status in OPEN]

    @property
    def needs_worker(self) -> bool:
        """True if one more worker is to be reserved: there is none yet, or fewer than the queue reserves at once."""
        if self.status is TaskStatus.PENDING:
            return True
        if self.status is not TaskStatus.RESERVED or self.task_queue is None:
            return False
        open_reservations = self.open_reservations
        undecided = all(
            reservation.status is ReservationStatus.PENDING and not reservation.on_hold
            for reservation in open_reservations
        )
        return undecided and len(open_reservations) < self.task_queue.max_reserved_workers


@dataclass(eq=False)
class Reservation:
    """A reservation. worker_channel: the channel whose capacity it takes, even if the task's channel changes.

    on_hold: a call leg is being set up, which pauses the time-out. previous_activity: the worker's activity before a
    workspace without multitasking changed it for this reservation. call: the connected call, while it lasts.
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
    previous_activity: Activity | None = None
    call: "Call | None" = None


@dataclass(frozen=True)
class Call:
    """A connected call leg of a worker. post_work_activity: the worker's activity after the call."""

    instruction: str
    post_work_activity: Activity | None


@dataclass(frozen=True)
class Event:
    """An event. parameters: the form of its callback, in the callback's spelling."""

    sid: str
    event_type: str
    description: str
    resource_type: str
    resource_sid: str
    date: datetime
    parameters: dict[str, str]


@dataclass(eq=False)
class Workspace:
    """A workspace. events_filter: None means every event. Dicts are in the order of creation."""

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
    events: deque[Event] = field(default_factory=lambda: deque(maxlen=MAX_EVENTS))

    def wants(self, event_type: str) -> bool:
        """Return whether an event callback URL is set and the filter includes this event type."""
        return bool(self.event_callback_url) and (not self.subscribed_events or event_type in self.subscribed_events)

    @property
    def subscribed_events(self) -> set[str]:
        """The event types of the filter; empty without a filter."""
        return {wanted.strip() for wanted in (self.events_filter or "").split(",") if wanted.strip()}


@dataclass(frozen=True)
class PendingAssignmentCallback:
    """An assignment callback to be sent for a new reservation."""

    url: str
    fallback_url: str | None
    parameters: dict[str, str]
    reservation: Reservation
    sids: dict[str, str]


@dataclass(frozen=True)
class PendingEventCallback:
    """An event callback to be sent."""

    url: str
    event_type: str
    parameters: dict[str, str]
    sids: dict[str, str]


PendingCallback = PendingAssignmentCallback | PendingEventCallback
