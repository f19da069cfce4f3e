"""The life of a task, event by event.

    receive    the event is a row of the journal, and the work that it causes is owed, both committed together
    caused_by  what that is:   created                         enrich it before it is offered to anyone
                               timed out, rejected, canceled   count the miss, and do what the policy says to it
                               wrapping                        complete it after as long as the policy says
                               accepted, completed, over       keep what is finished in the customer's history
    warm       created: nothing when the callback came first, else the same enrichment as in the callback
    missed     priority, escalation level, the worker's activity, hand-over: whatever does not hold yet
    finished   who, when, how long, and what came of it

The order of events is not promised, and one may come twice (facts section 5). So nothing here follows from the event
itself: it only gives occasion to look at all events of the task that are in the journal. Types that are not known are
kept, and nothing else. Our own writes come back as `task.updated`, which causes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from enrich import errors
from enrich.customers import interactions
from enrich.domain.deadline import Deadline
from enrich.domain.deliveries import Delivery, NewFollowup, Receipt
from enrich.domain.matches import LookupKeys
from enrich.domain.outcomes import ActivityType, FollowupKind, Outcome
from enrich.flows import handover
from enrich.flows.activity import show, tell
from enrich.flows.enrichment import TaskRef, place
from enrich.flows.work import Adapters, EnrichmentRun, Rules
from enrich.policy.timeouts import ENDINGS, MissCount, TimeoutDecision, decide
from enrich.taskrouter import callbacks

if TYPE_CHECKING:
    from enrich.journal.followups import Followup, FollowupQueue
    from enrich.journal.task_states import StateCounts, TaskState

MISSES = tuple(f"reservation.{ending}" for ending in ENDINGS)
WRAPPING = ("task.wrapup", "reservation.wrapup")
ENDS = (interactions.COMPLETED, *interactions.DELETED, "task.canceled")

# Longer than a receipt takes at most (webhooks.answers.EVENT_S): what belongs to the same end is committed by then.
SETTLED_AFTER = timedelta(seconds=3)
# A worker who let it ring longer ago than this is somewhere else by now.
WORKER_MOVES_WITHIN = timedelta(minutes=2)
# Somebody else wrote in between: as often as this, before it is left for later.
MOST_TRIES = 5


def receive(event: Delivery, adapters: Adapters, *, timeout_s: float) -> Receipt:
    """The event's receipt, committed together with the work it causes; one insert where it causes none.

    The door for what TaskRouter sends and for what catching up finds. Raises DatabaseError.
    """
    return adapters.journal.receive(event, timeout_s=timeout_s, owing=caused_by(event, adapters.rules))


def caused_by(event: Delivery, rules: Rules) -> tuple[NewFollowup, ...]:
    """The work that this event causes."""
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
        case interactions.ACCEPTED:  # told after the end: then, and only then, it makes a difference
            return (NewFollowup(FollowupKind.FINISHED, now, finished_key(task_sid), only_wakes=True),)
        case kind if kind in (*ENDS, interactions.PART_COMPLETED):
            return (NewFollowup(FollowupKind.FINISHED, now + SETTLED_AFTER, finished_key(task_sid), rearms=True),)
        case _:
            return ()


def finished_key(task_sid: str) -> str:
    """What the one follow-up that keeps the task in history is known by."""
    return f"finished:{task_sid}"


def wrapped_key(sid: str) -> str:
    """What the one completion of a task or a reservation is known by that nobody asked for."""
    return f"wrapped:{sid}"


def by_policy(rules: Rules) -> Mapping[str, Any]:
    """What a completion that nobody asked for needs to know."""
    return {"by": "policy", "reason": rules.policy.wrapup.reason, "only_wrapping": True}


def missed(followup: Followup, adapters: Adapters, owed: FollowupQueue, deadline: Deadline) -> None:
    """A reservation came to nothing. Everything that is to hold from now on holds when this returns.

    Raises DatabaseError, TaskRouterError.
    """
    decision, before, state = _judge(followup, adapters)
    if adapters.states.events(state.task_sid, ENDS):  # heard of before there was a state that it could end
        adapters.states.ended(state.task_sid, adapters.now())
    if state.alarm != before.alarm:
        _tell(
            followup,
            ActivityType.ALARM,
            adapters,
            Alarm=state.alarm,
            Assignments=state.assignments,
            Canceled=state.canceled,
        )
    _move_worker(followup, adapters, deadline)
    if decision.leaves_it and not state.escalation:
        return
    try:
        if decision.priority is not None:
            _raise_priority(followup, decision.priority, adapters, deadline)
        if state.escalation:
            _escalate(followup, state, adapters, deadline)
        if decision.hand_over is not None:
            handover.owe(followup, decision.hand_over, adapters, owed, deadline)
    except errors.TaskGone:
        return  # it is over; nobody has to be found for it any more


def finished(followup: Followup, adapters: Adapters) -> None:
    """What is over is in the customer's history, once, and raises no alarm any more. Raises DatabaseError."""
    task_sid = followup.task_sid or ""
    kept = adapters.states.events(task_sid, (*interactions.EVENT_TYPES, "task.canceled"))
    if any(event.event_type in ENDS for event in kept):
        adapters.states.ended(task_sid, adapters.now())
    told = [callbacks.task_event(event.event_type, _form(event.raw_form), event.received_at) for event in kept]
    interaction = interactions.finished(task_sid, told)
    if interaction is None:
        return
    said = adapters.states.marks(task_sid).get("outcome")
    if said:
        interaction = replace(interaction, outcome=said)
    customer_id = _whose(task_sid, adapters)
    if adapters.store.keep_interaction(customer_id, interaction):
        tell(
            ActivityType.HISTORY,
            followup.workspace_sid,
            task_sid,
            adapters,
            once=f"{task_sid} {customer_id}",
            details={"Customer": customer_id, "Worker": interaction.worker_name, "Seconds": interaction.lasted_s},
        )


