"""Export of customers, in the form of the JSON files that `flask crm seed` reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import select

from enrich.customers.fixture_rows import CASE_FIELDS
from enrich.customers.identifiers import EMAIL, PHONE, customer_id_identifier
from enrich.customers.projection_writes import StoredCustomer, read_customers
from enrich.customers.tables import CustomerRow
from enrich.database.engine import Database

# Customers read at a time, each time consistently.
BATCH = 500


def export(database: Database) -> Iterator[dict[str, Any]]:
    """Yield every customer in the form of the JSON files, by id; seeding the result changes nothing.

    Includes what staff linked and changed. Without customers that are part of another one, or gone: seeding would
    restore them. Raises DatabaseError.
    """
    last = ""
    while True:
        page = select(CustomerRow.id).where(CustomerRow.id > last).order_by(CustomerRow.id).limit(BATCH)
        with database.reading() as session:
            customer_ids = list(session.scalars(page))
            stored = read_customers(session.connection(), customer_ids)
        for customer_id in customer_ids:
            customer = stored[customer_id]
            if customer.merged_into is None and not customer.is_gone:
                yield _exported(customer_id, customer)
        if len(customer_ids) < BATCH:
            return
        last = customer_ids[-1]


def _exported(customer_id: str, stored: StoredCustomer) -> dict[str, Any]:
    written = _as_written(customer_id, stored)
    customer: dict[str, Any] = {
        "id": customer_id,
        **stored.texts,
        "phones": written.pop(PHONE, []),
        "emails": written.pop(EMAIL, []),
        "ids": {kind: values[0] if len(values) == 1 else values for kind, values in sorted(written.items())},
        "notes": stored.notes,
        "cases": [
            {name: value for name, value in zip(CASE_FIELDS, case, strict=True) if value} for case in stored.cases
        ],
    }
    return {name: value for name, value in customer.items() if value}


def _as_written(customer_id: str, stored: StoredCustomer) -> dict[str, list[str]]:
    """Return the distinct original spellings by kind; a number with an extension is stored as two normal forms."""
    written: dict[str, list[str]] = {}
    own = customer_id_identifier(customer_id)
    for identifier, (_, as_written, _) in stored.identifiers.items():
        texts = written.setdefault(identifier.kind, [])
        if identifier != own and as_written not in texts:
            texts.append(as_written)
    return {kind: texts for kind, texts in written.items() if texts}
