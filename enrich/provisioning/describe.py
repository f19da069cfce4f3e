"""The file that describes an existing workspace: the reverse of file.py. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from enrich.provisioning.plan import NEW_WORKSPACE, Actual, Existing, Kind
from enrich.taskrouter import endpoints

_BARE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")


def describe(actual: Actual, public_url: str, *, streamed_events: Collection[str] = ()) -> str:
    """Return the text of a file that would change nothing.

    Left out are the resources of every new workspace, and workers, which are usually managed elsewhere. A workflow
    that calls another service than public_url keeps it, and a comment says so. streamed_events: delivered to
    public_url by Event Streams. Raises ValueError without a workspace.
    """
    if actual.workspace is None:
        raise ValueError("there is no workspace to describe")
    defaults = {(resource.kind, resource.name) for resource in NEW_WORKSPACE.resources}
    lines = list(_workspace(actual.workspace, public_url, frozenset(streamed_events)))
    for resource in actual.resources:
        if (resource.kind, resource.name) not in defaults and resource.kind in _WRITERS:
            lines += ["", *_WRITERS[resource.kind](resource, public_url)]
    return "\n".join(lines) + "\n"


def _workspace(workspace: Existing, public_url: str, streamed_events: frozenset[str]) -> Iterator[str]:
    fields = workspace.fields
    yield "[workspace]"
    yield _line("name", workspace.name)
    yield from _field_lines(fields, "multitasking", "queue_order", "default_activity", "timeout_activity")
    url = fields.get("events_url") or ""
    if endpoints.without_fragment(url) != public_url + endpoints.EVENTS:
        callback = f"goes to {_comment(url)}" if url else "is not set"
        yield f"events = false  # the event callback {callback}; without this line it comes to this service"
        if streamed_events >= endpoints.NEEDED_EVENTS:
            yield "event_stream = true"
        return
    retries = endpoints.overrides(url).get("rc", "0")
    if url == endpoints.events_url(public_url, int(retries) if retries.isdigit() else 0):
        yield f"event_retries = {retries}"
    extra_events = set(fields.get("events") or ()) - endpoints.NEEDED_EVENTS
    if extra_events:
        yield _line("more_events", sorted(extra_events))
    if streamed_events >= endpoints.NEEDED_EVENTS | extra_events:
        yield "event_stream = true"


def _activity(activity: Existing, _public_url: str) -> Iterator[str]:
    yield "[[activities]]"
    yield _line("name", activity.name)
    yield from _field_lines(activity.fields, "available")


def _channel(channel: Existing, _public_url: str) -> Iterator[str]:
    yield "[[task_channels]]"
    yield _line("unique_name", channel.name)
    yield from _field_lines(channel.fields, "name", "optimized_routing")


def _queue(queue: Existing, _public_url: str) -> Iterator[str]:
    yield "[[queues]]"
    yield _line("name", queue.name)
    yield from _field_lines(
        queue.fields, "workers", "order", "max_reserved_workers", "reservation_activity", "assignment_activity"
    )


def _workflow(workflow: Existing, public_url: str) -> Iterator[str]:
    fields = workflow.fields
    yield "[[workflows]]"
    yield _line("name", workflow.name)
    url = fields.get("assignment_url") or ""
    if url != public_url + endpoints.ASSIGNMENT:
        yield f"enrich = false  # it calls {_comment(url) or 'nobody'}; without this line it calls this service"
    elif fields.get("fallback_url") and fields["fallback_url"] != public_url + endpoints.FALLBACK:
        yield from _field_lines(fields, "fallback_url")
    yield from _field_lines(fields, "reservation_timeout_s")
    routing = fields.get("routing")
    if routing is None:
        yield "# Its configuration cannot be read; without one in this file it is left unchanged."
        return
    if "default" in routing:
        target = routing["default"]
        yield _line("default", target["queue"] if set(target) == {"queue"} else target)
    for number, entry in enumerate(routing["filters"], 1):
        yield ""
        yield "[[workflows.filters]]"
        yield _line("name", entry["name"] or f"Filter {number}")
        yield _line("expression", entry["expression"] or "1==1")
        for target in entry["targets"]:
            yield "[[workflows.filters.targets]]"
            yield from (_line(key, value) for key, value in target.items())


_WRITERS = {Kind.ACTIVITY: _activity, Kind.CHANNEL: _channel, Kind.QUEUE: _queue, Kind.WORKFLOW: _workflow}


def _field_lines(fields: Mapping[str, Any], *names: str) -> Iterator[str]:
    for name in names:
        if fields.get(name) is not None:
            yield _line(name, fields[name])


def _line(key: str, value: Any) -> str:
    return f"{key} = {_value(value)}"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, str) and {'"', "\\"} & set(value) and "'" not in value and value.isprintable():
        # A literal string, where nothing is escaped, is easier to read.
        return f"'{value}'"
    # A JSON string is a TOML string, except for one character that TOML wants escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(key: str) -> str:
    return key if key and set(key) <= _BARE else _value(key)


def _comment(text: str) -> str:
    """Return the text without line breaks, which would end the comment."""
    return "".join(character if character.isprintable() else "?" for character in text)
