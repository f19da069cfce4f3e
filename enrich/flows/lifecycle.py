"""The life of a task, event by event.

    receive       the event becomes a row of the journal, committed together with the follow-ups that it causes
    caused_by     created                         enrich the task before it is offered to anyone
                  timed out, rejected, canceled   count the miss, and do what the policy says about it
                  wrapping                        complete the task after the policy's time
                  updated                         put the block back if another program overwrote it (restoration.py)
                  accepted, completed, over       keep the finished interaction in the customer's history
    handle_missed     priority, escalation level, the worker's activity, hand-over: whatever does not hold yet
    handle_finished   worker, times, outcome

The order of events is not promised, and one may come twice (docs/taskrouter.md, "Events"). So nothing here follows from
the event itself: it is only the occasion to read all events of the task in the journal. Unknown types are recorded and
cause nothing. Our own writes come back as `task.updated`, which causes nothing while the block is in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from enrich import errors
from enrich.customers import interactions
from enrich.domain.deadline import Deadline
from enrich.domain.deliveries import Delivery, Followup, NewFollowup, OnExisting, Receipt
from enrich.domain.matches import LookupKeys
from enrich.domain.outcomes import TASK_END_EVENTS, ActivityType, FollowupKind
from enrich.domain.tasks import StateCounts, TaskState
from enrich.flows import handover, restoration
from enrich.flows.activity import ActivityLog
from enrich.flows.adapters import Adapters
from enrich.flows.enrichment import Enricher, TaskRef
from enrich.flows.handover import Handover
from enrich.flows.rules import Rules
from enrich.flows.run import EnrichmentRun
from enrich.policy.timeouts import ENDINGS, MissCount, TimeoutDecision, decide
from enrich.taskrouter import callbacks

MISSES = tuple(f"reservation.{ending}" for ending in ENDINGS)
WRAPPING = ("task.wrapup", "reservation.wrapup")

# Longer than the slowest receipt (webhooks.handlers.EVENT_S): by then all events of the same end are committed.
SETTLED_AFTER = timedelta(seconds=3)
# A worker who missed a reservation longer ago than this has moved on.
WORKER_MOVES_WITHIN = timedelta(minutes=2)
# Tries against other writers, before the work is put off.
MAX_TRIES = 5


def caused_by(event: Delivery, rules: Rules) -> tuple[NewFollowup, ...]:
    """Return the follow-ups that this event causes."""
    now, task_sid = event.received_at, event.task_sid
    if task_sid is None:
        return ()
    match event.event_type:
        case "task.created":
            return (NewFollowup(FollowupKind.WARM, now, f"warm:{task_sid}"),)
        case kind if kind in MISSES:
            return (NewFollowup(FollowupKind.MISSED, now),)
        case kind if kind in WRAPPING and rules.policy.wrapup.complete_after_s is not None:
            due_at = now + timedelta(seconds=rules.policy.wrapup.complete_after_s)
            key = wrapped_key(event.reservation_sid or task_sid)
            return (NewFollowup(FollowupKind.COMPLETE, due_at, key, by_policy(rules)),)
        case interactions.ACCEPTED:  # matters only if it arrives after the end
            return (
                NewFollowup(FollowupKind.FINISHED, now, finished_key(task_sid), on_existing=OnExisting.RESTART_ONLY),
            )
        case kind if kind in (*TASK_END_EVENTS, interactions.RESERVATION_COMPLETED):
            return (
                NewFollowup(
                    FollowupKind.FINISHED, now + SETTLED_AFTER, finished_key(task_sid), on_existing=OnExisting.RESTART
                ),
            )
        case _:
            return ()


def finished_key(task_sid: str) -> str:
    """Return the key of the one follow-up that keeps the task in the customer's history."""
    return f"finished:{task_sid}"


def wrapped_key(sid: str) -> str:
    """Return the key of the one completion by policy of a task or a reservation."""
    return f"wrapped:{sid}"


