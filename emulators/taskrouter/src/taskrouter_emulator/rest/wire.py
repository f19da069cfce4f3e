"""JSON of the resources, with the member names and formats of TaskRouter's REST API.

base: the address that the client used, such as `http://127.0.0.1:8080`; every URL in a response starts with it.
Source: Twilio's OpenAPI document `twilio_taskrouter_v1.json`, https://github.com/twilio/twilio-oai
"""

from datetime import datetime

from taskrouter_emulator.model import events
from taskrouter_emulator.model.errors import Json
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


def instant(moment: datetime) -> str:
    """Return ISO 8601 in whole seconds, the only form that the SDKs parse."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


class ResourceWriter:
    """Writes the resources of one account for one client."""

    def __init__(self, account_sid: str, base: str, now: datetime) -> None:
        self._account_sid = account_sid
        self._base = base
        self._now = now

    def workspace(self, workspace: Workspace) -> Json:
        url = self._url(workspace)
        default, timeout = workspace.default_activity, workspace.timeout_activity
        return {
            "sid": workspace.sid,
            "account_sid": self._account_sid,
            "friendly_name": workspace.friendly_name,
            "default_activity_sid": default.sid if default else None,
            "default_activity_name": default.friendly_name if default else None,
            "timeout_activity_sid": timeout.sid if timeout else None,
            "timeout_activity_name": timeout.friendly_name if timeout else None,
            "event_callback_url": workspace.event_callback_url,
            "events_filter": workspace.events_filter,
            "multi_task_enabled": workspace.multi_task_enabled,
            "prioritize_queue_order": workspace.prioritize_queue_order,
            **_dates(workspace),
            "url": url,
            "links": {
                "activities": f"{url}/Activities",
                "events": f"{url}/Events",
                "task_channels": f"{url}/TaskChannels",
                "task_queues": f"{url}/TaskQueues",
                "tasks": f"{url}/Tasks",
                "workers": f"{url}/Workers",
                "workflows": f"{url}/Workflows",
                **_statistics(url),
            },
        }

    def activity(self, workspace: Workspace, activity: Activity) -> Json:
        return {
            "sid": activity.sid,
            **self._inside(workspace),
            "friendly_name": activity.friendly_name,
            "available": activity.available,
            **_dates(activity),
            "url": self._url(workspace, "Activities", activity.sid),
            "links": {"workspace": self._url(workspace)},
        }

    def task_channel(self, workspace: Workspace, channel: TaskChannel) -> Json:
        return {
            "sid": channel.sid,
            **self._inside(workspace),
            "friendly_name": channel.friendly_name,
            "unique_name": channel.unique_name,
            "channel_optimized_routing": channel.channel_optimized_routing,
            **_dates(channel),
            "url": self._url(workspace, "TaskChannels", channel.sid),
            "links": {"workspace": self._url(workspace)},
        }

    def task_queue(self, workspace: Workspace, queue: TaskQueue) -> Json:
        reservation, assignment = queue.reservation_activity, queue.assignment_activity
        url, all_queues = self._url(workspace, "TaskQueues", queue.sid), self._url(workspace, "TaskQueues")
        return {
            "sid": queue.sid,
            **self._inside(workspace),
            "friendly_name": queue.friendly_name,
            "target_workers": queue.target_workers,
            "max_reserved_workers": queue.max_reserved_workers,
            "task_order": queue.task_order,
            "reservation_activity_sid": reservation.sid if reservation else None,
            "reservation_activity_name": reservation.friendly_name if reservation else None,
            "assignment_activity_sid": assignment.sid if assignment else None,
            "assignment_activity_name": assignment.friendly_name if assignment else None,
            **_dates(queue),
            "url": url,
            "links": {
                "workspace": self._url(workspace),
                "reservation_activity": self._url(workspace, "Activities", reservation.sid) if reservation else None,
                "assignment_activity": self._url(workspace, "Activities", assignment.sid) if assignment else None,
                "bulk_real_time_statistics": f"{all_queues}/RealTimeStatistics",
                "list_statistics": f"{all_queues}/Statistics",
                **_statistics(url),
            },
        }

    def workflow(self, workspace: Workspace, workflow: Workflow) -> Json:
        url = self._url(workspace, "Workflows", workflow.sid)
        return {
            "sid": workflow.sid,
            **self._inside(workspace),
            "friendly_name": workflow.friendly_name,
            "configuration": workflow.configuration,
            "document_content_type": "application/json",
            "assignment_callback_url": workflow.assignment_callback_url,
            "fallback_assignment_callback_url": workflow.fallback_assignment_callback_url,
            "task_reservation_timeout": workflow.task_reservation_timeout,
            **_dates(workflow),
            "url": url,
            "links": _statistics(url),
        }

    def worker(self, workspace: Workspace, worker: Worker) -> Json:
        url = self._url(workspace, "Workers", worker.sid)
        return {
            "sid": worker.sid,
            **self._inside(workspace),
            "friendly_name": worker.friendly_name,
            "attributes": worker.attributes,
            "activity_sid": worker.activity.sid,
            "activity_name": worker.activity.friendly_name,
            "available": worker.activity.available,
            "date_status_changed": instant(worker.date_status_changed),
            **_dates(worker),
            "url": url,
            "links": {
                "workspace": self._url(workspace),
                "activity": self._url(workspace, "Activities", worker.activity.sid),
                "channels": f"{url}/Channels",
                "worker_channels": f"{url}/Channels",
                "reservations": f"{url}/Reservations",
                "worker_statistics": f"{url}/Statistics",
                **_statistics(self._url(workspace, "Workers")),
            },
        }

    def worker_channel(self, workspace: Workspace, channel: WorkerChannel) -> Json:
        worker_url = self._url(workspace, "Workers", channel.worker.sid)
        return {
            "sid": channel.sid,
            **self._inside(workspace),
            "worker_sid": channel.worker.sid,
            "task_channel_sid": channel.task_channel.sid,
            "task_channel_unique_name": channel.task_channel.unique_name,
            "configured_capacity": channel.configured_capacity,
            "available": channel.available,
            "assigned_tasks": channel.assigned_tasks,
            "available_capacity_percentage": channel.available_capacity_percentage,
            **_dates(channel),
            "url": f"{worker_url}/Channels/{channel.sid}",
        }

    def task(self, task: Task) -> Json:
        workspace, queue, entered = task.workspace, task.task_queue, task.task_queue_entered_date
        url = self._url(workspace, "Tasks", task.sid)
        return {
            "sid": task.sid,
            **self._inside(workspace),
            "workflow_sid": task.workflow.sid,
            "workflow_friendly_name": task.workflow.friendly_name,
            "task_queue_sid": queue.sid if queue else None,
            "task_queue_friendly_name": queue.friendly_name if queue else None,
            "task_queue_entered_date": instant(entered) if entered else None,
            "task_channel_sid": task.task_channel.sid,
            "task_channel_unique_name": task.task_channel.unique_name,
            "assignment_status": task.status.value,
            "attributes": task.attributes,
            "addons": "{}",
            "age": events.age_s(task, self._now),
            "priority": task.priority,
            "timeout": task.timeout,
            "reason": task.reason,
            "routing_target": task.routing_target,
            "ignore_capacity": task.ignore_capacity,
            "virtual_start_time": instant(task.virtual_start_time),
            **_dates(task),
            "url": url,
            "links": {
                "workspace": self._url(workspace),
                "workflow": self._url(workspace, "Workflows", task.workflow.sid),
                "task_queue": self._url(workspace, "TaskQueues", queue.sid) if queue else None,
                "reservations": f"{url}/Reservations",
            },
        }

    def reservation(self, reservation: Reservation, *, under_worker: bool = False) -> Json:
        """Return a reservation. under_worker: the path is below `/Workers`, and so is the resource's own URL."""
        workspace = reservation.task.workspace
        task_url = self._url(workspace, "Tasks", reservation.task.sid)
        worker_url = self._url(workspace, "Workers", reservation.worker.sid)
        parent = worker_url if under_worker else task_url
        return {
            "sid": reservation.sid,
            **self._inside(workspace),
            "task_sid": reservation.task.sid,
            "worker_sid": reservation.worker.sid,
            "worker_name": reservation.worker.friendly_name,
            "reservation_status": reservation.status.value,
            **_dates(reservation),
            "url": f"{parent}/Reservations/{reservation.sid}",
            "links": {"task": task_url, "worker": worker_url, "workspace": self._url(workspace)},
        }

    def event(self, workspace: Workspace, event: Event) -> Json:
        return {
            "sid": event.sid,
            **self._inside(workspace),
            "event_type": event.event_type,
            "description": event.description,
            "event_date": instant(event.date),
            "event_date_ms": int(event.parameters["TimestampMs"]),
            "event_data": events.event_data(event),
            "resource_type": event.resource_type,
            "resource_sid": event.resource_sid,
            "resource_url": self._resource_url(workspace, event),
            "actor_type": None,
            "actor_sid": None,
            "actor_url": None,
            "source": "taskrouter",
            "source_ip_address": None,
            "url": self._url(workspace, "Events", event.sid),
        }

    def _resource_url(self, workspace: Workspace, event: Event) -> str:
        if event.resource_type == "workspace":
            return self._url(workspace)
        if event.resource_type == "reservation":
            return self._url(workspace, "Tasks", event.parameters["TaskSid"], "Reservations", event.resource_sid)
        return self._url(workspace, _COLLECTIONS[event.resource_type], event.resource_sid)

    def _inside(self, workspace: Workspace) -> Json:
        return {"account_sid": self._account_sid, "workspace_sid": workspace.sid}

    def _url(self, workspace: Workspace, *below: str) -> str:
        return "/".join((self._base, "v1/Workspaces", workspace.sid, *below))


_COLLECTIONS = {
    "task": "Tasks",
    "worker": "Workers",
    "workflow": "Workflows",
    "task-queue": "TaskQueues",
    "activity": "Activities",
    "task-channel": "TaskChannels",
}

Dated = Workspace | Activity | TaskChannel | TaskQueue | Workflow | Worker | WorkerChannel | Task | Reservation


def _dates(record: Dated) -> Json:
    return {"date_created": instant(record.date_created), "date_updated": instant(record.date_updated)}


def _statistics(url: str) -> dict[str, str]:
    """Return links to the statistics, which are not emulated; Twilio's responses have them."""
    return {
        "statistics": f"{url}/Statistics",
        "real_time_statistics": f"{url}/RealTimeStatistics",
        "cumulative_statistics": f"{url}/CumulativeStatistics",
    }
