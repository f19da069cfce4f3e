"""The life of tasks and reservations: every state they can be in, who may move them, and what follows from it.

Sources: https://www.twilio.com/docs/taskrouter/lifecycle-task-state,
https://www.twilio.com/docs/taskrouter/api/task, https://www.twilio.com/docs/taskrouter/api/reservations and
https://www.twilio.com/docs/taskrouter/limits
"""

from collections.abc import Callable
from datetime import UTC, datetime

from . import attributes as attribute_text
from . import events
from .errors import gone, invalid
from .instructions import REJECT_ACTIVITY, Instruction, Name, RefusedInstruction, check
from .records import (
    OPEN,
    Activity,
    AssignmentCallback,
    Reservation,
    ReservationStatus,
    Task,
    TaskChannel,
    TaskQueue,
    TaskStatus,
    Worker,
    Workflow,
    Workspace,
)
from .routing import WaitingLines
from .store import Store, sids_of

DEFAULT_TASK_TIMEOUT_S = 86_400
MAX_TASK_TIMEOUT_S = 1_209_600
ASSIGNED_LIMIT_S = 86_400
KEPT_AFTER_END_S = 300
MAX_ASSIGNMENTS = 1_000
MAX_PRIORITY = 2_147_483_647
TTL_REASON = "Task TTL Exceeded"
ASSIGNMENTS_REASON = "Task TTL Exceeded or Max assignment count exceeded"
ALL_COMPLETED_REASON = "All reservations were completed"

_WAITING = (TaskStatus.PENDING, TaskStatus.RESERVED)
_EARLIEST_START = datetime(1900, 1, 1, tzinfo=UTC)


