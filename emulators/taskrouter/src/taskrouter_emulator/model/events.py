"""Parameters of event and assignment callbacks, in the spelling of recorded callbacks.

Sources: https://www.twilio.com/docs/taskrouter/api/event/reference,
https://www.twilio.com/docs/taskrouter/handle-assignment-callbacks, and recordings of live callbacks, which write
the resource type in lower case and add names of queue, workflow and channel to the documented parameters.
"""

import re
from datetime import datetime

from taskrouter_emulator.model.records import (
    Activity,
    Event,
    Reservation,
    Task,
    TaskChannel,
    TaskQueue,
    Worker,
    WorkerChannel,
    Workflow,
    Workspace,
)

_DESCRIPTIONS = {"timeout": "timed out", "wrapup": "wrapped up"}
_OF_A_TASK = {
    "workflow.entered": "entered Workflow {workflow}",
    "workflow.target-matched": "matched a workflow target",
    "workflow.timeout": "timed out of Workflow {workflow}",
    "workflow.skipped": "skipped out of Workflow {workflow}",
    "task-queue.entered": "entered TaskQueue {queue}",
    "task-queue.moved": "moved to TaskQueue {queue}",
    "task-queue.timeout": "timed out of TaskQueue {queue}",
}
"""Events that befall a task on its way through a workflow, with their descriptions: the task is their resource.

So they stand in recorded callbacks, from which `entered` and `matched` are taken; no recording has the other wordings.
"""
_TYPES = {
    "task": "created updated canceled wrapup completed deleted system-deleted transfer-initiated "
    "transfer-attempt-failed transfer-failed transfer-canceled transfer-completed",
    "reservation": "created accepted rejected timeout canceled rescinded wrapup completed failed",
    "task-queue": "created deleted entered moved timeout expression.updated",
    "workflow": "created updated deleted entered target-matched timeout skipped",
    "worker": "created deleted activity.update attributes.update capacity.update channel.availability.update",
    "activity": "created updated deleted",
    "task-channel": "created updated deleted",
    "workspace": "created updated deleted",
}
EVENT_TYPES = frozenset(f"{resource}.{verb}" for resource, verbs in _TYPES.items() for verb in verbs.split())
"""Every event type of the reference page; the emulator never emits transfers and `reservation.failed`."""


def assignment_parameters(
    account_sid: str, reservation: Reservation, now: datetime, *, with_timestamp: bool = False
) -> dict[str, str]:
    """Return the form of the assignment callback. `Timestamp` is documented, but neither recording has it."""
    task, worker = reservation.task, reservation.worker
    timestamp = {"Timestamp": str(int(now.timestamp()))} if with_timestamp else {}
    return timestamp | {
        "AccountSid": account_sid,
        "WorkspaceSid": task.workspace.sid,
        "WorkflowSid": task.workflow.sid,
        "TaskQueueSid": task.task_queue.sid if task.task_queue is not None else "",
        "TaskSid": task.sid,
        "TaskAttributes": task.attributes,
        "TaskAge": str(age_s(task, now)),
        "TaskPriority": str(task.priority),
        "WorkerSid": worker.sid,
        "WorkerAttributes": worker.attributes,
        "ReservationSid": reservation.sid,
    }


def make_event(
    account_sid: str,
    sid: str,
    workspace: Workspace,
    event_type: str,
    now: datetime,
    *,
    task: Task | None = None,
    worker: Worker | None = None,
    reservation: Reservation | None = None,
    about: dict[str, str] | None = None,
    extra: dict[str, str] | None = None,
    with_newer_fields: bool = True,
) -> Event:
    """Return an event with its callback parameters; a reservation implies its task and worker.

    about: the parameters of any other resource, its SID first. extra: parameters that only this event type has.
    with_newer_fields: add what the Events resource has and the reference page lacks, in the callback's spelling.
    """
    if reservation is not None:
        task, worker = reservation.task, reservation.worker
    resource_type, _, verb = event_type.partition(".")
    if event_type in _OF_A_TASK and task is not None:
        resource_type, verb = "task", _step_description(event_type, task)
    resource_sid = next(iter((about or {}).values()), None)
    resource_sid = resource_sid or _resource_sid(resource_type, workspace, task, worker, reservation)
    description = _description(resource_type, resource_sid, verb)
    parameters = {
        "EventType": event_type,
        "Sid": sid,
        "AccountSid": account_sid,
        "WorkspaceSid": workspace.sid,
        "WorkspaceName": workspace.friendly_name,
        "EventDescription": description,
        "ResourceType": resource_type,
        "ResourceSid": resource_sid,
        "Timestamp": str(int(now.timestamp())),
        "TimestampMs": str(_milliseconds(now)),
    }
    if task is not None:
        parameters |= _task_block(task, now)
    if worker is not None:
        parameters |= _worker_block(worker)
    if reservation is not None:
        parameters["ReservationSid"] = reservation.sid
    if with_newer_fields:
        parameters["OperatingUnitSid"] = operating_unit_sid(account_sid)
        parameters |= _newer_task_fields(task, now) if task is not None else {}
        parameters |= _newer_reservation_fields(reservation) if reservation is not None else {}
    parameters |= (about or {}) | (extra or {})
    return Event(sid, event_type, description, resource_type, resource_sid, now, parameters)


