"""Reading of one record of a source: raw values in, a SourceRecord, or the problems with them, out. Pure.

The values have the form of a customer in a file (docs/customers.md) and are checked as these are, but for the id: it is
the source's own, taken as it is. What is pushed counts whole or not at all, because its sender hears at once what is
wrong. What is pulled has nobody who listens: one bad value costs the value, not the customer.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from enrich.customers.fixture_rows import BadRow, CustomerFixture, IncompleteRow, read_customer, read_row
from enrich.customers.source_record import SourceRecord
from enrich.customers.spelling import is_storable
from enrich.domain.lengths import MAX_REMOTE_ID_LENGTH

_UNKNOWN = re.compile(r"field (?P<quote>['\"])(?P<name>.*?)(?P=quote) is not known; ")
# In place of the source's id, which need not be an id of ours.
_NO_ID = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class ReadRecord:
    """The result of reading one record. record: None if it cannot be applied. problems: each begins with its field.

    problems: their texts quote values of the record, so they are for its author and for staff, not for the log.
    """

    remote_id: str
    record: SourceRecord | None
    problems: tuple[str, ...] = ()

    @property
    def field(self) -> str:
        """Return the field of the first problem; "" without one."""
        return re.split(r"[.\[]", self.wrong[0][0], maxsplit=1)[0] if self.problems else ""

    @property
    def wrong(self) -> tuple[tuple[str, str], ...]:
        """Return the place of each problem, as `phones[1]`, and what is wrong there."""
        return tuple(_parted(problem) for problem in self.problems)


def read_record(
    remote_id: str, raw: Mapping[str, Any], region: str, *, kinds: Collection[str] = (), is_lenient: bool = False
) -> ReadRecord:
    """Return this customer as a record. raw: without an id, or with this one.

    kinds: as in `read_customer`. is_lenient: bad values are left out, and the rest is the record. Raises nothing.
    """
    if problem := remote_id_problem(remote_id):
        return ReadRecord(remote_id, None, (f"id: {problem}",))
    row = {**raw, "id": _NO_ID}
    record: SourceRecord | None = None
    problems: tuple[str, ...] = ()
    for found in read_row(row, region, kinds=kinds) if is_lenient else (read_customer(row, region, kinds=kinds),):
        match found:
            case CustomerFixture():
                record = replace(SourceRecord.of_fixture(found), remote_id=remote_id)
            case BadRow():
                problems = found.problems
            case IncompleteRow():
                problems = (found.reason,)
    return ReadRecord(remote_id, record, problems)


def _parted(problem: str) -> tuple[str, str]:
    """Return place and text of a problem. One about a name that is not known has that name for a place."""
    if unknown := _UNKNOWN.match(problem):
        return unknown["name"], problem
    place, _, text = problem.partition(": ")
    return (place, text) if text else ("", problem)


def remote_id_problem(remote_id: str) -> str:
    """Return the reason for which this cannot be the id of a record; "" if it can."""
    if not remote_id.strip():
        return "missing; fill it in"
    if len(remote_id) > MAX_REMOTE_ID_LENGTH:
        return f"{len(remote_id)} characters, at most {MAX_REMOTE_ID_LENGTH} fit; shorten it"
    return "" if is_storable(remote_id) and remote_id.isprintable() else "contains characters that cannot be stored"