class Lifecycle:
    """Creates tasks, reserves workers and moves both through their states. Every method is one transaction."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lines: dict[str, WaitingLines] = {}

    # --- Tasks -------------------------------------------------------------------------------------------------

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
    ) -> Task:
        """A pending task in the queue that its workflow sends it to. It is routed when the transaction ends.

        workflow: may be absent if the workspace has exactly one. task_channel: the channel named `default` if absent.
        """
        with self._store.transaction():
            chosen = workflow or _only_workflow(workspace)
            now = self._store.now
            task = Task(
                sid=self._store.sids.new("WT"),
                ordinal=self._store.ordinal(),
                workspace=workspace,
                workflow=chosen,
                task_queue=chosen.task_queue,
                task_channel=task_channel or channel_named(workspace, "default"),
                attributes=attribute_text.check(attributes, lax=self._store.switches.lax_attributes),
                priority=_priority(priority) if chosen.priority is None else chosen.priority,
                timeout=_task_timeout(timeout),
                virtual_start_time=self._start_time(virtual_start_time) if virtual_start_time else now,
                date_created=now,
                date_updated=now,
                task_queue_entered_date=now,
            )
            workspace.tasks[task.sid] = task
            self._store.log.append("task_created", task_sid=task.sid, task_channel=task.task_channel.unique_name)
            self._store.emit(workspace, "task.created", task=task)
            self._store.emit(workspace, "workflow.entered", task=task)
            self._store.emit(workspace, "task-queue.entered", task=task)
            self._wait(task)
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
        """Changes what is given, all of it or, when anything is refused, nothing.

        by: who writes, for the log. Raises ApiError: 412/20412 for a stale `If-Match`, 400/20001 for the rest.
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
                self._check_task_move(task, assignment_status)
            reorders = priority is not None or task_channel is not None or virtual_start_time is not None
            if reorders or attributes is not None:
                self._store.touch(task)
            if reorders:
                self._reorder(task, priority, task_channel, virtual_start_time)
            if attributes is not None:
                self._write_attributes(task, attributes, by)
            if assignment_status is not None:
                self._move_task(task, assignment_status, reason)

    def write_member(self, task: Task, key: str, value: object, by: str) -> None:
        """Sets one top-level member of the task's attributes, as TaskRouter or another writer does it.

        Attributes that are no JSON object, or would become too long, are left alone.
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
        """Removes the task; a reservation that was pending is canceled, one that was accepted is completed."""
        with self._store.transaction():
            self._store.check_version(task, if_match)
            self._remove(task, "task.deleted")

    # --- Reservations ------------------------------------------------------------------------------------------

    def update_reservation(
        self,
        reservation: Reservation,
        status: str,
        *,
        if_match: str | None = None,
        worker_activity: Activity | None = None,
    ) -> None:
        """The four states that a client may set over REST: accepted, rejected, wrapping, completed.

        Raises ApiError: 412/20412 for a stale `If-Match`, 410 for accepting a rescinded reservation, else 400/20001.
        """
        moves: dict[str, Callable[[], None]] = {
            "accepted": lambda: self._accept(reservation, via="rest", instruction=None),
            "rejected": lambda: self._reject(reservation, worker_activity, via="rest"),
            "wrapping": lambda: self._wrap_reservation(reservation),
            "completed": lambda: self._complete_reservation(reservation),
        }
        with self._store.transaction():
            self._store.check_version(reservation, if_match)
            if status not in moves:
                raise invalid(f"ReservationStatus cannot be set to {status}")
            _check_reservation_move(reservation, status)
            moves[status]()

    def execute(
        self, reservation: Reservation, instruction: Instruction, *, via: str, if_match: str | None = None
    ) -> None:
        """Does what an instruction asks for. via: "callback" or "rest".

        Raises RefusedInstruction, with nothing done, if parts are missing or the reservation no longer waits;
        ApiError 412/20412 for a stale `If-Match`.
        """
        with self._store.transaction():
            self._store.check_version(reservation, if_match)
            check(instruction, reservation)
            if instruction.name is Name.ACCEPT:
                self._check_waiting(reservation, instruction)
                self._accept(reservation, via=via, instruction=instruction.name)
            elif instruction.name is Name.REJECT:
                self._check_waiting(reservation, instruction)
                self._reject(reservation, self._activity_of(instruction, reservation), via=via)
            elif instruction.name is Name.REDIRECT:
                if instruction.accept:
                    self._accept(reservation, via=via, instruction=instruction.name)
            else:
                self._dial_worker(reservation, instruction, via)

    def move_worker(self, worker: Worker, workspace: Workspace, activity: Activity, *, reject: bool = False) -> None:
        """Puts a worker into another activity; reservations go on unless `reject` and the activity is unavailable."""
        with self._store.transaction():
            previous, since = worker.activity, worker.date_status_changed
            if previous is activity:
                return
            now = self._store.now
            worker.activity = activity
            worker.date_status_changed = now
            self._store.touch(worker)
            self._store.changed(workspace)
            in_previous = now - since
            self._store.log.append("worker_activity", worker_sid=worker.sid, activity_name=activity.friendly_name)
            self._store.emit(
                workspace,
                "worker.activity.update",
                worker=worker,
                extra={
                    "WorkerPreviousActivitySid": previous.sid,
                    "WorkerPreviousActivityName": previous.friendly_name,
                    "WorkerTimeInPreviousActivity": str(int(in_previous.total_seconds())),
                    "WorkerTimeInPreviousActivityMs": str(int(in_previous.total_seconds() * 1000)),
                },
            )
            if reject and not activity.available:
                for reservation in list(worker.open_reservations.values()):
                    if reservation.status is ReservationStatus.PENDING:
                        self._reject(reservation, None, via="rest")

    def change_order(self, workspace: Workspace, queue: TaskQueue, task_order: str) -> None:
        """Makes a queue FIFO or LIFO, and lines its waiting tasks up anew."""
        with self._store.transaction():
            lines = self._lines_of(workspace)
            waiting = [
                task
                for task in workspace.tasks.values()
                if task.task_queue is queue and task.status is TaskStatus.PENDING
            ]
            for task in waiting:
                lines.remove(task)
            queue.task_order = task_order
            for task in waiting:
                lines.add(task)

    def route(self, workspace: Workspace) -> None:
        """Reserves a worker for every waiting task that finds one."""
        for task, worker in self._lines_of(workspace).matches(workspace):
            self._reserve(task, worker)

    # --- How a task moves --------------------------------------------------------------------------------------

    def _check_task_move(self, task: Task, assignment_status: str) -> None:
        where = f"task {task.sid} in workspace {task.workspace.sid} for account {self._store.account_sid}"
        match assignment_status:
            case "canceled":
                if task.status not in _WAITING:
                    raise invalid(f"Cannot cancel {where} because it is not pending or reserved.")
            case "wrapping":
                if task.status is not TaskStatus.ASSIGNED:
                    raise invalid(f"Cannot wrap up {where} because it's not currently assigned")
            case "completed":
                if task.status not in (TaskStatus.ASSIGNED, TaskStatus.WRAPPING):
                    raise invalid(f"Cannot complete {where} because it is not currently assigned.")
            case _:
                raise invalid(f"AssignmentStatus cannot be set to {assignment_status}")

    def _move_task(self, task: Task, assignment_status: str, reason: str | None) -> None:
        match assignment_status:
            case "canceled":
                self._cancel_task(task, reason)
            case "wrapping":
                self._wrap_task(task, reason)
            case _:
                self._complete_task(task, reason)

    def _cancel_task(self, task: Task, reason: str | None) -> None:
        self._lines_of(task.workspace).remove(task)
        self._end_task(task, TaskStatus.CANCELED, reason)
        for reservation in task.parties:
            self._settle(reservation, ReservationStatus.CANCELED)
            self._tell(reservation, "reservation_canceled", "reservation.canceled")
        self._store.log.append("task_canceled", task_sid=task.sid, reason=reason)
        self._store.emit(task.workspace, "task.canceled", task=task)

    def _wrap_task(self, task: Task, reason: str | None) -> None:
        self._set_status(task, TaskStatus.WRAPPING, reason)
        for reservation in task.parties:
            if reservation.status is ReservationStatus.ACCEPTED:
                self._settle(reservation, ReservationStatus.WRAPPING)
                self._tell(reservation, "reservation_wrapping", "reservation.wrapup")
        self._store.log.append("task_wrapping", task_sid=task.sid, reason=reason)
        self._store.emit(task.workspace, "task.wrapup", worker=_current_worker(task), task=task)

    def _complete_task(self, task: Task, reason: str | None) -> None:
        worker = _current_worker(task)
        self._end_task(task, TaskStatus.COMPLETED, reason)
        for reservation in task.parties:
            self._settle(reservation, ReservationStatus.COMPLETED)
            self._tell(reservation, "reservation_completed", "reservation.completed")
        self._store.log.append("task_completed", task_sid=task.sid, reason=reason)
        self._store.emit(task.workspace, "task.completed", worker=worker, task=task)

    def _end_task(self, task: Task, status: TaskStatus, reason: str | None) -> None:
        self._set_status(task, status, reason)
        self._store.after(KEPT_AFTER_END_S, lambda: self._forget(task))

    def _set_status(self, task: Task, status: TaskStatus, reason: str | None) -> None:
        task.status = status
        task.reason = reason if reason is not None else task.reason
        self._store.touch(task)

    def _remove(self, task: Task, event_type: str) -> None:
        self._lines_of(task.workspace).remove(task)
        for reservation in task.parties:
            if reservation.status is ReservationStatus.PENDING:
                self._settle(reservation, ReservationStatus.CANCELED)
                self._tell(reservation, "reservation_canceled", "reservation.canceled")
            else:
                self._settle(reservation, ReservationStatus.COMPLETED)
                self._tell(reservation, "reservation_completed", "reservation.completed")
        self._forget(task)
        self._store.log.append("task_deleted", task_sid=task.sid, reason=event_type)
        self._store.emit(task.workspace, event_type, task=task)

    def _forget(self, task: Task) -> None:
        task.workspace.tasks.pop(task.sid, None)

    def _expire(self, task: Task) -> None:
        if task.sid in task.workspace.tasks and task.status in _WAITING:
            self._cancel_task(task, TTL_REASON)

    def _end_of_day(self, task: Task) -> None:
        if task.sid in task.workspace.tasks and task.status is TaskStatus.ASSIGNED:
            self._remove(task, "task.system-deleted")

    def _reorder(self, task: Task, priority: int | None, channel: TaskChannel | None, start: datetime | None) -> None:
        lines = self._lines_of(task.workspace)
        lines.remove(task)
        changes = {"priority": priority, "task_channel": channel, "virtual_start_time": start}
        task.priority = task.priority if priority is None else priority
        task.task_channel = channel or task.task_channel
        task.virtual_start_time = start or task.virtual_start_time
        if task.status is TaskStatus.PENDING:
            self._wait(task)
        what = [name for name, value in changes.items() if value is not None]
        self._store.log.append("task_updated", task_sid=task.sid, version=task.version, what=what)

    def _write_attributes(self, task: Task, text: str, by: str) -> None:
        task.attributes = text
        self._store.log.append("attributes_written", task_sid=task.sid, version=task.version, by=by, length=len(text))
        self._store.emit(task.workspace, "task.updated", task=task)

    def _wait(self, task: Task) -> None:
        self._lines_of(task.workspace).add(task)
        self._store.changed(task.workspace)

    def _start_time(self, instant: datetime) -> datetime:
        if instant > self._store.now:
            raise invalid("VirtualStartTime must not be in the future")
        if instant < _EARLIEST_START:
            raise invalid("VirtualStartTime must not be before 1900")
        return instant

    def _lines_of(self, workspace: Workspace) -> WaitingLines:
        return self._lines.setdefault(workspace.sid, WaitingLines())

    # --- How a reservation moves -------------------------------------------------------------------------------

    def _reserve(self, task: Task, worker: Worker) -> None:
        if task.assignment_count >= MAX_ASSIGNMENTS:
            self._cancel_task(task, ASSIGNMENTS_REASON)
            return
        now = self._store.now
        reservation = Reservation(
            sid=self._store.sids.new("WR"),
            task=task,
            worker=worker,
            worker_channel=worker.channels[task.task_channel.sid],
            date_created=now,
            date_updated=now,
        )
        task.reservations[reservation.sid] = reservation
        task.assignment_count += 1
        self._set_status(task, TaskStatus.RESERVED, None)
        worker.open_reservations[reservation.sid] = reservation
        reservation.worker_channel.open_reservations[reservation.sid] = reservation
        worker.idle_since = now
        self._store.touch(worker)
        self._tell(reservation, "reservation_created", "reservation.created")
        self._owe_assignment_callback(reservation)
        timeout_s = task.workflow.task_reservation_timeout
        self._store.after(timeout_s, lambda: self._time_out(reservation))

    def _owe_assignment_callback(self, reservation: Reservation) -> None:
        workflow = reservation.task.workflow
        if workflow.assignment_callback_url is None:
            return
        parameters = events.assignment_parameters(self._store.account_sid, reservation, self._store.now)
        self._store.owe(
            AssignmentCallback(
                url=workflow.assignment_callback_url,
                fallback_url=workflow.fallback_assignment_callback_url,
                parameters=parameters,
                reservation=reservation,
                sids=sids_of(parameters),
            )
        )

    def _accept(self, reservation: Reservation, *, via: str, instruction: Name | None) -> None:
        task = reservation.task
        self._settle(reservation, ReservationStatus.ACCEPTED)
        self._set_status(task, TaskStatus.ASSIGNED, None)
        self._tell(reservation, "reservation_accepted", "reservation.accepted", via=via, instruction=instruction)
        self._store.after(ASSIGNED_LIMIT_S, lambda: self._end_of_day(task))
        nobody_connects = instruction in (None, Name.ACCEPT)
        if nobody_connects and "call_sid" in attribute_text.as_object(task.attributes):
            self._store.log.append(
                "alert",
                code=None,
                alert="caller_left_in_queue",
                message="A voice task was merely accepted: nobody connects the call, the caller stays in the queue",
                **_sids(reservation),
            )

    def _reject(self, reservation: Reservation, activity: Activity | None, *, via: str) -> None:
        self._settle(reservation, ReservationStatus.REJECTED)
        self._wait_again(reservation.task)
        self._tell(reservation, "reservation_rejected", "reservation.rejected", via=via)
        if activity is not None:
            self.move_worker(reservation.worker, reservation.task.workspace, activity)

    def _time_out(self, reservation: Reservation) -> None:
        if reservation.status is not ReservationStatus.PENDING or reservation.on_hold:
            return
        workspace = reservation.task.workspace
        self._settle(reservation, ReservationStatus.TIMEOUT)
        self._wait_again(reservation.task)
        self._tell(reservation, "reservation_timeout", "reservation.timeout")
        if workspace.timeout_activity is not None:
            self.move_worker(reservation.worker, workspace, workspace.timeout_activity)

    def _wait_again(self, task: Task) -> None:
        if task.status is TaskStatus.RESERVED and not task.parties:
            self._set_status(task, TaskStatus.PENDING, None)
            self._wait(task)

    def _wrap_reservation(self, reservation: Reservation) -> None:
        task = reservation.task
        self._settle(reservation, ReservationStatus.WRAPPING)
        self._tell(reservation, "reservation_wrapping", "reservation.wrapup")
        if task.status is TaskStatus.ASSIGNED and all(
            party.status is ReservationStatus.WRAPPING for party in task.parties
        ):
            self._wrap_task(task, None)

    def _complete_reservation(self, reservation: Reservation) -> None:
        task = reservation.task
        if task.parties == [reservation]:
            self._complete_task(task, ALL_COMPLETED_REASON)
            return
        self._settle(reservation, ReservationStatus.COMPLETED)
        self._tell(reservation, "reservation_completed", "reservation.completed")

    def _settle(self, reservation: Reservation, status: ReservationStatus) -> None:
        """Sets the state; a reservation that is over gives its worker's capacity back."""
        reservation.status = status
        reservation.on_hold = False
        self._store.touch(reservation)
        worker = reservation.worker
        if status not in OPEN:
            del worker.open_reservations[reservation.sid]
            del reservation.worker_channel.open_reservations[reservation.sid]
            worker.idle_since = self._store.now
            self._store.touch(worker)
        self._store.changed(reservation.task.workspace)

    def _tell(self, reservation: Reservation, kind: str, event_type: str, **fields: object) -> None:
        self._store.log.append(kind, **_sids(reservation), **fields)
        self._store.emit(reservation.task.workspace, event_type, reservation=reservation)

    # --- How an instruction is executed ------------------------------------------------------------------------

    def _check_waiting(self, reservation: Reservation, instruction: Instruction) -> None:
        """accept and reject on a reservation that is decided: the error dictionary has no code of its own for it."""
        if reservation.status is not ReservationStatus.PENDING or reservation.on_hold:
            raise RefusedInstruction(
                20001, f"Cannot {instruction.name} reservation {reservation.sid}: it is {reservation.status}"
            )

    def _activity_of(self, instruction: Instruction, reservation: Reservation) -> Activity:
        activity = reservation.task.workspace.activities.get(instruction.activity_sid or "")
        if activity is None:
            raise RefusedInstruction(REJECT_ACTIVITY, "Missing or invalid: activity_sid")
        return activity

    def _dial_worker(self, reservation: Reservation, instruction: Instruction, via: str) -> None:
        """The worker's leg rings; while it decides over the reservation, the reservation's time-out is paused."""
        reservation.on_hold = instruction.accepts_when_connected
        self._store.log.append("worker_dialled", **_sids(reservation), instruction=instruction.name.value, via=via)
        self._store.after(
            self._store.switches.worker_answers_after_s,
            lambda: self._connect(reservation, instruction, via),
        )

    def _connect(self, reservation: Reservation, instruction: Instruction, via: str) -> None:
        if reservation.status is not ReservationStatus.PENDING:
            return
        if instruction.name in (Name.DEQUEUE, Name.CALL):
            self.write_member(reservation.task, "worker_call_sid", self._store.sids.new("CA"), "taskrouter")
        if instruction.accepts_when_connected:
            self._accept(reservation, via=via, instruction=instruction.name)


