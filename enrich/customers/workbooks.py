"""Excel workbooks (.xlsx) of customers: the rows of each sheet, with the cells as people see them.

Read with openpyxl in its read-only mode: row by row, and with each cell's number format, without which an account
number that shows as 00017 would be read as 17. It is imported only where there is a workbook: it takes 6 MB of every
process that knows this module.
"""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError

from enrich.errors import FixtureFileError

# Excel computes with 15 digits: of a longer number the rest are zeros, so it is shown as rounded.
# https://support.microsoft.com/en-us/office/excel-specifications-and-limits-1672b34d-7043-467e-8e27-269d656771c3
_EXACT = 10**15
# Quoted text, an escaped character, a padding or fill character, a colour or condition, or a single character.
_FORMAT_PART = re.compile(r'"([^"]*)"|\\(.)|[_*].|\[[^\]]*\]|(.)', re.DOTALL)


@contextmanager
def sheets(path: Path) -> Iterator[list[tuple[str, Any]]]:
    """Give the name and the rows of each visible sheet, in order; `sheet_rows` reads the rows.

    Raises FixtureFileError if the workbook is damaged.
    """
    from openpyxl import load_workbook

    with path.open("rb") as file, _translated(path), warnings.catch_warnings():
        # About styles and extensions that openpyxl does not read; they hold no values.
        warnings.filterwarnings("ignore", module="openpyxl")
        workbook = load_workbook(file, read_only=True, data_only=True)
        try:
            yield [(sheet.title, sheet) for sheet in workbook.worksheets if sheet.sheet_state == "visible"]
        finally:
            workbook.close()


def sheet_rows(sheet: Any) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of each row, from 1, and its cells as text."""
    sheet.reset_dimensions()  # some programs write wrong ones, and openpyxl would leave out the rows beyond them
    for number, cells in enumerate(sheet.iter_rows(), start=1):
        yield number, [shown(cell.value, cell.number_format or "") if cell.value is not None else "" for cell in cells]


def shown(value: Any, number_format: str = "General") -> str:
    """Return a cell's value as people see it: 493023125100 rather than 493023125100.0, 00017 by a format of zeros.

    A date is written as 2026-11-02. A number of more than 15 digits shows its exponent, as in the spreadsheet, which
    has lost its last digits.
    """
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        value = int(value)
    if isinstance(value, int):
        return f"{float(value):.14E}" if abs(value) >= _EXACT else _formatted(value, number_format)
    if isinstance(value, float):
        return f"{value:.15G}"
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(" ", "minutes")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value)
    return str(value)


def _formatted(number: int, number_format: str) -> str:
    """Return the number in a format of zeros and literal characters, such as `00000` or `"+"0`; else its digits.

    Thousands separators, decimals, percentages and currencies are left out: they are no part of an id.
    """
    parts = [
        (literal or escaped or "", placeholder)
        for literal, escaped, placeholder in _FORMAT_PART.findall(number_format.partition(";")[0])
    ]
    plain = "".join(placeholder for _, placeholder in parts)
    if number < 0 or not re.fullmatch(r"[0#? ()+\-/:.]*", plain) or not re.search(r"[0#?]", plain) or ".0" in plain:
        return str(number)
    digits, text = list(str(number)), ""
    first = next(index for index, (_, placeholder) in enumerate(parts) if placeholder in {"0", "#", "?"})
    for index in range(len(parts) - 1, -1, -1):
        literal, placeholder = parts[index]
        if placeholder and placeholder in "0#?":
            digit = digits.pop() if digits else "0" if placeholder == "0" else ""
            text = ("".join(digits) if index == first else "") + digit + text
        else:
            text = literal + placeholder + text
    return text.strip()


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        yield
    except (InvalidFileException, zipfile.BadZipFile, ParseError, KeyError, IndexError, EOFError) as exc:
        raise FixtureFileError(
            f"{path.name}: a workbook that cannot be read ({type(exc).__name__}); save it again, or as CSV in UTF-8"
        ) from exc
