"""REST routes of tasks, reservations and events.

Sources: https://www.twilio.com/docs/taskrouter/api/task, https://www.twilio.com/docs/taskrouter/api/reservations,
https://www.twilio.com/docs/taskrouter/api/event
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from operator import attrgetter

from flask import Blueprint, request

from taskrouter_emulator.engine.state import State
from taskrouter_emulator.engine.tasks import DEFAULT_TASK_TIMEOUT_S, find_task_channel
from taskrouter_emulator.model.errors import invalid
from taskrouter_emulator.model.instructions import RefusedInstruction
from taskrouter_emulator.model.records import Reservation, ReservationStatus, Task, TaskStatus
from taskrouter_emulator.rest.instruction_form import read_instruction
from taskrouter_emulator.rest.resource import (
    ResourceView,
    ViewResponse,
    expression_filter,
    get_or_404,
    if_match,
    json_response,
    no_content,
    read_form,
    sort_by,
)
from taskrouter_emulator.transport.faults import FaultKind, Faults

EVENTS_DEFAULT_MINUTES = 15
_TASK_ORDERS: dict[str, Callable[[Task], int | datetime]] = {
    "DateCreated": attrgetter("ordinal"),
    "Priority": attrgetter("priority"),
    "VirtualStartTime": attrgetter("virtual_start_time"),
}
_TASK_STATUSES = tuple(status.value for status in TaskStatus)
_RESERVATION_STATUSES = tuple(status.value for status in ReservationStatus)


_EVENT_SIDS = {
    "Sid": "EV",
    "TaskSid": "WT",
    "ReservationSid": "WR",
    "WorkerSid": "WK",
    "WorkflowSid": "WW",
    "TaskQueueSid": "WQ",
}


class TasksRoutes(ResourceView):
    def __init__(self, state: State, faults: Faults) -> None:
        super().__init__(state)
        self._faults = faults

    def register(self, api: Blueprint) -> None:
        tasks = "/<workspace_sid>/Tasks"
        self.route(api, tasks, GET=self._list, POST=self._create)
        self.route(api, f"{tasks}/<task_sid>", GET=self._fetch, POST=self._update, DELETE=self._delete)

    def _list(self, workspace_sid: str) -> ViewResponse:
        workspace, form = self.workspace(workspace_sid), read_form()
        statuses, priority = form.choices("AssignmentStatus", _TASK_STATUSES), form.integer("Priority")
        workflow_sid, workflow_name = form.sid("WorkflowSid", "WW"), form.text("WorkflowName")
        queue_sid, queue_name = form.sid("TaskQueueSid", "WQ"), form.text("TaskQueueName")
        target, has_addons = form.sid("RoutingTarget", "WK", "WQ", "WW"), form.boolean("HasAddons")
        expression = expression_filter(form, "EvaluateTaskAttributes")
        rows = [
            row
            for row in workspace.tasks.values()
            if (not statuses or row.status.value in statuses)
            and priority in (None, row.priority)
            and workflow_sid in (None, row.workflow.sid)
            and workflow_name in (None, row.workflow.friendly_name)
            and (queue_sid is None or (row.task_queue is not None and row.task_queue.sid == queue_sid))
            and (queue_name is None or (row.task_queue is not None and row.task_queue.friendly_name == queue_name))
            and target in (None, row.routing_target)
            and has_addons is not True
            and expression(row.parsed_attributes)
        ]
        sort_by(rows, form.texts("Ordering"), _TASK_ORDERS)
        overrides = {"attributes": None} if self.state.switches.lists_without_attributes else {}
        return self.page("tasks", rows, lambda row: self.writer.task(row) | overrides, form)

    def _create(self, workspace_sid: str) -> ViewResponse:
        workspace, form = self.workspace(workspace_sid), read_form()
        channel, ignore_capacity = form.text("TaskChannel"), form.lenient_boolean("IgnoreCapacity")
        places = workspace.workers | workspace.task_queues | workspace.workflows
        target = form.resource("RoutingTarget", ("WK", "WQ", "WW"), places)
        task = self.state.tasks.create_task(
            workspace,
            attributes=form.text("Attributes", default="{}"),
            workflow=form.resource("WorkflowSid", "WW", workspace.workflows),
            task_channel=find_task_channel(workspace, channel) if channel else None,
            priority=form.integer("Priority", default=0),
            timeout=form.integer("Timeout", default=DEFAULT_TASK_TIMEOUT_S),
            virtual_start_time=form.instant("VirtualStartTime"),
            routing_target=target,
            task_queue=form.resource("TaskQueueSid", "WQ", workspace.task_queues),
            ignore_capacity=ignore_capacity,
        )
        return json_response(self.writer.task(task), 201, version=task.version)

    def _fetch(self, workspace_sid: str, task_sid: str) -> ViewResponse:
        task = get_or_404(self.workspace(workspace_sid).tasks, task_sid)
        response = json_response(self.writer.task(task), version=task.version)
        intruder = self._faults.strike(request.method, request.path, FaultKind.INTRUDING_WRITER, after_processing=True)
        if intruder is not None:
            self.state.tasks.write_member(task, intruder.key, f"intrusion {intruder.hits}", "intruder")
        return response

    def _update(self, workspace_sid: str, task_sid: str) -> ViewResponse:
        workspace, form = self.workspace(workspace_sid), read_form()
        task: Task = get_or_404(workspace.tasks, task_sid)
        channel = form.text("TaskChannel")
        self.state.tasks.update_task(
            task,
            if_match=if_match(),
            attributes=form.text("Attributes"),
            assignment_status=form.choice("AssignmentStatus", _TASK_STATUSES),
            reason=form.text("Reason"),
            priority=form.integer("Priority"),
            task_channel=find_task_channel(workspace, channel) if channel else None,
            virtual_start_time=form.instant("VirtualStartTime"),
            by=request.headers.get("User-Agent") or "rest",
        )
        return json_response(self.writer.task(task), version=task.version)

    def _delete(self, workspace_sid: str, task_sid: str) -> ViewResponse:
        task = get_or_404(self.workspace(workspace_sid).tasks, task_sid)
        self.state.tasks.delete_task(task, if_match=if_match())
        return no_content()


class ReservationsRoutes(ResourceView):
    """Reservations below the task and below the worker: one set of records at two paths."""

    def register(self, api: Blueprint) -> None:
        for parent, list_view, fetch, update in (
            ("Tasks/<task_sid>", self._list_of_task, self._fetch_of_task, self._update_of_task),
            ("Workers/<worker_sid>", self._list_of_worker, self._fetch_of_worker, self._update_of_worker),
        ):
            path = f"/<workspace_sid>/{parent}/Reservations"
            self.route(api, path, GET=list_view)
            self.route(api, f"{path}/<sid>", GET=fetch, POST=update)

    def _list_of_task(self, workspace_sid: str, task_sid: str) -> ViewResponse:
        rows = self._of_task(workspace_sid, task_sid)
        return self._list(rows.values(), under_worker=False)

    def _list_of_worker(self, workspace_sid: str, worker_sid: str) -> ViewResponse:
        rows = self._of_worker(workspace_sid, worker_sid)
        return self._list(rows.values(), under_worker=True)

    def _fetch_of_task(self, workspace_sid: str, task_sid: str, sid: str) -> ViewResponse:
        return self._fetch(get_or_404(self._of_task(workspace_sid, task_sid), sid), under_worker=False)

    def _fetch_of_worker(self, workspace_sid: str, worker_sid: str, sid: str) -> ViewResponse:
        return self._fetch(get_or_404(self._of_worker(workspace_sid, worker_sid), sid), under_worker=True)

    def _update_of_task(self, workspace_sid: str, task_sid: str, sid: str) -> ViewResponse:
        return self._update(get_or_404(self._of_task(workspace_sid, task_sid), sid), under_worker=False)

    def _update_of_worker(self, workspace_sid: str, worker_sid: str, sid: str) -> ViewResponse:
        return self._update(get_or_404(self._of_worker(workspace_sid, worker_sid), sid), under_worker=True)

    def _of_task(self, workspace_sid: str, task_sid: str) -> dict[str, Reservation]:
        return get_or_404(self.workspace(workspace_sid).tasks, task_sid).reservations

    def _of_worker(self, workspace_sid: str, worker_sid: str) -> dict[str, Reservation]:
        workspace = self.workspace(workspace_sid)
        worker = get_or_404(workspace.workers, worker_sid)
        return {
            reservation.sid: reservation
            for task in workspace.tasks.values()
            for reservation in task.reservations.values()
            if reservation.worker is worker
        }

    def _list(self, reservations: Iterable[Reservation], *, under_worker: bool) -> ViewResponse:
        form = read_form()
        status, worker_sid = form.choice("ReservationStatus", _RESERVATION_STATUSES), form.sid("WorkerSid", "WK")
        rows = [
            row for row in reservations if status in (None, row.status.value) and worker_sid in (None, row.worker.sid)
        ]
        write = self.writer.reservation
        return self.page("reservations", rows, lambda row: write(row, under_worker=under_worker), form)

    def _fetch(self, reservation: Reservation, *, under_worker: bool) -> ViewResponse:
        """Return the reservation; with an ETag only below the task, as in Twilio's OpenAPI document."""
        body = self.writer.reservation(reservation, under_worker=under_worker)
        return json_response(body, version=None if under_worker else reservation.version)

    def _update(self, reservation: Reservation, *, under_worker: bool) -> ViewResponse:
        form = read_form()
        status = form.choice("ReservationStatus", _RESERVATION_STATUSES)
        activity = form.resource("WorkerActivitySid", "WA", reservation.task.workspace.activities)
        if status is not None and form.text("Instruction") is not None:
            raise invalid("ReservationStatus and Instruction cannot be given together")
        try:
            instruction = read_instruction(form)
            if instruction is not None:
                self.state.reservations.execute(reservation, instruction, via="rest", if_match=if_match())
            elif status is not None:
                update = self.state.reservations.update
                update(reservation, status, if_match=if_match(), worker_activity=activity)
        except RefusedInstruction as refusal:
            raise invalid(refusal.message, refusal.code) from refusal
        return self._fetch(reservation, under_worker=under_worker)


