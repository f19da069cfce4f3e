"""Customers as staff see them: records, identifiers and tasks, and their state before and after a change.

A change has a scope: the customers, identifiers and tasks that it may touch. Their state is captured in one form:

    {"customers": {id: record, or null if the id is unknown},
     "keys":      [{"kind", "value", "owners": [[customer_id, as_written, source]], "unlinked": [customer_id]}],
     "tasks":     {task_sid: {"customer_id": id or null}, or null without a pin}}

audit.py keeps the states of each change; `is_state` recognises them. What staff change is decisions (decisions.py);
only what was changed before there were decisions is undone by its state (`restore`). Everything works in the session of
the caller and raises DatabaseError.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from enrich.customers.identifiers import Identifier, words_of
from enrich.customers.tables import (
    CaseRow,
    CustomerRow,
    IdentifierRow,
    NoteRow,
    PinRow,
    UnlinkedRow,
    WordRow,
)
from enrich.database.types import Base
from enrich.domain.lengths import CUSTOMER_TEXTS

_CUSTOMERS, _IDENTIFIERS, _NOTES, _CASES, _WORDS, _UNLINKED, _PINS = (
    Base.metadata.tables[row.__tablename__]
    for row in (CustomerRow, IdentifierRow, NoteRow, CaseRow, WordRow, UnlinkedRow, PinRow)
)

State = dict[str, Any]
Record = dict[str, Any]


EMPTY_STATE: State = {"customers": {}, "keys": [], "tasks": {}}


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


# Of PostgreSQL's advisory locks: any number that nothing else takes.
_CHANGES_BY_STAFF = 0x656E7269


def serialise_changes(session: Session) -> None:
    """Wait for other changes by staff, until the transaction ends; loads of customers go on. SQLite has one writer."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(_CHANGES_BY_STAFF)))


def version(session: Session, customer_id: str) -> int | None:
    """Return the version of this customer's row; None for an unknown id."""
    return session.execute(select(_CUSTOMERS.c.version).where(_CUSTOMERS.c.id == customer_id)).scalar_one_or_none()


def is_gone(session: Session, customer_id: str) -> bool:
    """Return whether no source has this customer any more, or staff deleted them."""
    gone = select(_CUSTOMERS.c.is_gone).where(_CUSTOMERS.c.id == customer_id)
    return bool(session.execute(gone).scalar_one_or_none())


def gone_of(session: Session, customer_ids: Collection[str]) -> frozenset[str]:
    """Return those of these customers whom no source has any more, or staff deleted."""
    gone = select(_CUSTOMERS.c.id).where(_CUSTOMERS.c.id.in_(customer_ids), _CUSTOMERS.c.is_gone)
    return frozenset(session.scalars(gone)) if customer_ids else frozenset()


def merged_into(session: Session, customer_id: str) -> tuple[str, ...]:
    """Return the ids of the customers merged into this one."""
    merged = select(_CUSTOMERS.c.id).where(_CUSTOMERS.c.merged_into == customer_id)
    return tuple(sorted(session.scalars(merged)))


def owners(session: Session, key: Identifier) -> tuple[str, ...]:
    """Return the ids of the customers that have this identifier."""
    return tuple(sorted(row.customer_id for row in _owners(session, key)))


# --- changes


def pin(session: Session, task_sid: str, customer_id: str | None, by: Actor, at: datetime) -> None:
    """Assign the task to this customer; None: to none of the customers found."""
    unpin(session, task_sid)
    session.execute(insert(_PINS).values(task_sid=task_sid, customer_id=customer_id, by=by.name, at=at))


def unpin(session: Session, task_sid: str) -> None:
    """Remove the pin of this task."""
    session.execute(delete(_PINS).where(_PINS.c.task_sid == task_sid))


def put(session: Session, customer_id: str, record: Record, at: datetime) -> None:
    """Create or replace the customer with this record, which the projection has to adopt then."""
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


