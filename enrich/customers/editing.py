"""Changes that staff make on the page, as decisions. Pure.

A record has the form that records.py captures: texts, `identifiers` as [kind, value, as_written, source], `unlinked` as
[kind, value], `notes`, `cases` as [id, subject, status, opened_on], `settled` and `merged_into`. Decisions have no ids
yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from enrich.customers.fixture_rows import CustomerFixture
from enrich.customers.identifiers import Identifier, customer_id_identifier
from enrich.customers.projection import LISTS, Decision, DecisionKind
from enrich.customers.source_record import SourceRecord
from enrich.domain.lengths import CUSTOMER_TEXTS, MAX_IDENTIFIER_LENGTH

Record = dict[str, Any]

_UNSAVED = 0


def created(customer: CustomerFixture) -> Decision:
    """Return the decision that there is this customer."""
    fields = SourceRecord.of_fixture(customer).fields
    given = {name: value for name, value in fields.items() if value}
    return Decision(_UNSAVED, DecisionKind.CREATE, customer.id, value=given)


def edited(customer_id: str, record: Record, form: CustomerFixture) -> list[Decision]:
    """Return the decisions that turn the record into the form: an edit for each field, a link or unlink for each key.

    form: of this customer. What the sources say of an edited field is its base, which stays as it was when staff edit
    it again.
    """
    new = {
        **{name: record[name] for name in CUSTOMER_TEXTS},
        "name": form.name,
        **form.texts,
        "notes": list(form.notes or ()),
        "cases": [[case.id, case.subject, case.status, case.opened_on or ""] for case in form.cases or ()],
    }
    settled = record["settled"] or {}
    decisions = [
        Decision(
            _UNSAVED,
            DecisionKind.EDIT,
            customer_id,
            field=name,
            value=new[name],
            base=settled[name] if name in settled else record[name],
        )
        for name in (*CUSTOMER_TEXTS, *LISTS)
        if new[name] != record[name]
    ]
    return decisions + _keys(customer_id, record, form.identifiers)


def _keys(customer_id: str, record: Record, identifiers: Mapping[Identifier, str]) -> list[Decision]:
    previous = {Identifier(kind, value): as_written for kind, value, as_written, _ in record["identifiers"]}
    own = customer_id_identifier(customer_id)
    taken = [key for key in previous if key not in identifiers and key != own]
    given = {
        key: as_written[:MAX_IDENTIFIER_LENGTH]
        for key, as_written in identifiers.items()
        if previous.get(key) != as_written and key != own
    }
    return [Decision(_UNSAVED, DecisionKind.UNLINK, customer_id, key=key) for key in taken] + [
        Decision(_UNSAVED, DecisionKind.LINK, customer_id, key=key, value=as_written)
        for key, as_written in given.items()
    ]


def linked(key: Identifier, customer_id: str, owners: Iterable[str]) -> list[Decision]:
    """Return the decisions that give the key to this customer alone. owners: who has it now."""
    others = [Decision(_UNSAVED, DecisionKind.UNLINK, one, key=key) for one in owners if one != customer_id]
    # Last: should the two become one customer, the key stays.
    return [*others, Decision(_UNSAVED, DecisionKind.LINK, customer_id, key=key)]


def unlinked(key: Identifier, customer_id: str) -> Decision:
    """Return the decision that this customer does not have the key."""
    return Decision(_UNSAVED, DecisionKind.UNLINK, customer_id, key=key)


def merged(kept_id: str, gone_id: str) -> Decision:
    """Return the decision that the second customer is the first one."""
    return Decision(_UNSAVED, DecisionKind.MERGE, kept_id, other=gone_id)


def split(home: str, others: Iterable[str]) -> list[Decision]:
    """Return the decisions that this part of a customer is none of the other parts."""
    return [Decision(_UNSAVED, DecisionKind.SPLIT, home, other=other) for other in others if other != home]


def deleted(customer_id: str) -> Decision:
    """Return the decision that this customer is gone."""
    return Decision(_UNSAVED, DecisionKind.DELETE, customer_id)
