"""A workspace read and changed over REST, with the official SDK, in the words of its file.

Between a file's names and Twilio's SIDs stands this module alone. Nothing here deletes. The SDK is large; only who
sets up or examines a workspace imports it. Source: docs/taskrouter.md, "REST API" and "Provisioning".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from twilio.base.exceptions import TwilioRestException

from enrich import errors
from enrich.provisioning.plan import (
    NEW_WORKSPACE,
    Actual,
    Desired,
    Existing,
    Kind,
    PlanAction,
    PlanStep,
    Resource,
    names_of,
)
from enrich.provisioning.routing import in_names, in_sids
from enrich.taskrouter.sdk import connect, translated

MAX_ATTRIBUTE_WRITES = 3

# The file's words: Twilio's parameters (and attributes, in the SDK).
_WORKSPACE = {
    "multitasking": "multi_task_enabled",
    "queue_order": "prioritize_queue_order",
    "events_url": "event_callback_url",
    "events": "events_filter",
    "default_activity": "default_activity_sid",
    "timeout_activity": "timeout_activity_sid",
}
_CHANNEL = {"name": "friendly_name", "optimized_routing": "channel_optimized_routing"}
_QUEUE = {
    "workers": "target_workers",
    "order": "task_order",
    "max_reserved_workers": "max_reserved_workers",
    "reservation_activity": "reservation_activity_sid",
    "assignment_activity": "assignment_activity_sid",
}
_WORKFLOW = {
    "assignment_url": "assignment_callback_url",
    "fallback_url": "fallback_assignment_callback_url",
    "reservation_timeout_s": "task_reservation_timeout",
    "routing": "configuration",
}
_ACTIVITIES = {"default_activity", "timeout_activity", "reservation_activity", "assignment_activity", "activity"}


class Workspaces:
    """The workspaces of one account.

    workspace_sid: the one that is meant, or "": it is found by its name. reevaluate: tasks that wait in a workflow
    whose routing is changed are routed anew; else they go on by what they have entered, until something moves them.
    """

    def __init__(
        self,
        base_url: str,
        account_sid: str,
        user: str,
        password: str,
        workspace_sid: str = "",
        *,
        reevaluate: bool = False,
    ) -> None:
        self._client = connect(base_url, account_sid, user, password)
        self._sid = workspace_sid
        self._reevaluate = reevaluate
        self._sids: dict[tuple[Kind, str], str] = {}

    @property
    def sid(self) -> str:
        """The workspace's, once it was found or made."""
        return self._sid

    def read(self, desired: Desired) -> Actual:
        """Return the actual set-up; workers and their channels only if the file names some. Raises TaskRouterError."""
        with translated("reading the workspace"):
            found = self._find(desired.workspace.name)
            if found is None:
                return NEW_WORKSPACE
            self._sid = found.sid
            resources = [*self._activities(), *self._channels(), *self._queues()]
            wanted = {each.name.casefold(): each for each in desired.resources if each.kind is Kind.WORKER}
            if wanted:
                resources += self._workers(wanted)
            resources += self._workflows(names_of(resources, Kind.QUEUE))
            self._sids = {(each.kind, each.name): each.sid for each in resources}
            return Actual(_workspace(found, names_of(resources, Kind.ACTIVITY)), tuple(resources))

    def apply(self, step: PlanStep) -> str:
        """The SID of what was made or changed. Raises TaskRouterError; then the step was not taken, or in part."""
        with translated(f"{step.action} {step.kind} {step.name!r}"):
            sid: str = _MAKE[step.kind](self, step)
        self._sids[(step.kind, step.name)] = sid
        if step.kind is Kind.WORKSPACE:
            self._sid = sid
        return sid

    @property
    def _workspaces(self) -> Any:
        return self._client.taskrouter.v1.workspaces

    @property
    def _workspace(self) -> Any:
        return self._workspaces(self._sid)

    def _find(self, name: str) -> Any:
        """The workspace that is meant, without a name the only one; None where there is none. Raises PlanRefused."""
        if self._sid:
            return self._workspace.fetch()
        found = [each for each in self._workspaces.list() if name in ("", each.friendly_name)]
        if len(found) > 1:
            which = ", ".join(f"{each.sid} {each.friendly_name}" for each in found)
            called = f"are called {name!r}" if name else "are there"
            raise errors.PlanRefused(f"{len(found)} workspaces {called}: set TWILIO_WORKSPACE_SID to one of {which}")
        return found[0] if found else None

    def _activities(self) -> Iterator[Existing]:
        for each in self._workspace.activities.list():
            yield Existing(Kind.ACTIVITY, each.friendly_name, each.sid, {"available": each.available})

    def _channels(self) -> Iterator[Existing]:
        for each in self._workspace.task_channels.list():
            yield Existing(Kind.CHANNEL, each.unique_name, each.sid, _fields(each, _CHANNEL))

    def _queues(self) -> Iterator[Existing]:
        for each in self._workspace.task_queues.list():
            fields = _fields(each, _QUEUE)
            fields["reservation_activity"] = each.reservation_activity_name
            fields["assignment_activity"] = each.assignment_activity_name
            yield Existing(Kind.QUEUE, each.friendly_name, each.sid, fields)

    def _workers(self, wanted: Mapping[str, Resource]) -> Iterator[Existing]:
        for each in self._workspace.workers.list():
            fields = {f"attributes.{key}": value for key, value in _json_object(each.attributes).items()}
            asked = wanted.get(each.friendly_name.casefold())
            if asked is not None and any(name.startswith("capacity.") for name in asked.fields):
                for channel in self._workspace.workers(each.sid).worker_channels.list():
                    fields[f"capacity.{channel.task_channel_unique_name}"] = channel.configured_capacity
            yield Existing(Kind.WORKER, each.friendly_name, each.sid, fields)

    def _workflows(self, queues: Mapping[str, str]) -> Iterator[Existing]:
        for each in self._workspace.workflows.list():
            fields = _fields(each, _WORKFLOW)
            fields["routing"] = in_names(each.configuration, lambda sid: queues.get(sid, sid))
            yield Existing(Kind.WORKFLOW, each.friendly_name, each.sid, fields)

    def _parameters(self, step: PlanStep, names: Mapping[str, str]) -> dict[str, Any]:
        parameters = {}
        for name, value in step.values.items():
            if name in _ACTIVITIES:
                value = self._sid_of(Kind.ACTIVITY, value)
            elif name == "events":
                value = ",".join(value)
            elif name == "routing":
                value = in_sids(value, lambda queue: self._sid_of(Kind.QUEUE, queue))
            parameters[names[name]] = value
        return parameters

    def _sid_of(self, kind: Kind, name: str) -> str:
        return self._sids[(kind, name)]

    def _make_workspace(self, step: PlanStep) -> str:
        parameters = self._parameters(step, _WORKSPACE)
        if step.action is PlanAction.CREATE:
            return str(self._workspaces.create(friendly_name=step.name, **parameters).sid)
        return str(self._workspace.update(**parameters).sid)

    def _make_activity(self, step: PlanStep) -> str:
        """Only ever made: what could be changed about one is its name, by which it is known."""
        return str(self._workspace.activities.create(friendly_name=step.name, **step.values).sid)

    def _make_channel(self, step: PlanStep) -> str:
        parameters = self._parameters(step, _CHANNEL)
        if step.action is PlanAction.CREATE:
            return str(self._workspace.task_channels.create(unique_name=step.name, **parameters).sid)
        return str(self._workspace.task_channels(step.sid).update(**parameters).sid)

    def _make_queue(self, step: PlanStep) -> str:
        parameters = self._parameters(step, _QUEUE)
        if step.action is PlanAction.CREATE:
            return str(self._workspace.task_queues.create(friendly_name=step.name, **parameters).sid)
        return str(self._workspace.task_queues(step.sid).update(**parameters).sid)

    def _make_workflow(self, step: PlanStep) -> str:
        parameters = self._parameters(step, _WORKFLOW)
        if step.action is PlanAction.CREATE:
            return str(self._workspace.workflows.create(friendly_name=step.name, **parameters).sid)
        if self._reevaluate and "routing" in step.values:
            parameters["re_evaluate_tasks"] = "true"
        return str(self._workspace.workflows(step.sid).update(**parameters).sid)

    def _make_worker(self, step: PlanStep) -> str:
        """Capacities come last: a worker's channels are there once the worker is."""
        attributes = _below(step.values, "attributes.")
        sid = step.sid
        if step.action is PlanAction.CREATE:
            more = {"activity_sid": self._sid_of(Kind.ACTIVITY, name)} if (name := step.values.get("activity")) else {}
            worker = self._workspace.workers.create(
                friendly_name=step.name, attributes=json.dumps(attributes, ensure_ascii=False), **more
            )
            sid = str(worker.sid)
        elif attributes:
            self._set_attributes(sid, attributes)
        for channel, capacity in _below(step.values, "capacity.").items():
            self._workspace.workers(sid).worker_channels(channel).update(capacity=capacity)
        return sid

    def _set_attributes(self, worker_sid: str, attributes: Mapping[str, Any]) -> None:
        """Beside those that are there, and only if nobody wrote meanwhile: others have attributes on workers, too."""
        for left in reversed(range(MAX_ATTRIBUTE_WRITES)):
            fetched = self._workspace.workers(worker_sid).fetch_with_http_info()
            headers = {name.lower(): value for name, value in fetched.headers.items()}
            merged = {**_json_object(fetched.data.attributes), **attributes}
            try:
                self._workspace.workers(worker_sid).update(
                    if_match=headers["etag"], attributes=json.dumps(merged, ensure_ascii=False)
                )
            except TwilioRestException as exc:
                if exc.status != 412 or not left:
                    raise
            else:
                return


_MAKE: Mapping[Kind, Callable[[Workspaces, PlanStep], str]] = {
    Kind.WORKSPACE: Workspaces._make_workspace,
    Kind.ACTIVITY: Workspaces._make_activity,
    Kind.CHANNEL: Workspaces._make_channel,
    Kind.QUEUE: Workspaces._make_queue,
    Kind.WORKER: Workspaces._make_worker,
    Kind.WORKFLOW: Workspaces._make_workflow,
}


def _workspace(found: Any, activities: Mapping[str, str]) -> Existing:
    fields = _fields(found, _WORKSPACE)
    wanted = fields["events"]
    fields["events"] = tuple(sorted(each.strip() for each in wanted.split(","))) if wanted else None
    for name in ("default_activity", "timeout_activity"):
        fields[name] = activities.get(fields[name], fields[name])
    return Existing(Kind.WORKSPACE, found.friendly_name, found.sid, fields)


def _fields(resource: Any, names: Mapping[str, str]) -> dict[str, Any]:
    return {ours: getattr(resource, theirs) for ours, theirs in names.items()}


def _below(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}


def _json_object(text: str | None) -> dict[str, Any]:
    """Attributes as a table; what is not one is empty, as expressions see it."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
