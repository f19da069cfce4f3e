"""The plan that brings a workspace to the state in its file. Pure: from desired and actual state to a plan.

Both states use names, never SIDs, so that the same file fits every account and the two can be compared. Nothing is ever
deleted, and nothing is changed that the file does not mention. Source: docs/taskrouter.md, "Provisioning".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from enrich.provisioning.routing import queues_of


class Kind(StrEnum):
    """The kinds of resources, in the order of creation: each may refer to the ones before it."""

    WORKSPACE = "workspace"
    ACTIVITY = "activity"
    CHANNEL = "task channel"
    QUEUE = "queue"
    WORKER = "worker"
    SINK = "event sink"
    SUBSCRIPTION = "event subscription"
    WORKFLOW = "workflow"


class PlanAction(StrEnum):
    CREATE = "create"
    CHANGE = "change"
    LEAVE = "leave"


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource as the file describes it.

    name: its identity; for a task channel its unique name. fields: those in the file, under the file's keys. initial:
    fields that are set at creation and not changed afterwards (the activity that a worker is in).
    """

    kind: Kind
    name: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    initial: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Existing:
    """One resource as TaskRouter has it, with all fields that a file can have. sid: "" in `NEW_WORKSPACE`."""

    kind: Kind
    name: str
    sid: str
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Desired:
    """A whole file. activities: the workspace's default and time-out activity, which must exist before they are set."""

    workspace: Resource
    may_create: bool
    resources: tuple[Resource, ...]
    activities: Mapping[str, str] = field(default_factory=dict)

    def names(self, kind: Kind) -> set[str]:
        return {_key(kind, resource.name) for resource in self.resources if resource.kind is kind}


@dataclass(frozen=True, slots=True)
class Actual:
    """A whole workspace. workspace: None if it does not exist yet."""

    workspace: Existing | None
    resources: tuple[Existing, ...]


# TaskRouter creates these with every workspace (docs/taskrouter.md, "Provisioning"). So they are no drift, and the plan
# for a new workspace may refer to them.
NEW_WORKSPACE = Actual(
    None,
    (
        Existing(Kind.ACTIVITY, "Offline", "", {"available": False}),
        Existing(Kind.ACTIVITY, "Unavailable", "", {"available": False}),
        Existing(Kind.ACTIVITY, "Available", "", {"available": True}),
        *(Existing(Kind.CHANNEL, name, "", {"name": name}) for name in ("default", "voice", "sms", "chat", "video")),
    ),
)


@dataclass(frozen=True, slots=True)
class PlannedChange:
    """The change of one field. old: None if it was not set."""

    field: str
    old: Any
    new: Any


@dataclass(frozen=True, slots=True)
class PlanStep:
    """One step. values: the fields to send, under the file's keys. sid: "" if the resource is created by this step."""

    action: PlanAction
    kind: Kind
    name: str
    sid: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    changes: tuple[PlannedChange, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """steps: in the order of execution. drift: resources at TaskRouter, not in the file. problems: why none can run."""

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
    existing = {(resource.kind, _key(resource.kind, resource.name)): resource for resource in actual.resources}
    steps = [_step(desired.workspace, actual.workspace)]
    for kind in Kind:
        resources = [resource for resource in desired.resources if resource.kind is kind]
        steps += [_step(resource, existing.get((kind, _key(kind, resource.name)))) for resource in resources]
        if kind is Kind.ACTIVITY and desired.activities:
            # The workspace accepts these only in an update, and they have to exist first.
            step = _activities_step(desired, actual.workspace)
            steps += [step] if step.action is not PlanAction.LEAVE else []
    return Plan(tuple(steps), tuple(_drift(desired, actual)))


def _step(resource: Resource, existing: Existing | None) -> PlanStep:
    if existing is None:
        values = {**resource.initial, **resource.fields}
        changes = tuple(_differences(values, {}))
        return PlanStep(PlanAction.CREATE, resource.kind, resource.name, values=values, changes=changes)
    values = {name: value for name, value in resource.fields.items() if existing.fields.get(name) != value}
    changes = tuple(_differences(values, existing.fields))
    action = PlanAction.CHANGE if values else PlanAction.LEAVE
    return PlanStep(action, resource.kind, resource.name, existing.sid, values, changes)


def _activities_step(desired: Desired, workspace: Existing | None) -> PlanStep:
    existing = workspace or Existing(Kind.WORKSPACE, desired.workspace.name, "")
    return _step(Resource(Kind.WORKSPACE, desired.workspace.name, desired.activities), existing)


def _differences(desired: Mapping[str, Any], existing: Mapping[str, Any]) -> Iterator[PlannedChange]:
    for name, value in desired.items():
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
                yield from _within(
                    f"{name}.{label}", None, {key: value for key, value in after.items() if key != "name"}
                )
            else:
                yield from _within(f"{name}.{label}", before, after)
    else:
        yield PlannedChange(name, old, new)


def _is_list_of_tables(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, Mapping) for item in value)


