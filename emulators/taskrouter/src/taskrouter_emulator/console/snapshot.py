"""Snapshot of the account for the page: plain values, read in one transaction."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from taskrouter_emulator.callbacks.delivery import SentCallback
from taskrouter_emulator.engine.state import State
from taskrouter_emulator.model.log import Entry, Log
from taskrouter_emulator.model.records import Reservation, ReservationStatus, Task, TaskStatus, Worker, Workspace
from taskrouter_emulator.model.steps import RoutingStep

TASKS_SHOWN = 40
DELIVERIES_SHOWN = 40
ALERTS_SHOWN = 20
LOG_ENTRIES_SHOWN = 40
LOG_ENTRIES_READ = 2_000

_OPEN = (TaskStatus.PENDING, TaskStatus.RESERVED, TaskStatus.ASSIGNED, TaskStatus.WRAPPING)
_TASK_ACTIONS = {
    TaskStatus.PENDING: ("cancel",),
    TaskStatus.RESERVED: ("cancel",),
    TaskStatus.ASSIGNED: ("wrap", "complete"),
    TaskStatus.WRAPPING: ("complete",),
}
_RESERVATION_ACTIONS = {
    ReservationStatus.PENDING: ("accept", "reject", "time_out"),
    ReservationStatus.ACCEPTED: ("wrap", "complete"),
    ReservationStatus.WRAPPING: ("complete",),
}
# Log entries that the page shows elsewhere, or that would crowd out the others.
_HIDDEN_KINDS = (
    "rest_answered",
    "event_sent",
    "event_answered",
    "stream_sent",
    "stream_answered",
    "parameters_ignored",
)


@dataclass(frozen=True)
class ReservationView:
    """A reservation. remaining_s: seconds until it times out, None unless it is pending and not on hold."""

    sid: str
    task_sid: str
    worker: str
    status: str
    remaining_s: int | None
    is_on_hold: bool
    actions: tuple[str, ...]


@dataclass(frozen=True)
class TaskView:
    """A task. attributes: as written; pretty: indented, if they are JSON. step: the filter and target it waits in."""

    sid: str
    status: str
    is_open: bool
    channel: str
    queue: str
    step: str
    priority: int
    age_s: int
    version: int
    reason: str
    attributes: str
    pretty: str
    is_call: bool
    reservations: tuple[ReservationView, ...]
    actions: tuple[str, ...]


@dataclass(frozen=True)
class WorkerView:
    """A worker. channels: (unique name, open reservations, capacity) of each."""

    sid: str
    name: str
    activity_sid: str
    activity: str
    is_available: bool
    channels: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class QueueView:
    """A task queue. waiting: pending and reserved tasks. workers: the number of eligible workers."""

    name: str
    target_workers: str
    waiting: int
    workers: int


@dataclass(frozen=True)
class Snapshot:
    """The account at one moment. version: changes with everything that the page shows."""

    version: str
    now: datetime
    workspace: Workspace | None
    workspaces: tuple[tuple[str, str], ...]
    counts: tuple[tuple[str, int], ...]
    queues: tuple[QueueView, ...]
    workers: tuple[WorkerView, ...]
    activities: tuple[tuple[str, str], ...]
    tasks: tuple[TaskView, ...]
    tasks_left_out: int
    deliveries: tuple[SentCallback, ...]
    alerts: tuple[Entry, ...]
    log_entries: tuple[Entry, ...]


def take_snapshot(state: State, log: Log, deliveries: Iterable[SentCallback], workspace_sid: str) -> Snapshot:
    """Return a snapshot of the workspace with this SID, else of the newest. deliveries: oldest first."""
    # Only the end of a log that can have 100,000 entries: reading it locks out its writers.
    recent = log.entries(after=log.last - LOG_ENTRIES_READ)
    with state.transaction():
        now = state.clock.now()
        newest = next(reversed(state.workspaces), None)
        workspace = state.workspaces.get(workspace_sid) or (state.workspaces[newest] if newest else None)
        tasks = list(workspace.tasks.values()) if workspace else []
        # Open tasks first, then ended ones; the newest on top in both.
        tasks.sort(key=lambda task: (task.status in _OPEN, task.ordinal), reverse=True)
        visible_tasks = tuple(_task(task, now) for task in tasks[:TASKS_SHOWN])
        return Snapshot(
            version=_version(state, log, visible_tasks, now),
            now=now,
            workspace=workspace,
            workspaces=tuple((entry.sid, entry.friendly_name) for entry in state.workspaces.values()),
            counts=tuple((status.value, sum(task.status is status for task in tasks)) for status in _OPEN),
            queues=tuple(_queues(workspace)) if workspace else (),
            workers=tuple(_worker(worker) for worker in workspace.workers.values()) if workspace else (),
            activities=tuple((activity.sid, activity.friendly_name) for activity in workspace.activities.values())
            if workspace
            else (),
            tasks=visible_tasks,
            tasks_left_out=len(tasks) - len(visible_tasks),
            deliveries=tuple(reversed(list(deliveries)))[:DELIVERIES_SHOWN],
            alerts=tuple(islice((entry for entry in reversed(recent) if entry["kind"] == "alert"), ALERTS_SHOWN)),
            log_entries=tuple(
                islice((entry for entry in reversed(recent) if entry["kind"] not in _HIDDEN_KINDS), LOG_ENTRIES_SHOWN)
            ),
        )


def _version(state: State, log: Log, tasks: tuple[TaskView, ...], now: datetime) -> str:
    """Return the snapshot's version; while a countdown is shown, it changes every second."""
    has_countdown = any(reservation.remaining_s is not None for task in tasks for reservation in task.reservations)
    return f"{log.last}.{len(state.workspaces)}" + (f".{now:%H%M%S}" if has_countdown else "")


