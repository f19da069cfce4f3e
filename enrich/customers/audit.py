"""The audit trail of changes by staff: who, when, what, and the state before and after (records.py).

A newer version may have written an action or a state that this one does not know. Such an entry is listed, and undo.py
leaves it alone.

Works in the session of the caller; raises DatabaseError. Changes by staff are serialised.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Row, insert, select
from sqlalchemy.orm import Session

from enrich.customers import decisions, records
from enrich.customers.identifiers import Identifier
from enrich.customers.projection import Projection
from enrich.customers.projection_writes import StoredCustomer
from enrich.customers.projector import Recomputed
from enrich.customers.records import EMPTY_STATE, Actor, Scope, State, capture, gone_of, serialise_changes
from enrich.customers.tables import AuditCustomerRow, AuditRow
from enrich.database.types import Base

_TRAIL, _ABOUT = (Base.metadata.tables[row.__tablename__] for row in (AuditRow, AuditCustomerRow))


class AuditAction(StrEnum):
    """The changes and requests of staff."""

    PINNED = "pinned"  # the task was assigned to this customer
    NOBODY = "nobody"  # the task belongs to none of the customers found
    RELEASED = "released"  # the pin of the task was removed
    LINKED = "linked"  # the identifier was given to this customer alone
    UNLINKED = "unlinked"  # the identifier was taken from this customer
    CREATED = "created"
    EDITED = "edited"
    MERGED = "merged"
    SPLIT = "split"
    SYNCED = "synced"  # a source changed a customer that was known
    LOADED = "loaded"  # a source was loaded; how many customers it made and changed
    DELETED = "deleted"
    UNDONE = "undone"
    ENRICHED = "enriched"  # a task was enriched again; no record was changed
    REPLAYED = "replayed"  # a task was enriched again from a stored callback


_OF_SOURCES = frozenset({AuditAction.SYNCED, AuditAction.LOADED})
_CHANGING = frozenset(AuditAction) - _OF_SOURCES - {AuditAction.ENRICHED, AuditAction.REPLAYED}


@dataclass(frozen=True, slots=True)
class AuditedChange:
    """A change that was made. customers, keys, tasks: those that it affected.

    records: the customers whose own details changed, so that the blocks on their tasks are out of date.
    """

    audit_id: int
    customers: frozenset[str]
    keys: frozenset[Identifier]
    tasks: frozenset[str]
    records: frozenset[str]


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One audit entry. undone_by: the entry that undid it; None while it is in effect.

    is_readable: False if its states have a shape that this version does not know; then both are empty.
    changed: what a source changed, by field, before and after; its states are empty, too. gave_way: those of these
    fields where an edit of staff stood.
    """

    id: int
    at: datetime
    by: str
    action: str
    task_sid: str | None
    customer_id: str | None
    before: State = field(repr=False)
    after: State = field(repr=False)
    undoes: int | None
    undone_by: int | None
    is_readable: bool = True
    changed: Mapping[str, tuple[Any, Any]] = field(default_factory=dict, repr=False)
    gave_way: tuple[str, ...] = ()

    @property
    def can_be_undone(self) -> bool:
        """Return whether it changed something, is in effect, and is wholly known to this version."""
        return self.undone_by is None and self.is_readable and self.action in _CHANGING


def change(
    session: Session,
    scope: Scope,
    action: AuditAction,
    by: Actor,
    at: datetime,
    act: Callable[[], Sequence[int] | None],
    *,
    task_sid: str | None = None,
    customer_id: str | None = None,
) -> AuditedChange | None:
    """Call `act` and add an audit entry for its changes within the scope; return None if there are none.

    act: returns the ids of the decisions it made, if any; without a change they are forgotten.
    """
    serialise_changes(session)
    before, gone = capture(session, scope), gone_of(session, scope.customers)
    made = act() or ()
    after = capture(session, scope)
    # Of a customer without numbers a deletion changes nothing else.
    if before == after and gone == gone_of(session, scope.customers):
        decisions.forget(session, made)
        return None
    changed = enter(session, action, by, at, before, after, task_sid=task_sid, customer_id=customer_id)
    decisions.attribute(session, made, changed.audit_id)
    return changed


