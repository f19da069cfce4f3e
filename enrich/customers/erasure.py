"""Erasure of a person, as the law demands: what the records, decisions and trail of their customer say goes for good.

What stays has no values: that there was a record, that something was changed, when and by whom, and decisions that only
name customers, such as a merge. The journal keeps what callbacks looked up for its own time.

Works in the session of the caller; raises DatabaseError.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from enrich.customers.projection import DecisionKind
from enrich.customers.records import EMPTY_STATE
from enrich.customers.source_tables import DecisionRow
from enrich.customers.tables import AuditCustomerRow, AuditRow, CustomerRow
from enrich.database.types import Base

_DECISIONS, _TRAIL, _ABOUT, _CUSTOMERS = (
    Base.metadata.tables[row.__tablename__] for row in (DecisionRow, AuditRow, AuditCustomerRow, CustomerRow)
)
_WITH_VALUES = (DecisionKind.CREATE, DecisionKind.EDIT, DecisionKind.LINK, DecisionKind.UNLINK)


def erase_decisions(session: Session, homes: Collection[str]) -> None:
    """Delete what staff decided about the values of these homes; their customers are computed anew by the caller."""
    about = (_DECISIONS.c.subject.in_(homes), _DECISIONS.c.kind.in_(_WITH_VALUES))
    session.execute(delete(_DECISIONS).where(*about))


def empty_trail(session: Session, homes: Collection[str]) -> None:
    """Empty the states in all entries of the trail about these homes, and about the customers that they are part of."""
    customer = func.coalesce(_CUSTOMERS.c.merged_into, _CUSTOMERS.c.id)
    customers = {*homes, *session.scalars(select(customer).where(_CUSTOMERS.c.id.in_(homes)))}
    about = select(_ABOUT.c.audit_id).where(_ABOUT.c.customer_id.in_(customers))
    session.execute(update(_TRAIL).where(_TRAIL.c.id.in_(about)).values(before=EMPTY_STATE, after=EMPTY_STATE))
