"""Customers in files: the documented forms, read row by row and checked.

Three forms of the same thing (design, section 3):

    .json            {"customers": [{...}, ...]}, or a bare list
    .jsonl, .ndjson  one object a line
    .csv             a header and commas; the columns id, name, company, tier, language, owner, phones, emails, notes
                     and ids.<kind>; `|` between several values in one cell, since notes are full of `;` and `,`

UTF-8, with or without byte-order mark. Only `id` and `name` are required. A field that the file does not have is left
as it is in the store; an empty one (or null) is emptied there. A row is taken as a whole or not at all: every mistake
in it is told, with its line, and the others still load. Names beginning with `_` are remarks; other unknown ones are
mistakes, because `phone` for `phones` would otherwise lose every number silently.

`BadRow.reason` repeats what stands in the row: it is for the person who holds the file, not for the log.
What becomes of the rows in the store is told in seeding.py.
"""

from __future__ import annotations

import csv
import difflib
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from enrich.customers.identifiers import (
    ADDRESS,
    EMAIL,
    LONGEST,
    LONGEST_KIND,
    PHONE,
    STAFF,
    Identifier,
    customer_id_identifier,
    is_storable,
    normalise,
)
from enrich.errors import FixtureFileError
from enrich.vocabulary import Case

VALUE_SEPARATOR = "|"  # in a cell of a CSV file
LONGEST_NOTE = 10_000

# The widths of tables.py: SQLite would take longer text, PostgreSQL would not.
LONGEST_TEXT = {"company": 200, "tier": 40, "language": 35, "owner": LONGEST}
_LISTS = {"phones": PHONE, "emails": EMAIL}
_FIELDS = ("id", "name", *LONGEST_TEXT, *_LISTS, "ids", "notes", "cases")
CASE_FIELDS = ("id", "subject", "status", "opened_on")
_CSV_COLUMNS = ("id", "name", *LONGEST_TEXT, *_LISTS, "notes")
_CSV_LISTS = frozenset({*_LISTS, "notes"})
_KIND = re.compile(r"[A-Za-z][\w.-]*\Z", re.ASCII)
FIELD_OF_KIND = {PHONE: "phones", EMAIL: "emails"}  # identifiers of every other kind stand in `ids`


