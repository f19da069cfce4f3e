"""Looking customers up. Says what the store holds, and decides nothing: who is calling is the question of matching.py.

The hot path asks one indexed statement, built once and then only executed: who has these keys, and, where that is one
customer, what is known of them. Every error that leaves here is an `errors.DatabaseError`: "could not look" is not the
same as "nobody there".
"""

from __future__ import annotations

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
    bindparam,
    case,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    union_all,
)
from sqlalchemy.dialects import postgresql, sqlite

from enrich.customers.identifiers import STAFF
from enrich.customers.matching import MAX_CANDIDATES_PER_KEY
from enrich.customers.tables import AuditRow, CaseRow, CustomerRow, IdentifierRow, InteractionRow, NoteRow, PinRow
from enrich.database.engine import Database
from enrich.domain.matches import Candidate, Case, Customer, Interaction, LookupKeys, Match, Matched

# Whatever the case of its letters, a case with such a status is over.
CLOSED_STATUSES = ("closed", "resolved", "done", "solved")

# Far more than a block shows (context.py). Without a limit, one customer with decades of history would hold a callback
# up; so the count of open cases in the block stops here, too.
MAX_NOTES = 20
MAX_OPEN_CASES = 200


@dataclass(frozen=True, slots=True)
class LookedUp:
    """What the store holds for some keys. customer: of all candidates, where they are one and the same, else None."""

    candidates: tuple[Candidate, ...] = ()
    customer: Customer | None = None


class CustomerStore:
    """The customers in one database; as cheap to make as it is to keep."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def look_up(self, keys: LookupKeys) -> LookedUp:
        """The candidates, as `find_candidates`, and the customer's details, as `fetch_customer`, if they are only one.

        One statement, so that all of it is of one moment; none at all without keys and task. Raises DatabaseError.
        """
        if not keys.keys and keys.task_sid is None:
            return LookedUp()
        statement = look_up_statement(len(keys.keys), of_task=keys.task_sid is not None)
        rows = self._database.read(self._database.prepare(statement), _parameters(keys))
        candidates = tuple(Candidate(row.a, row.b, row.c, row.d) for row in rows if row.part == _PART_CANDIDATE)
        details = rows[len(candidates) :]
        return LookedUp(candidates, _customer(candidates[0].customer_id, details) if candidates else None)

    def details_of(self, match: Match, found: LookedUp) -> Customer | None:
        """Of whom the choice fell on; None for anything but a match, and where the store has none.

        found: what the choice was made from. Where that was several customers, only now is one of them fetched.
        Raises DatabaseError.
        """
        if not isinstance(match, Matched):
            return None
        return found.customer or self.fetch_customer(match.customer_id)

    def find_candidates(self, keys: LookupKeys) -> tuple[Candidate, ...]:
        """Every customer that one of these keys points to, once per key, at most `MAX_CANDIDATES_PER_KEY` for each.

        And whose the task is, where staff have said so: one more arm of the same statement, so that ordinary tasks,
        of which nobody has said anything, cost no question of their own.
        One statement, whatever the number of keys; none at all without keys and task. Raises DatabaseError.
        """
        if not keys.keys and keys.task_sid is None:
            return ()
        statement = candidates_statement(len(keys.keys), of_task=keys.task_sid is not None)
        rows = self._database.read(self._database.prepare(statement), _parameters(keys))
        return tuple(Candidate(row.customer_id, row.name, row.kind, row.value) for row in rows)

    def fetch_customer(self, customer_id: str) -> Customer | None:
        """The customer with the newest notes and the open cases; None if the store has nobody of that id.

        One statement, so that all of it is of one moment. Raises DatabaseError.
        """
        rows = self._database.read(self._database.prepare(customer_statement()), {"customer_id": customer_id})
        return _customer(customer_id, rows)

    def keep_interaction(self, customer_id: str | None, interaction: Interaction) -> bool:
        """Whether it stands in the customer's history now; False for nobody, and for an id that the store has not.

        A task has one at most: keeping it again puts it right, also where it stood with somebody else. Raises
        DatabaseError.
        """
        if customer_id is None:
            self._database.write(delete(InteractionRow).where(InteractionRow.task_sid == interaction.task_sid))
            return False
        if not self._database.read(select(exists().where(CustomerRow.id == customer_id).label("known")))[0].known:
            return False
        values = asdict(interaction) | {"customer_id": customer_id}
        dialect = sqlite if self._database.is_sqlite else postgresql
        keeping = dialect.insert(InteractionRow).values(**values)
        self._database.write(
            keeping.on_conflict_do_update(
                index_elements=[InteractionRow.task_sid],
                set_={name: keeping.excluded[name] for name in values if name != "task_sid"},
            )
        )
        return True

    def prune(self, older_than: datetime) -> None:
        """Deletes what staff said of single tasks before that moment, and the trail of what they changed until then.

        What the changes made of customers and identifiers stays; only it can no longer be undone. Raises DatabaseError.
        """
        for row in (PinRow, AuditRow):
            self._database.write(delete(row).where(row.at < older_than))

    def interactions_of(self, customer_id: str, *, at_most: int = 20) -> tuple[Interaction, ...]:
        """The finished interactions of the customer, and of whoever was merged into them, the newest first.

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
    """The customer whose parts these rows are, their own first; None where they are nobody's."""
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
    """Return the statement for the candidates and, if all are the same customer, for that customer's details.

    Rows: the candidates as (part, 0, customer_id, name, kind, value, ""), then the rows of `customer_statement`.
    Parameters: those of `candidates_statement`.
    """
    found = candidates_statement(number_of_keys, of_task=of_task).cte("found").c
    lowest, highest = func.min(found.customer_id), func.max(found.customer_id)
    only = select(case((lowest == highest, lowest)).label("customer_id")).cte("only")
    candidates = _part(_PART_CANDIDATE, literal(0), found.customer_id, found.name, found.kind, found.value)
    return _in_order(candidates, *_parts_of(select(only.c.customer_id).scalar_subquery()))


