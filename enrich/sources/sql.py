"""Databases as sources: pages of a table or view, read in the order of its change column and key.

A pass is read in pages, each in a short transaction of its own that only reads:

    full     in the order of the key: every row
    window   in the order of (change column, key): rows that changed since the watermark, less the overlap; then the
             parents of child rows that did
    keys     in the order of the key: the keys alone

The watermark of a pass is the database's own time when the pass began. A row that was committed later, with an earlier
time of change, is found by the next window if its transaction was shorter than the overlap, else by the next full pass.
So are rows without a time of change, child rows that were deleted, and changes that left the time as it was.

No state of its own: everything stands in the position. Raises SourceRefused, SourceUnavailable, SourceMisfit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, or_, select, types

from enrich import errors
from enrich.domain.findings import Finding
from enrich.domain.streams import Pass
from enrich.sources import positions
from enrich.sources.change_times import SECOND_US
from enrich.sources.file import ChangeColumn, Part, SqlDeclaration
from enrich.sources.mapping import Fields, Row, customer_of, text_of
from enrich.sources.pages import Page, Position, PulledRecord
from enrich.sources.sql_check import examine
from enrich.sources.sql_dialects import begin_reading, database_time, engine_of
from enrich.sources.sql_errors import translated
from enrich.sources.sql_tables import PERSONS, Layout, ReflectedTable, key_values, lay_out

KEYS_PAGE = 5_000
# SQL Server takes 2,100 parameters.
MAX_PARAMETERS = 1_000


class SqlSource:
    """One database that customers come from."""

    def __init__(self, declaration: SqlDeclaration, url: str) -> None:
        """Connect to nothing yet. Raises SourceMisfit for a URL that no driver takes."""
        self.declaration = declaration
        self._engine = engine_of(url, declaration.url_env, declaration.statement_timeout)
        self._layout: Layout | None = None
        deleted = declaration.person.deleted
        self._columns = (*declaration.person.fields.columns(), *((deleted.column,) if deleted else ()))

    def close(self) -> None:
        self._engine.dispose()

    @cached_property
    def has_windows(self) -> bool:
        """Return whether the source says what changed; if not, each pass is a full one."""
        return self.declaration.person.changed is not None

    def start(self, pass_: Pass, watermark: int | None = None) -> Position:
        """Return the position at which a pass begins. A window without a watermark or a change column is a full pass.

        watermark: of the last complete pass, in microseconds.
        """
        if pass_ is Pass.WINDOW and (watermark is None or not self.has_windows):
            pass_ = Pass.FULL
        begins = {"pass": pass_.value}
        return begins | {"watermark": watermark} if pass_ is Pass.WINDOW else begins

    def pages(self, position: Position) -> Iterator[Page]:
        """Yield the pages of a pass from this position on."""
        # The tables may be others than they were in the pass before.
        self._layout = None
        next_position: Position | None = position
        while next_position is not None:
            with self.reading() as connection:
                page = self._page(connection, next_position)
            if page.position is not None and page.position == next_position:
                # Values of more than microseconds, in an order that no position can name.
                raise errors.SourceMisfit(f"{self.declaration.person.table}: its change column does not order its rows")
            next_position = page.position
            yield page

    def read(self, remote_ids: Iterable[str]) -> tuple[PulledRecord, ...]:
        """Return the present state of these records, those that are deleted included; what is missing is gone."""
        with self.reading() as connection:
            return tuple(self._persons(connection, remote_ids))

    def check(self, now: datetime) -> Iterator[Finding]:
        """Yield what is right and wrong with the source. now: our own time. Raises nothing."""
        return examine(self.declaration, self.reading, now)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Yield a connection in a transaction that only reads."""
        with translated(self.declaration.name), self._engine.connect() as connection:
            begin_reading(connection, self.declaration.statement_timeout)
            yield connection

    # --- pages

    def _page(self, connection: Connection, position: Position) -> Page:
        layout = self._laid_out(connection)
        match Pass(position["pass"]):
            case Pass.FULL:
                return self._full_page(connection, layout, position)
            case Pass.KEYS:
                return self._keys_page(connection, layout, position)
            case Pass.WINDOW:
                return self._window_page(connection, layout, position)

    def _full_page(self, connection: Connection, layout: Layout, position: Position) -> Page:
        until = position.get("until") or database_time(connection, self.declaration.name)
        key = layout.persons.column(self.declaration.person.key)
        size = self.declaration.page
        rows = _rows(connection, self._select(layout, key).where(_after_key(key, position)).order_by(key).limit(size))
        records = self._records(connection, layout, rows)
        if len(rows) < size:
            return self._page_of(records, watermark=until if self.has_windows else None)
        after = positions.to_json(rows[-1][_KEY])
        return self._page_of(records, position={"pass": Pass.FULL.value, "until": until, "after": after})

    def _keys_page(self, connection: Connection, layout: Layout, position: Position) -> Page:
        key = layout.persons.column(self.declaration.person.key)
        keys = connection.execute(select(key).where(_after_key(key, position)).order_by(key).limit(KEYS_PAGE)).scalars()
        values = list(keys)
        is_complete = len(values) < KEYS_PAGE
        after = None if is_complete else {"pass": Pass.KEYS.value, "after": positions.to_json(values[-1])}
        return Page(keys=tuple(dict.fromkeys(filter(None, map(text_of, values)))), position=after)

    def _window_page(self, connection: Connection, layout: Layout, position: Position) -> Page:
        """Return a page of persons that changed, or of the parents of child rows that did."""
        until = position.get("until") or database_time(connection, self.declaration.name)
        number = position.get("part", PERSONS)
        of, changed, key_name = self._stamped(layout, number)
        key, stamp = of.column(key_name), of.column(changed.column)
        since = int(position["watermark"]) - self.declaration.overlap * SECOND_US
        within = _within(stamp, key, layout.times[number].bounds(since, until), position.get("after"))
        size = self.declaration.page
        if number == PERSONS:
            rows = _rows(connection, self._select(layout, key).where(within).order_by(stamp, key).limit(size))
            records = self._records(connection, layout, rows)
            last = [(row[_STAMP], row[_KEY]) for row in rows]
        else:
            statement = select(stamp, key).where(within, key.is_not(None)).distinct().order_by(stamp, key).limit(size)
            last = [(row[0], row[1]) for row in connection.execute(statement)]
            records = self._persons(connection, dict.fromkeys(text_of(parent) for _, parent in last))
        begun = {"pass": Pass.WINDOW.value, "watermark": position["watermark"], "until": until}
        if len(last) == size:
            after = [positions.to_json(value) for value in last[-1]]
            return self._page_of(records, position=begun | {"part": number, "after": after})
        later = [part for part in layout.times if part > number]
        if later:
            return self._page_of(records, position=begun | {"part": later[0]})
        return self._page_of(records, watermark=until)

    def _page_of(
        self, records: Iterable[PulledRecord], position: Position | None = None, watermark: int | None = None
    ) -> Page:
        records = list(records)
        return Page(
            records=tuple(record for record in records if not record.is_deleted),
            gone=tuple(record for record in records if record.is_deleted),
            position=position,
            watermark=watermark,
            unstamped=sum(record.version is None for record in records) if self.has_windows else 0,
        )

    def _stamped(self, layout: Layout, number: int) -> tuple[ReflectedTable, ChangeColumn, str]:
        """Return the table of this number, its change column, and its column with the customer's key."""
        one: Any = self.declaration.person if number == PERSONS else self.declaration.parts[number]
        of = layout.persons if number == PERSONS else layout.parts[number]
        if one.changed is None:
            raise errors.SourceMisfit(f"{one.table} has no change column any more; a full pass has to follow")
        return of, one.changed, one.parent if isinstance(one, Part) else one.key

    # --- rows

    def _select(self, layout: Layout, key: ColumnElement[Any]) -> Select[Any]:
        """Return a statement for rows of persons: key and time of change first, then the columns of the mapping."""
        person = self.declaration.person
        stamp = layout.persons.column(person.changed.column) if person.changed else key
        mapped = [layout.persons.column(name).label(f"c{number}") for number, name in enumerate(self._columns)]
        own_key = layout.persons.column(person.key)
        return select(own_key.label(_KEY), stamp.label(_STAMP), *mapped)

    def _persons(self, connection: Connection, remote_ids: Iterable[str]) -> list[PulledRecord]:
        layout = self._laid_out(connection)
        key = layout.persons.column(self.declaration.person.key)
        kind = layout.persons.type_of(self.declaration.person.key)
        values = [value for remote_id in remote_ids for value in key_values(kind, remote_id)]
        records = []
        for some in _batches(values):
            rows = _rows(connection, self._select(layout, key).where(_is_one_of(key, some)))
            records += self._records(connection, layout, rows)
        return records

    def _records(self, connection: Connection, layout: Layout, rows: Sequence[Row]) -> list[PulledRecord]:
        """Return rows of persons as records, with what the child tables say of them. Of rows of one key, the first."""
        person = self.declaration.person
        by_id: dict[str, Row] = {}
        for row in rows:
            by_id.setdefault(text_of(row[_KEY]), row)
        by_id.pop("", None)
        mapped = {
            remote_id: {name: row[f"c{number}"] for number, name in enumerate(self._columns)}
            for remote_id, row in by_id.items()
        }
        deleted = {one for one, row in mapped.items() if person.deleted is not None and person.deleted.of(row)}
        children = self._children(connection, layout, [one for one in mapped if one not in deleted])
        return [
            PulledRecord(one, self._version(layout, by_id[one]), {}, is_deleted=True)
            if one in deleted
            else PulledRecord(
                one, self._version(layout, by_id[one]), customer_of(one, person.fields, row, children[one])
            )
            for one, row in mapped.items()
        ]

    def _version(self, layout: Layout, row: Row) -> int | None:
        return layout.times[PERSONS].microseconds(row[_STAMP]) if self.has_windows else None

    def _children(
        self, connection: Connection, layout: Layout, remote_ids: Sequence[str]
    ) -> Mapping[str, list[tuple[Fields, Row]]]:
        """Return the child rows of these customers, in an order that does not change from pass to pass."""
        children: dict[str, list[tuple[Fields, Row]]] = defaultdict(list)
        for part, of in zip(self.declaration.parts, layout.parts, strict=True):
            parent, kind = of.column(part.parent), of.type_of(part.parent)
            names = part.fields.columns()
            columns = [of.column(name).label(f"c{number}") for number, name in enumerate(names)]
            values = [value for remote_id in remote_ids for value in key_values(kind, remote_id)]
            for some in _batches(values):
                statement = select(parent.label(_KEY), *columns).where(_is_one_of(parent, some))
                found = [
                    (text_of(row[_KEY]), {name: row[f"c{number}"] for number, name in enumerate(names)})
                    for row in _rows(connection, statement)
                ]
                for remote_id, row in sorted(
                    found, key=lambda one: (one[0], [text_of(one[1][name]) for name in names])
                ):
                    children[remote_id].append((part.fields, row))
        return children

    def _laid_out(self, connection: Connection) -> Layout:
        """Return the tables and the form of their times; found out once in each pass."""
        if self._layout is None:
            self._layout = lay_out(connection, self.declaration)
        return self._layout


