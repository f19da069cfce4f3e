"""Who gets which task: the lines in which tasks wait, and the worker who is next.

Task order: highest priority, then oldest virtual start time; in a LIFO queue the newest, whatever its priority; between
queues of both kinds, those that the workspace's `prioritize_queue_order` names go first.
Worker order: as the target's `order_by` says, then who has gone longest without a task.
Sources: https://www.twilio.com/docs/taskrouter/queue-ordering-last-first-out-lifo-first-first-out-fifo,
https://www.twilio.com/docs/taskrouter/order-workers, https://www.twilio.com/docs/taskrouter/multitasking
"""

import heapq
from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass, field

from taskrouter_emulator.model.expressions import look_up
from taskrouter_emulator.model.records import Task, TaskQueue, Worker, Workspace
from taskrouter_emulator.model.workflow_configuration import Target

_Key = tuple[float, ...]
_LineKey = tuple[str, str, int]


class WaitingLines:
    """Waiting tasks of one workspace, in one line for each queue, channel and routing step.

    The tasks of a line mostly wait for the same workers: if there is none for its first task there is none for the
    rest, and a pass costs as much as there are lines, however many tasks wait. Only where workers are chosen by the
    task's own attributes is every task of the line asked for.
    """

    def __init__(self) -> None:
        self._lines: dict[_LineKey, _Line] = {}
        self._places: dict[str, tuple[_Line, _Key]] = {}

    def add(self, task: Task) -> None:
        """Puts a task where it belongs now, wherever it stood before; one without a queue waits for nobody."""
        self.remove(task)
        if task.task_queue is not None:
            line = self._lines.setdefault(_line_key(task), _Line(task.task_queue))
            self._places[task.sid] = line, line.add(task)

    def remove(self, task: Task) -> None:
        """Takes a task out of its line; nothing happens if it stands in none."""
        if (standing := self._places.pop(task.sid, None)) is not None:
            line, place = standing
            line.remove(place)

    @property
    def waiting(self) -> list[Task]:
        """Everybody who stands in a line."""
        return [task for line in self._lines.values() for _, task in line.entries]

    def matches(self, workspace: Workspace, *, round_robin: bool = False) -> Iterator[tuple[Task, Worker]]:
        """Pairs of a task and its worker, most urgent first, until no waiting task finds a worker.

        The task has left its line when it is handed out; before asking for the next pair the caller takes the worker's
        capacity, and puts the task back if it wants more workers.
        round_robin: the worker who was reserved longest ago is next, not the one who has been idle longest.
        """
        self._lines = {key: line for key, line in self._lines.items() if line.entries}
        if not any(_takes_work(worker, workspace) for worker in workspace.workers.values()) and not self._ignoring:
            return
        heads = [(line.urgency(workspace, 0), at, line, 0) for at, line in enumerate(self._lines.values())]
        heapq.heapify(heads)
        while heads:
            _, at, line, place = heapq.heappop(heads)
            task = line.entries[place][1]
            worker = next_worker(workspace, task, round_robin=round_robin)
            if worker is not None:
                self.remove(task)
                yield task, worker
            elif _is_like_the_others(task) or not _anybody_is_free(workspace, task):
                continue
            else:
                place += 1
            if place < len(line.entries):
                heapq.heappush(heads, (line.urgency(workspace, place), at, line, place))

    @property
    def _ignoring(self) -> bool:
        """Whether a task waits for a worker whose activity and capacity do not matter."""
        return any(task.ignore_capacity for line in self._lines.values() for _, task in line.entries[:1])


def next_worker(workspace: Workspace, task: Task, *, round_robin: bool = False) -> Worker | None:
    """The worker to reserve for this task, or None if nobody is eligible now."""
    target = task.step.target if task.step is not None else None

    def waiting(worker: Worker) -> _Key:
        return (worker.last_reserved,) if round_robin else (worker.idle_since.timestamp(), worker.ordinal)

    def order(worker: Worker) -> tuple[list[_Key], _Key]:
        return (_preference(worker, target) if target is not None else []), waiting(worker)

    return min(_eligible(workspace, task, target), key=order, default=None)


def known_worker(workspace: Workspace, task: Task, target: Target) -> Worker | None:
    """The worker that a known-worker target means for this task; None if the task names nobody who is here."""
    if target.known_worker is None:
        return None
    named = look_up(task.parsed_attributes, target.known_worker.path)
    if target.known_worker.by == "sid":
        return workspace.workers.get(named) if isinstance(named, str) else None
    return next((one for one in workspace.workers.values() if one.friendly_name == named), None)


