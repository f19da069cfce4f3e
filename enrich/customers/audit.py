"""Changes that staff make, each with a row in the trail: who, when, what, and what stood there before and after.

A change has a scope: the customers, identifiers and tasks that it may touch. What is in the scope is captured before
and after it, in one form whatever the change was:

    {"customers": {id: record, or null where there is nobody},
     "keys":      [{"kind", "value", "owners": [[customer_id, as_written, source]], "unlinked": [customer_id]}],
     "tasks":     {task_sid: {"customer_id": id or null}, or null where nobody has said anything}}

So there is one way to undo, for all of them: what stands there now must be what the change left, and then what was
there before is put back, as a change of its own. An undo can be undone, too. Where somebody has changed the same since,
nothing happens, and it is told what differs.

Works in the session of its caller, whose story it is; raises DatabaseError. Staff's changes wait for one another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.orm import Session

from enrich.customers.identifiers import FROM_CRM, FROM_STAFF, Identifier, words_of
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
    """What staff can do."""

    PINNED = "pinned"  # this task is this customer's
    NOBODY = "nobody"  # this task is none of theirs who were found
    RELEASED = "released"  # nothing is said of this task any more
    LINKED = "linked"  # this identifier is this customer's, and nobody else's
    UNLINKED = "unlinked"  # this identifier is not this customer's
    CREATED = "created"
    EDITED = "edited"
    MERGED = "merged"
    UNDONE = "undone"
    ENRICHED = "enriched"  # a task was enriched anew; nothing of ours was changed
    REPLAYED = "replayed"  # the same, from a stored callback


@dataclass(frozen=True, slots=True)
class Actor:
    """Who changes something. user_id: None without an account. name: as the trail shows it."""

    user_id: int | None
    name: str


@dataclass(frozen=True, slots=True)
class Scope:
    """What a change may touch."""

    customers: frozenset[str] = frozenset()
    keys: frozenset[Identifier] = frozenset()
    tasks: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class AuditedChange:
    """A change that was made. customers, keys, tasks: those for whom something is different now.

    records: of the customers those whose own details are, so that what stands on their tasks is out of date.
    """

    audit_id: int
    customers: frozenset[str]
    keys: frozenset[Identifier]
    tasks: frozenset[str]
    records: frozenset[str]


@dataclass(frozen=True, slots=True)
class ChangedSince:
    """Nothing was undone: these were changed since; told as a reader knows them."""

    what: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Trail:
    """One row of the trail. undone_by: the row that took it back; None while it stands."""

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
    """What `act` changed within the scope, with its row in the trail; None if it changed nothing."""
    wait_for_others(session)
    before = capture(session, scope)
    act()
    after = capture(session, scope)
    if before == after:
        return None
    made = session.execute(
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
    customers, keys, tasks = _touched(before, after)
    about = customers | ({customer_id} if customer_id else set())
    if about:
        session.execute(insert(_ABOUT), [{"audit_id": made, "customer_id": one} for one in sorted(about)])
    altered = (one for one, record in after["customers"].items() if before["customers"][one] != record)
    return AuditedChange(made, frozenset(customers), frozenset(keys), frozenset(tasks), frozenset(altered))


def undo(session: Session, audit_id: int, by: Actor, at: datetime) -> AuditedChange | ChangedSince | None:
    """What was put back; what stands in the way; None if the trail has no such row."""
    wait_for_others(session)
    row = session.execute(select(_TRAIL).where(_TRAIL.c.id == audit_id)).one_or_none()
    if row is None:
        return None
    if row.undone_by is not None:
        return ChangedSince(("it was undone already",))
    scope = _scope_of(row.before)
    now = capture(session, scope)
    in_the_way = _differences(now, row.after) + _needed_by_others(session, row.before)
    if in_the_way:
        return ChangedSince(tuple(in_the_way))
    done = change(
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
    if done is None:
        return ChangedSince(("nothing of it is left",))
    session.execute(update(_TRAIL).where(_TRAIL.c.id == audit_id).values(undone_by=done.audit_id))
    if row.undoes is not None:  # taking back an undo: what that had taken back stands again
        session.execute(update(_TRAIL).where(_TRAIL.c.id == row.undoes).values(undone_by=None))
    return done


def note(session: Session, action: AuditAction, by: Actor, at: datetime, *, task_sid: str) -> None:
    """A row of the trail for what changes nothing here."""
    nothing = capture(session, Scope())
    session.execute(
        insert(_TRAIL).values(
            at=at, user_id=by.user_id, by=by.name, action=action, task_sid=task_sid, before=nothing, after=nothing
        )
    )


def version(session: Session, customer_id: str) -> int | None:
    """The version of this customer's row; None for nobody."""
    return session.execute(select(_CUSTOMERS.c.version).where(_CUSTOMERS.c.id == customer_id)).scalar_one_or_none()


