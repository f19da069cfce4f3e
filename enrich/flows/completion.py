"""Wrap-up and completion: requested by staff, a command or the policy.

    request    becomes a row of the journal and a follow-up before anything is done about it
    find_stuck a follow-up, too, for tasks that wrap up for too long although no event said so
    wrap_up    assigned -> wrapping
    complete   the outcome onto the task, then, in a request of its own, assigned or wrapping -> completed

Each at its own level (docs/taskrouter.md, "Wrap-up and completion"): the task, for the whole of the work; one
reservation, for one worker's part. A task that is wrapping, completed or gone already needs nothing. A task that no
worker has accepted can be neither wrapped up nor completed; for a moment after acceptance TaskRouter may still read so
(docs/taskrouter.md, "Reservations"), so it is fetched again before that is believed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from enrich import errors
from enrich.domain.deadline import Deadline
from enrich.domain.deliveries import Followup, NewFollowup, OnExisting
from enrich.domain.outcomes import ActivityType, FollowupKind
from enrich.flows.activity import ActivityLog
from enrich.flows.adapters import Adapters
from enrich.flows.enrichment import OVER, Enricher, TaskRef
from enrich.flows.lifecycle import by_policy, finished_key, wrapped_key
from enrich.flows.rules import Rules
from enrich.flows.run import EnrichmentRun

# A task that does not read as assigned is fetched again, this often and after this pause.
MAX_FETCHES = 5
PAUSE_S = 0.3
# For one page of a list; nobody waits for it.
LIST_S = 10.0
# Reservations, too, are over in these states (docs/taskrouter.md, "Reservations").
RESERVATION_OVER = ("completed", "rejected", "timeout", "canceled", "rescinded")

_REQUESTED = {FollowupKind.WRAP_UP: ActivityType.WRAP_UP_ASKED, FollowupKind.COMPLETE: ActivityType.COMPLETION_ASKED}


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """A request to wrap up or complete one task. kind: WRAP_UP or COMPLETE. by: the requester, for the timeline.

    outcome: of the work; reason: the one that TaskRouter keeps; both on completion only, "" for none.
    reservation_sid: only this worker's part of the work; None: the whole task.
    """

    kind: FollowupKind
    workspace_sid: str
    task_sid: str
    by: str
    outcome: str = ""
    reason: str = ""
    reservation_sid: str | None = None


def _moment(written: str) -> datetime | None:
    """Return a date as TaskRouter writes it (docs/taskrouter.md, "Tasks"), None for anything else."""
    try:
        return datetime.strptime(written, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class _Part:
    """The task, or one reservation of it, with its status and its transitions."""

    adapters: Adapters
    workspace_sid: str
    task_sid: str
    reservation_sid: str | None

    @classmethod
    def of(cls, followup: Followup, adapters: Adapters, deadline: Deadline) -> _Part:
        """Return the part that the follow-up is about.

        A reservation that wraps up alone, while others go on, is completed alone; when it was the last, its task wraps
        up as a whole.
        """
        workspace_sid, task_sid = followup.workspace_sid, followup.task_sid or ""
        whole = cls(adapters, workspace_sid, task_sid, None)
        if followup.data.get("only_wrapping") and followup.reservation_sid:
            is_alone = whole.status(deadline) == "assigned"
            return cls(adapters, workspace_sid, task_sid, followup.reservation_sid) if is_alone else whole
        return cls(adapters, workspace_sid, task_sid, followup.data.get("reservation_sid"))

    def status(self, deadline: Deadline) -> str:
        """Return TaskRouter's status; "completed" for a part that is gone, or over in any other way."""
        seconds = deadline.remaining_s()
        try:
            if self.reservation_sid is None:
                status = self.adapters.taskrouter.fetch_task(
                    self.workspace_sid, self.task_sid, timeout_s=seconds
                ).assignment_status
                return "completed" if status in OVER else status
            status = self.adapters.taskrouter.reservation_status(
                self.workspace_sid, self.task_sid, self.reservation_sid, timeout_s=seconds
            )
        except errors.TaskGone:
            return "completed"
        return "completed" if status in RESERVATION_OVER else status

    def move(self, status: str, reason: str, deadline: Deadline) -> None:
        seconds = deadline.remaining_s()
        if self.reservation_sid is None:
            self.adapters.taskrouter.move_task(self.workspace_sid, self.task_sid, status, reason, timeout_s=seconds)
        else:
            self.adapters.taskrouter.update_reservation(
                self.workspace_sid, self.task_sid, self.reservation_sid, status, timeout_s=seconds
            )


# The statuses in which nothing is left to do.
_REACHED: Mapping[str, tuple[str, ...]] = {"wrapping": ("wrapping", "completed"), "completed": ("completed",)}
_DONE = {"wrapping": ActivityType.WRAPPED_UP, "completed": ActivityType.COMPLETED}
_ACCEPTED = ("assigned", "accepted", "wrapping")


