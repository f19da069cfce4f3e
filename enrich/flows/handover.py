"""Handing over: a task that nobody takes up where it is goes elsewhere, as a new task with the same work in it.

    owe        once for a task, and only if the work can be moved at all
    hand_over  search for the new task -> keep what it is made of -> cancel the old one -> create the new one

A task cannot be moved to another workflow (facts section 5, "hard move"). Attributes and VirtualStartTime are kept, and
with the latter its place in line. Never for calls and Flex interactions: they belong to the task, and end with it.

Whatever dies in between, the work is neither lost nor doubled: what the new task is made of is committed before the old
one is canceled; the new one carries a mark that nobody can guess, and is searched for by it before one is created.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from enrich import errors
from enrich.domain.deadline import Deadline
from enrich.domain.deliveries import NewFollowup
from enrich.domain.outcomes import ActivityType, FollowupKind
from enrich.flows.activity import tell
from enrich.flows.work import Adapters
from enrich.policy.timeouts import HandOver
from enrich.taskrouter import attributes

if TYPE_CHECKING:
    from enrich.journal.followups import Followup, FollowupQueue
    from enrich.taskrouter.client import Task

WAITING = ("pending", "reserved")
# What work of this kind hangs on: the call in the queue, the interaction that Flex has set up (facts sections 2, 10).
BOUND_BY = ("call_sid", "flexInteractionSid")


@dataclass(frozen=True, slots=True)
class _Mark:
    """What the new task carries beside our block: `crm_handover`, `{"id": ..., "from": ...}`."""

    key: str
    id: str

    @property
    def expression(self) -> str:
        """Selects the tasks that carry it, in TaskRouter's expression language."""
        return f'{self.key}.id == "{self.id}"'

    @property
    def reason(self) -> str:
        """What the old task is canceled with."""
        return f"handed over, {self.id}"


def owe(followup: Followup, to: HandOver, adapters: Adapters, owed: FollowupQueue, deadline: Deadline) -> None:
    """The hand-over of the follow-up's task is owed, if it can be handed over and was not before.

    Raises DatabaseError, TaskRouterError.
    """
    task_sid = followup.task_sid or ""
    task = adapters.taskrouter.fetch_task(followup.workspace_sid, task_sid, timeout_s=deadline.remaining_s())
    if task.assignment_status not in WAITING or not can_be_moved(task.raw_attributes):
        return
    data = {"token": secrets.token_hex(8), "workflow": to.workflow_sid, "priority": to.priority}
    owing = NewFollowup(FollowupKind.HAND_OVER, adapters.now(), f"hand_over:{task_sid}", data)
    owed.owe(followup.entry_id, [owing], at=adapters.now())


def can_be_moved(raw_attributes: str) -> bool:
    """Whether the work is in the task alone. Attributes that cannot be read may hold anything."""
    try:
        parsed = attributes.parse(raw_attributes)
    except errors.AttributesUnreadable:
        return False
    return not any(parsed.get(name) for name in BOUND_BY)


def hand_over(followup: Followup, adapters: Adapters, owed: FollowupQueue, deadline: Deadline) -> None:
    """The work is in a new task, and the old one is canceled; or it was taken up, or ended, in between.

    Raises DatabaseError, TaskRouterError.
    """
    mark = _Mark(f"{adapters.rules.attribute}_handover", f"{followup.id}-{followup.data['token']}")
    new_sid = _search(followup, mark, adapters, deadline)
    if new_sid is None:
        ready = _ready(followup, mark, adapters, owed, deadline)
        if ready is None or not _cancel(followup, mark, adapters, deadline, is_first_try=ready.is_new):
            return
        new_sid = _create(followup, ready, adapters, deadline)
    _conclude(followup, new_sid, adapters)


@dataclass(frozen=True, slots=True)
class _Ready:
    """What the new task is made of, as it is kept. is_new: nothing has been canceled before this was kept.

    workflow_before: where it goes if the policy's workflow is refused.
    """

    form: dict[str, str]
    workflow_before: str
    is_new: bool


def _search(followup: Followup, mark: _Mark, adapters: Adapters, deadline: Deadline) -> str | None:
    query = {"EvaluateTaskAttributes": mark.expression}
    found = adapters.taskrouter.list_tasks(followup.workspace_sid, query, timeout_s=deadline.remaining_s())
    return found[0].sid if found else None


