"""The file that says what a workspace shall look like: TOML, every mistake in it told at once, each with its line.

Pure. What may stand in it: docs/provisioning.md.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from enrich import errors
from enrich.provisioning import toml_lines
from enrich.provisioning.plan import Desired, Kind, Resource
from enrich.provisioning.routing import INTAKE, NEVER, Document, with_intake
from enrich.taskrouter import endpoints

# docs/taskrouter.md, "Time limits" and "Sizes and counts".
MAX_NAME_LENGTH = 64
MAX_RESERVATION_S = 86_400
MAX_PRIORITY = 2_147_483_647
MAX_RESERVED = 50
DEFAULT_RETRIES = 2
MAX_RETRIES = 5
# Until a task.created has come, and its task is enriched; a caller waits for it, so it is short.
DEFAULT_HOLD_S = 3
MAX_HOLD_S = 60
_UNIQUE_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")


def read(text: str, public_url: str, *, workspace_sid: str = "") -> Desired:
    """Return the set-up that the file describes.

    public_url: where TaskRouter reaches us; the callback URLs come from it. workspace_sid: the workspace that is meant,
    if that is settled; else the file has to name one. Raises WorkspaceFileError with every mistake.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise errors.WorkspaceFileError(f"not TOML: {exc}") from exc
    wrong = _Wrong(toml_lines.lines_of(text))
    file = _Table(values, (), wrong)
    workspace = file.table("workspace") or _Table({}, ("workspace",), wrong)
    name = workspace.text("name", longest=MAX_NAME_LENGTH, required=not workspace_sid) or ""
    may_create = workspace.flag("create") or False
    resources = [
        *(_activity(each) for each in file.tables("activities")),
        *(_channel(each) for each in file.tables("task_channels")),
        *(_queue(each) for each in file.tables("queues")),
        *(_worker(each) for each in file.tables("workers")),
    ]
    for each in file.tables("workflows"):
        resources += _workflow(each, public_url, {queue.name for queue in resources if queue.kind is Kind.QUEUE})
    fields = _workspace_fields(workspace, public_url)
    activities = {
        key: value for key in ("default_activity", "timeout_activity") if (value := workspace.text(key)) is not None
    }
    workspace.end()
    file.end()
    _tell_twins(file, wrong)
    wrong.tell()
    return Desired(Resource(Kind.WORKSPACE, name, fields), may_create, tuple(resources), activities)


def _workspace_fields(table: _Table, public_url: str) -> dict[str, Any]:
    fields = table.given(
        multitasking=table.flag("multitasking"), queue_order=table.choice("queue_order", ("FIFO", "LIFO"))
    )
    wanted = table.flag("events")
    more = table.texts("more_events")
    retries = table.number("event_retries", 0, MAX_RETRIES)
    if wanted is False:
        for key in table.known & {"more_events", "event_retries"} & table.values.keys():
            table.wrong.add((*table.path, key), "says something about events, and events = false leaves them alone")
    else:
        fields["events_url"] = endpoints.events_url(public_url, DEFAULT_RETRIES if retries is None else retries)
        fields["events"] = tuple(sorted(endpoints.NEEDED_EVENTS | set(more)))
    return fields


def _activity(table: _Table) -> Resource:
    fields = table.given(available=table.flag("available", required=True))
    return table.resource(Kind.ACTIVITY, fields)


def _channel(table: _Table) -> Resource:
    name = table.text("unique_name", required=True, longest=MAX_NAME_LENGTH) or ""
    if name and not _UNIQUE_NAME.fullmatch(name):
        table.wrong.add(
            (*table.path, "unique_name"), "may have letters, digits, _ and $, and does not begin with a digit"
        )
    shown = table.text("name", longest=MAX_NAME_LENGTH)
    optimized = table.flag("optimized_routing")
    table.end()
    # The name is needed to make one, and what people have called it since is theirs.
    fields = table.given(name=shown, optimized_routing=optimized)
    return Resource(Kind.CHANNEL, name, fields, {} if shown else {"name": name})


def _queue(table: _Table) -> Resource:
    fields = table.given(
        workers=table.text("workers"),
        order=table.choice("order", ("FIFO", "LIFO")),
        max_reserved_workers=table.number("max_reserved_workers", 1, MAX_RESERVED),
        reservation_activity=table.text("reservation_activity"),
        assignment_activity=table.text("assignment_activity"),
    )
    return table.resource(Kind.QUEUE, fields)