def by_policy(rules: Rules) -> Mapping[str, Any]:
    """Return the data of a completion by policy."""
    return {"by": "policy", "reason": rules.policy.wrapup.reason, "only_wrapping": True}


def _form(raw_form: str) -> callbacks.Form:
    return callbacks.read_form(callbacks.split_form(raw_form.encode("ascii", "backslashreplace")))


class Lifecycle:
    """Receives events, and handles the follow-ups that they cause."""

    def __init__(
        self, adapters: Adapters, rules: Rules, enricher: Enricher, handover: Handover, activities: ActivityLog
    ) -> None:
        self._adapters = adapters
        self._rules = rules
        self._enricher = enricher
        self._handover = handover
        self._activities = activities

    def receive(self, event: Delivery, *, timeout_s: float) -> Receipt:
        """Return the event's receipt, committed together with the follow-ups it causes; one insert if it causes none.

        For events that TaskRouter sends and for those that catch-up finds. Raises DatabaseError.
        """
        followups = caused_by(event, self._rules) or restoration.caused_by_update(
            event, self._rules, self._adapters.task_states.last_written
        )
        return self._adapters.journal.receive(event, timeout_s=timeout_s, followups=followups)

    def handle_missed(self, followup: Followup, deadline: Deadline) -> None:
        """Apply the policy to a missed reservation. Doing it twice changes nothing.

        Raises DatabaseError, TaskRouterError.
        """
        decision, before, state = self._judge(followup)
        # The end may have arrived before there was a state to end.
        if self._adapters.task_states.events(state.task_sid, TASK_END_EVENTS):
            self._adapters.task_states.ended(state.task_sid, self._adapters.now())
        if state.alarm != before.alarm:
            self._record(
                followup, ActivityType.ALARM, Alarm=state.alarm, Assignments=state.assignments, Canceled=state.canceled
            )
        self._move_worker(followup, deadline)
        if decision.leaves_it and not state.escalation:
            return
        try:
            if decision.priority is not None:
                self._raise_priority(followup, decision.priority, deadline)
            if state.escalation:
                self._escalate(followup, state, deadline)
            if decision.hand_over is not None:
                self._handover.plan(followup, decision.hand_over, deadline)
        except errors.TaskGone:
            return  # the task is over; it needs no worker any more

    def handle_finished(self, followup: Followup) -> None:
        """Keep a finished task in the customer's history, once, and end its alarms. Raises DatabaseError."""
        task_sid = followup.task_sid or ""
        stored = self._adapters.task_states.events(task_sid, (*interactions.EVENT_TYPES, "task.canceled"))
        if any(event.event_type in TASK_END_EVENTS for event in stored):
            self._adapters.task_states.ended(task_sid, self._adapters.now())
        events = [callbacks.task_event(event.event_type, _form(event.raw_form), event.received_at) for event in stored]
        interaction = interactions.finished(task_sid, events)
        if interaction is None:
            return
        outcome = self._adapters.task_states.marks(task_sid).get("outcome")
        if outcome:
            interaction = replace(interaction, outcome=outcome)
        customer_id = self._customer_of(task_sid)
        if self._adapters.store.save_interaction(customer_id, interaction):
            self._activities.record(
                ActivityType.HISTORY,
                followup.workspace_sid,
                task_sid,
                once=f"{task_sid} {customer_id}",
                details={"Customer": customer_id, "Worker": interaction.worker_name, "Seconds": interaction.lasted_s},
            )

    def _customer_of(self, task_sid: str) -> str | None:
        """Return the id of the task's customer: as identified by staff, else the last match; None for nobody."""
        pinned = self._adapters.store.find_candidates(LookupKeys(task_sid=task_sid))
        return (pinned[0].customer_id or None) if pinned else self._adapters.task_states.customer_of(task_sid)

    def _judge(self, followup: Followup) -> tuple[TimeoutDecision, TaskState, TaskState]:
        """Return the policy's decision on all misses of the task so far, and the task's state before and after."""
        policy = self._rules.policy.timeouts
        decisions: list[TimeoutDecision] = []

        def judge(counts: StateCounts) -> Mapping[str, Any]:
            misses = MissCount(counts.endings, counts.assignments, counts.before.hand_overs)
            decision = decide(policy, misses)
            decisions.append(decision)
            return {
                "misses": decision.misses,
                "escalation": max(decision.escalation, counts.before.escalation),
                "alarm": decision.alarm or counts.before.alarm,
            }

        task_sid = followup.task_sid or ""
        before, state = self._adapters.task_states.count(
            task_sid, followup.workspace_sid, self._adapters.now(), MISSES, judge
        )
        return decisions[-1], before, state

    def _raise_priority(self, followup: Followup, priority: int, deadline: Deadline) -> None:
        """Raise the priority of a waiting task to at least this. Raises TaskRouterError."""
        workspace_sid, task_sid = followup.workspace_sid, followup.task_sid or ""
        for tries_left in reversed(range(MAX_TRIES)):
            task = self._adapters.taskrouter.fetch_task(workspace_sid, task_sid, timeout_s=deadline.remaining_s())
            if task.assignment_status not in handover.WAITING or task.priority >= priority:
                return
            try:
                self._adapters.taskrouter.update_priority(
                    workspace_sid, task_sid, priority, if_match=task.etag, timeout_s=deadline.remaining_s()
                )
            except errors.StaleTask:
                if not tries_left:
                    raise
                continue
            self._record(followup, ActivityType.PRIORITY_RAISED, Priority=priority, Before=task.priority)
            return

    def _escalate(self, followup: Followup, state: TaskState, deadline: Deadline) -> None:
        """Write the escalation level into the block. It is in the database already, so later enrichments keep it.

        Raises DatabaseError, TaskRouterError.
        """
        run, workspace_sid, task_sid = EnrichmentRun(), followup.workspace_sid, followup.task_sid or ""
        try:
            self._enricher.place(run, TaskRef(workspace_sid, task_sid, has_marks=True), deadline, patient=False)
        except (errors.NoRoom, errors.AttributesUnreadable):
            return  # no level on this task; the rest of the policy still applies
        if run.after is not None:
            run.end_enriched()
            details = {"Level": state.escalation, "Misses": state.misses}
            self._activities.record_write(ActivityType.ESCALATED, workspace_sid, task_sid, run, details)

    def _record(self, followup: Followup, activity: ActivityType, **details: object) -> None:
        """Record the activity, once for each follow-up."""
        self._activities.record(
            activity,
            followup.workspace_sid,
            followup.task_sid or "",
            once=f"followup {followup.id}",
            details=details,
        )

    def _move_worker(self, followup: Followup, deadline: Deadline) -> None:
        """Move the worker who missed it into the policy's activity, unless they are unavailable, or it was long ago."""
        activity_sid = self._rules.policy.timeouts.worker_activity.get(followup.event_type.removeprefix("reservation."))
        missed_at: datetime | None = followup.received_at
        if not activity_sid or not followup.worker_sid or missed_at is None:
            return
        if self._adapters.now() - missed_at > WORKER_MOVES_WITHIN:
            return
        workspace_sid, worker_sid = followup.workspace_sid, followup.worker_sid
        try:
            now_in, is_working = self._adapters.taskrouter.worker_activity(
                workspace_sid, worker_sid, timeout_s=deadline.remaining_s()
            )
            if is_working and now_in != activity_sid:
                self._adapters.taskrouter.move_worker(
                    workspace_sid, worker_sid, activity_sid, timeout_s=deadline.remaining_s()
                )
                self._record(
                    followup,
                    ActivityType.WORKER_MOVED,
                    Worker=followup.worker_name or worker_sid,
                    Activity=activity_sid,
                )
        except errors.TaskGone:
            return  # there is no such worker any more
