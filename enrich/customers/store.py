"""The customer store: look-ups by key, customer details, and finished interactions. matching.py decides the match.

The hot path executes one indexed, prepared statement, which returns the candidates and, if they are one customer, the
details. Every error is an `errors.DatabaseError`: "could not look" differs from "nobody found".
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Any

from sqlalchemy import (
    Row,
    Text,
    cast,
    delete,
    exists,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from enrich.customers.look_up_statements import (
    PART_CANDIDATE,
    PART_CASE,
    PART_CUSTOMER,
    PART_NOTE,
    candidates_statement,
    customer_statement,
    joint_look_up_statement,
    look_up_statement,
)
from enrich.customers.records import EMPTY_STATE
from enrich.customers.source_tables import DecisionRow
from enrich.customers.tables import AuditRow, CustomerRow, InteractionRow, PinRow
from enrich.database.engine import Database
from enrich.domain.matches import Candidate, Case, Customer, Interaction, LookupKeys, Match, Matched


@dataclass(frozen=True, slots=True)
class LookUpResult:
    """The result of one look-up. customer: details, if all candidates are the same customer; else None."""

    candidates: tuple[Candidate, ...] = ()
    customer: Customer | None = None


class CustomerStore:
    """The customers of one database. Cheap to construct."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def look_up(self, keys: LookupKeys) -> LookUpResult:
        """Return the candidates, as `find_candidates`, and the details, as `fetch_customer`, of a single customer.

        One statement, so that the result is consistent; none without keys and task. Raises DatabaseError.
        """
        if not keys.keys and keys.task_sid is None:
            return LookUpResult()
        statement = look_up_statement(len(keys.keys), of_task=keys.task_sid is not None)
        return _result(self._database.read(self._database.prepare(statement), _parameters(keys)))

    def look_up_together(self, several: Sequence[LookupKeys]) -> list[LookUpResult]:
        """Return what `look_up` returns for each of these, which are of no task; on PostgreSQL by one statement.

        There a third of a look-up is its round trip: two processes that wake each other, with a driver between them.
        Raises DatabaseError.
        """
        if self._database.is_sqlite:
            return [self.look_up(keys) for keys in several]
        asked = [(question, key) for question, keys in enumerate(several) for key in keys.keys]
        parameters = {
            "questions": [question for question, _ in asked],
            "kinds": [key.kind for _, key in asked],
            "values": [key.value for _, key in asked],
        }
        rows = self._database.read(self._database.prepare(joint_look_up_statement()), parameters)
        by_question = {question: list(group) for question, group in groupby(rows, attrgetter("question"))}
        return [_result(by_question.get(question, ())) for question in range(len(several))]

    def details_of(self, match: Match, found: LookUpResult) -> Customer | None:
        """Return the details of the matched customer; None without a match, and if the customer is gone.

        found: the look-up behind the match. If it had several customers, the matched one is fetched now.
        Raises DatabaseError.
        """
        if not isinstance(match, Matched):
            return None
        return found.customer or self.fetch_customer(match.customer_id)

    def find_candidates(self, keys: LookupKeys) -> tuple[Candidate, ...]:
        """Return the customers that these keys point to, once per key, at most `MAX_CANDIDATES_PER_KEY` for each.

        A decision of staff about the task is one more candidate, of kind `staff`, from the same statement.
        One statement, whatever the number of keys; none without keys and task. Raises DatabaseError.
        """
        if not keys.keys and keys.task_sid is None:
            return ()
        statement = candidates_statement(len(keys.keys), of_task=keys.task_sid is not None)
        rows = self._database.read(self._database.prepare(statement), _parameters(keys))
        return tuple(Candidate(row.customer_id, row.name, row.kind, row.value, row.as_written) for row in rows)

    def fetch_customer(self, customer_id: str) -> Customer | None:
        """Return the customer with the newest notes and the open cases; None if there is no such id.

        One statement, so that the result is consistent. Raises DatabaseError.
        """
        rows = self._database.read(self._database.prepare(customer_statement()), {"customer_id": customer_id})
        return _customer(customer_id, rows)

    def save_interaction(self, customer_id: str | None, interaction: Interaction) -> bool:
        """Add the interaction to the customer's history; return False without a customer or for an unknown id.

        A task has at most one interaction: saving replaces an earlier one, also another customer's.
        Raises DatabaseError.
        """
        if customer_id is None:
            self._database.write(delete(InteractionRow).where(InteractionRow.task_sid == interaction.task_sid))
            return False
        if not self._database.read(select(exists().where(CustomerRow.id == customer_id).label("is_known")))[0].is_known:
            return False
        values = asdict(interaction) | {"customer_id": customer_id}
        dialect = sqlite if self._database.is_sqlite else postgresql
        inserting = dialect.insert(InteractionRow).values(**values)
        self._database.write(
            inserting.on_conflict_do_update(
                index_elements=[InteractionRow.task_sid],
                set_={name: inserting.excluded[name] for name in values if name != "task_sid"},
            )
        )
        return True

    def prune(self, older_than: datetime) -> None:
        """Delete pins and audit entries from before this time.

        An entry whose decisions stand is kept, so that they can be undone, without the states before and after, which
        hold personal data. Raises DatabaseError.
        """
        stands = exists().where(DecisionRow.audit_id == AuditRow.id, DecisionRow.undone_at.is_(None))
        is_emptied = cast(AuditRow.before, Text) == json.dumps(EMPTY_STATE)
        self._database.write(delete(PinRow).where(PinRow.at < older_than))
        self._database.write(delete(AuditRow).where(AuditRow.at < older_than, ~stands))
        emptied = {"before": EMPTY_STATE, "after": EMPTY_STATE}
        self._database.write(update(AuditRow).where(AuditRow.at < older_than, ~is_emptied).values(emptied))

    def interactions_of(self, customer_id: str, *, at_most: int = 20) -> tuple[Interaction, ...]:
        """Return the finished interactions of a customer and of those merged into them, newest first.

        Raises DatabaseError.
        """
        merged = select(CustomerRow.id).where(CustomerRow.merged_into == customer_id)
        rows = self._database.read(
            select(*(getattr(InteractionRow, name) for name in Interaction.__slots__))
            .where(or_(InteractionRow.customer_id == customer_id, InteractionRow.customer_id.in_(merged)))
            .order_by(InteractionRow.ended_at.desc(), InteractionRow.id.desc())
            .limit(at_most)
        )
        return tuple(Interaction(**row._asdict()) for row in rows)