def merged_into(session: Session, customer_id: str) -> tuple[str, ...]:
    """The ids of those who were merged into this customer."""
    merged = select(_CUSTOMERS.c.id).where(_CUSTOMERS.c.merged_into == customer_id)
    return tuple(sorted(session.scalars(merged)))


def pinned_to(session: Session, customer_id: str) -> tuple[str, ...]:
    """The tasks that staff have said are this customer's."""
    return tuple(sorted(session.scalars(select(_PINS.c.task_sid).where(_PINS.c.customer_id == customer_id))))


def owners(session: Session, key: Identifier) -> tuple[str, ...]:
    """The ids of those whose identifier this is."""
    return tuple(sorted(row.customer_id for row in _owners(session, key)))


def wait_for_others(session: Session) -> None:
    """Our turn among those who change customers: SQLite has one writer anyway, PostgreSQL gets a lock for it."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("LOCK TABLE audit_entries IN SHARE ROW EXCLUSIVE MODE"))


def trail_of_task(session: Session, task_sid: str, *, at_most: int = 20) -> tuple[Trail, ...]:
    """What staff did about this task, the newest first."""
    return _trail(session, select(_TRAIL).where(_TRAIL.c.task_sid == task_sid), at_most)


def trail_of_customer(session: Session, customer_id: str, *, at_most: int = 20) -> tuple[Trail, ...]:
    """What staff did about this customer, the newest first."""
    about = select(_ABOUT.c.audit_id).where(_ABOUT.c.customer_id == customer_id)
    return _trail(session, select(_TRAIL).where(_TRAIL.c.id.in_(about)), at_most)


def _trail(session: Session, rows: Any, at_most: int) -> tuple[Trail, ...]:
    found = session.execute(rows.order_by(_TRAIL.c.id.desc()).limit(at_most))
    return tuple(Trail(**{name: getattr(row, name) for name in Trail.__dataclass_fields__}) for row in found)


# --- what is changed


def pin(session: Session, task_sid: str, customer_id: str | None, by: Actor, at: datetime) -> None:
    """Says whose this task is; None: nobody's who was found."""
    release(session, task_sid)
    session.execute(insert(_PINS).values(task_sid=task_sid, customer_id=customer_id, by=by.name, at=at))


def release(session: Session, task_sid: str) -> None:
    """Says nothing of this task any more."""
    session.execute(delete(_PINS).where(_PINS.c.task_sid == task_sid))


def give(session: Session, key: Identifier, customer_id: str, at: datetime) -> None:
    """This identifier is this customer's, and nobody else's."""
    for row in _owners(session, key):
        if row.customer_id != customer_id:
            take(session, key, row.customer_id, at)
    _forget_unlinked(session, key, customer_id)
    if not any(row.customer_id == customer_id for row in _owners(session, key)):
        session.execute(
            insert(_IDENTIFIERS).values(
                customer_id=customer_id, kind=key.kind, value=key.value, as_written=key.value, source=FROM_STAFF
            )
        )
        _count_up(session, customer_id, at)


def take(session: Session, key: Identifier, customer_id: str, at: datetime) -> None:
    """This identifier is not this customer's. Where the CRM says so, the next seed is told that staff know better."""
    mine = (_IDENTIFIERS.c.kind == key.kind, _IDENTIFIERS.c.value == key.value)
    gone = session.execute(
        delete(_IDENTIFIERS).where(*mine, _IDENTIFIERS.c.customer_id == customer_id).returning(_IDENTIFIERS.c.source)
    ).all()
    if any(row.source == FROM_CRM for row in gone):
        _forget_unlinked(session, key, customer_id)
        session.execute(insert(_UNLINKED).values(kind=key.kind, value=key.value, customer_id=customer_id))
    if gone:
        _count_up(session, customer_id, at)


def put(session: Session, customer_id: str, record: Record, at: datetime) -> None:
    """This customer is as this record says, made if there was nobody of that id."""
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
    """A customer of whom nothing is known but the name."""
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


# --- what stands there


def capture(session: Session, scope: Scope) -> State:
    """Everything in the scope as it stands now, in the form of the trail."""
    return {
        "customers": records(session, sorted(scope.customers)),
        "keys": [_key(session, key) for key in sorted(scope.keys, key=lambda key: (key.kind, key.value))],
        "tasks": {task_sid: _said(session, task_sid) for task_sid in sorted(scope.tasks)},
    }


def records(session: Session, customer_ids: Sequence[str]) -> dict[str, Record | None]:
    """These customers with all that belongs to them; None for nobody."""
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
        if record is not None:  # in Python's order: a database may sort letters in another
            record["identifiers"].sort()
            record["unlinked"].sort()
    return found


