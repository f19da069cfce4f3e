"""Decisions of staff as rows: each is added with the customers computed anew, and undone by leaving it out.

Works in the session of the caller; raises DatabaseError.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from enrich.customers.projection import Decision, DecisionKind
from enrich.customers.projector import recompute
from enrich.customers.records import Actor
from enrich.customers.source_tables import DecisionRow
from enrich.database.types import Base

_DECISIONS: Any = Base.metadata.tables[DecisionRow.__tablename__]


def decide(session: Session, new: Sequence[Decision], by: Actor, at: datetime) -> tuple[int, ...]:
    """Store these decisions, in this order, and compute the customers anew; return their ids. new: ids are ignored."""
    ids = tuple(
        session.execute(
            insert(_DECISIONS)
            .values(
                at=at,
                by=by.name,
                kind=one.kind,
                subject=one.subject,
                other=one.other,
                field=one.field,
                key_kind=one.key.kind if one.key else None,
                key_value=one.key.value if one.key else None,
                value=one.value,
                base=one.base,
            )
            .returning(_DECISIONS.c.id)
        ).scalar_one()
        for one in new
    )
    recompute(session, _homes(new), at)
    return ids


def attribute(session: Session, decision_ids: Collection[int], audit_id: int) -> None:
    """Make these decisions those of an entry of the audit trail, with which they are undone."""
    session.execute(update(_DECISIONS).where(_DECISIONS.c.id.in_(decision_ids)).values(audit_id=audit_id))


def forget(session: Session, decision_ids: Collection[int]) -> None:
    """Delete decisions that have changed nothing."""
    session.execute(delete(_DECISIONS).where(_DECISIONS.c.id.in_(decision_ids)))


def withdraw(session: Session, customer_ids: Collection[str], at: datetime) -> None:
    """Undo the creation of these customers by staff; they are computed anew by the caller."""
    created = (_DECISIONS.c.subject.in_(customer_ids), _DECISIONS.c.kind == DecisionKind.CREATE)
    session.execute(update(_DECISIONS).where(*created, _DECISIONS.c.undone_at.is_(None)).values(undone_at=at))


def of_entry(session: Session, audit_id: int) -> frozenset[str]:
    """Return the homes that the decisions of this entry of the trail are about; empty without decisions."""
    rows = session.execute(
        select(_DECISIONS.c.subject, _DECISIONS.c.other).where(_DECISIONS.c.audit_id == audit_id)
    ).all()
    return frozenset(home for row in rows for home in row if home)


def are_in_effect(session: Session, audit_id: int) -> bool:
    """Return whether the decisions of this entry are in effect; False without decisions."""
    standing = select(_DECISIONS.c.id).where(_DECISIONS.c.audit_id == audit_id, _DECISIONS.c.undone_at.is_(None))
    return session.execute(standing.limit(1)).one_or_none() is not None


def reverse(session: Session, audit_id: int, at: datetime) -> None:
    """Undo the decisions of this entry or, if they are undone, put them into effect again; compute customers anew."""
    undone_at = at if are_in_effect(session, audit_id) else None
    session.execute(update(_DECISIONS).where(_DECISIONS.c.audit_id == audit_id).values(undone_at=undone_at))
    recompute(session, of_entry(session, audit_id), at)


def is_known(session: Session, customer_id: str) -> bool:
    """Return whether any decision was ever about this customer, so that the id is theirs, even if all are undone."""
    about = select(_DECISIONS.c.id).where(_DECISIONS.c.subject == customer_id).limit(1)
    return session.execute(about).one_or_none() is not None


def _homes(decisions: Collection[Decision]) -> set[str]:
    return {home for one in decisions for home in (one.subject, one.other) if home}
