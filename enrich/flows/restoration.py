"""Restoration: the block is put back where another program has overwritten it.

Attributes are replaced as a whole, and who writes them without `If-Match` undoes what others wrote since (docs/
taskrouter.md, "Attributes"). The next `task.updated` shows it: its text has no block of ours, or another one than was
written last, such as an old copy. The intake only compares that text; whether the block is really gone is read from the
live task, since events come late and out of order.

Never in a circle: a task's block is put back at most three times, each time after a longer pause. Then the timeline
says that it is left, and nothing is written any more.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from enrich import errors
from enrich.domain.deadline import Deadline
from enrich.domain.deliveries import Delivery, Followup, NewFollowup, OnExisting
from enrich.domain.outcomes import ActivityType, FollowupKind, RestorationResult
from enrich.domain.tasks import Task
from enrich.flows.activity import ActivityLog
from enrich.flows.adapters import Adapters
from enrich.flows.enrichment import OVER, Enricher, TaskRef
from enrich.flows.rules import Rules
from enrich.flows.run import EnrichmentRun
from enrich.taskrouter import attributes

UPDATED = "task.updated"
# Other writers tend to write several times in a row; the last of these events finds everything settled.
SETTLED_AFTER = timedelta(seconds=1)
# The pauses before the first restoration of a task, the second and the third; there is no fourth.
PAUSES = (timedelta(0), timedelta(seconds=30), timedelta(minutes=5))
# Writes whose answer is lost may have been done, and are in no timeline; their number is bounded as well.
MAX_TRIES = 10
# A callback that is not concluded yet may have written: look again once it is.
CONCLUDED_AFTER = timedelta(seconds=5)


def caused_by_update(
    event: Delivery, rules: Rules, last_written: Callable[[str], str | None]
) -> tuple[NewFollowup, ...]:
    """Return the follow-up that looks for the block, if this `task.updated` has attributes without it.

    Our own write comes back with the block in it, and causes nothing. last_written: returns the task's attributes as we
    wrote them last, None if we did not; called only for a text with a block. Raises what it raises.
    """
    if event.event_type != UPDATED or event.task_sid is None or not event.raw_attributes:
        return ()
    try:
        if _stands(event.raw_attributes, rules.attribute, lambda: last_written(event.task_sid or "")):
            return ()
    except errors.AttributesUnreadable:
        return ()  # nothing could be put into it
    due_at = event.received_at + SETTLED_AFTER
    key = restoration_key(event.task_sid)
    return (NewFollowup(FollowupKind.RESTORE, due_at, key, on_existing=OnExisting.REOPEN),)


def _stands(raw_attributes: str, key: str, last_written: Callable[[], str | None]) -> bool:
    """Return whether the block that we wrote last stands there; any block of ours if we do not know what we wrote.

    Raises AttributesUnreadable.
    """
    block = attributes.block_text(raw_attributes, key)
    if not block:
        return False
    written = last_written()
    # What was written without a block of ours took a foreign one out.
    known = attributes.block_text(written, key) if written else ""
    return not known or attributes.is_same_json(block, known)


def restoration_key(task_sid: str) -> str:
    """Return the key of the one follow-up that restores the block of a task."""
    return f"{FollowupKind.RESTORE}:{task_sid}"


class Restoration:
    """Puts overwritten blocks back, within bounds."""

    def __init__(self, adapters: Adapters, rules: Rules, enricher: Enricher, activities: ActivityLog) -> None:
        self._adapters = adapters
        self._rules = rules
        self._enricher = enricher
        self._activities = activities

    def restore(self, followup: Followup, deadline: Deadline) -> RestorationResult | None:
        """Put the block back if the live task has lost it, and return what was done; None if nothing was.

        Raises DatabaseError, TaskRouterError.
        """
        task_sid = followup.task_sid or ""
        past = self._adapters.task_states.events(task_sid, (ActivityType.RESTORED, ActivityType.OVERWRITTEN))
        if any(activity.event_type == ActivityType.OVERWRITTEN for activity in past):
            return None
        enrichment = self._adapters.task_states.enrichment(task_sid)
        if not enrichment.is_done:
            if enrichment.is_under_way:
                self._look_again(task_sid, CONCLUDED_AFTER)
            return None
        times = len(past)
        if times and times < len(PAUSES):
            pause = past[-1].received_at + PAUSES[times] - self._adapters.now()
            if pause > timedelta(0):
                self._look_again(task_sid, pause)
                return None
        task = self._fetch(followup, deadline)
        if task is None or self._has_block(task):
            return None
        tries = int(followup.data.get("tries", 0)) + 1
        if times >= len(PAUSES) or tries > MAX_TRIES:
            return self._leave(followup, times, "")
        self._adapters.followups.save_progress(followup, {"tries": tries})
        return self._put_back(followup, times + 1, deadline)

    def _has_block(self, task: Task) -> bool:
        written = self._adapters.task_states.last_written(task.sid)
        try:
            return _stands(task.raw_attributes, self._rules.attribute, lambda: written)
        except errors.AttributesUnreadable:
            return False

    def _put_back(self, followup: Followup, times: int, deadline: Deadline) -> RestorationResult | None:
        run, workspace_sid, task_sid = EnrichmentRun(), followup.workspace_sid, followup.task_sid or ""
        try:
            self._enricher.place(run, TaskRef(workspace_sid, task_sid, has_marks=True), deadline, patient=False)
        except errors.TaskGone:
            return None
        except (errors.NoRoom, errors.AttributesUnreadable, errors.RequestRefused) as exc:
            return self._leave(followup, times - 1, exc.reason)
        if run.after is None:
            return None  # somebody else was faster
        run.end_enriched()
        self._activities.record_write(ActivityType.RESTORED, workspace_sid, task_sid, run, {"Times": times})
        return RestorationResult.RESTORED

    def _leave(self, followup: Followup, times: int, reason: str) -> RestorationResult:
        """Record that the block is not put back any more. times: how often it was."""
        self._activities.record(
            ActivityType.OVERWRITTEN,
            followup.workspace_sid,
            followup.task_sid or "",
            once=followup.task_sid,
            details={"Restored": times, "Reason": reason},
        )
        return RestorationResult.LEFT

    def _look_again(self, task_sid: str, pause: timedelta) -> None:
        due_at = self._adapters.now() + pause
        self._adapters.followups.wake(NewFollowup(FollowupKind.RESTORE, due_at, restoration_key(task_sid)))

    def _fetch(self, followup: Followup, deadline: Deadline) -> Task | None:
        """Return the live task; None if it is over."""
        try:
            task = self._adapters.taskrouter.fetch_task(
                followup.workspace_sid, followup.task_sid or "", timeout_s=deadline.remaining_s()
            )
        except errors.TaskGone:
            return None
        return None if task.assignment_status in OVER else task
