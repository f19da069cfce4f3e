"""Texts with places for what task, worker and customer hold: `"{task.to}"`, `"Hello {customer.name|there}"`.

A place is a reference as in conditions, between braces; behind `|` stands what is taken where there is nothing. `{{`
and `}}` are braces. There is nothing where a value is absent, NULL or blank, and where it is a list or an object:
without a `|` the whole text then cannot be had, and whoever wanted it does without.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from enrich.policy.evaluation import Context, Reference
from enrich.policy.expressions import ExpressionError, compile_reference

_PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+")
# What stands before the first place of an address: its host is chosen here, never by a value.
_WITH_HOST = re.compile(r"https?://[^/?#{}@\s]+[/?#]", re.IGNORECASE)


class Missing(LookupError):
    """A value that a text needs is not there. The message says which."""


@dataclass(frozen=True, slots=True)
class Place:
    """A placeholder. otherwise: the default; None: without a value the text cannot be made."""

    reference: Reference
    otherwise: str | None


@dataclass(frozen=True, slots=True)
class Template:
    """A text, in its parts."""

    text: str
    parts: tuple[str | Place, ...]

    @property
    def references(self) -> tuple[Reference, ...]:
        return tuple(part.reference for part in self.parts if isinstance(part, Place))

    @property
    def constant(self) -> str | None:
        """The text, if it is the same for everybody."""
        return "".join(str(part) for part in self.parts) if not self.references else None

    @property
    def chooses_host(self) -> bool:
        """Return whether the text, as a URL, takes its host from a value."""
        return bool(self.references) and not (isinstance(self.parts[0], str) and _WITH_HOST.match(self.parts[0]))

    def fill(self, context: Context, *, is_address: bool = False) -> str:
        """The text for this context. is_address: values are quoted, so that they stay within their part of a URL.

        Raises Missing.
        """
        filled = []
        for part in self.parts:
            text = part if isinstance(part, str) else _text(part, context)
            filled.append(quote(text, safe="") if is_address and isinstance(part, Place) else text)
        return "".join(filled)

    def value(self, context: Context) -> str | int | float | bool:
        """Return the text with its values; a single placeholder keeps the type of its value. Raises Missing."""
        if len(self.parts) == 1 and isinstance(self.parts[0], Place):
            value = self.parts[0].reference.value(context)
            if isinstance(value, bool | int | float):
                return value
        return self.fill(context)


def compile_template(text: str) -> Template:
    """The text in its parts. Raises ExpressionError naming the place that is wrong."""
    parts = list(_parts(text))
    return Template(text, tuple(parts))


def _parts(text: str) -> Iterator[str | Place]:
    literal = ""
    for found in _PART.finditer(text):
        token = found[0]
        if token in ("{{", "}}"):
            literal += token[0]
        elif token in ("{", "}"):
            raise ExpressionError(
                f"at character {found.start() + 1} is a single '{token}'; write {token * 2} for a brace"
            )
        elif found[1] is None:
            literal += token
        else:
            if literal:
                yield literal
                literal = ""
            reference, bar, otherwise = found[1].partition("|")
            yield Place(compile_reference(reference.strip()), otherwise if bar else None)
    if literal:
        yield literal


def _text(place: Place, context: Context) -> str:
    value = place.reference.value(context)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return _number(value, place)
    if isinstance(value, str) and value.strip():
        return value
    if place.otherwise is not None:
        return place.otherwise
    raise Missing(f"{place.reference.text} {_what_is_there(value)}")


def _number(value: float, place: Place) -> str:
    try:
        return str(value)
    except ValueError:  # an integer of more digits than Python writes out
        raise Missing(f"{place.reference.text} is endless") from None


def _what_is_there(value: Any) -> str:
    if isinstance(value, list | dict):
        return "is a list" if isinstance(value, list) else "is an object"
    return "is not there" if value is None else "is blank"
