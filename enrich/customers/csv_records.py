"""Records of delimited text (RFC 4180), with the damage of a wrong quotation mark contained. Pure.

A quotation mark that is never closed, or stands undoubled inside a cell, leaves open where the record ends: it may be
this line, or some lines further down. Whichever of the two the lines below bear out is taken:

    closed below   a quotation mark follows that closes a cell and that nothing has opened: all lines up to it are one
                   record, such as a note of several lines
    never closed   the lines below are sound records by themselves: they are read, and one line is lost

If both are possible, nothing is read from the first line to the last one in question. No record is ever made of a line
that may belong to a cell of another one.
"""

from __future__ import annotations

import enum
import re
from collections import deque
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import islice

DELIMITERS = (",", ";", "\t")

# A record of more lines is taken for one whose quotation mark is never closed: notes of that length are not stored.
_MAX_LINES = 1000
# So many places where a damaged cell can end are tried.
_MAX_CLOSINGS = 50
# From so many sound records in a row on, a quotation mark was never closed.
_SOUND_RECORDS = 20


@dataclass(frozen=True, slots=True)
class Record:
    """The cells of one record. line: its first line, from 1."""

    line: int
    cells: list[str]


@dataclass(frozen=True, slots=True)
class Unread:
    """Lines of which nothing was read, because of a wrong quotation mark.

    records: the number of records in them. cells: those of the first record before the damage.
    """

    first_line: int
    last_line: int
    records: int
    cells: list[str]


def detect_delimiter(header: str) -> str:
    """Return the character that separates the names of this header: comma, semicolon or tab, outside of quotes."""
    bare = re.sub(r'"[^"]*"', "", header)
    return max(DELIMITERS, key=bare.count)


class _State(enum.Enum):
    DONE = enum.auto()
    OPEN = enum.auto()  # within quotes at the end of the line
    BROKEN = enum.auto()  # a quotation mark within quotes that neither is doubled nor ends the cell


class _Grammar:
    """The regular expressions for one delimiter."""

    def __init__(self, delimiter: str) -> None:
        self.delimiter = delimiter
        mark = re.escape(delimiter)
        self.quoted = re.compile(r'(?:[^"]++|"")*+')
        self.opening = re.compile(r' *"')
        self.end = re.compile(rf" *({mark}|\r?\n|\r|\Z)")
        self.bare = re.compile(rf"[^{mark}\r\n]*")
        self.unopened = re.compile(rf'" *(?:{mark}|\r?\n|\r|\Z)')

    def split(self, line: str) -> list[str]:
        """Return the cells of a line without quotation marks."""
        return line.rstrip("\r\n").split(self.delimiter)


class _Parser:
    """One record, fed line by line.

    unopened: a cell without quotes ends in a quotation mark. ends_quoted: the last cell is in quotes.
    """

    def __init__(self, grammar: _Grammar) -> None:
        self._grammar = grammar
        self.cells: list[str] = []
        self.open: list[str] | None = None
        self.opened_in = 0  # number of the line in which the open cell begins, from 0
        self.lines = 0
        self.broken_at = 0
        self.unopened = False
        self.ends_quoted = False

    @property
    def opens_at_end(self) -> bool:
        """True if the open cell begins at the end of its line."""
        return self.open is not None and not self.open[0].strip()

    def feed(self, line: str, position: int = 0) -> _State:
        self.lines += 1
        grammar = self._grammar
        while True:
            if self.open is None:
                opening = grammar.opening.match(line, position)
                if opening is None:
                    bare = grammar.bare.match(line, position)
                    position = bare.end() if bare else position
                    self.cells.append(line[bare.start() : position] if bare else "")
                    self.unopened |= self.cells[-1].rstrip(" ").endswith('"')
                    if line[position : position + 1] != grammar.delimiter:
                        return _State.DONE
                    position += 1
                    continue
                self.open, self.opened_in, position = [], self.lines - 1, opening.end()
            quoted = grammar.quoted.match(line, position)
            position = quoted.end() if quoted else position
            self.open.append(quoted[0].replace('""', '"') if quoted else "")
            if position == len(line):
                return _State.OPEN
            end = grammar.end.match(line, position + 1)
            if end is None:
                self.broken_at = position
                return _State.BROKEN
            self.cells.append("".join(self.open))
            self.open, position = None, end.end()
            if end[1] != grammar.delimiter:
                self.ends_quoted = True
                return _State.DONE


