"""Reservations: workers are reserved for waiting tasks, and what clients, answers and time make of it.

Sources: https://www.twilio.com/docs/taskrouter/api/reservations, https://www.twilio.com/docs/taskrouter/api/task-queue
(several workers reserved side by side) and https://www.twilio.com/docs/taskrouter/multitasking
"""

from collections.abc import Callable

from taskrouter_emulator.engine.store import Store, callback_sids
from taskrouter_emulator.engine.tasks import Tasks
from taskrouter_emulator.engine.transitions import Moves, sids_of
from taskrouter_emulator.engine.workflow_progress import Journey
from taskrouter_emulator.model import events
from taskrouter_emulator.model.errors import gone, invalid
from taskrouter_emulator.model.instructions import REJECT_ACTIVITY, Instruction, Name, RefusedInstruction, check
from taskrouter_emulator.model.records import (
    Activity,
    AssignmentCallback,
    Call,
    Reservation,
    ReservationStatus,
    Task,
    TaskStatus,
    Worker,
    Workspace,
)

ASSIGNED_LIMIT_S = 86_400
MAX_ASSIGNMENTS = 1_000
ASSIGNMENTS_REASON = "Task TTL Exceeded or Max assignment count exceeded"
ALL_COMPLETED_REASON = "All reservations were completed"

_LEG_FAILED = {Name.CALL: 40113, Name.DEQUEUE: 40133, Name.CONFERENCE: 40145}


