"""REST routes of what moves: tasks, reservations, events.

Sources: https://www.twilio.com/docs/taskrouter/api/task, https://www.twilio.com/docs/taskrouter/api/reservations,
https://www.twilio.com/docs/taskrouter/api/event
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from operator import attrgetter

from flask import Blueprint, Response, request

from . import attributes as attribute_text
from . import instructions
from .errors import invalid, not_emulated
from .faults import FaultKind, Faults
from .form import Form
from .lifecycle import DEFAULT_TASK_TIMEOUT_S, channel_named
from .records import Reservation, ReservationStatus, Task, TaskStatus
from .resource import Answer, Resource, answer_with, found, if_match, predicate, read_form
from .state import State

EVENTS_DEFAULT_MINUTES = 15
_TASK_ORDERS: dict[str, Callable[[Task], int | datetime]] = {
    "DateCreated": attrgetter("ordinal"),
    "Priority": attrgetter("priority"),
    "VirtualStartTime": attrgetter("virtual_start_time"),
}
_TASK_STATUSES = tuple(status.value for status in TaskStatus)
_RESERVATION_STATUSES = tuple(status.value for status in ReservationStatus)
_REST_PREFIXES = {
    instructions.Name.DEQUEUE: "Dequeue",
    instructions.Name.CALL: "Call",
    instructions.Name.REDIRECT: "Redirect",
    instructions.Name.CONFERENCE: "",
}


class TasksRoutes(Resource):
    def __init__(self, state: State, faults: Faults) -> None:
        super().__init__(state)
        self._faults = faults

    def register(self, api: Blueprint) -> None:
        tasks = "/<workspace_sid>/Tasks"
        self.route(api, tasks, GET=self._list, POST=self._create)
        self.route(api, f"{tasks}/<task_sid>", GET=self._fetch, POST=self._update, DELETE=self._delete)

    def _list(self, workspace_sid: str) -> Answer:
        workspace, form = self.workspace(workspace_sid), read_form()
        statuses, priority = form.texts("AssignmentStatus"), form.integer("Priority")
        if unknown := set(statuses) - set(_TASK_STATUSES):
            raise invalid(f"AssignmentStatus {', '.join(sorted(unknown))} is not a status")
        workflow_sid, workflow_name = form.text("WorkflowSid"), form.text("WorkflowName")
        queue_sid, queue_name = form.text("TaskQueueSid"), form.text("TaskQueueName")
        expression = predicate(form, "EvaluateTaskAttributes")
        rows = [
            row
            for row in workspace.tasks.values()
            if (not statuses or row.status.value in statuses)
            and priority in (None, row.priority)
            and workflow_sid in (None, row.workflow.sid)
            and workflow_name in (None, row.workflow.friendly_name)
            and queue_sid in (None, row.task_queue.sid)
            and queue_name in (None, row.task_queue.friendly_name)
            and expression(attribute_text.as_object(row.attributes))
        ]
        _order(rows, form.texts("Ordering"))
        return self.page("tasks", rows, self.wire.task, form)

    def _create(self, workspace_sid: str) -> Answer:
        workspace, form = self.workspace(workspace_sid), read_form()
        for name in ("RoutingTarget", "IgnoreCapacity", "TaskQueueSid"):
            if form.text(name):
                raise not_emulated(f"{name} on a new task")
        channel = form.text("TaskChannel")
        task = self.state.tasks.create_task(
            workspace,
            attributes=form.text("Attributes", default="{}"),
            workflow=form.resource("WorkflowSid", "WW", workspace.workflows),
            task_channel=channel_named(workspace, channel) if channel else None,
            priority=form.integer("Priority", default=0),
            timeout=form.integer("Timeout", default=DEFAULT_TASK_TIMEOUT_S),
            virtual_start_time=form.instant("VirtualStartTime"),
        )
        return answer_with(self.wire.task(task), 201, version=task.version)

    def _fetch(self, workspace_sid: str, task_sid: str) -> Answer:
        task = found(self.workspace(workspace_sid).tasks, task_sid)
        answer = answer_with(self.wire.task(task), version=task.version)
        intruder = self._faults.strike(request.method, request.path, FaultKind.INTRUDING_WRITER, after_processing=True)
        if intruder is not None:
            self.state.tasks.write_member(task, intruder.key, f"intrusion {intruder.hits}", "intruder")
        return answer

    def _update(self, workspace_sid: str, task_sid: str) -> Answer:
        workspace, form = self.workspace(workspace_sid), read_form()
        task: Task = found(workspace.tasks, task_sid)
        channel = form.text("TaskChannel")
        self.state.tasks.update_task(
            task,
            if_match=if_match(),
            attributes=form.text("Attributes"),
            assignment_status=form.choice("AssignmentStatus", _TASK_STATUSES),
            reason=form.text("Reason"),
            priority=form.integer("Priority"),
            task_channel=channel_named(workspace, channel) if channel else None,
            virtual_start_time=form.instant("VirtualStartTime"),
            by=request.headers.get("User-Agent") or "rest",
        )
        return answer_with(self.wire.task(task), version=task.version)

    def _delete(self, workspace_sid: str, task_sid: str) -> Answer:
        task = found(self.workspace(workspace_sid).tasks, task_sid)
        self.state.tasks.delete_task(task, if_match=if_match())
        return Response(), 204, {}


class ReservationsRoutes(Resource):
    """Reservations, under the task and under the worker: the same records by two paths."""

    def register(self, api: Blueprint) -> None:
        for parent, list_, fetch, update in (
            ("Tasks/<task_sid>", self._list_of_task, self._fetch_of_task, self._update_of_task),
            ("Workers/<worker_sid>", self._list_of_worker, self._fetch_of_worker, self._update_of_worker),
        ):
            path = f"/<workspace_sid>/{parent}/Reservations"
            self.route(api, path, GET=list_)
            self.route(api, f"{path}/<sid>", GET=fetch, POST=update)

    def _list_of_task(self, workspace_sid: str, task_sid: str) -> Answer:
        rows = self._of_task(workspace_sid, task_sid)
        return self._list(rows.values(), under_worker=False)

    def _list_of_worker(self, workspace_sid: str, worker_sid: str) -> Answer:
        rows = self._of_worker(workspace_sid, worker_sid)
        return self._list(rows.values(), under_worker=True)

    def _fetch_of_task(self, workspace_sid: str, task_sid: str, sid: str) -> Answer:
        return self._fetch(found(self._of_task(workspace_sid, task_sid), sid), under_worker=False)

    def _fetch_of_worker(self, workspace_sid: str, worker_sid: str, sid: str) -> Answer:
        return self._fetch(found(self._of_worker(workspace_sid, worker_sid), sid), under_worker=True)

    def _update_of_task(self, workspace_sid: str, task_sid: str, sid: str) -> Answer:
        return self._update(found(self._of_task(workspace_sid, task_sid), sid), under_worker=False)

    def _update_of_worker(self, workspace_sid: str, worker_sid: str, sid: str) -> Answer:
        return self._update(found(self._of_worker(workspace_sid, worker_sid), sid), under_worker=True)

    def _of_task(self, workspace_sid: str, task_sid: str) -> dict[str, Reservation]:
        return found(self.workspace(workspace_sid).tasks, task_sid).reservations

    def _of_worker(self, workspace_sid: str, worker_sid: str) -> dict[str, Reservation]:
        workspace = self.workspace(workspace_sid)
        worker = found(workspace.workers, worker_sid)
        return {
            reservation.sid: reservation
            for task in workspace.tasks.values()
            for reservation in task.reservations.values()
            if reservation.worker is worker
        }

    def _list(self, reservations: Iterable[Reservation], *, under_worker: bool) -> Answer:
        form = read_form()
        status, worker_sid = form.choice("ReservationStatus", _RESERVATION_STATUSES), form.text("WorkerSid")
        rows = [
            row for row in reservations if status in (None, row.status.value) and worker_sid in (None, row.worker.sid)
        ]
        write = self.wire.reservation
        return self.page("reservations", rows, lambda row: write(row, under_worker=under_worker), form)

    def _fetch(self, reservation: Reservation, *, under_worker: bool) -> Answer:
        """With an ETag below the task only: Twilio's document has none on fetch and update below the worker."""
        body = self.wire.reservation(reservation, under_worker=under_worker)
        return answer_with(body, version=None if under_worker else reservation.version)

    def _update(self, reservation: Reservation, *, under_worker: bool) -> Answer:
        form = read_form()
        status = form.choice("ReservationStatus", _RESERVATION_STATUSES)
        instruction = form.text("Instruction")
        if status is not None and instruction is not None:
            raise invalid("ReservationStatus and Instruction cannot be given together")
        if instruction is not None:
            self._execute(reservation, instruction, form)
        elif status is not None:
            self.state.tasks.update_reservation(
                reservation,
                status,
                if_match=if_match(),
                worker_activity=form.resource("WorkerActivitySid", "WA", reservation.task.workspace.activities),
            )
        return self._fetch(reservation, under_worker=under_worker)

    def _execute(self, reservation: Reservation, instruction: str, form: Form) -> None:
        if instruction.lower() == "supervise":
            raise not_emulated("Instruction=supervise")
        try:
            name = instructions.Name(instruction.lower())
            prefix = _REST_PREFIXES[name]
        except (ValueError, KeyError):
            raise invalid(f"Instruction {instruction} is not one of those for reservations") from None
        try:
            asked = instructions.from_form(name, form.without_prefix(prefix))
            self.state.tasks.execute(reservation, asked, via="rest", if_match=if_match())
        except instructions.RefusedInstruction as refused:
            raise invalid(refused.message, refused.code) from refused