def _at(values: Sequence[Any], number: int) -> Any:
    return values[number] if number < len(values) else None


def _drift(desired: Desired, actual: Actual) -> Iterator[Existing]:
    """Yield the resources that the file does not have; workers only if it has any, as most are managed elsewhere."""
    expected = {(resource.kind, _key(resource.kind, resource.name)) for resource in desired.resources}
    expected |= {(resource.kind, resource.name) for resource in NEW_WORKSPACE.resources}
    for resource in actual.resources:
        if resource.kind is Kind.WORKER and not desired.names(Kind.WORKER):
            continue
        if (resource.kind, _key(resource.kind, resource.name)) not in expected:
            yield resource


def _problems(desired: Desired, actual: Actual) -> Iterator[str]:
    name = desired.workspace.name
    if actual.workspace is None and not desired.may_create:
        yield f"there is no workspace {name!r} in this account; to create it: create = true in [workspace]"
    elif actual.workspace is not None and name and actual.workspace.name != name:
        yield (
            f"TWILIO_WORKSPACE_SID is the workspace {actual.workspace.name!r}, and the file is about {name!r}; "
            "a workspace is never renamed, because one of the two may be a mistake"
        )
    for resource in desired.resources:
        matches = [existing for existing in actual.resources if _same(existing, resource)]
        if len(matches) > 1:
            sids = ", ".join(existing.sid for existing in matches)
            yield f"{resource.kind} {resource.name!r} exists more than once ({sids}): rename all but one"
        elif matches and resource.kind is Kind.ACTIVITY:
            desired_value, actual_value = resource.fields.get("available"), matches[0].fields.get("available")
            if desired_value is not None and desired_value != actual_value:
                yield (
                    f"activity {resource.name!r}: whether it is available cannot be changed at Twilio "
                    f"(it is {_availability(actual_value)}); give the new one another name"
                )
        elif not matches and resource.kind is Kind.WORKFLOW and "routing" not in resource.fields:
            yield f"workflow {resource.name!r} does not exist yet, and the file has no routing for it: default = ..."
    yield from _unknown_names(desired, actual)


def _unknown_names(desired: Desired, actual: Actual) -> Iterator[str]:
    known_names = {
        kind: {_key(kind, resource.name) for resource in actual.resources if resource.kind is kind}
        | desired.names(kind)
        for kind in Kind
    }
    for place, kind, name in _references(desired):
        if _key(kind, name) not in known_names[kind]:
            yield f"{place}: there is no {kind} {name!r}, neither in the file nor at Twilio"


def _references(desired: Desired) -> Iterator[tuple[str, Kind, str]]:
    for name, activity in desired.activities.items():
        yield f"workspace, {name}", Kind.ACTIVITY, activity
    for resource in desired.resources:
        place = f"{resource.kind} {resource.name!r}"
        for name, value in {**resource.initial, **resource.fields}.items():
            if name in ("activity", "reservation_activity", "assignment_activity"):
                yield f"{place}, {name}", Kind.ACTIVITY, value
            elif name.startswith("capacity."):
                yield f"{place}, {name}", Kind.CHANNEL, name.removeprefix("capacity.")
            elif name == "routing":
                for where, queue in queues_of(value):
                    yield f"{place}, {where}", Kind.QUEUE, queue


def _same(existing: Existing, resource: Resource) -> bool:
    return existing.kind is resource.kind and _key(existing.kind, existing.name) == _key(resource.kind, resource.name)


def _key(kind: Kind, name: str) -> str:
    """Return the name for comparison: workers' are unique whatever their case (docs/taskrouter.md, "Provisioning")."""
    return name.casefold() if kind is Kind.WORKER else name


def _availability(value: object) -> str:
    return "available" if value else "not available"


def names_of(resources: Iterable[Existing], kind: Kind) -> dict[str, str]:
    """Return the names of the resources of one kind, by SID."""
    return {resource.sid: resource.name for resource in resources if resource.kind is kind}