def _eligible(workspace: Workspace, task: Task, target: Target | None) -> Iterator[Worker]:
    candidates = workspace.workers.values() if task.for_worker is None else (task.for_worker,)
    only = known_worker(workspace, task, target) if target is not None else None
    already = {reservation.worker.sid for reservation in task.parties}
    for worker in candidates:
        if worker.sid not in already and _may_take(worker, workspace, task, target, only):
            yield worker


def _may_take(worker: Worker, workspace: Workspace, task: Task, target: Target | None, only: Worker | None) -> bool:
    if task.for_worker is not None and task.ignore_capacity:
        return True
    if not _takes_work(worker, workspace) or not worker.channels[task.task_channel.sid].has_room:
        return False
    if task.for_worker is not None:
        return True
    return task.task_queue is not None and task.task_queue.admits(worker) and _fits(worker, task, target, only)


def _fits(worker: Worker, task: Task, target: Target | None, only: Worker | None) -> bool:
    if target is None:
        return True
    if target.known_worker is not None and worker is not only:
        return False
    if target.expression is None:
        return True
    roots = target.expression.roots
    scope = {"worker": worker.scope({"worker"})["worker"]} if "worker" in roots else {}
    return target.expression(scope | {"task": task.parsed_attributes})


def _preference(worker: Worker, target: Target) -> list[_Key]:
    """How `order_by` ranks this worker; whoever lacks the attribute, or has no number there, comes last."""
    ranks: list[_Key] = []
    for clause in target.order_by:
        value = look_up(worker.parsed_attributes, clause.path)
        if isinstance(value, bool) or not isinstance(value, int | float):
            ranks.append((1.0, 0.0))
        else:
            ranks.append((0.0, -value if clause.descending else value))
    return ranks


def _takes_work(worker: Worker, workspace: Workspace) -> bool:
    """An available activity; without multitasking also no other task, on any channel."""
    return worker.activity.available and (workspace.multi_task_enabled or not worker.open_reservations)


def _anybody_is_free(workspace: Workspace, task: Task) -> bool:
    """Whether it is worth while to ask for the other tasks of its line, if it has found nobody."""
    if task.for_worker is not None:
        return True
    channel_sid = task.task_channel.sid
    workers = workspace.workers.values()
    return any(_takes_work(worker, workspace) and worker.channels[channel_sid].has_room for worker in workers)


def _is_like_the_others(task: Task) -> bool:
    """Whether all tasks of its line wait for the same workers as this one."""
    if task.for_worker is not None or task.task_queue is None or task.task_queue.max_reserved_workers > 1:
        return False
    return task.step is None or task.step.target.is_the_same_for_all_tasks


def _line_key(task: Task) -> _LineKey:
    """Tasks for one worker that ignore capacity have a line of their own, so that `_ignoring` finds them in front."""
    queue_sid = task.task_queue.sid if task.task_queue is not None else ""
    if task.for_worker is not None:
        return queue_sid, task.for_worker.sid, int(bool(task.ignore_capacity))
    return queue_sid, task.task_channel.sid, id(task.step.target) if task.step is not None else 0


@dataclass
class _Line:
    """entries: (place in the line, task), in order. The place ends in the task's ordinal and is never equal."""

    queue: TaskQueue
    entries: list[tuple[_Key, Task]] = field(default_factory=list)

    def urgency(self, workspace: Workspace, at: int) -> _Key:
        """How the task at this place stands against those of other lines."""
        first = 0.0 if self.queue.task_order == workspace.prioritize_queue_order else 1.0
        return first, *self.entries[at][0]

    def add(self, task: Task) -> _Key:
        """The place that the task has got."""
        place = _place(task)
        insort(self.entries, (place, task), key=lambda entry: entry[0])
        return place

    def remove(self, place: _Key) -> None:
        del self.entries[bisect_left(self.entries, place, key=lambda entry: entry[0])]


def _place(task: Task) -> _Key:
    if task.task_queue is not None and task.task_queue.task_order == "LIFO":
        return (0.0, -task.virtual_start_time.timestamp(), -task.ordinal)
    return (-task.priority, task.virtual_start_time.timestamp(), task.ordinal)