def channel_named(workspace: Workspace, name: str) -> TaskChannel:
    """The task channel with this SID or unique name. Raises ApiError 400/20001 if there is none."""
    for channel in workspace.task_channels.values():
        if name in (channel.sid, channel.unique_name):
            return channel
    raise invalid(f"There is no task channel {name}")


def _check_reservation_move(reservation: Reservation, status: str) -> None:
    if status == "accepted" and reservation.status is ReservationStatus.RESCINDED:
        raise gone(f"Reservation {reservation.sid} was rescinded")
    legal = {
        "accepted": {ReservationStatus.PENDING},
        "rejected": {ReservationStatus.PENDING},
        "wrapping": {ReservationStatus.ACCEPTED},
        "completed": {ReservationStatus.ACCEPTED, ReservationStatus.WRAPPING},
    }
    if reservation.status not in legal[status]:
        raise invalid(f"Reservation {reservation.sid} cannot become {status} because it is {reservation.status}")


def _only_workflow(workspace: Workspace) -> Workflow:
    if len(workspace.workflows) != 1:
        raise invalid("WorkflowSid is required unless the workspace has exactly one workflow")
    return next(iter(workspace.workflows.values()))


def _priority(number: int) -> int:
    if not 0 <= number <= MAX_PRIORITY:
        raise invalid(f"Priority must be between 0 and {MAX_PRIORITY}")
    return number


def _task_timeout(seconds: int) -> int:
    if not 1 <= seconds <= MAX_TASK_TIMEOUT_S:
        raise invalid(f"Timeout must be between 1 and {MAX_TASK_TIMEOUT_S}")
    return seconds


def _current_worker(task: Task) -> Worker | None:
    """The worker named in the task's event: that of the newest reservation that is not over."""
    return task.parties[-1].worker if task.parties else None


def _sids(reservation: Reservation) -> dict[str, object]:
    return {
        "task_sid": reservation.task.sid,
        "reservation_sid": reservation.sid,
        "worker_sid": reservation.worker.sid,
    }
