"""Who gets which task: the lines in which tasks wait, and the worker who is next.

Task order: highest priority, then oldest virtual start time; in a LIFO queue the newest, whatever its priority.
Worker order: who has gone longest without a task.
Sources: https://www.twilio.com/docs/taskrouter/queue-ordering-last-first-out-lifo-first-first-out-fifo,
https://www.twilio.com/docs/taskrouter/order-workers, https://www.twilio.com/docs/taskrouter/multitasking
"""

import heapq
from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass, field

from .records import Task, Worker, Workspace

_Key = tuple[float, float, float]


class WaitingLines:
    """Pending tasks of one workspace, in one line for each pair of queue and channel.

    All tasks of a line wait for the same workers, so if there is none for its first task there is none for the rest:
    a pass costs as much as there are lines, however many tasks wait.
    """

    def __init__(self) -> None:
        self._lines: dict[tuple[str, str], _Line] = {}

    def add(self, task: Task) -> None:
        """Puts a pending task into its line."""
        key = (task.task_queue.sid, task.task_channel.sid)
        self._lines.setdefault(key, _Line()).add(task)

    def remove(self, task: Task) -> None:
        """Takes a task out of its line; nothing happens if it stands in none.

        To be called before anything changes that the order depends on, such as the priority.
        """
        line = self._lines.get((task.task_queue.sid, task.task_channel.sid))
        if line is not None:
            line.remove(task)

    def matches(self, workspace: Workspace) -> Iterator[tuple[Task, Worker]]:
        """Pairs of a task and its worker, most urgent first, until no waiting task finds a worker.

        The task has left its line when it is handed out; the caller takes the worker's capacity before the next.
        """
        if not any(_takes_work(worker, workspace) for worker in workspace.workers.values()):
            return
        heads = [(line.urgency, at, line) for at, line in enumerate(self._lines.values()) if line.entries]
        heapq.heapify(heads)
        while heads:
            _, at, line = heapq.heappop(heads)
            task = line.first
            worker = next_worker(workspace, task)
            if worker is None:
                continue
            line.remove(task)
            yield task, worker
            if line.entries:
                heapq.heappush(heads, (line.urgency, at, line))


def next_worker(workspace: Workspace, task: Task) -> Worker | None:
    """The worker to reserve for this task, or None if nobody is eligible now."""
    eligible = (
        worker
        for worker in workspace.workers.values()
        if _takes_work(worker, workspace)
        and worker.channels[task.task_channel.sid].has_room
        and task.task_queue.admits(worker)
    )
    return min(eligible, key=lambda worker: (worker.idle_since, worker.ordinal), default=None)


def _takes_work(worker: Worker, workspace: Workspace) -> bool:
    """An available activity; without multitasking also no other task, on any channel."""
    return worker.activity.available and (workspace.multi_task_enabled or not worker.open_reservations)


@dataclass
class _Line:
    """entries: (place in the line, task), in order. The place ends in the task's ordinal and is never equal."""

    entries: list[tuple[_Key, Task]] = field(default_factory=list)

    @property
    def first(self) -> Task:
        return self.entries[0][1]

    @property
    def urgency(self) -> _Key:
        """How this line's first task stands against the first ones of other lines."""
        return _fifo(self.first)

    def add(self, task: Task) -> None:
        insort(self.entries, (_place(task), task), key=lambda entry: entry[0])

    def remove(self, task: Task) -> None:
        at = bisect_left(self.entries, _place(task), key=lambda entry: entry[0])
        if at < len(self.entries) and self.entries[at][1] is task:
            del self.entries[at]


def _place(task: Task) -> _Key:
    if task.task_queue.task_order == "LIFO":
        return (0.0, -task.virtual_start_time.timestamp(), -task.ordinal)
    return _fifo(task)


def _fifo(task: Task) -> _Key:
    return (-task.priority, task.virtual_start_time.timestamp(), task.ordinal)
