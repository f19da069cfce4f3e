"""Customers into the store and out of it: what `flask crm seed` and `flask crm export` do with the rows of fixtures.py.

Seeding says what the store should hold, compares, and writes only the difference: the second run changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, bindparam, delete, insert, select, update
from sqlalchemy.orm import Session

from enrich.customers.fixtures import CASE_FIELDS, FIELD_OF_KIND, LONGEST_TEXT, BadRow, CustomerFixture
from enrich.customers.identifiers import EMAIL, PHONE, Identifier, customer_id_identifier
from enrich.customers.tables import FROM_CRM, CaseRow, CustomerRow, IdentifierRow, NoteRow
from enrich.db import Base, Database
from enrich.vocabulary import Case

# Customers per transaction. On SQLite 500 keep each turn of the one writer short, so that the journal of a server that
# runs meanwhile is never kept waiting for long; larger batches were no faster.
BATCH = 500

_CUSTOMERS, _IDENTIFIERS, _NOTES, _CASES = (
    Base.metadata.tables[row.__tablename__] for row in (CustomerRow, IdentifierRow, NoteRow, CaseRow)
)


@dataclass(frozen=True, slots=True)
class SeedReport:
    """What a seed did, in customers; and the rows that it could not take."""

    created: int
    changed: int
    unchanged: int
    bad: tuple[BadRow, ...]


def seed(
    database: Database,
    rows: Iterable[CustomerFixture | BadRow],
    *,
    now: datetime,
    progress: Callable[[int], None] | None = None,
) -> SeedReport:
    """Brings these customers into the store, in transactions of 500; what is the same already is not written.

    Customers that are not among the rows stay as they are, and so does every identifier that staff have linked.
    now: aware; stored with whatever was created or changed. progress: told the number of rows done, after each batch.
    Raises DatabaseError; batches before that are committed, and seeding again goes on from there.
    """
    bad: list[BadRow] = []
    totals = {"created": 0, "changed": 0, "unchanged": 0}
    done = 0
    for batch in _batches(_good(rows, bad)):
        with database.transaction() as session:
            outcomes = _seed_batch(session, batch, now)
        for outcome in outcomes:
            totals[outcome] += 1
        done += len(batch)
        if progress:
            progress(done + len(bad))
    if progress:
        progress(done + len(bad))
    return SeedReport(**totals, bad=tuple(bad))


def _good(rows: Iterable[CustomerFixture | BadRow], bad: list[BadRow]) -> Iterator[CustomerFixture]:
    for row in rows:
        if isinstance(row, BadRow):
            bad.append(row)
        else:
            yield row


def _batches(customers: Iterable[CustomerFixture]) -> Iterator[list[CustomerFixture]]:
    """Up to 500 at a time, no id twice in one: of several files that know the same customer the last one counts."""
    batch: dict[str, CustomerFixture] = {}
    for customer in customers:
        if len(batch) == BATCH or customer.id in batch:
            yield list(batch.values())
            batch = {}
        batch[customer.id] = customer
    if batch:
        yield list(batch.values())


@dataclass(slots=True)
class _Stored:
    """One customer as the store has it."""

    texts: dict[str, str]
    identifiers: dict[Identifier, tuple[int, str, str]] = field(default_factory=dict)  # row id, as written, source
    notes: list[str] = field(default_factory=list)
    cases: list[Case] = field(default_factory=list)


@dataclass(slots=True)
class _Changes:
    """What one batch has to write, table by table, so that each is one executemany."""

    new_customers: list[dict[str, Any]] = field(default_factory=list)
    customers: list[dict[str, Any]] = field(default_factory=list)
    new_identifiers: list[dict[str, Any]] = field(default_factory=list)
    identifiers: list[dict[str, Any]] = field(default_factory=list)
    gone_identifiers: list[dict[str, Any]] = field(default_factory=list)
    emptied_notes: list[dict[str, Any]] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)
    emptied_cases: list[dict[str, Any]] = field(default_factory=list)
    cases: list[dict[str, Any]] = field(default_factory=list)

    def size(self) -> int:
        return sum(len(getattr(self, name)) for name in self.__slots__)


def _seed_batch(session: Session, batch: Sequence[CustomerFixture], now: datetime) -> list[str]:
    """Created, changed or unchanged, for each customer of the batch."""
    stored = _stored(session, [customer.id for customer in batch])
    changes = _Changes()
    outcomes = [_compare(customer, stored.get(customer.id), changes, now) for customer in batch]
    _write(session, changes)
    return outcomes


def _compare(customer: CustomerFixture, stored: _Stored | None, changes: _Changes, now: datetime) -> str:
    """What becomes of this customer; notes in `changes` what there is to write."""
    size_before = changes.size()
    known = stored or _Stored(texts={})
    texts = {"name": customer.name, **customer.texts}
    _compare_identifiers(customer, known, changes)
    if customer.notes is not None and list(customer.notes) != known.notes:
        changes.emptied_notes.append({"of": customer.id})
        changes.notes += _note_rows(customer.id, customer.notes)
    if customer.cases is not None and list(customer.cases) != known.cases:
        changes.emptied_cases.append({"of": customer.id})
        changes.cases += _case_rows(customer.id, customer.cases)
    if stored is None:
        empty = dict.fromkeys(LONGEST_TEXT, "")
        changes.new_customers.append({"id": customer.id, **empty, **texts, "updated_at": now})
        return "created"
    if changes.size() == size_before and texts.items() <= stored.texts.items():
        return "unchanged"
    changes.customers.append({"of": customer.id, **stored.texts, **texts, "updated_at": now})
    return "changed"


def _compare_identifiers(customer: CustomerFixture, known: _Stored, changes: _Changes) -> None:
    for identifier, as_written in customer.identifiers.items():
        row_id, written_before, source = known.identifiers.get(identifier, (None, "", FROM_CRM))
        if row_id is None:
            changes.new_identifiers.append(
                {
                    "customer_id": customer.id,
                    "kind": identifier.kind,
                    "value": identifier.value,
                    "as_written": as_written,
                    "source": FROM_CRM,
                }
            )
        elif source == FROM_CRM and written_before != as_written:
            changes.identifiers.append({"of": row_id, "as_written": as_written})
    for identifier, (row_id, _, source) in known.identifiers.items():
        is_spoken_of = FIELD_OF_KIND.get(identifier.kind, "ids") in customer.speaks_for
        if source == FROM_CRM and is_spoken_of and identifier not in customer.identifiers:
            changes.gone_identifiers.append({"of": row_id})


def _note_rows(customer_id: str, notes: Iterable[str]) -> list[dict[str, Any]]:
    return [{"customer_id": customer_id, "position": number, "text": text} for number, text in enumerate(notes)]


def _case_rows(customer_id: str, cases: Iterable[Case]) -> list[dict[str, Any]]:
    return [
        {
            "customer_id": customer_id,
            "id": case.id,
            "position": number,
            "subject": case.subject,
            "status": case.status,
            "opened_on": case.opened_on or "",
        }
        for number, case in enumerate(cases)
    ]


def _write(session: Session, changes: _Changes) -> None:
    of: ColumnElement[Any] = bindparam("of")
    connection = session.connection()
    for statement, rows in (
        (insert(_CUSTOMERS), changes.new_customers),
        (update(_CUSTOMERS).where(_CUSTOMERS.c.id == of), changes.customers),
        (delete(_IDENTIFIERS).where(_IDENTIFIERS.c.id == of), changes.gone_identifiers),
        (update(_IDENTIFIERS).where(_IDENTIFIERS.c.id == of), changes.identifiers),
        (insert(_IDENTIFIERS), changes.new_identifiers),
        (delete(_NOTES).where(_NOTES.c.customer_id == of), changes.emptied_notes),
        (insert(_NOTES), changes.notes),
        (delete(_CASES).where(_CASES.c.customer_id == of), changes.emptied_cases),
        (insert(_CASES), changes.cases),
    ):
        if rows:
            connection.execute(statement, rows)


def _stored(session: Session, customer_ids: Sequence[str]) -> dict[str, _Stored]:
    """These customers as the store has them, by id; those that it does not have are missing."""
    connection = session.connection()
    customers = connection.execute(select(_CUSTOMERS).where(_CUSTOMERS.c.id.in_(customer_ids)))
    stored = {
        row.id: _Stored({"name": row.name, **{name: getattr(row, name) for name in LONGEST_TEXT}}) for row in customers
    }
    if not stored:
        return stored
    known = list(stored)
    for row in connection.execute(
        select(_IDENTIFIERS).where(_IDENTIFIERS.c.customer_id.in_(known)).order_by(_IDENTIFIERS.c.id)
    ):
        identifiers = stored[row.customer_id].identifiers
        identifiers[Identifier(row.kind, row.value)] = (row.id, row.as_written, row.source)
    for row in connection.execute(select(_NOTES).where(_NOTES.c.customer_id.in_(known)).order_by(_NOTES.c.position)):
        stored[row.customer_id].notes.append(row.text)
    for row in connection.execute(select(_CASES).where(_CASES.c.customer_id.in_(known)).order_by(_CASES.c.position)):
        stored[row.customer_id].cases.append(Case(row.id, row.subject, row.status, row.opened_on or None))
    return stored


def export(database: Database) -> Iterator[dict[str, Any]]:
    """Every customer in the form of the JSON files, by id; seeding it again changes nothing. Raises DatabaseError.

    Reads 500 at a time, each of one moment. Identifiers that staff have linked are among the rest.
    """
    last = ""
    while True:
        page = select(_CUSTOMERS.c.id).where(_CUSTOMERS.c.id > last).order_by(_CUSTOMERS.c.id).limit(BATCH)
        with database.reading() as session:
            customer_ids = list(session.scalars(page))
            stored = _stored(session, customer_ids)
        for customer_id in customer_ids:
            yield _exported(customer_id, stored[customer_id])
        if len(customer_ids) < BATCH:
            return
        last = customer_ids[-1]


def _exported(customer_id: str, stored: _Stored) -> dict[str, Any]:
    written = _as_written(customer_id, stored)
    customer: dict[str, Any] = {
        "id": customer_id,
        **stored.texts,
        "phones": written.pop(PHONE, []),
        "emails": written.pop(EMAIL, []),
        "ids": {kind: values[0] if len(values) == 1 else values for kind, values in sorted(written.items())},
        "notes": stored.notes,
        "cases": [{name: value for name in CASE_FIELDS if (value := getattr(case, name))} for case in stored.cases],
    }
    return {name: value for name, value in customer.items() if value}


def _as_written(customer_id: str, stored: _Stored) -> dict[str, list[str]]:
    """What was written, by kind, each once: a number with an extension is stored under two normal forms."""
    written: dict[str, list[str]] = {}
    own = customer_id_identifier(customer_id)
    for identifier, (_, as_written, _) in stored.identifiers.items():
        texts = written.setdefault(identifier.kind, [])
        if identifier != own and as_written not in texts:
            texts.append(as_written)
    return {kind: texts for kind, texts in written.items() if texts}
