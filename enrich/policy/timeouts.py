"""Missed reservations: the `[timeouts]` table of the policy file, and the decision.

When TaskRouter reports a time-out, it has already returned the task to the queue (docs/taskrouter.md, "A reservation
that timed out"): doing nothing is a decision, and the default. The decision depends only on the number of *different*
reservations that were missed, so events that arrive late, out of order or twice lead to the same result.

    [timeouts]
    misses = ["timeout", "rejected", "canceled"]        # endings that count; "rescinded" is never a miss
    alarm_canceled = 5                                  # canceled reservations of one task: a loop
    alarm_assignments = 800                             # TaskRouter cancels the task at 1,000
    worker_activity = { timeout = "WA..." }             # the next activity of the worker who missed it

    [[timeouts.steps]]
    after = 2                                           # from the second miss on
    raise_priority_to = 50
    escalation = 1                                      # crm.escalation, for the workflow's filters

    [[timeouts.steps]]
    after = 5
    hand_over = { workflow = "WW..." }                  # canceled, and created again in that workflow

Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from enrich.domain.sids import is_sid
from enrich.policy.problems import Problems

TABLE = "timeouts"
# Endings of a reservation without acceptance (docs/taskrouter.md, "Reservations"). "rescinded" is not among them:
# another reservation was accepted first, and nobody missed this one.
ENDINGS = ("timeout", "rejected", "canceled")
# TaskRouter cancels the task at the thousandth assignment (docs/taskrouter.md, "Sizes and counts").
MAX_ASSIGNMENTS = 1_000
MAX_PRIORITY = 2_147_483_647

_ALARM_CANCELED = 5
_ALARM_ASSIGNMENTS = 800


class Alarm(StrEnum):
    """An alarm: a task that needs attention. Journal, page and metrics use the same words."""

    NONE = ""
    # Reservations are created and canceled again and again, for example because a worker's device never rings.
    LOOP = "canceled_loop"
    # TaskRouter is about to cancel the task.
    LIMIT = "assignment_limit"
    # The task was missed again after a hand-over, which is not tried twice.
    HANDED_OVER_BEFORE = "handed_over_before"


@dataclass(frozen=True, slots=True)
class HandOver:
    """The target of a hand-over. workflow_sid, priority: None leaves them unchanged."""

    workflow_sid: str | None = None
    priority: int | None = None


@dataclass(frozen=True, slots=True)
class EscalationStep:
    """One step of the escalation. after: the number of misses from which it holds. None, 0: unchanged."""

    after: int
    raise_priority_to: int | None = None
    escalation: int = 0
    hand_over: HandOver | None = None


@dataclass(frozen=True, slots=True)
class TimeoutPolicy:
    """The `[timeouts]` table. By default the task stays where TaskRouter put it; misses are counted and alarms raised.

    worker_activity: by ending, the SID of the activity that the worker is set to.
    """

    steps: tuple[EscalationStep, ...] = ()
    misses: frozenset[str] = frozenset(ENDINGS)
    worker_activity: Mapping[str, str] = field(default_factory=dict)
    alarm_canceled: int = _ALARM_CANCELED
    alarm_assignments: int = _ALARM_ASSIGNMENTS


@dataclass(frozen=True, slots=True)
class MissCount:
    """Counts of one task's distinct reservations, by their ending. hand_overs: the number of hand-overs so far."""

    endings: Mapping[str, int] = field(default_factory=dict)
    assignments: int = 0
    hand_overs: int = 0

    def misses(self, policy: TimeoutPolicy) -> int:
        return sum(number for ending, number in self.endings.items() if ending in policy.misses)


@dataclass(frozen=True, slots=True)
class TimeoutDecision:
    """The state that a task should have from now on; it may have parts of it already.

    priority: the minimum; None for any. escalation: the level in our block; 0 for none.
    """

    misses: int
    priority: int | None = None
    escalation: int = 0
    hand_over: HandOver | None = None
    alarm: Alarm = Alarm.NONE

    @property
    def leaves_it(self) -> bool:
        """Return whether the task stays as TaskRouter returned it to the queue."""
        return self.priority is None and not self.escalation and self.hand_over is None


def decide(policy: TimeoutPolicy, tally: MissCount) -> TimeoutDecision:
    """Return the decision for these counts. Levels and priorities only rise with more misses."""
    misses = tally.misses(policy)
    steps = [step for step in policy.steps if step.after <= misses]
    hand_over = next((step.hand_over for step in sorted(steps, key=_after, reverse=True) if step.hand_over), None)
    is_repeated = hand_over is not None and tally.hand_overs > 0
    return TimeoutDecision(
        misses=misses,
        priority=max((step.raise_priority_to for step in steps if step.raise_priority_to is not None), default=None),
        escalation=max((step.escalation for step in steps), default=0),
        hand_over=None if is_repeated else hand_over,
        alarm=_alarm(policy, tally, is_repeated=is_repeated),
    )


