"""Seeding and export of customers: `flask crm seed` and `flask crm export`, with the rows of fixtures.py.

Seeding compares the rows with the store and writes only the differences: a second run changes nothing.

Changes by staff stay. An identifier that they took from a customer is not restored; a customer merged into another is
skipped; a text, notes or cases that they changed stay until the CRM's file has a new value. The report counts the
customers where that happened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, bindparam, delete, insert, select, update
from sqlalchemy.orm import Session

from enrich.customers.fixture_rows import CASE_FIELDS, FIELD_OF_KIND, BadRow, CustomerFixture, IncompleteRow
from enrich.customers.identifiers import EMAIL, FROM_CRM, PHONE, Identifier, customer_id_identifier, words_of
from enrich.customers.records import readable_settled, serialise_changes
from enrich.customers.tables import CaseRow, CustomerRow, IdentifierRow, NoteRow, UnlinkedRow, WordRow
from enrich.database.engine import Database
from enrich.database.types import Base
from enrich.domain.lengths import CUSTOMER_TEXTS
from enrich.domain.matches import Case

# Customers per transaction. On SQLite, 500 hold the write lock only briefly, so that the journal of a running server
# does not wait for long; larger batches were no faster.
BATCH = 500

_CUSTOMERS, _IDENTIFIERS, _NOTES, _CASES, _WORDS, _UNLINKED = (
    Base.metadata.tables[row.__tablename__]
    for row in (CustomerRow, IdentifierRow, NoteRow, CaseRow, WordRow, UnlinkedRow)
)


@dataclass(frozen=True, slots=True)
class SeedReport:
    """The result of a seed: numbers of customers, and the rows that were not loaded, or not with all their values.

    bad: in the file's order. settled: customers, of all these, where a change by staff was kept.
    """

    created: int
    changed: int
    unchanged: int
    bad: tuple[BadRow | IncompleteRow, ...]
    settled: int = 0

    @property
    def not_loaded(self) -> int:
        """The number of rows that were not loaded."""
        return sum(row.rows for row in self.bad if isinstance(row, BadRow))

    @property
    def incomplete(self) -> int:
        """The number of rows that were loaded without some of their values."""
        return sum(1 for row in self.bad if isinstance(row, IncompleteRow))


def seed(
    database: Database,
    rows: Iterable[CustomerFixture | BadRow | IncompleteRow],
    *,
    now: datetime,
    progress: Callable[[int], None] | None = None,
) -> SeedReport:
    """Write these customers to the store, in transactions of 500; unchanged ones are not written.

    Customers without a row stay as they are, and so do identifiers linked by staff.
    now: aware; the time of the change. progress: called with the number of rows done, after each batch.
    Raises DatabaseError; earlier batches are committed, and seeding again continues from there.
    """
    bad: list[BadRow | IncompleteRow] = []
    totals = {"created": 0, "changed": 0, "unchanged": 0}
    settled = 0
    done = 0
    for batch in _batches(_good(rows, bad)):
        with database.transaction() as session:
            outcomes = _seed_batch(session, batch, now)
        for outcome, is_settled in outcomes:
            totals[outcome] += 1
            settled += is_settled
        done += len(batch)
        if progress:
            progress(done + len(bad))
    if progress:
        progress(done + len(bad))
    return SeedReport(**totals, settled=settled, bad=tuple(bad))


def _good(
    rows: Iterable[CustomerFixture | BadRow | IncompleteRow], bad: list[BadRow | IncompleteRow]
) -> Iterator[CustomerFixture]:
    for row in rows:
        if isinstance(row, CustomerFixture):
            yield row
        else:
            bad.append(row)


def _batches(customers: Iterable[CustomerFixture]) -> Iterator[list[CustomerFixture]]:
    """Yield batches of up to 500 without repeated ids: of several files with the same customer, the last one counts."""
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
    """One customer as stored."""

    texts: dict[str, str]
    version: int = 0
    settled: dict[str, Any] | None = field(default_factory=dict)  # None: a newer version's, of another shape
    merged_into: str | None = None
    unlinked: set[Identifier] = field(default_factory=set)
    identifiers: dict[Identifier, tuple[int, str, str]] = field(default_factory=dict)  # row id, as written, source
    notes: list[str] = field(default_factory=list)
    cases: list[Case] = field(default_factory=list)

    @property
    def is_named(self) -> bool:
        """Return whether the name is a name, not the substitute of a customer without one."""
        others = {self.texts.get("company", ""), "", *(as_written for _, as_written, _ in self.identifiers.values())}
        return self.texts.get("name", "") not in others


@dataclass(slots=True)
class _Changes:
    """The writes of one batch by table, so that each is one executemany."""

    new_customers: list[dict[str, Any]] = field(default_factory=list)
    customers: list[dict[str, Any]] = field(default_factory=list)
    new_identifiers: list[dict[str, Any]] = field(default_factory=list)
    identifiers: list[dict[str, Any]] = field(default_factory=list)
    gone_identifiers: list[dict[str, Any]] = field(default_factory=list)
    emptied_notes: list[dict[str, Any]] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)
    emptied_cases: list[dict[str, Any]] = field(default_factory=list)
    cases: list[dict[str, Any]] = field(default_factory=list)
    emptied_words: list[dict[str, Any]] = field(default_factory=list)
    words: list[dict[str, Any]] = field(default_factory=list)

    def size(self) -> int:
        return sum(len(getattr(self, name)) for name in self.__slots__)


def _seed_batch(session: Session, batch: Sequence[CustomerFixture], now: datetime) -> list[tuple[str, bool]]:
    """Write the batch; return for each customer the outcome, and whether changes by staff were kept."""
    serialise_changes(session)
    stored = _stored(session, [customer.id for customer in batch])
    changes = _Changes()
    outcomes = [_compare(customer, stored.get(customer.id), changes, now) for customer in batch]
    _write(session, changes)
    return outcomes


def _compare(customer: CustomerFixture, stored: _Stored | None, changes: _Changes, now: datetime) -> tuple[str, bool]:
    """Add the customer's writes to `changes`; return created, changed or unchanged, and whether staff's stay."""
    known = stored or _Stored(texts={})
    if known.merged_into is not None or known.settled is None:  # without it, the file would undo changes by staff
        return "unchanged", True
    size_before = changes.size()
    settled = _still_settled(customer, known.settled)
    texts = {name: text for name, text in {"name": customer.name, **customer.texts}.items() if name not in settled}
    if customer.is_nameless and known.is_named:
        # It is left out already if staff gave the name, and the CRM still has none.
        texts.pop("name", None)
    is_settled = _compare_identifiers(customer, known, changes) or bool(settled.keys() & _fields_of(customer))
    if customer.notes is not None and "notes" not in settled and list(customer.notes) != known.notes:
        changes.emptied_notes.append({"of": customer.id})
        changes.notes += _note_rows(customer.id, customer.notes)
    if customer.cases is not None and "cases" not in settled and list(customer.cases) != known.cases:
        changes.emptied_cases.append({"of": customer.id})
        changes.cases += _case_rows(customer.id, customer.cases)
    if stored is None:
        empty = dict.fromkeys(CUSTOMER_TEXTS, "")
        changes.new_customers.append({"id": customer.id, **empty, **texts, "updated_at": now})
        changes.words += _word_rows(customer.id, texts)
        return "created", False
    if changes.size() == size_before and texts.items() <= stored.texts.items() and settled == stored.settled:
        return "unchanged", is_settled
    new_texts = {**stored.texts, **texts}
    if any(new_texts[name] != stored.texts[name] for name in ("name", "company")):
        changes.emptied_words.append({"of": customer.id})
        changes.words += _word_rows(customer.id, new_texts)
    changes.customers.append(
        {
            "of": customer.id,
            **new_texts,
            "settled": settled or None,
            "version": stored.version + 1,
            "updated_at": now,
        }
    )
    return "changed", is_settled


def _fields_of(customer: CustomerFixture) -> dict[str, Any]:
    """Return the texts, notes and cases that the file has, in the form of `settled`."""
    fields: dict[str, Any] = {"name": customer.name, **customer.texts}
    if customer.notes is not None:
        fields["notes"] = list(customer.notes)
    if customer.cases is not None:
        fields["cases"] = [[case.id, case.subject, case.status, case.opened_on or ""] for case in customer.cases]
    return fields


def _still_settled(customer: CustomerFixture, settled: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that stay as staff changed them: missing in the file, or unchanged since in the CRM."""
    fields = _fields_of(customer)
    return {name: value for name, value in settled.items() if name not in fields or fields[name] == value}


