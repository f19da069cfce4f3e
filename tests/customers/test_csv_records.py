"""Records of delimited text: as Python's csv module reads them, and with wrong quotation marks contained."""

from __future__ import annotations

import csv
import io
from typing import Literal

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from enrich.customers.csv_records import CsvReader, Record, Unread, detect_delimiter

HEADER = "id,name,phones,notes\n"


def read(text: str, delimiter: str = ",", single_line: frozenset[int] = frozenset({0, 1, 2})) -> list[Record | Unread]:
    """Return everything below the header."""
    reader = CsvReader(iter(text.splitlines(keepends=True)), delimiter)
    records = iter(reader)
    header = next(records)
    assert isinstance(header, Record)
    reader.columns, reader.single_line = len(header.cells), single_line
    return list(records)


def ids(rows: list[Record | Unread]) -> list[str]:
    return [row.cells[0] for row in rows if isinstance(row, Record) and any(row.cells)]


def lost(rows: list[Record | Unread]) -> list[tuple[int, int, int]]:
    """Return first line, last line and number of records of what was not read."""
    return [(row.first_line, row.last_line, row.records) for row in rows if isinstance(row, Unread)]


@pytest.mark.parametrize(
    ("header", "delimiter"),
    [
        ("id,name,phones", ","),
        ("id;name;phones, e-mail", ";"),
        ("id\tname", "\t"),
        ('"id,of,us";name', ";"),
        ("id", ","),
        ("", ","),
    ],
)
def test_the_header_shows_the_delimiter(header: str, delimiter: str) -> None:
    assert detect_delimiter(header) == delimiter


@pytest.mark.parametrize(
    ("damaged", "read_ids", "not_read"),
    [
        pytest.param(
            'C-1,Ada,+1,"Asked for a 5" bracket.\nC-9,Mallory,+1,\nThanks"\nC-2,Bob,+1,ok\n',
            ["C-2"],
            [(2, 4, 1)],
            id="a mark inside a note of several lines",
        ),
        pytest.param(
            'C-1,Ada,+1,"Said "yes"\nC-9,Mallory,+1,\nThanks"\nC-2,Bob,+1,ok\n',
            ["C-2"],
            [(2, 4, 1)],
            id="a mark inside a note, at the end of its line",
        ),
        pytest.param(
            '"C-1","Ada","+1","A 5" one.\n"C-9","Mallory","+1",""\nThanks"\n"C-2","Bob","+1","ok"\n',
            ["C-2"],
            [(2, 4, 1)],
            id="every cell in quotes, and so the lines of the note",
        ),
        pytest.param(
            '"C-1","Ada","+1","A 5" bracket."\n"C-2","Bob","+1","ok"\n', ["C-2"], [(2, 2, 1)], id="within one line"
        ),
        pytest.param(
            'C-0,Zed,+1,"a"\nC-1,Ada,+1,"Hello\na 5" one\nC-9,Mallory,+1,\nThanks"\nC-2,Bob,+1,ok\n',
            ["C-0", "C-2"],
            [(3, 6, 1)],
            id="a mark in the second line of a note",
        ),
        pytest.param(
            'C-1,Ada,+1,"two\nlines \\"x\\""\nC-2,Bob,+1,ok\n', ["C-2"], [(2, 3, 1)], id="marks behind a backslash"
        ),
        pytest.param(
            'C-1,"Ada,+1,\nC-2,Bob,+1,ok\nC-3,"Cy, C",+1,\nC-4,Di,+1,\n',
            ["C-2", "C-3", "C-4"],
            [(2, 2, 1)],
            id="never closed, and a sound one below",
        ),
        pytest.param(
            'C-1,Ada,+1,"never closed\nC-2,Bob,+1,"two\nlines"\nC-3,Cy,+1,ok\n',
            ["C-2", "C-3"],
            [(2, 2, 1)],
            id="never closed, and a sound note of two lines below",
        ),
        pytest.param('C-1,Ada,+1,"never\nC-2,Bob,+1,ok\n', ["C-2"], [(2, 2, 1)], id="never closed until the end"),
        pytest.param(
            'C-1,Ada,+1,"It is 5" long\nand wide, really\nC-2,Bob,+1,ok\n',
            ["C-2"],
            [(2, 3, 2)],
            id="a note whose lines are no rows, never closed",
        ),
        pytest.param(
            'C-1,"Ada,+1,\nC-2,Bob "The Cat",+1,\nC-3,Cy,+1,\n', ["C-3"], [(2, 3, 2)], id="both readings are possible"
        ),
        pytest.param(
            'C-1,"Ada,+1,x\nC-2,Bob",+1,x\nC-3,Cy,+1,\n', ["C-3"], [(2, 3, 2)], id="two marks that look like a pair"
        ),
        pytest.param(
            'C-1,Ada,+1,"a 5" one\nBye"\nC-2,Bob,+1,"a 6" one\nC-9,Mallory,+1,\nBye"\nC-3,Cy,+1,\n',
            ["C-3"],
            [(2, 3, 1), (4, 6, 1)],
            id="two damaged notes",
        ),
        pytest.param('C-1,"Ada" L,+1,\nC-2,Bob,+1,\n', ["C-2"], [(2, 2, 1)], id="text behind a closing mark"),
        pytest.param('C-1,Ada "A" L,+1,\nC-2,5",+1,\n', ["C-1", "C-2"], [], id="marks in a cell without quotes"),
        pytest.param('C-1, "Ada, A" ,+1,\n', ["C-1"], [], id="spaces around quotes"),
        pytest.param('C-1,Ada,"+1"\nC-2,Bob,+1,"a\n\nb"\n', ["C-1", "C-2"], [], id="a short row, and a note"),
        pytest.param('C-1,Ada,"a, b\nc"\nC-2,Bob,+1,\n', ["C-1", "C-2"], [], id="a short row of two lines"),
    ],
)
def test_the_damage_of_a_wrong_quotation_mark_is_contained(
    damaged: str, read_ids: list[str], not_read: list[tuple[int, int, int]]
) -> None:
    rows = read(HEADER + damaged)
    assert (ids(rows), lost(rows)) == (read_ids, not_read)


