"""Missed reservations: the `[timeouts]` table of the policy file, and the decision.

When TaskRouter tells of a time-out, it has put the task back into the queue already (docs/taskrouter.md,
"A reservation that timed out"): doing nothing is a decision, and the default. Everything here follows from how many
*different* reservations of the task were missed, not from the order in which that was heard; so events that come late,
swapped or twice lead to the same end.

    [timeouts]
    misses = ["timeout", "rejected", "canceled"]        # what counts; a rescinded reservation is nobody's miss
    alarm_canceled = 5                                  # canceled reservations of one task: a loop
    alarm_assignments = 800                             # TaskRouter cancels the task at 1,000
    worker_activity = { timeout = "WA..." }             # where the worker goes who let it ring

    [[timeouts.steps]]
    after = 2                                           # from the second miss on
    raise_priority_to = 50
    escalation = 1                                      # crm.escalation, for the workflow's filters

    [[timeouts.steps]]
    after = 5
    hand_over = { workflow = "WW..." }                  # canceled, and created anew over there

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
# How a reservation can come to nothing (docs/taskrouter.md, "Reservations"). When another one was accepted first,
# nobody missed anything.
ENDINGS = ("timeout", "rejected", "canceled")
# At the thousandth, TaskRouter cancels the task (docs/taskrouter.md, "Sizes and counts").
MAX_ASSIGNMENTS = 1_000
MAX_PRIORITY = 2_147_483_647

_ALARM_CANCELED = 5
_ALARM_ASSIGNMENTS = 800


class Alarm(StrEnum):
    """An alarm: a task that needs attention. Journal, page and metrics use the same words."""

    NONE = ""
    LOOP = "canceled_loop"  # created, canceled, created: a worker's device that never rings, for one
    LIMIT = "assignment_limit"  # TaskRouter is about to cancel it
    HANDED_OVER_BEFORE = "handed_over_before"  # missed again where it was handed over to: that is not tried twice


@dataclass(frozen=True, slots=True)
class HandOver:
    """The target of a hand-over. workflow_sid, priority: None leaves them as they were."""

    workflow_sid: str | None = None
    priority: int | None = None


@dataclass(frozen=True, slots=True)
class EscalationStep:
    """One step of the escalation, from a number of misses on. None, 0: unchanged."""

    after: int
    raise_priority_to: int | None = None
    escalation: int = 0
    hand_over: HandOver | None = None


@dataclass(frozen=True, slots=True)
class TimeoutPolicy:
    """The `[timeouts]` table. By default the task stays where TaskRouter put it; misses are counted, alarms raised.

    worker_activity: from an ending to the activity that the worker is sent to, by SID.
    """

    steps: tuple[EscalationStep, ...] = ()
    misses: frozenset[str] = frozenset(ENDINGS)
    worker_activity: Mapping[str, str] = field(default_factory=dict)
    alarm_canceled: int = _ALARM_CANCELED
    alarm_assignments: int = _ALARM_ASSIGNMENTS


@dataclass(frozen=True, slots=True)
class MissCount:
    """Counts of one task's distinct reservations, by how they ended.

    hand_overs: how often the work behind the task has been handed over until now.
    """

    endings: Mapping[str, int] = field(default_factory=dict)
    assignments: int = 0
    hand_overs: int = 0

    def misses(self, policy: TimeoutPolicy) -> int:
        return sum(number for ending, number in self.endings.items() if ending in policy.misses)


@dataclass(frozen=True, slots=True)
class TimeoutDecision:
    """The state that a task should have from now on; each part may hold already.

    priority: at least this; None: whatever it is. escalation: the level in our block; 0: none.
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
    reached = [step for step in policy.steps if step.after <= misses]
    hand_over = next((step.hand_over for step in sorted(reached, key=_after, reverse=True) if step.hand_over), None)
    again = hand_over is not None and tally.hand_overs > 0
    return TimeoutDecision(
        misses=misses,
        priority=max((step.raise_priority_to for step in reached if step.raise_priority_to is not None), default=None),
        escalation=max((step.escalation for step in reached), default=0),
        hand_over=None if again else hand_over,
        alarm=_alarm(policy, tally, again=again),
    )


def _alarm(policy: TimeoutPolicy, tally: MissCount, *, again: bool) -> Alarm:
    """The worst of what is wrong."""
    if tally.assignments >= policy.alarm_assignments:
        return Alarm.LIMIT
    if tally.endings.get("canceled", 0) >= policy.alarm_canceled:
        return Alarm.LOOP
    return Alarm.HANDED_OVER_BEFORE if again else Alarm.NONE


def _after(step: EscalationStep) -> int:
    return step.after


