"""REST routes of the set-up: workspaces, activities, task channels, task queues, workflows, workers.

Sources: https://www.twilio.com/docs/taskrouter/api/workspace, and /activity, /task-channel, /task-queue, /workflow,
/worker and /worker-channel beside it.
"""

from datetime import datetime

from flask import Blueprint, request

from taskrouter_emulator.engine.provisioning import DEFAULT_RESERVATION_TIMEOUT_S, MAX_RESERVED_WORKERS
from taskrouter_emulator.model import expressions
from taskrouter_emulator.model.errors import not_found
from taskrouter_emulator.model.records import TaskChannel, TaskQueue, Worker, WorkerChannel, Workflow, Workspace
from taskrouter_emulator.rest.resource import (
    ResourceView,
    ViewResponse,
    expression_filter,
    get_or_404,
    if_match,
    json_response,
    no_content,
    read_form,
    sort_by,
)


class WorkspacesRoutes(ResourceView):
    def register(self, api: Blueprint) -> None:
        self.route(api, "", GET=self._list, POST=self._create)
        self.route(api, "/<workspace_sid>", GET=self._fetch, POST=self._update, DELETE=self._delete)

    def _list(self) -> ViewResponse:
        form = read_form()
        friendly_name = form.text("FriendlyName")
        rows = [row for row in self.state.workspaces.values() if friendly_name in (None, row.friendly_name)]
        return self.page("workspaces", rows, self.writer.workspace, form)

    def _create(self) -> ViewResponse:
        form = read_form()
        workspace = self.state.provisioning.create_workspace(
            form.required_text("FriendlyName"),
            event_callback_url=form.url("EventCallbackUrl"),
            events_filter=form.text("EventsFilter"),
            multi_task_enabled=form.boolean("MultiTaskEnabled", default=True),
            prioritize_queue_order=form.choice("PrioritizeQueueOrder", ("FIFO", "LIFO")) or "FIFO",
            template=form.choice("Template", ("NONE", "FIFO")) or "NONE",
        )
        return json_response(self.writer.workspace(workspace), 201)

    def _fetch(self, workspace_sid: str) -> ViewResponse:
        return json_response(self.writer.workspace(self.workspace(workspace_sid)))

    def _update(self, workspace_sid: str) -> ViewResponse:
        workspace, form = self.workspace(workspace_sid), read_form()
        self.state.provisioning.update_workspace(
            workspace,
            friendly_name=form.text("FriendlyName"),
            event_callback_url=form.url("EventCallbackUrl"),
            events_filter=form.text("EventsFilter"),
            multi_task_enabled=form.boolean("MultiTaskEnabled"),
            prioritize_queue_order=form.choice("PrioritizeQueueOrder", ("FIFO", "LIFO")),
            default_activity=form.resource("DefaultActivitySid", "WA", workspace.activities),
            timeout_activity=form.resource("TimeoutActivitySid", "WA", workspace.activities),
        )
        return json_response(self.writer.workspace(workspace))

    def _delete(self, workspace_sid: str) -> ViewResponse:
        self.state.removal.delete_workspace(self.workspace(workspace_sid))
        return no_content()