class Completion:
    """Takes requests for wrap-up and completion, and carries them out."""

    def __init__(self, adapters: Adapters, rules: Rules, enricher: Enricher, activities: ActivityLog) -> None:
        self._adapters = adapters
        self._rules = rules
        self._enricher = enricher
        self._activities = activities

    def request(self, request: CompletionRequest) -> str:
        """Add the request to the queue and return the follow-up's key. A repeat starts anew. Raises DatabaseError."""
        key = f"{request.kind}:{request.reservation_sid or request.task_sid}"
        if request.outcome:
            self._adapters.task_states.keep(
                request.task_sid, request.workspace_sid, self._adapters.now(), outcome=request.outcome
            )
        data = {"by": request.by, "reason": request.reason, "reservation_sid": request.reservation_sid}
        self._activities.record(
            _REQUESTED[request.kind],
            request.workspace_sid,
            request.task_sid,
            once=None,
            details={
                "By": request.by,
                "Outcome": request.outcome,
                "Reason": request.reason,
                "ReservationSid": request.reservation_sid,
            },
            followups=[NewFollowup(request.kind, self._adapters.now(), key, data, on_existing=OnExisting.RESTART)],
        )
        return key

    def find_stuck(self, workspace_sid: str, now: datetime) -> int:
        """Return how many tasks were found wrapping for longer than the policy allows; each gets a follow-up.

        For events that were lost, or never subscribed to. Asks nothing where the policy sets no limit. Raises
        DatabaseError, TaskRouterError.
        """
        seconds = self._rules.policy.wrapup.complete_after_s
        if seconds is None:
            return 0
        query = {"AssignmentStatus": "wrapping", "PageSize": "100"}
        count = 0
        for task in self._adapters.taskrouter.list_tasks(workspace_sid, query, timeout_s=LIST_S):
            since = _moment(task.date_updated)
            if since is None or now - since < timedelta(seconds=seconds):
                continue
            entry_id = self._activities.record(
                ActivityType.STUCK, workspace_sid, task.sid, once=task.sid, details={"Since": since.isoformat()}
            )
            data = by_policy(self._rules)
            completing = NewFollowup(
                FollowupKind.COMPLETE, self._adapters.now(), wrapped_key(task.sid), data, on_existing=OnExisting.RESTART
            )
            self._adapters.followups.add(entry_id, [completing], at=self._adapters.now())
            count += 1
        return count

    def wrap_up(self, followup: Followup, deadline: Deadline) -> None:
        """Put the task, or the reservation, into wrapping. Raises NotAssigned, other TaskRouterError."""
        self._move(followup, "wrapping", "", deadline)

    def complete(self, followup: Followup, deadline: Deadline) -> None:
        """Complete the task, or the reservation. Raises NotAssigned, other TaskRouterError."""
        if not self._is_wanted(followup, deadline):
            return
        self._write_outcome(followup, deadline)
        self._move(followup, "completed", str(followup.data.get("reason") or ""), deadline)
        # An outcome that is set after the end belongs in the history as well.
        self._adapters.followups.wake(
            NewFollowup(FollowupKind.FINISHED, self._adapters.now(), finished_key(followup.task_sid or ""))
        )

    def _is_wanted(self, followup: Followup, deadline: Deadline) -> bool:
        """Return whether it is still to be completed. The policy completes only parts that are wrapping."""
        if not followup.data.get("only_wrapping"):
            return True
        return _Part.of(followup, self._adapters, deadline).status(deadline) == "wrapping"

    def _write_outcome(self, followup: Followup, deadline: Deadline) -> None:
        """Write the outcome into the block, if there is one and room for it; completion never fails for lack of room.

        Attributes go first: after completion only minutes remain, and never in one request with the status
        (docs/taskrouter.md, "Attributes").
        """
        task_sid = followup.task_sid or ""
        outcome = self._adapters.task_states.marks(task_sid).get("outcome")
        if not outcome:
            return
        run, workspace_sid = EnrichmentRun(), followup.workspace_sid
        try:
            self._enricher.place(run, TaskRef(workspace_sid, task_sid, has_marks=True), deadline, patient=False)
        except (errors.TaskGone, errors.NoRoom, errors.AttributesUnreadable, errors.RequestRefused):
            return  # the outcome is in our database, and gets into the customer's history from there
        if run.after is not None:
            run.end_enriched()
            self._activities.record_write(ActivityType.OUTCOME, workspace_sid, task_sid, run, {"Outcome": outcome})

    def _move(self, followup: Followup, to: str, reason: str, deadline: Deadline) -> None:
        """Move the part to this status. Raises NotAssigned, other TaskRouterError."""
        part = _Part.of(followup, self._adapters, deadline)
        refused: errors.TaskRouterError = errors.NotAssigned("nobody has accepted it")
        for attempt in range(MAX_FETCHES):
            if attempt:
                self._adapters.pause(PAUSE_S)
            status = part.status(deadline)
            if status in _REACHED[to]:
                return
            if status not in _ACCEPTED:
                continue
            try:
                part.move(to, reason, deadline)
            except errors.TaskGone:
                return
            except errors.RequestRefused as exc:
                if exc.code != errors.WRONG_STATE:
                    raise
                refused = exc  # it moved since it was fetched; only another fetch tells where to
                continue
            self._record_done(followup, part, to, reason)
            return
        raise refused

    def _record_done(self, followup: Followup, part: _Part, to: str, reason: str) -> None:
        details: dict[str, Any] = {
            "By": followup.data.get("by"),
            "Reason": reason,
            "ReservationSid": part.reservation_sid,
        }
        once = f"followup {followup.id} {followup.attempts}"
        self._activities.record(_DONE[to], part.workspace_sid, part.task_sid, once=once, details=details)
