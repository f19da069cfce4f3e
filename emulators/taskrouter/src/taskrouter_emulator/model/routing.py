"""Routing: the order of waiting tasks, and the next worker for each.

Task order: highest priority, then oldest virtual start time; in a LIFO queue the newest, whatever its priority; between
queues of both kinds, those that the workspace's `prioritize_queue_order` names come first.
Worker order: the target's `order_by`, then the longest time without a task.
Sources: https://www.twilio.com/docs/taskrouter/queue-ordering-last-first-out-lifo-first-first-out-fifo,
https://www.twilio.com/docs/taskrouter/order-workers, https://www.twilio.com/docs/taskrouter/multitasking
"""

import heapq
from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass, field

from taskrouter_emulator.model.expressions import look_up
from taskrouter_emulator.model.records import Task, TaskQueue, Worker, Workspace
from taskrouter_emulator.model.workflow_configuration import FilterTarget

_Key = tuple[float, ...]
_GroupKey = tuple[str, str, int]


class Backlog:
    """Waiting tasks of one workspace, grouped by queue, channel and routing step.

    The tasks of a group mostly wait for the same workers: if the first finds none, the rest finds none either, so a
    pass costs as much as there are groups, however many tasks wait. Only where workers are chosen by the task's own
    attributes is every task of the group tried.
    """

    def __init__(self) -> None:
        self._groups: dict[_GroupKey, _BacklogGroup] = {}
        self._positions: dict[str, tuple[_BacklogGroup, _Key]] = {}

    def add(self, task: Task) -> None:
        """Add a task, or move it to its current group; a task without a queue is not added."""
        self.remove(task)
        if task.task_queue is not None:
            group = self._groups.setdefault(_group_key(task), _BacklogGroup(task.task_queue))
            self._positions[task.sid] = group, group.add(task)

    def remove(self, task: Task) -> None:
        """Remove a task; nothing happens if it is not in the backlog."""
        if (entry := self._positions.pop(task.sid, None)) is not None:
            group, position = entry
            group.remove(position)

    @property
    def waiting(self) -> list[Task]:
        """All tasks in the backlog."""
        return [task for group in self._groups.values() for _, task in group.entries]

    def matches(self, workspace: Workspace, *, round_robin: bool = False) -> Iterator[tuple[Task, Worker]]:
        """Yield pairs of a task and its worker, most urgent first, until no waiting task finds a worker.

        A yielded task has left the backlog; before asking for the next pair the caller takes the worker's capacity, and
        adds the task again if it needs more workers. round_robin: choose the worker reserved longest ago, not the one
        who has been idle longest.
        """
        self._groups = {key: group for key, group in self._groups.items() if group.entries}
        if (
            not any(_is_ready(worker, workspace) for worker in workspace.workers.values())
            and not self._has_unconditional_task
        ):
            return
        heads = [(group.urgency(workspace, 0), at, group, 0) for at, group in enumerate(self._groups.values())]
        heapq.heapify(heads)
        while heads:
            _, at, group, index = heapq.heappop(heads)
            task = group.entries[index][1]
            worker = next_worker(workspace, task, round_robin=round_robin)
            if worker is not None:
                self.remove(task)
                yield task, worker
            elif _is_like_its_group(task) or not _has_free_worker(workspace, task):
                continue
            else:
                index += 1
            if index < len(group.entries):
                heapq.heappush(heads, (group.urgency(workspace, index), at, group, index))

    @property
    def _has_unconditional_task(self) -> bool:
        """True if a task waits for a worker whose activity and capacity are ignored."""
        return any(task.ignore_capacity for group in self._groups.values() for _, task in group.entries[:1])


def next_worker(workspace: Workspace, task: Task, *, round_robin: bool = False) -> Worker | None:
    """Return the worker to reserve for this task, None if no worker is eligible now."""
    target = task.step.target if task.step is not None else None

    def idle_order(worker: Worker) -> _Key:
        return (worker.last_reserved,) if round_robin else (worker.idle_since.timestamp(), worker.ordinal)

    def order(worker: Worker) -> tuple[list[_Key], _Key]:
        return (_preference(worker, target) if target is not None else []), idle_order(worker)

    return min(_eligible(workspace, task, target), key=order, default=None)


def known_worker(workspace: Workspace, task: Task, target: FilterTarget) -> Worker | None:
    """Return the worker that a known-worker target means for this task, None if the workspace has none such."""
    if target.known_worker is None:
        return None
    value = look_up(task.parsed_attributes, target.known_worker.path)
    if target.known_worker.by == "sid":
        return workspace.workers.get(value) if isinstance(value, str) else None
    return next((worker for worker in workspace.workers.values() if worker.friendly_name == value), None)


