"""Wrap-up and completion: asked for by staff, a command or the policy, done by whoever gets to it first.

    stuck      what is wrapping for too long although no event told so, or nobody got to it: owed, too
    ask        what is wanted is a row of the journal, and owed, before anything is done about it
    wrap_up    assigned -> wrapping
    complete   the outcome onto the task, then, with a request of its own, assigned or wrapping -> completed

Each at the level where it is right (facts section 6): the task, for the whole of the work; one reservation, for one
worker's part of it. What is wrapping, completed or gone already is well. What nobody has accepted yet can be neither
wrapped up nor completed; TaskRouter may say so for a moment after it was accepted (facts section 3), so it is looked at
again before that is believed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from enrich import errors
from enrich.domain.deadline import Deadline
from enrich.domain.deliveries import NewFollowup
from enrich.domain.outcomes import ActivityType, FollowupKind, Outcome
from enrich.flows.activity import show, tell
from enrich.flows.enrichment import OVER, TaskRef, place
from enrich.flows.lifecycle import by_policy, finished_key, wrapped_key
from enrich.flows.work import Adapters, EnrichmentRun

if TYPE_CHECKING:
    from enrich.journal.followups import Followup, FollowupQueue

# How often a task that does not read assigned is looked at again, and after how long.
LOOKS = 5
PAUSE_S = 0.3
# One page of a list; nobody waits for it.
LIST_S = 10.0
# Reservations, too, are over in these states (facts section 3).
RESERVATION_OVER = ("completed", "rejected", "timeout", "canceled", "rescinded")

_ASKED = {FollowupKind.WRAP_UP: ActivityType.WRAP_UP_ASKED, FollowupKind.COMPLETE: ActivityType.COMPLETION_ASKED}


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """What is wanted of one task. kind: WRAP_UP or COMPLETE. by: who wants it, for the story.

    outcome: what came of the work; reason: what TaskRouter keeps; both only on completion, "" for none.
    reservation_sid: only this worker's part of the work; None: the whole task.
    """

    kind: FollowupKind
    workspace_sid: str
    task_sid: str
    by: str
    outcome: str = ""
    reason: str = ""
    reservation_sid: str | None = None


def ask(wish: CompletionRequest, adapters: Adapters) -> str:
    """What the follow-up is known by that is owed from now on. Asking again asks anew. Raises DatabaseError."""
    key = f"{wish.kind}:{wish.reservation_sid or wish.task_sid}"
    if wish.outcome:
        adapters.states.keep(wish.task_sid, wish.workspace_sid, adapters.now(), outcome=wish.outcome)
    data = {"by": wish.by, "reason": wish.reason, "reservation_sid": wish.reservation_sid}
    tell(
        _ASKED[wish.kind],
        wish.workspace_sid,
        wish.task_sid,
        adapters,
        once=None,
        details={
            "By": wish.by,
            "Outcome": wish.outcome,
            "Reason": wish.reason,
            "ReservationSid": wish.reservation_sid,
        },
        owing=[NewFollowup(wish.kind, adapters.now(), key, data, rearms=True)],
    )
    return key


def stuck(workspace_sid: str, adapters: Adapters, owed: FollowupQueue, now: datetime) -> int:
    """How many tasks were found that are wrapping for longer than the policy allows; their completion is owed.

    For events that were lost, or never asked for. Nothing is asked where the policy says nothing about it.
    Raises DatabaseError, TaskRouterError.
    """
    seconds = adapters.rules.policy.wrapup.complete_after_s
    if seconds is None:
        return 0
    query = {"AssignmentStatus": "wrapping", "PageSize": "200"}
    found = 0
    for task in adapters.taskrouter.list_tasks(workspace_sid, query, timeout_s=LIST_S):
        since = _moment(task.date_updated)
        if since is None or now - since < timedelta(seconds=seconds):
            continue
        entry_id = tell(
            ActivityType.STUCK, workspace_sid, task.sid, adapters, once=task.sid, details={"Since": since.isoformat()}
        )
        data = by_policy(adapters.rules)
        completing = NewFollowup(FollowupKind.COMPLETE, adapters.now(), wrapped_key(task.sid), data, rearms=True)
        owed.owe(entry_id, [completing], at=adapters.now())
        found += 1
    return found


def _moment(written: str) -> datetime | None:
    """A date as TaskRouter writes it (facts 4.1), None for anything else."""
    try:
        return datetime.strptime(written, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def wrap_up(followup: Followup, adapters: Adapters, deadline: Deadline) -> None:
    """Returns when the task, or the reservation, is wrapping or further. Raises NotAssigned, other TaskRouterError."""
    _move(followup, "wrapping", "", adapters, deadline)


def complete(followup: Followup, adapters: Adapters, owed: FollowupQueue, deadline: Deadline) -> None:
    """Returns when the task, or the reservation, is completed or gone. Raises NotAssigned, other TaskRouterError."""
    if not _was_wished(followup, adapters, deadline):
        return
    _write_outcome(followup, adapters, deadline)
    _move(followup, "completed", str(followup.data.get("reason") or ""), adapters, deadline)
    # An outcome that is told after the end belongs into the history as well.
    owed.wake(NewFollowup(FollowupKind.FINISHED, adapters.now(), finished_key(followup.task_sid or "")))


def _was_wished(followup: Followup, adapters: Adapters, deadline: Deadline) -> bool:
    """Whether it is still to be completed. What the policy completes is only what is wrapping."""
    if not followup.data.get("only_wrapping"):
        return True
    return _Part.of(followup, adapters, deadline).status(adapters, deadline) == "wrapping"


def _write_outcome(followup: Followup, adapters: Adapters, deadline: Deadline) -> None:
    """The outcome stands in our block, if there is one and room for it: completion does not fail for want of room.

    Attributes go first: after completion only minutes remain, and never in one request with the status (facts 4.2).
    """
    task_sid = followup.task_sid or ""
    outcome = adapters.states.marks(task_sid).get("outcome")
    if not outcome:
        return
    work = EnrichmentRun()
    try:
        place(work, TaskRef(followup.workspace_sid, task_sid, has_marks=True), adapters, deadline, patient=False)
    except (errors.TaskGone, errors.NoRoom, errors.AttributesUnreadable, errors.RequestRefused):
        return  # the outcome is in our database, and gets into the customer's history from there
    if work.after is not None:
        work.ended(Outcome.ENRICHED, getattr(work.match, "reason", ""))
        show(ActivityType.OUTCOME, followup.workspace_sid, task_sid, work, adapters, {"Outcome": outcome})


@dataclass(frozen=True, slots=True)
class _Part:
    """The task, or one reservation of it: how it stands, and how it is moved."""

    workspace_sid: str
    task_sid: str
    reservation_sid: str | None

    @classmethod
    def of(cls, followup: Followup, adapters: Adapters, deadline: Deadline) -> _Part:
        """What is to be moved.

        A reservation that wraps up alone, while others go on, is completed alone; when it was the last, its task wraps
        up as a whole.
        """
        workspace_sid, task_sid = followup.workspace_sid, followup.task_sid or ""
        whole = cls(workspace_sid, task_sid, None)
        if followup.data.get("only_wrapping") and followup.reservation_sid:
            is_alone = whole.status(adapters, deadline) == "assigned"
            return cls(workspace_sid, task_sid, followup.reservation_sid) if is_alone else whole
        return cls(workspace_sid, task_sid, followup.data.get("reservation_sid"))

    def status(self, adapters: Adapters, deadline: Deadline) -> str:
        """In TaskRouter's words; "completed" for what is gone, or over in any other way."""
        seconds = deadline.remaining_s()
        try:
            if self.reservation_sid is None:
                status = adapters.taskrouter.fetch_task(
                    self.workspace_sid, self.task_sid, timeout_s=seconds
                ).assignment_status
                return "completed" if status in OVER else status
            status = adapters.taskrouter.reservation_status(
                self.workspace_sid, self.task_sid, self.reservation_sid, timeout_s=seconds
            )
        except errors.TaskGone:
            return "completed"
        return "completed" if status in RESERVATION_OVER else status

    def move(self, status: str, reason: str, adapters: Adapters, deadline: Deadline) -> None:
        seconds = deadline.remaining_s()
        if self.reservation_sid is None:
            adapters.taskrouter.move_task(self.workspace_sid, self.task_sid, status, reason, timeout_s=seconds)
        else:
            adapters.taskrouter.update_reservation(
                self.workspace_sid, self.task_sid, self.reservation_sid, status, timeout_s=seconds
            )