def enter(
    session: Session,
    action: AuditAction,
    by: Actor,
    at: datetime,
    before: State,
    after: State,
    *,
    task_sid: str | None,
    customer_id: str | None,
    undoes: int | None = None,
) -> AuditedChange:
    """Add an audit entry for the change between these two states of one scope, even if they are the same.

    undoes: the entry that the change undid.
    """
    audit_id = session.execute(
        insert(_TRAIL)
        .values(
            at=at,
            user_id=by.user_id,
            by=by.name,
            action=action,
            task_sid=task_sid,
            customer_id=customer_id,
            before=before,
            after=after,
            undoes=undoes,
        )
        .returning(_TRAIL.c.id)
    ).scalar_one()
    customers, keys, tasks = _affected(before, after)
    about = customers | ({customer_id} if customer_id else set())
    if about:
        session.execute(insert(_ABOUT), [{"audit_id": audit_id, "customer_id": one} for one in sorted(about)])
    altered = (one for one, record in after["customers"].items() if before["customers"][one] != record)
    return AuditedChange(audit_id, frozenset(customers), frozenset(keys), frozenset(tasks), frozenset(altered))


def note(session: Session, action: AuditAction, by: Actor, at: datetime, *, task_sid: str) -> None:
    """Add an audit entry for an action that changes no record."""
    values = {"at": at, "user_id": by.user_id, "by": by.name, "action": action, "task_sid": task_sid}
    session.execute(insert(_TRAIL).values(**values, before=EMPTY_STATE, after=EMPTY_STATE))


def note_source_changes(session: Session, recomputed: Recomputed, source: str, at: datetime) -> None:
    """Add an audit entry for each known customer that a source has changed, with the fields that differ."""
    rows = []
    for customer_id in sorted(recomputed.changed):
        stored, projection = recomputed.before[customer_id], recomputed.after[customer_id]
        if stored is None or projection is None:
            continue
        before, after = _fields_stored(stored), _fields_projected(projection)
        names = [name for name in after if before[name] != after[name]]
        if not names:  # the spelling of a number, or what an edit of staff is based on
            continue
        values = {"at": at, "by": source, "action": AuditAction.SYNCED, "customer_id": customer_id}
        states = {"before": {name: before[name] for name in names}, "after": {name: after[name] for name in names}}
        edited = stored.settled if isinstance(stored.settled, dict) else {}
        gave_way = [name for name in names if name in edited and name not in projection.settled]
        stated: dict[str, Any] = {name: {"fields": state} for name, state in states.items()}
        if gave_way:
            stated["after"]["gave_way"] = gave_way
        rows.append(values | stated)
    if rows:
        made = session.scalars(insert(_TRAIL).returning(_TRAIL.c.id, sort_by_parameter_order=True), rows).all()
        about = [{"audit_id": one, "customer_id": row["customer_id"]} for one, row in zip(made, rows, strict=True)]
        session.execute(insert(_ABOUT), about)


def note_load(session: Session, source: str, at: datetime, outcomes: Iterable[str]) -> None:
    """Add an audit entry for a batch of records that was applied. outcomes: of each of them."""
    counts = {"loaded": dict(Counter(outcomes))}
    values = {"at": at, "by": source, "action": AuditAction.LOADED, "before": {}, "after": counts}
    session.execute(insert(_TRAIL).values(**values))


def _fields_stored(stored: StoredCustomer) -> dict[str, Any]:
    identifiers = sorted([key.kind, key.value] for key in stored.identifiers)
    lists = {"identifiers": identifiers, "notes": stored.notes, "cases": stored.cases}
    return {**stored.texts, **lists, "merged_into": stored.merged_into, "is_gone": stored.is_gone}


def _fields_projected(projection: Projection) -> dict[str, Any]:
    identifiers = sorted([key.kind, key.value] for key in projection.identifiers)
    cases = [list(one) for one in projection.cases]
    lists = {"identifiers": identifiers, "notes": list(projection.notes), "cases": cases}
    return {**projection.texts, **lists, "merged_into": projection.merged_into, "is_gone": projection.is_gone}