def _parameters(keys: LookupKeys) -> dict[str, str]:
    parameters = {"task_sid": keys.task_sid} if keys.task_sid is not None else {}
    for number, key in enumerate(keys.keys):
        parameters |= {f"kind_{number}": key.kind, f"value_{number}": key.value}
    return parameters


def _result(rows: Sequence[Row[Any]]) -> LookUpResult:
    """Return the result of one look-up. rows: of `look_up_statement`."""
    candidates = tuple(Candidate(row.a, row.b, row.c, row.d, row.e) for row in rows if row.part == PART_CANDIDATE)
    details = rows[len(candidates) :]
    return LookUpResult(candidates, _customer(candidates[0].customer_id, details) if candidates else None)


def _customer(customer_id: str, rows: Sequence[Row[Any]]) -> Customer | None:
    """Return the customer made of these rows, the customer's own first; None if that one is missing."""
    if not rows or rows[0].part != PART_CUSTOMER:
        return None
    first = rows[0]
    return Customer(
        id=customer_id,
        name=first.a,
        company=first.b,
        tier=first.c,
        language=first.d,
        owner=first.e,
        notes=tuple(row.a for row in rows if row.part == PART_NOTE),
        open_cases=tuple(Case(row.a, row.b, row.c, row.d or None) for row in rows if row.part == PART_CASE),
    )