# What is as far as that already.
_REACHED: Mapping[str, tuple[str, ...]] = {"wrapping": ("wrapping", "completed"), "completed": ("completed",)}
_DONE = {"wrapping": ActivityType.WRAPPED_UP, "completed": ActivityType.COMPLETED}
_ACCEPTED = ("assigned", "accepted", "wrapping")


def _move(followup: Followup, to: str, reason: str, adapters: Adapters, deadline: Deadline) -> None:
    """Returns when it is there. Raises NotAssigned, other TaskRouterError."""
    part = _Part.of(followup, adapters, deadline)
    refused: errors.TaskRouterError = errors.NotAssigned("nobody has accepted it")
    for look in range(LOOKS):
        if look:
            adapters.pause(PAUSE_S)
        status = part.status(adapters, deadline)
        if status in _REACHED[to]:
            return
        if status not in _ACCEPTED:
            continue
        try:
            part.move(to, reason, adapters, deadline)
        except errors.TaskGone:
            return
        except errors.RequestRefused as exc:
            if exc.code != errors.WRONG_STATE:
                raise
            refused = exc  # it moved since we looked: where to, only another look tells
            continue
        _tell_done(followup, part, to, reason, adapters)
        return
    raise refused


def _tell_done(followup: Followup, part: _Part, to: str, reason: str, adapters: Adapters) -> None:
    details: dict[str, Any] = {
        "By": followup.data.get("by"),
        "Reason": reason,
        "ReservationSid": part.reservation_sid,
    }
    once = f"followup {followup.id} {followup.attempts}"
    tell(_DONE[to], part.workspace_sid, part.task_sid, adapters, once=once, details=details)