def _compare_identifiers(customer: CustomerFixture, known: _Stored, changes: _Changes) -> bool:
    """Add the writes of identifiers; return whether staff took one of them away, which is not restored."""
    for identifier, as_written in customer.identifiers.items():
        if identifier in known.unlinked:
            continue
        row_id, previously_written, source = known.identifiers.get(identifier, (None, "", FROM_CRM))
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
        elif source == FROM_CRM and previously_written != as_written:
            changes.identifiers.append({"of": row_id, "as_written": as_written})
    for identifier, (row_id, _, source) in known.identifiers.items():
        is_in_file = FIELD_OF_KIND.get(identifier.kind, "ids") in customer.identifier_fields
        if source == FROM_CRM and is_in_file and identifier not in customer.identifiers:
            changes.gone_identifiers.append({"of": row_id})
    return any(identifier in known.unlinked for identifier in customer.identifiers)


def _word_rows(customer_id: str, texts: dict[str, str]) -> list[dict[str, Any]]:
    words = words_of(texts["name"], texts.get("company", ""))
    return [{"customer_id": customer_id, "word": word} for word in words]


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
        (delete(_WORDS).where(_WORDS.c.customer_id == of), changes.emptied_words),
        (insert(_WORDS), changes.words),
    ):
        if rows:
            connection.execute(statement, rows)


