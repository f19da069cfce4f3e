"""Excel workbooks: the sheet with the header, and cells as people see them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook

from enrich.customers.fixture_rows import BadRow, CustomerFixture, IncompleteRow
from enrich.customers.fixtures import read_fixtures
from enrich.customers.workbooks import shown
from enrich.errors import FixtureFileError


def save(path: Path, sheets: Mapping[str, Sequence[Sequence[Any]]], formats: dict[str, str] | None = None) -> Path:
    """Write a workbook of these sheets; formats: number formats of cells of the first one."""
    workbook = Workbook()
    workbook.remove(workbook.worksheets[0])
    for name, rows in sheets.items():
        sheet = workbook.create_sheet(name)
        for row in rows:
            sheet.append(row)
    for cell, number_format in (formats or {}).items():
        workbook.worksheets[0][cell].number_format = number_format
    workbook.save(path)
    return path


def read(path: Path, remarks: list[str] | None = None) -> list[CustomerFixture | BadRow | IncompleteRow]:
    said = [] if remarks is None else remarks
    return list(read_fixtures(path, region="DE", remark=said.append))


@pytest.mark.parametrize(
    ("value", "number_format", "expected"),
    [
        (493023125100.0, "General", "493023125100"),
        (17, "00000", "00017"),
        (123456, "00000", "123456"),
        (493023125100, '"+"0', "+493023125100"),
        (493023125100, "\\+##\\ ###\\ ########", "+4 930 23125100"),
        (4155550100, "(000) 000-0000", "(415) 555-0100"),
        (1001, "#,##0", "1001"),
        (1001, "0.00", "1001"),
        (1001, '0 "kg"', "1001 kg"),
        (4.5, "General", "4.5"),
        (-3, "00000", "-3"),
        (0.1 + 0.2, "General", "0.3"),
        (123456789012345680, "0", "1.23456789012346E+17"),
        (1e300, "General", "1E+300"),
        (True, "General", "TRUE"),
        (datetime.fromisoformat("2026-11-02"), "yyyy-mm-dd", "2026-11-02"),
        (datetime.fromisoformat("2026-11-02T10:30"), "General", "2026-11-02 10:30"),
        (date(2026, 11, 2), "General", "2026-11-02"),
        (time(10, 30), "General", "10:30:00"),
        ("  007 ", "General", "  007 "),
    ],
)
def test_a_cell_reads_as_people_see_it(value: Any, number_format: str, expected: str) -> None:
    assert shown(value, number_format) == expected


def test_numbers_in_cells_are_ids_and_phone_numbers(tmp_path: Path) -> None:
    rows: list[list[Any]] = [
        ["id", "name", "phones", "ids.account_number"],
        [1001, "Ada", 493023125100.0, 17],
        [1002.0, "Bob", None, None],
    ]
    path = save(tmp_path / "c.xlsx", {"Sheet1": rows}, {"C2": '"+"0', "D2": "00000"})
    ada, bob = read(path)
    assert isinstance(ada, CustomerFixture)
    assert isinstance(bob, CustomerFixture)
    assert (ada.id, bob.id) == ("1001", "1002")
    assert {(one.kind, one.value) for one in ada.identifiers} >= {
        ("phone", "+493023125100"),
        ("account_number", "00017"),
    }


def test_the_first_sheet_with_a_header_is_read_and_named(tmp_path: Path) -> None:
    sheets: dict[str, list[list[Any]]] = {
        "Cover": [["Customers of 2026"], [None], ["Made by", "Dana"]],
        "People": [["All customers"], [], ["id", "name", None], ["C-1", "Ada"], [None, None], ["C-2"]],
        "Old": [["id", "name"], ["C-3", "Old"]],
    }
    remarks: list[str] = []
    rows = read(save(tmp_path / "any name.csv", sheets), remarks)
    assert [row.id for row in rows if isinstance(row, CustomerFixture)] == ["C-1"]
    assert [str(row) for row in rows if isinstance(row, BadRow)] == ["line 6, C-2: name: missing; fill it in"]
    assert remarks == ["read sheet 'People'; not read: 'Cover', 'Old'"]


def test_a_workbook_without_a_header_is_one_clear_error(tmp_path: Path) -> None:
    path = save(tmp_path / "c.xlsx", {"A": [["id", "name", "Birthday"]], "B": [["x", "y"]]})
    with pytest.raises(FixtureFileError, match=r"c\.xlsx: sheet 'A', line 1: column 'Birthday' is not known"):
        read(path)


def test_a_damaged_workbook_is_one_clear_error(tmp_path: Path) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook")
    (tmp_path / "c.xlsx").write_bytes(content.getvalue())
    with pytest.raises(FixtureFileError, match=r"c\.xlsx: a workbook that cannot be read"):
        read(tmp_path / "c.xlsx")