def entries_of_task(session: Session, task_sid: str, *, at_most: int = 20) -> tuple[AuditEntry, ...]:
    """Return the audit entries of this task, newest first."""
    return _newest_entries(session, select(_TRAIL).where(_TRAIL.c.task_sid == task_sid), at_most)


def newest_decision(session: Session, task_sid: str) -> AuditEntry | None:
    """Return the newest audit entry that decided about this task; None if there is none."""
    decisions = select(_TRAIL).where(
        _TRAIL.c.task_sid == task_sid, _TRAIL.c.action.not_in((AuditAction.ENRICHED, AuditAction.REPLAYED))
    )
    return next(iter(_newest_entries(session, decisions, 1)), None)


def entries_of_customer(session: Session, customer_id: str, *, at_most: int = 20) -> tuple[AuditEntry, ...]:
    """Return the audit entries of this customer, newest first."""
    about = select(_ABOUT.c.audit_id).where(_ABOUT.c.customer_id == customer_id)
    return _newest_entries(session, select(_TRAIL).where(_TRAIL.c.id.in_(about)), at_most)


def _newest_entries(session: Session, query: Any, at_most: int) -> tuple[AuditEntry, ...]:
    return tuple(_entry(row) for row in session.execute(query.order_by(_TRAIL.c.id.desc()).limit(at_most)))


def _entry(row: Row[*tuple[Any, ...]]) -> AuditEntry:
    fields = {name: getattr(row, name) for name in AuditEntry.__dataclass_fields__ if hasattr(row, name)}
    if are_states(row.before, row.after):
        return AuditEntry(**fields)
    if row.action == AuditAction.SYNCED and _are_fields(row.before) and _are_fields(row.after):
        before, after = row.before["fields"], row.after["fields"]
        changed = {name: (before.get(name), after[name]) for name in after}
        gave_way = row.after.get("gave_way")
        names = tuple(name for name in gave_way if name in after) if isinstance(gave_way, list) else ()
        return AuditEntry(**fields | {"before": EMPTY_STATE, "after": EMPTY_STATE}, changed=changed, gave_way=names)
    return AuditEntry(**fields | {"before": EMPTY_STATE, "after": EMPTY_STATE}, is_readable=False)


def _are_fields(stored: object) -> bool:
    return isinstance(stored, dict) and isinstance(stored.get("fields"), dict)


def are_states(before: object, after: object) -> bool:
    """Return whether these are two states of one scope, in the form of this version."""
    return records.is_state(before) and records.is_state(after) and _subjects(before) == _subjects(after)


def _subjects(state: Any) -> object:
    return state["customers"].keys(), [(key["kind"], key["value"]) for key in state["keys"]], state["tasks"].keys()


def _affected(before: State, after: State) -> tuple[set[str], set[Identifier], set[str]]:
    """Return the customers, identifiers and tasks that a change affected."""
    customers = {one for one, record in after["customers"].items() if before["customers"][one] != record}
    keys: set[Identifier] = set()
    for one in customers:
        keys |= _identifiers(before["customers"][one]) ^ _identifiers(after["customers"][one])
    for was, is_ in zip(before["keys"], after["keys"], strict=True):
        if was != is_:
            keys.add(Identifier(is_["kind"], is_["value"]))
            customers |= {owner[0] for owner in _symmetric_difference(was["owners"], is_["owners"])}
    tasks = {one for one, pinned in after["tasks"].items() if before["tasks"][one] != pinned}
    for one in tasks:
        pins = (before["tasks"][one], after["tasks"][one])
        customers |= {pinned["customer_id"] for pinned in pins if pinned} - {None}
    return customers, keys, tasks


def _symmetric_difference(first: Sequence[Any], second: Sequence[Any]) -> list[Any]:
    return [item for item in first if item not in second] + [item for item in second if item not in first]


def _identifiers(record: Mapping[str, Any] | None) -> set[Identifier]:
    return {Identifier(kind, value) for kind, value, *_ in record["identifiers"]} if record else set()
