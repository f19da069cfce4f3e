"""A workflow's configuration: as much of it as is emulated, and a clear refusal of the rest.

Emulated: `default_filter.queue`, or one filter without expression (or with `1==1`) and with one target that names a
queue and perhaps a priority. Source: https://www.twilio.com/docs/taskrouter/workflow-configuration
"""

import json
from dataclasses import dataclass

from .errors import invalid, not_emulated

MAX_BYTES = 1_038_576
_ALWAYS = {"", "1==1", "1 == 1"}


@dataclass(frozen=True)
class Route:
    """Where every task of the workflow goes. priority: None leaves the task's own."""

    queue_sid: str
    priority: int | None


def read(text: str) -> Route:
    """The one route of this configuration. Raises ApiError 400 for what is malformed or not emulated."""
    if len(text.encode()) > MAX_BYTES:
        raise invalid(f"Configuration must not be larger than {MAX_BYTES} bytes")
    try:
        routing = json.loads(text)["task_routing"]
        filters = routing.get("filters") or []
        default = routing.get("default_filter")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise invalid("Configuration must be a JSON object with a member task_routing") from None
    if not isinstance(filters, list):
        raise invalid("task_routing.filters must be a list")
    if filters:
        return _only_filter(filters)
    if not isinstance(default, dict):
        raise invalid("Configuration needs a filter or a default_filter")
    return _target(default)


def _only_filter(filters: list[object]) -> Route:
    if len(filters) > 1:
        raise not_emulated("workflow configurations with more than one filter")
    only = filters[0]
    if not isinstance(only, dict):
        raise invalid("A filter must be an object")
    if str(only.get("expression") or "").strip() not in _ALWAYS:
        raise not_emulated("filter expressions other than 1==1")
    targets = only.get("targets")
    if not isinstance(targets, list) or not targets or not isinstance(targets[0], dict):
        raise invalid("A filter needs a list of targets")
    if len(targets) > 1:
        raise not_emulated("filters with more than one target")
    return _target(targets[0])


def _target(target: dict[str, object]) -> Route:
    unknown = sorted(set(target) - {"queue", "priority"})
    if unknown:
        raise not_emulated(f"{', '.join(unknown)} in a target")
    queue_sid = target.get("queue")
    if not isinstance(queue_sid, str):
        raise invalid("A target needs the SID of a queue")
    priority = target.get("priority")
    if priority is None or priority == "":
        return Route(queue_sid, None)
    try:
        return Route(queue_sid, int(str(priority)))
    except ValueError:
        raise invalid("A target's priority must be an integer") from None
