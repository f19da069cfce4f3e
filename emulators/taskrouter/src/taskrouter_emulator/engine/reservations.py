"""Reservations: workers are reserved for waiting tasks; clients, callback responses and time decide them.

Sources: https://www.twilio.com/docs/taskrouter/api/reservations, https://www.twilio.com/docs/taskrouter/api/task-queue
(several workers reserved at once) and https://www.twilio.com/docs/taskrouter/multitasking
"""

from collections.abc import Callable

from taskrouter_emulator.engine.store import Store, callback_sids
from taskrouter_emulator.engine.tasks import Tasks
from taskrouter_emulator.engine.transitions import Transitions, reservation_sids
from taskrouter_emulator.engine.workflow_progress import WorkflowProgress
from taskrouter_emulator.model import events
from taskrouter_emulator.model.errors import gone, invalid
from taskrouter_emulator.model.instructions import (
    REJECT_ACTIVITY,
    Instruction,
    InstructionName,
    RefusedInstruction,
    check,
)
from taskrouter_emulator.model.records import (
    Activity,
    Call,
    PendingAssignmentCallback,
    Reservation,
    ReservationStatus,
    Task,
    TaskStatus,
    Worker,
    Workspace,
)

MAX_ASSIGNED_S = 86_400
MAX_ASSIGNMENTS = 1_000
ASSIGNMENTS_REASON = "Task TTL Exceeded or Max assignment count exceeded"
ALL_COMPLETED_REASON = "All reservations were completed"

_CALL_LEG_FAILED = {InstructionName.CALL: 40113, InstructionName.DEQUEUE: 40133, InstructionName.CONFERENCE: 40145}


