"""Records of a source enter the store, and the customers they make are computed anew.

Works in the session of the caller; raises DatabaseError. `arrivals.py` says which of two records is newer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import and_, exists, or_, select, union_all
from sqlalchemy.orm import Session

from enrich.customers.arrivals import Arrival, Origin, RecordOutcome, compare, home_of
from enrich.customers.brake import NOTHING, Removed
from enrich.customers.identifiers import FROM_CRM, Identifier
from enrich.customers.projection import (
    DEFAULT_PRECEDENCE,
    Precedence,
    RecordState,
    StoredRecord,
)
from enrich.customers.projection_writes import ProjectionWrites
from enrich.customers.projector import Recomputed, differences, neighbourhood, projections, recompute, stored_record
from enrich.customers.record_writes import RecordWrites
from enrich.customers.source_tables import DecisionRow, SharedIdRow, SourceRecordRow
from enrich.customers.tables import CustomerRow, UnlinkedRow
from enrich.database.types import Base

_RECORDS, _SHARED, _CUSTOMERS, _UNLINKED, _DECISIONS = (
    Base.metadata.tables[row.__tablename__]
    for row in (SourceRecordRow, SharedIdRow, CustomerRow, UnlinkedRow, DecisionRow)
)


@dataclass(frozen=True, slots=True)
class Applied:
    """The result of a batch. outcomes: by remote id. settled: remote ids where a decision of staff stands above it."""

    outcomes: Mapping[str, RecordOutcome]
    settled: frozenset[str] = frozenset()
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
    for remote_id, arrival in by_id.items():
        home = home_of(origin.source, remote_id)
        known = stored.records.get(remote_id)
        outcome, record = compare(origin, known, arrival)
        if home in stored.unprojected:
            others.append(arrival)
        elif record is None:
            outcomes[remote_id] = outcome
        elif known is None and outcome is RecordOutcome.CREATED and home not in stored.homes | stored.talked_about:
            founders.append(record)
        else:
            others.append(arrival)
    return Plan(outcomes, founders, others, _settled(session, origin, outcomes, stored, outcomes))


def apply_records(
    session: Session,
    origin: Origin,
    arrivals: Sequence[Arrival],
    now: datetime,
    *,
    seq: int,
    precedence: Precedence = DEFAULT_PRECEDENCE,
) -> Applied:
    """Apply these records, of different remote ids, and compute their customers anew.

    seq: the source's counter for this transaction. now: aware.
    """
    by_id = {one.record.remote_id: one for one in arrivals}
    stored = _stored(session, origin, by_id)
    if stored.unprojected:
        recompute(session, stored.unprojected, now, precedence)  # adopts them
        stored = _stored(session, origin, by_id)
    outcomes: dict[str, RecordOutcome] = {}
    writes = RecordWrites(origin)
    homes: set[str] = set()
    removed_records = 0
    for remote_id, arrival in by_id.items():
        known = stored.records.get(remote_id)
        outcome, record = compare(origin, known, arrival)
        if outcome is RecordOutcome.CREATED and home_of(origin.source, remote_id) in stored.homes:
            outcome = RecordOutcome.CHANGED
        outcomes[remote_id] = outcome
        if record is None:
            continue
        writes.put(record, known)
        if known is None or outcome is not RecordOutcome.UNCHANGED:
            homes.add(record.home_id)
            removed_records += known is not None and known.state is RecordState.LIVE and record.state is not known.state
    homes |= writes.write(session, seq)
    recomputed = recompute(session, homes, now, precedence)
    identifiers = _identifiers_lost(recomputed)
    settled = _settled(session, origin, by_id, stored, outcomes)
    return Applied(outcomes, settled, Removed(removed_records, len(identifiers)), recomputed)


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


def prepare_records(
    session: Session,
    origin: Origin,
    arrivals: Sequence[Arrival],
    now: datetime,
    precedence: Precedence = DEFAULT_PRECEDENCE,
) -> Prepared | None:
    """Return the changes that `apply_records` would make; None where only the transaction itself can tell. Only reads.

    It can where records join nobody: no shared kinds, no merges in the source; and where no customer has to be adopted.
    """
    by_id = {one.record.remote_id: one for one in arrivals}
    stored = _stored(session, origin, by_id)
    if origin.shared_kinds or stored.unprojected:
        return None
    outcomes: dict[str, RecordOutcome] = {}
    writes = RecordWrites(origin)
    changed: dict[str, StoredRecord] = {}
    removed_records = 0
    for remote_id, arrival in by_id.items():
        known = stored.records.get(remote_id)
        outcomes[remote_id], record = compare(origin, known, arrival)
        if known is None or known.into_remote_id or arrival.into_remote_id:
            return None
        if record is not None:
            writes.put(record, known)
            if outcomes[remote_id] is not RecordOutcome.UNCHANGED:
                changed[record.home_id] = record
                removed_records += known.state is RecordState.LIVE and record.state is not known.state
    around = neighbourhood(session, changed, lock=False)
    if not all(one.is_projected for one in around.customers.values()):
        return None
    around.records |= {record.key: record for record in changed.values()}
    wanted = projections(around, now, precedence)
    customers, recomputed = differences(session, around, wanted, now)
    removed = Removed(removed_records, len(_identifiers_lost(recomputed)))
    settled = {
        record.remote_id
        for record in changed.values()
        if (projection := wanted.get(record.home_id))
        and (projection.settled or projection.unlinked or projection.merged_into)
    }
    others = by_id.keys() - {record.remote_id for record in changed.values()}
    settled |= _settled(session, origin, others, stored, outcomes)
    return Prepared(Applied(outcomes, frozenset(settled), removed, recomputed), writes, customers)


@dataclass(slots=True)
class _Stored:
    """The stored state of a batch. homes: ids of customers that exist. unprojected: those that have to be adopted.

    talked_about: homes without a customer of which a record or decision speaks all the same, or may speak.
    """

    records: dict[str, StoredRecord] = field(default_factory=dict)
    homes: set[str] = field(default_factory=set)
    unprojected: set[str] = field(default_factory=set)
    talked_about: set[str] = field(default_factory=set)


def _stored(session: Session, origin: Origin, remote_ids: Collection[str]) -> _Stored:
    stored = _Stored()
    homes = {remote_id: home_of(origin.source, remote_id) for remote_id in remote_ids}
    versions = select(_CUSTOMERS.c.id, _CUSTOMERS.c.version, _CUSTOMERS.c.projected_version)
    for row in session.execute(versions.where(_CUSTOMERS.c.id.in_(set(homes.values())))):
        stored.homes.add(row.id)
        if row.version != row.projected_version:
            stored.unprojected.add(row.id)
    rows = session.execute(
        select(_RECORDS).where(
            _RECORDS.c.source == origin.source,
            _RECORDS.c.object == origin.object,
            _RECORDS.c.remote_id.in_(remote_ids),
        )
    )
    stored.records = {row.remote_id: stored_record(row) for row in rows}
    new = {remote_id: home for remote_id, home in homes.items() if remote_id not in stored.records}
    stored.talked_about = set(new.values()) if origin.shared_kinds else _talked_about(session, origin, new)
    return stored


def _talked_about(session: Session, origin: Origin, new: Mapping[str, str]) -> set[str]:
    """Return those of the homes of new records that a record or a decision speaks of. new: remote id -> home."""
    homes = set(new.values())
    if not homes:
        return homes
    merged_into = and_(_RECORDS.c.source == origin.source, _RECORDS.c.into_remote_id.in_(new))
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
    remote_ids: Iterable[str],
    stored: _Stored,
    outcomes: Mapping[str, RecordOutcome],
) -> frozenset[str]:
    """Return the records above which a decision of staff stands: an edit, an unlink or a merge."""
    homes = {
        stored.records[one].home_id if one in stored.records else home_of(origin.source, one): one
        for one in remote_ids
        if outcomes[one] is not RecordOutcome.CREATED
    }
    if not homes:
        return frozenset()
    is_unlinked = exists().where(_UNLINKED.c.customer_id == _CUSTOMERS.c.id)
    rows = session.scalars(
        select(_CUSTOMERS.c.id).where(
            _CUSTOMERS.c.id.in_(homes),
            or_(_CUSTOMERS.c.settled.is_not(None), _CUSTOMERS.c.merged_into.is_not(None), is_unlinked),
        )
    )
    return frozenset(homes[one] for one in rows)
