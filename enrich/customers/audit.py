"""Changes made by staff, each with an audit entry: who, when, what, and the state before and after.

A change has a scope: the customers, identifiers and tasks that it may touch. Their state is captured before and after,
in one form for all changes:

    {"customers": {id: record, or null where there is nobody},
     "keys":      [{"kind", "value", "owners": [[customer_id, as_written, source]], "unlinked": [customer_id]}],
     "tasks":     {task_sid: {"customer_id": id or null}, or null without a pin}}

So all changes are undone in one way: if the present state is the one that the change left, the state before it is
restored, as a change of its own, which can be undone, too. If somebody has changed the same since, nothing is undone
and the differences are returned.

Works in the session of the caller; raises DatabaseError. Changes by staff are serialised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.orm import Session

from enrich.customers.identifiers import FROM_CRM, FROM_STAFF, PHONE, Identifier, is_plain_number, words_of
from enrich.customers.tables import (
    AuditCustomerRow,
    AuditRow,
    CaseRow,
    CustomerRow,
    IdentifierRow,
    InteractionRow,
    NoteRow,
    PinRow,
    UnlinkedRow,
    WordRow,
)
from enrich.database.types import Base
from enrich.domain.lengths import CUSTOMER_TEXTS

_CUSTOMERS, _IDENTIFIERS, _NOTES, _CASES, _WORDS, _UNLINKED, _PINS, _TRAIL, _ABOUT = (
    Base.metadata.tables[row.__tablename__]
    for row in (
        CustomerRow,
        IdentifierRow,
        NoteRow,
        CaseRow,
        WordRow,
        UnlinkedRow,
        PinRow,
        AuditRow,
        AuditCustomerRow,
    )
)

State = dict[str, Any]
Record = dict[str, Any]


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
    UNDONE = "undone"
    ENRICHED = "enriched"  # a task was enriched again; no record was changed
    REPLAYED = "replayed"  # a task was enriched again from a stored callback


@dataclass(frozen=True, slots=True)
class Actor:
    """The author of a change. user_id: None without an account. name: as shown in the audit trail."""

    user_id: int | None
    name: str


@dataclass(frozen=True, slots=True)
class Scope:
    """The customers, identifiers and tasks that a change may touch."""

    customers: frozenset[str] = frozenset()
    keys: frozenset[Identifier] = frozenset()
    tasks: frozenset[str] = frozenset()


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
class ChangedSince:
    """Nothing was undone, because of later changes. what: their subjects, as shown to staff."""

    what: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One audit entry. undone_by: the entry that undid it; None while it is in effect."""

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


def change(
    session: Session,
    scope: Scope,
    action: AuditAction,
    by: Actor,
    at: datetime,
    act: Callable[[], None],
    *,
    task_sid: str | None = None,
    customer_id: str | None = None,
    undoes: int | None = None,
) -> AuditedChange | None:
    """Call `act` and add an audit entry for its changes within the scope; return None if there are none."""
    serialise_changes(session)
    before = capture(session, scope)
    act()
    after = capture(session, scope)
    if before == after:
        return None
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


def undo(session: Session, audit_id: int, by: Actor, at: datetime) -> AuditedChange | ChangedSince | None:
    """Undo a change; return the new change, the later changes that prevent it, or None for an unknown id."""
    serialise_changes(session)
    row = session.execute(select(_TRAIL).where(_TRAIL.c.id == audit_id)).one_or_none()
    if row is None:
        return None
    if row.undone_by is not None:
        return ChangedSince(("it was undone already",))
    scope = _scope_of(row.before)
    now = capture(session, scope)
    conflicts = _differences(now, row.after) + _needed_by_others(session, row.before)
    if conflicts:
        return ChangedSince(tuple(conflicts))
    undone = change(
        session,
        scope,
        AuditAction.UNDONE,
        by,
        at,
        lambda: restore(session, row.before, by, at),
        task_sid=row.task_sid,
        customer_id=row.customer_id,
        undoes=audit_id,
    )
    if undone is None:
        return ChangedSince(("nothing of it is left",))
    session.execute(update(_TRAIL).where(_TRAIL.c.id == audit_id).values(undone_by=undone.audit_id))
    if row.undoes is not None:  # undoing an undo puts the original change into effect again
        session.execute(update(_TRAIL).where(_TRAIL.c.id == row.undoes).values(undone_by=None))
    return undone