class Reservations:
    """Reserves workers and changes the state of reservations. Every public method is one transaction."""

    def __init__(self, store: Store, transitions: Transitions, journey: WorkflowProgress, tasks: Tasks) -> None:
        self._store = store
        self._transitions = transitions
        self._progress = journey
        self._tasks = tasks

    def route(self, workspace: Workspace) -> None:
        """Reserve a worker for every waiting task that finds one, until nothing changes any more."""
        while True:
            backlog = self._transitions.backlog(workspace)
            for task, worker in backlog.matches(workspace, round_robin=self._store.switches.workers_in_turn):
                self._reserve(task, worker)
            if not self._progress.apply_skip_if():
                return

    def update(
        self,
        reservation: Reservation,
        status: str,
        *,
        if_match: str | None = None,
        worker_activity: Activity | None = None,
    ) -> None:
        """Set one of the states that a client may set over REST: accepted, rejected, wrapping, completed.

        Raises ApiError: 412/20412 for a stale `If-Match`, 410 for accepting a rescinded reservation, else 400/20001.
        """
        transitions: dict[str, Callable[[], None]] = {
            "accepted": lambda: self._accept(reservation, via="rest", instruction=None),
            "rejected": lambda: self._reject(reservation, worker_activity, via="rest"),
            "wrapping": lambda: self._wrap(reservation),
            "completed": lambda: self._complete(reservation),
        }
        with self._store.transaction():
            self._store.check_version(reservation, if_match)
            if status not in transitions:
                raise invalid(f"ReservationStatus cannot be set to {status}")
            _check_move(reservation, status)
            transitions[status]()

    def execute(
        self, reservation: Reservation, instruction: Instruction, *, via: str, if_match: str | None = None
    ) -> None:
        """Execute an instruction. via: "callback" or "rest".

        Raises RefusedInstruction, with nothing changed, if it is incomplete or the reservation is not pending;
        ApiError 412/20412 for a stale `If-Match`.
        """
        with self._store.transaction():
            self._store.check_version(reservation, if_match)
            check(instruction, reservation)
            match instruction.name:
                case InstructionName.ACCEPT:
                    _check_waits(reservation, instruction)
                    self._accept(reservation, via=via, instruction=instruction.name)
                case InstructionName.REJECT:
                    _check_waits(reservation, instruction)
                    self._reject(reservation, _activity_of(instruction, reservation), via=via)
                case InstructionName.REDIRECT:
                    if instruction.accept:
                        self._accept(reservation, via=via, instruction=instruction.name)
                case InstructionName.SUPERVISE:
                    self._store.log.append("worker_supervised", **reservation_sids(reservation), mode=instruction.mode)
                case _:
                    self._dial(reservation, instruction, via)

    def time_out(self, reservation: Reservation) -> None:
        """Time the reservation out now, before its time. Raises ApiError 400 if it is not pending."""
        with self._store.transaction():
            if reservation.status is not ReservationStatus.PENDING or reservation.on_hold:
                raise invalid(f"Reservation {reservation.sid} cannot time out because it is not pending")
            self._time_out(reservation)

    def move_worker(self, worker: Worker, workspace: Workspace, activity: Activity, *, reject: bool = False) -> None:
        """Put a worker into another activity. reject: reject pending reservations if the activity is unavailable."""
        with self._store.transaction():
            self._transitions.change_activity(worker, workspace, activity)
            if reject and not activity.available:
                for reservation in list(worker.open_reservations.values()):
                    if reservation.status is ReservationStatus.PENDING:
                        self._reject(reservation, activity, via="rest")

    def hang_up(self, task: Task) -> None:
        """End the call, as if the caller or the connected worker hung up.

        If the caller still waits, the task is canceled with the reason "hangup". After a connected call the worker goes
        to the post-work activity that the instruction named, and the task is wrapping; without multitasking it is
        completed.
        """
        with self._store.transaction():
            self._store.log.append("call_ended", task_sid=task.sid)
            connected = [member for member in task.open_reservations if member.call is not None]
            if not connected and task.status in (TaskStatus.PENDING, TaskStatus.RESERVED):
                self._transitions.cancel_task(task, "hangup")
                return
            for member in connected:
                call, member.call = member.call, None
                if call is not None and call.post_work_activity is not None:
                    self._transitions.change_activity(member.worker, task.workspace, call.post_work_activity)
            if connected and task.status is TaskStatus.ASSIGNED:
                if task.workspace.multi_task_enabled:
                    self._transitions.wrap_task(task, "hangup")
                else:
                    self._transitions.complete_task(task, "hangup")

    # --- Creation ----------------------------------------------------------------------------------------------

    def _reserve(self, task: Task, worker: Worker) -> None:
        if task.assignment_count >= MAX_ASSIGNMENTS:
            self._transitions.cancel_task(task, ASSIGNMENTS_REASON)
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
        worker.open_reservations[reservation.sid] = reservation
        reservation.worker_channel.open_reservations[reservation.sid] = reservation
        if task.status is TaskStatus.PENDING:
            task.assignment_count += 1
            self._transitions.set_task_status(task, TaskStatus.RESERVED)
        worker.idle_since, worker.last_reserved = now, self._store.ordinal()
        self._store.touch(worker)
        self._transitions.enqueue(task)
        self._store.log.append("reservation_created", **reservation_sids(reservation))
        self._store.emit(task.workspace, "reservation.created", reservation=reservation)
        if task.task_queue is not None:
            self._set_queue_activity(reservation, task.task_queue.reservation_activity)
        self._enqueue_assignment_callback(reservation)
        self._store.after(task.workflow.task_reservation_timeout, lambda: self._time_out(reservation))

    def _set_queue_activity(self, reservation: Reservation, activity: Activity | None) -> None:
        """Apply the queue's activity for reserved or assigned workers, in a workspace without multitasking."""
        if activity is not None and not reservation.task.workspace.multi_task_enabled:
            reservation.previous_activity = reservation.previous_activity or reservation.worker.activity
            self._transitions.change_activity(reservation.worker, reservation.task.workspace, activity)

    def _enqueue_assignment_callback(self, reservation: Reservation) -> None:
        workflow = reservation.task.workflow
        if workflow.assignment_callback_url is None:
            return
        parameters = events.assignment_parameters(
            self._store.account_sid,
            reservation,
            self._store.now,
            with_timestamp=self._store.switches.assignment_timestamp,
        )
        self._store.enqueue_callback(
            PendingAssignmentCallback(
                url=workflow.assignment_callback_url,
                fallback_url=workflow.fallback_assignment_callback_url,
                parameters=parameters,
                reservation=reservation,
                sids=callback_sids(parameters),
            )
        )

    # --- Decision ----------------------------------------------------------------------------------------------

    def _accept(self, reservation: Reservation, *, via: str, instruction: InstructionName | None) -> None:
        task = reservation.task
        self._rescind_others(reservation)
        self._transitions.set_reservation_status(reservation, ReservationStatus.ACCEPTED)
        self._transitions.backlog(task.workspace).remove(task)
        delay_s = self._store.switches.assigned_after_s
        if delay_s:
            self._store.after(delay_s, lambda: self._assign(reservation))
        else:
            self._transitions.set_task_status(task, TaskStatus.ASSIGNED)
        self._transitions.announce(reservation, via=via, instruction=instruction)
        if task.task_queue is not None:
            self._set_queue_activity(reservation, task.task_queue.assignment_activity)
        self._store.after(MAX_ASSIGNED_S, lambda: self._end_overlong_assignment(task))
        if instruction in (None, InstructionName.ACCEPT) and "call_sid" in task.parsed_attributes:
            self._transitions.alert(
                None,
                "caller_left_in_queue",
                "A voice task was accepted without connecting the call: the caller stays in the queue",
                **reservation_sids(reservation),
            )

    def _assign(self, reservation: Reservation) -> None:
        """Assign the task some time after its reservation was accepted, unless it has ended meanwhile."""
        if reservation.status is ReservationStatus.ACCEPTED and reservation.task.status is TaskStatus.RESERVED:
            self._transitions.set_task_status(reservation.task, TaskStatus.ASSIGNED)

    def _rescind_others(self, reservation: Reservation) -> None:
        for other in reservation.task.open_reservations:
            if other is not reservation and other.status is ReservationStatus.PENDING:
                self._transitions.set_reservation_status(other, ReservationStatus.RESCINDED)
                self._transitions.announce(other)
                self._transitions.restore_activity(other)

    def _reject(self, reservation: Reservation, activity: Activity | None, *, via: str) -> None:
        self._transitions.set_reservation_status(reservation, ReservationStatus.REJECTED)
        self._transitions.return_to_pending(reservation.task)
        self._transitions.announce(reservation, via=via)
        self._progress.resume(reservation.task)
        if activity is not None:
            self._transitions.change_activity(reservation.worker, reservation.task.workspace, activity)
        else:
            self._transitions.restore_activity(reservation)

    def _time_out(self, reservation: Reservation) -> None:
        if reservation.status is not ReservationStatus.PENDING or reservation.on_hold:
            return
        workspace = reservation.task.workspace
        self._transitions.set_reservation_status(reservation, ReservationStatus.TIMEOUT)
        self._transitions.return_to_pending(reservation.task)
        self._transitions.announce(reservation)
        self._progress.resume(reservation.task, timed_out=True)
        if workspace.timeout_activity is not None and self._store.switches.timeout_moves_worker:
            self._transitions.change_activity(reservation.worker, workspace, workspace.timeout_activity)

    def _end_overlong_assignment(self, task: Task) -> None:
        if task.sid in task.workspace.tasks and task.status is TaskStatus.ASSIGNED:
            self._transitions.remove_task(task, "task.system-deleted")

    def _wrap(self, reservation: Reservation) -> None:
        task = reservation.task
        self._transitions.set_reservation_status(reservation, ReservationStatus.WRAPPING)
        self._transitions.announce(reservation)
        all_wrapping = all(member.status is ReservationStatus.WRAPPING for member in task.open_reservations)
        if task.status is TaskStatus.ASSIGNED and all_wrapping:
            self._transitions.wrap_task(task, None)

    def _complete(self, reservation: Reservation) -> None:
        task = reservation.task
        if task.open_reservations == [reservation]:
            self._transitions.complete_task(task, ALL_COMPLETED_REASON)
            return
        self._transitions.set_reservation_status(reservation, ReservationStatus.COMPLETED)
        self._transitions.announce(reservation)

    # --- The worker's call leg ---------------------------------------------------------------------------------

    def _dial(self, reservation: Reservation, instruction: Instruction, via: str) -> None:
        """Dial the worker; if the call decides the reservation, the reservation's time-out is paused.

        Of several workers reserved at once only the first is dialled: the others are rescinded at once.
        """
        if instruction.accepts_when_connected:
            reservation.on_hold = True
            self._transitions.backlog(reservation.task.workspace).remove(reservation.task)
            self._rescind_others(reservation)
        self._store.log.append(
            "worker_dialled", **reservation_sids(reservation), instruction=instruction.name.value, via=via
        )
        self._store.after(
            self._store.switches.worker_answers_after_s,
            lambda: self._finish_dialling(reservation, instruction, via),
        )

    def _finish_dialling(self, reservation: Reservation, instruction: Instruction, via: str) -> None:
        if reservation.status is not ReservationStatus.PENDING:
            return
        if not self._store.switches.worker_answers:
            self._end_unanswered_leg(reservation, instruction)
            return
        if instruction.name in (InstructionName.DEQUEUE, InstructionName.CALL):
            self._tasks.write_member(reservation.task, "worker_call_sid", self._store.sids.new("CA"), "taskrouter")
        activities = reservation.task.workspace.activities
        reservation.call = Call(instruction.name.value, activities.get(instruction.post_work_activity_sid or ""))
        if instruction.accepts_when_connected:
            self._accept(reservation, via=via, instruction=instruction.name)

    def _end_unanswered_leg(self, reservation: Reservation, instruction: Instruction) -> None:
        """Raise an alert; a reservation on hold is canceled, not timed out, and the task waits again."""
        message = f"The worker did not answer the {instruction.name} call"
        self._transitions.alert(
            _CALL_LEG_FAILED[instruction.name], "instruction", message, **reservation_sids(reservation)
        )
        if reservation.on_hold:
            self._transitions.set_reservation_status(reservation, ReservationStatus.CANCELED)
            self._transitions.return_to_pending(reservation.task)
            self._transitions.announce(reservation)
            self._progress.resume(reservation.task)
            self._transitions.restore_activity(reservation)


