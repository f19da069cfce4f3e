"""The resources of TaskRouter as the emulator keeps them, and the callbacks it owes.

Records point to each other instead of carrying SIDs, so that a name is never stale. They are changed by `state` and
`lifecycle` alone, and only under the state's lock. Datetimes are aware, UTC.
"""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from . import expressions

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
        return expressions.parse(self.target_workers)(worker.parsed_attributes)


@dataclass(eq=False)
class Workflow:
    """task_queue and priority: where the configuration sends every task, and the priority it sets, if any."""

    sid: str
    friendly_name: str
    configuration: str
    task_queue: TaskQueue
    priority: int | None
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
        return max(0, 100 - 100 * len(self.open_reservations) // self.configured_capacity)


@dataclass(eq=False)
class Worker:
    """idle_since: when this worker was last given or rid of a task; who waits longest is reserved first."""

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
    version: int = 0
    channels: dict[str, WorkerChannel] = field(default_factory=dict)
    open_reservations: "dict[str, Reservation]" = field(default_factory=dict)


@dataclass(eq=False)
class Task:
    """attributes: the exact text somebody wrote. assignment_count: how often it went from pending to reserved."""

    sid: str
    ordinal: int
    workspace: "Workspace"
    workflow: Workflow
    task_queue: TaskQueue
    task_channel: TaskChannel
    attributes: str
    priority: int
    timeout: int
    virtual_start_time: datetime
    date_created: datetime
    date_updated: datetime
    task_queue_entered_date: datetime
    status: TaskStatus = TaskStatus.PENDING
    reason: str | None = None
    version: int = 0
    assignment_count: int = 0
    reservations: "dict[str, Reservation]" = field(default_factory=dict)

    @property
    def parties(self) -> "list[Reservation]":
        """The reservations that are not over yet."""
        return [reservation for reservation in self.reservations.values() if reservation.status in OPEN]


@dataclass(eq=False)
class Reservation:
    """worker_channel: whose capacity it takes, even if the task's channel is changed meanwhile.
    on_hold: a worker's leg is being set up; the time-out is paused until that has worked or failed.
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
        if not self.event_callback_url:
            return False
        if not self.events_filter:
            return True
        return event_type in {wanted.strip() for wanted in self.events_filter.split(",")}


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