def _eligible(workspace: Workspace, task: Task, target: FilterTarget | None) -> Iterator[Worker]:
    candidates = workspace.workers.values() if task.target_worker is None else (task.target_worker,)
    named_worker = known_worker(workspace, task, target) if target is not None else None
    reserved_sids = {reservation.worker.sid for reservation in task.open_reservations}
    for worker in candidates:
        if worker.sid not in reserved_sids and _may_take(worker, workspace, task, target, named_worker):
            yield worker


def _may_take(
    worker: Worker, workspace: Workspace, task: Task, target: FilterTarget | None, named_worker: Worker | None
) -> bool:
    if task.target_worker is not None and task.ignore_capacity:
        return True
    if not _is_ready(worker, workspace) or not worker.channels[task.task_channel.sid].has_capacity:
        return False
    if task.target_worker is not None:
        return True
    return task.task_queue is not None and task.task_queue.admits(worker) and _fits(worker, task, target, named_worker)


def _fits(worker: Worker, task: Task, target: FilterTarget | None, named_worker: Worker | None) -> bool:
    if target is None:
        return True
    if target.known_worker is not None and worker is not named_worker:
        return False
    if target.expression is None:
        return True
    roots = target.expression.roots
    scope = {"worker": worker.scope({"worker"})["worker"]} if "worker" in roots else {}
    return target.expression(scope | {"task": task.parsed_attributes})


def _preference(worker: Worker, target: FilterTarget) -> list[_Key]:
    """Return the worker's rank by `order_by`; workers without a number in the attribute come last."""
    ranks: list[_Key] = []
    for clause in target.order_by:
        value = look_up(worker.parsed_attributes, clause.path)
        if isinstance(value, bool) or not isinstance(value, int | float):
            ranks.append((1.0, 0.0))
        else:
            ranks.append((0.0, -value if clause.descending else value))
    return ranks


def _is_ready(worker: Worker, workspace: Workspace) -> bool:
    """Return whether the activity is available and, without multitasking, the worker has no other reservation."""
    return worker.activity.available and (workspace.multi_task_enabled or not worker.open_reservations)


def _has_free_worker(workspace: Workspace, task: Task) -> bool:
    """Return whether other tasks of the group may find a worker where this one found none."""
    if task.target_worker is not None:
        return True
    channel_sid = task.task_channel.sid
    workers = workspace.workers.values()
    return any(_is_ready(worker, workspace) and worker.channels[channel_sid].has_capacity for worker in workers)


def _is_like_its_group(task: Task) -> bool:
    """Return whether all tasks of its group wait for the same workers as this one."""
    if task.target_worker is not None or task.task_queue is None or task.task_queue.max_reserved_workers > 1:
        return False
    return task.step is None or task.step.target.is_independent_of_task


def _group_key(task: Task) -> _GroupKey:
    """Return the key of the task's group.

    Tasks that ignore a worker's capacity have groups of their own, so that `_has_unconditional_task` finds them first.
    """
    queue_sid = task.task_queue.sid if task.task_queue is not None else ""
    if task.target_worker is not None:
        return queue_sid, task.target_worker.sid, int(bool(task.ignore_capacity))
    return queue_sid, task.task_channel.sid, id(task.step.target) if task.step is not None else 0


@dataclass
class _BacklogGroup:
    """Tasks of one group. entries: (position, task), in order; a position ends in the ordinal, so it is unique."""

    queue: TaskQueue
    entries: list[tuple[_Key, Task]] = field(default_factory=list)

    def urgency(self, workspace: Workspace, at: int) -> _Key:
        """Return the sort key of the task at this index among those of other groups."""
        rank = 0.0 if self.queue.task_order == workspace.prioritize_queue_order else 1.0
        return rank, *self.entries[at][0]

    def add(self, task: Task) -> _Key:
        """Add a task and return its position."""
        position = _position(task)
        insort(self.entries, (position, task), key=lambda entry: entry[0])
        return position

    def remove(self, position: _Key) -> None:
        del self.entries[bisect_left(self.entries, position, key=lambda entry: entry[0])]


def _position(task: Task) -> _Key:
    if task.task_queue is not None and task.task_queue.task_order == "LIFO":
        return (0.0, -task.virtual_start_time.timestamp(), -task.ordinal)
    return (-task.priority, task.virtual_start_time.timestamp(), task.ordinal)