def _check_waits(reservation: Reservation, instruction: Instruction) -> None:
    """Refuse accept and reject unless the reservation is pending: the error dictionary has no code for that."""
    if reservation.status is not ReservationStatus.PENDING or reservation.on_hold:
        raise RefusedInstruction(
            20001, f"Cannot {instruction.name} reservation {reservation.sid}: it is {reservation.status}"
        )


def _activity_of(instruction: Instruction, reservation: Reservation) -> Activity:
    activity = reservation.task.workspace.activities.get(instruction.activity_sid or "")
    if activity is None:
        raise RefusedInstruction(REJECT_ACTIVITY, "Missing or invalid: activity_sid")
    return activity


def _check_move(reservation: Reservation, status: str) -> None:
    if status == "accepted" and reservation.status is ReservationStatus.RESCINDED:
        raise gone(f"Reservation {reservation.sid} was rescinded")
    allowed = {
        "accepted": {ReservationStatus.PENDING},
        "rejected": {ReservationStatus.PENDING},
        "wrapping": {ReservationStatus.ACCEPTED},
        "completed": {ReservationStatus.ACCEPTED, ReservationStatus.WRAPPING},
    }
    if reservation.status not in allowed[status]:
        raise invalid(f"Reservation {reservation.sid} cannot become {status} because it is {reservation.status}")
    if status in ("wrapping", "completed") and reservation.task.status is TaskStatus.RESERVED:
        raise invalid(f"Reservation {reservation.sid} cannot become {status}: its task is not currently assigned")
