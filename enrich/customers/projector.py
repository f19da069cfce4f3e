"""Keeps the stored customers equal to what source records and decisions say (`projection.py`).

After records or decisions changed, `recompute` takes the homes concerned, reads everything that is connected with them,
computes their customers anew, and writes the differences, in the transaction of the caller. On PostgreSQL the customers
that it reads are locked first, in the order of their ids; never a table.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Select, and_, or_, select
from sqlalchemy.orm import Session

from enrich.customers import adoption
from enrich.customers.clusters import NEVER, Holder, clusters
from enrich.customers.identifiers import Identifier
from enrich.customers.projection import (
    FILE,
    Decision,
    DecisionKind,
    Precedence,
    Projection,
    RecordState,
    StoredRecord,
    are_fields,
    contents_of,
    is_decision,
    project,
    redirect,
)
from enrich.customers.projection_writes import ProjectionWrites, StoredCustomer, read_customers
from enrich.customers.source_tables import DecisionRow, PrecedenceRow, SharedIdRow, SourceRecordRow
from enrich.customers.tables import CustomerRow, InteractionRow, PinRow
from enrich.database.engine import Database
from enrich.database.types import Base, texts_of

# Customers adopted in one transaction. On SQLite a writer's turn has to be short.
ADOPTED_TOGETHER, ADOPTED_TOGETHER_ON_SQLITE = 200, 10

_CUSTOMERS, _RECORDS, _DECISIONS, _SHARED, _PINS, _INTERACTIONS, _PRECEDENCE = (
    Base.metadata.tables[row.__tablename__]
    for row in (CustomerRow, SourceRecordRow, DecisionRow, SharedIdRow, PinRow, InteractionRow, PrecedenceRow)
)


@dataclass(slots=True)
class Neighbourhood:
    """Everything that is connected with some homes. customers: those that are stored, by id; homes: all, with records.

    records: by key, also of homes that have no customer. decisions: in effect, by id. shared: live records by value.
    precedence: of their sources, as stored.
    """

    homes: set[str] = field(default_factory=set)
    customers: dict[str, StoredCustomer] = field(default_factory=dict)
    records: dict[tuple[str, str, str], StoredRecord] = field(default_factory=dict)
    decisions: dict[int, Decision] = field(default_factory=dict)
    shared: dict[Identifier, set[Holder]] = field(default_factory=dict)
    precedence: Precedence = field(default_factory=Precedence)


@dataclass(frozen=True, slots=True)
class Recomputed:
    """The result of `recompute`. changed: customers whose row was changed, created or removed.

    before, after: the projections as they were stored and are now, of changed customers; None for one that does not
    exist.
    """

    changed: frozenset[str] = frozenset()
    before: Mapping[str, StoredCustomer | None] = field(default_factory=dict)
    after: Mapping[str, Projection | None] = field(default_factory=dict)


def recompute(session: Session, homes: Collection[str], now: datetime) -> Recomputed:
    """Make the customers of these homes, and all that are connected with them, equal to records and decisions.

    now: aware; the time of the change. Raises DatabaseError.
    """
    if not homes:
        return Recomputed()
    while True:
        around = neighbourhood(session, homes)
        wanted = projections(around, now)
        records, decisions = around.records.values(), around.decisions.values()
        if not adoption.adopt(session, around.customers, records, decisions, wanted, now):
            return write_projections(session, around, wanted, now)


def adopt_after(database: Database, last: str, now: datetime) -> str | None:
    """Adopt some customers that code from before the projection wrote; return the last one, None if there are no more.

    last: of those before, "" at the start. Raises DatabaseError.
    """
    version, projected = _CUSTOMERS.c.version, _CUSTOMERS.c.projected_version
    number = ADOPTED_TOGETHER_ON_SQLITE if database.is_sqlite else ADOPTED_TOGETHER
    unprojected = select(_CUSTOMERS.c.id).where(_CUSTOMERS.c.id > last, or_(projected.is_(None), projected != version))
    with database.reading() as session:
        found: Sequence[str] = session.scalars(unprojected.order_by(_CUSTOMERS.c.id).limit(number)).all()
    if not found:
        return None
    with database.transaction() as session:
        recompute(session, found, now)
    return found[-1]


def write_projections(
    session: Session, around: Neighbourhood, wanted: Mapping[str, Projection | None], now: datetime
) -> Recomputed:
    """Write the differences between the stored customers and these projections; None for no customer."""
    writes, recomputed = differences(session, around, wanted, now)
    writes.write(session.connection())
    return recomputed


def differences(
    session: Session, around: Neighbourhood, wanted: Mapping[str, Projection | None], now: datetime
) -> tuple[ProjectionWrites, Recomputed]:
    """Return the writes that make the stored customers equal to these projections, and what they change. Only reads."""
    writes = ProjectionWrites(now)
    superfluous = {one for one, projection in wanted.items() if projection is None and one in around.customers}
    kept = _referred_to(session, superfluous)
    before: dict[str, StoredCustomer | None] = {}
    after: dict[str, Projection | None] = {}
    for customer_id, projection in sorted(wanted.items()):
        stored = around.customers.get(customer_id)
        if projection is None:
            if stored is None:
                continue
            if customer_id not in kept:
                writes.delete(customer_id)
                before[customer_id], after[customer_id] = stored, None
                continue
            projection = Projection(stored.texts, is_gone=True)
        if writes.add(customer_id, projection, stored):
            before[customer_id], after[customer_id] = stored, projection
    return writes, Recomputed(frozenset(before), before, after)


def projections(around: Neighbourhood, now: datetime) -> dict[str, Projection | None]:
    """Return what each home's row must be; None for a home about which nobody says anything.

    Homes of which a newer version stored something that this one cannot read are left out.

    now: the time of creation of those that are not stored yet.
    """
    records_of: dict[str, list[StoredRecord]] = defaultdict(list)
    for record in around.records.values():
        records_of[record.home_id].append(record)
    decisions_of: dict[str, list[Decision]] = defaultdict(list)
    for decision in around.decisions.values():
        decisions_of[decision.subject].append(decision)

    def age(home: str) -> datetime | None:
        if stored := around.customers.get(home):
            return stored.created_at
        return now if contents_of((home,), records_of[home], decisions_of[home]) else NEVER

    ages = {home: age(home) for home in around.homes}
    wanted: dict[str, Projection | None] = {}
    for cluster in clusters(ages, around.records.values(), around.decisions.values(), around.shared.values()):
        records = [one for home in cluster.homes for one in records_of[home]]
        decisions = [one for home in cluster.homes for one in decisions_of[home]]
        if not all(one.is_readable for one in records) or not all(one.is_readable for one in decisions):
            continue  # a newer version knows what it means
        has_said = bool(records) or any(one.kind is DecisionKind.CREATE for one in decisions)
        wanted[cluster.root] = (
            project(cluster.homes, records, decisions, merged_away=cluster.merged_away, precedence=around.precedence)
            if has_said and ages[cluster.root] is not NEVER
            else None
        )
        for home in cluster.homes - {cluster.root}:
            is_customer = ages[home] is not NEVER
            wanted[home] = redirect(home, records_of[home], decisions_of[home], cluster.root) if is_customer else None
    return wanted


def neighbourhood(session: Session, homes: Collection[str], *, lock: bool = True) -> Neighbourhood:
    """Return what is connected with these homes: the customers they are part of, and all that may join or leave them.

    lock: on PostgreSQL, lock the customers, as whoever computes them anew must.
    """
    around = Neighbourhood()
    waiting = set(homes)
    while waiting:
        members = _members(session, waiting, lock=lock) | waiting
        new = members - around.homes
        around.homes |= members
        records = _records(session, _RECORDS.c.home_id.in_(new)) if new else []
        decisions = _decisions(session, new) if new else []
        around.records |= {one.key: one for one in records}
        around.decisions |= {one.id: one for one in decisions}
        waiting = _partners(session, records, decisions, around) - around.homes
    around.customers = read_customers(session.connection(), around.homes)
    if len({one.source for one in around.records.values()}) > 1:  # of one source alone there is no order
        around.precedence = read_precedence(session)
    return around


def read_precedence(session: Session) -> Precedence:
    """Return the stored order of sources."""
    orders = {row.field: texts_of(row.sources) for row in session.execute(select(_PRECEDENCE))}
    return Precedence(orders.pop("", (FILE,)), orders)


def _members(session: Session, homes: Collection[str], *, lock: bool) -> set[str]:
    """Return the homes of the customers that these homes are part of, as stored now."""
    roots = {row.merged_into or row.id for row in _rows(session, _CUSTOMERS.c.id.in_(homes), lock=lock)}
    if not roots:
        return set()
    rows = _rows(session, or_(_CUSTOMERS.c.id.in_(roots), _CUSTOMERS.c.merged_into.in_(roots)), lock=lock)
    return {row.id for row in rows}


def _rows(session: Session, condition: ColumnElement[bool], *, lock: bool) -> list[Any]:
    rows = select(_CUSTOMERS.c.id, _CUSTOMERS.c.merged_into).where(condition).order_by(_CUSTOMERS.c.id)
    # Without the key: a finished interaction, which refers to the customer, does not wait.
    return list(session.execute(rows.with_for_update(key_share=True) if lock else rows))


def _partners(
    session: Session, records: Iterable[StoredRecord], decisions: Iterable[Decision], around: Neighbourhood
) -> set[str]:
    """Return homes to which edges may lead; add what is known of shared values."""
    partners = {home for one in decisions for home in (one.subject, one.other) if home}
    into = {(one.source, one.object, one.into_remote_id) for one in records if one.into_remote_id}
    keys = {one.key for one in records}
    live = {one.key for one in records if one.state is RecordState.LIVE}
    home, value = select(_RECORDS.c.home_id), select(_SHARED.c.kind, _SHARED.c.value)
    partners |= {row.home_id for row in _of_keys(session, home, _RECORDS.c.remote_id, into)}
    partners |= {row.home_id for row in _of_keys(session, home, _RECORDS.c.into_remote_id, keys)}
    values = {Identifier(row.kind, row.value) for row in _of_keys(session, value, _SHARED.c.remote_id, live)}
    holders = holders_of(session, values - around.shared.keys())
    around.shared |= holders
    return partners | {holder.home_id for of_value in holders.values() for holder in of_value}


def _of_keys(
    session: Session, statement: Select[Any], remote_id: Column[Any], keys: Iterable[tuple[str, str, str]]
) -> Iterator[Any]:
    """Yield the statement's rows for keys of records: those in which this column has one of the keys' remote ids."""
    of_object: dict[tuple[str, str], set[str]] = defaultdict(set)
    for source, object_, key in keys:
        of_object[source, object_].add(key)
    columns = remote_id.table.c
    for (source, object_), remote_ids in of_object.items():
        yield from session.execute(
            statement.where(columns.source == source, columns.object == object_, remote_id.in_(remote_ids))
        )


def _records(session: Session, condition: ColumnElement[bool]) -> list[StoredRecord]:
    return [stored_record(row) for row in session.execute(select(_RECORDS).where(condition))]


def stored_record(row: Any) -> StoredRecord:
    """Return a row of `source_records` as a record."""
    is_readable = row.state in set(RecordState) and are_fields(row.fields)
    return StoredRecord(
        row.source,
        row.object,
        row.remote_id,
        row.home_id,
        RecordState(row.state) if is_readable else RecordState.LIVE,
        row.version,
        row.seq,
        row.hash,
        row.fields if is_readable else {},
        row.into_remote_id,
        is_readable,
    )


def holders_of(session: Session, keys: Collection[Identifier]) -> dict[Identifier, set[Holder]]:
    """Return the live records that have each of these values."""
    of_record = and_(
        _RECORDS.c.source == _SHARED.c.source,
        _RECORDS.c.object == _SHARED.c.object,
        _RECORDS.c.remote_id == _SHARED.c.remote_id,
    )
    holders: dict[Identifier, set[Holder]] = {key: set() for key in keys}
    for kind in {key.kind for key in keys}:
        values = [key.value for key in keys if key.kind == kind]
        rows = session.execute(
            select(_SHARED.c.value, *(_RECORDS.c[name] for name in ("source", "object", "remote_id", "home_id")))
            .join(_RECORDS, of_record)
            .where(_SHARED.c.kind == kind, _SHARED.c.value.in_(values))
        )
        for value, *holder in rows:
            holders[Identifier(kind, value)].add(Holder(*holder))
    return holders


def _decisions(session: Session, homes: Collection[str]) -> list[Decision]:
    about = or_(_DECISIONS.c.subject.in_(homes), _DECISIONS.c.other.in_(homes))
    return [decision(row) for row in session.execute(select(_DECISIONS).where(about, _DECISIONS.c.undone_at.is_(None)))]


def decision(row: Any) -> Decision:
    """Return a row of `decisions` as a decision."""
    key = Identifier(row.key_kind, row.key_value) if row.key_kind is not None else None
    if not is_decision(row.kind, row.field, row.value, row.base):
        # Whatever it is: a merge is read for the homes that it may concern.
        return Decision(row.id, DecisionKind.MERGE, row.subject, row.other, is_readable=False)
    return Decision(row.id, DecisionKind(row.kind), row.subject, row.other, row.field, key, row.value, row.base)


def _referred_to(session: Session, customer_ids: Collection[str]) -> set[str]:
    """Return those of these customers that a pin or a finished interaction refers to."""
    if not customer_ids:
        return set()
    return {
        one
        for table in (_PINS, _INTERACTIONS)
        for one in session.scalars(select(table.c.customer_id).where(table.c.customer_id.in_(customer_ids)))
    }