def note(session: Session, action: AuditAction, by: Actor, at: datetime, *, task_sid: str) -> None:
    """Add an audit entry for an action that changes no record."""
    no_state = capture(session, Scope())
    session.execute(
        insert(_TRAIL).values(
            at=at, user_id=by.user_id, by=by.name, action=action, task_sid=task_sid, before=no_state, after=no_state
        )
    )


def version(session: Session, customer_id: str) -> int | None:
    """Return the version of this customer's row; None for an unknown id."""
    return session.execute(select(_CUSTOMERS.c.version).where(_CUSTOMERS.c.id == customer_id)).scalar_one_or_none()


def merged_into(session: Session, customer_id: str) -> tuple[str, ...]:
    """Return the ids of the customers merged into this one."""
    merged = select(_CUSTOMERS.c.id).where(_CUSTOMERS.c.merged_into == customer_id)
    return tuple(sorted(session.scalars(merged)))


def pinned_to(session: Session, customer_id: str) -> tuple[str, ...]:
    """Return the SIDs of the tasks that staff assigned to this customer."""
    return tuple(sorted(session.scalars(select(_PINS.c.task_sid).where(_PINS.c.customer_id == customer_id))))


def owners(session: Session, key: Identifier) -> tuple[str, ...]:
    """Return the ids of the customers that have this identifier."""
    return tuple(sorted(row.customer_id for row in _owners(session, key)))


def serialise_changes(session: Session) -> None:
    """Wait for other changes of customers: PostgreSQL takes a table lock; SQLite has one writer anyway."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("LOCK TABLE audit_entries IN SHARE ROW EXCLUSIVE MODE"))


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
    rows = session.execute(query.order_by(_TRAIL.c.id.desc()).limit(at_most))
    return tuple(AuditEntry(**{name: getattr(row, name) for name in AuditEntry.__dataclass_fields__}) for row in rows)


# --- changes


def pin(session: Session, task_sid: str, customer_id: str | None, by: Actor, at: datetime) -> None:
    """Assign the task to this customer; None: to none of the customers found."""
    unpin(session, task_sid)
    session.execute(insert(_PINS).values(task_sid=task_sid, customer_id=customer_id, by=by.name, at=at))


def unpin(session: Session, task_sid: str) -> None:
    """Remove the pin of this task."""
    session.execute(delete(_PINS).where(_PINS.c.task_sid == task_sid))


def link(session: Session, key: Identifier, customer_id: str, at: datetime) -> None:
    """Give the identifier to this customer, and take it from all others."""
    for row in _owners(session, key):
        if row.customer_id != customer_id:
            unlink(session, key, row.customer_id, at)
    _forget_unlinked(session, key, customer_id)
    own = next((row for row in _owners(session, key) if row.customer_id == customer_id), None)
    if own is not None and key.kind == PHONE and not is_plain_number(own.as_written):
        # They may have it in front of an extension only, where the number alone would stay a claim.
        values = {"as_written": key.value, "source": FROM_STAFF}
        is_own = (_IDENTIFIERS.c.value == key.value, _IDENTIFIERS.c.customer_id == customer_id)
        session.execute(update(_IDENTIFIERS).where(_IDENTIFIERS.c.kind == PHONE, *is_own).values(values))
        _increment_version(session, customer_id, at)
    elif own is None:
        session.execute(
            insert(_IDENTIFIERS).values(
                customer_id=customer_id, kind=key.kind, value=key.value, as_written=key.value, source=FROM_STAFF
            )
        )
        _increment_version(session, customer_id, at)


def unlink(session: Session, key: Identifier, customer_id: str, at: datetime) -> None:
    """Take the identifier from this customer. If it is the CRM's, record that for the next seed."""
    has_key = (_IDENTIFIERS.c.kind == key.kind, _IDENTIFIERS.c.value == key.value)
    deleted = session.execute(
        delete(_IDENTIFIERS).where(*has_key, _IDENTIFIERS.c.customer_id == customer_id).returning(_IDENTIFIERS.c.source)
    ).all()
    if any(row.source == FROM_CRM for row in deleted):
        _forget_unlinked(session, key, customer_id)
        session.execute(insert(_UNLINKED).values(kind=key.kind, value=key.value, customer_id=customer_id))
    if deleted:
        _increment_version(session, customer_id, at)


