"""The line numbers of tables and keys in a TOML text, which tomllib does not return. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

Path = tuple[str | int, ...]

_TEXTS = ('"""', "'''")
_PART = re.compile(r'\s*("(?:[^"\\]|\\.)*"|\'[^\']*\'|[A-Za-z0-9_-]+)\s*(\.|=|\]|$)')


def lines_of(text: str) -> Mapping[Path, int]:
    """Return the line, from 1, of each table and key of this text, which must be valid TOML.

    Paths lead to the values: `("queues", 0, "name")`. Keys inside an inline table are left out.
    """
    scanner = _Scanner()
    for number, line in enumerate(text.splitlines(), 1):
        scanner.read_line(line, number)
    return scanner.lines


def nearest(lines: Mapping[Path, int], path: Path) -> int | None:
    """Return the line of this path, or of the nearest table around it; None if neither is in the text."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return None


@dataclass
class _Scanner:
    """A scanner of one text, line by line."""

    lines: dict[Path, int] = field(default_factory=dict)
    _table: Path = ()
    # The index of the newest table of each array of tables.
    _indexes: dict[Path, int] = field(default_factory=dict)
    # The quotes of a string, or "[" of an array, that continues on the next line.
    _open: str = ""
    _depth: int = 0

    def read_line(self, line: str, number: int) -> None:
        if self._open:
            self._read_value(line)
            return
        bare = line.lstrip()
        if bare.startswith("[["):
            path = self._resolve(_parts(bare[2:]))
            index = self._indexes[path] = self._indexes.get(path, -1) + 1
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
        """Return the path of a header; in an array of tables, that of its newest table."""
        path: Path = ()
        for position, part in enumerate(parts):
            path = (*path, part)
            if path in self._indexes and position < len(parts) - 1:
                path = (*path, self._indexes[path])
        return path

    def _read_value(self, text: str) -> None:
        """Read a value, and remember the closing character if it does not end on this line."""
        position = 0
        while position < len(text):
            if self._open in _TEXTS:
                end = _end_of_text(text, position, self._open)
                if end < 0:
                    return
                position, self._open = end, "[" if self._depth else ""
                continue
            character = text[position]
            if text.startswith(_TEXTS, position):
                self._open = text[position : position + 3]
                position += 3
                continue
            if character == "#":
                break
            if character in "\"'":
                position = _end_of_text(text, position + 1, character)
                if position < 0:
                    break
                continue
            self._depth += {"[": 1, "]": -1}.get(character, 0)
            position += 1
        if self._open not in _TEXTS:
            self._open = "[" if self._depth else ""


def _end_of_text(line: str, start: int, quotes: str) -> int:
    """Return the position after the closing quotes; -1 without any. A backslash escapes only in double quotes."""
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
    """Return the parts of a dotted key at the start of the text."""
    parts: list[str] = []
    position = 0
    while match := _PART.match(text, position):
        part = match[1]
        parts.append(part[1:-1] if part[0] in "\"'" else part)
        if match[2] != ".":
            break
        position = match.end()
    return parts


def _after_key(line: str) -> str:
    position = 0
    while (match := _PART.match(line, position)) and match[2] == ".":
        position = match.end()
    return line[match.end() :] if match else line