@dataclass(slots=True)
class _Outlook:
    """The lines from some line on, read as records of their own.

    is_sound: nothing in them speaks against it. starts: the line numbers in which their records begin. last_short: the
    last line of a record with too few cells, which may be a line of a note, or None. end: the line behind the last.
    doubtful: lines that end in a quotation mark which opens a broken cell, but may close one.
    """

    is_sound: bool
    starts: list[int]
    last_short: int | None
    end: int
    doubtful: list[int] = field(default_factory=list)


class CsvReader:
    """Reads records from lines.

    columns: the number of cells that a whole record has. single_line: indexes of cells in which a line break together
    with a delimiter is suspicious, such as names and phone numbers.
    """

    def __init__(self, lines: Iterator[str], delimiter: str, *, first_line: int = 1) -> None:
        self._lines = lines
        self._grammar = _Grammar(delimiter)
        self._ahead: deque[str] = deque()
        self._line = first_line
        self._sound_to = 0
        self.columns: int | None = None
        self.single_line: AbstractSet[int] = frozenset()

    def __iter__(self) -> Iterator[Record | Unread]:
        while (line := self._peek(0)) is not None:
            if '"' not in line:
                self._ahead.popleft()
                self._line += 1
                yield Record(self._line - 1, self._grammar.split(line))
            else:
                yield self._quoted()

    def _peek(self, number: int) -> str | None:
        """Return the line so many lines ahead; None behind the end."""
        while len(self._ahead) <= number:
            line = next(self._lines, None)
            if line is None:
                return None
            self._ahead.append(line)
        return self._ahead[number]

    def _take(self, count: int) -> int:
        """Consume so many lines, and return the number of the first one."""
        for _ in range(count):
            self._ahead.popleft()
        self._line += count
        return self._line - count

    def _parse(self, start: int) -> tuple[_Parser, _State]:
        """Parse the record that begins so many lines ahead, strictly."""
        parser = _Parser(self._grammar)
        state = _State.OPEN
        while state is _State.OPEN and parser.lines < _MAX_LINES:
            line = self._peek(start + parser.lines)
            if line is None:
                break
            state = parser.feed(line)
        return parser, state

    def _quoted(self) -> Record | Unread:
        parser, state = self._parse(0)
        if state is _State.DONE:
            if parser.ends_quoted and (unread := self._ended_too_early(parser)) is not None:
                return unread
            if parser.unopened and self._is_short(parser.cells):
                return self._unread(parser, parser.lines - 1, self._outlook(parser.lines), is_one=True)
            if parser.lines == 1 or not self._is_suspicious(parser):
                return Record(self._take(parser.lines), parser.cells)
            below = self._outlook(1)
            if not below.is_sound and not self._begins_like_a_record(parser.lines - 1):
                return Record(self._take(parser.lines), parser.cells)
            last = (below.last_short or 0) if below.is_sound else self._sound_behind(parser.lines - 1)
            return self._unread(parser, last, below, is_one=False)
        return self._contained(parser, state)

    def _ended_too_early(self, parser: _Parser) -> Unread | None:
        """Return the lines of a record whose last quotation mark is one within the cell; None if it does end there.

        Then a quotation mark that nothing has opened follows, and the record has all its cells up to that one, too.
        """
        if self._line + parser.lines < self._sound_to:
            return None
        below = self._outlook(parser.lines)
        if below.is_sound and not below.doubtful:
            self._sound_to = self._line + below.end
            return None
        for end in islice(self._closings(len(parser.cells), parser.lines, 0), _MAX_CLOSINGS):
            after = self._outlook(end + 1)
            if after.last_short is None and self._explains_more(after, below):
                return self._unread(parser, end, below, is_one=not self._begins_like_a_record(end))
        return None

    @staticmethod
    def _explains_more(after: _Outlook, below: _Outlook) -> bool:
        return after.is_sound and (not below.is_sound or len(after.doubtful) < len(below.doubtful))

    def _contained(self, parser: _Parser, state: _State) -> Unread:
        first = parser.opened_in
        below = self._outlook(first + 1)
        is_one = state is _State.BROKEN and parser.lines - 1 == first
        if below.is_sound and not below.doubtful:
            return self._unread(parser, max(first, below.last_short or 0), below, is_one=False)
        first_end: int | None = None
        for end in islice(self._closings_of(parser) if state is _State.BROKEN else (), _MAX_CLOSINGS):
            first_end = end if first_end is None else first_end
            after = self._outlook(end + 1)
            if self._explains_more(after, below):
                last = max(end, after.last_short or 0) if end == first else end
                return self._unread(parser, last, below, is_one=is_one or not self._begins_like_a_record(end))
        if below.is_sound or first_end is None:
            return self._unread(parser, max(first, below.last_short or 0), below, is_one=False)
        # Sound neither with nor without this cell: nothing is read up to where it goes wrong.
        last = self._sound_behind(max(first_end, below.starts[-1]))
        return self._unread(parser, last, below, is_one=False)

    def _sound_behind(self, last: int) -> int:
        """Return this line, or the last one below it behind which the records are sound."""
        while not (after := self._outlook(last + 1)).is_sound or after.doubtful:
            last = after.doubtful[0] if after.doubtful else after.starts[-1]
        return last

    def _unread(self, parser: _Parser, last: int, below: _Outlook, *, is_one: bool) -> Unread:
        """Consume the lines up to this one as unread. is_one: they are one record, and not one for each start below."""
        records = 1 if is_one else 1 + sum(start <= last for start in below.starts)
        first = self._take(last + 1)
        return Unread(first, first + last, records, parser.cells)

    def _is_suspicious(self, parser: _Parser) -> bool:
        """Return True for a record of several lines that may have swallowed others."""
        if self.columns is not None and len(parser.cells) != self.columns:
            return True
        return any(
            "\n" in (cell := parser.cells[number]) and self._grammar.delimiter in cell
            for number in self.single_line
            if number < len(parser.cells)
        )

    def _begins_like_a_record(self, number: int) -> bool:
        line = self._peek(number) or ""
        return self.columns is not None and len(self._grammar.split(line)) == self.columns

    def _outlook(self, start: int) -> _Outlook:
        """Read ahead from this line on, until it is clear whether these are records of their own."""
        outlook = _Outlook(is_sound=True, starts=[], last_short=None, end=start)
        sound = 0
        while sound < _SOUND_RECORDS and start < _MAX_LINES and self._peek(start) is not None:
            outlook.starts.append(start)
            parser, state = self._parse(start)
            end: int | None = start + parser.lines - 1
            if state is _State.BROKEN:  # another damaged record, unless it never ends
                end = next(self._closings_of(parser, start), None)
                if parser.opens_at_end:
                    outlook.doubtful.append(outlook.starts[-1] + parser.opened_in)
                if end != start + parser.opened_in and len(parser.cells) in self.single_line:
                    end = None  # names and numbers do not span lines
            elif state is _State.OPEN or parser.unopened or self._is_long(parser.cells):
                end = None
            elif self._is_short(parser.cells):
                outlook.last_short, sound = end, 0
            elif any(parser.cells):
                sound += 1
            if end is None:
                outlook.is_sound = False
                return outlook
            start = outlook.end = end + 1
        return outlook

    def _is_long(self, cells: Sequence[str]) -> bool:
        return self.columns is not None and any(cells[self.columns :])

    def _is_short(self, cells: Sequence[str]) -> bool:
        return self.columns is not None and any(cells) and len(cells) < self.columns

    def _closings_of(self, parser: _Parser, start: int = 0) -> Iterator[int]:
        """Yield the lines in which the broken cell of the record that begins at `start` can end."""
        return self._closings(len(parser.cells) + 1, start + parser.lines - 1, parser.broken_at)

    def _closings(self, cells: int, number: int, position: int) -> Iterator[int]:
        """Yield the lines, from this place on, in which a cell can end so that its record has all its cells.

        cells: those of the record up to and with this one.
        """
        last = number + _MAX_LINES
        while number < last and (line := self._peek(number)) is not None:
            for closing in self._grammar.unopened.finditer(line, position):
                rest = closing.end()
                is_last = not closing[0].endswith(self._grammar.delimiter)
                tail = _Parser(self._grammar)
                is_read = is_last or tail.feed(line, rest) is _State.DONE
                if is_read and self.columns in {None, cells + len(tail.cells)}:
                    yield number
                    break
            number, position = number + 1, 0