def event_data(event: Event) -> dict[str, str]:
    """Return the parameters in the spelling of the Events resource: `task_sid` for `TaskSid`."""
    return {_snake_case(name): value for name, value in event.parameters.items() if name not in _ENVELOPE}


def age_s(task: Task, now: datetime) -> int:
    """Return whole seconds since the task was created, never negative."""
    return max(0, int((now - task.date_created).total_seconds()))


_ENVELOPE = frozenset({"EventType", "Sid", "EventDescription", "ResourceType", "ResourceSid"})


def activity_block(activity: Activity) -> dict[str, str]:
    available = str(activity.available).lower()
    return {"ActivitySid": activity.sid, "ActivityName": activity.friendly_name, "ActivityAvailable": available}


def task_channel_block(channel: TaskChannel) -> dict[str, str]:
    return {
        "TaskChannelSid": channel.sid,
        "TaskChannelName": channel.friendly_name,
        "TaskChannelUniqueName": channel.unique_name,
        "TaskChannelOptimizedRouting": str(channel.channel_optimized_routing).lower(),
    }


def task_queue_block(queue: TaskQueue) -> dict[str, str]:
    return {
        "TaskQueueSid": queue.sid,
        "TaskQueueName": queue.friendly_name,
        "TaskQueueTargetExpression": queue.target_workers,
    }


def workflow_block(workflow: Workflow) -> dict[str, str]:
    return {"WorkflowSid": workflow.sid, "WorkflowName": workflow.friendly_name}


def worker_channel_block(channel: WorkerChannel, previous_capacity: int) -> dict[str, str]:
    free = max(0, channel.configured_capacity - len(channel.open_reservations))
    return {
        "WorkerChannelAvailable": str(channel.available).lower(),
        "WorkerChannelAvailableCapacity": str(free),
        "WorkerChannelPreviousCapacity": str(previous_capacity),
        "WorkerChannelTaskCount": str(len(channel.open_reservations)),
        "TaskChannelSid": channel.task_channel.sid,
        "TaskChannelUniqueName": channel.task_channel.unique_name,
    }


def _task_block(task: Task, now: datetime) -> dict[str, str]:
    block = {
        "TaskSid": task.sid,
        "TaskAttributes": task.attributes,
        "TaskAge": str(age_s(task, now)),
        "TaskPriority": str(task.priority),
        "TaskAssignmentStatus": task.status.value,
        "TaskAddons": "{}",
        "TaskChannelSid": task.task_channel.sid,
        "TaskChannelUniqueName": task.task_channel.unique_name,
        **(task_queue_block(task.task_queue) if task.task_queue is not None else {}),
        **workflow_block(task.workflow),
    }
    if task.reason is not None and task.status.value == "canceled":
        block["TaskCanceledReason"] = task.reason
    if task.reason is not None and task.status.value == "completed":
        block["TaskCompletedReason"] = task.reason
    return block


def operating_unit_sid(account_sid: str) -> str:
    """Return the SID of the account's only operating unit."""
    return "OU" + account_sid[2:]


def _newer_task_fields(task: Task, now: datetime) -> dict[str, str]:
    fields = {
        "TaskVersion": str(task.version),
        "TaskTimeout": str(task.timeout),
        "TaskDateCreated": iso_8601(task.date_created),
        "TaskVirtualStartTime": iso_8601(task.virtual_start_time),
    }
    if task.task_queue_entered_date is not None:
        fields["TaskQueueEnteredDate"] = iso_8601(task.task_queue_entered_date)
        fields["TaskAgeInQueue"] = str(max(0, int((now - task.task_queue_entered_date).total_seconds())))
    if task.routing_target is not None:
        fields["TaskRoutingTarget"] = task.routing_target
    return fields


def _newer_reservation_fields(reservation: Reservation) -> dict[str, str]:
    return {
        "ReservationVersion": str(reservation.version),
        "ReservationTimeout": str(reservation.task.workflow.task_reservation_timeout),
    }


def iso_8601(instant: datetime) -> str:
    """Return the form in which TaskRouter writes dates, `2026-01-01T12:00:00Z`."""
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


def _worker_block(worker: Worker) -> dict[str, str]:
    return {
        "WorkerSid": worker.sid,
        "WorkerName": worker.friendly_name,
        "WorkerAttributes": worker.attributes,
        "WorkerActivitySid": worker.activity.sid,
        "WorkerActivityName": worker.activity.friendly_name,
        "WorkerVersion": str(worker.version),
    }


def _resource_sid(
    resource_type: str,
    workspace: Workspace,
    task: Task | None,
    worker: Worker | None,
    reservation: Reservation | None,
) -> str:
    if resource_type == "reservation" and reservation is not None:
        return reservation.sid
    if resource_type == "worker" and worker is not None:
        return worker.sid
    return task.sid if task is not None else workspace.sid


def _step_description(event_type: str, task: Task) -> str:
    queue = task.task_queue.friendly_name if task.task_queue is not None else ""
    return _OF_A_TASK[event_type].format(workflow=task.workflow.friendly_name, queue=queue).rstrip()


def _description(resource_type: str, resource_sid: str, verb: str) -> str:
    verb_text = _DESCRIPTIONS.get(verb, verb if " " in verb else verb.replace(".", " "))
    return f"{resource_type.capitalize()} {resource_sid} {verb_text}"


def _milliseconds(instant: datetime) -> int:
    return int(instant.timestamp()) * 1000 + instant.microsecond // 1000


def _snake_case(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