def put(session: Session, customer_id: str, record: Record, at: datetime) -> None:
    """Create or replace the customer with this record."""
    values = {name: record[name] for name in (*CUSTOMER_TEXTS, "settled", "merged_into")} | {"updated_at": at}
    changed = session.execute(
        update(_CUSTOMERS)
        .where(_CUSTOMERS.c.id == customer_id)
        .values(**values, version=_CUSTOMERS.c.version + 1)
        .returning(_CUSTOMERS.c.id)
    ).all()
    if changed:
        for table in (_IDENTIFIERS, _UNLINKED, _NOTES, _CASES, _WORDS):
            session.execute(delete(table).where(table.c.customer_id == customer_id))
    else:
        session.execute(insert(_CUSTOMERS).values(id=customer_id, version=1, **values))
    rows: list[tuple[Any, list[dict[str, Any]]]] = [
        (
            _IDENTIFIERS,
            [
                {"kind": kind, "value": value, "as_written": as_written, "source": source}
                for kind, value, as_written, source in record["identifiers"]
            ],
        ),
        (_UNLINKED, [{"kind": kind, "value": value} for kind, value in record["unlinked"]]),
        (_NOTES, [{"position": number, "text": note} for number, note in enumerate(record["notes"])]),
        (
            _CASES,
            [
                {"position": number, "id": id_, "subject": subject, "status": status, "opened_on": opened_on}
                for number, (id_, subject, status, opened_on) in enumerate(record["cases"])
            ],
        ),
        (_WORDS, [{"word": word} for word in words_of(record["name"], record["company"])]),
    ]
    for table, values_of in rows:
        if values_of:
            session.execute(insert(table), [{"customer_id": customer_id, **one} for one in values_of])


def empty_record(name: str) -> Record:
    """Return the record of a customer with only a name."""
    texts = dict.fromkeys(CUSTOMER_TEXTS, "") | {"name": name}
    return {
        **texts,
        "settled": None,
        "merged_into": None,
        "identifiers": [],
        "unlinked": [],
        "notes": [],
        "cases": [],
    }


# --- state


def capture(session: Session, scope: Scope) -> State:
    """Return the present state of everything in the scope, in the form of the module's docstring."""
    return {
        "customers": records(session, sorted(scope.customers)),
        "keys": [_key(session, key) for key in sorted(scope.keys, key=lambda key: (key.kind, key.value))],
        "tasks": {task_sid: _pin_of(session, task_sid) for task_sid in sorted(scope.tasks)},
    }


def records(session: Session, customer_ids: Sequence[str]) -> dict[str, Record | None]:
    """Return the records of these customers by id; None for an unknown id."""
    found: dict[str, Record | None] = dict.fromkeys(customer_ids)
    if not customer_ids:
        return found
    for row in session.execute(select(_CUSTOMERS).where(_CUSTOMERS.c.id.in_(customer_ids))):
        texts = {name: getattr(row, name) for name in (*CUSTOMER_TEXTS, "settled", "merged_into")}
        found[row.id] = empty_record(row.name) | texts
    for table, name, columns, order in (
        (_IDENTIFIERS, "identifiers", ("kind", "value", "as_written", "source"), ("kind", "value")),
        (_UNLINKED, "unlinked", ("kind", "value"), ("kind", "value")),
        (_NOTES, "notes", ("text",), ("position", "id")),
        (_CASES, "cases", ("id", "subject", "status", "opened_on"), ("position", "id")),
    ):
        rows = select(table.c.customer_id.label("of"), *(table.c[column] for column in columns)).where(
            table.c.customer_id.in_(customer_ids)
        )
        for row in session.execute(rows.order_by(*(table.c[column] for column in order))):
            record = found[row.of]
            if record is not None:
                record[name].append(row[1] if name == "notes" else list(row[1:]))
    for record in found.values():
        if record is not None:  # in Python's order, which the databases' may differ from
            record["identifiers"].sort()
            record["unlinked"].sort()
    return found


