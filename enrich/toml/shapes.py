"""Shapes of values in a TOML file: declared once, read with every mistake, and written as JSON Schema for editors.

A shape reads a value: it returns it in the form in which it is used, or None after adding a mistake. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from enrich.toml.lines import Path
from enrich.toml.mistakes import Mistakes, unknown_key

Schema = dict[str, Any]

_DURATION = re.compile(r"([1-9][0-9]{0,5})(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Shape(Protocol):
    """The form of a value."""

    def read(self, value: Any, path: Path, mistakes: Mistakes) -> Any:
        """Return the value as it is used; None, with a mistake added, if it is wrong."""

    def schema(self) -> Schema:
        """Return the JSON Schema of a right value."""


@dataclass(frozen=True)
class Text:
    """Text that is not empty. pattern: the whole of it. meaning: what would be right. check: the problem, or ""."""

    meaning: str = "text in quotes"
    pattern: str = ""
    max_length: int = 200
    check: Callable[[str], str] = field(default=lambda _text: "")

    def read(self, value: Any, path: Path, mistakes: Mistakes) -> str | None:
        if not isinstance(value, str) or not value.strip():
            mistakes.add(path, f"must be {self.meaning}")
        elif len(value) > self.max_length:
            mistakes.add(path, f"may have {self.max_length} characters, and has {len(value)}")
        elif self.pattern and not re.fullmatch(self.pattern, value):
            mistakes.add(path, f"must be {self.meaning}")
        elif problem := self.check(value):
            mistakes.add(path, problem)
        else:
            return value
        return None

    def schema(self) -> Schema:
        schema: Schema = {"type": "string", "maxLength": self.max_length}
        return schema | {"pattern": f"^(?:{self.pattern})$" if self.pattern else r"\S"}


@dataclass(frozen=True)
class Duration:
    """A duration as "90s", "2m", "1h" or "7d"; read as seconds. low, high: in seconds."""

    low: int
    high: int

    def read(self, value: Any, path: Path, mistakes: Mistakes) -> int | None:
        match = _DURATION.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            mistakes.add(path, 'must be a duration such as "90s", "2m", "1h" or "7d"')
            return None
        seconds = int(match[1]) * _SECONDS[match[2]]
        if not self.low <= seconds <= self.high:
            mistakes.add(path, f"must lie between {duration_text(self.low)} and {duration_text(self.high)}")
            return None
        return seconds

    def schema(self) -> Schema:
        return {"type": "string", "pattern": f"^(?:{_DURATION.pattern})$", "examples": ["30s", "2m", "1h", "7d"]}


def duration_text(seconds: int) -> str:
    """Return the duration as the file has it: 120 is "2m"."""
    unit = next(unit for unit in ("d", "h", "m", "s") if seconds % _SECONDS[unit] == 0)
    return f"{seconds // _SECONDS[unit]}{unit}"


@dataclass(frozen=True)
class Whole:
    """A whole number."""

    low: int
    high: int

    def read(self, value: Any, path: Path, mistakes: Mistakes) -> int | None:
        if isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high:
            return value
        mistakes.add(path, f"must be a whole number from {self.low} to {self.high}")
        return None

    def schema(self) -> Schema:
        return {"type": "integer", "minimum": self.low, "maximum": self.high}


@dataclass(frozen=True)
class OneOf:
    """One of these words."""

    words: Sequence[str]

    def read(self, value: Any, path: Path, mistakes: Mistakes) -> str | None:
        if isinstance(value, str) and value in self.words:
            return value
        mistakes.add(path, f"must be {', '.join(self.words[:-1])} or {self.words[-1]}, not {value!r}")
        return None

    def schema(self) -> Schema:
        return {"enum": list(self.words)}


@dataclass(frozen=True)
class ListOf:
    """A list; a single value may stand without brackets if `may_be_single`."""

    item: Shape
    may_be_single: bool = False
    meaning: str = "a list in brackets"

    def read(self, value: Any, path: Path, mistakes: Mistakes) -> tuple[Any, ...] | None:
        if not isinstance(value, list):
            if self.may_be_single:
                single = self.item.read(value, path, mistakes)
                return None if single is None else (single,)
            mistakes.add(path, f"must be {self.meaning}")
            return None
        items = [self.item.read(item, (*path, number), mistakes) for number, item in enumerate(value)]
        return None if any(item is None for item in items) else tuple(items)

    def schema(self) -> Schema:
        schema: Schema = {"type": "array", "items": self.item.schema()}
        return {"anyOf": [schema, self.item.schema()]} if self.may_be_single else schema


@dataclass(frozen=True)
class MapOf:
    """A table whose keys are names of one kind. name: the shape of a key; None for any."""

    value: Shape
    name: Text | None = None
    may_be_empty: bool = True

    def read(self, value: Any, path: Path, mistakes: Mistakes) -> dict[str, Any] | None:
        if not isinstance(value, dict) or (not value and not self.may_be_empty):
            mistakes.add(path, "must be a table" if self.may_be_empty else "must be a table with at least one key")
            return None
        values = {}
        for key, item in value.items():
            name = key if self.name is None else self.name.read(key, (*path, key), mistakes)
            read = self.value.read(item, (*path, key), mistakes)
            if name is not None and read is not None:
                values[name] = read
        return values if len(values) == len(value) else None

    def schema(self) -> Schema:
        schema: Schema = {"type": "object", "additionalProperties": self.value.schema()}
        if self.name is not None:
            schema["propertyNames"] = self.name.schema()
        return schema if self.may_be_empty else schema | {"minProperties": 1}


@dataclass(frozen=True)
class Named:
    """A shape that the schema defines once, under this name, and refers to elsewhere (`definitions`)."""

    name: str
    shape: Shape

    def read(self, value: Any, path: Path, mistakes: Mistakes) -> Any:
        return self.shape.read(value, path, mistakes)

    def schema(self) -> Schema:
        # Draft 7, which editors know, ignores what stands beside a reference: hence the list.
        return {"allOf": [{"$ref": f"#/definitions/{self.name}"}]}


def definitions(*shapes: Named) -> Schema:
    """Return what the schema has to hold for references to these shapes."""
    return {"definitions": {named.name: named.shape.schema() for named in shapes}}


@dataclass(frozen=True)
class Key:
    """A key of a table. default: what holds without it, in the form in which the file would have it."""

    shape: Shape
    help: str
    is_required: bool = False
    default: Any = None


@dataclass(frozen=True)
class Table:
    """A table of these keys; every other key is a mistake.

    make: builds the value from the keys that there are, or have a default, as read. check: adds mistakes that no single
    key shows. shorthand: a text that may stand for the table, which `of_text` turns into its value.
    """

    keys: Mapping[str, Key]
    make: Callable[..., Any] = dict
    shorthand: Text | None = None
    of_text: Callable[[str], Any] = str
    check: Callable[[dict[str, Any], Path, Mistakes], None] = field(default=lambda _values, _path, _mistakes: None)

    def read(self, value: Any, path: Path, mistakes: Mistakes) -> Any:
        if self.shorthand is not None and isinstance(value, str):
            text = self.shorthand.read(value, path, mistakes)
            return None if text is None else self.of_text(text)
        if not isinstance(value, dict):
            mistakes.add(path, "must be text in quotes, or a table" if self.shorthand else "must be a table")
            return None
        count = len(mistakes.messages)
        for key in value.keys() - self.keys.keys():
            mistakes.add((*path, key), unknown_key(key, self.keys))
        values = {}
        for name, key in self.keys.items():
            if name in value:
                values[name] = key.shape.read(value[name], (*path, name), mistakes)
            elif key.is_required:
                mistakes.add(path, f"{name} is missing: {key.help}")
        self.check(values, path, mistakes)
        return self._made(values) if len(mistakes.messages) == count else None

    def _made(self, values: dict[str, Any]) -> Any:
        for name, key in self.keys.items():
            if name not in values and key.default is not None:
                values[name] = key.shape.read(key.default, (name,), Mistakes({}))
        return self.make(**values)

    def schema(self) -> Schema:
        properties = {
            name: key.shape.schema()
            | {"description": key.help}
            | ({} if key.default is None else {"default": key.default})
            for name, key in self.keys.items()
        }
        schema: Schema = {"type": "object", "additionalProperties": False, "properties": properties}
        if required := [name for name, key in self.keys.items() if key.is_required]:
            schema["required"] = required
        return schema if self.shorthand is None else {"anyOf": [self.shorthand.schema(), schema]}


@dataclass(frozen=True)
class ByKey:
    """A table of one of several kinds, which one of its keys names, as `kind`."""

    key: str
    tables: Mapping[str, Table]

    def read(self, value: Any, path: Path, mistakes: Mistakes) -> Any:
        if not isinstance(value, dict):
            mistakes.add(path, "must be a table")
            return None
        words = tuple(self.tables)
        if self.key not in value:
            mistakes.add(path, f"{self.key} is missing: {' or '.join(words)}")
            return None
        word = OneOf(words).read(value[self.key], (*path, self.key), mistakes)
        return None if word is None else self.tables[word].read(value, path, mistakes)

    def schema(self) -> Schema:
        return {
            "type": "object",
            "required": [self.key],
            "properties": {self.key: {"enum": list(self.tables)}},
            "allOf": [
                {"if": {"properties": {self.key: {"const": word}}}, "then": table.schema()}
                for word, table in self.tables.items()
            ],
        }
