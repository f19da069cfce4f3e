"""Intake of records of a source: stores them, and computes their customers anew.

Works in the session of the caller; raises DatabaseError. `arrivals.py` says which of two records is newer.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import and_, exists, or_, select, union_all
from sqlalchemy.orm import Session

from enrich.customers.arrivals import Arrival, Origin, RecordOutcome, compare, home_of
from enrich.customers.brake import NOTHING, Removed
from enrich.customers.erasure import empty_trail, erase_decisions
from enrich.customers.identifiers import FROM_CRM, Identifier
from enrich.customers.projection import Projection, RecordState, StoredRecord
from enrich.customers.projection_writes import ProjectionWrites
from enrich.customers.projector import Recomputed, differences, neighbourhood, projections, recompute, stored_record
from enrich.customers.record_writes import RecordWrites
from enrich.customers.source_tables import DecisionRow, SourceRecordRow
from enrich.customers.tables import CustomerRow, UnlinkedRow
from enrich.database.types import Base

_RECORDS, _CUSTOMERS, _UNLINKED, _DECISIONS = (
    Base.metadata.tables[row.__tablename__] for row in (SourceRecordRow, CustomerRow, UnlinkedRow, DecisionRow)
)


@dataclass(frozen=True, slots=True)
class Applied:
    """The result of a batch. outcomes: by remote id. settled: remote ids over which a decision of staff stands.

    erased: homes of records that were erased.
    """

    outcomes: Mapping[str, RecordOutcome]
    settled: frozenset[str] = frozenset()
    erased: frozenset[str] = frozenset()
    removed: Removed = NOTHING
    recomputed: Recomputed = field(default_factory=Recomputed)


@dataclass(frozen=True, slots=True)
class Plan:
    """The effects of a batch, found out before the transaction that makes them.

    outcomes: of records for which nothing has to be written. founders: new records that found customers. others: what
    has to be applied. settled: as in Applied, of `outcomes`.
    """

    outcomes: Mapping[str, RecordOutcome]
    founders: Sequence[StoredRecord]
    others: Sequence[Arrival]
    settled: frozenset[str] = frozenset()


def plan_records(session: Session, origin: Origin, arrivals: Sequence[Arrival]) -> Plan:
    """Return what these records, of different remote ids, will do. Only reads."""
    by_id = {one.record.remote_id: one for one in arrivals}
    stored = _stored(session, origin, by_id)
    outcomes: dict[str, RecordOutcome] = {}
    founders: list[StoredRecord] = []
    others: list[Arrival] = []
    taken = stored.homes | stored.named
    for remote_id, arrival in by_id.items():
        home = home_of(origin.source, remote_id)
        outcome, record = compare(origin, stored.records.get(remote_id), arrival)
        if home in stored.unprojected:
            others.append(arrival)
        elif record is None:
            outcomes[remote_id] = outcome
        elif outcome is RecordOutcome.CREATED and home not in taken:
            founders.append(record)
        else:
            others.append(arrival)
    return Plan(outcomes, founders, others, _settled(session, origin, stored, outcomes, {}))


def apply_records(
    session: Session,
    origin: Origin,
    arrivals: Sequence[Arrival],
    now: datetime,
    *,
    seq: int,
) -> Applied:
    """Apply these records, of different remote ids, and compute their customers anew.

    seq: the source's counter for this transaction. now: aware.
    """
    by_id = {one.record.remote_id: one for one in arrivals}
    stored = _stored(session, origin, by_id)
    if stored.unprojected:
        recompute(session, stored.unprojected, now)  # adopts them
        stored = _stored(session, origin, by_id)
    changes = _compared(origin, by_id, stored)
    if changes.erased:
        empty_trail(session, changes.erased)
        erase_decisions(session, changes.erased)
    homes = changes.homes | changes.writes.write(session, seq)
    return _applied(session, origin, stored, changes, recompute(session, homes, now))


@dataclass(frozen=True, slots=True)
class Prepared:
    """Changes that were compared and computed before the transaction that makes them. applied: what they will do."""

    applied: Applied
    records: RecordWrites
    customers: ProjectionWrites

    def write(self, session: Session, seq: int) -> Applied:
        """Execute the statements, where nobody has changed a customer since. seq: as for `apply_records`."""
        self.records.write(session, seq)
        self.customers.write(session.connection())
        return self.applied


def prepare_records(session: Session, origin: Origin, arrivals: Sequence[Arrival], now: datetime) -> Prepared | None:
    """Return the changes that `apply_records` would make; None where only the transaction itself can tell. Only reads.

    It can where records join nobody: no shared kinds, no merges in the source; and where no customer has to be adopted.
    """
    by_id = {one.record.remote_id: one for one in arrivals}
    stored = _stored(session, origin, by_id)
    has_new = by_id.keys() != stored.records.keys()
    into = [one.into_remote_id for one in arrivals] + [one.into_remote_id for one in stored.records.values()]
    has_erased = any(one.state is RecordState.ERASED for one in arrivals)
    if has_new or has_erased or any(into) or origin.shared_kinds or stored.unprojected:
        return None
    changes = _compared(origin, by_id, stored)
    around = neighbourhood(session, changes.homes, lock=False)
    if not all(one.is_projected for one in around.customers.values()):
        return None
    around.records |= {record.key: record for record in changes.records}
    customers, recomputed = differences(session, around, projections(around, now), now)
    return Prepared(_applied(session, origin, stored, changes, recomputed), changes.writes, customers)


@dataclass(frozen=True, slots=True)
class _Stored:
    """The stored state of a batch. homes: ids of customers that exist. unprojected: those that have to be adopted.

    named: homes of new records that another record or a decision names, or may name.
    """

    records: Mapping[str, StoredRecord]
    homes: set[str]
    unprojected: set[str]
    named: set[str]


def _stored(session: Session, origin: Origin, remote_ids: Collection[str]) -> _Stored:
    homes = {remote_id: home_of(origin.source, remote_id) for remote_id in remote_ids}
    versions = select(_CUSTOMERS.c.id, _CUSTOMERS.c.version, _CUSTOMERS.c.projected_version)
    customers = session.execute(versions.where(_CUSTOMERS.c.id.in_(homes.values()))).all()
    rows = session.execute(
        select(_RECORDS).where(
            _RECORDS.c.source == origin.source,
            _RECORDS.c.object == origin.object,
            _RECORDS.c.remote_id.in_(remote_ids),
        )
    )
    records = {row.remote_id: stored_record(row) for row in rows}
    new = {remote_id: home for remote_id, home in homes.items() if remote_id not in records}
    return _Stored(
        records,
        homes={row.id for row in customers},
        unprojected={row.id for row in customers if row.version != row.projected_version},
        named=set(new.values()) if origin.shared_kinds else _named(session, origin, new),
    )


@dataclass(slots=True)
class _Changes:
    """A batch compared with what is stored. records: those whose customers have to be computed anew.

    removed: how many were live and are no longer.
    """

    writes: RecordWrites
    outcomes: dict[str, RecordOutcome] = field(default_factory=dict)
    records: list[StoredRecord] = field(default_factory=list)
    removed: int = 0

    @property
    def homes(self) -> set[str]:
        """Return the homes of the records."""
        return {one.home_id for one in self.records}

    @property
    def erased(self) -> frozenset[str]:
        """Return the homes of records that are erased."""
        return frozenset(one.home_id for one in self.records if one.state is RecordState.ERASED)


def _compared(origin: Origin, by_id: Mapping[str, Arrival], stored: _Stored) -> _Changes:
    changes = _Changes(RecordWrites(origin))
    for remote_id, arrival in by_id.items():
        known = stored.records.get(remote_id)
        outcome, record = compare(origin, known, arrival)
        if outcome is RecordOutcome.CREATED and home_of(origin.source, remote_id) in stored.homes:
            outcome = RecordOutcome.CHANGED
        changes.outcomes[remote_id] = outcome
        if record is None:
            continue
        changes.writes.put(record, known)
        if outcome is not RecordOutcome.UNCHANGED:
            changes.records.append(record)
            changes.removed += known is not None and known.state is RecordState.LIVE and record.state is not known.state
    return changes


def _applied(session: Session, origin: Origin, stored: _Stored, changes: _Changes, recomputed: Recomputed) -> Applied:
    removed = Removed(changes.removed, len(_identifiers_lost(recomputed)))
    settled = _settled(session, origin, stored, changes.outcomes, recomputed.after)
    return Applied(changes.outcomes, settled, changes.erased, removed, recomputed)


def _named(session: Session, origin: Origin, new: Mapping[str, str]) -> set[str]:
    """Return those of the homes of new records that a record or a decision names. new: remote id -> home."""
    homes = set(new.values())
    if not homes:
        return homes
    of_object = (_RECORDS.c.source == origin.source, _RECORDS.c.object == origin.object)
    merged_into = and_(*of_object, _RECORDS.c.into_remote_id.in_(new))
    rows = session.execute(
        union_all(
            select(_DECISIONS.c.subject).where(_DECISIONS.c.subject.in_(homes)),
            select(_DECISIONS.c.other).where(_DECISIONS.c.other.in_(homes)),
            select(_RECORDS.c.home_id).where(_RECORDS.c.home_id.in_(homes)),
        )
    )
    into = session.scalars(select(_RECORDS.c.into_remote_id).where(merged_into))
    return {row[0] for row in rows} | {new[remote_id] for remote_id in into if remote_id}


def _identifiers_lost(recomputed: Recomputed) -> set[Identifier]:
    """Return the identifiers of sources that changed customers have lost, but for customers who are gone."""
    after = recomputed.after
    before = {
        key
        for customer_id, stored in recomputed.before.items()
        if stored and (projection := after[customer_id]) and not projection.is_gone
        for key, (_, _, source) in stored.identifiers.items()
        if source == FROM_CRM
    }
    return before - {key for one in after.values() if one for key in one.identifiers}


def _settled(
    session: Session,
    origin: Origin,
    stored: _Stored,
    outcomes: Mapping[str, RecordOutcome],
    after: Mapping[str, Projection | None],
) -> frozenset[str]:
    """Return the remote ids over which a decision of staff stands: an edit, an unlink or a merge.

    after: the customers that change, which may not be written yet; the others are as stored.
    """
    homes = {
        stored.records[one].home_id if one in stored.records else home_of(origin.source, one): one
        for one, outcome in outcomes.items()
        if outcome is not RecordOutcome.CREATED
    }
    settled = {
        home
        for home in homes.keys() & after.keys()
        if (projection := after[home]) and (projection.settled or projection.unlinked or projection.merged_into)
    }
    if others := homes.keys() - after.keys():
        is_unlinked = exists().where(_UNLINKED.c.customer_id == _CUSTOMERS.c.id)
        is_settled = or_(_CUSTOMERS.c.settled.is_not(None), _CUSTOMERS.c.merged_into.is_not(None), is_unlinked)
        settled.update(session.scalars(select(_CUSTOMERS.c.id).where(_CUSTOMERS.c.id.in_(others), is_settled)))
    return frozenset(homes[one] for one in settled)