def restore(session: Session, state: State, by: Actor, at: datetime) -> None:
    """Restore this state."""
    for customer_id, record in state["customers"].items():
        if record is None:
            session.execute(delete(_CUSTOMERS).where(_CUSTOMERS.c.id == customer_id))
        else:
            put(session, customer_id, record, at)
    for key in state["keys"]:
        _put_key(session, key, at)
    for task_sid, pinned in state["tasks"].items():
        if pinned is None:
            unpin(session, task_sid)
        else:
            pin(session, task_sid, pinned["customer_id"], by, at)


def _key(session: Session, key: Identifier) -> Record:
    unlinked = select(_UNLINKED.c.customer_id).where(_UNLINKED.c.kind == key.kind, _UNLINKED.c.value == key.value)
    return {
        "kind": key.kind,
        "value": key.value,
        "owners": sorted([row.customer_id, row.as_written, row.source] for row in _owners(session, key)),
        "unlinked": sorted(session.scalars(unlinked)),
    }


def _put_key(session: Session, key: Record, at: datetime) -> None:
    touched = {owner[0] for owner in key["owners"]}
    for table in (_IDENTIFIERS, _UNLINKED):
        rows = session.execute(
            delete(table)
            .where(table.c.kind == key["kind"], table.c.value == key["value"])
            .returning(table.c.customer_id)
        )
        touched |= {row.customer_id for row in rows}
    kind_and_value = {"kind": key["kind"], "value": key["value"]}
    owners = [
        {**kind_and_value, "customer_id": owner, "as_written": as_written, "source": source}
        for owner, as_written, source in key["owners"]
    ]
    if owners:
        session.execute(insert(_IDENTIFIERS), owners)
    if key["unlinked"]:
        session.execute(insert(_UNLINKED), [{**kind_and_value, "customer_id": one} for one in key["unlinked"]])
    for customer_id in sorted(touched):
        _increment_version(session, customer_id, at)


def _owners(session: Session, key: Identifier) -> Sequence[Any]:
    has_key = (_IDENTIFIERS.c.kind == key.kind, _IDENTIFIERS.c.value == key.value)
    return session.execute(
        select(_IDENTIFIERS.c.customer_id, _IDENTIFIERS.c.as_written, _IDENTIFIERS.c.source).where(*has_key)
    ).all()


def _pin_of(session: Session, task_sid: str) -> dict[str, str | None] | None:
    row = session.execute(select(_PINS.c.customer_id).where(_PINS.c.task_sid == task_sid)).one_or_none()
    return None if row is None else {"customer_id": row.customer_id}


def _forget_unlinked(session: Session, key: Identifier, customer_id: str) -> None:
    is_unlinked = (_UNLINKED.c.kind == key.kind, _UNLINKED.c.value == key.value, _UNLINKED.c.customer_id == customer_id)
    session.execute(delete(_UNLINKED).where(*is_unlinked))


def _increment_version(session: Session, customer_id: str, at: datetime) -> None:
    session.execute(
        update(_CUSTOMERS).where(_CUSTOMERS.c.id == customer_id).values(version=_CUSTOMERS.c.version + 1, updated_at=at)
    )


# --- comparison


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


def _symmetric_difference(these: Iterable[Any], those: Iterable[Any]) -> list[Any]:
    these, those = list(these), list(those)
    return [one for one in these if one not in those] + [one for one in those if one not in these]


def _identifiers(record: Mapping[str, Any] | None) -> set[Identifier]:
    return {Identifier(kind, value) for kind, value, *_ in record["identifiers"]} if record else set()
