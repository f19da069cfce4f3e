"""Customer search for staff: by exact number, address or id, and by the beginnings of words of the name.

Every query reads a short range of an index, so that ten million identifiers cost as much as ten thousand.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, exists, select
from sqlalchemy.orm import aliased

from enrich.customers.identifiers import (
    ADDRESS,
    CUSTOMER_ID,
    EMAIL,
    PHONE,
    Identifier,
    normalise,
    words_of,
)
from enrich.customers.spelling import is_storable
from enrich.customers.store import CustomerStore
from enrich.customers.tables import CustomerRow, IdentifierRow, WordRow
from enrich.database.engine import Database
from enrich.domain.lengths import MAX_IDENTIFIER_LENGTH
from enrich.domain.matches import MAX_KEYS, LookupKey, LookupKeys, Trust

MAX_RESULTS = 20
# Higher than any letter: ends the index range of words with a common beginning.
_MAX_CHARACTER = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class FoundCustomer:
    """One search result. by: kind of the identifier that matched, "" for the name. merged_into: None for most.

    phone, email: the first ones, as written; "" without. is_gone: no source has them any more, or staff deleted them.
    """

    id: str
    name: str
    company: str
    tier: str
    language: str
    owner: str
    phone: str
    email: str
    by: str
    merged_into: str | None
    is_gone: bool
    updated_at: datetime

    @property
    def can_be_chosen(self) -> bool:
        """Return whether this is a customer of its own whom some source or staff still has."""
        return self.merged_into is None and not self.is_gone


def find_customers(
    database: Database, query: str, *, kinds: Iterable[str], region: str, at_most: int = MAX_RESULTS
) -> tuple[FoundCustomer, ...]:
    """Return customers with this number, address or id, then those with matching names.

    Every word of the query must be the beginning of a word of the name or company. kinds: of identifiers, besides phone
    numbers, e-mail addresses and customer ids. Raises DatabaseError.
    """
    query = query.strip()
    if not query or len(query) > MAX_IDENTIFIER_LENGTH or not is_storable(query):
        return ()
    by: dict[str, str] = {}
    keys = _keys(query, kinds, region)
    for candidate in CustomerStore(database).find_candidates(LookupKeys(keys)):
        by.setdefault(candidate.customer_id, candidate.kind)
    for customer_id in _by_words(database, words_of(query), at_most):
        by.setdefault(customer_id, "")
    return customers(database, list(by)[:at_most], by)


def customers(
    database: Database, customer_ids: Sequence[str], by: dict[str, str] | None = None
) -> tuple[FoundCustomer, ...]:
    """Return these customers in this order, without unknown ids. Raises DatabaseError."""
    customer_ids = [one for one in customer_ids if is_storable(one)]
    if not customer_ids:
        return ()
    by_id = {row.id: row for row in database.read(_CUSTOMERS.where(CustomerRow.id.in_(customer_ids)))}
    rows = [by_id[customer_id] for customer_id in customer_ids if customer_id in by_id]
    return _with_contacts(database, rows, by or {})


def customers_after(database: Database, customer_id: str, *, at_most: int) -> tuple[FoundCustomer, ...]:
    """Return the customers whose ids follow this one, in the order of their ids; "" for the first.

    Those that are merged or gone are among them. Raises DatabaseError.
    """
    following = _CUSTOMERS.where(CustomerRow.id > customer_id).order_by(CustomerRow.id).limit(at_most)
    return _with_contacts(database, database.read(following), {})


_CUSTOMERS = select(
    CustomerRow.id,
    CustomerRow.name,
    CustomerRow.company,
    CustomerRow.tier,
    CustomerRow.language,
    CustomerRow.owner,
    CustomerRow.merged_into,
    CustomerRow.is_gone,
    CustomerRow.updated_at,
)


def _with_contacts(database: Database, rows: Sequence[Row[Any]], by: dict[str, str]) -> tuple[FoundCustomer, ...]:
    """Return the customers of these rows with their first numbers and addresses. by: as in `FoundCustomer`, by id."""
    if not rows:
        return ()
    # Without a condition on the kind: SQLite would use the index on it, and read half of all identifiers.
    contacts = database.read(
        select(IdentifierRow.customer_id, IdentifierRow.kind, IdentifierRow.as_written)
        .where(IdentifierRow.customer_id.in_([row.id for row in rows]))
        .order_by(IdentifierRow.id)
        .limit(50 * len(rows))
    )
    first: dict[tuple[str, str], str] = {}
    for contact in contacts:
        first.setdefault((contact.customer_id, contact.kind), contact.as_written)
    return tuple(
        FoundCustomer(
            **row._asdict(),
            phone=first.get((row.id, PHONE), ""),
            email=first.get((row.id, EMAIL), ""),
            by=by.get(row.id, ""),
        )
        for row in rows
    )


def _keys(query: str, kinds: Iterable[str], region: str) -> tuple[LookupKey, ...]:
    """Return the distinct identifiers that the query can be, at most `MAX_KEYS`."""
    normal_forms: dict[Identifier, None] = {}
    for kind in (ADDRESS, CUSTOMER_ID, *kinds):
        normal_forms |= dict.fromkeys(normalise(kind, query, region))
    return tuple(LookupKey(one.kind, one.value, Trust.VERIFIED, "") for one in normal_forms)[:MAX_KEYS]


def _by_words(database: Database, words: Sequence[str], at_most: int) -> tuple[str, ...]:
    """Return the customers that have a word with each of these beginnings; the longest is looked up first."""
    if not words:
        return ()
    leading, *others = sorted(words, key=lambda word: (-len(word), word))
    word = WordRow
    statement = select(word.customer_id).where(word.word >= leading, word.word < leading + _MAX_CHARACTER)
    for other in others:
        also = aliased(WordRow)
        statement = statement.where(
            exists().where(also.customer_id == word.customer_id, also.word >= other, also.word < other + _MAX_CHARACTER)
        )
    rows = database.read(statement.order_by(word.word, word.customer_id).limit(at_most * 3))
    return tuple(dict.fromkeys(row.customer_id for row in rows))[:at_most]
