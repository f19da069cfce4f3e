"""Customer files: reads the formats row by row and validates each row.

    .json                   {"customers": [{...}, ...]}, or a bare list
    .jsonl, .ndjson         one object a line
    .csv, .tsv, .txt        a table with a header: commas, semicolons or tabs (csv_records.py); columns by our own names
                            or those of a known export (columns.py)
    a workbook (.xlsx)      the same table, in the first sheet that has its header (workbooks.py)
    vCard                   contacts of an address book (vcards.py)

JSON is read in blocks (json_customers.py). Workbooks and vCards are recognised by content, and encodings, too
(file_formats.py). fixture_rows.py validates the rows, and describes missing and empty fields. What is wrong with a row
is reported with its line, and the others still load. seeding.py writes the rows to the store.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice, starmap
from pathlib import Path
from typing import Any

from enrich.customers import columns, workbooks
from enrich.customers.csv_records import CsvReader, Record, Unread, detect_delimiter
from enrich.customers.file_formats import WINDOWS, FileFormat, Recognised, TextLines, recognise
from enrich.customers.fixture_rows import BadRow, CustomerFixture, IncompleteRow, id_of, read_row
from enrich.customers.json_customers import JsonFileError, read_customers
from enrich.customers.seen_ids import SeenIds
from enrich.customers.vcards import read_cards
from enrich.errors import FixtureFileError

# A header stands in one of so many rows of a sheet, below a title.
_HEADER_ROWS = 10


def builtin_path() -> Path:
    """Return the path of the built-in example customers: fictional numbers (555-01xx) and example addresses."""
    return Path(__file__).with_name("builtin.json")


@dataclass(frozen=True, slots=True)
class Reading:
    """The way to read a file.

    region: of national phone numbers. mapping: column -> field, instead of what the column's name says. encoding: of
    text; recognised by default. remark: called with a sentence about how the file was understood.
    """

    region: str
    mapping: Mapping[str, str] = field(default_factory=dict)
    encoding: str | None = None
    remark: Callable[[str], None] = lambda _: None


def read_fixtures(
    path: Path,
    *,
    region: str,
    kinds: Collection[str] = (),
    mapping: Mapping[str, str] | None = None,
    encoding: str | None = None,
    remark: Callable[[str], None] = lambda _: None,
) -> Iterator[CustomerFixture | BadRow | IncompleteRow]:
    """Yield the rows of this file, which is read row by row, never as a whole.

    kinds: of ids that are looked up, as in `read_customer`. The others: as in Reading. A second row with the same id is
    a bad row.
    Raises FixtureFileError if the file is missing, of another format or without a usable header; for damaged JSON after
    the rows before the damage.
    """
    for results in read_rows(path, Reading(region, mapping or {}, encoding, remark), kinds=kinds):
        yield from results


def read_rows(
    path: Path, reading: Reading, *, kinds: Collection[str] = (), skip_rows: int = 0
) -> Iterator[Sequence[CustomerFixture | BadRow | IncompleteRow]]:
    """Yield for each row of this file what `read_fixtures` gives of it: the customer, its problems, or both.

    skip_rows: the number of rows at the beginning that are neither validated nor given. Their ids count as used,
    even if the row was bad: a second row with the id is a bad row.
    """
    try:
        with SeenIds() as seen:
            for number, row in enumerate(_rows(path, reading)):
                if number >= skip_rows:
                    yield _results(row, reading.region, kinds, seen)
                elif isinstance(row, _RawRow) and (customer_id := id_of(row.raw)):
                    seen.add(customer_id, row.line)
    except OSError as exc:
        raise FixtureFileError(f"{path.name}: {exc.strerror or 'cannot be read'}") from exc


def _results(
    row: _RawRow | BadRow, region: str, kinds: Collection[str], seen: SeenIds
) -> Sequence[CustomerFixture | BadRow | IncompleteRow]:
    if isinstance(row, BadRow):
        return (row,)
    results = tuple(read_row(row.raw, region, row.line, row.index, kinds=kinds, surplus=row.surplus))
    customer_id = next((result.id for result in results if isinstance(result, CustomerFixture)), None)
    if customer_id is None or (first_line := seen.add(customer_id, row.line)) is None:
        return results
    return (BadRow(row.line, customer_id, f"id: already in line {first_line}; merge the two rows", row.index),)


@dataclass(frozen=True, slots=True)
class _RawRow:
    raw: Any
    line: int
    index: int | None = None
    surplus: Sequence[str] = ()


_Rows = Iterator[_RawRow | BadRow]


def _rows(path: Path, reading: Reading) -> _Rows:
    recognised = recognise(path, reading.encoding)
    if recognised.format is FileFormat.WORKBOOK:
        return _workbook_rows(path, reading)
    if recognised.format is FileFormat.VCARD:
        return _vcard_rows(path, recognised, reading)
    read: dict[str, Callable[[Path, Recognised, Reading], _Rows]] = {
        ".json": _json_rows,
        ".jsonl": _jsonl_rows,
        ".ndjson": _jsonl_rows,
        ".csv": _csv_rows,
        ".tsv": _csv_rows,
        ".tab": _csv_rows,
        ".txt": _csv_rows,
    }
    if path.suffix.lower() not in read:
        raise FixtureFileError(
            f"{path.name}: the name must end in .json, .jsonl, .ndjson, .csv, .tsv or .txt, or the file be an Excel"
            " workbook (.xlsx) or vCards (.vcf)"
        )
    return read[path.suffix.lower()](path, recognised, reading)


def _json_rows(path: Path, recognised: Recognised, _: Reading) -> _Rows:
    with path.open("rb") as file:
        file.seek(recognised.mark)
        try:
            for index, (line, raw) in enumerate(read_customers(file, recognised.encoding)):
                yield _RawRow(raw, line, index)
        except JsonFileError as exc:
            place = f", line {exc.line}" if exc.line is not None else ""
            place += f", column {exc.column}" if exc.column is not None else ""
            raise FixtureFileError(f"{path.name}{place}: {exc.reason}") from exc


def _jsonl_rows(path: Path, recognised: Recognised, _: Reading) -> _Rows:
    for line, content in enumerate(TextLines(path, recognised, fallback=None), start=1):
        try:
            text = content.strip()
            text.encode()
            if text:
                yield _RawRow(json.loads(text), line)
        except UnicodeEncodeError:
            yield BadRow(line, None, "not UTF-8; save the file as UTF-8")
        except json.JSONDecodeError as exc:
            yield BadRow(line, None, f"not JSON, column {exc.colno}: {exc.msg}")
        except (ValueError, RecursionError) as exc:
            yield BadRow(line, None, f"not JSON of a customer ({type(exc).__name__})")


def _csv_rows(path: Path, recognised: Recognised, reading: Reading) -> _Rows:
    lines = TextLines(path, recognised, fallback=None if reading.encoding else WINDOWS)
    number, delimiter, header = _header(lines)
    reader = CsvReader(chain([header], lines), delimiter or detect_delimiter(header), first_line=number)
    records = iter(reader)
    first = next(records, Record(1, []))
    if isinstance(first, Unread):
        raise FixtureFileError(f"{path.name}, line {first.first_line}: not CSV; {_WRONG_MARK}")
    try:
        table = columns.recognise(first.cells, reading.mapping)
    except columns.HeaderError as exc:
        raise FixtureFileError(f"{path.name}, line {first.line}: {exc}") from exc
    reader.columns, reader.single_line = len(first.cells), table.single_line
    yield from _table_rows(table, records, reading)
    if remark := lines.remark():
        reading.remark(remark)


def _header(lines: Iterator[str]) -> tuple[int, str, str]:
    """Return the number of the first line that is not blank, the separator declared before it, and the line.

    "" for the separator if none is declared; the last line, or 1 and "", if all are blank.
    """
    number, delimiter, line = 1, "", ""
    for number, line in enumerate(lines, start=1):
        declared = _DECLARED_SEPARATOR.fullmatch(line)
        if declared:
            delimiter = declared[1]
        elif line.strip():
            return number, delimiter, line
    return number, delimiter, line


# Excel's own way to name the separator, in the first line.
_DECLARED_SEPARATOR = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_WRONG_MARK = "a quotation mark is not closed, or not doubled within its cell"


def _table_rows(table: columns.Columns, records: Iterable[Record | Unread], reading: Reading) -> _Rows:
    if table.remark:
        reading.remark(table.remark)
    is_below, footer = False, 0
    for record in records:
        if isinstance(record, Unread):
            yield _unread(record, table)
            continue
        filled = sum(1 for cell in record.cells if cell.strip())
        if not filled:
            is_below = table.source is not None and table.source.has_footer
        elif is_below and filled == 1:
            footer += 1
        else:
            surplus = [cell.strip() for cell in record.cells[len(table.targets) :] if cell.strip()]
            yield _RawRow(table.to_raw(record.cells), record.line, surplus=surplus)
    if footer:
        reading.remark(f"left out the last {footer} lines, which are the report's footer")


def _unread(record: Unread, table: columns.Columns) -> BadRow:
    raw = table.to_raw(record.cells)
    lost = "the row was not loaded"
    if record.first_line != record.last_line:
        lost = f"nothing was read from line {record.first_line} to line {record.last_line}"
        lost += f" ({record.records} row{'s' if record.records > 1 else ''})"
    customer_id = raw["id"].strip() if "id" in table.targets and record.records == 1 else ""
    return BadRow(
        record.first_line,
        customer_id or None,
        f"{_WRONG_MARK}; {lost}",
        last_line=record.last_line,
        rows=record.records,
    )


def _workbook_rows(path: Path, reading: Reading) -> _Rows:
    with workbooks.sheets(path) as sheets:
        problem = "no sheet has a header with `id` and `name`"
        for name, sheet in sheets:
            rows = workbooks.sheet_rows(sheet)
            for number, cells in islice(rows, _HEADER_ROWS):
                header = _without_empty_end(cells)
                try:
                    table = columns.recognise(header, reading.mapping)
                except columns.HeaderError as exc:
                    if len(header) > 1 and name == sheets[0][0]:
                        problem = f"sheet {name!r}, line {number}: {exc}"
                    continue
                others = [other for other, _ in sheets if other != name]
                if others:
                    reading.remark(f"read sheet {name!r}; not read: {', '.join(map(repr, others))}")
                yield from _table_rows(table, starmap(Record, rows), reading)
                return
        raise FixtureFileError(f"{path.name}: {problem}")


def _without_empty_end(cells: Sequence[str]) -> list[str]:
    filled = [number for number, cell in enumerate(cells, start=1) if cell.strip()]
    return list(cells[: filled[-1]]) if filled else []


def _vcard_rows(path: Path, recognised: Recognised, reading: Reading) -> _Rows:
    lines = TextLines(path, recognised, fallback=None if reading.encoding else WINDOWS)
    made_ids = 0
    for card in read_cards(lines):
        if card.raw is None:
            yield BadRow(card.line, None, "a vCard without END:VCARD; the file is cut off")
        else:
            made_ids += card.raw["id"] == columns.made_id(card.raw)
            yield _RawRow(card.raw, card.line)
    if made_ids:
        reading.remark(f"{made_ids} without a UID: the contact's e-mail address or number makes an id")
    if remark := lines.remark():
        reading.remark(remark)
