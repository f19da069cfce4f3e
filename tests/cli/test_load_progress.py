"""The progress of a long load, as lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from enrich.cli.load_progress import ProgressLines, count_rows, duration


@pytest.fixture
def written() -> list[str]:
    return []


def test_a_line_says_how_far_how_fast_and_how_long(written: list[str]) -> None:
    times = iter([0.0, 5.0, 10.0, 12.0, 20.0])
    lines = ProgressLines("all.jsonl", 1_000_000, 200_000, lambda: next(times), written.append)
    for rows_read in (240_000, 280_000, 300_000, 400_000):
        lines.show(rows_read)
    assert written == [
        "all.jsonl: 280,000 of 1,000,000 rows, 8,000 a second, 2 min left",
        "all.jsonl: 400,000 of 1,000,000 rows, 10,000 a second, 60 s left",
    ]


def test_of_a_file_of_unknown_length_no_end_is_foretold(written: list[str]) -> None:
    times = iter([0.0, 10.0])
    ProgressLines("all.json", None, 0, lambda: next(times), written.append).show(80_000)
    assert written == ["all.json: 80,000 rows, 8,000 a second"]


def test_a_short_load_says_nothing(written: list[str]) -> None:
    times = iter([0.0, 9.9])
    ProgressLines("all.csv", 100, 0, lambda: next(times), written.append).show(100)
    assert written == []


@pytest.mark.parametrize(("seconds", "words"), [(40, "40 s"), (180, "3 min"), (7500, "2 h 5 min")])
def test_a_duration_is_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("name", "content", "rows"),
    [("a.jsonl", b"{}\n{}\n", 2), ("a.json", b"[\n{}\n]\n", None), ("a.csv", b"PK\x03\x04\n\n", None)],
)
def test_only_files_with_a_row_a_line_can_be_counted(
    tmp_path: Path, name: str, content: bytes, rows: int | None
) -> None:
    (tmp_path / name).write_bytes(content)
    assert count_rows(tmp_path / name) == rows