@dataclass(frozen=True, slots=True)
class BadRow:
    """One row that was not loaded.

    line: where it begins in the file, from 1; None if it came from no file. index: its place in a JSON list, from 0;
    None elsewhere. customer_id: None where the row has none. reason: field, what is wrong, and what to do.
    problems: the same one by one, each beginning with its place ("phones[1]: "), for who can show them there.
    """

    line: int | None
    customer_id: str | None
    reason: str
    index: int | None = None
    problems: tuple[str, ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        place = [f"line {self.line}"] if self.line is not None else []
        place += [f"customers[{self.index}]"] if self.index is not None else []
        place += [self.customer_id] if self.customer_id else []
        return f"{', '.join(place) or 'a row'}: {self.reason}"


@dataclass(frozen=True, slots=True)
class CustomerFixture:
    """One row, checked, with everything in the form in which it is stored.

    texts: of company, tier, language and owner those that the file has. identifiers: normal form -> as written, the
    customer's own id among them. speaks_for: of `phones`, `emails` and `ids` those that the file has; only those are
    removed from the store if they are not here. notes, cases: None where the file has none to say.
    """

    id: str
    name: str
    texts: Mapping[str, str]
    identifiers: Mapping[Identifier, str]
    speaks_for: frozenset[str]
    notes: tuple[str, ...] | None
    cases: tuple[Case, ...] | None


def builtin_path() -> Path:
    """The invented customers that come with the service: fictional numbers (555-01xx) and example addresses."""
    return Path(__file__).with_name("builtin.json")


# --- reading files


def read_fixtures(path: Path, *, region: str) -> Iterator[CustomerFixture | BadRow]:
    """The rows of this file, one after the other; JSONL and CSV are never in memory as a whole.

    region: of national phone numbers. A second row with an id that was there before is a bad one.
    Raises FixtureFileError if the file is missing, of another form, not UTF-8, no JSON, or without a usable header.
    """
    rows = {".json": _json_rows, ".jsonl": _jsonl_rows, ".ndjson": _jsonl_rows, ".csv": _csv_rows}.get(
        path.suffix.lower()
    )
    if rows is None:
        raise FixtureFileError(f"{path.name}: the name must end in .json, .jsonl, .ndjson or .csv")
    first_lines: dict[str, int | None] = {}
    try:
        for row in rows(path):
            customer = row if isinstance(row, BadRow) else read_customer(row.raw, region, row.line, row.index)
            if isinstance(customer, CustomerFixture):
                if customer.id in first_lines:
                    reason = f"id: already in line {first_lines[customer.id]}; merge the two rows"
                    customer = BadRow(row.line, customer.id, reason, row.index)
                else:
                    first_lines[customer.id] = row.line
            yield customer
    except OSError as exc:
        raise FixtureFileError(f"{path.name}: {exc.strerror or 'cannot be read'}") from exc


@dataclass(frozen=True, slots=True)
class _RawRow:
    raw: Any
    line: int
    index: int | None = None


_Rows = Iterator[_RawRow | BadRow]


def _json_rows(path: Path) -> _Rows:
    text = _utf8(path)
    try:
        json.loads(text)
    except json.JSONDecodeError as exc:
        raise FixtureFileError(f"{path.name}, line {exc.lineno}, column {exc.colno}: {exc.msg}") from exc
    except (ValueError, RecursionError) as exc:
        raise FixtureFileError(f"{path.name}: no JSON of customers ({type(exc).__name__})") from exc
    start = _start_of_customers(text)
    if start is None:
        raise FixtureFileError(f'{path.name}: must be {{"customers": [...]}} or a list of customers')
    line, counted_to = 1, 0
    for index, (position, raw) in enumerate(_elements(text, start)):
        line += text.count("\n", counted_to, position)
        counted_to = position
        yield _RawRow(raw, line, index)


def _utf8(path: Path) -> str:
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        raise FixtureFileError(f"{path.name}, line {line}: not UTF-8; save the file as UTF-8") from exc


def _start_of_customers(text: str) -> int | None:
    """Where the list of customers begins in this JSON text; None if there is none. The text is known to be JSON."""
    position = _after_space(text, 0)
    if text[position] == "[":
        return position
    if text[position] != "{":
        return None
    position = _after_space(text, position + 1)
    while text[position] != "}":
        name, end = _JSON.raw_decode(text, position)
        position = _after_space(text, _after_space(text, end) + 1)
        if name == "customers":
            return position if text[position] == "[" else None
        _, end = _JSON.raw_decode(text, position)
        position = _after_comma(text, end)
    return None


def _elements(text: str, start: int) -> Iterator[tuple[int, Any]]:
    """Each element of the list that begins at `start`, with its position: json.loads would not tell where it stood."""
    position = _after_space(text, start + 1)
    while text[position] != "]":
        element, end = _JSON.raw_decode(text, position)
        yield position, element
        position = _after_comma(text, end)


_JSON = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\r\n]*")


def _after_space(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return found.end() if found else position


def _after_comma(text: str, position: int) -> int:
    position = _after_space(text, position)
    return _after_space(text, position + 1) if text[position] == "," else position


def _jsonl_rows(path: Path) -> _Rows:
    with path.open("rb") as file:
        for line, content in enumerate(file, start=1):
            try:
                text = content.decode("utf-8-sig" if line == 1 else "utf-8").strip()
                if text:
                    yield _RawRow(json.loads(text), line)
            except UnicodeDecodeError:
                yield BadRow(line, None, "not UTF-8; save the file as UTF-8")
            except json.JSONDecodeError as exc:
                yield BadRow(line, None, f"no JSON, column {exc.colno}: {exc.msg}")
            except (ValueError, RecursionError) as exc:
                yield BadRow(line, None, f"no JSON of a customer ({type(exc).__name__})")


def _csv_rows(path: Path) -> _Rows:
    # What is not UTF-8 becomes a lone surrogate, which the check of the row then refuses, naming line and column.
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file, strict=True)
        columns = _csv_columns(path, reader)
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as exc:
                yield BadRow(line, None, f"no CSV ({exc}); look for a quotation mark that is not closed")
                continue
            if len(cells) != len(columns) and any(cells):
                yield BadRow(line, None, f"{len(cells)} cells where the header has {len(columns)} columns")
            elif any(cells):
                yield _RawRow(_csv_row(columns, cells), line)


