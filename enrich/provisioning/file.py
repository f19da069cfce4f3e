"""The workspace file: TOML in, the desired set-up out, or every mistake at once, each with its line.

Pure. Format: docs/provisioning.md.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from enrich import errors
from enrich.provisioning.plan import Desired, Kind, Resource
from enrich.provisioning.routing import INTAKE, NEVER, Document, with_intake
from enrich.taskrouter import endpoints
from enrich.toml.lines import Path
from enrich.toml.mistakes import Mistakes, unknown_key

# docs/taskrouter.md, "Time limits" and "Sizes and counts".
MAX_NAME_LENGTH = 64
MAX_RESERVATION_S = 86_400
MAX_PRIORITY = 2_147_483_647
MAX_RESERVED = 50
DEFAULT_RETRIES = 2
MAX_RETRIES = 5
# Long enough for task.created to arrive and the task to be enriched; short, because a caller waits for it.
DEFAULT_HOLD_S = 3
MAX_HOLD_S = 60
_UNIQUE_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")


def read(text: str, public_url: str, *, workspace_sid: str = "") -> Desired:
    """Return the set-up that the file describes.

    public_url: this service's address for TaskRouter; the callback URLs begin with it. workspace_sid: the configured
    workspace; without one the file has to name it. Raises WorkspaceFileError with every mistake.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise errors.WorkspaceFileError(f"not TOML: {exc}") from exc
    mistakes = Mistakes.of_text(text)
    file = _Table(values, (), mistakes)
    workspace = file.table("workspace") or _Table({}, ("workspace",), mistakes)
    name = workspace.text("name", max_length=MAX_NAME_LENGTH, required=not workspace_sid) or ""
    may_create = workspace.flag("create") or False
    resources = [
        *(_activity(table) for table in file.tables("activities")),
        *(_channel(table) for table in file.tables("task_channels")),
        *(_queue(table) for table in file.tables("queues")),
        *(_worker(table) for table in file.tables("workers")),
    ]
    for table in file.tables("workflows"):
        resources += _workflow(table, public_url, {queue.name for queue in resources if queue.kind is Kind.QUEUE})
    streams_events = workspace.flag("event_stream") or False
    fields = _workspace_fields(workspace, public_url, streams_events=streams_events)
    if streams_events:
        resources += _event_stream(public_url, workspace.texts("more_events"))
    activities = {
        key: value for key in ("default_activity", "timeout_activity") if (value := workspace.text(key)) is not None
    }
    workspace.check_keys()
    file.check_keys()
    _check_duplicates(file, mistakes)
    if mistakes.messages:
        raise errors.WorkspaceFileError(str(mistakes))
    return Desired(Resource(Kind.WORKSPACE, name, fields), may_create, tuple(resources), activities)


def _event_stream(public_url: str, more_events: Iterable[str]) -> Iterator[Resource]:
    """Yield the sink and the subscription of Event Streams; both are identified by the sink's destination."""
    destination = public_url + endpoints.EVENT_STREAMS
    yield Resource(Kind.SINK, destination, initial={"method": "POST", "batch_events": True})
    events = tuple(sorted(endpoints.NEEDED_EVENTS | set(more_events)))
    yield Resource(Kind.SUBSCRIPTION, destination, {"events": events})


def _workspace_fields(table: _Table, public_url: str, *, streams_events: bool) -> dict[str, Any]:
    fields = _without_none(
        multitasking=table.flag("multitasking"), queue_order=table.choice("queue_order", ("FIFO", "LIFO"))
    )
    sends_events = table.flag("events")
    more_events = table.texts("more_events")
    retries = table.number("event_retries", 0, MAX_RETRIES)
    if sends_events is False:
        without_effect = {"event_retries"} if streams_events else {"more_events", "event_retries"}
        for key in table.known_keys & without_effect & table.values.keys():
            table.mistakes.add((*table.path, key), "has no effect with events = false")
    else:
        fields["events_url"] = endpoints.events_url(public_url, DEFAULT_RETRIES if retries is None else retries)
        fields["events"] = tuple(sorted(endpoints.NEEDED_EVENTS | set(more_events)))
    return fields


def _activity(table: _Table) -> Resource:
    fields = _without_none(available=table.flag("available", required=True))
    return table.resource(Kind.ACTIVITY, fields)