@cache
def candidates_statement(number_of_keys: int, *, of_task: bool = False) -> CompoundSelect[str, str, str, str]:
    """The statement for so many keys, each given as `kind_0`, `value_0`, `kind_1`, ...; of_task: and `task_sid`.

    One arm per key, each with a limit of its own, rather than one OR over all with one limit: a number that thousands
    share must neither fetch thousands of rows nor keep the rows of a better key out. Each arm reads the unique index
    (kind, value, customer_id) in its order, so the limit always cuts at the same place and costs no sorting.
    """
    said = [select(_said_of_task().subquery())] if of_task else []
    found = (select(_candidates_of_one_key(number).subquery()) for number in range(number_of_keys))
    return union_all(*said, *found)


def _said_of_task() -> Select[str, str, str, str]:
    """One row where staff have said whose the task is; without a customer where they said that it is nobody's."""
    return (
        select(
            func.coalesce(PinRow.customer_id, "").label("customer_id"),
            func.coalesce(CustomerRow.name, "").label("name"),
            literal(STAFF, String).label("kind"),
            PinRow.task_sid.label("value"),
        )
        .outerjoin(CustomerRow, CustomerRow.id == PinRow.customer_id)
        .where(PinRow.task_sid == bindparam("task_sid"))
    )


def _candidates_of_one_key(number: int) -> Select[str, str, str, str]:
    return (
        select(IdentifierRow.customer_id, CustomerRow.name, IdentifierRow.kind, IdentifierRow.value)
        .join(CustomerRow, CustomerRow.id == IdentifierRow.customer_id)
        .where(IdentifierRow.kind == bindparam(f"kind_{number}"), IdentifierRow.value == bindparam(f"value_{number}"))
        .order_by(IdentifierRow.customer_id)
        .limit(MAX_CANDIDATES_PER_KEY)
    )


# In this order, so that each kind of row stands together.
_PART_CANDIDATE, _PART_CUSTOMER, _PART_NOTE, _PART_CASE = range(4)

Part = Select[*tuple[Any, ...]]  # rows of (part, position, a, b, c, d, e)


@cache
def customer_statement() -> Part:
    """Customer, notes and open cases of `customer_id` as rows of (part, position, a, b, c, d, e), customer first."""
    return _in_order(*_parts_of(bindparam("customer_id", type_=String)))


def _parts_of(customer_id: ColumnElement[str]) -> tuple[Part, ...]:
    row, note, of_case = CustomerRow, NoteRow, CaseRow
    customer = _part(_PART_CUSTOMER, literal(0), row.name, row.company, row.tier, row.language, row.owner)
    notes = _part(_PART_NOTE, note.position, note.text)
    cases = _part(_PART_CASE, of_case.position, of_case.id, of_case.subject, of_case.status, of_case.opened_on)
    still_open = (func.lower(of_case.status) != closed for closed in CLOSED_STATUSES)
    return (
        customer.where(row.id == customer_id),
        _first(notes.where(note.customer_id == customer_id), MAX_NOTES),
        _first(cases.where(of_case.customer_id == customer_id, *still_open), MAX_OPEN_CASES),
    )


def _in_order(*parts: Part) -> Part:
    rows = union_all(*parts).subquery()
    return select(rows).order_by(rows.c.part, rows.c.position)


def _part(part: int, position: SQLColumnExpression[int], *texts: SQLColumnExpression[str]) -> Part:
    columns = (*texts, *(literal("", String) for _ in range(len("abcde") - len(texts))))
    named: list[ColumnElement[str]] = [column.label(name) for name, column in zip("abcde", columns, strict=True)]
    return select(literal(part).label("part"), position.label("position"), *named)


def _first(part: Part, number: int) -> Part:
    """The first so many rows; a subquery, since SQLite takes no LIMIT inside a UNION."""
    return select(part.order_by("position").limit(number).subquery())
