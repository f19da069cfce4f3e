"""The customer store: look-ups by key, customer details, and finished interactions. matching.py decides the match.

The hot path executes one indexed, prepared statement, which returns the candidates and, if they are one customer, the
details. Every error is an `errors.DatabaseError`: "could not look" differs from "nobody found".
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Row,
    Select,
    SQLColumnExpression,
    String,
    Text,
    bindparam,
    case,
    cast,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import aliased

from enrich.customers.identifiers import STAFF
from enrich.customers.matching import MAX_CANDIDATES_PER_KEY
from enrich.customers.records import EMPTY_STATE
from enrich.customers.source_tables import DecisionRow
from enrich.customers.tables import AuditRow, CaseRow, CustomerRow, IdentifierRow, InteractionRow, NoteRow, PinRow
from enrich.database.engine import Database
from enrich.domain.matches import Candidate, Case, Customer, Interaction, LookupKeys, Match, Matched

# Statuses of a closed case, in lower case; upper case counts, too.
CLOSED_STATUSES = ("closed", "resolved", "done", "solved")

# Far more than a block shows (block.py). Without a limit, one customer with decades of history would delay a callback.
# The count of open cases in the block stops here, too.
MAX_NOTES = 20
MAX_OPEN_CASES = 200


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
        rows = self._database.read(self._database.prepare(statement), _parameters(keys))
        candidates = tuple(Candidate(row.a, row.b, row.c, row.d, row.e) for row in rows if row.part == _PART_CANDIDATE)
        details = rows[len(candidates) :]
        return LookUpResult(candidates, _customer(candidates[0].customer_id, details) if candidates else None)

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


def _customer(customer_id: str, rows: Sequence[Row[Any]]) -> Customer | None:
    """Return the customer made of these rows, the customer's own first; None if that one is missing."""
    if not rows or rows[0].part != _PART_CUSTOMER:
        return None
    first = rows[0]
    return Customer(
        id=customer_id,
        name=first.a,
        company=first.b,
        tier=first.c,
        language=first.d,
        owner=first.e,
        notes=tuple(row.a for row in rows if row.part == _PART_NOTE),
        open_cases=tuple(Case(row.a, row.b, row.c, row.d or None) for row in rows if row.part == _PART_CASE),
    )


@cache
def look_up_statement(number_of_keys: int, *, of_task: bool = False) -> Part:
    """Return the statement for candidates and details, with the parameters of `candidates_statement`.

    Its rows: candidates as (part, 0, customer_id, name, kind, value, as_written); then, if all are the same
    customer, the rows of `customer_statement`.
    """
    found = candidates_statement(number_of_keys, of_task=of_task).cte("found").c
    lowest, highest = func.min(found.customer_id), func.max(found.customer_id)
    single = select(case((lowest == highest, lowest)).label("customer_id")).cte("only")
    columns = (found.customer_id, found.name, found.kind, found.value, found.as_written)
    candidates = _part(_PART_CANDIDATE, literal(0), *columns)
    return _in_order(candidates, *_parts_of(select(single.c.customer_id).scalar_subquery()))


@cache
def candidates_statement(number_of_keys: int, *, of_task: bool = False) -> CompoundSelect[str, str, str, str, str]:
    """Return the statement for this number of keys. Parameters: `kind_0`, `value_0`, ...; of_task: and `task_sid`.

    One SELECT per key, each with its own limit, instead of one OR: a number that thousands share must neither fetch
    thousands of rows nor displace those of a better key. Each reads the unique index (kind, value, customer_id) in
    order, so the limit always cuts at the same row and needs no sorting.
    """
    pinned = [select(_pin_of_task().subquery())] if of_task else []
    found = (select(_candidates_of_one_key(number).subquery()) for number in range(number_of_keys))
    return union_all(*pinned, *found)


def _pin_of_task() -> Select[str, str, str, str, str]:
    """Return the query for the task's pin: at most one row, with customer_id "" if staff said "none of them".

    A pin keeps the id that it was written with, and is read through `merged_into`; one on a customer who is gone says
    nothing.
    """
    pinned, current = aliased(CustomerRow), aliased(CustomerRow)
    return (
        select(
            func.coalesce(current.id, "").label("customer_id"),
            func.coalesce(current.name, "").label("name"),
            literal(STAFF, String).label("kind"),
            PinRow.task_sid.label("value"),
            literal("", String).label("as_written"),
        )
        .outerjoin(pinned, pinned.id == PinRow.customer_id)
        .outerjoin(current, current.id == func.coalesce(pinned.merged_into, pinned.id))
        .where(PinRow.task_sid == bindparam("task_sid"), or_(PinRow.customer_id.is_(None), current.is_gone.is_(False)))
    )


def _candidates_of_one_key(number: int) -> Select[str, str, str, str, str]:
    row = IdentifierRow
    return (
        select(row.customer_id, CustomerRow.name, row.kind, row.value, row.as_written)
        .join(CustomerRow, CustomerRow.id == row.customer_id)
        .where(row.kind == bindparam(f"kind_{number}"), row.value == bindparam(f"value_{number}"))
        .order_by(row.customer_id)
        .limit(MAX_CANDIDATES_PER_KEY)
    )


# The order of the rows.
_PART_CANDIDATE, _PART_CUSTOMER, _PART_NOTE, _PART_CASE = range(4)

Part = Select[*tuple[Any, ...]]  # rows of (part, position, a, b, c, d, e)


@cache
def customer_statement() -> Part:
    """Return the statement for the customer, notes and open cases of `customer_id`, in this order.

    Its rows: (part, position, a, b, c, d, e).
    """
    return _in_order(*_parts_of(bindparam("customer_id", type_=String)))


def _parts_of(customer_id: ColumnElement[str]) -> tuple[Part, ...]:
    row, note, of_case = CustomerRow, NoteRow, CaseRow
    customer = _part(_PART_CUSTOMER, literal(0), row.name, row.company, row.tier, row.language, row.owner)
    notes = _part(_PART_NOTE, note.position, note.text)
    cases = _part(_PART_CASE, of_case.position, of_case.id, of_case.subject, of_case.status, of_case.opened_on)
    is_open = (func.lower(of_case.status) != closed for closed in CLOSED_STATUSES)
    return (
        customer.where(row.id == customer_id),
        _first(notes.where(note.customer_id == customer_id), MAX_NOTES),
        _first(cases.where(of_case.customer_id == customer_id, *is_open), MAX_OPEN_CASES),
    )


def _in_order(*parts: Part) -> Part:
    rows = union_all(*parts).subquery()
    return select(rows).order_by(rows.c.part, rows.c.position)


def _part(part: int, position: SQLColumnExpression[int], *texts: SQLColumnExpression[str]) -> Part:
    columns = (*texts, *(literal("", String) for _ in range(len("abcde") - len(texts))))
    named: list[ColumnElement[str]] = [column.label(name) for name, column in zip("abcde", columns, strict=True)]
    return select(literal(part).label("part"), position.label("position"), *named)


def _first(part: Part, number: int) -> Part:
    """Return the first rows; as a subquery, because SQLite does not allow LIMIT in a UNION."""
    return select(part.order_by("position").limit(number).subquery())