class SetupRoutes(ResourceView):
    """Activities, task channels, task queues and workflows."""

    def register(self, api: Blueprint) -> None:
        workspace_path = "/<workspace_sid>"
        self.route(api, f"{workspace_path}/Activities", GET=self._list_activities, POST=self._create_activity)
        activity = f"{workspace_path}/Activities/<sid>"
        self.route(api, activity, GET=self._fetch_activity, POST=self._update_activity, DELETE=self._delete_activity)
        self.route(api, f"{workspace_path}/TaskChannels", GET=self._list_channels, POST=self._create_channel)
        channel = f"{workspace_path}/TaskChannels/<name>"
        self.route(api, channel, GET=self._fetch_channel, POST=self._update_channel, DELETE=self._delete_channel)
        self.route(api, f"{workspace_path}/TaskQueues", GET=self._list_queues, POST=self._create_queue)
        queue = f"{workspace_path}/TaskQueues/<sid>"
        self.route(api, queue, GET=self._fetch_queue, POST=self._update_queue, DELETE=self._delete_queue)
        self.route(api, f"{workspace_path}/Workflows", GET=self._list_workflows, POST=self._create_workflow)
        workflow = f"{workspace_path}/Workflows/<sid>"
        self.route(api, workflow, GET=self._fetch_workflow, POST=self._update_workflow, DELETE=self._delete_workflow)

    def _list_activities(self, workspace_sid: str) -> ViewResponse:
        workspace, form = self.workspace(workspace_sid), read_form()
        friendly_name, available = form.text("FriendlyName"), form.lenient_boolean("Available")
        rows = [
            row
            for row in workspace.activities.values()
            if friendly_name in (None, row.friendly_name) and available in (None, row.available)
        ]
        return self.page("activities", rows, lambda row: self.writer.activity(workspace, row), form)

    def _create_activity(self, workspace_sid: str) -> ViewResponse:
        workspace, form = self.workspace(workspace_sid), read_form()
        activity = self.state.provisioning.create_activity(
            workspace, form.required_text("FriendlyName"), available=form.boolean("Available", default=False)
        )
        return json_response(self.writer.activity(workspace, activity), 201)

    def _fetch_activity(self, workspace_sid: str, sid: str) -> ViewResponse:
        workspace = self.workspace(workspace_sid)
        return json_response(self.writer.activity(workspace, get_or_404(workspace.activities, sid)))

    def _update_activity(self, workspace_sid: str, sid: str) -> ViewResponse:
        workspace, form = self.workspace(workspace_sid), read_form()
        activity = get_or_404(workspace.activities, sid)
        if (friendly_name := form.text("FriendlyName")) is not None:
            self.state.provisioning.rename_activity(workspace, activity, friendly_name)
        return json_response(self.writer.activity(workspace, activity))

    def _delete_activity(self, workspace_sid: str, sid: str) -> ViewResponse:
        workspace = self.workspace(workspace_sid)
        self.state.removal.delete_activity(workspace, get_or_404(workspace.activities, sid))
        return no_content()

    def _list_channels(self, workspace_sid: str) -> ViewResponse:
        workspace = self.workspace(workspace_sid)
        rows = workspace.task_channels.values()
        return self.page("channels", rows, lambda row: self.writer.task_channel(workspace, row), read_form())

    def _create_channel(self, workspace_sid: str) -> ViewResponse:
        workspace, form = self.workspace(workspace_sid), read_form()
        channel = self.state.provisioning.create_task_channel(
            workspace,
            form.required_text("FriendlyName"),
            form.required_text("UniqueName"),
            optimized=form.boolean("ChannelOptimizedRouting", default=False),
        )
        return json_response(self.writer.task_channel(workspace, channel), 201)

    def _fetch_channel(self, workspace_sid: str, name: str) -> ViewResponse:
        workspace = self.workspace(workspace_sid)
        return json_response(self.writer.task_channel(workspace, _channel(workspace, name)))

    def _update_channel(self, workspace_sid: str, name: str) -> ViewResponse:
        workspace, form = self.workspace(workspace_sid), read_form()
        channel = _channel(workspace, name)
        self.state.provisioning.update_task_channel(
            workspace,
            channel,
            friendly_name=form.text("FriendlyName"),
            optimized=form.boolean("ChannelOptimizedRouting"),
        )
        return json_response(self.writer.task_channel(workspace, channel))

    def _delete_channel(self, workspace_sid: str, name: str) -> ViewResponse:
        workspace = self.workspace(workspace_sid)
        self.state.removal.delete_task_channel(workspace, _channel(workspace, name))
        return no_content()

    def _list_queues(self, workspace_sid: str) -> ViewResponse:
        workspace, form = self.workspace(workspace_sid), read_form()
        friendly_name, worker = form.text("FriendlyName"), form.resource("WorkerSid", "WK", workspace.workers)
        attributes = form.json_object("EvaluateWorkerAttributes")
        rows = [
            row
            for row in workspace.task_queues.values()
            if friendly_name in (None, row.friendly_name)
            and (worker is None or row.admits(worker))
            and (attributes is None or expressions.parse(row.target_workers)(attributes))
        ]
        sort_by(rows, form.texts("Ordering"), {"DateCreated": _date_created, "FriendlyName": _name})
        return self.page("task_queues", rows, lambda row: self.writer.task_queue(workspace, row), form)

    def _create_queue(self, workspace_sid: str) -> ViewResponse:
        workspace, form = self.workspace(workspace_sid), read_form()
        queue = self.state.provisioning.create_task_queue(
            workspace,
            form.required_text("FriendlyName"),
            target_workers=form.text("TargetWorkers"),
            max_reserved_workers=form.integer("MaxReservedWorkers", default=1),
            task_order=form.choice("TaskOrder", ("FIFO", "LIFO")) or "FIFO",
            reservation_activity=form.resource("ReservationActivitySid", "WA", workspace.activities),
            assignment_activity=form.resource("AssignmentActivitySid", "WA", workspace.activities),
        )
        return json_response(self.writer.task_queue(workspace, queue), 201)

    def _fetch_queue(self, workspace_sid: str, sid: str) -> ViewResponse:
        workspace = self.workspace(workspace_sid)
        return json_response(self.writer.task_queue(workspace, get_or_404(workspace.task_queues, sid)))

    def _update_queue(self, workspace_sid: str, sid: str) -> ViewResponse:
        workspace, form = self.workspace(workspace_sid), read_form()
        queue: TaskQueue = get_or_404(workspace.task_queues, sid)
        max_reserved_workers = form.integer_between("MaxReservedWorkers", 1, MAX_RESERVED_WORKERS)
        self.state.provisioning.update_task_queue(
            workspace,
            queue,
            friendly_name=form.text("FriendlyName"),
            target_workers=form.text("TargetWorkers"),
            reservation_activity=form.resource("ReservationActivitySid", "WA", workspace.activities),
            assignment_activity=form.resource("AssignmentActivitySid", "WA", workspace.activities),
        )
        self.state.tasks.reorder_queue(
            workspace,
            queue,
            task_order=form.choice("TaskOrder", ("FIFO", "LIFO")),
            max_reserved_workers=max_reserved_workers,
        )
        return json_response(self.writer.task_queue(workspace, queue))

    def _delete_queue(self, workspace_sid: str, sid: str) -> ViewResponse:
        workspace = self.workspace(workspace_sid)
        self.state.removal.delete_task_queue(workspace, get_or_404(workspace.task_queues, sid))
        return no_content()

    def _list_workflows(self, workspace_sid: str) -> ViewResponse:
        workspace, form = self.workspace(workspace_sid), read_form()
        friendly_name = form.text("FriendlyName")
        rows = [row for row in workspace.workflows.values() if friendly_name in (None, row.friendly_name)]
        return self.page("workflows", rows, lambda row: self.writer.workflow(workspace, row), form)

    def _create_workflow(self, workspace_sid: str) -> ViewResponse:
        workspace, form = self.workspace(workspace_sid), read_form()
        workflow = self.state.provisioning.create_workflow(
            workspace,
            form.required_text("FriendlyName"),
            form.required_text("Configuration"),
            assignment_callback_url=form.url("AssignmentCallbackUrl"),
            fallback_assignment_callback_url=form.url("FallbackAssignmentCallbackUrl"),
            task_reservation_timeout=form.integer("TaskReservationTimeout", default=DEFAULT_RESERVATION_TIMEOUT_S),
        )
        return json_response(self.writer.workflow(workspace, workflow), 201)

    def _fetch_workflow(self, workspace_sid: str, sid: str) -> ViewResponse:
        workspace = self.workspace(workspace_sid)
        return json_response(self.writer.workflow(workspace, get_or_404(workspace.workflows, sid)))

    def _update_workflow(self, workspace_sid: str, sid: str) -> ViewResponse:
        workspace, form = self.workspace(workspace_sid), read_form()
        workflow: Workflow = get_or_404(workspace.workflows, sid)
        self.state.provisioning.update_workflow(
            workspace,
            workflow,
            friendly_name=form.text("FriendlyName"),
            configuration=form.text("Configuration"),
            assignment_callback_url=form.url("AssignmentCallbackUrl"),
            fallback_assignment_callback_url=form.url("FallbackAssignmentCallbackUrl"),
            task_reservation_timeout=form.integer("TaskReservationTimeout"),
            re_evaluate_tasks=form.boolean("ReEvaluateTasks", default=False),
        )
        return json_response(self.writer.workflow(workspace, workflow))

    def _delete_workflow(self, workspace_sid: str, sid: str) -> ViewResponse:
        workspace = self.workspace(workspace_sid)
        self.state.removal.delete_workflow(workspace, get_or_404(workspace.workflows, sid))
        return no_content()


