"""Customers as code from before the projection left them become source records and decisions.

Every customer of such a time is adopted when it is touched first, and by the worker in the background; so is one that
such code, running beside this one or after a roll-back, has changed since. Adopting changes nothing that anybody sees:
the projection of what it writes is the customer as it is stored.

It compares what is stored with what the projection would be:

    a text, notes or cases that staff changed     an edit
    others that differ                            the value of the customer's record of files, no longer of the
                                                  creation by staff
    an identifier more                            in the record, or a link where it is staff's
    an identifier less                            an unlink where it is staff's, or no longer in record and creation;
                                                  where another part of the customer has it, it comes back
    merged, or no longer merged                   a merge, or none
    nothing known of the customer                 a record of files, or a creation by staff
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, insert, update
from sqlalchemy.orm import Session

from enrich.customers.fixture_rows import FIELD_OF_KIND
from enrich.customers.identifiers import FROM_CRM, FROM_STAFF, Identifier, customer_id_identifier
from enrich.customers.projection import (
    CUSTOMER,
    FILE,
    IDENTIFIER_FIELDS,
    LISTS,
    NAMELESS,
    Decision,
    DecisionKind,
    Projection,
    RecordState,
    StoredRecord,
)
from enrich.customers.projection_writes import StoredCustomer
from enrich.customers.source_tables import HASH_BYTES, DecisionRow, SourceRecordRow
from enrich.customers.tables import CustomerRow
from enrich.database.types import Base
from enrich.domain.lengths import CUSTOMER_TEXTS

_CUSTOMERS, _RECORDS, _DECISIONS = (
    Base.metadata.tables[row.__tablename__] for row in (CustomerRow, SourceRecordRow, DecisionRow)
)

# No row of a file has it: the next one is compared as a whole.
NO_HASH = bytes(HASH_BYTES)
# Nobody by name: the audit trail of its day says who it was.
_BY = ""

Fields = dict[str, Any]


@dataclass(slots=True)
class _Adoption:
    """The writes for one customer. fields: of the record of files; creation: those of the creation by staff."""

    fields: Fields
    creation: Fields
    decisions: list[dict[str, Any]] = field(default_factory=list)
    undone: list[int] = field(default_factory=list)

    def decide(self, kind: DecisionKind, **values: Any) -> None:
        self.decisions.append({"kind": kind, **values})


def adopt(
    session: Session,
    customers: Mapping[str, StoredCustomer],
    records: Iterable[StoredRecord],
    decisions: Iterable[Decision],
    computed: Mapping[str, Projection | None],
    now: datetime,
) -> bool:
    """Write records and decisions for the customers that the projection did not write; return whether there were any.

    customers: by id, with all that they are connected with; records, decisions: all of these. computed: what the
    projection would be. After True the caller computes anew and calls again, since each step needs the projection
    after the one before: first the merges, then customers of whom nothing is known, then what differs of the others.
    Raises DatabaseError.
    """
    unprojected = {one: stored for one, stored in customers.items() if not stored.is_projected and one in computed}
    if not unprojected:
        return False
    records, decisions = list(records), list(decisions)
    if _adopt_merges(session, unprojected, decisions, computed, now):
        return True
    own = {one.home_id: one for one in records if one.source == FILE and one.remote_id == one.home_id}
    known = {one.home_id for one in records}
    known |= {one.subject for one in decisions if one.kind is DecisionKind.CREATE}
    root_of = {one: stored.merged_into or one for one, stored in customers.items()}
    about: dict[str, list[Decision]] = defaultdict(list)
    for one in decisions:
        about[root_of.get(one.subject, one.subject)].append(one)
    if unknown := [one for one in unprojected if one not in known]:
        for customer_id in unknown:
            stored, of_customer = unprojected[customer_id], about[customer_id]
            _adopt_one(session, customer_id, stored, None, of_customer, None, now, has_parts=False)
        return True
    parts = Counter(root_of.values())
    for customer_id, stored in unprojected.items():
        if stored.merged_into is None:
            record, projection = own.get(customer_id), computed.get(customer_id)
            has_parts = parts[customer_id] > 1
            _adopt_one(session, customer_id, stored, record, about[customer_id], projection, now, has_parts=has_parts)
    session.connection().execute(
        update(_CUSTOMERS).where(_CUSTOMERS.c.id == bindparam("of")),
        [{"of": one, "projected_version": stored.version} for one, stored in unprojected.items()],
    )
    return True


def _adopt_merges(
    session: Session,
    unprojected: Mapping[str, StoredCustomer],
    decisions: Iterable[Decision],
    computed: Mapping[str, Projection | None],
    now: datetime,
) -> bool:
    """Make the merges by staff those that are stored; return whether they were different."""
    merges = [one for one in decisions if one.kind is DecisionKind.MERGE]
    is_changed = False
    for customer_id, stored in unprojected.items():
        projection = computed.get(customer_id)
        into = projection.merged_into if projection else None
        if stored.merged_into and into is None and not any(one.other == customer_id for one in merges):
            values = {"kind": DecisionKind.MERGE, "subject": stored.merged_into, "other": customer_id}
            session.execute(insert(_DECISIONS).values(at=now, by=_BY, **values))
            is_changed = True
        elif not stored.merged_into and into is not None:
            undone = [one.id for one in merges if one.other == customer_id]
            if undone:
                _undo(session, undone, now)
                is_changed = True
    return is_changed


def _adopt_one(
    session: Session,
    customer_id: str,
    stored: StoredCustomer,
    record: StoredRecord | None,
    about: list[Decision],
    computed: Projection | None,
    now: datetime,
    *,
    has_parts: bool,
) -> None:
    settled = stored.settled if isinstance(stored.settled, dict) else {}
    created = next((one for one in about if one.kind is DecisionKind.CREATE and one.subject == customer_id), None)
    adoption = _Adoption(dict(record.fields) if record else {}, dict(created.value) if created else {})
    actual = {**stored.texts, "notes": stored.notes, "cases": stored.cases}
    projected = {**computed.texts, "notes": computed.notes, "cases": computed.cases} if computed else {}
    for name in (*CUSTOMER_TEXTS, *LISTS):
        said = (computed.settled if computed else {}).get(name, projected.get(name, [] if name in LISTS else ""))
        if computed is None or actual[name] != projected[name]:
            _adopt_field(adoption, name, actual[name], said, settled, about, has_parts=has_parts)
    _adopt_identifiers(adoption, customer_id, stored, about, computed)
    fields = _without_empty(adoption.fields)
    if computed is None:
        if not _has_name(stored):
            fields[NAMELESS] = True
        if _is_made_by_staff(stored):
            # First, since what staff did afterwards has a higher id.
            adoption.decisions.insert(0, {"kind": DecisionKind.CREATE, "value": fields})
        else:
            _put_record(session, customer_id, fields, is_new=True)
    elif fields != (record.fields if record else {}):
        _put_record(session, customer_id, fields, is_new=record is None)
    if created and (value := _without_empty(adoption.creation)) != created.value:
        session.execute(update(_DECISIONS).where(_DECISIONS.c.id == created.id).values(value=value))
    if adoption.undone:
        _undo(session, adoption.undone, now)
    for values in adoption.decisions:
        session.execute(insert(_DECISIONS).values(at=now, by=_BY, subject=customer_id, **values))


def _adopt_field(
    adoption: _Adoption,
    name: str,
    actual: Any,
    said: Any,
    settled: Mapping[str, Any],
    about: Iterable[Decision],
    *,
    has_parts: bool,
) -> None:
    """Adopt a text, notes or cases. said: by sources, as far as is known. settled: what the CRM says, as stored."""
    if has_parts:
        # An edit of the whole: the record of one part cannot say that another part has nothing to say.
        adoption.decide(DecisionKind.EDIT, field=name, value=actual, base=said)
        return
    says = settled.get(name, actual)
    if says != said:
        adoption.fields[name] = says
        adoption.creation.pop(name, None)
    edits = [one for one in about if one.kind is DecisionKind.EDIT and one.field == name and one.base == says]
    if name in settled:
        adoption.decide(DecisionKind.EDIT, field=name, value=actual, base=says)
    else:
        adoption.undone += [one.id for one in edits]


def _adopt_identifiers(
    adoption: _Adoption,
    customer_id: str,
    stored: StoredCustomer,
    about: Iterable[Decision],
    computed: Projection | None,
) -> None:
    own = customer_id_identifier(customer_id)
    projected = computed.identifiers if computed else {}
    is_made_by_staff = computed is None and _is_made_by_staff(stored)
    for key, (_, as_written, source) in stored.identifiers.items():
        if key == own or projected.get(key) == (as_written, source):
            continue
        if source == FROM_CRM or is_made_by_staff:
            _set_identifier(adoption.fields, key, as_written)
            adoption.undone += _about_key(about, key, DecisionKind.UNLINK)
        else:
            adoption.decide(
                DecisionKind.LINK,
                key_kind=key.kind,
                key_value=key.value,
                value=as_written if as_written != key.value else None,
            )
    for key in stored.unlinked:
        if computed is None or key not in computed.unlinked:
            if computed is None:
                _set_identifier(adoption.fields, key, key.value)
            adoption.decide(DecisionKind.UNLINK, key_kind=key.kind, key_value=key.value)
    for key in projected.keys() - stored.identifiers.keys() - stored.unlinked:
        adoption.undone += _about_key(about, key, DecisionKind.LINK)
        # What another part of the customer has stays: a load by such code did not know of the parts.
        for fields in (adoption.fields, adoption.creation):
            _take_identifier(fields, key)


def _about_key(about: Iterable[Decision], key: Identifier, kind: DecisionKind) -> list[int]:
    return [one.id for one in about if one.kind is kind and one.key == key]


def _without_empty(fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if value}


def _set_identifier(fields: Fields, key: Identifier, as_written: str) -> None:
    _take_identifier(fields, key)
    name = FIELD_OF_KIND.get(key.kind, "ids")
    fields[name] = sorted([*fields.get(name, ()), [key.kind, key.value, as_written]])


def _take_identifier(fields: Fields, key: Identifier) -> None:
    for name in IDENTIFIER_FIELDS:
        if name in fields:
            fields[name] = [one for one in fields[name] if Identifier(*one[:2]) != key]


def _has_name(stored: StoredCustomer) -> bool:
    """Return whether the name is a name, not the substitute of a customer without one."""
    others = {stored.texts["company"], "", *(as_written for _, as_written, _ in stored.identifiers.values())}
    return stored.texts["name"] not in others


def _is_made_by_staff(stored: StoredCustomer) -> bool:
    """Return whether nothing of the customer came from a file."""
    sources = {source for _, _, source in stored.identifiers.values()}
    return sources == {FROM_STAFF} and not stored.unlinked and stored.merged_into is None


def _put_record(session: Session, customer_id: str, fields: Fields, *, is_new: bool) -> None:
    if is_new:
        session.execute(
            insert(_RECORDS).values(
                source=FILE,
                object=CUSTOMER,
                remote_id=customer_id,
                home_id=customer_id,
                hash=NO_HASH,
                state=RecordState.LIVE,
                seq=0,
                fields=fields,
            )
        )
        return
    of_record = (_RECORDS.c.source == FILE, _RECORDS.c.object == CUSTOMER, _RECORDS.c.remote_id == customer_id)
    session.execute(update(_RECORDS).where(*of_record).values(fields=fields, hash=NO_HASH, state=RecordState.LIVE))


def _undo(session: Session, decision_ids: Iterable[int], now: datetime) -> None:
    session.execute(update(_DECISIONS).where(_DECISIONS.c.id.in_(list(decision_ids))).values(undone_at=now))
