"""Set-up of a workspace: activities, task channels, task queues, workflows and workers, created and changed.

Sources: https://www.twilio.com/docs/taskrouter/api/workspace and the pages of the other resources beside it.
"""

import json
import re

from taskrouter_emulator.engine.store import Store
from taskrouter_emulator.engine.workflow_progress import WorkflowProgress
from taskrouter_emulator.model import attributes as attribute_text
from taskrouter_emulator.model import events, expressions, workflow_configuration
from taskrouter_emulator.model.errors import invalid
from taskrouter_emulator.model.records import (
    Activity,
    TaskChannel,
    TaskQueue,
    Worker,
    WorkerChannel,
    Workflow,
    Workspace,
)
from taskrouter_emulator.model.workflow_configuration import WorkflowConfiguration

MAX_FRIENDLY_NAME = 64
DEFAULT_RESERVATION_TIMEOUT_S = 120
MAX_RESERVATION_TIMEOUT_S = 86_400
MAX_RESERVED_WORKERS = 50
_DEFAULT_ACTIVITIES = (("Offline", False), ("Unavailable", False), ("Available", True))
_FIFO_ACTIVITIES = (("Offline", False), ("Idle", True), ("Busy", False), ("Reserved", False))
_DEFAULT_CHANNELS = ("default", "voice", "sms", "chat", "video")
_UNIQUE_NAME = re.compile(r"[A-Za-z_$][\w$]*", re.ASCII)


