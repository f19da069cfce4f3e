"""The stored customers, and the statements that make them equal to their projections.

Only differences are written, with one statement for each table. Works in the connection of the caller.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, delete, insert, select, update

from enrich.customers.identifiers import Identifier, words_of
from enrich.customers.projection import Projection
from enrich.customers.tables import CaseRow, CustomerRow, IdentifierRow, NoteRow, UnlinkedRow, WordRow
from enrich.database.types import Base
from enrich.domain.lengths import CUSTOMER_TEXTS

_CUSTOMERS, _IDENTIFIERS, _NOTES, _CASES, _WORDS, _UNLINKED = (
    Base.metadata.tables[row.__tablename__]
    for row in (CustomerRow, IdentifierRow, NoteRow, CaseRow, WordRow, UnlinkedRow)
)


@dataclass(slots=True)
class StoredCustomer:
    """One customer as stored. identifiers: normal form -> (row id, as written, source). cases: as in Projection."""

    texts: dict[str, str]
    version: int
    projected_version: int | None
    created_at: datetime | None
    settled: Any
    merged_into: str | None
    is_gone: bool
    identifiers: dict[Identifier, tuple[int, str, str]] = field(default_factory=dict)
    unlinked: set[Identifier] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    cases: list[list[str]] = field(default_factory=list)

    @property
    def is_projected(self) -> bool:
        """Return False if code from before the projection wrote the row last."""
        return self.projected_version == self.version


def read_customers(connection: Connection, customer_ids: Collection[str]) -> dict[str, StoredCustomer]:
    """Return the stored customers by id, without unknown ids."""
    rows = connection.execute(select(_CUSTOMERS).where(_CUSTOMERS.c.id.in_(customer_ids))) if customer_ids else ()
    stored = {
        row.id: StoredCustomer(
            {name: getattr(row, name) for name in CUSTOMER_TEXTS},
            version=row.version,
            projected_version=row.projected_version,
            created_at=row.created_at,
            settled=row.settled,
            merged_into=row.merged_into,
            is_gone=row.is_gone,
        )
        for row in rows
    }
    if not stored:
        return stored
    known_ids = list(stored)
    for row in _of(connection, known_ids, _IDENTIFIERS, _IDENTIFIERS.c.id):
        stored[row.customer_id].identifiers[Identifier(row.kind, row.value)] = (row.id, row.as_written, row.source)
    for row in _of(connection, known_ids, _UNLINKED):
        stored[row.customer_id].unlinked.add(Identifier(row.kind, row.value))
    for row in _of(connection, known_ids, _NOTES, _NOTES.c.position, _NOTES.c.id):
        stored[row.customer_id].notes.append(row.text)
    for row in _of(connection, known_ids, _CASES, _CASES.c.position, _CASES.c.id):
        stored[row.customer_id].cases.append([row.id, row.subject, row.status, row.opened_on])
    return stored


def _of(connection: Connection, customer_ids: Collection[str], table: Any, *order: Any) -> Iterable[Any]:
    return connection.execute(select(table).where(table.c.customer_id.in_(customer_ids)).order_by(*order))


class ProjectionWrites:
    """The writes of one transaction, by table."""

    def __init__(self, now: datetime) -> None:
        """now: the time of the change."""
        self._now = now
        self._rows: dict[str, list[dict[str, Any]]] = {name: [] for name in _STATEMENTS}

    def add(self, customer_id: str, wanted: Projection, stored: StoredCustomer | None) -> bool:
        """Add what makes the stored customer equal to the projection; return whether there is a difference.

        stored: None if there is no such customer yet.
        """
        rows_before = self._count()
        self._add_identifiers(customer_id, wanted, stored)
        self._add_lists(customer_id, wanted, stored)
        values = {
            **wanted.texts,
            "settled": dict(wanted.settled) or None,
            "merged_into": wanted.merged_into,
            "is_gone": wanted.is_gone,
        }
        if stored is None:
            versions = {"version": 1, "projected_version": 1}
            self._put(
                "insert customers",
                {"id": customer_id, **values, **versions, "created_at": self._now, "updated_at": self._now},
            )
            self._put_words(customer_id, wanted)
            return True
        was = {
            **stored.texts,
            "settled": stored.settled or None,
            "merged_into": stored.merged_into,
            "is_gone": stored.is_gone,
        }
        if any(was[name] != values[name] for name in ("name", "company", "is_gone")):
            self._put("delete words", {"of": customer_id})
            self._put_words(customer_id, wanted)
        is_changed = was != values or self._count() > rows_before
        if is_changed:
            version = stored.version + 1
            written = {"version": version, "projected_version": version, "updated_at": self._now}
            self._put("update customers", {"of": customer_id, **values, **written})
        elif not stored.is_projected:
            self._put("adopt customers", {"of": customer_id, "projected_version": stored.version})
        return is_changed

    def delete(self, customer_id: str) -> None:
        """Add the removal of a customer, with all that belongs to it."""
        self._put("delete customers", {"of": customer_id})

    def write(self, connection: Connection) -> None:
        """Execute the statements."""
        for name, statement in _STATEMENTS.items():
            if self._rows[name]:
                connection.execute(statement, self._rows[name])

    def _count(self) -> int:
        return sum(map(len, self._rows.values()))

    def _put(self, name: str, *rows: dict[str, Any]) -> None:
        self._rows[name] += rows

    def _put_words(self, customer_id: str, wanted: Projection) -> None:
        if not wanted.is_gone:
            words = words_of(wanted.texts["name"], wanted.texts["company"])
            self._put("insert words", *({"customer_id": customer_id, "word": word} for word in words))

    def _add_identifiers(self, customer_id: str, wanted: Projection, stored: StoredCustomer | None) -> None:
        known = stored.identifiers if stored else {}
        for key, (as_written, source) in wanted.identifiers.items():
            row_id, written_before, source_before = known.get(key, (None, "", ""))
            values = {"as_written": as_written, "source": source}
            if row_id is None:
                of_key = {"customer_id": customer_id, "kind": key.kind, "value": key.value}
                self._put("insert identifiers", {**of_key, **values})
            elif (written_before, source_before) != (as_written, source):
                self._put("update identifiers", {"of": row_id, **values})
        gone = [row_id for key, (row_id, _, _) in known.items() if key not in wanted.identifiers]
        self._put("delete identifiers", *({"of": row_id} for row_id in gone))
        before, after = stored.unlinked if stored else set(), set(wanted.unlinked)
        for key in _ordered(before - after):
            self._put("delete unlinked", {"of": customer_id, "of_kind": key.kind, "of_value": key.value})
        for key in _ordered(after - before):
            self._put("insert unlinked", {"customer_id": customer_id, "kind": key.kind, "value": key.value})

    def _add_lists(self, customer_id: str, wanted: Projection, stored: StoredCustomer | None) -> None:
        notes, cases = list(wanted.notes), [list(one) for one in wanted.cases]
        if notes != (stored.notes if stored else []):
            if stored and stored.notes:
                self._put("delete notes", {"of": customer_id})
            self._put("insert notes", *_note_rows(customer_id, notes))
        if cases != (stored.cases if stored else []):
            if stored and stored.cases:
                self._put("delete cases", {"of": customer_id})
            self._put("insert cases", *_case_rows(customer_id, cases))


def _ordered(keys: Iterable[Identifier]) -> list[Identifier]:
    return sorted(keys, key=lambda key: (key.kind, key.value))


def _note_rows(customer_id: str, notes: Iterable[str]) -> list[dict[str, Any]]:
    """Return the rows of these notes, the newest first."""
    return [{"customer_id": customer_id, "position": number, "text": text} for number, text in enumerate(notes)]


def _case_rows(customer_id: str, cases: Iterable[Iterable[str]]) -> list[dict[str, Any]]:
    """Return the rows of these cases, each as [id, subject, status, opened_on]."""
    columns = ("id", "subject", "status", "opened_on")
    return [
        {"customer_id": customer_id, "position": number, **dict(zip(columns, one, strict=True))}
        for number, one in enumerate(cases)
    ]


_of_row: ColumnElement[Any] = bindparam("of")

# In the order in which they are executed.
_STATEMENTS = {
    "insert customers": insert(_CUSTOMERS),
    "update customers": update(_CUSTOMERS).where(_CUSTOMERS.c.id == _of_row),
    "adopt customers": update(_CUSTOMERS).where(_CUSTOMERS.c.id == _of_row),
    "delete identifiers": delete(_IDENTIFIERS).where(_IDENTIFIERS.c.id == _of_row),
    "update identifiers": update(_IDENTIFIERS).where(_IDENTIFIERS.c.id == _of_row),
    "insert identifiers": insert(_IDENTIFIERS),
    "delete unlinked": delete(_UNLINKED).where(
        _UNLINKED.c.customer_id == _of_row,
        _UNLINKED.c.kind == bindparam("of_kind"),
        _UNLINKED.c.value == bindparam("of_value"),
    ),
    "insert unlinked": insert(_UNLINKED),
    "delete notes": delete(_NOTES).where(_NOTES.c.customer_id == _of_row),
    "insert notes": insert(_NOTES),
    "delete cases": delete(_CASES).where(_CASES.c.customer_id == _of_row),
    "insert cases": insert(_CASES),
    "delete words": delete(_WORDS).where(_WORDS.c.customer_id == _of_row),
    "insert words": insert(_WORDS),
    "delete customers": delete(_CUSTOMERS).where(_CUSTOMERS.c.id == _of_row),
}
