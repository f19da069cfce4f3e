"""Customers as rows of a fixture file, and changes that staff make."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from enrich.customers import audit
from enrich.customers.audit import AuditAction
from enrich.customers.fixture_rows import CustomerFixture, read_customer
from enrich.customers.projection import StoredRecord
from enrich.customers.records import Actor, Scope
from enrich.database.engine import Database

DANA = Actor(1, "dana@example.com")
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
ADA: dict[str, Any] = {
    "id": "C-1001",
    "name": "Ada Lovelace",
    "company": "Analytical Engines",
    "tier": "gold",
    "language": "en",
    "owner": "dana@example.com",
    "phones": ["+1 415 555 0100"],
    "emails": ["ada@example.com"],
    "ids": {"account_number": "A-17"},
    "notes": ["Prefers mornings"],
    "cases": [{"id": "K-9", "subject": "Broken gear", "status": "open", "opened_on": "2026-11-02"}],
}


def customer_of(row: Mapping[str, Any]) -> CustomerFixture:
    """Return the customer of this row of a file, in which nothing is wrong."""
    read = read_customer(row, "US")
    assert isinstance(read, CustomerFixture), read
    return read


def record(remote_id: str = "C-1", source: str = "file", **values: Any) -> StoredRecord:
    """Return a stored record. values: its fields; home_id, state, version and into_remote_id are its own."""
    home = remote_id if source == "file" else f"{source}:{remote_id}"
    about = {name: values.pop(name) for name in ("state", "version", "into_remote_id") if name in values}
    return StoredRecord(source, "customer", remote_id, values.pop("home_id", home), fields=values, **about)


def audited_change(
    database: Database,
    scope: Scope,
    act: Callable[[Session], Sequence[int] | None],
    action: AuditAction = AuditAction.LINKED,
    **about: str,
) -> int:
    """Make one change of DANA's and return its id in the audit trail. about: the task and the customer."""
    with database.transaction() as session:
        made = audit.change(session, scope, action, DANA, NOON, lambda: act(session), **about)
    assert made is not None
    return made.audit_id
