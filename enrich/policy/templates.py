"""Texts with placeholders for values of task, worker and customer: `"{task.to}"`, `"Hello {customer.name|there}"`.

A placeholder is a reference as in conditions, between braces, with a default after `|`. `{{` and `}}` are braces. A
value is missing if it is absent, NULL or blank, or if it is a list or an object: without a default there is then no
text at all.
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
# The text before the first placeholder of a URL must contain the host, so that no value can choose it.
_WITH_HOST = re.compile(r"https?://[^/?#{}@\s]+[/?#]", re.IGNORECASE)


class Missing(LookupError):
    """A value that a text needs is missing. The message says which."""


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A placeholder. default: None if the text needs the value."""

    reference: Reference
    default: str | None


@dataclass(frozen=True, slots=True)
class Template:
    """A text as its literal parts and placeholders."""

    text: str
    parts: tuple[str | Placeholder, ...]

    @property
    def references(self) -> tuple[Reference, ...]:
        return tuple(part.reference for part in self.parts if isinstance(part, Placeholder))

    @property
    def constant(self) -> str | None:
        """Return the text if it has no placeholders; otherwise None."""
        return "".join(str(part) for part in self.parts) if not self.references else None

    @property
    def chooses_host(self) -> bool:
        """Return whether the text, as a URL, takes its host from a value."""
        return bool(self.references) and not (isinstance(self.parts[0], str) and _WITH_HOST.match(self.parts[0]))

    def fill(self, context: Context, *, is_address: bool = False) -> str:
        """Return the text for this context. is_address: quote the values, so that they stay within their part of a URL.

        Raises Missing.
        """
        texts = []
        for part in self.parts:
            text = part if isinstance(part, str) else _text(part, context)
            texts.append(quote(text, safe="") if is_address and isinstance(part, Placeholder) else text)
        return "".join(texts)

    def value(self, context: Context) -> str | int | float | bool:
        """Return the text with its values; a single placeholder keeps the type of its value. Raises Missing."""
        if len(self.parts) == 1 and isinstance(self.parts[0], Placeholder):
            value = self.parts[0].reference.value(context)
            if isinstance(value, bool | int | float):
                return value
        return self.fill(context)


def compile_template(text: str) -> Template:
    """Return the text as a template. Raises ExpressionError with the position of the mistake."""
    parts = list(_parts(text))
    return Template(text, tuple(parts))


def _parts(text: str) -> Iterator[str | Placeholder]:
    literal = ""
    for match in _PART.finditer(text):
        token = match[0]
        if token in ("{{", "}}"):
            literal += token[0]
        elif token in ("{", "}"):
            raise ExpressionError(
                f"at character {match.start() + 1} is a single '{token}'; write {token * 2} for a brace"
            )
        elif match[1] is None:
            literal += token
        else:
            if literal:
                yield literal
                literal = ""
            reference, bar, default = match[1].partition("|")
            yield Placeholder(compile_reference(reference.strip()), default if bar else None)
    if literal:
        yield literal


def _text(placeholder: Placeholder, context: Context) -> str:
    value = placeholder.reference.value(context)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return _number(value, placeholder)
    if isinstance(value, str) and value.strip():
        return value
    if placeholder.default is not None:
        return placeholder.default
    raise Missing(f"{placeholder.reference.text} {_reason(value)}")


def _number(value: float, placeholder: Placeholder) -> str:
    try:
        return str(value)
    except ValueError:
        # Python refuses to write out an integer of more than 4,300 digits.
        raise Missing(f"{placeholder.reference.text} has too many digits") from None


def _reason(value: Any) -> str:
    if isinstance(value, list | dict):
        return "is a list" if isinstance(value, list) else "is an object"
    return "is not there" if value is None else "is blank"
