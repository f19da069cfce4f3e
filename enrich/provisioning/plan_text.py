"""A plan as text for a terminal. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from enrich.provisioning.plan import Plan, PlanAction, PlannedChange, PlanStep

_DONE = {PlanAction.CREATE: "created", PlanAction.CHANGE: "changed"}


def plan_lines(plan: Plan) -> Iterator[str]:
    """Yield the lines of a plan: its steps with their fields, the drift, and the summary."""
    for step in plan.steps:
        yield f"  {step.action:<8}{step.kind} {step.name!r}" + (f"  {step.sid}" if step.sid else "")
        if step.action is not PlanAction.LEAVE:
            yield from (f"          {_change(change, step.action)}" for change in step.changes)
    for resource in plan.drift:
        yield f"  {'drift':<8}{resource.kind} {resource.name!r}  {resource.sid}  is not in the file; it is left alone"
    yield summary(plan)


def summary(plan: Plan) -> str:
    create, change = plan.count(PlanAction.CREATE), plan.count(PlanAction.CHANGE)
    counts = (
        f"{create} to create, {change} to change, {plan.count(PlanAction.LEAVE)} to leave, {len(plan.drift)} drift."
    )
    return counts if create or change else f"Nothing to do. {counts}"


def done_line(step: PlanStep, sid: str) -> str:
    """Return the line for a finished step."""
    fields = ", ".join(dict.fromkeys(change.field.partition(".")[0] for change in step.changes))
    suffix = f": {fields}" if step.action is PlanAction.CHANGE else ""
    return f"  {_DONE[step.action]} {step.kind} {step.name!r}  {sid}{suffix}"


def _change(change: PlannedChange, action: PlanAction) -> str:
    if action is PlanAction.CREATE:
        return f"{change.field}: {_value(change.new)}"
    if isinstance(change.old, tuple) and isinstance(change.new, tuple):
        added, removed = set(change.new) - set(change.old), set(change.old) - set(change.new)
        parts = [f"{word} {', '.join(sorted(names))}" for word, names in (("adds", added), ("drops", removed)) if names]
        return f"{change.field}: {'; '.join(parts)}"
    return f"{change.field}: {_value(change.old)} -> {_value(change.new)}"


def _value(value: Any) -> str:
    if value is None or value == "":
        return "not set"
    if isinstance(value, tuple):
        return ", ".join(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
