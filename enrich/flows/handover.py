"""The hand-over: a task that no worker accepts is created anew elsewhere, with the same work in it.

    plan       once for a task, and only if the work can be moved at all
    hand_over  search for the new task -> store its form -> cancel the old one -> create the new one

A task cannot be moved to another workflow (docs/taskrouter.md, "Moving a task"). Attributes and VirtualStartTime are
kept, and with the latter its place in line. Never for calls and Flex interactions: they belong to the task, and end
with it.

If a process dies in between, the work is neither lost nor doubled: the new task's form is committed before the old one
is canceled; the new one carries a mark that nobody can guess, and is searched for by it before one is created.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from enrich import errors
from enrich.domain.deadline import Deadline
from enrich.domain.deliveries import Followup, NewFollowup
from enrich.domain.outcomes import ActivityType, FollowupKind
from enrich.domain.tasks import Task
from enrich.domain.work_kinds import work_of
from enrich.flows.activity import ActivityLog
from enrich.flows.adapters import Adapters
from enrich.flows.rules import Rules
from enrich.policy.timeouts import HandOver
from enrich.taskrouter import attributes

WAITING = ("pending", "reserved")


@dataclass(frozen=True, slots=True)
class _Mark:
    """The mark on the new task, beside our block: `crm_handover`, `{"id": ..., "from": ...}`."""

    key: str
    id: str

    @property
    def expression(self) -> str:
        """Return the expression, in TaskRouter's language, that selects the tasks with this mark."""
        return f'{self.key}.id == "{self.id}"'

    @property
    def reason(self) -> str:
        """Return the reason with which the old task is canceled."""
        return f"handed over, {self.id}"


def can_be_moved(raw_attributes: str) -> bool:
    """Return whether the work is in the task alone (docs/taskrouter.md, "Moving a task").

    Unreadable attributes may hold anything.
    """
    try:
        parsed = attributes.parse(raw_attributes)
    except errors.AttributesUnreadable:
        return False
    return not work_of(parsed).is_bound


@dataclass(frozen=True, slots=True)
class _Ready:
    """The stored form of the new task. is_new: nothing had been canceled when it was stored.

    workflow_before: used if the policy's workflow is refused.
    """

    form: dict[str, str]
    workflow_before: str
    is_new: bool


def _form(task: Task, mark: _Mark, data: Mapping[str, Any]) -> dict[str, str]:
    """Return the form of the new task. Raises NoRoom when the mark does not fit beside the attributes."""
    block = {"id": mark.id, "from": task.sid}
    spliced = attributes.splice(task.raw_attributes, mark.key, (block, {"id": mark.id}))
    if not isinstance(spliced, attributes.Spliced) or spliced.block is None:
        raise errors.NoRoom("the mark of a hand-over does not fit")
    priority = data.get("priority")
    form = {
        "Attributes": spliced.text,
        "WorkflowSid": data.get("workflow") or task.workflow_sid,
        "TaskChannel": task.task_channel,
        "Priority": str(task.priority if priority is None else priority),
        "Timeout": "" if task.timeout_s is None else str(task.timeout_s),
        "VirtualStartTime": task.virtual_start_time,
    }
    return {name: value for name, value in form.items() if value}


