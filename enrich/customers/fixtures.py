"""Customers in files: the documented forms, read row by row and checked.

Three forms of the same thing (design, section 3):

    .json            {"customers": [{...}, ...]}, or a bare list
    .jsonl, .ndjson  one object a line
    .csv             a header and commas; the columns id, name, company, tier, language, owner, phones, emails, notes
                     and ids.<kind>; `|` between several values in one cell, since notes are full of `;` and `,`

UTF-8, with or without byte-order mark. What may stand in a row, and what a missing or an empty field means, is told in
fixture_rows.py, which checks it. A bad row is told with its line, and the others still load.

What becomes of the rows in the store is told in seeding.py.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from enrich.customers.fixture_rows import (
    KIND_OF_FIELD,
    BadRow,
    CustomerFixture,
    read_customer,
    unknown_name,
)
from enrich.domain.lengths import CUSTOMER_TEXTS
from enrich.errors import FixtureFileError

VALUE_SEPARATOR = "|"  # in a cell of a CSV file

_CSV_COLUMNS = ("id", *CUSTOMER_TEXTS, *KIND_OF_FIELD, "notes")
_CSV_LISTS = frozenset({*KIND_OF_FIELD, "notes"})


def builtin_path() -> Path:
    """The invented customers that come with the service: fictional numbers (555-01xx) and example addresses."""
    return Path(__file__).with_name("builtin.json")


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
            raise FixtureFileError(
                f"{path.name}, line 1: {unknown_name(name, known, 'column')}; commas between columns"
            )
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
