"""Workspaces over REST, with the official SDK: read and changed under the keys of the workspace file.

Only this module translates between a file's names and Twilio's SIDs. Nothing here deletes. The SDK is large, so only
commands that set up or examine a workspace import it. Source: docs/taskrouter.md, "REST API" and "Provisioning".
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
from enrich.taskrouter.event_sinks import EventSinks
from enrich.taskrouter.sdk import connect, translated

MAX_ATTRIBUTE_WRITES = 3

# The file's keys, with Twilio's parameters, which are also the attributes of the SDK's objects.
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

    workspace_sid: the configured workspace; "" to find it by its name. reevaluate: whether waiting tasks are routed
    again if the routing of their workflow changes; otherwise they continue with the targets they have entered.
    event_streams_url: base URL of the API of Event Streams; "" if sinks can be neither read nor created.
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
        event_streams_url: str = "",
    ) -> None:
        self._client = connect(base_url, account_sid, user, password)
        self._sinks = EventSinks(event_streams_url, account_sid, user, password) if event_streams_url else None
        self._sid = workspace_sid
        self._reevaluate = reevaluate
        self._sids: dict[tuple[Kind, str], str] = {}

    @property
    def sid(self) -> str:
        """Return the workspace's SID, once it was found or created."""
        return self._sid

    def read(self, desired: Desired) -> Actual:
        """Return the actual set-up; workers and their channels only if the file names some. Raises TaskRouterError."""
        event_stream = tuple(self._event_stream(desired))
        with translated(self._client, "reading the workspace"):
            workspace = self._find(desired.workspace.name)
            if workspace is None:
                return Actual(None, (*NEW_WORKSPACE.resources, *event_stream))
            self._sid = workspace.sid
            resources = [*self._activities(), *self._channels(), *self._queues()]
            workers = {
                resource.name.casefold(): resource for resource in desired.resources if resource.kind is Kind.WORKER
            }
            if workers:
                resources += self._workers(workers)
            resources += self._workflows(names_of(resources, Kind.QUEUE))
            resources += event_stream
            self._sids = {(resource.kind, resource.name): resource.sid for resource in resources}
            return Actual(_workspace(workspace, names_of(resources, Kind.ACTIVITY)), tuple(resources))

    def apply(self, step: PlanStep) -> str:
        """Apply the step and return the resource's SID. Raises TaskRouterError: the step was not or partly applied."""
        with translated(self._client, f"{step.action} {step.kind} {step.name!r}"):
            sid: str = _APPLY[step.kind](self, step)
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
        """Return the configured workspace, the one of this name, or the only one; None if none. Raises PlanRefused."""
        if self._sid:
            return self._workspace.fetch()
        matches = [workspace for workspace in self._workspaces.list() if name in ("", workspace.friendly_name)]
        if len(matches) > 1:
            choices = ", ".join(f"{workspace.sid} {workspace.friendly_name}" for workspace in matches)
            state = f"are called {name!r}" if name else "exist"
            raise errors.PlanRefused(f"{len(matches)} workspaces {state}: set TWILIO_WORKSPACE_SID to one of {choices}")
        return matches[0] if matches else None

    def _activities(self) -> Iterator[Existing]:
        for activity in self._workspace.activities.list():
            yield Existing(Kind.ACTIVITY, activity.friendly_name, activity.sid, {"available": activity.available})

    def _channels(self) -> Iterator[Existing]:
        for channel in self._workspace.task_channels.list():
            yield Existing(Kind.CHANNEL, channel.unique_name, channel.sid, _fields(channel, _CHANNEL))

    def _queues(self) -> Iterator[Existing]:
        for queue in self._workspace.task_queues.list():
            fields = _fields(queue, _QUEUE)
            fields["reservation_activity"] = queue.reservation_activity_name
            fields["assignment_activity"] = queue.assignment_activity_name
            yield Existing(Kind.QUEUE, queue.friendly_name, queue.sid, fields)

    def _workers(self, workers: Mapping[str, Resource]) -> Iterator[Existing]:
        for worker in self._workspace.workers.list():
            fields = {f"attributes.{key}": value for key, value in _json_object(worker.attributes).items()}
            desired = workers.get(worker.friendly_name.casefold())
            if desired is not None and any(name.startswith("capacity.") for name in desired.fields):
                for channel in self._workspace.workers(worker.sid).worker_channels.list():
                    fields[f"capacity.{channel.task_channel_unique_name}"] = channel.configured_capacity
            yield Existing(Kind.WORKER, worker.friendly_name, worker.sid, fields)

    def _workflows(self, queues: Mapping[str, str]) -> Iterator[Existing]:
        for workflow in self._workspace.workflows.list():
            fields = _fields(workflow, _WORKFLOW)
            fields["routing"] = in_names(workflow.configuration, lambda sid: queues.get(sid, sid))
            yield Existing(Kind.WORKFLOW, workflow.friendly_name, workflow.sid, fields)

    def _event_stream(self, desired: Desired) -> Iterator[Existing]:
        """Yield sink and subscription as the file names them, and whatever else has the same destination."""
        wanted = next((resource for resource in desired.resources if resource.kind is Kind.SUBSCRIPTION), None)
        if wanted is None:
            return
        sinks = [sink for sink in self._event_sinks().read() if sink.destination == wanted.name]
        active = sorted((sink for sink in sinks if sink.is_active), key=lambda sink: len(sink.events), reverse=True)
        for sink in active[:1]:
            yield Existing(Kind.SINK, sink.destination, sink.sid)
            if sink.subscription_sid:
                wanted_events = set(wanted.fields["events"])
                fields = {"events": tuple(sorted(sink.events & wanted_events))}
                yield Existing(Kind.SUBSCRIPTION, sink.destination, sink.subscription_sid, fields)
                if extra_events := sorted(sink.events - wanted_events):
                    yield Existing(Kind.SUBSCRIPTION, f"of {', '.join(extra_events)}", sink.subscription_sid)
        for sink in sinks:
            if sink not in active[:1]:
                yield Existing(Kind.SINK, f"{sink.destination}, {sink.status}", sink.sid)

    def _event_sinks(self) -> EventSinks:
        if self._sinks is None:
            raise errors.PlanRefused("event_stream: set TWILIO_EVENTS_BASE_URL; TASKROUTER_BASE_URL is not Twilio's")
        return self._sinks

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

    def _apply_workspace(self, step: PlanStep) -> str:
        parameters = self._parameters(step, _WORKSPACE)
        if step.action is PlanAction.CREATE:
            return str(self._workspaces.create(friendly_name=step.name, **parameters).sid)
        return str(self._workspace.update(**parameters).sid)

    def _apply_activity(self, step: PlanStep) -> str:
        """Create an activity. There is no update: only its name can change, and the name is its identity."""
        return str(self._workspace.activities.create(friendly_name=step.name, **step.values).sid)

    def _apply_channel(self, step: PlanStep) -> str:
        parameters = self._parameters(step, _CHANNEL)
        if step.action is PlanAction.CREATE:
            return str(self._workspace.task_channels.create(unique_name=step.name, **parameters).sid)
        return str(self._workspace.task_channels(step.sid).update(**parameters).sid)

    def _apply_queue(self, step: PlanStep) -> str:
        parameters = self._parameters(step, _QUEUE)
        if step.action is PlanAction.CREATE:
            return str(self._workspace.task_queues.create(friendly_name=step.name, **parameters).sid)
        return str(self._workspace.task_queues(step.sid).update(**parameters).sid)

    def _apply_workflow(self, step: PlanStep) -> str:
        parameters = self._parameters(step, _WORKFLOW)
        if step.action is PlanAction.CREATE:
            return str(self._workspace.workflows.create(friendly_name=step.name, **parameters).sid)
        if self._reevaluate and "routing" in step.values:
            parameters["re_evaluate_tasks"] = "true"
        return str(self._workspace.workflows(step.sid).update(**parameters).sid)

    def _apply_sink(self, step: PlanStep) -> str:
        """Create the sink; Twilio changes nothing of an existing one but its description."""
        return self._event_sinks().create(step.name)

    def _apply_subscription(self, step: PlanStep) -> str:
        events = step.values["events"]
        if step.action is PlanAction.CREATE:
            return self._event_sinks().subscribe(self._sid_of(Kind.SINK, step.name), events)
        subscribed = {event for change in step.changes for event in change.old or ()}
        self._event_sinks().add_events(step.sid, [event for event in events if event not in subscribed])
        return step.sid

    def _apply_worker(self, step: PlanStep) -> str:
        """Create or update a worker; capacities come last, because a worker's channels exist once the worker does."""
        attributes = _with_prefix(step.values, "attributes.")
        sid = step.sid
        if step.action is PlanAction.CREATE:
            activity = step.values.get("activity")
            initial = {"activity_sid": self._sid_of(Kind.ACTIVITY, activity)} if activity else {}
            worker = self._workspace.workers.create(
                friendly_name=step.name, attributes=json.dumps(attributes, ensure_ascii=False), **initial
            )
            sid = str(worker.sid)
        elif attributes:
            self._set_attributes(sid, attributes)
        for channel, capacity in _with_prefix(step.values, "capacity.").items():
            self._workspace.workers(sid).worker_channels(channel).update(capacity=capacity)
        return sid

    def _set_attributes(self, worker_sid: str, attributes: Mapping[str, Any]) -> None:
        """Merge into the existing attributes, which others write, too: try again if one of them wrote meanwhile."""
        for retries_left in reversed(range(MAX_ATTRIBUTE_WRITES)):
            fetched = self._workspace.workers(worker_sid).fetch_with_http_info()
            headers = {name.lower(): value for name, value in fetched.headers.items()}
            merged = {**_json_object(fetched.data.attributes), **attributes}
            try:
                self._workspace.workers(worker_sid).update(
                    if_match=headers["etag"], attributes=json.dumps(merged, ensure_ascii=False)
                )
            except TwilioRestException as exc:
                if exc.status != 412 or not retries_left:
                    raise
            else:
                return