class Reservations:
    """Reserves workers and moves reservations through their states. Every public method is one transaction."""

    def __init__(self, store: Store, moves: Moves, journey: Journey, tasks: Tasks) -> None:
        self._store = store
        self._moves = moves
        self._journey = journey
        self._tasks = tasks

    def route(self, workspace: Workspace) -> None:
        """Reserves a worker for every waiting task that finds one, until nobody moves any more."""
        while True:
            lines = self._moves.lines(workspace)
            for task, worker in lines.matches(workspace, round_robin=self._store.switches.workers_in_turn):
                self._reserve(task, worker)
            if not self._journey.skip_newcomers():
                return

    def update(
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
            "wrapping": lambda: self._wrap(reservation),
            "completed": lambda: self._complete(reservation),
        }
        with self._store.transaction():
            self._store.check_version(reservation, if_match)
            if status not in moves:
                raise invalid(f"ReservationStatus cannot be set to {status}")
            _check_move(reservation, status)
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
            match instruction.name:
                case Name.ACCEPT:
                    _check_waits(reservation, instruction)
                    self._accept(reservation, via=via, instruction=instruction.name)
                case Name.REJECT:
                    _check_waits(reservation, instruction)
                    self._reject(reservation, _activity_of(instruction, reservation), via=via)
                case Name.REDIRECT:
                    if instruction.accept:
                        self._accept(reservation, via=via, instruction=instruction.name)
                case Name.SUPERVISE:
                    self._store.log.append("worker_supervised", **sids_of(reservation), mode=instruction.mode)
                case _:
                    self._dial(reservation, instruction, via)

    def time_out(self, reservation: Reservation) -> None:
        """What the clock does when nobody has answered in time, done now. Raises ApiError 400 if it does not wait."""
        with self._store.transaction():
            if reservation.status is not ReservationStatus.PENDING or reservation.on_hold:
                raise invalid(f"Reservation {reservation.sid} cannot time out because it does not wait for an answer")
            self._time_out(reservation)

    def move_worker(self, worker: Worker, workspace: Workspace, activity: Activity, *, reject: bool = False) -> None:
        """Puts a worker into another activity; reservations go on unless `reject` and the activity is unavailable."""
        with self._store.transaction():
            self._moves.change_activity(worker, workspace, activity)
            if reject and not activity.available:
                for reservation in list(worker.open_reservations.values()):
                    if reservation.status is ReservationStatus.PENDING:
                        self._reject(reservation, activity, via="rest")

    def hang_up(self, task: Task) -> None:
        """The caller hangs up, or the connected worker does. What has ended with it, TaskRouter ends itself.

        A caller who still waits takes the task along: canceled, with the reason "hangup". After a connected call the
        worker goes to the post-work activity that the instruction named, and the task is left to be wrapped up; in a
        workspace without multitasking it is completed.
        """
        with self._store.transaction():
            self._store.log.append("call_ended", task_sid=task.sid)
            connected = [party for party in task.parties if party.call is not None]
            if not connected and task.status in (TaskStatus.PENDING, TaskStatus.RESERVED):
                self._moves.cancel_task(task, "hangup")
                return
            for party in connected:
                call, party.call = party.call, None
                if call is not None and call.post_work_activity is not None:
                    self._moves.change_activity(party.worker, task.workspace, call.post_work_activity)
            if connected and task.status is TaskStatus.ASSIGNED:
                if task.workspace.multi_task_enabled:
                    self._moves.wrap_task(task, "hangup")
                else:
                    self._moves.complete_task(task, "hangup")

    # --- How a reservation comes about -------------------------------------------------------------------------

    def _reserve(self, task: Task, worker: Worker) -> None:
        if task.assignment_count >= MAX_ASSIGNMENTS:
            self._moves.cancel_task(task, ASSIGNMENTS_REASON)
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
            self._moves.set_task_status(task, TaskStatus.RESERVED)
        worker.idle_since, worker.last_reserved = now, self._store.ordinal()
        self._store.touch(worker)
        self._moves.line_up(task)
        self._store.log.append("reservation_created", **sids_of(reservation))
        self._store.emit(task.workspace, "reservation.created", reservation=reservation)
        if task.task_queue is not None:
            self._occupy(reservation, task.task_queue.reservation_activity)
        self._owe_assignment_callback(reservation)
        self._store.after(task.workflow.task_reservation_timeout, lambda: self._time_out(reservation))

    def _occupy(self, reservation: Reservation, activity: Activity | None) -> None:
        """Without multitasking a queue may name the activities of workers who are reserved, and who are assigned."""
        if activity is not None and not reservation.task.workspace.multi_task_enabled:
            reservation.activity_before = reservation.activity_before or reservation.worker.activity
            self._moves.change_activity(reservation.worker, reservation.task.workspace, activity)

    def _owe_assignment_callback(self, reservation: Reservation) -> None:
        workflow = reservation.task.workflow
        if workflow.assignment_callback_url is None:
            return
        parameters = events.assignment_parameters(
            self._store.account_sid,
            reservation,
            self._store.now,
            with_timestamp=self._store.switches.assignment_timestamp,
        )
        self._store.owe(
            AssignmentCallback(
                url=workflow.assignment_callback_url,
                fallback_url=workflow.fallback_assignment_callback_url,
                parameters=parameters,
                reservation=reservation,
                sids=callback_sids(parameters),
            )
        )

    # --- How it is decided -------------------------------------------------------------------------------------

    def _accept(self, reservation: Reservation, *, via: str, instruction: Name | None) -> None:
        task = reservation.task
        self._rescind_others(reservation)
        self._moves.settle(reservation, ReservationStatus.ACCEPTED)
        self._moves.lines(task.workspace).remove(task)
        delay_s = self._store.switches.assigned_after_s
        if delay_s:
            self._store.after(delay_s, lambda: self._assign(reservation))
        else:
            self._moves.set_task_status(task, TaskStatus.ASSIGNED)
        self._moves.tell(reservation, via=via, instruction=instruction)
        if task.task_queue is not None:
            self._occupy(reservation, task.task_queue.assignment_activity)
        self._store.after(ASSIGNED_LIMIT_S, lambda: self._end_of_day(task))
        if instruction in (None, Name.ACCEPT) and "call_sid" in task.parsed_attributes:
            self._moves.alert(
                None,
                "caller_left_in_queue",
                "A voice task was merely accepted: nobody connects the call, the caller stays in the queue",
                **sids_of(reservation),
            )

    def _assign(self, reservation: Reservation) -> None:
        """The task follows its accepted reservation a little later, unless it has ended meanwhile."""
        if reservation.status is ReservationStatus.ACCEPTED and reservation.task.status is TaskStatus.RESERVED:
            self._moves.set_task_status(reservation.task, TaskStatus.ASSIGNED)

    def _rescind_others(self, reservation: Reservation) -> None:
        for other in reservation.task.parties:
            if other is not reservation and other.status is ReservationStatus.PENDING:
                self._moves.settle(other, ReservationStatus.RESCINDED)
                self._moves.tell(other)
                self._moves.give_activity_back(other)

    def _reject(self, reservation: Reservation, activity: Activity | None, *, via: str) -> None:
        self._moves.settle(reservation, ReservationStatus.REJECTED)
        self._moves.release(reservation.task)
        self._moves.tell(reservation, via=via)
        self._journey.resume(reservation.task)
        if activity is not None:
            self._moves.change_activity(reservation.worker, reservation.task.workspace, activity)
        else:
            self._moves.give_activity_back(reservation)

    def _time_out(self, reservation: Reservation) -> None:
        if reservation.status is not ReservationStatus.PENDING or reservation.on_hold:
            return
        workspace = reservation.task.workspace
        self._moves.settle(reservation, ReservationStatus.TIMEOUT)
        self._moves.release(reservation.task)
        self._moves.tell(reservation)
        self._journey.resume(reservation.task, timed_out=True)
        if workspace.timeout_activity is not None and self._store.switches.timeout_moves_worker:
            self._moves.change_activity(reservation.worker, workspace, workspace.timeout_activity)

    def _end_of_day(self, task: Task) -> None:
        if task.sid in task.workspace.tasks and task.status is TaskStatus.ASSIGNED:
            self._moves.remove_task(task, "task.system-deleted")

    def _wrap(self, reservation: Reservation) -> None:
        task = reservation.task
        self._moves.settle(reservation, ReservationStatus.WRAPPING)
        self._moves.tell(reservation)
        all_wrapping = all(party.status is ReservationStatus.WRAPPING for party in task.parties)
        if task.status is TaskStatus.ASSIGNED and all_wrapping:
            self._moves.wrap_task(task, None)

    def _complete(self, reservation: Reservation) -> None:
        task = reservation.task
        if task.parties == [reservation]:
            self._moves.complete_task(task, ALL_COMPLETED_REASON)
            return
        self._moves.settle(reservation, ReservationStatus.COMPLETED)
        self._moves.tell(reservation)

    # --- How a worker's leg is set up --------------------------------------------------------------------------

    def _dial(self, reservation: Reservation, instruction: Instruction, via: str) -> None:
        """The worker's leg rings; while it decides over the reservation, the reservation's time-out is paused.

        Of several workers reserved side by side only the first one is dialled: the others are rescinded at once.
        """
        if instruction.accepts_when_connected:
            reservation.on_hold = True
            self._moves.lines(reservation.task.workspace).remove(reservation.task)
            self._rescind_others(reservation)
        self._store.log.append("worker_dialled", **sids_of(reservation), instruction=instruction.name.value, via=via)
        self._store.after(
            self._store.switches.worker_answers_after_s,
            lambda: self._ring_off(reservation, instruction, via),
        )

    def _ring_off(self, reservation: Reservation, instruction: Instruction, via: str) -> None:
        if reservation.status is not ReservationStatus.PENDING:
            return
        if not self._store.switches.worker_answers:
            self._fail(reservation, instruction)
            return
        if instruction.name in (Name.DEQUEUE, Name.CALL):
            self._tasks.write_member(reservation.task, "worker_call_sid", self._store.sids.new("CA"), "taskrouter")
        activities = reservation.task.workspace.activities
        reservation.call = Call(instruction.name.value, activities.get(instruction.post_work_activity_sid or ""))
        if instruction.accepts_when_connected:
            self._accept(reservation, via=via, instruction=instruction.name)

    def _fail(self, reservation: Reservation, instruction: Instruction) -> None:
        """Nobody answers. A reservation that hung on it is canceled, not timed out, and the task waits again."""
        message = f"The worker's leg of {instruction.name} was not answered"
        self._moves.alert(_LEG_FAILED[instruction.name], "instruction", message, **sids_of(reservation))
        if reservation.on_hold:
            self._moves.settle(reservation, ReservationStatus.CANCELED)
            self._moves.release(reservation.task)
            self._moves.tell(reservation)
            self._journey.resume(reservation.task)
            self._moves.give_activity_back(reservation)


def _check_waits(reservation: Reservation, instruction: Instruction) -> None:
    """accept and reject on a reservation that is decided: the error dictionary has no code of its own for it."""
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
    legal = {
        "accepted": {ReservationStatus.PENDING},
        "rejected": {ReservationStatus.PENDING},
        "wrapping": {ReservationStatus.ACCEPTED},
        "completed": {ReservationStatus.ACCEPTED, ReservationStatus.WRAPPING},
    }
    if reservation.status not in legal[status]:
        raise invalid(f"Reservation {reservation.sid} cannot become {status} because it is {reservation.status}")
    if status in ("wrapping", "completed") and reservation.task.status is TaskStatus.RESERVED:
        raise invalid(f"Reservation {reservation.sid} cannot become {status}: its task is not currently assigned")
