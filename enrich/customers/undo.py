"""Undoing a change in the audit trail (audit.py).

A change of customers is decisions (decisions.py). It is undone by leaving them out, as a change of its own, which can
be undone, too: in any order, and whatever sources and staff changed since.

What has no decisions, a pin or a change from before there were decisions, is undone by its state: if the present state
is the one that the change left, the state before it is restored. If somebody has changed the same since, nothing is
undone and the differences are returned.

An entry that a newer version wrote, in a form that this one does not know, is never undone here: whatever else it
changed would be left as it is.

Works in the session of the caller; raises DatabaseError. Changes by staff are serialised.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select, update
from sqlalchemy.orm import Session

from enrich.customers import decisions
from enrich.customers.audit import AuditAction, AuditedChange, are_states, enter
from enrich.customers.identifiers import Identifier
from enrich.customers.projector import neighbourhood, recompute
from enrich.customers.records import EMPTY_STATE, Actor, Scope, State, capture, restore, serialise_changes
from enrich.customers.tables import AuditRow, CustomerRow, InteractionRow, PinRow
from enrich.database.types import Base

_CUSTOMERS, _PINS, _TRAIL = (Base.metadata.tables[row.__tablename__] for row in (CustomerRow, PinRow, AuditRow))


@dataclass(frozen=True, slots=True)
class ChangedSince:
    """Nothing was undone, because of later changes. what: their subjects, as shown to staff."""

    what: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UnreadableChange:
    """Nothing was undone, because this version does not know all that the change did."""


def undo_change(
    session: Session, audit_id: int, by: Actor, at: datetime
) -> AuditedChange | ChangedSince | UnreadableChange | None:
    """Undo a change; return the new change, what prevents it, or None for an unknown id."""
    serialise_changes(session)
    row = session.execute(select(_TRAIL).where(_TRAIL.c.id == audit_id)).one_or_none()
    if row is None:
        return None
    if row.undone_by is not None:
        return ChangedSince(("it was undone already",))
    if row.action not in set(AuditAction) or not are_states(row.before, row.after):
        return UnreadableChange()
    origin, is_undoing = _origin(session, row)
    homes = decisions.of_entry(session, origin)
    is_in_effect = decisions.are_in_effect(session, origin)
    if homes and is_in_effect == is_undoing:  # by another entry: it was undone, put into effect again, and undone again
        return ChangedSince(("it was undone already",))
    undone = _undo_decisions(session, row, origin, homes, by, at) if homes else _undo_state(session, row, by, at)
    if isinstance(undone, ChangedSince):
        return undone
    session.execute(update(_TRAIL).where(_TRAIL.c.id == audit_id).values(undone_by=undone.audit_id))
    if row.undoes is not None:  # undoing an undo puts the original change into effect again
        session.execute(update(_TRAIL).where(_TRAIL.c.id == row.undoes).values(undone_by=None))
    if homes:
        undone_by = undone.audit_id if is_in_effect else None
        session.execute(update(_TRAIL).where(_TRAIL.c.id == origin).values(undone_by=undone_by))
    return undone


def _origin(session: Session, row: Row[*tuple[Any, ...]]) -> tuple[int, bool]:
    """Return the id of the change that this entry made, undid, or put into effect again; and whether it undid it."""
    audit_id, undoes, is_undoing = row.id, row.undoes, False
    while undoes is not None:
        audit_id, is_undoing = undoes, not is_undoing
        undoes = session.execute(select(_TRAIL.c.undoes).where(_TRAIL.c.id == audit_id)).scalar_one_or_none()
    return audit_id, is_undoing


def _undo_decisions(
    session: Session, row: Row[*tuple[Any, ...]], origin: int, homes: frozenset[str], by: Actor, at: datetime
) -> AuditedChange:
    """Take the decisions of a change out of effect, or put them back; restore its pins, unless they changed since."""
    before = row.before
    # Nothing before and after: the entry is older than states are kept (`store.prune`).
    is_about_customers = bool(before["customers"]) or before == EMPTY_STATE
    customers = neighbourhood(session, homes).homes if is_about_customers else frozenset()
    scope = replace(_scope_of(before), customers=frozenset(customers) | frozenset(before["customers"]))
    now = capture(session, scope)
    untouched = {sid: pinned for sid, pinned in before["tasks"].items() if now["tasks"][sid] == row.after["tasks"][sid]}
    decisions.reverse(session, origin, at)
    restore(session, {"customers": {}, "keys": [], "tasks": untouched}, by, at)
    # Even if nothing changed: the entry says that these decisions are out of effect, or in effect again.
    about = {"task_sid": row.task_sid, "customer_id": row.customer_id, "undoes": row.id}
    return enter(session, AuditAction.UNDONE, by, at, now, capture(session, scope), **about)


def _undo_state(session: Session, row: Row[*tuple[Any, ...]], by: Actor, at: datetime) -> AuditedChange | ChangedSince:
    """Restore the state before a change that has no decisions, if it is as the change left it."""
    scope = _scope_of(row.before)
    now = capture(session, scope)
    conflicts = _differences(now, row.after) + _needed_by_others(session, row.before)
    if conflicts:
        return ChangedSince(tuple(conflicts))
    decisions.withdraw(session, [one for one, record in row.before["customers"].items() if record is None], at)
    restore(session, row.before, by, at)
    owners = {owner[0] for key in row.before["keys"] for owner in key["owners"]}
    recompute(session, scope.customers | owners, at)
    restored = capture(session, scope)
    if restored == now:
        return ChangedSince(("nothing of it is left",))
    about = {"task_sid": row.task_sid, "customer_id": row.customer_id, "undoes": row.id}
    return enter(session, AuditAction.UNDONE, by, at, now, restored, **about)


def _scope_of(state: State) -> Scope:
    return Scope(
        customers=frozenset(state["customers"]),
        keys=frozenset(Identifier(key["kind"], key["value"]) for key in state["keys"]),
        tasks=frozenset(state["tasks"]),
    )


def _differences(now: State, after: State) -> list[str]:
    """Return the subjects whose state differs from the one that the change left."""
    customers = [f"customer {one}" for one, record in after["customers"].items() if now["customers"][one] != record]
    keys = [key["value"] for key, other in zip(after["keys"], now["keys"], strict=True) if key != other]
    tasks = [f"task {one}" for one, pinned in after["tasks"].items() if now["tasks"][one] != pinned]
    return customers + keys + tasks


def _needed_by_others(session: Session, state: State) -> list[str]:
    """Return what prevents this state from being restored: rows that refer to customers that would be deleted."""
    deleted = {customer_id for customer_id, record in state["customers"].items() if record is None}
    pinned = session.scalars(select(_PINS.c.task_sid).where(_PINS.c.customer_id.in_(deleted))) if deleted else ()
    problems = [f"task {task_sid}" for task_sid in pinned if task_sid not in state["tasks"]]
    finished = select(InteractionRow.customer_id).where(InteractionRow.customer_id.in_(deleted)).distinct()
    problems += [f"finished work for {one}" for one in (session.scalars(finished) if deleted else ())]
    named = {owner[0] for key in state["keys"] for owner in key["owners"]}
    named |= {one for key in state["keys"] for one in key["unlinked"]}
    named |= {pinned["customer_id"] for pinned in state["tasks"].values() if pinned and pinned["customer_id"]}
    needed = sorted(named - set(state["customers"]))
    existing = set(session.scalars(select(_CUSTOMERS.c.id).where(_CUSTOMERS.c.id.in_(needed)))) if needed else set()
    return problems + [f"customer {one}" for one in needed if one not in existing]