def _channel(table: _Table) -> Resource:
    name = table.text("unique_name", required=True, max_length=MAX_NAME_LENGTH) or ""
    if name and not _UNIQUE_NAME.fullmatch(name):
        table.mistakes.add(
            (*table.path, "unique_name"), "may have letters, digits, _ and $, and must not begin with a digit"
        )
    friendly_name = table.text("name", max_length=MAX_NAME_LENGTH)
    optimized = table.flag("optimized_routing")
    table.check_keys()
    # A new channel needs a name; one that people have changed since is left alone.
    fields = _without_none(name=friendly_name, optimized_routing=optimized)
    return Resource(Kind.CHANNEL, name, fields, {} if friendly_name else {"name": name})


def _queue(table: _Table) -> Resource:
    fields = _without_none(
        workers=table.text("workers"),
        order=table.choice("order", ("FIFO", "LIFO")),
        max_reserved_workers=table.number("max_reserved_workers", 1, MAX_RESERVED),
        reservation_activity=table.text("reservation_activity"),
        assignment_activity=table.text("assignment_activity"),
    )
    return table.resource(Kind.QUEUE, fields)


def _worker(table: _Table) -> Resource:
    """Return the worker with its attributes and capacities as single fields: those not in the file are left alone."""
    activity = table.text("activity")
    fields = {f"attributes.{key}": value for key, value in table.mapping("attributes").items()}
    capacity = table.table("capacity")
    if capacity is not None:
        for channel in list(capacity.values):
            fields |= _without_none(**{f"capacity.{channel}": capacity.number(channel, 0, 1_000)})
    return table.resource(Kind.WORKER, fields, {"activity": activity} if activity else {})


def _workflow(table: _Table, public_url: str, queues: set[str]) -> list[Resource]:
    """Return the workflow, preceded by the queue of its intake unless the file describes that queue."""
    fields = _without_none(reservation_timeout_s=table.number("reservation_timeout_s", 1, MAX_RESERVATION_S))
    fallback = table.address("fallback_url")
    if table.flag("enrich") is not False:
        fields["assignment_url"] = public_url + endpoints.ASSIGNMENT
        fields["fallback_url"] = fallback or public_url + endpoints.FALLBACK
    elif fallback:
        fields["fallback_url"] = fallback
    filters = [_filter(entry) for entry in table.tables("filters")]
    default = _target(table.table_or_queue("default"))
    intake = table.table("intake")
    resources: list[Resource] = []
    if filters or default:
        routing: Document = {"filters": filters} | ({"default": default} if default else {})
        if intake is not None:
            hold_s = intake.number("hold_s", 1, MAX_HOLD_S) or DEFAULT_HOLD_S
            queue = intake.text("queue") or INTAKE
            intake.check_keys()
            routing = with_intake(routing, hold_s=hold_s, queue=queue)
            if queue not in queues:
                resources.append(Resource(Kind.QUEUE, queue, {"workers": NEVER}))
        fields["routing"] = routing
    elif intake is not None:
        table.mistakes.add(intake.path, "needs the whole routing in this file: default, or filters")
    return [*resources, table.resource(Kind.WORKFLOW, fields)]


def _filter(table: _Table) -> Document:
    name = table.text("name", required=True) or ""
    expression = table.text("expression", required=True) or ""
    targets = [_target(entry) for entry in table.tables("targets")]
    if not targets:
        table.mistakes.add(table.path, "needs at least one target: [[workflows.filters.targets]]")
    for number, target in enumerate(targets):
        if "queue" not in target and number:
            target["queue"] = targets[number - 1].get("queue", "")
        elif "queue" not in target:
            table.mistakes.add((*table.path, "targets", 0), "the first target needs a queue")
    for number, target in enumerate(targets[:-1]):
        if "timeout_s" not in target and "skip_if" not in target:
            table.mistakes.add(
                (*table.path, "targets", number), "without timeout_s or skip_if the targets after it are never reached"
            )
    table.check_keys()
    return {"name": name, "expression": expression, "targets": targets}


def _target(table: _Table | None) -> Document:
    if table is None:
        return {}
    worker_sid = table.text("known_worker_sid")
    worker_name = table.text("known_worker_friendly_name")
    if worker_sid and worker_name:
        table.mistakes.add((*table.path, "known_worker_sid"), "either this or known_worker_friendly_name, not both")
    target = _without_none(
        queue=table.text("queue"),
        priority=table.number("priority", 0, MAX_PRIORITY),
        timeout_s=table.number("timeout_s", 1, 1_209_600),
        expression=table.text("expression"),
        order_by=table.text("order_by"),
        skip_if=table.text("skip_if"),
        known_worker_sid=worker_sid,
        known_worker_friendly_name=worker_name,
    )
    table.check_keys()
    return target


