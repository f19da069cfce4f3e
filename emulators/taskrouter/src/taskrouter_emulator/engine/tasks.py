"""Tasks: created, changed, deleted, and sorted again when their queue changes.

Sources: https://www.twilio.com/docs/taskrouter/api/task and https://www.twilio.com/docs/taskrouter/limits
"""

from datetime import UTC, datetime

from taskrouter_emulator.engine.store import Store
from taskrouter_emulator.engine.transitions import Transitions
from taskrouter_emulator.engine.workflow_progress import WorkflowProgress
from taskrouter_emulator.model import attributes as attribute_text
from taskrouter_emulator.model.errors import invalid
from taskrouter_emulator.model.records import Task, TaskChannel, TaskQueue, TaskStatus, Worker, Workflow, Workspace

DEFAULT_TASK_TIMEOUT_S = 86_400
MAX_TASK_TIMEOUT_S = 1_209_600
MAX_PRIORITY = 2_147_483_647
TTL_REASON = "Task TTL Exceeded"

_WAITING = (TaskStatus.PENDING, TaskStatus.RESERVED)
_EARLIEST_START = datetime(1900, 1, 1, tzinfo=UTC)

Destination = Worker | TaskQueue | Workflow


class Tasks:
    """Creates and changes tasks. Every public method is one transaction."""

    def __init__(self, store: Store, transitions: Transitions, progress: WorkflowProgress) -> None:
        self._store = store
        self._transitions = transitions
        self._progress = progress

    def create_task(
        self,
        workspace: Workspace,
        *,
        attributes: str = "{}",
        workflow: Workflow | None = None,
        task_channel: TaskChannel | None = None,
        priority: int = 0,
        timeout: int = DEFAULT_TASK_TIMEOUT_S,
        virtual_start_time: datetime | None = None,
        routing_target: Destination | None = None,
        task_queue: TaskQueue | None = None,
        ignore_capacity: bool | None = None,
    ) -> Task:
        """Create a pending task in the step that its workflow chooses. It is routed when the transaction ends.

        workflow: required unless the workspace has exactly one. task_channel: the one named `default` if absent.
        routing_target: a worker or a queue bypasses the workflow's filters, a workflow is the one to use.
        task_queue: the queue in which the task belongs, whatever the workflow says; the target says who gets it.
        ignore_capacity: for a worker only; True if absent.
        """
        with self._store.transaction():
            selected_workflow = (
                routing_target if isinstance(routing_target, Workflow) else workflow or _only_workflow(workspace)
            )
            _check_destination(routing_target, workflow, task_queue)
            now = self._store.now
            target_worker = routing_target if isinstance(routing_target, Worker) else None
            if ignore_capacity is not None and target_worker is None:
                raise invalid("IgnoreCapacity can only be used when RoutingTarget is a worker")
            task = Task(
                sid=self._store.sids.new("WT"),
                ordinal=self._store.ordinal(),
                workspace=workspace,
                workflow=selected_workflow,
                task_queue=None,
                task_channel=task_channel or find_task_channel(workspace, "default"),
                attributes=attribute_text.check(attributes, lax=self._store.switches.lax_attributes),
                priority=_priority(priority),
                timeout=_task_timeout(timeout),
                virtual_start_time=self._start_time(virtual_start_time) if virtual_start_time else now,
                date_created=now,
                date_updated=now,
                evaluated_at=now,
                step_entered_at=now,
                routing_target=routing_target.sid if routing_target is not None else None,
                target_worker=target_worker,
                chosen_queue=routing_target if isinstance(routing_target, TaskQueue) else task_queue,
                ignore_capacity=ignore_capacity is not False if target_worker is not None else None,
            )
            self._progress.choose_first_step(task)
            if task.task_queue is None and self._store.switches.unmatched_tasks_are_refused:
                raise invalid("The task matches no filter of the workflow, which has no default filter")
            workspace.tasks[task.sid] = task
            self._store.log.append("task_created", task_sid=task.sid, task_channel=task.task_channel.unique_name)
            self._store.emit(workspace, "task.created", task=task)
            self._progress.enter_workflow(task)
            self._store.after(task.timeout, lambda: self._expire(task))
            return task

    def update_task(
        self,
        task: Task,
        *,
        if_match: str | None = None,
        attributes: str | None = None,
        assignment_status: str | None = None,
        reason: str | None = None,
        priority: int | None = None,
        task_channel: TaskChannel | None = None,
        virtual_start_time: datetime | None = None,
        by: str = "rest",
    ) -> None:
        """Change the given fields; all, or none if any is refused.

        by: the writer's name, for the log. Raises ApiError: 412/20412 for a stale `If-Match`, else 400/20001.
        """
        with self._store.transaction():
            self._store.check_version(task, if_match)
            if attributes is not None:
                attribute_text.check(attributes, lax=self._store.switches.lax_attributes)
            if attributes is not None and assignment_status in ("wrapping", "completed"):
                raise invalid("Attributes and AssignmentStatus cannot be updated in one request")
            if priority is not None:
                _priority(priority)
            if virtual_start_time is not None:
                self._start_time(virtual_start_time)
            if assignment_status is not None:
                self._check_transition(task, assignment_status)
            reorders = priority is not None or task_channel is not None or virtual_start_time is not None
            if reorders or attributes is not None:
                self._store.touch(task)
            if reorders:
                self._reorder(task, priority, task_channel, virtual_start_time)
            if attributes is not None:
                self._write_attributes(task, attributes, by)
            if assignment_status is not None:
                self._change_status(task, assignment_status, reason)

    def write_member(self, task: Task, key: str, value: object, by: str) -> None:
        """Set one top-level member of the task's attributes, as TaskRouter or another writer does.

        Attributes that are not a JSON object, or would become too long, are left unchanged.
        """
        with self._store.transaction():
            try:
                text = attribute_text.with_member(task.attributes, key, value)
            except (ValueError, RecursionError):
                return
            if len(text) <= attribute_text.MAX_CHARACTERS:
                self._store.touch(task)
                self._write_attributes(task, text, by)

    def delete_task(self, task: Task, *, if_match: str | None = None) -> None:
        """Delete the task; a pending reservation is canceled, an accepted one completed."""
        with self._store.transaction():
            self._store.check_version(task, if_match)
            self._transitions.remove_task(task, "task.deleted")

    def reorder_queue(
        self, workspace: Workspace, queue: TaskQueue, *, task_order: str | None, max_reserved_workers: int | None
    ) -> None:
        """Change the order in which a queue hands out its tasks, and sort the waiting ones again."""
        with self._store.transaction():
            waiting = [
                task for task in workspace.tasks.values() if task.task_queue is queue and task.status in _WAITING
            ]
            for task in waiting:
                self._transitions.backlog(workspace).remove(task)
            queue.task_order = task_order or queue.task_order
            queue.max_reserved_workers = max_reserved_workers or queue.max_reserved_workers
            for task in waiting:
                self._transitions.enqueue(task)

    def _check_transition(self, task: Task, assignment_status: str) -> None:
        subject = f"task {task.sid} in workspace {task.workspace.sid} for account {self._store.account_sid}"
        match assignment_status:
            case "canceled":
                if task.status not in _WAITING:
                    raise invalid(f"Cannot cancel {subject} because it is not pending or reserved.")
            case "wrapping":
                if task.status is not TaskStatus.ASSIGNED:
                    raise invalid(f"Cannot wrap up {subject} because it's not currently assigned")
            case "completed":
                if task.status not in (TaskStatus.ASSIGNED, TaskStatus.WRAPPING):
                    raise invalid(f"Cannot complete {subject} because it is not currently assigned.")
            case _:
                raise invalid(f"AssignmentStatus cannot be set to {assignment_status}")

    def _change_status(self, task: Task, assignment_status: str, reason: str | None) -> None:
        match assignment_status:
            case "canceled":
                self._transitions.cancel_task(task, reason)
            case "wrapping":
                self._transitions.wrap_task(task, reason)
            case _:
                self._transitions.complete_task(task, reason)

    def _expire(self, task: Task) -> None:
        if task.sid in task.workspace.tasks and task.status in _WAITING:
            self._transitions.cancel_task(task, TTL_REASON)

    def _reorder(self, task: Task, priority: int | None, channel: TaskChannel | None, start: datetime | None) -> None:
        """Change what the task is sorted by; a priority that its routing step sets stays."""
        self._transitions.backlog(task.workspace).remove(task)
        changes = {"priority": priority, "task_channel": channel, "virtual_start_time": start}
        if priority is not None and (task.step is None or task.step.target.priority is None):
            task.priority = priority
        task.task_channel = channel or task.task_channel
        task.virtual_start_time = start or task.virtual_start_time
        self._transitions.enqueue(task)
        changed = [name for name, value in changes.items() if value is not None]
        self._store.log.append("task_updated", task_sid=task.sid, version=task.version, what=changed)

    def _write_attributes(self, task: Task, text: str, by: str) -> None:
        task.attributes = text
        self._store.log.append("attributes_written", task_sid=task.sid, version=task.version, by=by, length=len(text))
        self._store.emit(task.workspace, "task.updated", task=task)
        if self._store.switches.attributes_are_evaluated_anew and task.status is TaskStatus.PENDING:
            self._progress.restart(task)

    def _start_time(self, instant: datetime) -> datetime:
        if instant > self._store.now:
            raise invalid("VirtualStartTime must not be in the future")
        if instant < _EARLIEST_START:
            raise invalid("VirtualStartTime must not be before 1900")
        return instant


