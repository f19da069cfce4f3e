"""The plan that brings a workspace to the state in its file. Pure: from desired and actual state to a plan.

Both sides speak in names, never in SIDs, so that the same file fits every account and the two can be compared.
Nothing is ever deleted, and what the file does not mention is left as it is. Source: docs/taskrouter.md,
"Provisioning".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from enrich.provisioning.routing import queues_of


class Kind(StrEnum):
    """In the order in which they are made: each may name those before it. Workflows come last, when all is ready."""

    WORKSPACE = "workspace"
    ACTIVITY = "activity"
    CHANNEL = "task channel"
    QUEUE = "queue"
    WORKER = "worker"
    WORKFLOW = "workflow"


class PlanAction(StrEnum):
    CREATE = "create"
    CHANGE = "change"
    LEAVE = "leave"


@dataclass(frozen=True, slots=True)
class Resource:
    """One thing as the file wants it.

    name: what it is known by; for a task channel its unique name. fields: what the file says, in the file's words,
    and nothing else. initial: what it begins with, and is not changed afterwards (the activity that a worker is in).
    """

    kind: Kind
    name: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    initial: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Existing:
    """One thing as TaskRouter has it, with all fields that a file could name. sid: "" where it comes by itself."""

    kind: Kind
    name: str
    sid: str
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Desired:
    """A whole file. workspace: only what stands in it before its activities; those two are in `activities`."""

    workspace: Resource
    may_create: bool
    resources: tuple[Resource, ...]
    activities: Mapping[str, str] = field(default_factory=dict)

    def names(self, kind: Kind) -> set[str]:
        return {_key(kind, each.name) for each in self.resources if each.kind is kind}


@dataclass(frozen=True, slots=True)
class Actual:
    """A whole workspace. workspace: None where there is none yet."""

    workspace: Existing | None
    resources: tuple[Existing, ...]


# What a workspace has from its first moment (docs/taskrouter.md, "Provisioning"); so it is no drift, and a plan for a
# new one counts on it.
NEW_WORKSPACE = Actual(
    None,
    (
        Existing(Kind.ACTIVITY, "Offline", "", {"available": False}),
        Existing(Kind.ACTIVITY, "Unavailable", "", {"available": False}),
        Existing(Kind.ACTIVITY, "Available", "", {"available": True}),
        *(Existing(Kind.CHANNEL, each, "", {"name": each}) for each in ("default", "voice", "sms", "chat", "video")),
    ),
)


@dataclass(frozen=True, slots=True)
class PlannedChange:
    """One field. old: None where it was not set."""

    field: str
    old: Any
    new: Any


@dataclass(frozen=True, slots=True)
class PlanStep:
    """One thing to do. values: the fields to send, in the file's words. sid: "" where it is yet to be made."""

    action: PlanAction
    kind: Kind
    name: str
    sid: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    changes: tuple[PlannedChange, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """steps: in the order to take them. drift: at TaskRouter, not in the file. problems: why it cannot be done."""

    steps: tuple[PlanStep, ...]
    drift: tuple[Existing, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def to_do(self) -> tuple[PlanStep, ...]:
        return tuple(step for step in self.steps if step.action is not PlanAction.LEAVE)

    def count(self, action: PlanAction) -> int:
        return sum(step.action is action for step in self.steps)


def make_plan(desired: Desired, actual: Actual) -> Plan:
    """Return the steps from actual to desired; nothing to do if they agree already.

    For a workspace that does not exist yet pass `NEW_WORKSPACE`, and plan again after its creation: only then is it
    known what it came with.
    """
    problems = list(_problems(desired, actual))
    if problems:
        return Plan((), (), tuple(problems))
    there = {(each.kind, _key(each.kind, each.name)): each for each in actual.resources}
    steps = [_step(desired.workspace, actual.workspace)]
    for kind in Kind:
        of_kind = [each for each in desired.resources if each.kind is kind]
        steps += [_step(each, there.get((kind, _key(kind, each.name)))) for each in of_kind]
        if kind is Kind.ACTIVITY and desired.activities:
            # The workspace takes these only on update, and they have to be there first.
            step = _activities_step(desired, actual.workspace)
            steps += [step] if step.action is not PlanAction.LEAVE else []
    return Plan(tuple(steps), tuple(_drift(desired, actual)))


def _step(wanted: Resource, existing: Existing | None) -> PlanStep:
    if existing is None:
        values = {**wanted.initial, **wanted.fields}
        changes = tuple(_differences(values, {}))
        return PlanStep(PlanAction.CREATE, wanted.kind, wanted.name, values=values, changes=changes)
    values = {name: value for name, value in wanted.fields.items() if existing.fields.get(name) != value}
    changes = tuple(_differences(values, existing.fields))
    action = PlanAction.CHANGE if values else PlanAction.LEAVE
    return PlanStep(action, wanted.kind, wanted.name, existing.sid, values, changes)


def _activities_step(desired: Desired, workspace: Existing | None) -> PlanStep:
    made = workspace or Existing(Kind.WORKSPACE, desired.workspace.name, "")
    return _step(Resource(Kind.WORKSPACE, desired.workspace.name, desired.activities), made)


def _differences(wanted: Mapping[str, Any], existing: Mapping[str, Any]) -> Iterator[PlannedChange]:
    for name, value in wanted.items():
        yield from _within(name, existing.get(name), value)


def _within(name: str, old: Any, new: Any) -> Iterator[PlannedChange]:
    """Yield the differences within a value, as far down as both sides have the same shape."""
    if old == new:
        return
    if isinstance(new, Mapping) and isinstance(old, Mapping | None):
        for key in dict.fromkeys([*(old or {}), *new]):
            yield from _within(f"{name}.{key}", (old or {}).get(key), new.get(key))
    elif _is_list_of_tables(new) and (old is None or _is_list_of_tables(old)):
        for number in range(max(len(old or ()), len(new))):
            before, after = _at(old or (), number), _at(new, number)
            label = (after or before or {}).get("name") or number + 1
            if after is None or (before is None and old):
                yield PlannedChange(f"{name}.{label}", before, after)
            elif before is None:
                yield from _within(f"{name}.{label}", None, {key: each for key, each in after.items() if key != "name"})
            else:
                yield from _within(f"{name}.{label}", before, after)
    else:
        yield PlannedChange(name, old, new)


def _is_list_of_tables(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(each, Mapping) for each in value)


def _at(values: Sequence[Any], number: int) -> Any:
    return values[number] if number < len(values) else None


def _drift(desired: Desired, actual: Actual) -> Iterator[Existing]:
    """Workers are managed elsewhere as a rule: they are drift only beside a file that names some."""
    expected = {(each.kind, _key(each.kind, each.name)) for each in desired.resources}
    expected |= {(each.kind, each.name) for each in NEW_WORKSPACE.resources}
    for each in actual.resources:
        if each.kind is Kind.WORKER and not desired.names(Kind.WORKER):
            continue
        if (each.kind, _key(each.kind, each.name)) not in expected:
            yield each


def _problems(desired: Desired, actual: Actual) -> Iterator[str]:
    name = desired.workspace.name
    if actual.workspace is None and not desired.may_create:
        yield f"there is no workspace {name!r} in this account; to have it made: create = true in [workspace]"
    elif actual.workspace is not None and name and actual.workspace.name != name:
        yield (
            f"TWILIO_WORKSPACE_SID is the workspace {actual.workspace.name!r}, and the file is about {name!r}; "
            "nothing is renamed, in case one of them is a mistake"
        )
    for resource in desired.resources:
        there = [each for each in actual.resources if _same(each, resource)]
        if len(there) > 1:
            sids = ", ".join(each.sid for each in there)
            yield f"{resource.kind} {resource.name!r} is there more than once ({sids}): rename all but one"
        elif there and resource.kind is Kind.ACTIVITY:
            given, kept = resource.fields.get("available"), there[0].fields.get("available")
            if given is not None and given != kept:
                yield (
                    f"activity {resource.name!r}: whether it is available cannot be changed at Twilio "
                    f"(it is {_yes_or_no(kept)}); give the new one another name"
                )
        elif not there and resource.kind is Kind.WORKFLOW and "routing" not in resource.fields:
            yield f"workflow {resource.name!r} is not there yet, and the file does not say how it routes: default = ..."
    yield from _unknown_names(desired, actual)


def _unknown_names(desired: Desired, actual: Actual) -> Iterator[str]:
    known = {
        kind: {_key(kind, each.name) for each in actual.resources if each.kind is kind} | desired.names(kind)
        for kind in Kind
    }
    for place, kind, name in _references(desired):
        if _key(kind, name) not in known[kind]:
            yield f"{place}: there is no {kind} {name!r}, neither in the file nor at Twilio"


def _references(desired: Desired) -> Iterator[tuple[str, Kind, str]]:
    for name, activity in desired.activities.items():
        yield f"workspace, {name}", Kind.ACTIVITY, activity
    for each in desired.resources:
        place = f"{each.kind} {each.name!r}"
        for name, value in {**each.initial, **each.fields}.items():
            if name in ("activity", "reservation_activity", "assignment_activity"):
                yield f"{place}, {name}", Kind.ACTIVITY, value
            elif name.startswith("capacity."):
                yield f"{place}, {name}", Kind.CHANNEL, name.removeprefix("capacity.")
            elif name == "routing":
                for where, queue in queues_of(value):
                    yield f"{place}, {where}", Kind.QUEUE, queue


def _same(existing: Existing, wanted: Resource) -> bool:
    return existing.kind is wanted.kind and _key(existing.kind, existing.name) == _key(wanted.kind, wanted.name)


def _key(kind: Kind, name: str) -> str:
    """Names of workers are unique whatever their case (docs/taskrouter.md, "Provisioning")."""
    return name.casefold() if kind is Kind.WORKER else name


def _yes_or_no(value: object) -> str:
    return "available" if value else "not available"


def names_of(resources: Iterable[Existing], kind: Kind) -> dict[str, str]:
    """SID -> name, of one kind."""
    return {each.sid: each.name for each in resources if each.kind is kind}
