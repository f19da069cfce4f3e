"""The statements of the hot path: candidates of keys, details of a customer, and both at once.

A look-up is one statement, so that its result is consistent and costs one round trip.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Integer,
    Select,
    SQLColumnExpression,
    String,
    bindparam,
    case,
    func,
    literal,
    literal_column,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import aliased
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from enrich.customers.identifiers import STAFF
from enrich.customers.matching import MAX_CANDIDATES_PER_KEY
from enrich.customers.tables import CaseRow, CustomerRow, IdentifierRow, NoteRow, PinRow

# Statuses of a closed case, in lower case; upper case counts, too.
CLOSED_STATUSES = ("closed", "resolved", "done", "solved")

# Far more than a block shows (block.py). Without a limit, one customer with decades of history would delay a callback.
# The count of open cases in the block stops here, too.
MAX_NOTES = 20
MAX_OPEN_CASES = 200

# The order of the rows.
PART_CANDIDATE, PART_CUSTOMER, PART_NOTE, PART_CASE = range(4)

Part = Select[*tuple[Any, ...]]  # rows of (part, position, a, b, c, d, e)


@cache
def look_up_statement(number_of_keys: int, *, of_task: bool = False) -> Part:
    """Return the statement for candidates and details, with the parameters of `candidates_statement`.

    Its rows: candidates as (part, 0, customer_id, name, kind, value, as_written); then, if all are the same
    customer, the rows of `customer_statement`.
    """
    found = candidates_statement(number_of_keys, of_task=of_task).cte("found").c
    lowest, highest = func.min(found.customer_id), func.max(found.customer_id)
    single = select(case((lowest == highest, lowest)).label("customer_id")).cte("only")
    return _in_order(_candidates_part(found), *_parts_of(select(single.c.customer_id).scalar_subquery()))


@cache
def joint_look_up_statement() -> Select[*tuple[Any, ...]]:
    """Return the statement for several look-ups, each a question, for PostgreSQL.

    Parameters: `questions`, `kinds`, `values`: one element for each key, with the number of its question.
    Its rows: those of `look_up_statement`, each with its question, in the order of the questions.
    """
    questions = bindparam("questions", type_=postgresql.ARRAY(Integer()))
    kinds, values = (bindparam(name, type_=postgresql.ARRAY(String())) for name in ("kinds", "values"))
    asked = func.unnest(questions, kinds, values).table_valued("question", "kind", "value").render_derived("asked")
    one = _candidates_of_one_key(literal_column("asked.kind", String), literal_column("asked.value", String))
    of_key = one.lateral("of_key")
    found = select(asked.c.question, *of_key.c).select_from(asked.join(of_key, true())).cte("found").c
    lowest, highest = func.min(found.customer_id), func.max(found.customer_id)
    single = (
        select(found.question, lowest.label("customer_id"))
        .group_by(found.question)
        .having(lowest == highest)
        .cte("single")
    )
    details = union_all(*_parts_of(literal_column("single.customer_id", String))).lateral("details")
    rows = union_all(
        _candidates_part(found).add_columns(found.question),
        select(*details.c, single.c.question).select_from(single.join(details, true())),
    ).subquery()
    return select(rows).order_by(rows.c.question, rows.c.part, rows.c.position)


def _candidates_part(found: ReadOnlyColumnCollection[str, Any]) -> Part:
    columns = (found.customer_id, found.name, found.kind, found.value, found.as_written)
    return _part(PART_CANDIDATE, literal(0), *columns)


@cache
def candidates_statement(number_of_keys: int, *, of_task: bool = False) -> CompoundSelect[str, str, str, str, str]:
    """Return the statement for this number of keys. Parameters: `kind_0`, `value_0`, ...; of_task: and `task_sid`.

    One SELECT per key, each with its own limit, instead of one OR: a number that thousands share must neither fetch
    thousands of rows nor displace those of a better key. Each reads the unique index (kind, value, customer_id) in
    order, so the limit always cuts at the same row and needs no sorting.
    """
    pinned = [select(_pin_of_task().subquery())] if of_task else []
    found = (select(_candidates_of_one_key(*_parameters_of(number)).subquery()) for number in range(number_of_keys))
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


def _parameters_of(number: int) -> tuple[ColumnElement[str], ColumnElement[str]]:
    return bindparam(f"kind_{number}", type_=String), bindparam(f"value_{number}", type_=String)


def _candidates_of_one_key(kind: ColumnElement[str], value: ColumnElement[str]) -> Select[str, str, str, str, str]:
    row = IdentifierRow
    return (
        select(row.customer_id, CustomerRow.name, row.kind, row.value, row.as_written)
        .join(CustomerRow, CustomerRow.id == row.customer_id)
        .where(row.kind == kind, row.value == value)
        .order_by(row.customer_id)
        .limit(MAX_CANDIDATES_PER_KEY)
    )


@cache
def customer_statement() -> Part:
    """Return the statement for the customer, notes and open cases of `customer_id`, in this order.

    Its rows: (part, position, a, b, c, d, e).
    """
    return _in_order(*_parts_of(bindparam("customer_id", type_=String)))


def _parts_of(customer_id: ColumnElement[str]) -> tuple[Part, ...]:
    row, note, of_case = CustomerRow, NoteRow, CaseRow
    customer = _part(PART_CUSTOMER, literal(0), row.name, row.company, row.tier, row.language, row.owner)
    notes = _part(PART_NOTE, note.position, note.text)
    cases = _part(PART_CASE, of_case.position, of_case.id, of_case.subject, of_case.status, of_case.opened_on)
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