def find_task_channel(workspace: Workspace, name: str) -> TaskChannel:
    """Return the task channel with this SID or unique name. Raises ApiError 400/20001 if there is none."""
    for channel in workspace.task_channels.values():
        if name in (channel.sid, channel.unique_name):
            return channel
    raise invalid(f"There is no task channel {name}")


def _only_workflow(workspace: Workspace) -> Workflow:
    if len(workspace.workflows) != 1:
        raise invalid("WorkflowSid is required unless the workspace has exactly one workflow")
    return next(iter(workspace.workflows.values()))


def _check_destination(
    routing_target: Destination | None, workflow: Workflow | None, task_queue: TaskQueue | None
) -> None:
    """Refuse parameters of which one would have to be ignored. Twilio does not document such requests."""
    if isinstance(routing_target, Workflow) and workflow not in (None, routing_target):
        raise invalid("RoutingTarget and WorkflowSid name two workflows")
    if isinstance(routing_target, TaskQueue) and task_queue not in (None, routing_target):
        raise invalid("RoutingTarget and TaskQueueSid name two task queues")


def _priority(number: int) -> int:
    if not 0 <= number <= MAX_PRIORITY:
        raise invalid(f"Priority must be between 0 and {MAX_PRIORITY}")
    return number


def _task_timeout(seconds: int) -> int:
    if not 1 <= seconds <= MAX_TASK_TIMEOUT_S:
        raise invalid(f"Timeout must be between 1 and {MAX_TASK_TIMEOUT_S}")
    return seconds
