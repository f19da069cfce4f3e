"""A task on its way through its workflow: entering it, waiting in a step, timing out of it, skipping it, leaving.

Sources: https://www.twilio.com/docs/taskrouter/lifecycle-task-workflows-and-assignment, /task-evaluation and
/worker-presence. Where they contradict each other `switches` says which one is followed.
"""

import json
from datetime import datetime, timedelta

from taskrouter_emulator.engine.store import Store
from taskrouter_emulator.engine.transitions import Moves
from taskrouter_emulator.model.records import Task, TaskQueue, TaskStatus, Workflow, Workspace
from taskrouter_emulator.model.routing import known_worker
from taskrouter_emulator.model.steps import Step, first_step, next_step

TIMED_OUT_REASON = "Workflow timed out"
SKIPPED_REASON = "No filter of the workflow was left"
_KNOWN_WORKER_NOT_IN_QUEUE = 40152
_KNOWN_WORKER_NAMED_WRONGLY = 40154
_KNOWN_WORKER_NOT_HERE = 40155


class Journey:
    """Moves waiting tasks from step to step. Only inside a transaction."""

    def __init__(self, store: Store, moves: Moves) -> None:
        self._store = store
        self._moves = moves
        self._newcomers: dict[str, Task] = {}

    def place(self, task: Task) -> None:
        """Chooses the first step of a task that is being created; nobody is told yet."""
        task.evaluated_at = self._store.now
        step = first_step(task.workflow.plan, task.parsed_attributes)
        if task.routing_target is not None and task.routing_target != task.workflow.sid:
            self._pass_by(task, step)
        elif step is not None:
            self._take_place(task, step)

    def begin(self, task: Task) -> None:
        """The task, created or to be evaluated anew, enters its workflow where `place` has put it."""
        self._store.emit(task.workspace, "workflow.entered", task=task)
        if task.task_queue is None:
            self._leave(task, skipped=True)
        else:
            self._arrive(task, None)

    def evaluate_anew(self, workflow: Workflow, workspace: Workspace) -> None:
        """Starts every pending task of the workflow at its beginning again."""
        for task in list(workspace.tasks.values()):
            if task.workflow is workflow and task.status is TaskStatus.PENDING:
                self.start_over(task)

    def start_over(self, task: Task) -> None:
        """Starts one pending task at the beginning of its workflow again. Time in the workflow counts from now."""
        self._moves.lines(task.workspace).remove(task)
        task.task_queue, task.step = None, None
        self.place(task)
        self._store.touch(task)
        self._store.log.append("task_evaluated_anew", task_sid=task.sid)
        self.begin(task)

    def resume(self, task: Task, *, timed_out: bool = False) -> None:
        """A reservation is over and the task waits again: in the same step, or in the next one.

        timed_out: it ended because the worker did not answer in time.
        """
        if task.status is not TaskStatus.PENDING or task.step is None:
            self._moves.line_up(task)
            return
        following = next_step(task.step, task.parsed_attributes, skipped=False)
        if self._is_overdue(task, task.step):
            self._run_out(task, task.step)
        elif timed_out and following is not None and self._store.switches.next_target_after_reservation_timeout:
            self._go_on(task, skipped=False)
        else:
            self._moves.line_up(task)

    def skip_newcomers(self) -> bool:
        """Lets those go on who have just entered a step, found no worker, and whose `skip_if` holds.

        Whether anybody did: then there is something to route again.
        """
        newcomers, self._newcomers = self._newcomers, {}
        skipping = [task for task in newcomers.values() if self._skips(task)]
        for task in skipping:
            self._go_on(task, skipped=True)
        return bool(skipping)

    def _skips(self, task: Task) -> bool:
        if task.status is not TaskStatus.PENDING or task.step is None or task.task_queue is None:
            return False
        skip_if = task.step.target.skip_if
        scope = {"workers": _presence(task.workspace, task.task_queue), "task": task.parsed_attributes}
        return skip_if is not None and skip_if(scope)

    def _pass_by(self, task: Task, step: Step | None) -> None:
        """A task for one worker or one queue waits there, in no step; for a worker, in the workflow's first queue."""
        queue = task.workspace.task_queues.get(task.routing_target or "")
        if queue is None and step is not None:
            queue = task.workspace.task_queues.get(step.target.queue_sid)
        self._enter_queue(task, queue)

    def _take_place(self, task: Task, step: Step) -> None:
        task.step = step
        task.step_entered_at = self._store.now
        if step.target.priority is not None:
            task.priority = step.target.priority
        self._enter_queue(task, task.workspace.task_queues.get(step.target.queue_sid))

    def _enter_queue(self, task: Task, queue: TaskQueue | None) -> None:
        if queue is not task.task_queue:
            task.task_queue = queue
            task.task_queue_entered_date = self._store.now if queue is not None else None

    def _arrive(self, task: Task, previous: TaskQueue | None) -> None:
        if task.step is not None:
            self._store.emit(task.workspace, "workflow.target-matched", task=task, extra=_matched(task.step))
            self._check_known_worker(task)
            self._plan_time_out(task, task.step)
        if previous is not None and previous is not task.task_queue:
            self._store.emit(task.workspace, "task-queue.moved", task=task)
        if previous is not task.task_queue:
            self._store.emit(task.workspace, "task-queue.entered", task=task)
        self._newcomers[task.sid] = task
        self._moves.line_up(task)

    def _go_on(self, task: Task, *, skipped: bool) -> None:
        """To the next step whose queue still exists, or out of the workflow."""
        self._moves.lines(task.workspace).remove(task)
        step = task.step
        while step is not None:
            step = next_step(step, task.parsed_attributes, skipped=skipped)
            if step is not None and step.target.queue_sid in task.workspace.task_queues:
                previous = task.task_queue
                self._take_place(task, step)
                self._store.touch(task)
                self._store.log.append("task_moved_on", task_sid=task.sid, skipped=skipped, step=described(step))
                self._arrive(task, previous)
                return
        self._leave(task, skipped=skipped)

    def _leave(self, task: Task, *, skipped: bool) -> None:
        self._store.emit(task.workspace, "workflow.skipped" if skipped else "workflow.timeout", task=task)
        self._moves.cancel_task(task, SKIPPED_REASON if skipped else TIMED_OUT_REASON)

    def _plan_time_out(self, task: Task, step: Step) -> None:
        if (deadline := self._deadline(task, step)) is not None:
            left_s = (deadline - self._store.now).total_seconds()
            self._store.after(max(left_s, 0.0), lambda: self._time_out(task, step))

    def _time_out(self, task: Task, step: Step) -> None:
        """The step's time is over. Whoever is reserved just now goes on when that is decided, see `resume`."""
        if task.sid in task.workspace.tasks and task.step is step and task.status is TaskStatus.PENDING:
            self._run_out(task, step)

    def _run_out(self, task: Task, step: Step) -> None:
        self._store.log.append("task_queue_timeout", task_sid=task.sid, step=described(step))
        self._store.emit(task.workspace, "task-queue.timeout", task=task)
        self._go_on(task, skipped=False)

    def _is_overdue(self, task: Task, step: Step) -> bool:
        deadline = self._deadline(task, step)
        return deadline is not None and deadline <= self._store.now

    def _deadline(self, task: Task, step: Step) -> datetime | None:
        """When the step's time is over: by the task's age in the workflow, or by the time in this step alone."""
        own_s = step.target.timeout_s
        if own_s is None:
            return None
        if self._store.switches.target_timeouts_accumulate:
            return task.evaluated_at + timedelta(seconds=step.timeouts_s)
        return task.step_entered_at + timedelta(seconds=own_s)

    def _check_known_worker(self, task: Task) -> None:
        """Alerts for a known worker who cannot be reserved; the task waits in the step all the same."""
        if task.step is None or task.step.target.known_worker is None or task.task_queue is None:
            return
        known = task.step.target.known_worker
        named: object = task.parsed_attributes
        for key in known.path:
            named = named.get(key) if isinstance(named, dict) else None
        worker = known_worker(task.workspace, task, task.step.target)
        if named is None or (worker is not None and task.task_queue.admits(worker)):
            return
        if worker is not None:
            code, what = _KNOWN_WORKER_NOT_IN_QUEUE, f"is not in the task queue {task.task_queue.sid}"
        elif isinstance(named, str) and named:
            code, what = _KNOWN_WORKER_NOT_HERE, "is not in this workspace"
        else:
            code, what = _KNOWN_WORKER_NAMED_WRONGLY, "is not the name or SID of a worker"
        self._moves.alert(code, "known_worker", f"The known worker {named!r} {what}", task_sid=task.sid)


def described(step: Step) -> str:
    """The filter's name and the number of the target, for the log."""
    return f"{step.filter.name}, target {step.target_at + 1}"


def _matched(step: Step) -> dict[str, str]:
    expressions = [one.text for one in (step.filter.expression, step.target.expression) if one is not None]
    return {"WorkflowFilterName": step.filter.name, "WorkflowFilterExpression": json.dumps(expressions)}


def _presence(workspace: Workspace, queue: TaskQueue) -> dict[str, int]:
    """`workers.available`, `workers.unavailable` and `workers.<ActivitySid>`: how many of the queue's workers."""
    counted = {"available": 0, "unavailable": 0, **dict.fromkeys(workspace.activities, 0)}
    for worker in workspace.workers.values():
        if queue.admits(worker):
            counted["available" if worker.activity.available else "unavailable"] += 1
            counted[worker.activity.sid] += 1
    return counted