class EventsRoutes(ResourceView):
    """Events of the last 15 minutes, unless `Minutes` or dates say otherwise."""

    def register(self, api: Blueprint) -> None:
        self.route(api, "/<workspace_sid>/Events", GET=self._list)
        self.route(api, "/<workspace_sid>/Events/<sid>", GET=self._fetch)

    def _list(self, workspace_sid: str) -> ViewResponse:
        workspace, form = self.workspace(workspace_sid), read_form()
        filters = {name: form.sid(name, prefix) for name, prefix in _EVENT_SIDS.items()}
        filters["EventType"] = form.text("EventType")
        channel = form.text("TaskChannel")
        start, end = form.instant("StartDate"), form.instant("EndDate")
        minutes = form.integer("Minutes", default=EVENTS_DEFAULT_MINUTES)
        if start is None and end is None:
            start = self.state.clock.now() - timedelta(minutes=minutes)
        rows = [
            row
            for row in workspace.events
            if all(value in (None, row.parameters.get(name)) for name, value in filters.items())
            and channel in (None, row.parameters.get("TaskChannelSid"), row.parameters.get("TaskChannelUniqueName"))
            and (start is None or row.date >= start)
            and (end is None or row.date <= end)
        ]
        return self.page("events", rows, lambda row: self.writer.event(workspace, row), form)

    def _fetch(self, workspace_sid: str, sid: str) -> ViewResponse:
        workspace = self.workspace(workspace_sid)
        event = get_or_404({event.sid: event for event in workspace.events}, sid)
        return json_response(self.writer.event(workspace, event))