def _csv_columns(path: Path, reader: Iterator[list[str]]) -> list[str]:
    try:
        header = next(reader, [])
    except csv.Error as exc:
        raise FixtureFileError(f"{path.name}, line 1: no CSV ({exc})") from exc
    columns = [_csv_column(name.strip()) for name in header]
    for name in columns:
        if name not in _CSV_COLUMNS and not name.startswith(("ids.", "_")):
            known = [*_CSV_COLUMNS, "ids.<kind>"]
            raise FixtureFileError(f"{path.name}, line 1: {_unknown(name, known, 'column')}; commas between columns")
    if len(set(columns)) < len(columns) or not {"id", "name"} <= set(columns):
        raise FixtureFileError(f"{path.name}, line 1: each column once, and `id` and `name` among them")
    return columns


def _csv_column(name: str) -> str:
    return name.lower() if name.lower() in _CSV_COLUMNS else name


def _csv_row(columns: Sequence[str], cells: Sequence[str]) -> dict[str, Any]:
    """The same object as one of a JSON file."""
    row: dict[str, Any] = {}
    for name, cell in zip(columns, cells, strict=True):
        if name.startswith("ids."):
            row.setdefault("ids", {})[name.removeprefix("ids.")] = _values(cell)
        else:
            row[name] = _values(cell) if name in _CSV_LISTS else cell
    return row


def _values(cell: str) -> list[str]:
    return [value.strip() for value in cell.split(VALUE_SEPARATOR) if value.strip()]


# --- checking one row


def read_customer(raw: Any, region: str, line: int | None = None, index: int | None = None) -> CustomerFixture | BadRow:
    """This object as a customer, or everything that is wrong with it. Raises nothing."""
    if not isinstance(raw, dict):
        return BadRow(line, None, f"an object with id and name is expected, not {_type_name(raw)}", index)
    checks = _Checks(raw, region)
    customer = checks.customer()
    if checks.problems:
        return BadRow(line, customer.id or None, "; ".join(checks.problems), index, tuple(checks.problems))
    return customer