def test_a_mark_that_is_never_closed_costs_its_line_in_a_large_file() -> None:
    rows = read(HEADER + 'C-0,"Ada,+1,\n' + "".join(f"C-{number},Bob,+1,\n" for number in range(1, 5000)))
    assert lost(rows) == [(2, 2, 1)]
    assert len(ids(rows)) == 4999


cells = st.text(st.sampled_from('aZ é;,"\n\t|'), max_size=8)
tables = st.lists(st.lists(cells, min_size=3, max_size=3), max_size=12)


@settings(deadline=None)
@given(tables, st.sampled_from(",;\t"), st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]))
def test_sound_text_reads_as_it_was_written(table: list[list[str]], delimiter: str, quoting: Literal[0, 1]) -> None:
    assume(not any(cell.startswith(" ") and '"' not in cell for row in table for cell in row))
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator="\n").writerows([["a", "b", "c"], *table])
    rows = read(out.getvalue(), delimiter, single_line=frozenset())
    assert [row.cells if isinstance(row, Record) else row for row in rows] == table


@settings(deadline=None)
@given(st.text(st.sampled_from('ab,"\n '), max_size=60))
def test_any_text_is_read_and_every_line_accounted_for(text: str) -> None:
    rows = read("x,y,z\n" + text)
    last = 1
    for row in rows:
        first = row.line if isinstance(row, Record) else row.first_line
        assert first > last or isinstance(rows[rows.index(row) - 1], Record)
        last = first if isinstance(row, Record) else row.last_line
    lines = 1 + len(text.splitlines())
    assert last <= lines


notes = st.lists(
    st.sampled_from(["Thanks", "a 5 inch bracket", "C-666,Mallory,+1 415 555 0199,", "and, well", ""]), max_size=4
).map("\n".join)


@settings(deadline=None, max_examples=150)
@given(st.lists(notes, min_size=2, max_size=12), st.data())
def test_no_record_is_made_of_a_line_of_a_note(all_notes: list[str], data: st.DataObject) -> None:
    """One quotation mark too many within a note: its lines look like rows, and none is read as one."""
    number = data.draw(st.integers(0, len(all_notes) - 1))
    inside = [place for place, character in enumerate(all_notes[number]) if character not in ",\n"]
    assume(inside)
    place = data.draw(st.sampled_from(inside))
    rows = []
    for index, note in enumerate(all_notes):
        text = f'{note[:place]}"{note[place:]}' if index == number else note
        rows.append(f'"C-{index}","Ada","+1 415 555 0100","{text}"\n')
    found = ids(read(HEADER + "".join(rows)))
    assert "C-666" not in found
    assert set(found) <= {f"C-{index}" for index in range(len(all_notes))}