def _worker(table: _Table) -> Resource:
    """Attributes and capacities one by one: those that the file does not name belong to others."""
    activity = table.text("activity")
    fields = {f"attributes.{key}": value for key, value in table.mapping("attributes").items()}
    capacity = table.table("capacity")
    if capacity is not None:
        for channel in list(capacity.values):
            fields |= table.given(**{f"capacity.{channel}": capacity.number(channel, 0, 1_000)})
    return table.resource(Kind.WORKER, fields, {"activity": activity} if activity else {})


def _workflow(table: _Table, public_url: str, queues: set[str]) -> list[Resource]:
    """The workflow, behind the queue of its intake where it has one that the file does not describe itself."""
    fields = table.given(reservation_timeout_s=table.number("reservation_timeout_s", 1, MAX_RESERVATION_S))
    fallback = table.address("fallback_url")
    if table.flag("enrich") is not False:
        fields["assignment_url"] = public_url + endpoints.ASSIGNMENT
        fields["fallback_url"] = fallback or public_url + endpoints.FALLBACK
    elif fallback:
        fields["fallback_url"] = fallback
    filters = [_filter(each) for each in table.tables("filters")]
    default = _target(table.table_or_queue("default"))
    intake = table.table("intake")
    resources: list[Resource] = []
    if filters or default:
        routing: Document = {"filters": filters} | ({"default": default} if default else {})
        if intake is not None:
            held_s = intake.number("hold_s", 1, MAX_HOLD_S) or DEFAULT_HOLD_S
            queue = intake.text("queue") or INTAKE
            intake.end()
            routing = with_intake(routing, hold_s=held_s, queue=queue)
            if queue not in queues:
                resources.append(Resource(Kind.QUEUE, queue, {"workers": NEVER}))
        fields["routing"] = routing
    elif intake is not None:
        table.wrong.add(intake.path, "needs the whole routing in this file: default, or filters")
    return [*resources, table.resource(Kind.WORKFLOW, fields)]


def _filter(table: _Table) -> Document:
    name = table.text("name", required=True) or ""
    expression = table.text("expression", required=True) or ""
    targets = [_target(each) for each in table.tables("targets")]
    if not targets:
        table.wrong.add(table.path, "needs at least one target: [[workflows.filters.targets]]")
    for number, target in enumerate(targets):
        if "queue" not in target and number:
            target["queue"] = targets[number - 1].get("queue", "")
        elif "queue" not in target:
            table.wrong.add((*table.path, "targets", 0), "the first target needs a queue")
    for number, target in enumerate(targets[:-1]):
        if "timeout_s" not in target and "skip_if" not in target:
            table.wrong.add(
                (*table.path, "targets", number), "without timeout_s or skip_if the targets behind it are never reached"
            )
    table.end()
    return {"name": name, "expression": expression, "targets": targets}


def _target(table: _Table | None) -> Document:
    if table is None:
        return {}
    known = table.text("known_worker_sid"), table.text("known_worker_friendly_name")
    if all(known):
        table.wrong.add((*table.path, "known_worker_sid"), "either this or known_worker_friendly_name, not both")
    target = table.given(
        queue=table.text("queue"),
        priority=table.number("priority", 0, MAX_PRIORITY),
        timeout_s=table.number("timeout_s", 1, 1_209_600),
        expression=table.text("expression"),
        order_by=table.text("order_by"),
        skip_if=table.text("skip_if"),
        known_worker_sid=known[0],
        known_worker_friendly_name=known[1],
    )
    table.end()
    return target


@dataclass
class _Wrong:
    lines: Mapping[toml_lines.Path, int]
    found: list[tuple[int, str]] = field(default_factory=list)

    def add(self, path: toml_lines.Path, message: str, *, name: str = "") -> None:
        line = toml_lines.nearest(self.lines, path)
        place = _in_words(path) + (f" ({name})" if name else "")
        self.found.append((line or 0, f"line {line}, {place}: {message}" if line else f"{place}: {message}"))

    def tell(self) -> None:
        if self.found:
            raise errors.WorkspaceFileError("\n".join(message for _, message in sorted(self.found)))


def _in_words(path: toml_lines.Path) -> str:
    """`("queues", 1, "order")` as "queues 2, order"."""
    words: list[str] = []
    for part in path:
        if isinstance(part, int):
            words[-1] += f" {part + 1}"
        else:
            words.append(part)
    return ", ".join(words) or "the file"


