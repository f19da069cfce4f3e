"""State transitions of tasks, reservations and workers, which the larger rules are made of.

Each is logged and emitted as an event. The caller decides whether a transition is legal.
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
from taskrouter_emulator.model.routing import Backlog

REMOVED_AFTER_S = 300

_ANNOUNCEMENTS = {
    ReservationStatus.TIMEOUT: ("reservation_timeout", "reservation.timeout"),
    ReservationStatus.CANCELED: ("reservation_canceled", "reservation.canceled"),
    ReservationStatus.RESCINDED: ("reservation_rescinded", "reservation.rescinded"),
    ReservationStatus.WRAPPING: ("reservation_wrapping", "reservation.wrapup"),
    ReservationStatus.COMPLETED: ("reservation_completed", "reservation.completed"),
    ReservationStatus.REJECTED: ("reservation_rejected", "reservation.rejected"),
    ReservationStatus.ACCEPTED: ("reservation_accepted", "reservation.accepted"),
}


class Transitions:
    """Changes states without checking whether the change is legal. Methods need a transaction."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._backlogs: dict[str, Backlog] = {}

    def backlog(self, workspace: Workspace) -> Backlog:
        return self._backlogs.setdefault(workspace.sid, Backlog())

    def enqueue(self, task: Task) -> None:
        """Let the task wait for one more worker, if it needs one."""
        if task.needs_worker:
            self.backlog(task.workspace).add(task)
            self._store.changed(task.workspace)

    def set_task_status(self, task: Task, status: TaskStatus, reason: str | None = None) -> None:
        task.status = status
        task.reason = reason if reason is not None else task.reason
        self._store.touch(task)

    def set_reservation_status(self, reservation: Reservation, status: ReservationStatus) -> None:
        """Set the state; a reservation that ends releases its worker's capacity."""
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

    def return_to_pending(self, task: Task) -> None:
        """Set a reserved task to pending if it has no open reservation left."""
        if task.status is TaskStatus.RESERVED and not task.open_reservations:
            self.set_task_status(task, TaskStatus.PENDING)

    def announce(self, reservation: Reservation, **fields: object) -> None:
        """Log the reservation's current state, and emit its event."""
        kind, event_type = _ANNOUNCEMENTS[reservation.status]
        self._store.log.append(kind, **reservation_sids(reservation), **fields)
        self._store.emit(reservation.task.workspace, event_type, reservation=reservation)

    def alert(self, code: int | None, alert: str, message: str, **sids: object) -> None:
        """Add an entry to the alert log."""
        self._store.log.append("alert", code=code, alert=alert, message=message, **sids)

    def cancel_task(self, task: Task, reason: str | None) -> None:
        self.backlog(task.workspace).remove(task)
        open_reservations = task.open_reservations
        self._end(task, TaskStatus.CANCELED, reason)
        for reservation in open_reservations:
            self.set_reservation_status(reservation, ReservationStatus.CANCELED)
            self.announce(reservation)
            self.restore_activity(reservation)
        self._store.log.append("task_canceled", task_sid=task.sid, reason=reason)
        self._store.emit(task.workspace, "task.canceled", task=task)

    def wrap_task(self, task: Task, reason: str | None) -> None:
        self.set_task_status(task, TaskStatus.WRAPPING, reason)
        for reservation in task.open_reservations:
            if reservation.status is ReservationStatus.ACCEPTED:
                self.set_reservation_status(reservation, ReservationStatus.WRAPPING)
                self.announce(reservation)
        self._store.log.append("task_wrapping", task_sid=task.sid, reason=reason)
        self._store.emit(task.workspace, "task.wrapup", worker=current_worker(task), task=task)

    def complete_task(self, task: Task, reason: str | None) -> None:
        worker, open_reservations = current_worker(task), task.open_reservations
        self._end(task, TaskStatus.COMPLETED, reason)
        for reservation in open_reservations:
            self.set_reservation_status(reservation, ReservationStatus.COMPLETED)
            self.announce(reservation)
        self._store.log.append("task_completed", task_sid=task.sid, reason=reason)
        self._store.emit(task.workspace, "task.completed", worker=worker, task=task)

    def remove_task(self, task: Task, event_type: str) -> None:
        """Delete the task; a pending reservation is canceled, an accepted one completed."""
        self.backlog(task.workspace).remove(task)
        for reservation in task.open_reservations:
            is_pending = reservation.status is ReservationStatus.PENDING
            self.set_reservation_status(
                reservation, ReservationStatus.CANCELED if is_pending else ReservationStatus.COMPLETED
            )
            self.announce(reservation)
            if is_pending:
                self.restore_activity(reservation)
        self.forget_task(task)
        self._store.log.append("task_deleted", task_sid=task.sid, reason=event_type)
        self._store.emit(task.workspace, event_type, task=task)

    def forget_task(self, task: Task) -> None:
        task.workspace.tasks.pop(task.sid, None)

    def change_activity(self, worker: Worker, workspace: Workspace, activity: Activity) -> None:
        """Put a worker into another activity; nothing happens if it is the current one."""
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

    def restore_activity(self, reservation: Reservation) -> None:
        """Restore the worker's activity from before the reservation, in a workspace without multitasking."""
        previous, reservation.previous_activity = reservation.previous_activity, None
        workspace = reservation.task.workspace
        if previous is not None and previous.sid in workspace.activities:
            self.change_activity(reservation.worker, workspace, previous)

    def _end(self, task: Task, status: TaskStatus, reason: str | None) -> None:
        self.set_task_status(task, status, reason)
        self._store.after(REMOVED_AFTER_S, lambda: self.forget_task(task))


def current_worker(task: Task) -> Worker | None:
    """Return the worker of the task's newest open reservation, for the task's events."""
    return task.open_reservations[-1].worker if task.open_reservations else None


def reservation_sids(reservation: Reservation) -> dict[str, object]:
    return {
        "task_sid": reservation.task.sid,
        "reservation_sid": reservation.sid,
        "worker_sid": reservation.worker.sid,
    }
