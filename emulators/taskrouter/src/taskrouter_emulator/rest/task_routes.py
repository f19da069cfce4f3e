"""REST routes of what moves: tasks, reservations, events.

Sources: https://www.twilio.com/docs/taskrouter/api/task, https://www.twilio.com/docs/taskrouter/api/reservations,
https://www.twilio.com/docs/taskrouter/api/event
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from operator import attrgetter

from flask import Blueprint, request

from taskrouter_emulator.engine.state import State
from taskrouter_emulator.engine.tasks import DEFAULT_TASK_TIMEOUT_S, channel_named
from taskrouter_emulator.model.errors import invalid
from taskrouter_emulator.model.instructions import RefusedInstruction
from taskrouter_emulator.model.records import Reservation, ReservationStatus, Task, TaskStatus
from taskrouter_emulator.rest.instruction_form import read_instruction
from taskrouter_emulator.rest.resource import (
    Answer,
    Resource,
    answer_with,
    found,
    if_match,
    no_content,
    predicate,
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
        statuses, priority = form.choices("AssignmentStatus", _TASK_STATUSES), form.integer("Priority")
        workflow_sid, workflow_name = form.sid("WorkflowSid", "WW"), form.text("WorkflowName")
        queue_sid, queue_name = form.sid("TaskQueueSid", "WQ"), form.text("TaskQueueName")
        target, has_addons = form.text("RoutingTarget"), form.boolean("HasAddons")
        expression = predicate(form, "EvaluateTaskAttributes")
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
        without = {"attributes": None} if self.state.switches.lists_without_attributes else {}
        return self.page("tasks", rows, lambda row: self.wire.task(row) | without, form)

    def _create(self, workspace_sid: str) -> Answer:
        workspace, form = self.workspace(workspace_sid), read_form()
        channel, ignore_capacity = form.text("TaskChannel"), form.truth("IgnoreCapacity")
        places = workspace.workers | workspace.task_queues | workspace.workflows
        queue = form.resource("TaskQueueSid", ("WQ",), workspace.task_queues)
        target = form.resource("RoutingTarget", ("WK", "WQ", "WW"), places) or queue
        task = self.state.tasks.create_task(
            workspace,
            attributes=form.text("Attributes", default="{}"),
            workflow=form.resource("WorkflowSid", "WW", workspace.workflows),
            task_channel=channel_named(workspace, channel) if channel else None,
            priority=form.integer("Priority", default=0),
            timeout=form.integer("Timeout", default=DEFAULT_TASK_TIMEOUT_S),
            virtual_start_time=form.instant("VirtualStartTime"),
            routing_target=target,
            ignore_capacity=ignore_capacity,
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
        return no_content()


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
        status, worker_sid = form.choice("ReservationStatus", _RESERVATION_STATUSES), form.sid("WorkerSid", "WK")
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
        except RefusedInstruction as refused:
            raise invalid(refused.message, refused.code) from refused
        return self._fetch(reservation, under_worker=under_worker)


class EventsRoutes(Resource):
    """What happened, over REST: the last 15 minutes unless `Minutes` says otherwise."""

    def register(self, api: Blueprint) -> None:
        self.route(api, "/<workspace_sid>/Events", GET=self._list)
        self.route(api, "/<workspace_sid>/Events/<sid>", GET=self._fetch)

    def _list(self, workspace_sid: str) -> Answer:
        workspace, form = self.workspace(workspace_sid), read_form()
        wanted = {name: form.sid(name, prefix) for name, prefix in _EVENT_SIDS.items()}
        wanted["EventType"] = form.text("EventType")
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