class EventsRoutes(Resource):
    """What happened, over REST: the last 15 minutes unless `Minutes` says otherwise."""

    def register(self, api: Blueprint) -> None:
        self.route(api, "/<workspace_sid>/Events", GET=self._list)
        self.route(api, "/<workspace_sid>/Events/<sid>", GET=self._fetch)

    def _list(self, workspace_sid: str) -> Answer:
        workspace, form = self.workspace(workspace_sid), read_form()
        wanted = {
            name: form.text(name)
            for name in ("EventType", "Sid", "TaskSid", "ReservationSid", "WorkerSid", "WorkflowSid", "TaskQueueSid")
        }
        channel = form.text("TaskChannel")
        start, end = form.instant("StartDate"), form.instant("EndDate")
        minutes = form.integer("Minutes", default=EVENTS_DEFAULT_MINUTES)
        if start is None and end is None:
            start = self.state.clock.now() - timedelta(minutes=minutes)
        rows = [
            row
            for row in workspace.events
            if all(value in (None, row.parameters.get(name)) for name, value in wanted.items())
            and channel in (None, row.parameters.get("TaskChannelSid"), row.parameters.get("TaskChannelUniqueName"))
            and (start is None or row.date >= start)
            and (end is None or row.date <= end)
        ]
        return self.page("events", rows, lambda row: self.wire.event(workspace, row), form)

    def _fetch(self, workspace_sid: str, sid: str) -> Answer:
        workspace = self.workspace(workspace_sid)
        event = found({event.sid: event for event in workspace.events}, sid)
        return answer_with(self.wire.event(workspace, event))


def _order(tasks: list[Task], orderings: list[str]) -> None:
    """Sorts by `DateCreated:desc,Priority:asc` and the like, the first one counting most."""
    for ordering in reversed(orderings):
        name, _, direction = ordering.partition(":")
        if name not in _TASK_ORDERS or direction.lower() not in ("", "asc", "desc"):
            raise invalid(f"Ordering {ordering} is not one of {', '.join(_TASK_ORDERS)} with :asc or :desc")
        tasks.sort(key=_TASK_ORDERS[name], reverse=direction.lower() == "desc")