class Provisioning:
    """Creates and changes everything but tasks and reservations. Every method is one transaction."""

    def __init__(self, store: Store, progress: WorkflowProgress) -> None:
        self._store = store
        self._progress = progress

    def create_workspace(
        self,
        friendly_name: str,
        *,
        event_callback_url: str | None = None,
        events_filter: str | None = None,
        multi_task_enabled: bool = True,
        prioritize_queue_order: str = "FIFO",
        template: str = "NONE",
    ) -> Workspace:
        """Create a workspace with Twilio's default activities and task channels; it begins with Offline as default.

        template: FIFO has older activities, and adds a queue and a workflow for everybody.
        """
        with self._store.transaction():
            now = self._store.now
            workspace = Workspace(
                sid=self._store.sids.new("WS"),
                friendly_name=_friendly_name(friendly_name),
                event_callback_url=event_callback_url or None,
                events_filter=events_filter or None,
                multi_task_enabled=multi_task_enabled,
                prioritize_queue_order=prioritize_queue_order,
                date_created=now,
                date_updated=now,
            )
            self._store.workspaces[workspace.sid] = workspace
            self._check_events_filter(workspace)
            self._store.emit(workspace, "workspace.created")
            for name, available in _FIFO_ACTIVITIES if template == "FIFO" else _DEFAULT_ACTIVITIES:
                self.create_activity(workspace, name, available=available)
            for name in _DEFAULT_CHANNELS:
                self.create_task_channel(workspace, name.capitalize(), name)
            offline = next(iter(workspace.activities.values()))
            workspace.default_activity = workspace.timeout_activity = offline
            if template == "FIFO":
                self._add_queue_for_everybody(workspace)
            return workspace

    def _add_queue_for_everybody(self, workspace: Workspace) -> None:
        _, _, busy, reserved = workspace.activities.values()
        queue = self.create_task_queue(
            workspace, "Default Fifo Queue", reservation_activity=reserved, assignment_activity=busy
        )
        routing = {"task_routing": {"filters": [], "default_filter": {"queue": queue.sid}}}
        self.create_workflow(workspace, "Default Fifo Workflow", json.dumps(routing))

    def update_workspace(
        self,
        workspace: Workspace,
        *,
        friendly_name: str | None = None,
        event_callback_url: str | None = None,
        events_filter: str | None = None,
        multi_task_enabled: bool | None = None,
        prioritize_queue_order: str | None = None,
        default_activity: Activity | None = None,
        timeout_activity: Activity | None = None,
    ) -> None:
        """Change the given fields; an empty URL or filter removes it."""
        with self._store.transaction():
            if friendly_name is not None:
                workspace.friendly_name = _friendly_name(friendly_name)
            if event_callback_url is not None:
                workspace.event_callback_url = event_callback_url or None
            if events_filter is not None:
                workspace.events_filter = events_filter or None
            if multi_task_enabled is not None:
                workspace.multi_task_enabled = multi_task_enabled
            workspace.prioritize_queue_order = prioritize_queue_order or workspace.prioritize_queue_order
            workspace.default_activity = default_activity or workspace.default_activity
            workspace.timeout_activity = timeout_activity or workspace.timeout_activity
            workspace.date_updated = self._store.now
            if events_filter is not None:
                self._check_events_filter(workspace)
            self._store.emit(workspace, "workspace.updated")
            self._store.changed(workspace)

    def create_activity(self, workspace: Workspace, friendly_name: str, *, available: bool = False) -> Activity:
        with self._store.transaction():
            now = self._store.now
            activity = Activity(self._store.sids.new("WA"), _friendly_name(friendly_name), available, now, now)
            workspace.activities[activity.sid] = activity
            self._store.emit(workspace, "activity.created", about=events.activity_block(activity))
            return activity

    def rename_activity(self, workspace: Workspace, activity: Activity, friendly_name: str) -> None:
        """Rename an activity; its `Available` cannot be changed."""
        with self._store.transaction():
            activity.friendly_name = _friendly_name(friendly_name)
            activity.date_updated = self._store.now
            self._store.emit(workspace, "activity.updated", about=events.activity_block(activity))

    def create_task_channel(
        self, workspace: Workspace, friendly_name: str, unique_name: str, *, optimized: bool = False
    ) -> TaskChannel:
        """Create a task channel, which every worker of the workspace gets."""
        if not _UNIQUE_NAME.fullmatch(unique_name):
            raise invalid("UniqueName takes letters, digits, _ and $, and does not start with a digit")
        with self._store.transaction():
            if any(channel.unique_name == unique_name for channel in workspace.task_channels.values()):
                raise invalid(f"A task channel with UniqueName {unique_name} already exists")
            now = self._store.now
            channel = TaskChannel(
                self._store.sids.new("TC"), _friendly_name(friendly_name), unique_name, optimized, now, now
            )
            workspace.task_channels[channel.sid] = channel
            for worker in workspace.workers.values():
                self._add_channel(worker, channel)
            self._store.emit(workspace, "task-channel.created", about=events.task_channel_block(channel))
            return channel

    def update_task_channel(
        self,
        workspace: Workspace,
        channel: TaskChannel,
        *,
        friendly_name: str | None = None,
        optimized: bool | None = None,
    ) -> None:
        with self._store.transaction():
            if friendly_name is not None:
                channel.friendly_name = _friendly_name(friendly_name)
            if optimized is not None:
                channel.channel_optimized_routing = optimized
            channel.date_updated = self._store.now
            self._store.emit(workspace, "task-channel.updated", about=events.task_channel_block(channel))

    def create_task_queue(
        self,
        workspace: Workspace,
        friendly_name: str,
        *,
        target_workers: str | None = None,
        max_reserved_workers: int = 1,
        task_order: str = "FIFO",
        reservation_activity: Activity | None = None,
        assignment_activity: Activity | None = None,
    ) -> TaskQueue:
        """Create a task queue. target_workers: an expression; absent means all (`1==1`), empty means none."""
        with self._store.transaction():
            now = self._store.now
            queue = TaskQueue(
                sid=self._store.sids.new("WQ"),
                friendly_name=_required(friendly_name, "FriendlyName"),
                target_workers=self._expression("1==1" if target_workers is None else target_workers),
                max_reserved_workers=_between(max_reserved_workers, 1, MAX_RESERVED_WORKERS, "MaxReservedWorkers"),
                task_order=task_order,
                date_created=now,
                date_updated=now,
                reservation_activity=reservation_activity,
                assignment_activity=assignment_activity,
            )
            workspace.task_queues[queue.sid] = queue
            self._store.emit(workspace, "task-queue.created", about=events.task_queue_block(queue))
            return queue

    def update_task_queue(
        self,
        workspace: Workspace,
        queue: TaskQueue,
        *,
        friendly_name: str | None = None,
        target_workers: str | None = None,
        reservation_activity: Activity | None = None,
        assignment_activity: Activity | None = None,
    ) -> None:
        """Change the given fields; `Tasks.reorder_queue` changes the order of its tasks."""
        with self._store.transaction():
            if target_workers is not None:
                queue.target_workers = self._expression(target_workers)
                self._store.emit(workspace, "task-queue.expression.updated", about=events.task_queue_block(queue))
            queue.friendly_name = friendly_name or queue.friendly_name
            queue.reservation_activity = reservation_activity or queue.reservation_activity
            queue.assignment_activity = assignment_activity or queue.assignment_activity
            queue.date_updated = self._store.now
            self._store.changed(workspace)

    def create_workflow(
        self,
        workspace: Workspace,
        friendly_name: str,
        configuration: str,
        *,
        assignment_callback_url: str | None = None,
        fallback_assignment_callback_url: str | None = None,
        task_reservation_timeout: int = DEFAULT_RESERVATION_TIMEOUT_S,
    ) -> Workflow:
        with self._store.transaction():
            now = self._store.now
            workflow = Workflow(
                sid=self._store.sids.new("WW"),
                friendly_name=_required(friendly_name, "FriendlyName"),
                configuration=configuration,
                plan=self._plan(workspace, configuration),
                assignment_callback_url=assignment_callback_url or None,
                fallback_assignment_callback_url=fallback_assignment_callback_url or None,
                task_reservation_timeout=_reservation_timeout(task_reservation_timeout),
                date_created=now,
                date_updated=now,
            )
            workspace.workflows[workflow.sid] = workflow
            self._store.emit(workspace, "workflow.created", about=events.workflow_block(workflow))
            return workflow

    def update_workflow(
        self,
        workspace: Workspace,
        workflow: Workflow,
        *,
        friendly_name: str | None = None,
        configuration: str | None = None,
        assignment_callback_url: str | None = None,
        fallback_assignment_callback_url: str | None = None,
        task_reservation_timeout: int | None = None,
        re_evaluate_tasks: bool = False,
    ) -> None:
        """Change the given fields; an empty URL removes it.

        re_evaluate_tasks: restart pending tasks; else they keep the configuration with which they began.
        """
        with self._store.transaction():
            if configuration is not None:
                workflow.plan = self._plan(workspace, configuration)
                workflow.configuration = configuration
            if task_reservation_timeout is not None:
                workflow.task_reservation_timeout = _reservation_timeout(task_reservation_timeout)
            if assignment_callback_url is not None:
                workflow.assignment_callback_url = assignment_callback_url or None
            if fallback_assignment_callback_url is not None:
                workflow.fallback_assignment_callback_url = fallback_assignment_callback_url or None
            workflow.friendly_name = friendly_name or workflow.friendly_name
            workflow.date_updated = self._store.now
            self._store.emit(workspace, "workflow.updated", about=events.workflow_block(workflow))
            if re_evaluate_tasks:
                self._progress.re_evaluate(workflow, workspace)

    def create_worker(
        self,
        workspace: Workspace,
        friendly_name: str,
        *,
        attributes: str = "{}",
        activity: Activity | None = None,
    ) -> Worker:
        """Create a worker in this activity, else in the workspace's default one; the switches have the capacity."""
        with self._store.transaction():
            _check_worker_name(workspace, friendly_name, None)
            initial_activity = activity or workspace.default_activity
            if initial_activity is None:
                raise invalid("The workspace has no default activity, so ActivitySid is required")
            now = self._store.now
            worker = Worker(
                sid=self._store.sids.new("WK"),
                ordinal=self._store.ordinal(),
                friendly_name=friendly_name,
                attributes=attribute_text.check(attributes, lax=self._store.switches.lax_attributes),
                parsed_attributes=attribute_text.as_object(attributes),
                activity=initial_activity,
                date_created=now,
                date_updated=now,
                date_status_changed=now,
                idle_since=now,
            )
            for channel in workspace.task_channels.values():
                self._add_channel(worker, channel)
            workspace.workers[worker.sid] = worker
            self._store.emit(workspace, "worker.created", worker=worker)
            self._store.changed(workspace)
            return worker

    def update_worker(
        self,
        workspace: Workspace,
        worker: Worker,
        *,
        if_match: str | None = None,
        friendly_name: str | None = None,
        attributes: str | None = None,
    ) -> None:
        """Change name and attributes; `Reservations.move_worker` changes the activity.

        Raises ApiError 412/20412 for a stale `If-Match`.
        """
        with self._store.transaction():
            self._store.check_version(worker, if_match)
            if friendly_name is None and attributes is None:
                return
            if friendly_name is not None:
                _check_worker_name(workspace, friendly_name, worker)
                worker.friendly_name = friendly_name
            if attributes is not None:
                worker.attributes = attribute_text.check(attributes, lax=self._store.switches.lax_attributes)
                worker.parsed_attributes = attribute_text.as_object(attributes)
            self._store.touch(worker)
            if attributes is not None:
                self._store.emit(workspace, "worker.attributes.update", worker=worker)
            self._store.changed(workspace)

    def update_worker_channel(
        self,
        workspace: Workspace,
        channel: WorkerChannel,
        *,
        capacity: int | None = None,
        available: bool | None = None,
    ) -> None:
        with self._store.transaction():
            previous, worker = channel.configured_capacity, channel.worker
            if capacity is not None:
                channel.configured_capacity = _between(capacity, 0, 2**31 - 1, "Capacity")
            was_available = channel.available
            if available is not None:
                channel.available = available
            channel.date_updated = self._store.now
            self._store.touch(worker)
            extra = events.worker_channel_block(channel, previous)
            if channel.configured_capacity != previous:
                self._store.emit(workspace, "worker.capacity.update", worker=worker, extra=extra)
            if channel.available is not was_available:
                self._store.emit(workspace, "worker.channel.availability.update", worker=worker, extra=extra)
            self._store.changed(workspace)

    def _add_channel(self, worker: Worker, channel: TaskChannel) -> None:
        now = self._store.now
        worker.channels[channel.sid] = WorkerChannel(
            sid=self._store.sids.new("WC"),
            worker=worker,
            task_channel=channel,
            configured_capacity=self._store.switches.default_channel_capacity,
            available=True,
            date_created=now,
            date_updated=now,
        )

    def _plan(self, workspace: Workspace, text: str) -> WorkflowConfiguration:
        """Return the parsed configuration; its remarks go into the alert log."""
        plan = workflow_configuration.read(text)
        if missing := sorted(plan.queue_sids - set(workspace.task_queues)):
            raise invalid(f"Configuration names the task queue {missing[0]}, which does not exist")
        for remark in plan.remarks:
            self._add_alert("workflow_configuration", remark)
        return plan

    def _expression(self, text: str) -> str:
        try:
            expression = expressions.parse(text)
        except expressions.MalformedExpression as exc:
            raise invalid(f"TargetWorkers: {exc}") from exc
        if expression.assumes_precedence:
            self._add_alert("precedence", f"TargetWorkers mixes AND and OR without parentheses: {text}")
        return text

    def _check_events_filter(self, workspace: Workspace) -> None:
        if unknown := sorted(workspace.subscribed_events - events.EVENT_TYPES):
            self._add_alert("events_filter", f"EventsFilter names unknown event types: {', '.join(unknown)}")

    def _add_alert(self, alert: str, message: str) -> None:
        """Log an alert on a legal but suspicious configuration, without a code, since Twilio has none for it."""
        self._store.log.append("alert", code=None, alert=alert, message=message)


def _required(text: str, parameter: str) -> str:
    if not text:
        raise invalid(f"{parameter} must not be empty")
    return text


def _friendly_name(text: str) -> str:
    if len(text) > MAX_FRIENDLY_NAME:
        raise invalid(f"FriendlyName must not be longer than {MAX_FRIENDLY_NAME} characters")
    return _required(text, "FriendlyName")


def _check_worker_name(workspace: Workspace, friendly_name: str, existing: Worker | None) -> None:
    folded_name = _friendly_name(friendly_name).casefold()
    for worker in workspace.workers.values():
        if worker is not existing and worker.friendly_name.casefold() == folded_name:
            raise invalid(f"A worker with FriendlyName {friendly_name} already exists")


def _between(number: int, minimum: int, maximum: int, parameter: str) -> int:
    if not minimum <= number <= maximum:
        raise invalid(f"{parameter} must be between {minimum} and {maximum}")
    return number


def _reservation_timeout(seconds: int) -> int:
    return _between(seconds, 1, MAX_RESERVATION_TIMEOUT_S, "TaskReservationTimeout")
