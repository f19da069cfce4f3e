"""Customers of a JSON file, read in blocks: in memory are one block and one customer, however long the file is.

`json` reads whole texts only. Here its decoder is called for one customer after the other, on a window of the text; a
customer that is cut off at the window's end is decoded again with more text. So the customers before damage are read,
and the damage has its line and column.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

BLOCK = 1 << 16
# In characters, longer than any customer. Without a limit, JSON of another kind would be read as a whole.
MAX_VALUE_LENGTH = 1 << 26
# Damage so near the end of the window may be a literal or an escape that is cut off: `-Infinity`, `\ud83d\ude00`.
_MAX_CUT_LENGTH = 16
_NO_CUSTOMERS = 'must be {"customers": [...]} or a list of customers'

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\r\n]*")


class JsonFileError(Exception):
    """A text that is not JSON of customers. line, column: of the damage, from 1; None if there is no such place."""

    def __init__(self, reason: str, line: int | None = None, column: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line
        self.column = column


def read_customers(file: BinaryIO, encoding: str, *, block: int = BLOCK) -> Iterator[tuple[int, Any]]:
    """Yield each element of `{"customers": [...]}`, or of a bare list, with the line in which it begins, from 1.

    file: read from where it stands, in blocks of so many bytes. Raises OSError, and JsonFileError for damage, after the
    customers before it.
    """
    window = _Window(file, encoding, block)
    start = window.next_character()
    if start == "[":
        yield from _elements(window)
    elif start == "{":
        yield from _customers_of_object(window)
    else:
        window.value()
        window.end()
        raise JsonFileError(_NO_CUSTOMERS)
    window.end()


def _customers_of_object(window: _Window) -> Iterator[tuple[int, Any]]:
    """Yield the elements of the first list named `customers`; all other members are read over, in pieces."""
    is_found = False
    for name in _names(window):
        is_list = window.next_character() == "["
        if name == "customers" and not is_found:
            if not is_list:
                break
            is_found = True
            yield from _elements(window)
        elif is_list:
            for _ in _elements(window):
                pass
        else:
            window.value()
    if not is_found:
        raise JsonFileError(_NO_CUSTOMERS)


def _names(window: _Window) -> Iterator[str]:
    """Yield the name of each member of the object that begins here; the caller reads its value."""
    window.skip("{")
    closing = window.next_character()
    while closing != "}":
        if window.next_character() != '"':
            raise window.error("Expecting property name enclosed in double quotes")
        name = window.value()
        if window.next_character() != ":":
            raise window.error("Expecting ':' delimiter")
        window.skip(":")
        yield name
        closing = window.separator("}")
    window.skip("}")


def _elements(window: _Window) -> Iterator[tuple[int, Any]]:
    """Yield each element of the list that begins here, with its line."""
    window.skip("[")
    closing = window.next_character()
    while closing != "]":
        window.next_character()
        yield window.line(), window.value()
        closing = window.separator("]")
    window.skip("]")


class _Window:
    """A part of the text, which moves forward as values are read."""

    def __init__(self, file: BinaryIO, encoding: str, block: int) -> None:
        self._file = file
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._block = block
        self._text = ""
        self._position = 0
        self._is_whole = False  # the window reaches to the end of the file
        self._damage: JsonFileError | None = None  # behind the window
        # Lines are counted up to a place of the window. The line of this place may begin before the window (negative).
        self._counted_to = 0
        self._line = 1
        self._line_start = 0

    def next_character(self) -> str:
        """Go to the next character that is no space, and return it; "" at the end."""
        while True:
            space = _SPACE.match(self._text, self._position)
            self._position = space.end() if space else self._position
            if self._position < len(self._text):
                return self._text[self._position]
            if not self._read_more():
                return ""

    def skip(self, character: str) -> None:
        """Go behind this character, which is the next one."""
        self._position += len(character)

    def separator(self, closing: str) -> str:
        """Return "," and go behind it, or return this bracket. Raises JsonFileError if neither comes next."""
        found = self.next_character()
        if found == ",":
            self.skip(",")
        elif found != closing:
            raise self.error("Expecting ',' delimiter")
        return found

    def end(self) -> None:
        """Raise JsonFileError if anything but spaces follows."""
        if self.next_character():
            raise self.error("Extra data")

    def line(self) -> int:
        """Return the line of the next character."""
        self._count_lines(self._position)
        return self._line

    def error(self, reason: str, position: int | None = None) -> JsonFileError:
        """Return the error at this place of the window, by default the next character."""
        position = self._position if position is None else position
        self._count_lines(position)
        return JsonFileError(reason, self._line, position - self._line_start + 1)

    def value(self) -> Any:
        """Return the value that begins here, and go behind it. Raises JsonFileError."""
        self.next_character()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._position)
            except json.JSONDecodeError as exc:
                if not self._may_be_cut(exc) or not self._read_more():
                    raise self.error(exc.msg, exc.pos) from exc
            except (ValueError, RecursionError) as exc:
                raise JsonFileError(f"not JSON of customers ({type(exc).__name__})", self.line()) from exc
            else:
                # `1`, `1.` and `1e+` may go on behind the window.
                may_go_on = end + _MAX_CUT_LENGTH >= len(self._text) and not isinstance(value, dict | list | str)
                if not may_go_on or not self._read_more():
                    self._position = end
                    return value

    def _may_be_cut(self, error: json.JSONDecodeError) -> bool:
        return error.pos + _MAX_CUT_LENGTH >= len(self._text) or error.msg.startswith("Unterminated string")

    def _read_more(self) -> bool:
        """Move the window to the next character, and its end forward; return False at the end of the file.

        A value that does not fit is tried again with twice the text, so that it is decoded a few times at most.
        """
        if self._damage is not None:
            raise self._damage
        if self._is_whole:
            return False
        kept = self._text[self._position :]
        if len(kept) > MAX_VALUE_LENGTH:
            raise JsonFileError("a value longer than any customer", self.line())
        self._count_lines(self._position)
        self._line_start -= self._position
        self._text, self._position, self._counted_to = kept + self._decoded(max(self._block, len(kept))), 0, 0
        return True

    def _decoded(self, size: int) -> str:
        """Return the next text, "" at the end of the file."""
        content = self._file.read(size)
        self._is_whole = not content
        try:
            return self._decoder.decode(content, final=self._is_whole)
        except UnicodeDecodeError as exc:
            text = exc.object[: exc.start].decode(self._encoding)
            self._damage = JsonFileError("not UTF-8; save the file as UTF-8", self._line_behind(text))
            return text

    def _line_behind(self, text: str) -> int:
        """Return the line of what follows the window and this text."""
        return self._line + self._text.count("\n", self._counted_to) + text.count("\n")

    def _count_lines(self, position: int) -> None:
        """Count the lines from the last place on; places are asked for in their order."""
        self._line += self._text.count("\n", self._counted_to, position)
        last_break = self._text.rfind("\n", self._counted_to, position)
        if last_break >= 0:
            self._line_start = last_break + 1
        self._counted_to = position
