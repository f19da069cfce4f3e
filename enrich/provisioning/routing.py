"""A workflow's configuration: conversion between the file's form, with names of queues, and TaskRouter's, with SIDs.

Pure. Source: docs/taskrouter.md, "Workflow configuration".

The file's form is `{"filters": [{"name", "expression", "targets": [{"queue", ...}]}], "default": {"queue", ...}}`.
Unset members are absent, numbers are numbers, and each target has its queue, so that two of them can be compared.
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

# The file's keys of a target, with TaskRouter's.
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

    hold_s: seconds that it holds a task. queue: the name of a queue without workers.
    A task that has timed out of one filter continues with the next filter that matches, and never with the default
    filter (docs/taskrouter.md, "Workflow configuration"): without a last filter that matches everything, a task that
    matches no other filter would be canceled.
    """
    intake = {"name": INTAKE, "expression": ALWAYS, "targets": [{"queue": queue, "timeout_s": hold_s}]}
    filters = [intake, *document["filters"]]
    default = document.get("default")
    if default and not any(_matches_all(entry) for entry in document["filters"]):
        filters.append({"name": REST, "expression": ALWAYS, "targets": [default]})
    return {**document, "filters": filters}


def in_names(raw: str, name_of: Callable[[str], str]) -> Document | None:
    """Return TaskRouter's configuration with the names of its queues; None if it cannot be read.

    name_of: returns the name of the queue with this SID, or the SID if that queue no longer exists.
    """
    try:
        routing = json.loads(raw)["task_routing"]
        document: Document = {"filters": [_filter_in_names(entry, name_of) for entry in routing.get("filters") or []]}
        if routing.get("default_filter"):
            document["default"] = _target_in_names(routing["default_filter"], name_of)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return document


def in_sids(document: Mapping[str, Any], sid_of: Callable[[str], str]) -> str:
    """Return the text of TaskRouter's configuration. sid_of: returns the SID of the queue with this name."""
    routing: Document = {
        "filters": [
            {
                "filter_friendly_name": entry["name"],
                "expression": entry["expression"],
                "targets": [_target_in_sids(target, sid_of) for target in entry["targets"]],
            }
            for entry in document["filters"]
        ]
    }
    if "default" in document:
        routing["default_filter"] = _target_in_sids(document["default"], sid_of)
    return json.dumps({"task_routing": routing})


def queues_of(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the references to queues: the place of each, and the queue's name."""
    references = [
        (f"filter {entry['name']}, target {number}", target["queue"])
        for entry in document["filters"]
        for number, target in enumerate(entry["targets"], 1)
    ]
    return references + ([("default", document["default"]["queue"])] if "default" in document else [])


def _matches_all(entry: Mapping[str, Any]) -> bool:
    return str(entry["expression"]).replace(" ", "") in ("", ALWAYS)


def _filter_in_names(raw: Mapping[str, Any], name_of: Callable[[str], str]) -> Document:
    targets: list[Document] = []
    for raw_target in raw["targets"]:
        target = _target_in_names(raw_target, name_of)
        # Later targets inherit the queue.
        if "queue" not in target and targets:
            target["queue"] = targets[-1]["queue"]
        targets.append(target)
    name = raw.get("filter_friendly_name") or raw.get("friendly_name") or ""
    return {"name": name, "expression": raw.get("expression") or "", "targets": targets}


def _target_in_names(raw: Mapping[str, Any], name_of: Callable[[str], str]) -> Document:
    target: Document = {}
    for key, parameter in TARGET_KEYS.items():
        value = raw.get(parameter)
        if value in (None, ""):
            continue
        target[key] = int(value) if key in _NUMBERS else value
    if "queue" in target:
        target["queue"] = name_of(str(target["queue"]))
    return target


def _target_in_sids(target: Mapping[str, Any], sid_of: Callable[[str], str]) -> Document:
    return {
        parameter: sid_of(target[key]) if key == "queue" else target[key]
        for key, parameter in TARGET_KEYS.items()
        if key in target
    }