def _task(task: Task, now: datetime) -> TaskView:
    try:
        pretty = json.dumps(json.loads(task.attributes), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        pretty = task.attributes
    step = task.step
    return TaskView(
        sid=task.sid,
        status=task.status.value,
        is_open=task.status in _OPEN,
        channel=task.task_channel.unique_name,
        queue=task.task_queue.friendly_name if task.task_queue else "no queue",
        step=_step_name(step) if step else "",
        priority=task.priority,
        age_s=int((now - task.date_created).total_seconds()),
        version=task.version,
        reason=task.reason or "",
        attributes=task.attributes,
        pretty=pretty,
        is_call="call_sid" in task.parsed_attributes,
        reservations=tuple(_reservation(reservation, now) for reservation in reversed(task.reservations.values())),
        actions=_TASK_ACTIONS.get(task.status, ()),
    )


def _step_name(step: RoutingStep) -> str:
    """Return a label for the filter, and for its target if it has several."""
    name = step.filter.name or ("default" if step.filter_at is None else f"filter {step.filter_at + 1}")
    return f"{name}, target {step.target_at + 1}" if len(step.filter.targets) > 1 else name


def _reservation(reservation: Reservation, now: datetime) -> ReservationView:
    is_waiting = reservation.status is ReservationStatus.PENDING and not reservation.on_hold
    remaining_s = reservation.task.workflow.task_reservation_timeout - (now - reservation.date_created).total_seconds()
    return ReservationView(
        sid=reservation.sid,
        task_sid=reservation.task.sid,
        worker=reservation.worker.friendly_name,
        status=reservation.status.value,
        remaining_s=max(0, int(remaining_s)) if is_waiting else None,
        is_on_hold=reservation.on_hold,
        actions=() if reservation.on_hold else _RESERVATION_ACTIONS.get(reservation.status, ()),
    )


def _worker(worker: Worker) -> WorkerView:
    channels = (
        (channel.task_channel.unique_name, len(channel.open_reservations), channel.configured_capacity)
        for channel in worker.channels.values()
    )
    return WorkerView(
        sid=worker.sid,
        name=worker.friendly_name,
        activity_sid=worker.activity.sid,
        activity=worker.activity.friendly_name,
        is_available=worker.activity.available,
        channels=tuple(channels),
    )


def _queues(workspace: Workspace) -> Iterable[QueueView]:
    waiting = [
        task.task_queue.sid
        for task in workspace.tasks.values()
        if task.task_queue and task.status in (TaskStatus.PENDING, TaskStatus.RESERVED)
    ]
    for queue in workspace.task_queues.values():
        yield QueueView(
            name=queue.friendly_name,
            target_workers=queue.target_workers,
            waiting=waiting.count(queue.sid),
            workers=sum(queue.admits(worker) for worker in workspace.workers.values()),
        )
