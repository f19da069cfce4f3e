"""The lines of tables and keys in a TOML text; tomllib returns values without lines. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

Path = tuple[str | int, ...]

_TEXTS = ('"""', "'''")
_PART = re.compile(r'\s*("(?:[^"\\]|\\.)*"|\'[^\']*\'|[A-Za-z0-9_-]+)\s*(\.|=|\]|$)')


def lines_of(text: str) -> Mapping[Path, int]:
    """The line, from 1, of each table and key of this text, which tomllib has read without complaint.

    Paths are as the values are reached: `("queues", 0, "name")`. What stands inside an inline table is not there.
    """
    places = _Places()
    for number, line in enumerate(text.splitlines(), 1):
        places.take(line, number)
    return places.lines


def nearest(lines: Mapping[Path, int], path: Path) -> int | None:
    """The line of this, or of the closest thing around it; None where nothing of it is in the text."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return None


@dataclass
class _Places:
    lines: dict[Path, int] = field(default_factory=dict)
    _table: Path = ()
    _counts: dict[Path, int] = field(default_factory=dict)  # of arrays of tables: how many there are so far
    _open: str = ""  # the quotes of a text that goes on, or "[" while an array does
    _depth: int = 0

    def take(self, line: str, number: int) -> None:
        if self._open:
            self._read_value(line)
            return
        bare = line.lstrip()
        if bare.startswith("[["):
            path = self._resolve(_parts(bare[2:]))
            index = self._counts[path] = self._counts.get(path, -1) + 1
            self._table = (*path, index)
            self.lines.setdefault(path, number)
            self.lines[self._table] = number
        elif bare.startswith("["):
            self._table = self._resolve(_parts(bare[1:]))
            self.lines[self._table] = number
        elif bare and not bare.startswith("#"):
            keys = _parts(bare)
            for length in range(1, len(keys) + 1):
                self.lines.setdefault((*self._table, *keys[:length]), number)
            self._read_value(_after_key(bare))

    def _resolve(self, parts: list[str]) -> Path:
        """The path that a header means: in an array of tables, the newest of them."""
        path: Path = ()
        for position, part in enumerate(parts):
            path = (*path, part)
            if path in self._counts and position < len(parts) - 1:
                path = (*path, self._counts[path])
        return path

    def _read_value(self, rest: str) -> None:
        """Read a value, and remember what has to close it if it does not end on this line."""
        position = 0
        while position < len(rest):
            if self._open in _TEXTS:
                end = _end_of_text(rest, position, self._open)
                if end < 0:
                    return
                position, self._open = end, "[" if self._depth else ""
                continue
            character = rest[position]
            if rest.startswith(_TEXTS, position):
                self._open = rest[position : position + 3]
                position += 3
                continue
            if character == "#":
                break
            if character in "\"'":
                position = _end_of_text(rest, position + 1, character)
                if position < 0:
                    break
                continue
            self._depth += {"[": 1, "]": -1}.get(character, 0)
            position += 1
        if self._open not in _TEXTS:
            self._open = "[" if self._depth else ""


def _end_of_text(line: str, start: int, quotes: str) -> int:
    """Behind the closing quotes; -1 where the line has none. A backslash escapes only in double quotes."""
    position = start
    while position < len(line):
        if line[position] == "\\" and quotes[0] == '"':
            position += 2
        elif line.startswith(quotes, position):
            return position + len(quotes)
        else:
            position += 1
    return -1


def _parts(text: str) -> list[str]:
    """The parts of a dotted key at the start of the text."""
    parts: list[str] = []
    position = 0
    while found := _PART.match(text, position):
        part = found[1]
        parts.append(part[1:-1] if part[0] in "\"'" else part)
        if found[2] != ".":
            break
        position = found.end()
    return parts


def _after_key(line: str) -> str:
    position = 0
    while (found := _PART.match(line, position)) and found[2] == ".":
        position = found.end()
    return line[found.end() :] if found else line