@dataclass
class _Table:
    """A table, read key by key; what is wrong is noted, and reading goes on. `end` tells the keys nobody knows."""

    values: dict[str, Any]
    path: toml_lines.Path
    wrong: _Wrong
    known: set[str] = field(default_factory=set)

    def text(self, key: str, *, required: bool = False, longest: int | None = None) -> str | None:
        value: str | None = self._value(key, str, "text in quotes", required=required)
        if value is not None and required and not value.strip():
            self.wrong.add((*self.path, key), "must not be empty")
        elif value is not None and longest is not None and len(value) > longest:
            self.wrong.add((*self.path, key), f"may have {longest} characters, and has {len(value)}")
        return value

    def flag(self, key: str, *, required: bool = False) -> bool | None:
        value: bool | None = self._value(key, bool, "true or false", required=required)
        return value

    def number(self, key: str, low: int, high: int) -> int | None:
        value: int | None = self._value(key, int, f"a whole number from {low} to {high}")
        if value is not None and not low <= value <= high:
            self.wrong.add((*self.path, key), f"must be a whole number from {low} to {high}, not {value}")
            return None
        return value

    def choice(self, key: str, words: tuple[str, ...]) -> str | None:
        value = self.text(key)
        if value is not None and value not in words:
            self.wrong.add((*self.path, key), f"must be {' or '.join(words)}, not {value!r}")
            return None
        return value

    def address(self, key: str) -> str | None:
        value = self.text(key)
        if value is not None and not (value.startswith(("http://", "https://")) and urlsplit(value).netloc):
            self.wrong.add((*self.path, key), "must be an http(s) address")
            return None
        return value

    def texts(self, key: str) -> list[str]:
        values = self._value(key, list, "a list of texts") or []
        if not all(isinstance(value, str) and value for value in values):
            self.wrong.add((*self.path, key), "must be a list of texts")
            return []
        return list(values)

    def mapping(self, key: str) -> dict[str, Any]:
        found = self._value(key, dict, "a table") or {}
        for name, value in found.items():
            if not _is_json(value):
                self.wrong.add((*self.path, key, name), "dates and times have no place in JSON; write them as text")
        return found

    def table(self, key: str) -> _Table | None:
        value = self._value(key, dict, "a table")
        return None if value is None else _Table(value, (*self.path, key), self.wrong)

    def table_or_queue(self, key: str) -> _Table | None:
        """A target; the name of a queue alone will do."""
        if isinstance(self.values.get(key), str):
            self.known.add(key)
            return _Table({"queue": self.values[key]}, (*self.path, key), self.wrong)
        found = self.table(key)
        if found is not None and "queue" not in found.values:
            self.wrong.add(found.path, "needs a queue")
        return found

    def tables(self, key: str) -> list[_Table]:
        values = self._value(key, list, f"written as [[{key}]]") or []
        if not all(isinstance(value, dict) for value in values):
            self.wrong.add((*self.path, key), f"must be written as [[{key}]]")
            return []
        return [_Table(value, (*self.path, key, number), self.wrong) for number, value in enumerate(values)]

    def resource(self, kind: Kind, fields: dict[str, Any], initial: Mapping[str, Any] | None = None) -> Resource:
        name = self.text("name", required=True, longest=MAX_NAME_LENGTH) or ""
        self.end()
        return Resource(kind, name, fields, initial or {})

    def given(self, **fields: Any) -> dict[str, Any]:
        return {name: value for name, value in fields.items() if value is not None}

    def end(self) -> None:
        for key in self.values.keys() - self.known:
            close = difflib.get_close_matches(key, self.known, 1)
            hint = f"did you mean {close[0]}?" if close else f"there are: {', '.join(sorted(self.known))}"
            self.wrong.add((*self.path, key), f"there is no such key; {hint}")

    def _value(self, key: str, kind: type, meaning: str, *, required: bool = False) -> Any:
        self.known.add(key)
        value = self.values.get(key)
        if value is None:
            if required:
                self.wrong.add((*self.path, key), "is missing")
            return None
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            self.wrong.add((*self.path, key), f"must be {meaning}")
            return None
        return value


def _tell_twins(file: _Table, wrong: _Wrong) -> None:
    folded: Callable[[str], str] = str.casefold
    for key, name in (
        ("activities", "name"),
        ("task_channels", "unique_name"),
        ("queues", "name"),
        ("workers", "name"),
        ("workflows", "name"),
    ):
        seen: set[str] = set()
        tables = file.values.get(key)
        for number, table in enumerate(tables if isinstance(tables, list) else ()):
            given = table.get(name) if isinstance(table, dict) else None
            if not isinstance(given, str):
                continue
            known_as = folded(given) if key == "workers" else given
            if known_as in seen:
                wrong.add((key, number, name), f"{given!r} stands here a second time")
            seen.add(known_as)


def _is_json(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_json(each) for each in value.values())
    if isinstance(value, list):
        return all(_is_json(each) for each in value)
    return isinstance(value, str | int | float | bool)