class Handover:
    """Moves waiting work into a new task. Every method raises DatabaseError, TaskRouterError."""

    def __init__(self, adapters: Adapters, rules: Rules, activities: ActivityLog) -> None:
        self._adapters = adapters
        self._rules = rules
        self._activities = activities

    def plan(self, followup: Followup, to: HandOver, deadline: Deadline) -> None:
        """Add a hand-over of the follow-up's task to the queue, if the task can be handed over and was not before."""
        task_sid = followup.task_sid or ""
        task = self._adapters.taskrouter.fetch_task(followup.workspace_sid, task_sid, timeout_s=deadline.remaining_s())
        if task.assignment_status not in WAITING or not can_be_moved(task.raw_attributes):
            return
        data = {"token": secrets.token_hex(8), "workflow": to.workflow_sid, "priority": to.priority}
        handing_over = NewFollowup(FollowupKind.HAND_OVER, self._adapters.now(), f"hand_over:{task_sid}", data)
        self._adapters.followups.add(followup.entry_id, [handing_over], at=self._adapters.now())

    def hand_over(self, followup: Followup, deadline: Deadline) -> None:
        """Create the new task and cancel the old one, unless that one was accepted, or ended, in between."""
        mark = _Mark(f"{self._rules.attribute}_handover", f"{followup.id}-{followup.data['token']}")
        new_sid = self._search(followup, mark, deadline)
        if new_sid is None:
            ready = self._ready(followup, mark, deadline)
            if ready is None or not self._cancel(followup, mark, deadline, is_first_try=ready.is_new):
                return
            new_sid = self._create(followup, ready, deadline)
        self._conclude(followup, new_sid)

    def _search(self, followup: Followup, mark: _Mark, deadline: Deadline) -> str | None:
        query = {"EvaluateTaskAttributes": mark.expression}
        tasks = self._adapters.taskrouter.list_tasks(followup.workspace_sid, query, timeout_s=deadline.remaining_s())
        return tasks[0].sid if tasks else None

    def _ready(self, followup: Followup, mark: _Mark, deadline: Deadline) -> _Ready | None:
        """Return the new task's form, committed; None when there is nothing left to hand over."""
        stored = followup.data.get("form")
        if isinstance(stored, Mapping):
            form = {str(name): str(value) for name, value in stored.items()}
            return _Ready(form, str(followup.data["workflow_before"]), is_new=False)
        task = self._fetch(followup, deadline)
        if task is None or task.assignment_status not in WAITING or not can_be_moved(task.raw_attributes):
            return None
        form = _form(task, mark, followup.data)
        self._adapters.followups.save_progress(
            followup, {**followup.data, "form": form, "workflow_before": task.workflow_sid}
        )
        return _Ready(form, task.workflow_sid, is_new=True)

    def _cancel(self, followup: Followup, mark: _Mark, deadline: Deadline, *, is_first_try: bool) -> bool:
        """Return whether we canceled the old task. False: a worker accepted it, or it ended otherwise."""
        workspace_sid, task_sid = followup.workspace_sid, followup.task_sid or ""
        try:
            self._adapters.taskrouter.move_task(
                workspace_sid, task_sid, "canceled", mark.reason, timeout_s=deadline.remaining_s()
            )
        except (errors.RequestRefused, errors.TaskGone):
            task = self._fetch(followup, deadline)
            if task is not None:
                if task.assignment_status in WAITING:
                    raise  # refused for another reason than its state
                return task.assignment_status == "canceled" and task.reason == mark.reason
            return not is_first_try and not self._ended_otherwise(followup, mark)
        return True

    def _ended_otherwise(self, followup: Followup, mark: _Mark) -> bool:
        """Return whether an event says that a task, now gone, ended by something else than our cancellation.

        Without such an event the work goes on in a new task: work done twice is better than work lost.
        """
        events = self._adapters.task_states.events(
            followup.task_sid or "", ("task.canceled", "task.completed", "reservation.accepted")
        )
        return any(
            event.event_type != "task.canceled" or urlencode({"TaskCanceledReason": mark.reason}) not in event.raw_form
            for event in events
        )

    def _create(self, followup: Followup, ready: _Ready, deadline: Deadline) -> str:
        """Create the new task and return its SID; in the old workflow if the policy's is refused."""
        workspace_sid, form = followup.workspace_sid, ready.form
        try:
            return self._adapters.taskrouter.create_task(workspace_sid, form, timeout_s=deadline.remaining_s())
        except (errors.RequestRefused, errors.TaskGone):
            form = {**form, "WorkflowSid": ready.workflow_before}
            return self._adapters.taskrouter.create_task(workspace_sid, form, timeout_s=deadline.remaining_s())

    def _conclude(self, followup: Followup, new_sid: str) -> None:
        """Link both tasks in the journal; the new one keeps the escalation level that the old one had reached."""
        now, old_sid = self._adapters.now(), followup.task_sid or ""
        state = self._adapters.task_states.of(old_sid)
        self._adapters.task_states.keep(
            new_sid,
            followup.workspace_sid,
            now,
            handed_over_from=old_sid,
            hand_overs=(state.hand_overs if state else 0) + 1,
            escalation=state.escalation if state else 0,
        )
        self._adapters.task_states.keep(old_sid, followup.workspace_sid, now, handed_over_to=new_sid)
        # It may have been enriched before its level was recorded, and lost it: enrich it once more.
        again = NewFollowup(FollowupKind.ENRICH, now, f"level:{new_sid}")
        workspace_sid = followup.workspace_sid
        self._activities.record(
            ActivityType.TAKEN_OVER, workspace_sid, new_sid, once=new_sid, details={"From": old_sid}, followups=[again]
        )
        self._activities.record(ActivityType.HANDED_OVER, workspace_sid, old_sid, once=old_sid, details={"To": new_sid})

    def _fetch(self, followup: Followup, deadline: Deadline) -> Task | None:
        """Return the old task as it is now, None when it is gone."""
        try:
            return self._adapters.taskrouter.fetch_task(
                followup.workspace_sid, followup.task_sid or "", timeout_s=deadline.remaining_s()
            )
        except errors.TaskGone:
            return None
