"""What TaskRouter is told to do with a reservation (facts section 2).

Pure. The names of instructions and keys are TaskRouter's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from enrich.errors import AttributesUnreadable
from enrich.taskrouter import attributes

Instruction = dict[str, Any]

ACCEPT: Instruction = {"instruction": "accept"}
DEQUEUE: Instruction = {"instruction": "dequeue"}
# No instruction: the reservation stays pending, and somebody else, Flex for one, accepts it.
DEFER: Instruction = {}


def default_instruction(name: str, raw_attributes: str) -> Instruction:
    """The instruction that is given when nothing more particular is known.

    name: `accept`, `defer`, `dequeue` or `auto`. raw_attributes: the callback's snapshot; may be anything.
    `auto` defers where a bare accept would do harm: with `call_sid` the caller would stay in hold music, with
    `flexInteractionSid` Flex sets the work up itself. `dequeue` exists only for calls (alert 40140): work without
    `call_sid` is accepted.
    """
    if name == "accept":
        return ACCEPT
    if name == "defer":
        return DEFER
    is_call = _mentions(raw_attributes, "call_sid")
    if name == "dequeue":
        return DEQUEUE if is_call else ACCEPT
    return DEFER if is_call or _mentions(raw_attributes, "flexInteractionSid") else ACCEPT


def to_json(instruction: Mapping[str, Any]) -> str:
    return json.dumps(instruction, ensure_ascii=False, separators=(",", ":"))


def _mentions(raw_attributes: str, name: str) -> bool:
    """Whether the attributes hold something under this name; where they cannot be read, whether the word is in them."""
    try:
        return bool(attributes.parse(raw_attributes).get(name))
    except AttributesUnreadable:
        return name in raw_attributes
