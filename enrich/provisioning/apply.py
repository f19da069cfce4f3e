"""A workspace made to be as its file says: planned first, then done step by step.

What was done is not remembered anywhere: each run looks at what is there. So a second run changes nothing, and a run
after one that failed half way goes on where that one stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from enrich import errors
from enrich.provisioning.plan import Actual, Desired, Plan, PlanAction, PlanStep, make_plan


class Workspaces(Protocol):
    """workspace.Workspaces, as far as it is needed here."""

    def read(self, desired: Desired) -> Actual: ...
    def apply(self, step: PlanStep) -> str: ...


def plan(desired: Desired, workspaces: Workspaces) -> Plan:
    """Return the plan. Raises PlanRefused if it cannot be applied, and TaskRouterError."""
    made = make_plan(desired, workspaces.read(desired))
    if made.problems:
        raise errors.PlanRefused("\n".join(made.problems))
    return made


def provision(desired: Desired, workspaces: Workspaces, planned: Plan, tell: Callable[[PlanStep, str], None]) -> int:
    """Apply the plan and return the number of steps. Raises PlanStopped, PlanRefused.

    tell: called with each step as it is done, and its SID.
    """
    done = 0
    first = planned.steps[0]
    if first.action is PlanAction.CREATE:
        # What a new workspace comes with is known once it is there, so the rest is planned again.
        done += _take(first, workspaces, tell, done, len(planned.to_do))
        planned = plan(desired, workspaces)
    total = done + len(planned.to_do)
    for step in planned.to_do:
        done += _take(step, workspaces, tell, done, total - done)
    return done


def _take(step: PlanStep, workspaces: Workspaces, tell: Callable[[PlanStep, str], None], done: int, left: int) -> int:
    try:
        tell(step, workspaces.apply(step))
    except errors.TaskRouterError as exc:
        raise errors.PlanStopped(
            f"{exc.reason}: {exc}\n{done} of {done + left} steps were done before that; when the reason is mended, "
            "run it again: it goes on from there"
        ) from exc
    return 1
