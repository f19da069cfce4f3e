"""Source records: all that one row of a file says about a customer, in the form in which it is compared and stored.

Pure: computed from a valid row, so that the process that validates a file computes it as well, and the process that
writes to the store only compares and writes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from enrich.customers.fixture_rows import FIELD_OF_KIND, CustomerFixture
from enrich.customers.identifiers import customer_id_identifier

HASH_BYTES = 16


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """One customer as a row of a file has it.

    remote_id: the customer's id in the file. fields: only those that the row has, as `json.loads(fields_json)` gives
    them:

        name, company, tier, language, owner   text
        phones, emails, ids                    [kind, normal form, as written] of each, in the row's order, without the
                                               customer's own id
        notes                                  texts
        cases                                  [id, subject, status, opened_on or ""] of each

    is_nameless: the name is another value of the row, and does not replace a stored name. fields_json: compact, with
    sorted names. hash: 16 bytes, equal for rows that say the same, whatever the order of their fields; a field that is
    missing differs from an empty one. partial: those of phones, emails and ids of which a value could not be read; the
    others of this field are added to what is stored, and nothing stored is removed.
    """

    remote_id: str
    fields: dict[str, Any]
    is_nameless: bool
    fields_json: str
    hash: bytes
    partial: tuple[str, ...] = ()

    @classmethod
    def of_fixture(cls, customer: CustomerFixture) -> SourceRecord:
        """Return the record of this valid row. Raises nothing."""
        fields: dict[str, Any] = {"name": customer.name, **customer.texts}
        for name in customer.identifier_fields:
            fields[name] = []
        own = customer_id_identifier(customer.id)
        for identifier, as_written in customer.identifiers.items():
            if identifier != own:
                listed = fields.setdefault(FIELD_OF_KIND.get(identifier.kind, "ids"), [])
                listed.append([identifier.kind, identifier.value, as_written])
        partial = tuple(
            name for name in ("phones", "emails", "ids") if name in fields and name not in customer.identifier_fields
        )
        if customer.notes is not None:
            fields["notes"] = list(customer.notes)
        if customer.cases is not None:
            fields["cases"] = [[case.id, case.subject, case.status, case.opened_on or ""] for case in customer.cases]
        fields_json = _JSON.encode(fields)
        # JSON has no bare line break, and the names of fields have no comma: no two rows give the same text.
        text = f"{fields_json}\n{customer.is_nameless:d},{','.join(partial)}\n{customer.id}"
        digest = blake2b(text.encode(), digest_size=HASH_BYTES).digest()
        return cls(customer.id, fields, customer.is_nameless, fields_json, digest, partial)

    @classmethod
    def tombstone(cls, remote_id: str) -> SourceRecord:
        """Return what a source says of a record that is not live: nothing."""
        return cls(remote_id, _EMPTY, is_nameless=False, fields_json="{}", hash=bytes(HASH_BYTES))


_EMPTY: dict[str, Any] = {}
_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True)
