"""What the emulator's page shows, taken out of the state in one moment: plain values, ready to be written down."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from taskrouter_emulator.callbacks.delivery import Delivery
from taskrouter_emulator.engine.state import State
from taskrouter_emulator.model.log import Entry, Log
from taskrouter_emulator.model.records import Reservation, ReservationStatus, Task, TaskStatus, Worker, Workspace
from taskrouter_emulator.model.steps import Step

TASKS_SHOWN = 40
DELIVERIES_SHOWN = 40
ALERTS_SHOWN = 20
LINES_SHOWN = 40
LINES_LOOKED_AT = 2_000

_OPEN = (TaskStatus.PENDING, TaskStatus.RESERVED, TaskStatus.ASSIGNED, TaskStatus.WRAPPING)
_ACTS_ON_TASK = {
    TaskStatus.PENDING: ("cancel",),
    TaskStatus.RESERVED: ("cancel",),
    TaskStatus.ASSIGNED: ("wrap", "complete"),
    TaskStatus.WRAPPING: ("complete",),
}
_ACTS_ON_RESERVATION = {
    ReservationStatus.PENDING: ("accept", "reject", "time_out"),
    ReservationStatus.ACCEPTED: ("wrap", "complete"),
    ReservationStatus.WRAPPING: ("complete",),
}
# The log's lines that the page shows elsewhere, or that would drown the others.
_NOT_TOLD = ("rest_answered", "event_sent", "event_answered", "parameters_ignored")


@dataclass(frozen=True)
class ReservationView:
    """left_s: until it times out; None where it no longer waits, or is on hold. acts: what can be done with it."""

    sid: str
    task_sid: str
    worker: str
    status: str
    left_s: int | None
    is_on_hold: bool
    acts: tuple[str, ...]


@dataclass(frozen=True)
class TaskView:
    """attributes: as written; pretty: the same to be read, where it is JSON. step: where it stands in its workflow."""

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
    acts: tuple[str, ...]


@dataclass(frozen=True)
class WorkerView:
    """taken: for each channel that can be used or is, its name, how many reservations it has, and how many it takes."""

    sid: str
    name: str
    activity_sid: str
    activity: str
    is_available: bool
    taken: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class QueueView:
    """waiting: pending and reserved tasks. workers: how many of all are eligible."""

    name: str
    target_workers: str
    waiting: int
    workers: int


@dataclass(frozen=True)
class View:
    """One moment. version: the same as long as nothing has changed that would be seen."""

    version: str
    now: datetime
    workspace: Workspace | None
    workspaces: tuple[tuple[str, str], ...]
    counts: tuple[tuple[str, int], ...]
    queues: tuple[QueueView, ...]
    workers: tuple[WorkerView, ...]
    activities: tuple[tuple[str, str], ...]
    tasks: tuple[TaskView, ...]
    left_out: int
    deliveries: tuple[Delivery, ...]
    alerts: tuple[Entry, ...]
    lines: tuple[Entry, ...]


def view(state: State, log: Log, deliveries: Iterable[Delivery], workspace_sid: str) -> View:
    """The workspace of this SID, or the newest. deliveries: oldest first."""
    # Of a log of a hundred thousand lines only the end, since others wait for it meanwhile.
    recent = log.entries(after=log.last - LINES_LOOKED_AT)
    with state.transaction():
        now = state.clock.now()
        newest = next(reversed(state.workspaces), None)
        workspace = state.workspaces.get(workspace_sid) or (state.workspaces[newest] if newest else None)
        tasks = list(workspace.tasks.values()) if workspace else []
        # What is open comes first, then what has ended; in both the newest on top.
        tasks.sort(key=lambda task: (task.status in _OPEN, task.ordinal), reverse=True)
        shown = tuple(_task(task, now) for task in tasks[:TASKS_SHOWN])
        return View(
            version=_version(state, log, shown, now),
            now=now,
            workspace=workspace,
            workspaces=tuple((each.sid, each.friendly_name) for each in state.workspaces.values()),
            counts=tuple((status.value, sum(task.status is status for task in tasks)) for status in _OPEN),
            queues=tuple(_queues(workspace)) if workspace else (),
            workers=tuple(_worker(each) for each in workspace.workers.values()) if workspace else (),
            activities=tuple((each.sid, each.friendly_name) for each in workspace.activities.values())
            if workspace
            else (),
            tasks=shown,
            left_out=len(tasks) - len(shown),
            deliveries=tuple(reversed(list(deliveries)))[:DELIVERIES_SHOWN],
            alerts=tuple(islice((line for line in reversed(recent) if line["kind"] == "alert"), ALERTS_SHOWN)),
            lines=tuple(islice((line for line in reversed(recent) if line["kind"] not in _NOT_TOLD), LINES_SHOWN)),
        )


def _version(state: State, log: Log, tasks: tuple[TaskView, ...], now: datetime) -> str:
    """While a reservation's seconds are counted down, each second is another moment."""
    ticks = any(one.left_s is not None for task in tasks for one in task.reservations)
    return f"{log.last}.{len(state.workspaces)}" + (f".{now:%H%M%S}" if ticks else "")


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
        reservations=tuple(_reservation(each, now) for each in reversed(task.reservations.values())),
        acts=_ACTS_ON_TASK.get(task.status, ()),
    )


def _step_name(step: Step) -> str:
    """The filter and which of its targets, as one would say it."""
    name = step.filter.name or ("default" if step.filter_at is None else f"filter {step.filter_at + 1}")
    return f"{name}, target {step.target_at + 1}" if len(step.filter.targets) > 1 else name


def _reservation(reservation: Reservation, now: datetime) -> ReservationView:
    waits = reservation.status is ReservationStatus.PENDING and not reservation.on_hold
    left = reservation.task.workflow.task_reservation_timeout - (now - reservation.date_created).total_seconds()
    return ReservationView(
        sid=reservation.sid,
        task_sid=reservation.task.sid,
        worker=reservation.worker.friendly_name,
        status=reservation.status.value,
        left_s=max(0, int(left)) if waits else None,
        is_on_hold=reservation.on_hold,
        acts=() if reservation.on_hold else _ACTS_ON_RESERVATION.get(reservation.status, ()),
    )


def _worker(worker: Worker) -> WorkerView:
    channels = (
        (each.task_channel.unique_name, len(each.open_reservations), each.configured_capacity)
        for each in worker.channels.values()
    )
    return WorkerView(
        sid=worker.sid,
        name=worker.friendly_name,
        activity_sid=worker.activity.sid,
        activity=worker.activity.friendly_name,
        is_available=worker.activity.available,
        taken=tuple(channels),
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