def _stored(session: Session, customer_ids: Sequence[str]) -> dict[str, _Stored]:
    """Return the stored customers by id, without unknown ids."""
    connection = session.connection()
    customers = connection.execute(select(_CUSTOMERS).where(_CUSTOMERS.c.id.in_(customer_ids)))
    stored = {
        row.id: _Stored(
            {name: getattr(row, name) for name in CUSTOMER_TEXTS},
            version=row.version,
            settled=readable_settled(row.settled),
            merged_into=row.merged_into,
        )
        for row in customers
    }
    if not stored:
        return stored
    known_ids = list(stored)
    for row in connection.execute(
        select(_IDENTIFIERS).where(_IDENTIFIERS.c.customer_id.in_(known_ids)).order_by(_IDENTIFIERS.c.id)
    ):
        identifiers = stored[row.customer_id].identifiers
        identifiers[Identifier(row.kind, row.value)] = (row.id, row.as_written, row.source)
    for row in connection.execute(select(_UNLINKED).where(_UNLINKED.c.customer_id.in_(known_ids))):
        stored[row.customer_id].unlinked.add(Identifier(row.kind, row.value))
    for row in connection.execute(
        select(_NOTES).where(_NOTES.c.customer_id.in_(known_ids)).order_by(_NOTES.c.position)
    ):
        stored[row.customer_id].notes.append(row.text)
    for row in connection.execute(
        select(_CASES).where(_CASES.c.customer_id.in_(known_ids)).order_by(_CASES.c.position)
    ):
        stored[row.customer_id].cases.append(Case(row.id, row.subject, row.status, row.opened_on or None))
    return stored


def export(database: Database) -> Iterator[dict[str, Any]]:
    """Yield every customer in the form of the JSON files, by id; seeding the result changes nothing.

    Reads 500 at a time, each consistently. Includes identifiers linked by staff. Raises DatabaseError.
    """
    last = ""
    while True:
        page = select(_CUSTOMERS.c.id).where(_CUSTOMERS.c.id > last).order_by(_CUSTOMERS.c.id).limit(BATCH)
        with database.reading() as session:
            customer_ids = list(session.scalars(page))
            stored = _stored(session, customer_ids)
        for customer_id in customer_ids:
            if stored[customer_id].merged_into is None:  # else seeding would restore it as a separate customer
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
    """Return the distinct original spellings by kind; a number with an extension is stored as two normal forms."""
    written: dict[str, list[str]] = {}
    own = customer_id_identifier(customer_id)
    for identifier, (_, as_written, _) in stored.identifiers.items():
        texts = written.setdefault(identifier.kind, [])
        if identifier != own and as_written not in texts:
            texts.append(as_written)
    return {kind: texts for kind, texts in written.items() if texts}