class _Checks:
    """Reads the fields of one row and gathers what is wrong with them; a field with a problem reads as empty."""

    def __init__(self, raw: Mapping[str, Any], region: str) -> None:
        self.problems: list[str] = []
        self._raw = raw
        self._region = region
        self._identifiers: dict[Identifier, str] = {}
        self._exact: set[Identifier] = set()

    def customer(self) -> CustomerFixture:
        self._no_unknown_fields(self._raw, _FIELDS, "")
        customer_id = self._required("id", self._raw.get("id"), 64)
        name = self._required("name", self._raw.get("name"), 200)
        self._own_id(customer_id)
        for plural, kind in _LISTS.items():
            for place, text in self._texts(plural, self._raw.get(plural), LONGEST):
                self._identify(place, kind, text)
        self._ids(self._raw.get("ids"))
        return CustomerFixture(
            id=customer_id,
            name=name,
            texts={
                name: self._text(name, self._raw[name], longest)
                for name, longest in LONGEST_TEXT.items()
                if name in self._raw
            },
            identifiers=self._identifiers,
            speaks_for=frozenset(name for name in (*_LISTS, "ids") if name in self._raw),
            notes=self._notes() if "notes" in self._raw else None,
            cases=self._cases() if "cases" in self._raw else None,
        )

    def _problem(self, place: str, what: str) -> str:
        self.problems.append(f"{place}: {what}")
        return ""

    def _no_unknown_fields(self, raw: Mapping[str, Any], known: Sequence[str], place: str) -> None:
        for name in raw:
            if name not in known and not name.startswith("_"):
                self.problems.append(place + _unknown(name, known, "field"))

    def _text(self, place: str, value: Any, longest: int) -> str:
        """Trimmed text; empty for null. A whole number is taken as its digits: ids often come that way."""
        if value is None:
            return ""
        if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= 64:
            return str(value)
        if not isinstance(value, str):
            return self._problem(place, f"text is expected, not {_type_name(value)}")
        if not is_storable(value):
            return self._problem(place, "holds bytes that are no text; save the file as UTF-8")
        text = value.strip()
        if len(text) > longest:
            return self._problem(place, f"{len(text)} characters, at most {longest} fit; shorten it")
        return text

    def _required(self, place: str, value: Any, longest: int) -> str:
        problems_before = len(self.problems)
        text = self._text(place, value, longest)
        if not text and len(self.problems) == problems_before:
            return self._problem(place, "missing; fill it in")
        return text

    def _list(self, place: str, value: Any) -> list[Any]:
        if value is None:
            return []
        if isinstance(value, list):
            return value
        self._problem(place, f"a list is expected, not {_type_name(value)}")
        return []

    def _texts(self, place: str, value: Any, longest: int) -> list[tuple[str, str]]:
        """Each text of a list with its place; empty ones are passed over."""
        named = [(f"{place}[{number}]", one) for number, one in enumerate(self._list(place, value))]
        return [(where, text) for where, one in named if (text := self._text(where, one, longest))]

    def _ids(self, ids: Any) -> None:
        if ids is not None and not isinstance(ids, dict):
            self._problem("ids", f"an object of kind and value is expected, not {_type_name(ids)}")
            return
        for kind, values in (ids or {}).items():
            place = f"ids.{kind}"
            if not _KIND.match(kind) or len(kind) > LONGEST_KIND:
                self._problem(place, f"a kind is up to {LONGEST_KIND} letters, digits, `_`, `-` and `.`")
            elif kind == STAFF:
                self._problem(place, "taken by what staff settle; give the kind another name")
            elif kind in (ADDRESS, *FIELD_OF_KIND):
                self._problem(place, f"not an id; use {FIELD_OF_KIND.get(kind, 'phones or emails')}")
            else:
                several = values if isinstance(values, list) else [values]
                for where, text in self._texts(place, several, LONGEST):
                    self._identify(where, kind, text)

    def _identify(self, place: str, kind: str, text: str) -> None:
        """Keeps every normal form of this text. If two texts share one, the text that says no more than it is kept."""
        found = normalise(kind, text, self._region)
        if not found:
            self._problem(place, _NOT_ONE.get(kind, "nothing that could be compared; remove it"))
        for rank, identifier in enumerate(found):
            if identifier not in self._identifiers or (rank == 0 and identifier not in self._exact):
                self._identifiers[identifier] = text
            if rank == 0:
                self._exact.add(identifier)

    def _own_id(self, customer_id: str) -> None:
        own = customer_id_identifier(customer_id)
        if own is not None:
            self._identifiers[own] = customer_id
            self._exact.add(own)
        elif customer_id:
            self._problem("id", "nothing that could be compared; use letters and digits")

    def _notes(self) -> tuple[str, ...]:
        return tuple(text for _, text in self._texts("notes", self._raw["notes"], LONGEST_NOTE))

    def _cases(self) -> tuple[Case, ...]:
        cases: dict[str, Case] = {}
        for number, raw in enumerate(self._list("cases", self._raw["cases"])):
            place = f"cases[{number}]"
            if not isinstance(raw, dict):
                self._problem(place, f"an object is expected, not {_type_name(raw)}")
                continue
            case = self._case(f"{place}.", raw)
            if case.id in cases:
                self._problem(f"{place}.id", "twice in this customer; give each case its own")
            cases[case.id] = case
        return tuple(cases.values())

    def _case(self, place: str, raw: Mapping[str, Any]) -> Case:
        self._no_unknown_fields(raw, CASE_FIELDS, f"{place.removesuffix('.')}: ")
        opened_on = self._text(f"{place}opened_on", raw.get("opened_on"), 40)
        if opened_on and not _is_date(opened_on):
            self._problem(f"{place}opened_on", f"{opened_on!r} is no date; write it as 2026-11-02")
        return Case(
            id=self._required(f"{place}id", raw.get("id"), 64),
            subject=self._text(f"{place}subject", raw.get("subject"), 300),
            status=self._required(f"{place}status", raw.get("status"), 40),
            opened_on=opened_on or None,
        )


_NOT_ONE = {
    PHONE: "not a possible phone number; write it with + and country code",
    EMAIL: "not an e-mail address; write it as name@example.com",
}
_TYPE_NAMES = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}


def _type_name(value: Any) -> str:
    return _TYPE_NAMES.get(type(value), "a number")


def _unknown(name: str, known: Collection[str], what: str) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"{what} {name!r} is not known; " + (f"did you mean {close[0]}?" if close else f"use {', '.join(known)}")


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
