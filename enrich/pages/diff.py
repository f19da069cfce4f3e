"""Attributes as indented lines, and what changed between two of them.

The text is laid out token by token and never parsed into values: what is shown is what is stored, with its 21-digit
floats, duplicate keys and escapes. What does not hold together as JSON is shown as it stands. Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise

INDENT = "  "
# Deeper levels are not indented any further: 2,000 nested arrays would otherwise be 4 MB of blanks.
MAX_INDENT_DEPTH = 24
# Lines are matched up between the first and the last change, each with each: 20 ms for 400 against 400, whatever they
# are. difflib's worst case there, `[0,1]*198` against `[0,2]*198`, took 464 ms. What is longer is shown as gone and
# come again.
MAX_MATCHED_LINES = 400
# Rows of the page, for one comparison or one text. All 4,096 characters of a task can be 2,000 lines, and 300 kB.
MAX_SHOWN_LINES = 300
CONTEXT_LINES = 3
# Folding one or two lines away would hide more than it saves.
MIN_FOLDED_LINES = 4

_TOKEN = re.compile(
    r"""(?P<string>"(?:[^"\\]|\\.)*") | (?P<mark>[{}\[\],:]) | (?P<blank>[ \t\r\n]+) | (?P<scalar>[^\s"{}\[\],:]+)""",
    re.VERBOSE | re.DOTALL,
)
_CLOSES = {"}": "{", "]": "["}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an indented text. comma: whether one follows; it is no part of what is compared."""

    depth: int
    text: str
    comma: bool = False

    @property
    def indent(self) -> str:
        return INDENT * min(self.depth, MAX_INDENT_DEPTH)


class LineChange(StrEnum):
    """The change of one line."""

    SAME = "same"
    REMOVED = "removed"
    ADDED = "added"


@dataclass(frozen=True, slots=True)
class DiffLine:
    """One line of a diff with its number before and after; None on the side where it does not stand."""

    change: LineChange
    line: Line
    before: int | None
    after: int | None


@dataclass(frozen=True, slots=True)
class Block:
    """Lines shown together. is_folded: unchanged and far from any change. left_out: how many more would follow."""

    lines: tuple[DiffLine, ...]
    is_folded: bool
    left_out: int = 0


def is_laid_out(text: str) -> bool:
    """Return whether the text is well formed enough to be indented; otherwise `lines` returns it unchanged."""
    return _tokens(text) is not None


def lines(text: str) -> tuple[Line, ...]:
    """Return the text, one member or element to a line; unchanged if it is not JSON. Raises nothing."""
    tokens = _tokens(text)
    if tokens is None:
        return tuple(Line(0, line) for line in text.splitlines() or [""])
    return tuple(_laid_out(tokens))


def diff(before: str, after: str) -> tuple[DiffLine, ...]:
    """Return the lines of both in reading order, removed before added. Blanks and commas are not changes."""
    old, new = lines(before), lines(after)
    return tuple(_numbered(old, new))


def blocks(diff_lines: tuple[DiffLine, ...], *, at_most: int = MAX_SHOWN_LINES) -> tuple[Block, ...]:
    """Group the lines into blocks, so that long unchanged stretches can be folded.

    at_most: lines in all blocks together. Those near a change come first, and no run of lines gone, or come, takes more
    than a third where there is not room for all: both sides are seen.
    """
    near = _near_a_change(diff_lines)
    stretches = _runs(near)
    lengths = [end - start for start, end in stretches if near[start]]
    longest = at_most if sum(lengths) <= at_most else at_most // 3
    room = at_most
    blocks_by_start: dict[int, list[Block]] = {}
    for start, end in stretches:
        if near[start]:
            blocks_by_start[start] = _shortened(diff_lines[start:end], longest, room)
            room -= sum(len(block.lines) for block in blocks_by_start[start])
    for start, end in stretches:
        if not near[start]:
            count = min(room, end - start)
            blocks_by_start[start] = [
                Block(diff_lines[start : start + count], is_folded=True, left_out=end - start - count)
            ]
            room -= count
    return tuple(block for start, _ in stretches for block in blocks_by_start[start])


def _near_a_change(diff_lines: tuple[DiffLine, ...]) -> list[bool]:
    near = [False] * len(diff_lines)
    for index, diff_line in enumerate(diff_lines):
        if diff_line.change is not LineChange.SAME:
            for other in range(max(0, index - CONTEXT_LINES), min(len(diff_lines), index + CONTEXT_LINES + 1)):
                near[other] = True
    for start, end in _runs(near):
        if not near[start] and end - start < MIN_FOLDED_LINES:
            near[start:end] = [True] * (end - start)
    return near


def _shortened(diff_lines: tuple[DiffLine, ...], longest: int, room: int) -> list[Block]:
    """Return these lines in blocks, at most `longest` of each run and `room` in all; a gap ends a block."""
    shortened: list[Block] = []
    pending: list[DiffLine] = []
    for start, end in _runs([diff_line.change for diff_line in diff_lines]):
        count = min(end - start, longest, room)
        left_out = end - start - count
        room -= count
        pending += diff_lines[start : start + count]
        if not left_out:
            continue
        if pending or not shortened:
            shortened.append(Block(tuple(pending), is_folded=False, left_out=left_out))
        else:
            shortened[-1] = replace(shortened[-1], left_out=shortened[-1].left_out + left_out)
        pending = []
    return [*shortened, Block(tuple(pending), is_folded=False)] if pending else shortened