def is_state(stored: object) -> bool:
    """Return whether this is a state in the form of the module's docstring, with nothing more that would be lost."""
    if not isinstance(stored, dict) or stored.keys() != {"customers", "keys", "tasks"}:
        return False
    customers, keys, tasks = stored["customers"], stored["keys"], stored["tasks"]
    return (
        isinstance(customers, dict)
        and all(record is None or _is_record(record) for record in customers.values())
        and isinstance(keys, list)
        and all(_is_key(key) for key in keys)
        and isinstance(tasks, dict)
        and all(pinned is None or _is_pin(pinned) for pinned in tasks.values())
    )


def readable_settled(stored: object) -> dict[str, Any] | None:
    """Return what is stored in `CustomerRow.settled`, empty for nothing; None if it has another shape."""
    if stored is None:
        return {}
    return stored if isinstance(stored, dict) and all(isinstance(one, str | list) for one in stored.values()) else None


def has_readable_settled(session: Session, customer_id: str) -> bool:
    """Return False if the customer's `settled` has a shape that this version does not know."""
    stored = session.execute(select(_CUSTOMERS.c.settled).where(_CUSTOMERS.c.id == customer_id)).one_or_none()
    return stored is None or readable_settled(stored.settled) is not None


def capture(session: Session, scope: Scope) -> State:
    """Return the present state of everything in the scope, in the form of the module's docstring."""
    return {
        "customers": read(session, sorted(scope.customers)),
        "keys": [_key(session, key) for key in sorted(scope.keys, key=lambda key: (key.kind, key.value))],
        "tasks": {task_sid: _pin_of(session, task_sid) for task_sid in sorted(scope.tasks)},
    }


def read(session: Session, customer_ids: Sequence[str]) -> dict[str, Record | None]:
    """Return the records of these customers by id; None for an unknown id."""
    records: dict[str, Record | None] = dict.fromkeys(customer_ids)
    if not customer_ids:
        return records
    for row in session.execute(select(_CUSTOMERS).where(_CUSTOMERS.c.id.in_(customer_ids))):
        texts = {name: getattr(row, name) for name in (*CUSTOMER_TEXTS, "merged_into")}
        records[row.id] = empty_record(row.name) | texts | {"settled": readable_settled(row.settled) or None}
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
            record = records[row.of]
            if record is not None:
                record[name].append(row[1] if name == "notes" else list(row[1:]))
    for record in records.values():
        if record is not None:  # in Python's order, which the databases' may differ from
            record["identifiers"].sort()
            record["unlinked"].sort()
    return records


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


def _is_record(stored: object) -> bool:
    return (
        isinstance(stored, dict)
        and stored.keys() == empty_record("").keys()
        and all(isinstance(stored[name], str) for name in CUSTOMER_TEXTS)
        and (stored["settled"] is None or bool(readable_settled(stored["settled"])))
        and (stored["merged_into"] is None or isinstance(stored["merged_into"], str))
        and _are_texts(stored["notes"])
        and _are_rows(stored["identifiers"], 4)
        and _are_rows(stored["unlinked"], 2)
        and _are_rows(stored["cases"], 4)
    )


def _is_key(stored: object) -> bool:
    return (
        isinstance(stored, dict)
        and stored.keys() == {"kind", "value", "owners", "unlinked"}
        and _are_texts([stored["kind"], stored["value"]])
        and _are_rows(stored["owners"], 3)
        and _are_texts(stored["unlinked"])
    )


def _is_pin(stored: object) -> bool:
    if not isinstance(stored, dict) or stored.keys() != {"customer_id"}:
        return False
    return stored["customer_id"] is None or isinstance(stored["customer_id"], str)


def _are_rows(stored: object, length: int) -> bool:
    """Return whether this is a list of rows, each of so many texts."""
    return isinstance(stored, list) and all(_are_texts(row) and len(row) == length for row in stored)


def _are_texts(stored: object) -> bool:
    return isinstance(stored, list) and all(isinstance(text, str) for text in stored)


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


def _increment_version(session: Session, customer_id: str, at: datetime) -> None:
    session.execute(
        update(_CUSTOMERS).where(_CUSTOMERS.c.id == customer_id).values(version=_CUSTOMERS.c.version + 1, updated_at=at)
    )