def parse_timeouts(table: Mapping[str, object], problems: Problems) -> TimeoutPolicy:
    """The policy of this table; what is wrong is added to `problems`, and left out."""
    known = ("steps", "misses", "worker_activity", "alarm_canceled", "alarm_assignments")
    _refuse_unknown(table, known, TABLE, problems)
    default = TimeoutPolicy()
    return TimeoutPolicy(
        steps=_steps(table.get("steps", []), problems),
        misses=_misses(table, default.misses, problems),
        worker_activity=_activities(table.get("worker_activity", {}), problems),
        alarm_canceled=_number(table, "alarm_canceled", TABLE, problems, low=2) or _ALARM_CANCELED,
        alarm_assignments=_number(table, "alarm_assignments", TABLE, problems, low=2, high=MAX_ASSIGNMENTS)
        or _ALARM_ASSIGNMENTS,
    )


def _steps(given: object, problems: Problems) -> tuple[EscalationStep, ...]:
    if not isinstance(given, list) or not all(isinstance(each, Mapping) for each in given):
        problems.add(TABLE, "steps", "must be a list of tables: [[timeouts.steps]]")
        return ()
    steps = [_step(each, f"{TABLE}.steps {number}", problems) for number, each in enumerate(given, 1)]
    return tuple(sorted((step for step in steps if step), key=_after))


def _step(table: Mapping[str, Any], where: str, problems: Problems) -> EscalationStep | None:
    wrong_before = len(problems.found)
    _refuse_unknown(table, ("after", "raise_priority_to", "escalation", "hand_over"), where, problems)
    if "after" not in table:
        problems.add(where, "after", "is missing: from which miss on the step holds, 1 for the first")
        return None
    after = _number(table, "after", where, problems, low=1, high=MAX_ASSIGNMENTS)
    priority = _number(table, "raise_priority_to", where, problems, high=MAX_PRIORITY)
    escalation = _number(table, "escalation", where, problems, low=1, high=1_000) or 0
    hand_over = _hand_over(table.get("hand_over", False), where, problems)
    if after is None:
        return None
    if priority is None and not escalation and hand_over is None:
        if len(problems.found) == wrong_before:
            problems.add(where, "", "does nothing: give raise_priority_to, escalation or hand_over")
        return None
    return EscalationStep(after, priority, escalation, hand_over)


def _hand_over(given: object, where: str, problems: Problems) -> HandOver | None:
    if isinstance(given, bool):
        return HandOver() if given else None
    if not isinstance(given, Mapping):
        problems.add(where, "hand_over", "must be true, or a table with workflow and priority")
        return None
    where = f"{where}.hand_over"
    _refuse_unknown(given, ("workflow", "priority"), where, problems)
    workflow = given.get("workflow")
    if workflow is not None and not is_sid(workflow, "WW"):
        problems.add(where, "workflow", "must be the SID of a workflow: WW and 32 hexadecimal digits")
        workflow = None
    return HandOver(workflow, _number(given, "priority", where, problems, high=MAX_PRIORITY))


def _misses(table: Mapping[str, object], default: frozenset[str], problems: Problems) -> frozenset[str]:
    given = table.get("misses")
    if given is None:
        return default
    if not isinstance(given, list) or not given or not all(each in ENDINGS for each in given):
        problems.add(TABLE, "misses", f"must be a list of some of {', '.join(ENDINGS)}; rescinded is nobody's miss")
        return default
    return frozenset(given)


def _activities(given: object, problems: Problems) -> Mapping[str, str]:
    if not isinstance(given, Mapping):
        problems.add(TABLE, "worker_activity", f"must be a table from {', '.join(ENDINGS)} to the SID of an activity")
        return {}
    where = f"{TABLE}.worker_activity"
    _refuse_unknown(given, ENDINGS, where, problems)
    activities = {}
    for ending, activity in given.items():
        if not is_sid(activity, "WA"):
            problems.add(where, str(ending), "must be the SID of an activity: WA and 32 hexadecimal digits")
        elif ending in ENDINGS:
            activities[str(ending)] = str(activity)
    return activities


def _number(
    table: Mapping[str, Any], key: str, where: str, problems: Problems, *, low: int = 0, high: int = 1_000_000
) -> int | None:
    """The whole number under this key; None where there is none, or a wrong one."""
    value = table.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        problems.add(where, key, f"must be a whole number from {low:,} to {high:,}")
        return None
    return value


def _refuse_unknown(table: Mapping[str, object], known: tuple[str, ...], where: str, problems: Problems) -> None:
    for key in table:
        if key not in known:
            problems.add(where, str(key), f"is not known here; there are {', '.join(known)}")