def restore(session: Session, state: State, by: Actor, at: datetime) -> None:
    """Everything in this state is as it says."""
    for customer_id, record in state["customers"].items():
        if record is None:
            session.execute(delete(_CUSTOMERS).where(_CUSTOMERS.c.id == customer_id))
        else:
            put(session, customer_id, record, at)
    for key in state["keys"]:
        _put_key(session, key, at)
    for task_sid, said in state["tasks"].items():
        if said is None:
            release(session, task_sid)
        else:
            pin(session, task_sid, said["customer_id"], by, at)


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
    same = {"kind": key["kind"], "value": key["value"]}
    owners = [
        {**same, "customer_id": owner, "as_written": as_written, "source": source}
        for owner, as_written, source in key["owners"]
    ]
    if owners:
        session.execute(insert(_IDENTIFIERS), owners)
    if key["unlinked"]:
        session.execute(insert(_UNLINKED), [{**same, "customer_id": one} for one in key["unlinked"]])
    for customer_id in sorted(touched):
        _count_up(session, customer_id, at)


def _owners(session: Session, key: Identifier) -> Sequence[Any]:
    mine = (_IDENTIFIERS.c.kind == key.kind, _IDENTIFIERS.c.value == key.value)
    return session.execute(
        select(_IDENTIFIERS.c.customer_id, _IDENTIFIERS.c.as_written, _IDENTIFIERS.c.source).where(*mine)
    ).all()


def _said(session: Session, task_sid: str) -> dict[str, str | None] | None:
    row = session.execute(select(_PINS.c.customer_id).where(_PINS.c.task_sid == task_sid)).one_or_none()
    return None if row is None else {"customer_id": row.customer_id}


def _forget_unlinked(session: Session, key: Identifier, customer_id: str) -> None:
    same = (_UNLINKED.c.kind == key.kind, _UNLINKED.c.value == key.value, _UNLINKED.c.customer_id == customer_id)
    session.execute(delete(_UNLINKED).where(*same))


def _count_up(session: Session, customer_id: str, at: datetime) -> None:
    session.execute(
        update(_CUSTOMERS).where(_CUSTOMERS.c.id == customer_id).values(version=_CUSTOMERS.c.version + 1, updated_at=at)
    )


# --- comparing


def _scope_of(state: State) -> Scope:
    return Scope(
        customers=frozenset(state["customers"]),
        keys=frozenset(Identifier(key["kind"], key["value"]) for key in state["keys"]),
        tasks=frozenset(state["tasks"]),
    )


def _differences(now: State, left: State) -> list[str]:
    """What is not as the change left it."""
    customers = [f"customer {one}" for one, record in left["customers"].items() if now["customers"][one] != record]
    keys = [key["value"] for key, other in zip(left["keys"], now["keys"], strict=True) if key != other]
    tasks = [f"task {one}" for one, said in left["tasks"].items() if now["tasks"][one] != said]
    return customers + keys + tasks


def _needed_by_others(session: Session, state: State) -> list[str]:
    """What keeps this state from being put back although nothing in its scope has changed: it would go with it."""
    going = {customer_id for customer_id, record in state["customers"].items() if record is None}
    pinned = session.scalars(select(_PINS.c.task_sid).where(_PINS.c.customer_id.in_(going))) if going else ()
    problems = [f"task {task_sid}" for task_sid in pinned if task_sid not in state["tasks"]]
    finished = select(InteractionRow.customer_id).where(InteractionRow.customer_id.in_(going)).distinct()
    problems += [f"finished work for {one}" for one in (session.scalars(finished) if going else ())]
    named = {owner[0] for key in state["keys"] for owner in key["owners"]}
    named |= {one for key in state["keys"] for one in key["unlinked"]}
    named |= {said["customer_id"] for said in state["tasks"].values() if said and said["customer_id"]}
    wanted = sorted(named - set(state["customers"]))
    there = set(session.scalars(select(_CUSTOMERS.c.id).where(_CUSTOMERS.c.id.in_(wanted)))) if wanted else set()
    return problems + [f"customer {one}" for one in wanted if one not in there]


def _touched(before: State, after: State) -> tuple[set[str], set[Identifier], set[str]]:
    """Customers, identifiers and tasks for whom something is different."""
    customers = {one for one, record in after["customers"].items() if before["customers"][one] != record}
    keys: set[Identifier] = set()
    for one in customers:
        keys |= _identifiers(before["customers"][one]) ^ _identifiers(after["customers"][one])
    for was, is_ in zip(before["keys"], after["keys"], strict=True):
        if was != is_:
            keys.add(Identifier(is_["kind"], is_["value"]))
            customers |= {owner[0] for owner in _symmetric(was["owners"], is_["owners"])}
    tasks = {one for one, said in after["tasks"].items() if before["tasks"][one] != said}
    for one in tasks:
        customers |= {said["customer_id"] for said in (before["tasks"][one], after["tasks"][one]) if said} - {None}
    return customers, keys, tasks


def _symmetric(these: Iterable[Any], those: Iterable[Any]) -> list[Any]:
    these, those = list(these), list(those)
    return [one for one in these if one not in those] + [one for one in those if one not in these]


def _identifiers(record: Mapping[str, Any] | None) -> set[Identifier]:
    return {Identifier(kind, value) for kind, value, *_ in record["identifiers"]} if record else set()