def _ready(
    followup: Followup, mark: _Mark, adapters: Adapters, owed: FollowupQueue, deadline: Deadline
) -> _Ready | None:
    """What the new task is made of, committed; None when there is nothing to hand over any more."""
    kept = followup.data.get("form")
    if isinstance(kept, Mapping):
        form = {str(name): str(value) for name, value in kept.items()}
        return _Ready(form, str(followup.data["workflow_before"]), is_new=False)
    task = _fetch(followup, adapters, deadline)
    if task is None or task.assignment_status not in WAITING or not can_be_moved(task.raw_attributes):
        return None
    form = _form(task, mark, followup.data)
    owed.reached(followup, {**followup.data, "form": form, "workflow_before": task.workflow_sid})
    return _Ready(form, task.workflow_sid, is_new=True)


def _form(task: Task, mark: _Mark, data: Mapping[str, Any]) -> dict[str, str]:
    """The form that creates it again. Raises NoRoom when the mark does not fit beside the attributes."""
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


def _cancel(followup: Followup, mark: _Mark, adapters: Adapters, deadline: Deadline, *, is_first_try: bool) -> bool:
    """Whether the old task is canceled, by us. False: somebody took it up, or it ended otherwise."""
    workspace_sid, task_sid = followup.workspace_sid, followup.task_sid or ""
    try:
        adapters.taskrouter.move_task(
            workspace_sid, task_sid, "canceled", mark.reason, timeout_s=deadline.remaining_s()
        )
    except (errors.RequestRefused, errors.TaskGone):
        task = _fetch(followup, adapters, deadline)
        if task is not None:
            if task.assignment_status in WAITING:
                raise  # refused for another reason than its state
            return task.assignment_status == "canceled" and task.reason == mark.reason
        return not is_first_try and not _ended_otherwise(followup, mark, adapters)
    return True


def _ended_otherwise(followup: Followup, mark: _Mark, adapters: Adapters) -> bool:
    """Of a task that is gone, and that we may have canceled before we died: whether an event tells otherwise.

    Where nothing is told the work goes on in a new task: one that is dealt with twice is better than one that is lost.
    """
    told = adapters.states.events(followup.task_sid or "", ("task.canceled", "task.completed", "reservation.accepted"))
    return any(
        event.event_type != "task.canceled" or urlencode({"TaskCanceledReason": mark.reason}) not in event.raw_form
        for event in told
    )


def _create(followup: Followup, ready: _Ready, adapters: Adapters, deadline: Deadline) -> str:
    """The SID of the new task; in its old workflow, if the policy's is refused: the old task is canceled already."""
    workspace_sid, form = followup.workspace_sid, ready.form
    try:
        return adapters.taskrouter.create_task(workspace_sid, form, timeout_s=deadline.remaining_s())
    except (errors.RequestRefused, errors.TaskGone):
        form = {**form, "WorkflowSid": ready.workflow_before}
        return adapters.taskrouter.create_task(workspace_sid, form, timeout_s=deadline.remaining_s())


def _conclude(followup: Followup, new_sid: str, adapters: Adapters) -> None:
    """Both tasks tell of each other, and the new one keeps the level that the old one had reached."""
    now, old_sid = adapters.now(), followup.task_sid or ""
    state = adapters.states.of(old_sid)
    adapters.states.keep(
        new_sid,
        followup.workspace_sid,
        now,
        handed_over_from=old_sid,
        hand_overs=(state.hand_overs if state else 0) + 1,
        escalation=state.escalation if state else 0,
    )
    adapters.states.keep(old_sid, followup.workspace_sid, now, handed_over_to=new_sid)
    # It may have been enriched before its level was known here, and lost it then: it is enriched once more.
    again = NewFollowup(FollowupKind.ENRICH, now, f"level:{new_sid}")
    workspace_sid = followup.workspace_sid
    tell(
        ActivityType.TAKEN_OVER,
        workspace_sid,
        new_sid,
        adapters,
        once=new_sid,
        details={"From": old_sid},
        owing=[again],
    )
    tell(ActivityType.HANDED_OVER, workspace_sid, old_sid, adapters, once=old_sid, details={"To": new_sid})


def _fetch(followup: Followup, adapters: Adapters, deadline: Deadline) -> Task | None:
    """The old task as it is now, None when it is gone."""
    try:
        return adapters.taskrouter.fetch_task(
            followup.workspace_sid, followup.task_sid or "", timeout_s=deadline.remaining_s()
        )
    except errors.TaskGone:
        return None