class WorkersRoutes(ResourceView):
    """Workers and their channels."""

    def register(self, api: Blueprint) -> None:
        workers = "/<workspace_sid>/Workers"
        channels = f"{workers}/<worker_sid>/Channels"
        self.route(api, workers, GET=self._list, POST=self._create)
        self.route(api, f"{workers}/<worker_sid>", GET=self._fetch, POST=self._update, DELETE=self._delete)
        self.route(api, channels, GET=self._list_channels)
        self.route(api, f"{channels}/<name>", GET=self._fetch_channel, POST=self._update_channel)

    def _list(self, workspace_sid: str) -> ViewResponse:
        workspace, form = self.workspace(workspace_sid), read_form()
        name, activity_sid = form.text("FriendlyName"), form.sid("ActivitySid", "WA")
        activity_name, available = form.text("ActivityName"), form.lenient_boolean("Available")
        queue_sid, queue_name = form.sid("TaskQueueSid", "WQ"), form.text("TaskQueueName")
        expression = expression_filter(form, "TargetWorkersExpression")
        rows = [
            row
            for row in workspace.workers.values()
            if name in (None, row.friendly_name)
            and activity_sid in (None, row.activity.sid)
            and activity_name in (None, row.activity.friendly_name)
            and available in (None, row.activity.available)
            and _is_in_queue(workspace, row, queue_sid, queue_name)
            and expression(row.scope(expression.roots))
        ]
        sort_by(rows, form.texts("Ordering"), {"DateStatusChanged": _date_status_changed, "FriendlyName": _name})
        return self.page("workers", rows, lambda row: self.writer.worker(workspace, row), form)

    def _create(self, workspace_sid: str) -> ViewResponse:
        workspace, form = self.workspace(workspace_sid), read_form()
        worker = self.state.provisioning.create_worker(
            workspace,
            form.required_text("FriendlyName"),
            attributes=form.text("Attributes", default="{}"),
            activity=form.resource("ActivitySid", "WA", workspace.activities),
        )
        return json_response(self.writer.worker(workspace, worker), 201, version=worker.version)

    def _fetch(self, workspace_sid: str, worker_sid: str) -> ViewResponse:
        workspace = self.workspace(workspace_sid)
        worker = get_or_404(workspace.workers, worker_sid)
        return json_response(self.writer.worker(workspace, worker), version=worker.version)

    def _update(self, workspace_sid: str, worker_sid: str) -> ViewResponse:
        workspace, form = self.workspace(workspace_sid), read_form()
        worker: Worker = get_or_404(workspace.workers, worker_sid)
        activity = form.resource("ActivitySid", "WA", workspace.activities)
        reject = form.boolean("RejectPendingReservations", default=False)
        self.state.provisioning.update_worker(
            workspace,
            worker,
            if_match=if_match(),
            friendly_name=form.text("FriendlyName"),
            attributes=form.text("Attributes"),
        )
        if activity is not None:
            self.state.reservations.move_worker(worker, workspace, activity, reject=reject)
        return json_response(self.writer.worker(workspace, worker), version=worker.version)

    def _delete(self, workspace_sid: str, worker_sid: str) -> ViewResponse:
        workspace = self.workspace(workspace_sid)
        self.state.removal.delete_worker(workspace, get_or_404(workspace.workers, worker_sid), if_match=if_match())
        return no_content()

    def _list_channels(self, workspace_sid: str, worker_sid: str) -> ViewResponse:
        workspace = self.workspace(workspace_sid)
        rows = get_or_404(workspace.workers, worker_sid).channels.values()
        return self.page("channels", rows, lambda row: self.writer.worker_channel(workspace, row), read_form())

    def _fetch_channel(self, workspace_sid: str, worker_sid: str, name: str) -> ViewResponse:
        workspace = self.workspace(workspace_sid)
        channel = _worker_channel(get_or_404(workspace.workers, worker_sid), name)
        return json_response(self.writer.worker_channel(workspace, channel))

    def _update_channel(self, workspace_sid: str, worker_sid: str, name: str) -> ViewResponse:
        workspace, form = self.workspace(workspace_sid), read_form()
        channel = _worker_channel(get_or_404(workspace.workers, worker_sid), name)
        self.state.provisioning.update_worker_channel(
            workspace, channel, capacity=form.integer("Capacity"), available=form.boolean("Available")
        )
        return json_response(self.writer.worker_channel(workspace, channel))


def _channel(workspace: Workspace, name: str) -> TaskChannel:
    """Return the task channel with this SID or unique name, as paths allow both."""
    for channel in workspace.task_channels.values():
        if name in (channel.sid, channel.unique_name):
            return channel
    raise not_found(request.path)


def _worker_channel(worker: Worker, name: str) -> WorkerChannel:
    for channel in worker.channels.values():
        if name in (channel.sid, channel.task_channel.sid, channel.task_channel.unique_name):
            return channel
    raise not_found(request.path)


def _name(row: TaskQueue | Worker) -> str:
    return row.friendly_name


def _date_created(row: TaskQueue) -> datetime:
    return row.date_created


def _date_status_changed(row: Worker) -> datetime:
    return row.date_status_changed


def _is_in_queue(workspace: Workspace, worker: Worker, queue_sid: str | None, queue_name: str | None) -> bool:
    """Return whether the worker is eligible for a queue with this SID or name; True if neither is given."""
    if queue_sid is None and queue_name is None:
        return True
    return any(
        queue.admits(worker)
        for queue in workspace.task_queues.values()
        if queue.sid == queue_sid or queue.friendly_name == queue_name
    )