def _tokens(text: str) -> list[str] | None:
    """Return the tokens without the blanks between them.

    None where a string is open, brackets do not pair up, or two values stand side by side with nothing between them.
    """
    tokens: list[str] = []
    after_value = False
    open_brackets: list[str] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            return None
        position = match.end()
        if match["blank"]:
            continue
        piece = match.group()
        if after_value and not (match["mark"] and piece not in "{["):
            return None
        after_value = not match["mark"] or piece in _CLOSES
        if piece in ("{", "["):
            open_brackets.append(piece)
        elif piece in _CLOSES and (not open_brackets or open_brackets.pop() != _CLOSES[piece]):
            return None
        tokens.append(piece)
    return None if open_brackets else tokens


def _laid_out(tokens: list[str]) -> Iterator[Line]:
    depth = 0
    pending = ""
    index = 0
    while index < len(tokens):
        piece = tokens[index]
        following = tokens[index + 1] if index + 1 < len(tokens) else ""
        if piece in ("{", "[") and following in _CLOSES:
            pending += piece + following
            index += 1
        elif piece in ("{", "["):
            yield Line(depth, pending + piece)
            pending = ""
            depth += 1
        elif piece in _CLOSES:
            if pending:
                yield Line(depth, pending)
            depth -= 1
            pending = piece
        elif piece == ",":
            yield Line(depth, pending, comma=True)
            pending = ""
        elif piece == ":":
            pending += ": "
        else:
            pending += piece
        index += 1
    if pending:
        yield Line(depth, pending)


def _numbered(old: tuple[Line, ...], new: tuple[Line, ...]) -> Iterator[DiffLine]:
    for tag, old_from, old_to, new_from, new_to in _opcodes(old, new):
        if tag == "equal":
            for offset, line in enumerate(new[new_from:new_to]):
                yield DiffLine(LineChange.SAME, line, old_from + offset + 1, new_from + offset + 1)
            continue
        for number, line in enumerate(old[old_from:old_to], start=old_from + 1):
            yield DiffLine(LineChange.REMOVED, line, number, None)
        for number, line in enumerate(new[new_from:new_to], start=new_from + 1):
            yield DiffLine(LineChange.ADDED, line, None, number)


def _opcodes(old: tuple[Line, ...], new: tuple[Line, ...]) -> list[tuple[str, int, int, int, int]]:
    before, after = ([(line.depth, line.text) for line in side] for side in (old, new))
    head = _shared(before, after)
    tail = _shared(before[head:][::-1], after[head:][::-1])
    old_end, new_end = len(before) - tail, len(after) - tail
    if max(old_end, new_end) - head > MAX_MATCHED_LINES:
        pairs = []
    else:
        pairs = [(i + head, j + head) for i, j in _matched(before[head:old_end], after[head:new_end])]
    middle = []
    i = j = head
    for old_at, new_at in [*pairs, (old_end, new_end)]:
        middle.append(("replace", i, old_at, j, new_at))
        middle.append(("equal", old_at, old_at + 1, new_at, new_at + 1))
        i, j = old_at + 1, new_at + 1
    middle.pop()  # the end is no pair
    return [("equal", 0, head, 0, head), *middle, ("equal", old_end, len(before), new_end, len(after))]


def _shared(old: list[tuple[int, str]], new: list[tuple[int, str]]) -> int:
    """Return the number of lines that both begin with."""
    return next(
        (index for index, (one, other) in enumerate(zip(old, new, strict=False)) if one != other),
        min(len(old), len(new)),
    )


def _matched(old: list[tuple[int, str]], new: list[tuple[int, str]]) -> list[tuple[int, int]]:
    """Return the longest common subsequence, as pairs of positions in `old` and in `new`, in order."""
    numbers: dict[tuple[int, str], int] = {}
    one, other = ([numbers.setdefault(line, len(numbers)) for line in side] for side in (old, new))
    # lengths[i][j]: how many can be matched from old[i] and new[j] on.
    lengths = [[0] * (len(other) + 1)]
    for number in reversed(one):
        below = lengths[-1]
        longest = 0
        row = [0]
        for j in range(len(other) - 1, -1, -1):
            if other[j] == number:
                longest = below[j + 1] + 1
            elif below[j] > longest:
                longest = below[j]
            row.append(longest)
        row.reverse()
        lengths.append(row)
    lengths.reverse()
    pairs = []
    i = j = 0
    while i < len(one) and j < len(other):
        if one[i] == other[j]:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif lengths[i + 1][j] >= lengths[i][j + 1]:
            i += 1
        else:
            j += 1
    return pairs


def _runs(flags: Sequence[bool | LineChange]) -> list[tuple[int, int]]:
    """Start and end of each stretch of equal flags."""
    edges = [0, *(index for index in range(1, len(flags)) if flags[index] != flags[index - 1]), len(flags)]
    return [(start, end) for start, end in pairwise(edges) if start < end]
