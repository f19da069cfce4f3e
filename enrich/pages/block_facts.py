"""Our block on a task, read back for the reader: what the agent sees of the customer.

Made from the attributes as they were written, so that the page shows what stands on the task and not what the customer
data says by now. Standard library only; hostile text gives fewer rows, never an error.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

# Shown elsewhere on the page, with labels of their own.
_SHOWN_ELSEWHERE = ("match", "by", "trust", "reason", "candidates", "customer_id", "card")


@dataclass(frozen=True, slots=True)
class Fact:
    """One member of the block. values: one text for a plain value, one for each element of a list."""

    label: str
    values: tuple[str, ...]
    is_list: bool


def facts(attributes: str | None, key: str) -> tuple[Fact, ...]:
    """Return the facts of the block under this key, plain values before lists; empty if there is no block.

    attributes: JSON text as written to the task, or None if nothing was.
    """
    if attributes is None:
        return ()
    try:
        # Numbers stay text: nothing is rounded, and ten thousand digits cost nothing.
        parsed = json.loads(attributes, parse_int=str, parse_float=str, parse_constant=str)
        block = parsed.get(key) if isinstance(parsed, dict) else None
        members = block.items() if isinstance(block, dict) else ()
        block_facts = [_fact(name, value) for name, value in members if name not in _SHOWN_ELSEWHERE]
    except (ValueError, RecursionError):
        return ()
    return tuple(sorted((fact for fact in block_facts if fact.values), key=lambda fact: fact.is_list))


def _fact(name: str, value: Any) -> Fact:
    elements = value if isinstance(value, list) else [value]
    values = tuple(text for element in elements if (text := _text(element)))
    return Fact(_label(name), values, is_list=isinstance(value, list))


def _label(name: str) -> str:
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:]


def _text(value: Any) -> str:
    """Return a value on one line; an object as its parts."""
    if isinstance(value, dict):
        return " · ".join(text for part in value.values() if (text := _text(part)))
    if isinstance(value, list):
        return ", ".join(text for part in value if (text := _text(part)))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)
