"""The provenance of a stored customer, read with the authors of decisions and the other owners of its identifiers.

Works in the session of the caller, locks nothing, and raises DatabaseError.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from enrich.customers import provenance
from enrich.customers.clusters import NEVER, clusters
from enrich.customers.identifiers import PHONE, Identifier, is_plain_number
from enrich.customers.projection_writes import StoredCustomer
from enrich.customers.projector import neighbourhood
from enrich.customers.provenance import Provenance
from enrich.customers.source_tables import DecisionRow
from enrich.customers.tables import AuditRow, IdentifierRow
from enrich.database.types import Base

_DECISIONS, _TRAIL, _IDENTIFIERS = (
    Base.metadata.tables[row.__tablename__] for row in (DecisionRow, AuditRow, IdentifierRow)
)

# Rows read of other owners: a number that more share identifies nobody, whoever they are.
MAX_OTHER_OWNERS = 100


@dataclass(frozen=True, slots=True)
class Author:
    """The author of a decision. by: "" if unknown. audit_id: with which it can be undone, None if it cannot."""

    by: str
    at: datetime
    audit_id: int | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """The origin of a customer's values, as far as it is known.

    authors: of decisions, by id. other_owners: customers that have an identifier, too, so that it identifies nobody.
    since: creation of each part, None if unknown.
    """

    provenance: Provenance
    authors: Mapping[int, Author] = field(default_factory=dict)
    other_owners: Mapping[Identifier, tuple[str, ...]] = field(default_factory=dict)
    since: Mapping[str, datetime | None] = field(default_factory=dict)


def explain(session: Session, customer_id: str) -> Explanation | None:
    """Return the explanation of this customer.

    None for an unknown one, for one that is part of another, for one that the projection has not computed yet
    (`adoption.py`), and for one of whom a newer version stored what this one cannot read.
    """
    around = neighbourhood(session, [customer_id], lock=False)
    stored = around.customers.get(customer_id)
    if stored is None or stored.merged_into or not all(one.is_projected for one in around.customers.values()):
        return None
    records, decisions = around.records.values(), around.decisions.values()
    if not (all(one.is_readable for one in records) and all(one.is_readable for one in decisions)):
        return None
    ages = {home: around.customers[home].created_at if home in around.customers else NEVER for home in around.homes}
    found = clusters(ages, records, decisions, around.shared.values())
    cluster = next((one for one in found if one.root == customer_id), None)
    if cluster is None:
        return None
    traced = provenance.trace(cluster, records, decisions, around.shared, around.precedence)
    parts = tuple(part for part in traced.parts if part.home in around.customers)
    return Explanation(
        replace(traced, parts=parts),
        _authors(session, around.decisions),
        _other_owners(session, customer_id, stored),
        {part.home: around.customers[part.home].created_at for part in parts},
    )


def _authors(session: Session, decision_ids: Collection[int]) -> dict[int, Author]:
    if not decision_ids:
        return {}
    rows = session.execute(
        select(_DECISIONS.c.id, _DECISIONS.c.by, _DECISIONS.c.at, _TRAIL.c.id.label("audit_id"))
        .outerjoin(_TRAIL, (_TRAIL.c.id == _DECISIONS.c.audit_id) & _TRAIL.c.undone_by.is_(None))
        .where(_DECISIONS.c.id.in_(decision_ids))
    )
    return {row.id: Author(row.by, row.at, row.audit_id) for row in rows}


def _other_owners(session: Session, customer_id: str, stored: StoredCustomer) -> dict[Identifier, tuple[str, ...]]:
    """Return the other owners by identifier, without those who only share a switchboard."""
    own: dict[str, list[str]] = {}
    for key, (_, as_written, _) in stored.identifiers.items():
        if _is_evidence(key.kind, as_written):
            own.setdefault(key.kind, []).append(key.value)
    found: dict[Identifier, list[str]] = {}
    for kind, values in sorted(own.items()):
        rows = session.execute(
            select(_IDENTIFIERS.c.value, _IDENTIFIERS.c.customer_id, _IDENTIFIERS.c.as_written)
            .where(
                _IDENTIFIERS.c.kind == kind, _IDENTIFIERS.c.value.in_(values), _IDENTIFIERS.c.customer_id != customer_id
            )
            .order_by(_IDENTIFIERS.c.value, _IDENTIFIERS.c.customer_id)
            .limit(MAX_OTHER_OWNERS)
        )
        for row in rows:
            if _is_evidence(kind, row.as_written):
                found.setdefault(Identifier(kind, row.value), []).append(row.customer_id)
    return {key: tuple(owners) for key, owners in found.items()}


def _is_evidence(kind: str, as_written: str) -> bool:
    """Return False for the number of a switchboard behind which the customer has an extension."""
    return kind != PHONE or is_plain_number(as_written)