def _alarm(policy: TimeoutPolicy, tally: MissCount, *, is_repeated: bool) -> Alarm:
    """Return the most urgent alarm."""
    if tally.assignments >= policy.alarm_assignments:
        return Alarm.LIMIT
    if tally.endings.get("canceled", 0) >= policy.alarm_canceled:
        return Alarm.LOOP
    return Alarm.HANDED_OVER_BEFORE if is_repeated else Alarm.NONE


def _after(step: EscalationStep) -> int:
    return step.after


def parse_timeouts(table: Mapping[str, object], problems: Problems) -> TimeoutPolicy:
    """Return the policy of this table; mistakes are added to `problems` and left out."""
    known_keys = ("steps", "misses", "worker_activity", "alarm_canceled", "alarm_assignments")
    _refuse_unknown(table, known_keys, TABLE, problems)
    default = TimeoutPolicy()
    return TimeoutPolicy(
        steps=_steps(table.get("steps", []), problems),
        misses=_misses(table, default.misses, problems),
        worker_activity=_activities(table.get("worker_activity", {}), problems),
        alarm_canceled=_number(table, "alarm_canceled", TABLE, problems, low=2) or _ALARM_CANCELED,
        alarm_assignments=_number(table, "alarm_assignments", TABLE, problems, low=2, high=MAX_ASSIGNMENTS)
        or _ALARM_ASSIGNMENTS,
    )


def _steps(tables: object, problems: Problems) -> tuple[EscalationStep, ...]:
    if not isinstance(tables, list) or not all(isinstance(table, Mapping) for table in tables):
        problems.add(TABLE, "steps", "must be a list of tables: [[timeouts.steps]]")
        return ()
    steps = [_step(table, f"{TABLE}.steps {number}", problems) for number, table in enumerate(tables, 1)]
    return tuple(sorted((step for step in steps if step), key=_after))


def _step(table: Mapping[str, Any], where: str, problems: Problems) -> EscalationStep | None:
    problems_before = len(problems.found)
    _refuse_unknown(table, ("after", "raise_priority_to", "escalation", "hand_over"), where, problems)
    if "after" not in table:
        problems.add(where, "after", "is missing: the number of misses from which the step holds, 1 for the first")
        return None
    after = _number(table, "after", where, problems, low=1, high=MAX_ASSIGNMENTS)
    priority = _number(table, "raise_priority_to", where, problems, high=MAX_PRIORITY)
    escalation = _number(table, "escalation", where, problems, low=1, high=1_000) or 0
    hand_over = _hand_over(table.get("hand_over", False), where, problems)
    if after is None:
        return None
    if priority is None and not escalation and hand_over is None:
        if len(problems.found) == problems_before:
            problems.add(where, "", "does nothing: give raise_priority_to, escalation or hand_over")
        return None
    return EscalationStep(after, priority, escalation, hand_over)


def _hand_over(table: object, where: str, problems: Problems) -> HandOver | None:
    if isinstance(table, bool):
        return HandOver() if table else None
    if not isinstance(table, Mapping):
        problems.add(where, "hand_over", "must be true, or a table with workflow and priority")
        return None
    where = f"{where}.hand_over"
    _refuse_unknown(table, ("workflow", "priority"), where, problems)
    workflow = table.get("workflow")
    if workflow is not None and not is_sid(workflow, "WW"):
        problems.add(where, "workflow", "must be the SID of a workflow: WW and 32 hexadecimal digits")
        workflow = None
    return HandOver(workflow, _number(table, "priority", where, problems, high=MAX_PRIORITY))


def _misses(table: Mapping[str, object], default: frozenset[str], problems: Problems) -> frozenset[str]:
    endings = table.get("misses")
    if endings is None:
        return default
    if not isinstance(endings, list) or not endings or not all(ending in ENDINGS for ending in endings):
        problems.add(TABLE, "misses", f"must be a list of some of {', '.join(ENDINGS)}; rescinded is never a miss")
        return default
    return frozenset(endings)


def _activities(table: object, problems: Problems) -> Mapping[str, str]:
    if not isinstance(table, Mapping):
        problems.add(TABLE, "worker_activity", f"must be a table from {', '.join(ENDINGS)} to the SID of an activity")
        return {}
    where = f"{TABLE}.worker_activity"
    _refuse_unknown(table, ENDINGS, where, problems)
    activities = {}
    for ending, activity in table.items():
        if not is_sid(activity, "WA"):
            problems.add(where, str(ending), "must be the SID of an activity: WA and 32 hexadecimal digits")
        elif ending in ENDINGS:
            activities[str(ending)] = str(activity)
    return activities


def _number(
    table: Mapping[str, Any], key: str, where: str, problems: Problems, *, low: int = 0, high: int = 1_000_000
) -> int | None:
    """Return the whole number under this key; None if there is none, or a wrong one."""
    value = table.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        problems.add(where, key, f"must be a whole number from {low:,} to {high:,}")
        return None
    return value


def _refuse_unknown(table: Mapping[str, object], known_keys: tuple[str, ...], where: str, problems: Problems) -> None:
    for key in table:
        if key not in known_keys:
            problems.add(where, str(key), f"is not known here; there are {', '.join(known_keys)}")
