"""Applying a workspace file: first a plan, then its steps one by one.

No state is kept between runs: each run reads the workspace. So a second run changes nothing, and a run after one that
failed half way continues where that one stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from enrich import errors
from enrich.provisioning.plan import Actual, Desired, Plan, PlanAction, PlanStep, make_plan


class Workspaces(Protocol):
    """The part of workspace.Workspaces that is needed here."""

    def read(self, desired: Desired) -> Actual: ...
    def apply(self, step: PlanStep) -> str: ...


def plan(desired: Desired, workspaces: Workspaces) -> Plan:
    """Return the plan. Raises PlanRefused if it cannot be applied, and TaskRouterError."""
    result = make_plan(desired, workspaces.read(desired))
    if result.problems:
        raise errors.PlanRefused("\n".join(result.problems))
    return result


def provision(
    desired: Desired, workspaces: Workspaces, first_plan: Plan, report: Callable[[PlanStep, str], None]
) -> int:
    """Apply the plan and return the number of steps. Raises PlanStopped, PlanRefused.

    report: called with each finished step and its SID.
    """
    count = 0
    steps = first_plan.to_do
    first = first_plan.steps[0]
    if first.action is PlanAction.CREATE:
        _apply(first, workspaces, report, count, len(steps))
        count += 1
        # The contents of a new workspace are known only after its creation, so the rest is planned again.
        steps = plan(desired, workspaces).to_do
    total = count + len(steps)
    for step in steps:
        _apply(step, workspaces, report, count, total)
        count += 1
    return count


def _apply(
    step: PlanStep, workspaces: Workspaces, report: Callable[[PlanStep, str], None], count: int, total: int
) -> None:
    try:
        report(step, workspaces.apply(step))
    except errors.TaskRouterError as exc:
        raise errors.PlanStopped(
            f"{exc.reason}: {exc}\n{count} of {total} steps were done before that; fix the cause and run the command "
            "again: it continues from there"
        ) from exc
