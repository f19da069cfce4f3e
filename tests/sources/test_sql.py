"""Databases as sources, on SQLite, PostgreSQL and MariaDB: full passes, windows, passes over keys, and their traps."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import make_url, text

from enrich import errors
from enrich.domain.streams import Pass
from enrich.sources.change_times import microseconds_of
from enrich.sources.pages import Page, Position, PulledRecord
from enrich.sources.sql import SqlSource
from tests.support.sources import (
    AN_HOUR_AGO,
    PARTS,
    SourceDatabase,
    add_phone,
    declared,
    insert,
    make_customers,
    make_phones,
    make_source_database,
)

pytestmark = pytest.mark.database

CHANGED_AND_DELETED = 'changed = "updated_at"\ndeleted = "deleted_at"'


def walk(source: SqlSource, position: Position) -> list[Page]:
    """Return the pages of a pass; each position is stored and read again, as JSON."""
    pages = []
    for number in count():
        assert number < 1_000
        page = next(source.pages(json.loads(json.dumps(position))))
        pages.append(page)
        if page.position is None:
            break
        position = page.position
    return pages


def full(source: SqlSource) -> tuple[list[PulledRecord], int | None]:
    pages = walk(source, source.start(Pass.FULL))
    return records_of(pages), pages[-1].watermark


def window(source: SqlSource, watermark: int | None) -> tuple[list[PulledRecord], int | None]:
    pages = walk(source, source.start(Pass.WINDOW, watermark))
    return records_of(pages), pages[-1].watermark


def records_of(pages: Iterable[Page]) -> list[PulledRecord]:
    return [record for page in pages for record in (*page.records, *page.gone)]


def ids(records: Sequence[PulledRecord]) -> list[str]:
    return [record.remote_id for record in records]


def test_a_full_pass_reads_every_row_once_in_the_order_of_the_key(source_database: SourceDatabase) -> None:
    make_customers(source_database)
    insert(source_database, *((key, f"Customer {key}", AN_HOUR_AGO) for key in range(1, 8)))
    for size in (1, 3, 7, 8):
        source = source_database.open(declared(f"page = {size}"))
        records, watermark = full(source)
        assert ids(records) == ["1", "2", "3", "4", "5", "6", "7"]
        assert records[0].customer["name"] == "Customer 1"
        assert records[0].version == microseconds_of(AN_HOUR_AGO)
        assert watermark is not None
        assert abs(watermark - microseconds_of(datetime.now(UTC))) < 60_000_000


def test_an_empty_table(source_database: SourceDatabase) -> None:
    make_customers(source_database)
    source = source_database.open(declared())
    assert full(source)[0] == []
    assert window(source, microseconds_of(AN_HOUR_AGO))[0] == []
    assert walk(source, source.start(Pass.KEYS)) == [Page()]


def test_a_window_reads_what_changed_since_the_watermark_less_the_overlap(source_database: SourceDatabase) -> None:
    make_customers(source_database)
    insert(
        source_database, (1, "Old", AN_HOUR_AGO), (2, "Within the overlap", datetime.now(UTC) - timedelta(seconds=50))
    )
    source = source_database.open(declared('overlap = "60s"\npage = 1'))
    _, watermark = full(source)
    insert(source_database, (3, "New", datetime.now(UTC)))
    records, later = window(source, watermark)
    assert ids(records) == ["2", "3"]
    assert later is not None
    assert watermark is not None
    assert later > watermark


def test_rows_of_the_same_time_are_read_once_whatever_the_page(source_database: SourceDatabase) -> None:
    make_customers(source_database)
    insert(source_database, *((key, "Bulk", AN_HOUR_AGO) for key in range(1, 26)))
    for size in (1, 5, 7, 25, 26):
        source = source_database.open(declared(f"page = {size}"))
        records, _ = window(source, microseconds_of(AN_HOUR_AGO - timedelta(minutes=1)))
        assert ids(records) == [str(key) for key in range(1, 26)]


def test_rows_from_the_future_wait_for_their_time(source_database: SourceDatabase) -> None:
    make_customers(source_database)
    insert(source_database, (1, "Tomorrow", datetime.now(UTC) + timedelta(days=1)))
    source = source_database.open(declared())
    records, watermark = full(source)
    assert ids(records) == ["1"]
    assert window(source, watermark)[0] == []


def test_a_row_without_a_time_comes_in_full_passes_alone_and_is_counted(source_database: SourceDatabase) -> None:
    make_customers(source_database)
    insert(source_database, (1, "Ada", None), (2, "Grace", AN_HOUR_AGO))
    source = source_database.open(declared())
    pages = walk(source, source.start(Pass.FULL))
    assert [(record.remote_id, record.version is None) for record in records_of(pages)] == [("1", True), ("2", False)]
    assert sum(page.unstamped for page in pages) == 1
    assert ids(window(source, microseconds_of(AN_HOUR_AGO))[0]) == ["2"]


def test_whole_seconds(source_database: SourceDatabase) -> None:
    """A row changed in the very second of the watermark, after the pass, is found even with the least overlap."""
    kinds = {"sqlite": "TEXT", "postgresql": "TIMESTAMP(0)", "mysql": "DATETIME"}
    make_customers(source_database, stamp=kinds[source_database.kind])
    second = AN_HOUR_AGO.replace(microsecond=0)
    insert(source_database, (1, "Ada", second))
    source = source_database.open(declared('overlap = "1s"'))
    watermark = microseconds_of(second + timedelta(seconds=1, microseconds=900_000))
    assert ids(window(source, watermark)[0]) == ["1"]


def test_a_deleted_row_is_gone_with_its_version(source_database: SourceDatabase) -> None:
    make_customers(source_database)
    insert(source_database, (1, "Ada", AN_HOUR_AGO))
    insert(source_database, (2, "Gone", AN_HOUR_AGO), deleted=True)
    source = source_database.open(declared(person=CHANGED_AND_DELETED))
    for position in (source.start(Pass.FULL), source.start(Pass.WINDOW, microseconds_of(AN_HOUR_AGO))):
        (page,) = walk(source, position)
        assert ids(page.records) == ["1"]
        assert page.gone == (PulledRecord("2", microseconds_of(AN_HOUR_AGO), {}, is_deleted=True),)
    assert [record.is_deleted for record in source.read(["1", "2"])] == [False, True]


def test_a_pass_over_keys_tells_who_is_still_there(source_database: SourceDatabase) -> None:
    make_customers(source_database)
    insert(source_database, *((key, "Customer", AN_HOUR_AGO) for key in range(1, 5_003)))
    source_database.execute("DELETE FROM customers WHERE id = 77")
    source = source_database.open(declared())
    pages = walk(source, source.start(Pass.KEYS))
    assert [len(page.keys) for page in pages] == [5_000, 1]
    assert {key for page in pages for key in page.keys} == {str(key) for key in range(1, 5_003)} - {"77"}


def test_without_a_change_column_each_pass_is_a_full_one(source_database: SourceDatabase) -> None:
    make_customers(source_database)
    insert(source_database, (1, "Ada", AN_HOUR_AGO))
    source = source_database.open(declared(person=""))
    assert not source.has_windows
    assert source.start(Pass.WINDOW, 17) == source.start(Pass.FULL)
    records, watermark = full(source)
    assert (records[0].version, watermark) == (None, None)


def test_read_gives_the_present_state_of_these_records(source_database: SourceDatabase) -> None:
    make_customers(source_database)
    insert(source_database, *((key, f"Customer {key}", AN_HOUR_AGO) for key in range(1, 2_500)))
    source = source_database.open(declared())
    strange = ["9999", "seven", "", "7.5", "1_0", " 7", "٧", "9" * 40, "nan", "1e3", "-0", "7\0"]
    assert ids(source.read(["7", *strange])) == ["7"]
    assert len(source.read(str(key) for key in range(1, 2_500))) == 2_499
    assert source.read([]) == ()


def test_keys_that_are_texts(source_database: SourceDatabase) -> None:
    """char(n) pads with spaces, and how texts sort is the database's own business."""
    make_customers(source_database, key="CHAR(12)")
    keys = ["a", "A-1", "a-1x", "Öl", "z", "10", "9", "é'\"\\%"]
    insert(source_database, *((key, "Customer", AN_HOUR_AGO) for key in keys))
    for size in (1, 2, 3):
        source = source_database.open(declared(f"page = {size}"))
        assert sorted(ids(full(source)[0])) == sorted(keys)
        assert sorted(ids(window(source, microseconds_of(AN_HOUR_AGO))[0])) == sorted(keys)
        assert sorted(ids(source.read([*keys, "a\0", "x' OR ''='"]))) == sorted(keys)


