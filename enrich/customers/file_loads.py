"""Loads of customer files: `flask crm seed`, with the rows of fixtures.py, applied by seeding.py."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from datetime import datetime
from hashlib import blake2b
from pathlib import Path

from enrich.customers import lease_owners
from enrich.customers.fixtures import Reading
from enrich.customers.reading_process import read_in_second_process
from enrich.customers.record_batches import RecordBatch, content_digest, read_batches
from enrich.customers.seeding import DEFAULT_RULES, Load, LoadRules
from enrich.database.engine import Database

# From this size on, a second process saves more time than its start takes.
_LARGE_FILE_BYTES = 2_000_000


def begin_load(
    database: Database, path: Path, reading: Reading, *, now: Callable[[], datetime], rules: LoadRules = DEFAULT_RULES
) -> Load:
    """Return the load of this file. It continues an interrupted load of the same content, read in the same way.

    now, rules: as `Load` has them. Raises FixtureFileError, DatabaseError and StreamTaken.
    """
    way = [reading.region, sorted(reading.mapping.items()), reading.encoding]
    digest = blake2b(content_digest(path) + json.dumps(way).encode(), digest_size=16).hexdigest()
    return Load(database, now, owner=lease_owners.own_name(), by=path.name, digest=digest, rules=rules)


def batches_of(
    path: Path, reading: Reading, *, kinds: Collection[str] = (), skip_rows: int = 0
) -> Iterator[RecordBatch]:
    """Return the rows of a file in batches for `Load.run`; a large file is read in a second process.

    Parameters and errors: as of `read_batches`.
    """
    read = read_in_second_process if path.stat().st_size >= _LARGE_FILE_BYTES else read_batches
    return read(path, reading, kinds=kinds, skip_rows=skip_rows)