@dataclass
class _Table:
    """A table that is read key by key. Mistakes are collected, and `check_keys` adds the keys that nobody has read."""

    values: dict[str, Any]
    path: Path
    mistakes: Mistakes
    known_keys: set[str] = field(default_factory=set)

    def text(self, key: str, *, required: bool = False, max_length: int | None = None) -> str | None:
        value: str | None = self._value(key, str, "text in quotes", required=required)
        if value is not None and required and not value.strip():
            self.mistakes.add((*self.path, key), "must not be empty")
        elif value is not None and max_length is not None and len(value) > max_length:
            self.mistakes.add((*self.path, key), f"may have {max_length} characters, and has {len(value)}")
        return value

    def flag(self, key: str, *, required: bool = False) -> bool | None:
        value: bool | None = self._value(key, bool, "true or false", required=required)
        return value

    def number(self, key: str, low: int, high: int) -> int | None:
        value: int | None = self._value(key, int, f"a whole number from {low} to {high}")
        if value is not None and not low <= value <= high:
            self.mistakes.add((*self.path, key), f"must be a whole number from {low} to {high}, not {value}")
            return None
        return value

    def choice(self, key: str, words: tuple[str, ...]) -> str | None:
        value = self.text(key)
        if value is not None and value not in words:
            self.mistakes.add((*self.path, key), f"must be {' or '.join(words)}, not {value!r}")
            return None
        return value

    def address(self, key: str) -> str | None:
        value = self.text(key)
        if value is not None and not (value.startswith(("http://", "https://")) and urlsplit(value).netloc):
            self.mistakes.add((*self.path, key), "must be an http(s) address")
            return None
        return value

    def texts(self, key: str) -> list[str]:
        values = self._value(key, list, "a list of texts") or []
        if not all(isinstance(value, str) and value for value in values):
            self.mistakes.add((*self.path, key), "must be a list of texts")
            return []
        return list(values)

    def mapping(self, key: str) -> dict[str, Any]:
        values = self._value(key, dict, "a table") or {}
        for name, value in values.items():
            if not _is_json(value):
                self.mistakes.add((*self.path, key, name), "JSON has no dates and times; write them as text")
        return values

    def table(self, key: str) -> _Table | None:
        value = self._value(key, dict, "a table")
        return None if value is None else _Table(value, (*self.path, key), self.mistakes)

    def table_or_queue(self, key: str) -> _Table | None:
        """Return a target, which may also be written as just the name of a queue."""
        if isinstance(self.values.get(key), str):
            self.known_keys.add(key)
            return _Table({"queue": self.values[key]}, (*self.path, key), self.mistakes)
        target = self.table(key)
        if target is not None and "queue" not in target.values:
            self.mistakes.add(target.path, "needs a queue")
        return target

    def tables(self, key: str) -> list[_Table]:
        values = self._value(key, list, f"written as [[{key}]]") or []
        if not all(isinstance(value, dict) for value in values):
            self.mistakes.add((*self.path, key), f"must be written as [[{key}]]")
            return []
        return [_Table(value, (*self.path, key, number), self.mistakes) for number, value in enumerate(values)]

    def resource(self, kind: Kind, fields: dict[str, Any], initial: Mapping[str, Any] | None = None) -> Resource:
        name = self.text("name", required=True, max_length=MAX_NAME_LENGTH) or ""
        self.check_keys()
        return Resource(kind, name, fields, initial or {})

    def check_keys(self) -> None:
        for key in self.values.keys() - self.known_keys:
            self.mistakes.add((*self.path, key), unknown_key(key, self.known_keys))

    def _value(self, key: str, kind: type, meaning: str, *, required: bool = False) -> Any:
        self.known_keys.add(key)
        value = self.values.get(key)
        if value is None:
            if required:
                self.mistakes.add((*self.path, key), "is missing")
            return None
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            self.mistakes.add((*self.path, key), f"must be {meaning}")
            return None
        return value


def _check_duplicates(file: _Table, mistakes: Mistakes) -> None:
    for key, name_key in (
        ("activities", "name"),
        ("task_channels", "unique_name"),
        ("queues", "name"),
        ("workers", "name"),
        ("workflows", "name"),
    ):
        names: set[str] = set()
        tables = file.values.get(key)
        for number, table in enumerate(tables if isinstance(tables, list) else ()):
            name = table.get(name_key) if isinstance(table, dict) else None
            if not isinstance(name, str):
                continue
            # Names of workers are unique whatever their case (docs/taskrouter.md, "Provisioning").
            unique_name = name.casefold() if key == "workers" else name
            if unique_name in names:
                mistakes.add((key, number, name_key), f"{name!r} stands here a second time")
            names.add(unique_name)


def _without_none(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _is_json(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_json(item) for item in value.values())
    if isinstance(value, list):
        return all(_is_json(item) for item in value)
    return isinstance(value, str | int | float | bool)