_KEY, _STAMP = "key_of_row", "stamp_of_row"


def _rows(connection: Connection, statement: Select[Any]) -> list[Row]:
    return [dict(row) for row in connection.execute(statement).mappings()]


def _batches(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), MAX_PARAMETERS):
        yield values[start : start + MAX_PARAMETERS]


def _bound(value: Any) -> ColumnElement[Any]:
    """Return a parameter as the driver takes it: the database compares it by the type of the column."""
    return bindparam(None, value, types.NullType(), unique=True)


def _is_one_of(of: ColumnElement[Any], values: Sequence[Any]) -> ColumnElement[bool]:
    return of.in_(bindparam(None, list(values), types.NullType(), expanding=True, unique=True))


def _after_key(key: ColumnElement[Any], position: Position) -> ColumnElement[bool]:
    after = position.get("after")
    return key.is_not(None) if after is None else key > _bound(positions.from_json(after))


def _within(
    stamp: ColumnElement[Any], key: ColumnElement[Any], bounds: tuple[Any, Any], after: Sequence[Any] | None
) -> ColumnElement[bool]:
    """Return the condition of a window, after the last row that was read.

    SQL Server and Oracle compare no pairs. The lower bound stands alone, so that an index gives the first row at once.
    """
    low, high = bounds
    if after is None:
        return and_(stamp >= _bound(low), stamp <= _bound(high))
    last_stamp, last_key = (positions.from_json(value) for value in after)
    return and_(
        stamp >= _bound(last_stamp),
        stamp <= _bound(high),
        or_(stamp > _bound(last_stamp), key > _bound(last_key)),
    )
