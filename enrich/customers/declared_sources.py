"""Declared sources in the store: what their customers share, and in which order they are believed.

Whoever computes a customer, a page, a command or a worker, goes by the store, not by a file of its own. When the file
of a worker declares something else, it is stored, and then everything that it concerns is computed anew, in small
transactions; a worker that ends in the middle is followed by one that begins with it again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from enrich.customers.arrivals import Origin
from enrich.customers.identifiers import Identifier
from enrich.customers.projection import CUSTOMER, FILE
from enrich.customers.projector import recompute, stored_record
from enrich.customers.record_writes import RecordWrites
from enrich.customers.source_tables import PrecedenceRow, SharedIdRow, SourceRecordRow, SourceRow, StreamRow
from enrich.customers.tables import CustomerRow
from enrich.database.engine import Database
from enrich.database.types import Base, texts_of

# Records or customers of one transaction. On SQLite a writer's turn has to be short.
TOGETHER, TOGETHER_ON_SQLITE = 200, 10

_SOURCES, _STREAMS, _RECORDS, _SHARED, _PRECEDENCE, _CUSTOMERS = (
    Base.metadata.tables[row.__tablename__]
    for row in (SourceRow, StreamRow, SourceRecordRow, SharedIdRow, PrecedenceRow, CustomerRow)
)


@dataclass(frozen=True, slots=True)
class DeclaredSource:
    """One source. shared_kinds, placeholders: as `arrivals.Origin` has them."""

    name: str
    kind: str
    shared_kinds: frozenset[str] = frozenset()
    placeholders: frozenset[str] = frozenset()


def declare(
    database: Database,
    sources: Sequence[DeclaredSource],
    order: Sequence[str],
    order_of: Mapping[str, Sequence[str]],
    now: Callable[[], datetime],
    pause: Callable[[], None] = lambda: None,
) -> None:
    """Store these sources and their order, and compute anew what changes by it. Raises DatabaseError.

    order, order_of: as `projection.Precedence` has them. Customers of files share every kind that some source shares.
    pause: called after each transaction, so that whatever else the process does goes on.
    """
    kinds = frozenset(kind for one in sources for kind in one.shared_kinds)
    placeholders = frozenset(value for one in sources for value in one.placeholders)
    of_files = DeclaredSource(FILE, FILE, kinds, placeholders)
    with database.transaction() as session:
        for one in (*sources, of_files):
            _store(session, one)
        _store_orders(session, {"": order, **order_of})
    for row in database.read(select(_SOURCES.c.name).where(~_SOURCES.c.is_shared)):
        _share(database, row.name, now, pause)
    if database.read(select(_PRECEDENCE.c.field).where(~_PRECEDENCE.c.is_applied)):
        _apply_order(database, now, pause)


def _store(session: Session, source: DeclaredSource) -> None:
    shared = {"shared_kinds": sorted(source.shared_kinds) or None, "placeholders": sorted(source.placeholders) or None}
    row = session.execute(select(_SOURCES).where(_SOURCES.c.name == source.name)).one_or_none()
    if row is None:
        # Of files there may be records without a row: customers from before there were sources.
        is_shared = not source.shared_kinds
        session.execute(insert(_SOURCES).values(name=source.name, kind=source.kind, **shared, is_shared=is_shared))
    elif (row.shared_kinds, row.placeholders) != (shared["shared_kinds"], shared["placeholders"]):
        session.execute(update(_SOURCES).where(_SOURCES.c.name == source.name).values(**shared, is_shared=False))
    of_stream = (_STREAMS.c.source == source.name, _STREAMS.c.stream == CUSTOMER)
    if session.execute(select(_STREAMS.c.source).where(*of_stream)).one_or_none() is None:
        session.execute(insert(_STREAMS).values(source=source.name, stream=CUSTOMER))


def _store_orders(session: Session, orders: Mapping[str, Sequence[str]]) -> None:
    stored = {row.field: texts_of(row.sources) for row in session.execute(select(_PRECEDENCE))}
    if stored == {field: tuple(order) for field, order in orders.items()}:
        return
    session.execute(delete(_PRECEDENCE))
    rows = [{"field": field, "sources": list(order), "is_applied": False} for field, order in orders.items()]
    session.execute(insert(_PRECEDENCE), rows)


def _share(database: Database, source: str, now: Callable[[], datetime], pause: Callable[[], None]) -> None:
    """Make the shared ids of this source agree with the kinds that it shares."""
    last = ""
    while True:
        with database.transaction() as session:
            row = session.execute(select(_SOURCES).where(_SOURCES.c.name == source)).one()
            origin = Origin(
                source,
                CUSTOMER,
                shared_kinds=frozenset(texts_of(row.shared_kinds)),
                placeholders=frozenset(texts_of(row.placeholders)),
            )
            of_source = (_RECORDS.c.source == source, _RECORDS.c.object == CUSTOMER)
            later = select(_RECORDS).where(*of_source, _RECORDS.c.remote_id > last).order_by(_RECORDS.c.remote_id)
            records = [stored_record(row) for row in session.execute(later.limit(_together(database)))]
            if not records:
                session.execute(update(_SOURCES).where(_SOURCES.c.name == source).values(is_shared=True))
                return
            before = _stored_values(session, source, [one.remote_id for one in records])
            writes = RecordWrites(origin)
            changed = set()
            for record in records:
                if writes.share(record, before[record.remote_id]):
                    changed.add(record.home_id)
            recompute(session, changed | writes.write(session, seq=0), now())
        last = records[-1].remote_id
        pause()


def _stored_values(session: Session, source: str, remote_ids: Collection[str]) -> Mapping[str, set[Identifier]]:
    of_records = (_SHARED.c.source == source, _SHARED.c.object == CUSTOMER, _SHARED.c.remote_id.in_(remote_ids))
    values: dict[str, set[Identifier]] = defaultdict(set)
    for row in session.execute(select(_SHARED).where(*of_records)):
        values[row.remote_id].add(Identifier(row.kind, row.value))
    return values


def _apply_order(database: Database, now: Callable[[], datetime], pause: Callable[[], None]) -> None:
    """Compute anew the customers of several parts: of no other one does the order of sources matter."""
    last = ""
    while True:
        parts = select(_CUSTOMERS.c.id).where(_CUSTOMERS.c.merged_into.is_not(None), _CUSTOMERS.c.id > last)
        with database.transaction() as session:
            found = session.scalars(parts.order_by(_CUSTOMERS.c.id).limit(_together(database))).all()
            if not found:
                session.execute(update(_PRECEDENCE).values(is_applied=True))
                return
            recompute(session, found, now())
        last = found[-1]
        pause()


def _together(database: Database) -> int:
    return TOGETHER_ON_SQLITE if database.is_sqlite else TOGETHER