_APPLY: Mapping[Kind, Callable[[Workspaces, PlanStep], str]] = {
    Kind.WORKSPACE: Workspaces._apply_workspace,
    Kind.ACTIVITY: Workspaces._apply_activity,
    Kind.CHANNEL: Workspaces._apply_channel,
    Kind.QUEUE: Workspaces._apply_queue,
    Kind.WORKER: Workspaces._apply_worker,
    Kind.SINK: Workspaces._apply_sink,
    Kind.SUBSCRIPTION: Workspaces._apply_subscription,
    Kind.WORKFLOW: Workspaces._apply_workflow,
}


def _workspace(workspace: Any, activities: Mapping[str, str]) -> Existing:
    fields = _fields(workspace, _WORKSPACE)
    events = fields["events"]
    fields["events"] = tuple(sorted(name.strip() for name in events.split(","))) if events else None
    for name in ("default_activity", "timeout_activity"):
        fields[name] = activities.get(fields[name], fields[name])
    return Existing(Kind.WORKSPACE, workspace.friendly_name, workspace.sid, fields)


def _fields(resource: Any, names: Mapping[str, str]) -> dict[str, Any]:
    return {name: getattr(resource, attribute) for name, attribute in names.items()}


def _with_prefix(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}


def _json_object(text: str | None) -> dict[str, Any]:
    """Return attributes as a dict; anything but a JSON object is empty, as in TaskRouter's expressions."""
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
