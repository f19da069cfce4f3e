"""Batches of source records, read from a customer file row by row, for a writer that has one transaction for each.

Reading can begin behind the rows that were read before: a batch has its position, and a digest says whether the file
is still the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from enrich.customers.fixture_rows import BadRow, CustomerFixture, IncompleteRow
from enrich.customers.fixtures import Reading, read_rows
from enrich.customers.source_record import SourceRecord
from enrich.errors import FixtureFileError

# Rows that are read, compared and, if they are new, inserted together.
BATCH_ROWS = 500
_DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """Consecutive rows of a file.

    rows: in the file's order, no two records with the same id in one file; an IncompleteRow follows its record.
    rows_read: the position behind this batch: the number of the file's rows so far, with bad ones and those skipped.
    """

    rows: tuple[SourceRecord | BadRow | IncompleteRow, ...]
    rows_read: int


def read_batches(
    path: Path,
    reading: Reading,
    *,
    kinds: Collection[str] = (),
    skip_rows: int = 0,
    batch_rows: int = BATCH_ROWS,
) -> Iterator[RecordBatch]:
    """Yield the rows of this file in batches of so many rows.

    kinds, skip_rows: as in `read_rows`. Raises FixtureFileError, after the rows before the damage.
    """
    rows: list[SourceRecord | BadRow | IncompleteRow] = []
    rows_read = skip_rows
    try:
        for results in read_rows(path, reading, kinds=kinds, skip_rows=skip_rows):
            rows += [SourceRecord.of_fixture(one) if isinstance(one, CustomerFixture) else one for one in results]
            rows_read += 1
            if (rows_read - skip_rows) % batch_rows == 0:
                yield RecordBatch(tuple(rows), rows_read)
                rows = []
    except FixtureFileError:
        if rows:
            yield RecordBatch(tuple(rows), rows_read)
        raise
    if rows:
        yield RecordBatch(tuple(rows), rows_read)


def content_digest(path: Path) -> bytes:
    """Return 16 bytes by which the content of this file is known again. Raises FixtureFileError."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=_DIGEST_BYTES)).digest()
    except OSError as exc:
        raise FixtureFileError(f"{path.name}: {exc.strerror or 'cannot be read'}") from exc
