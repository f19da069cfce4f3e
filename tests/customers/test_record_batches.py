import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from enrich.customers.fixture_rows import BadRow, IncompleteRow
from enrich.customers.fixtures import Reading
from enrich.customers.record_batches import RecordBatch, content_digest, read_batches
from enrich.customers.source_record import SourceRecord
from enrich.errors import FixtureFileError

US = Reading("US")


def jsonl(directory: Path, rows: Sequence[object]) -> Path:
    path = directory / "c.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def shown(batch: RecordBatch) -> list[str]:
    return [one.remote_id if isinstance(one, SourceRecord) else str(one) for one in batch.rows]


ROWS = (
    {"id": "C-1", "name": "Ada"},
    {"id": "C-2"},
    {"id": 3, "name": "Cy", "phones": ["12", "+1 415 555 0100"]},
    {"id": "C-1", "name": "Bob"},
    {"id": "C-5", "name": "Di"},
)
BAD_NUMBER = "phones[0]: not a possible phone number; write it with + and country code"


def test_a_batch_has_so_many_rows_and_its_position(tmp_path: Path) -> None:
    batches = list(read_batches(jsonl(tmp_path, ROWS), US, batch_rows=2))
    assert [(batch.rows_read, shown(batch)) for batch in batches] == [
        (2, ["C-1", "line 2, C-2: name: missing; fill it in"]),
        (
            4,
            [
                "3",
                f"line 3, 3: {BAD_NUMBER} (the rest of the row is loaded)",
                "line 4, C-1: id: already in line 1; merge the two rows",
            ],
        ),
        (5, ["C-5"]),
    ]


@pytest.mark.parametrize("skipped", range(7))
def test_reading_goes_on_where_it_was(tmp_path: Path, skipped: int) -> None:
    path = jsonl(tmp_path, ROWS)
    whole = list(read_batches(path, US, batch_rows=1))
    assert list(read_batches(path, US, skip_rows=skipped, batch_rows=1)) == whole[skipped:]


def test_an_id_of_a_skipped_row_is_used_even_if_the_row_was_bad(tmp_path: Path) -> None:
    path = jsonl(
        tmp_path, [{"id": " C-1 "}, ["C-2"], {"id": True}, {"id": "C-1", "name": "Ada"}, {"id": "C-2", "name": "B"}]
    )
    (batch,) = read_batches(path, US, skip_rows=3)
    assert shown(batch) == ["line 4, C-1: id: already in line 1; merge the two rows", "C-2"]


def test_the_rows_before_the_damage_come_before_the_error(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text(json.dumps(ROWS)[:-1] + "?")
    batches = read_batches(path, US, batch_rows=3)
    assert [next(batches).rows_read, next(batches).rows_read] == [3, 5]
    with pytest.raises(FixtureFileError, match="Expecting ',' delimiter"):
        next(batches)


def test_the_kinds_of_problems_stay_apart(tmp_path: Path) -> None:
    (batch,) = read_batches(jsonl(tmp_path, ROWS), US)
    assert [type(one) for one in batch.rows] == [
        SourceRecord,
        BadRow,
        SourceRecord,
        IncompleteRow,
        BadRow,
        SourceRecord,
    ]


def test_a_file_is_known_again_by_its_content(tmp_path: Path) -> None:
    path = jsonl(tmp_path, ROWS)
    digest = content_digest(path)
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(path.read_bytes())
    assert (len(digest), content_digest(copy)) == (16, digest)
    copy.write_bytes(path.read_bytes() + b"\n")
    assert content_digest(copy) != digest


def test_a_file_that_is_missing_has_no_digest(tmp_path: Path) -> None:
    with pytest.raises(FixtureFileError, match=r"nowhere\.csv: No such file"):
        content_digest(tmp_path / "nowhere.csv")