def _whose(task_sid: str, adapters: Adapters) -> str | None:
    """Whose task it was: who staff have said, else who was found last; None for nobody."""
    said = adapters.store.find_candidates(LookupKeys(task_sid=task_sid))
    return (said[0].customer_id or None) if said else adapters.states.customer_of(task_sid)


def _judge(followup: Followup, adapters: Adapters) -> tuple[TimeoutDecision, TaskState, TaskState]:
    """What the policy says to all misses of the task so far; and the task's state, before and after."""
    policy = adapters.rules.policy.timeouts
    decisions: list[TimeoutDecision] = []

    def judge(counts: StateCounts) -> Mapping[str, Any]:
        tally = MissCount(counts.endings, counts.assignments, counts.before.hand_overs)
        decision = decide(policy, tally)
        decisions.append(decision)
        return {
            "misses": decision.misses,
            "escalation": max(decision.escalation, counts.before.escalation),
            "alarm": decision.alarm or counts.before.alarm,
        }

    task_sid = followup.task_sid or ""
    before, state = adapters.states.count(task_sid, followup.workspace_sid, adapters.now(), MISSES, judge)
    return decisions[-1], before, state


def _raise_priority(followup: Followup, priority: int, adapters: Adapters, deadline: Deadline) -> None:
    """The task's priority is at least this, if it still waits. Raises TaskRouterError."""
    workspace_sid, task_sid = followup.workspace_sid, followup.task_sid or ""
    for tries_left in reversed(range(MOST_TRIES)):
        task = adapters.taskrouter.fetch_task(workspace_sid, task_sid, timeout_s=deadline.remaining_s())
        if task.assignment_status not in handover.WAITING or task.priority >= priority:
            return
        try:
            adapters.taskrouter.update_priority(
                workspace_sid, task_sid, priority, if_match=task.etag, timeout_s=deadline.remaining_s()
            )
        except errors.StaleTask:
            if not tries_left:
                raise
            continue
        _tell(followup, ActivityType.PRIORITY_RAISED, adapters, Priority=priority, Before=task.priority)
        return


def _escalate(followup: Followup, state: TaskState, adapters: Adapters, deadline: Deadline) -> None:
    """The level stands in our block. It is in the database already, so whoever enriches the task keeps it there.

    Raises DatabaseError, TaskRouterError.
    """
    work = EnrichmentRun()
    subject = TaskRef(followup.workspace_sid, followup.task_sid or "", has_marks=True)
    try:
        place(work, subject, adapters, deadline, patient=False)
    except (errors.NoRoom, errors.AttributesUnreadable):
        return  # no level on this task; whatever else the policy says still holds
    if work.after is not None:
        work.ended(Outcome.ENRICHED, getattr(work.match, "reason", ""))
        details = {"Level": state.escalation, "Misses": state.misses}
        show(ActivityType.ESCALATED, followup.workspace_sid, followup.task_sid or "", work, adapters, details)


def _tell(followup: Followup, told: ActivityType, adapters: Adapters, **details: object) -> None:
    """Once for each follow-up."""
    task_sid = followup.task_sid or ""
    tell(told, followup.workspace_sid, task_sid, adapters, once=f"followup {followup.id}", details=details)


def _move_worker(followup: Followup, adapters: Adapters, deadline: Deadline) -> None:
    """The worker who missed it is where the policy sends them, unless they are not working anyway, or long gone."""
    activity_sid = adapters.rules.policy.timeouts.worker_activity.get(followup.event_type.removeprefix("reservation."))
    missed_at: datetime | None = followup.received_at
    if not activity_sid or not followup.worker_sid or missed_at is None:
        return
    if adapters.now() - missed_at > WORKER_MOVES_WITHIN:
        return
    workspace_sid, worker_sid = followup.workspace_sid, followup.worker_sid
    try:
        now_in, is_working = adapters.taskrouter.worker_activity(
            workspace_sid, worker_sid, timeout_s=deadline.remaining_s()
        )
        if is_working and now_in != activity_sid:
            adapters.taskrouter.move_worker(workspace_sid, worker_sid, activity_sid, timeout_s=deadline.remaining_s())
            _tell(
                followup,
                ActivityType.WORKER_MOVED,
                adapters,
                Worker=followup.worker_name or worker_sid,
                Activity=activity_sid,
            )
    except errors.TaskGone:
        return  # there is no such worker any more


def _form(raw_form: str) -> callbacks.Form:
    return callbacks.read_form(callbacks.split_form(raw_form.encode("ascii", "backslashreplace")))
