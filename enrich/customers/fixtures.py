"""Customer files: reads the documented formats row by row and validates each row.

Three equivalent formats:

    .json            {"customers": [{...}, ...]}, or a bare list
    .jsonl, .ndjson  one object a line
    .csv             a header and commas; the columns id, name, company, tier, language, owner, phones, emails, notes
                     and ids.<kind>; `|` between several values in one cell, since notes are full of `;` and `,`

UTF-8, with or without byte-order mark. fixture_rows.py validates the rows, and describes missing and empty fields. A
bad row is reported with its line, and the others still load. seeding.py writes the rows to the store.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Collection, Iterator, Sequence
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
    """Return the path of the built-in example customers: fictional numbers (555-01xx) and example addresses."""
    return Path(__file__).with_name("builtin.json")


def read_fixtures(path: Path, *, region: str, kinds: Collection[str] = ()) -> Iterator[CustomerFixture | BadRow]:
    """Yield the rows of this file; JSONL and CSV are read line by line, not as a whole.

    region: of national phone numbers. kinds: of ids that are looked up, as in `read_customer`.
    A second row with the same id is a bad row.
    Raises FixtureFileError if the file is missing, of another format, not UTF-8, not JSON, or without a usable header.
    """
    rows = {".json": _json_rows, ".jsonl": _jsonl_rows, ".ndjson": _jsonl_rows, ".csv": _csv_rows}.get(
        path.suffix.lower()
    )
    if rows is None:
        raise FixtureFileError(f"{path.name}: the name must end in .json, .jsonl, .ndjson or .csv")
    first_lines: dict[str, int | None] = {}
    try:
        for row in rows(path):
            customer = (
                row if isinstance(row, BadRow) else read_customer(row.raw, region, row.line, row.index, kinds=kinds)
            )
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
        raise FixtureFileError(f"{path.name}: not JSON of customers ({type(exc).__name__})") from exc
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
    """Return the position of the list of customers in this valid JSON text; None if there is none."""
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
    """Yield each element of the list that begins at `start` with its position, which json.loads does not give."""
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
                yield BadRow(line, None, f"not JSON, column {exc.colno}: {exc.msg}")
            except (ValueError, RecursionError) as exc:
                yield BadRow(line, None, f"not JSON of a customer ({type(exc).__name__})")


def _csv_rows(path: Path) -> _Rows:
    # Bytes that are not UTF-8 become lone surrogates, which the row's validation then rejects with line and column.
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
                yield BadRow(line, None, f"not CSV ({exc}); look for an unclosed quotation mark")
                continue
            if len(cells) != len(columns) and any(cells):
                yield BadRow(line, None, f"{len(cells)} cells, but the header has {len(columns)} columns")
            elif any(cells):
                yield _RawRow(_csv_row(columns, cells), line)


def _csv_columns(path: Path, reader: Iterator[list[str]]) -> list[str]:
    try:
        header = next(reader, [])
    except csv.Error as exc:
        raise FixtureFileError(f"{path.name}, line 1: not CSV ({exc})") from exc
    columns = [_csv_column(name.strip()) for name in header]
    for name in columns:
        if name not in _CSV_COLUMNS and not name.startswith(("ids.", "_")):
            known = [*_CSV_COLUMNS, "ids.<kind>"]
            raise FixtureFileError(
                f"{path.name}, line 1: {unknown_name(name, known, 'column')}; commas between columns"
            )
    if len(set(columns)) < len(columns) or not {"id", "name"} <= set(columns):
        raise FixtureFileError(f"{path.name}, line 1: needs each column once, with `id` and `name`")
    return columns


def _csv_column(name: str) -> str:
    return name.lower() if name.lower() in _CSV_COLUMNS else name


def _csv_row(columns: Sequence[str], cells: Sequence[str]) -> dict[str, Any]:
    """Return the row as an object of the JSON format."""
    row: dict[str, Any] = {}
    for name, cell in zip(columns, cells, strict=True):
        if name.startswith("ids."):
            row.setdefault("ids", {})[name.removeprefix("ids.")] = _values(cell)
        else:
            row[name] = _values(cell) if name in _CSV_LISTS else cell
    return row


def _values(cell: str) -> list[str]:
    return [value.strip() for value in cell.split(VALUE_SEPARATOR) if value.strip()]