def test_keys_that_are_numeric(source_database: SourceDatabase) -> None:
    make_customers(source_database, key="NUMERIC(12, 2)")
    insert(source_database, (4155550100, "Ada", AN_HOUR_AGO), (7, "Grace", AN_HOUR_AGO))
    source = source_database.open(declared("page = 1"))
    assert ids(full(source)[0]) == ["7", "4155550100"]
    assert ids(source.read(["4155550100"])) == ["4155550100"]


def test_numbers_in_a_numeric_column(source_database: SourceDatabase) -> None:
    source_database.execute(
        "CREATE TABLE customers (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(80), tel NUMERIC(15, 2), fax FLOAT(53))",
        "INSERT INTO customers VALUES (1, 'Ada', 14155550100, 4155550100)",
    )
    source = source_database.open(declared(person='phones = [{ field = "tel", prefix = "+" }, "fax"]'))
    assert full(source)[0][0].customer["phones"] == ["+14155550100", "4155550100"]


def test_epoch_numbers(source_database: SourceDatabase) -> None:
    source_database.execute(
        "CREATE TABLE customers (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(80), mtime BIGINT)",
    )
    source_database.execute("INSERT INTO customers VALUES (2, 'Old', 17)")
    stamp = microseconds_of(AN_HOUR_AGO) // 1000
    source_database.execute("INSERT INTO customers VALUES (1, 'Ada', :stamp)", stamp=stamp)
    source = source_database.open(declared(person='changed = { field = "mtime", unit = "ms" }'))
    records, _ = window(source, microseconds_of(AN_HOUR_AGO))
    assert [(one.remote_id, one.version) for one in records] == [("1", microseconds_of(AN_HOUR_AGO) // 1000 * 1000)]
    without_unit = source_database.open(declared(person='changed = "mtime"'))
    with pytest.raises(errors.SourceMisfit, match="say its unit"):
        full(without_unit)


def test_times_without_a_zone_are_those_of_the_zone_in_the_file(source_database: SourceDatabase) -> None:
    make_customers(source_database)
    # The hour from 02:00 came twice in Berlin: at 00:00 and at 01:00 UTC.
    source_database.execute("INSERT INTO customers (id, name, updated_at) VALUES (1, 'Ada', '2025-10-26 02:55:00')")
    source = source_database.open(declared('timezone = "Europe/Berlin"\noverlap = "1s"'))
    # A window up to now begins in summer or winter; what counts is that its first hour is read whole.
    for since in (datetime(2025, 10, 26, 0, 50, tzinfo=UTC), datetime(2025, 10, 26, 1, 50, tzinfo=UTC)):
        assert ids(window(source, microseconds_of(since))[0]) == ["1"]
    assert window(source, microseconds_of(datetime(2025, 10, 26, 2, 0, tzinfo=UTC)))[0] == []
    (record,) = source.read(["1"])
    assert record.version == microseconds_of(datetime(2025, 10, 26, 0, 55, tzinfo=UTC))


@pytest.mark.parametrize(
    ("kind", "stamp", "value", "precision"),
    [
        ("postgresql", "TIMESTAMPTZ", "now()", timedelta(0)),
        ("postgresql", "TIMESTAMPTZ(0)", "now()", timedelta(seconds=1)),
        ("postgresql", "DATE", "(now() AT TIME ZONE 'Asia/Tokyo')::date", timedelta(days=1)),
        ("postgresql", "TIMESTAMP", "now() AT TIME ZONE 'Asia/Tokyo'", timedelta(0)),
        ("mysql", "TIMESTAMP(6) NULL", "now(6)", timedelta(0)),
        ("mysql", "TIMESTAMP NULL", "now()", timedelta(seconds=1)),
        ("mysql", "DATETIME", "utc_timestamp() + INTERVAL 9 HOUR", timedelta(seconds=1)),
        ("sqlite", "DATETIME", "datetime('now', '+9 hours')", timedelta(seconds=1)),
        ("sqlite", "TEXT", "strftime('%Y-%m-%dT%H:%M:%SZ', 'now')", timedelta(seconds=1)),
        ("sqlite", "DATE", "date('now', '+9 hours')", timedelta(days=1)),
    ],
)
def test_types_of_change_columns(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, stamp: str, value: str, precision: timedelta
) -> None:
    """The database's zone is of no account: times name one, or have that of the file."""
    with ExitStack() as stack:
        database = make_source_database(kind.replace("mysql", "mariadb"), request, tmp_path, stack)
        make_customers(database, stamp=stamp)
        before = microseconds_of(datetime.now(UTC) - precision)
        database.execute(f"INSERT INTO customers (id, name, updated_at) VALUES (1, 'Ada', {value})")  # noqa: S608
        source = database.open(declared('timezone = "Asia/Tokyo"\noverlap = "1s"'))
        (record,), watermark = window(source, before)
        assert record.version is not None
        assert watermark is not None
        # PostgreSQL rounds now() to whole seconds, up as well as down.
        assert before <= record.version <= watermark + precision // timedelta(microseconds=1)


def test_keys_that_are_uuids(postgresql_source: SourceDatabase) -> None:
    make_customers(postgresql_source, key="UUID")
    keys = [str(UUID(int=number)) for number in (1, 7, 5)]
    for key in keys:
        postgresql_source.execute("INSERT INTO customers (id, name, updated_at) VALUES (:key, 'Ada', now())", key=key)
    source = postgresql_source.open(declared('page = 1\noverlap = "1d"'))
    assert ids(full(source)[0]) == sorted(keys)
    assert ids(window(source, microseconds_of(AN_HOUR_AGO))[0]) == keys
    assert sorted(ids(source.read([*keys, "no uuid", "{" + keys[0] + "}"]))) == sorted(keys)


def test_a_table_that_fills_later(source_database: SourceDatabase) -> None:
    """The form of the times of an empty table is not known before its first row."""
    if source_database.kind != "sqlite":
        pytest.skip("only SQLite has no type for times")
    make_customers(source_database)
    source = source_database.open(declared())
    _, watermark = full(source)
    stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    source_database.execute("INSERT INTO customers (id, name, updated_at) VALUES (1, 'Ada', :stamp)", stamp=stamp)
    assert ids(window(source, watermark)[0]) == ["1"]
    source_database.execute("UPDATE customers SET updated_at = 'yesterday'")
    with pytest.raises(errors.SourceMisfit, match="does not sort as times"):
        window(source, watermark)


@pytest.mark.parametrize("parent", ["INTEGER", "VARCHAR(20)"])
def test_child_rows(source_database: SourceDatabase, parent: str) -> None:
    """A new number does not touch the customer's row, and still brings the whole customer."""
    make_customers(source_database)
    make_phones(source_database, parent)
    insert(source_database, *((key, f"Customer {key}", AN_HOUR_AGO) for key in range(1, 6)))
    child_key = (lambda key: key) if parent == "INTEGER" else str
    add_phone(source_database, child_key(2), "+14155550102", AN_HOUR_AGO)
    add_phone(source_database, child_key(2), "+14155550101", AN_HOUR_AGO)
    person = 'changed = "updated_at"\nphones = "tel"'
    source = source_database.open(declared("page = 2", person, PARTS))
    records, watermark = full(source)
    assert [record.customer["phones"] for record in records[:2]] == [[], ["+14155550101", "+14155550102"]]
    assert window(source, watermark)[0] == []
    for key in (5, 4, 4, 1, 999):
        add_phone(source_database, child_key(key), f"+1415555011{key % 10}", datetime.now(UTC))
    changed, _ = window(source, watermark)
    assert {record.remote_id: record.customer["phones"] for record in changed} == {
        "1": ["+14155550111"],
        "4": ["+14155550114"],
        "5": ["+14155550115"],
    }
    assert {record.customer["name"] for record in changed} == {"Customer 1", "Customer 4", "Customer 5"}


def test_a_view_is_as_good_as_a_table(source_database: SourceDatabase) -> None:
    make_customers(source_database)
    insert(source_database, *((key, f"Customer {key}", AN_HOUR_AGO) for key in range(1, 6)))
    source_database.execute("CREATE VIEW named AS SELECT id, name, updated_at FROM customers WHERE id < 4")
    declaration = declared("page = 2")
    named = replace(declaration, person=replace(declaration.person, table="named"))
    source = source_database.open(named)
    assert ids(full(source)[0]) == ["1", "2", "3"]
    assert ids(window(source, microseconds_of(AN_HOUR_AGO))[0]) == ["1", "2", "3"]


def test_nothing_can_be_written_through_it(source_database: SourceDatabase) -> None:
    make_customers(source_database)
    source = source_database.open(declared())
    with pytest.raises(errors.SourceError), source.reading() as connection:
        connection.execute(text("INSERT INTO customers (id, name) VALUES (1, 'Ada')"))
    assert full(source)[0] == []


def test_a_statement_ends_in_time(source_database: SourceDatabase) -> None:
    slow = {
        "postgresql": "SELECT pg_sleep(20)",
        "mysql": "SELECT SLEEP(20)",
        "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
    }[source_database.kind]
    source = source_database.open(declared('statement_timeout = "1s"'))
    started = datetime.now(UTC)
    with pytest.raises(errors.SourceUnavailable), source.reading() as connection:
        connection.execute(text(slow))
    assert datetime.now(UTC) - started < timedelta(seconds=10)


@pytest.mark.parametrize(
    ("person", "message"),
    [
        (
            'changed = "changed_at"',
            "customers has no column 'changed_at'; it has id, name, tel, updated_at, deleted_at",
        ),
        ('changed = "updated_at"\nphones = "fone"', "customers has no column 'fone'"),
    ],
)
def test_a_column_that_is_not_there(source_database: SourceDatabase, person: str, message: str) -> None:
    make_customers(source_database)
    with pytest.raises(errors.SourceMisfit, match=message):
        full(source_database.open(declared(person=person)))


def test_a_table_that_is_not_there(source_database: SourceDatabase) -> None:
    with pytest.raises(errors.SourceMisfit, match="there is no table or view customers"):
        full(source_database.open(declared()))


def test_a_column_that_goes_while_it_is_read(source_database: SourceDatabase) -> None:
    make_customers(source_database)
    source = source_database.open(declared(person='changed = "updated_at"\nphones = "tel"'))
    full(source)
    source_database.execute("ALTER TABLE customers DROP COLUMN tel")
    with pytest.raises(errors.SourceMisfit, match="tel"):
        full(source)


def test_what_the_database_refuses(source_database: SourceDatabase) -> None:
    """An operator has to mend these; to try again later is of no use."""
    if source_database.kind == "sqlite":
        pytest.skip("SQLite has no users")
    make_customers(source_database)
    url = make_url(source_database.url)
    for wrong in (url.set(username="nobody", password="hunter2"), url.set(database="no_such_database")):
        source = SqlSource(declared(), wrong.render_as_string(hide_password=False))
        with pytest.raises(errors.SourceRefused) as caught:
            full(source)
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", ["", "nonsense", "oracle://x/y", "postgresql://me:hunter2@host:port/x"])
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(errors.SourceMisfit) as caught:
        SqlSource(declared(), url)
    assert "ERP_URL" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_file_that_is_missing_is_not_made(tmp_path: Any) -> None:
    source = SqlSource(declared(), f"sqlite:///{tmp_path / 'missing.db'}")
    with pytest.raises(errors.SourceUnavailable):
        full(source)
    assert not (tmp_path / "missing.db").exists()


# --- late commits: a time of change is that of the transaction's beginning, and seen only once it is committed


def test_a_transaction_that_commits_late_is_found_within_the_overlap(postgresql_source: SourceDatabase) -> None:
    make_customers(postgresql_source, stamp="TIMESTAMPTZ")
    source = postgresql_source.open(declared('overlap = "10m"'))
    with postgresql_source.engine.connect() as slow:
        slow.execute(text("INSERT INTO customers (id, name, updated_at) VALUES (1, 'Late', now())"))
        postgresql_source.execute(
            "INSERT INTO customers (id, name, updated_at) VALUES (2, 'Younger', clock_timestamp())"
        )
        records, watermark = full(source)
        assert ids(records) == ["2"]
        records, watermark = window(source, watermark)
        assert ids(records) == ["2"]
        slow.commit()
    records, _ = window(source, watermark)
    assert ids(records) == ["1", "2"]
    assert records[0].version is not None
    assert records[1].version is not None
    assert records[0].version < records[1].version


def test_a_transaction_that_outlasts_the_overlap_is_found_by_the_full_pass(postgresql_source: SourceDatabase) -> None:
    make_customers(postgresql_source, stamp="TIMESTAMPTZ")
    source = postgresql_source.open(declared('overlap = "1s"'))
    with postgresql_source.engine.connect() as slow:
        slow.execute(
            text("INSERT INTO customers (id, name, updated_at) VALUES (1, 'Late', now() - interval '3 seconds')")
        )
        _, watermark = full(source)
        _, watermark = window(source, watermark)
        slow.commit()
    assert window(source, watermark)[0] == []
    assert walk(source, source.start(Pass.KEYS))[0].keys == ("1",)
    assert ids(full(source)[0]) == ["1"]


def test_a_row_that_changes_between_two_pages_is_found_by_the_next_window(postgresql_source: SourceDatabase) -> None:
    make_customers(postgresql_source, stamp="TIMESTAMPTZ")
    insert(postgresql_source, *((key, "Before", AN_HOUR_AGO) for key in range(1, 6)))
    source = postgresql_source.open(declared('page = 2\noverlap = "2h"'))
    pages = source.pages(source.start(Pass.WINDOW, microseconds_of(AN_HOUR_AGO)))
    seen = [next(pages)]
    postgresql_source.execute("UPDATE customers SET name = 'After', updated_at = clock_timestamp() WHERE id IN (1, 5)")
    seen += pages
    assert {"1", "2", "3", "4"} <= set(ids(records_of(seen)))
    watermark = seen[-1].watermark
    after = {record.remote_id: record.customer["name"] for record in window(source, watermark)[0]}
    assert (after["1"], after["5"]) == ("After", "After")


def test_it_holds_no_lock_that_its_owner_would_feel(postgresql_source: SourceDatabase) -> None:
    """Between pages there is no transaction at all, so that the owner can even change the table."""
    make_customers(postgresql_source)
    insert(postgresql_source, *((key, "Customer", AN_HOUR_AGO) for key in range(1, 6)))
    source = postgresql_source.open(declared("page = 2"))
    pages = source.pages(source.start(Pass.FULL))
    next(pages)
    postgresql_source.execute("SET lock_timeout = '1s'", "ALTER TABLE customers ADD COLUMN colour TEXT")
    assert len(records_of(pages)) == 3


def test_it_does_not_wait_long_for_the_lock_of_its_owner(postgresql_source: SourceDatabase) -> None:
    make_customers(postgresql_source)
    source = postgresql_source.open(declared())
    full(source)
    with postgresql_source.engine.connect() as owner:
        owner.execute(text("LOCK TABLE customers IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(errors.SourceUnavailable, match="lock timeout"):
            full(source)
