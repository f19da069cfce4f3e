"""A workflow's configuration in the names of its queues: as the file says it, as TaskRouter keeps it, and between them.

Pure. Source: docs/taskrouter.md, "Workflow configuration".

In names it is `{"filters": [{"name", "expression", "targets": [{"queue", ...}]}], "default": {"queue", ...}}`; what is
not said is not there, numbers are numbers, and each target says its queue, so that two can be compared.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

Document = dict[str, Any]

ALWAYS = "1==1"
NEVER = "1==2"
INTAKE = "Intake"
REST = "Everything else"

# As the file says them: as TaskRouter does.
TARGET_KEYS = {
    "queue": "queue",
    "priority": "priority",
    "timeout_s": "timeout",
    "expression": "expression",
    "order_by": "order_by",
    "skip_if": "skip_if",
    "known_worker_sid": "known_worker_sid",
    "known_worker_friendly_name": "known_worker_friendly_name",
}
_NUMBERS = ("priority", "timeout_s")


def with_intake(document: Document, *, hold_s: int, queue: str) -> Document:
    """Return the workflow with an intake in front, a queue without workers that holds a task before it is routed.

    hold_s: for how long. queue: the name of a queue without workers.
    A task that has timed out of one filter goes on with the next one that matches, and never with the default filter
    (docs/taskrouter.md, "Workflow configuration"): without a last filter that takes everything, what matches nothing
    else would be canceled.
    """
    intake = {"name": INTAKE, "expression": ALWAYS, "targets": [{"queue": queue, "timeout_s": hold_s}]}
    filters = [intake, *document["filters"]]
    default = document.get("default")
    if default and not any(_takes_everything(each) for each in document["filters"]):
        filters.append({"name": REST, "expression": ALWAYS, "targets": [default]})
    return {**document, "filters": filters}


def in_names(raw: str, name_of: Callable[[str], str]) -> Document | None:
    """TaskRouter's configuration with the names of its queues; None where it cannot be read.

    name_of: the name of the queue with this SID, or the SID where there is none any more.
    """
    try:
        routing = json.loads(raw)["task_routing"]
        document: Document = {"filters": [_filter_in_names(each, name_of) for each in routing.get("filters") or []]}
        if routing.get("default_filter"):
            document["default"] = _target_in_names(routing["default_filter"], name_of)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return document


def in_sids(document: Mapping[str, Any], sid_of: Callable[[str], str]) -> str:
    """The text of TaskRouter's configuration. sid_of: the SID of the queue with this name."""
    routing: Document = {
        "filters": [
            {
                "filter_friendly_name": each["name"],
                "expression": each["expression"],
                "targets": [_target_in_sids(target, sid_of) for target in each["targets"]],
            }
            for each in document["filters"]
        ]
    }
    if "default" in document:
        routing["default_filter"] = _target_in_sids(document["default"], sid_of)
    return json.dumps({"task_routing": routing})


def queues_of(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Every queue that is named, with the place that names it."""
    named = [
        (f"filter {each['name']}, target {number}", target["queue"])
        for each in document["filters"]
        for number, target in enumerate(each["targets"], 1)
    ]
    return named + ([("default", document["default"]["queue"])] if "default" in document else [])


def _takes_everything(one: Mapping[str, Any]) -> bool:
    return str(one["expression"]).replace(" ", "") in ("", ALWAYS)


def _filter_in_names(raw: Mapping[str, Any], name_of: Callable[[str], str]) -> Document:
    targets: list[Document] = []
    for raw_target in raw["targets"]:
        target = _target_in_names(raw_target, name_of)
        if "queue" not in target and targets:  # later targets inherit the queue
            target["queue"] = targets[-1]["queue"]
        targets.append(target)
    name = raw.get("filter_friendly_name") or raw.get("friendly_name") or ""
    return {"name": name, "expression": raw.get("expression") or "", "targets": targets}


def _target_in_names(raw: Mapping[str, Any], name_of: Callable[[str], str]) -> Document:
    target: Document = {}
    for ours, theirs in TARGET_KEYS.items():
        value = raw.get(theirs)
        if value in (None, ""):
            continue
        target[ours] = int(value) if ours in _NUMBERS else value
    if "queue" in target:
        target["queue"] = name_of(str(target["queue"]))
    return target


def _target_in_sids(target: Mapping[str, Any], sid_of: Callable[[str], str]) -> Document:
    return {
        theirs: sid_of(target[ours]) if ours == "queue" else target[ours]
        for ours, theirs in TARGET_KEYS.items()
        if ours in target
    }
