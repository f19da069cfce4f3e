"""Progress of a task through its workflow: entering, waiting in a step, timing out, skipping, leaving.

Sources: https://www.twilio.com/docs/taskrouter/lifecycle-task-workflows-and-assignment, /task-evaluation and
/worker-presence. Where they contradict each other, `model.switches` decides.
"""

import json
from datetime import datetime, timedelta

from taskrouter_emulator.engine.store import Store
from taskrouter_emulator.engine.transitions import Transitions
from taskrouter_emulator.model.records import Task, TaskQueue, TaskStatus, Workflow, Workspace
from taskrouter_emulator.model.routing import known_worker
from taskrouter_emulator.model.steps import RoutingStep, first_step, next_step

TIMED_OUT_REASON = "Workflow timed out"
SKIPPED_REASON = "No filter of the workflow was left"
_KNOWN_WORKER_NOT_IN_QUEUE = 40152
_KNOWN_WORKER_INVALID = 40154
_KNOWN_WORKER_MISSING = 40155


class WorkflowProgress:
    """Moves waiting tasks from step to step. Methods need a transaction."""

    def __init__(self, store: Store, transitions: Transitions) -> None:
        self._store = store
        self._transitions = transitions
        self._new_in_step: dict[str, Task] = {}

    def choose_first_step(self, task: Task) -> None:
        """Choose the first step of a task that is being created; no event is emitted yet."""
        task.evaluated_at = self._store.now
        step = first_step(task.workflow.plan, task.parsed_attributes)
        if task.chosen_queue is not None or task.target_worker is not None:
            self._route_directly(task, step)
        elif step is not None:
            self._enter_step(task, step)

    def enter_workflow(self, task: Task) -> None:
        """Let a task, created or to be re-evaluated, enter the step that `choose_first_step` has chosen."""
        self._store.emit(task.workspace, "workflow.entered", task=task)
        if task.task_queue is None:
            self._leave(task, skipped=True)
        else:
            self._begin_waiting(task, None)

    def re_evaluate(self, workflow: Workflow, workspace: Workspace) -> None:
        """Restart every pending task of the workflow."""
        for task in list(workspace.tasks.values()):
            if task.workflow is workflow and task.status is TaskStatus.PENDING:
                self.restart(task)

    def restart(self, task: Task) -> None:
        """Restart one pending task at the beginning of its workflow. Its age in the workflow counts from now."""
        self._transitions.backlog(task.workspace).remove(task)
        task.task_queue, task.step = None, None
        self.choose_first_step(task)
        self._store.touch(task)
        self._store.log.append("task_evaluated_anew", task_sid=task.sid)
        self.enter_workflow(task)

    def resume(self, task: Task, *, timed_out: bool = False) -> None:
        """Let the task wait again after a reservation, in the same step or in the next.

        timed_out: the reservation ended because the worker did not answer in time.
        """
        if task.status is not TaskStatus.PENDING or task.step is None:
            self._transitions.enqueue(task)
            return
        following = next_step(task.step, task.parsed_attributes, skipped=False)
        if self._is_overdue(task, task.step):
            self._time_out_step(task, task.step)
        elif timed_out and following is not None and self._store.switches.next_target_after_reservation_timeout:
            self._go_to_next_step(task, skipped=False)
        else:
            self._transitions.enqueue(task)

    def apply_skip_if(self) -> bool:
        """Move tasks on that have just entered a step, found no worker, and whose `skip_if` is true.

        Returns whether there was any: then the workspace has to be routed again.
        """
        newcomers, self._new_in_step = self._new_in_step, {}
        skipping = [task for task in newcomers.values() if self._skips(task)]
        for task in skipping:
            self._go_to_next_step(task, skipped=True)
        return bool(skipping)

    def _skips(self, task: Task) -> bool:
        if task.status is not TaskStatus.PENDING or task.step is None or task.task_queue is None:
            return False
        skip_if = task.step.target.skip_if
        scope = {"workers": _worker_presence(task.workspace, task.task_queue), "task": task.parsed_attributes}
        return skip_if is not None and skip_if(scope)

    def _route_directly(self, task: Task, step: RoutingStep | None) -> None:
        """Put a task into the queue it was created in; one for a worker alone, into the workflow's first queue.

        Neither has a step.
        """
        queue = task.chosen_queue
        if queue is None and step is not None:
            queue = task.workspace.task_queues.get(step.target.queue_sid)
        self._enter_queue(task, queue)

    def _enter_step(self, task: Task, step: RoutingStep) -> None:
        task.step = step
        task.step_entered_at = self._store.now
        if step.target.priority is not None:
            task.priority = step.target.priority
        self._enter_queue(task, task.workspace.task_queues.get(step.target.queue_sid))

    def _enter_queue(self, task: Task, queue: TaskQueue | None) -> None:
        if queue is not task.task_queue:
            task.task_queue = queue
            task.task_queue_entered_date = self._store.now if queue is not None else None

    def _begin_waiting(self, task: Task, previous: TaskQueue | None) -> None:
        if task.step is not None:
            self._store.emit(task.workspace, "workflow.target-matched", task=task, extra=_target_parameters(task.step))
            self._check_known_worker(task)
            self._schedule_timeout(task, task.step)
        if previous is not None and previous is not task.task_queue:
            self._store.emit(task.workspace, "task-queue.moved", task=task)
        if previous is not task.task_queue:
            self._store.emit(task.workspace, "task-queue.entered", task=task)
        self._new_in_step[task.sid] = task
        self._transitions.enqueue(task)

    def _go_to_next_step(self, task: Task, *, skipped: bool) -> None:
        """Move the task to the next step whose queue still exists, or out of the workflow."""
        self._transitions.backlog(task.workspace).remove(task)
        step = task.step
        while step is not None:
            step = next_step(step, task.parsed_attributes, skipped=skipped)
            if step is not None and step.target.queue_sid in task.workspace.task_queues:
                previous = task.task_queue
                self._enter_step(task, step)
                self._store.touch(task)
                self._store.log.append("task_moved_on", task_sid=task.sid, skipped=skipped, step=step_label(step))
                self._begin_waiting(task, previous)
                return
        self._leave(task, skipped=skipped)

    def _leave(self, task: Task, *, skipped: bool) -> None:
        self._store.emit(task.workspace, "workflow.skipped" if skipped else "workflow.timeout", task=task)
        self._transitions.cancel_task(task, SKIPPED_REASON if skipped else TIMED_OUT_REASON)

    def _schedule_timeout(self, task: Task, step: RoutingStep) -> None:
        if (deadline := self._deadline(task, step)) is not None:
            remaining_s = (deadline - self._store.now).total_seconds()
            self._store.after(max(remaining_s, 0.0), lambda: self._on_timeout(task, step))

    def _on_timeout(self, task: Task, step: RoutingStep) -> None:
        """End the step. A task that is reserved just now goes on when the reservation ends, see `resume`."""
        if task.sid in task.workspace.tasks and task.step is step and task.status is TaskStatus.PENDING:
            self._time_out_step(task, step)

    def _time_out_step(self, task: Task, step: RoutingStep) -> None:
        self._store.log.append("task_queue_timeout", task_sid=task.sid, step=step_label(step))
        self._store.emit(task.workspace, "task-queue.timeout", task=task)
        self._go_to_next_step(task, skipped=False)

    def _is_overdue(self, task: Task, step: RoutingStep) -> bool:
        deadline = self._deadline(task, step)
        return deadline is not None and deadline <= self._store.now

    def _deadline(self, task: Task, step: RoutingStep) -> datetime | None:
        """Return the end of the step: by the task's age in the workflow, or by the time in this step alone."""
        timeout_s = step.target.timeout_s
        if timeout_s is None:
            return None
        if self._store.switches.target_timeouts_accumulate:
            return task.evaluated_at + timedelta(seconds=step.timeouts_s)
        return task.step_entered_at + timedelta(seconds=timeout_s)

    def _check_known_worker(self, task: Task) -> None:
        """Raise an alert for a known worker who cannot be reserved; the task waits in the step all the same."""
        if task.step is None or task.step.target.known_worker is None or task.task_queue is None:
            return
        known_worker_target = task.step.target.known_worker
        value: object = task.parsed_attributes
        for key in known_worker_target.path:
            value = value.get(key) if isinstance(value, dict) else None
        worker = known_worker(task.workspace, task, task.step.target)
        if value is None or (worker is not None and task.task_queue.admits(worker)):
            return
        if worker is not None:
            code, problem = _KNOWN_WORKER_NOT_IN_QUEUE, f"is not in the task queue {task.task_queue.sid}"
        elif isinstance(value, str) and value:
            code, problem = _KNOWN_WORKER_MISSING, "is not in this workspace"
        else:
            code, problem = _KNOWN_WORKER_INVALID, "is not the name or SID of a worker"
        self._transitions.alert(code, "known_worker", f"The known worker {value!r} {problem}", task_sid=task.sid)


def step_label(step: RoutingStep) -> str:
    """Return the filter's name and the target's number, for the log."""
    return f"{step.filter.name}, target {step.target_at + 1}"


def _target_parameters(step: RoutingStep) -> dict[str, str]:
    """Return the names and expressions of filter and target, as recorded: the filter's is in a JSON list."""
    filters = [step.filter.expression.text] if step.filter.expression is not None else []
    target = {"WorkflowFilterTargetExpression": step.target.expression.text} if step.target.expression else {}
    return {"WorkflowFilterName": step.filter.name, "WorkflowFilterExpression": json.dumps(filters)} | target


def _worker_presence(workspace: Workspace, queue: TaskQueue) -> dict[str, int]:
    """Return how many of the queue's workers are `available`, `unavailable`, and in each activity, by its SID."""
    counts = {"available": 0, "unavailable": 0, **dict.fromkeys(workspace.activities, 0)}
    for worker in workspace.workers.values():
        if queue.admits(worker):
            counts["available" if worker.activity.available else "unavailable"] += 1
            counts[worker.activity.sid] += 1
    return counts
