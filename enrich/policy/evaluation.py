"""Evaluation of TaskRouter's expressions: references, comparisons and what joins them, as functions of a context.

Source: docs/taskrouter.md, "Expressions". An evaluation costs about a microsecond and raises nothing, whatever the
context holds: a missing value is NULL.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

# The values that a condition can refer to: `task`, `worker` and so on; JSON objects as `dict`, lists as `list`.
Context = dict[str, Any]
Condition = Callable[[Context], bool]
Value = Callable[[Context], Any]


@dataclass(frozen=True, slots=True)
class Reference:
    """A path into the context: `task.routing.skills[0]` is ("task", "routing", "skills", 0)."""

    text: str
    path: tuple[str | int, ...]

    def value(self, context: Context) -> Any:
        """Return the value at this path; None, which is NULL, if there is none."""
        value: Any = context
        for step in self.path:
            if isinstance(value, dict):
                value = value.get(step)
            elif isinstance(value, list) and isinstance(step, int) and step < len(value):
                value = value[step]
            else:
                return None
        return value


@dataclass(frozen=True, slots=True)
class Comparison:
    """One comparison. text: as written, with single spaces."""

    text: str
    holds: Condition
    references: tuple[Reference, ...]

    depth = 0

    def why(self, context: Context) -> Iterator[str]:
        values = ", ".join(
            f"{reference.text} is {shown(reference.value(context))}" for reference in dict.fromkeys(self.references)
        )
        yield f"{self.text} is {'true' if self.holds(context) else 'false'}" + (f" ({values})" if values else "")


@dataclass(frozen=True, slots=True)
class Junction:
    """Conditions joined by AND, or by OR."""

    is_or: bool
    parts: tuple[Node, ...]
    holds: Condition

    @property
    def references(self) -> tuple[Reference, ...]:
        return tuple(reference for part in self.parts for reference in part.references)

    @property
    def depth(self) -> int:
        return 1 + max(part.depth for part in self.parts)

    def why(self, context: Context) -> Iterator[str]:
        """Yield the first part that decided an AND that is false or an OR that is true; otherwise all parts."""
        result = self.holds(context)
        if result is self.is_or:
            yield from next(part for part in self.parts if part.holds(context) is result).why(context)
        else:
            for part in self.parts:
                yield from part.why(context)


Node = Comparison | Junction


def shown(value: Any) -> str:
    """Return a value as an expression would write it, shortened if it is long."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return str(value).lower()
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:59] + "…"


def look_up(reference: Reference) -> Value:
    """Return a function for the reference's value. `task.name`, by far the most frequent form, needs no loop."""
    path = reference.path
    if len(path) != 2 or isinstance(path[1], int):
        return reference.value
    first, second = str(path[0]), path[1]

    def value(context: Context) -> Any:
        parent = context.get(first)
        return parent.get(second) if isinstance(parent, dict) else None

    return value


def join(parts: list[Condition], *, is_or: bool) -> Condition:
    """Return the condition that joins these parts by OR, or else by AND."""
    if len(parts) == 2:
        first, second = parts
        if is_or:
            return lambda context: first(context) or second(context)
        return lambda context: first(context) and second(context)
    if is_or:
        return lambda context: any(part(context) for part in parts)
    return lambda context: all(part(context) for part in parts)


def ordering(sign: str, left: Value, right: Value) -> Condition:
    """Return the comparison of two single values by one of == = != < <= > >=."""
    if sign in ("==", "="):
        return lambda context: _equal(left(context), right(context))
    if sign == "!=":
        return lambda context: _different(left(context), right(context))
    compare = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}[sign]

    def holds(context: Context) -> bool:
        first, second = left(context), right(context)
        kind = _KINDS.get(type(first))
        return (
            kind is not None and kind in _ORDERED and _KINDS.get(type(second)) is kind and bool(compare(first, second))
        )

    return holds


# The types of single values; lists and objects are not among them. Numbers are one type, and a boolean is not a number.
_KINDS: dict[type, type] = {str: str, int: float, float: float, bool: bool, type(None): type(None)}
_ORDERED = (str, float)


def _equal(left: Any, right: Any) -> bool:
    kind = _KINDS.get(type(left))
    return kind is not None and _KINDS.get(type(right)) is kind and bool(left == right)


def _different(left: Any, right: Any) -> bool:
    """Compare single values only; values of different types are different."""
    left_kind, right_kind = _KINDS.get(type(left)), _KINDS.get(type(right))
    return left_kind is not None and right_kind is not None and (left_kind is not right_kind or bool(left != right))


def _has(left: Value, right: Value) -> Condition:
    def holds(context: Context) -> bool:
        items = left(context)
        return isinstance(items, list) and _is_among(right(context), items)

    return holds


def _in(left: Value, right: Value) -> Condition:
    return _has(right, left)


def _not_in(left: Value, right: Value) -> Condition:
    def holds(context: Context) -> bool:
        items, value = right(context), left(context)
        return isinstance(items, list) and type(value) in _KINDS and not _is_among(value, items)

    return holds


def _contains(left: Value, right: Value) -> Condition:
    def holds(context: Context) -> bool:
        text, part = left(context), right(context)
        return isinstance(text, str) and isinstance(part, str) and part in text

    return holds


def _is_among(value: Any, items: Iterable[Any]) -> bool:
    return any(_equal(item, value) for item in items)


# The operators of lists and texts, by the name of their token.
OPERATORS: dict[str, Callable[[Value, Value], Condition]] = {
    "HAS": _has,
    "IN": _in,
    "NOT_IN": _not_in,
    "CONTAINS": _contains,
}
