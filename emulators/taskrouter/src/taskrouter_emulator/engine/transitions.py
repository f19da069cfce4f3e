"""The small moves that everything larger is made of: a state is set, a reservation is settled, a task ends.

Each says what it did in the log and as an event. Whether a move is legal is decided by whoever asks for it.
Sources: https://www.twilio.com/docs/taskrouter/lifecycle-task-state and https://www.twilio.com/docs/taskrouter/limits
"""

from taskrouter_emulator.engine.store import Store
from taskrouter_emulator.model.records import (
    OPEN,
    Activity,
    Reservation,
    ReservationStatus,
    Task,
    TaskStatus,
    Worker,
    Workspace,
)
from taskrouter_emulator.model.routing import WaitingLines

KEPT_AFTER_END_S = 300

_TOLD = {
    ReservationStatus.TIMEOUT: ("reservation_timeout", "reservation.timeout"),
    ReservationStatus.CANCELED: ("reservation_canceled", "reservation.canceled"),
    ReservationStatus.RESCINDED: ("reservation_rescinded", "reservation.rescinded"),
    ReservationStatus.WRAPPING: ("reservation_wrapping", "reservation.wrapup"),
    ReservationStatus.COMPLETED: ("reservation_completed", "reservation.completed"),
    ReservationStatus.REJECTED: ("reservation_rejected", "reservation.rejected"),
    ReservationStatus.ACCEPTED: ("reservation_accepted", "reservation.accepted"),
}


class Moves:
    """What may happen to tasks, reservations and workers, without asking whether it may. Only inside a transaction."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lines: dict[str, WaitingLines] = {}

    def lines(self, workspace: Workspace) -> WaitingLines:
        return self._lines.setdefault(workspace.sid, WaitingLines())

    def line_up(self, task: Task) -> None:
        """Lets the task wait for one more worker, if it wants one."""
        if task.wants_workers:
            self.lines(task.workspace).add(task)
            self._store.changed(task.workspace)

    def set_task_status(self, task: Task, status: TaskStatus, reason: str | None = None) -> None:
        task.status = status
        task.reason = reason if reason is not None else task.reason
        self._store.touch(task)

    def settle(self, reservation: Reservation, status: ReservationStatus) -> None:
        """Sets the state; a reservation that is over gives its worker's capacity back."""
        reservation.status = status
        reservation.on_hold = False
        self._store.touch(reservation)
        worker = reservation.worker
        if status not in OPEN:
            worker.open_reservations.pop(reservation.sid, None)
            reservation.worker_channel.open_reservations.pop(reservation.sid, None)
            worker.idle_since = self._store.now
            self._store.touch(worker)
        self._store.changed(reservation.task.workspace)

    def release(self, task: Task) -> None:
        """A reserved task whose reservations are all over is pending again."""
        if task.status is TaskStatus.RESERVED and not task.parties:
            self.set_task_status(task, TaskStatus.PENDING)

    def tell(self, reservation: Reservation, **fields: object) -> None:
        """Log and event of the state that the reservation is in now."""
        kind, event_type = _TOLD[reservation.status]
        self._store.log.append(kind, **sids_of(reservation), **fields)
        self._store.emit(reservation.task.workspace, event_type, reservation=reservation)

    def alert(self, code: int | None, alert: str, message: str, **sids: object) -> None:
        """One entry of the alert log."""
        self._store.log.append("alert", code=code, alert=alert, message=message, **sids)

    def cancel_task(self, task: Task, reason: str | None) -> None:
        self.lines(task.workspace).remove(task)
        parties = task.parties
        self._end(task, TaskStatus.CANCELED, reason)
        for reservation in parties:
            self.settle(reservation, ReservationStatus.CANCELED)
            self.tell(reservation)
            self.give_activity_back(reservation)
        self._store.log.append("task_canceled", task_sid=task.sid, reason=reason)
        self._store.emit(task.workspace, "task.canceled", task=task)

    def wrap_task(self, task: Task, reason: str | None) -> None:
        self.set_task_status(task, TaskStatus.WRAPPING, reason)
        for reservation in task.parties:
            if reservation.status is ReservationStatus.ACCEPTED:
                self.settle(reservation, ReservationStatus.WRAPPING)
                self.tell(reservation)
        self._store.log.append("task_wrapping", task_sid=task.sid, reason=reason)
        self._store.emit(task.workspace, "task.wrapup", worker=current_worker(task), task=task)

    def complete_task(self, task: Task, reason: str | None) -> None:
        worker, parties = current_worker(task), task.parties
        self._end(task, TaskStatus.COMPLETED, reason)
        for reservation in parties:
            self.settle(reservation, ReservationStatus.COMPLETED)
            self.tell(reservation)
        self._store.log.append("task_completed", task_sid=task.sid, reason=reason)
        self._store.emit(task.workspace, "task.completed", worker=worker, task=task)

    def remove_task(self, task: Task, event_type: str) -> None:
        """Takes the task away; a reservation that was pending is canceled, one that was accepted is completed."""
        self.lines(task.workspace).remove(task)
        for reservation in task.parties:
            waits = reservation.status is ReservationStatus.PENDING
            self.settle(reservation, ReservationStatus.CANCELED if waits else ReservationStatus.COMPLETED)
            self.tell(reservation)
            if waits:
                self.give_activity_back(reservation)
        self.forget_task(task)
        self._store.log.append("task_deleted", task_sid=task.sid, reason=event_type)
        self._store.emit(task.workspace, event_type, task=task)

    def forget_task(self, task: Task) -> None:
        task.workspace.tasks.pop(task.sid, None)

    def change_activity(self, worker: Worker, workspace: Workspace, activity: Activity) -> None:
        """Puts a worker into another activity; nothing happens if it is the one they are in."""
        previous, since = worker.activity, worker.date_status_changed
        if previous is activity:
            return
        now = self._store.now
        worker.activity = activity
        worker.date_status_changed = now
        self._store.touch(worker)
        self._store.changed(workspace)
        in_previous = (now - since).total_seconds()
        self._store.log.append("worker_activity", worker_sid=worker.sid, activity_name=activity.friendly_name)
        self._store.emit(
            workspace,
            "worker.activity.update",
            worker=worker,
            extra={
                "WorkerPreviousActivitySid": previous.sid,
                "WorkerPreviousActivityName": previous.friendly_name,
                "WorkerTimeInPreviousActivity": str(int(in_previous)),
                "WorkerTimeInPreviousActivityMs": str(int(in_previous * 1000)),
            },
        )

    def give_activity_back(self, reservation: Reservation) -> None:
        """Undoes what reserving did to the worker's activity in a workspace without multitasking."""
        before, reservation.activity_before = reservation.activity_before, None
        workspace = reservation.task.workspace
        if before is not None and before.sid in workspace.activities:
            self.change_activity(reservation.worker, workspace, before)

    def _end(self, task: Task, status: TaskStatus, reason: str | None) -> None:
        self.set_task_status(task, status, reason)
        self._store.after(KEPT_AFTER_END_S, lambda: self.forget_task(task))


def current_worker(task: Task) -> Worker | None:
    """The worker named in the task's event: that of the newest reservation that is not over."""
    return task.parties[-1].worker if task.parties else None


def sids_of(reservation: Reservation) -> dict[str, object]:
    return {
        "task_sid": reservation.task.sid,
        "reservation_sid": reservation.sid,
        "worker_sid": reservation.worker.sid,
    }
