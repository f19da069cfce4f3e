"""Quarantine: records that could not be applied, or not whole, until the source has mended them.

Each stands there once, with the values as they came and the reason, and leaves when the record is applied whole. Works
in the session of the caller; raises DatabaseError.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, delete, func, insert, or_, select
from sqlalchemy.orm import Session

from enrich.customers.record_reading import ReadRecord, remote_id_problem
from enrich.customers.source_tables import QuarantineRow
from enrich.customers.spelling import is_storable
from enrich.database.types import Base
from enrich.domain.lengths import MAX_REMOTE_ID_LENGTH

# Of a great many problems the first stand there.
MAX_REASON_LENGTH = 10_000

_QUARANTINE = Base.metadata.tables[QuarantineRow.__tablename__]


@dataclass(frozen=True, slots=True)
class QuarantinedRecord:
    """One record in quarantine. reason: names the fields, quotes their values. fields: as they came from the source.

    field: the first that is wrong. is_loaded: it was applied without the values that are wrong.
    """

    source: str
    object: str
    remote_id: str
    reason: str
    field: str
    fields: Mapping[str, Any]
    at: datetime
    is_loaded: bool


def stored_id(remote_id: str) -> str:
    """Return the id under which a record stands here: its own, or the part of it that can be stored."""
    if not remote_id_problem(remote_id):
        return remote_id
    return "".join(one if one.isprintable() and is_storable(one) else "\ufffd" for one in remote_id)[
        :MAX_REMOTE_ID_LENGTH
    ]


def put(
    session: Session,
    source: str,
    object_: str,
    records: Iterable[tuple[ReadRecord, Mapping[str, Any]]],
    now: datetime,
) -> None:
    """Put these records into quarantine, each with its values as they came. A record without problems leaves it.

    A second copy of a record takes the place of the first.
    """
    rows = {stored_id(read.remote_id): (read, fields) for read, fields in records}
    release(session, source, object_, rows)
    new = [
        {
            "source": source,
            "object": object_,
            "remote_id": remote_id,
            "reason": "; ".join(read.problems)[:MAX_REASON_LENGTH],
            "field": read.field,
            "fields": _storable(fields),
            "at": now,
            "is_loaded": read.record is not None,
        }
        for remote_id, (read, fields) in rows.items()
        if read.problems
    ]
    if new:
        session.execute(insert(_QUARANTINE), new)


def _storable(fields: Mapping[str, Any]) -> Any:
    """Return the values as JSON that every database stores: NaN as text, and nothing of what is nested too deeply."""
    try:
        return json.loads(json.dumps(dict(fields), default=str), parse_constant=str)
    except RecursionError:
        return {}


def release(session: Session, source: str, object_: str, remote_ids: Collection[str]) -> None:
    """Take these records out of quarantine."""
    if remote_ids:
        session.execute(
            delete(_QUARANTINE).where(
                _QUARANTINE.c.source == source,
                _QUARANTINE.c.object == object_,
                _QUARANTINE.c.remote_id.in_(remote_ids),
            )
        )


def ids_of(source: str, object_: str) -> Select[tuple[str]]:
    """Return a SELECT of the remote ids that are in quarantine."""
    return select(_QUARANTINE.c.remote_id).where(_QUARANTINE.c.source == source, _QUARANTINE.c.object == object_)


def quarantined_ids(session: Session, source: str, object_: str, remote_ids: Collection[str]) -> set[str]:
    """Return those of these remote ids that are in quarantine."""
    return set(fields_of(session, source, object_, remote_ids))


def fields_of(session: Session, source: str, object_: str, remote_ids: Collection[str]) -> dict[str, Any]:
    """Return the values as they came of those of these records that are in quarantine, by remote id."""
    if not remote_ids:
        return {}
    rows = session.execute(
        select(_QUARANTINE.c.remote_id, _QUARANTINE.c.fields).where(
            _QUARANTINE.c.source == source, _QUARANTINE.c.object == object_, _QUARANTINE.c.remote_id.in_(remote_ids)
        )
    )
    return {row.remote_id: row.fields for row in rows}


def numbers(session: Session) -> dict[str, tuple[int, int]]:
    """Return for each source that has any: the numbers of records not loaded, and of those not loaded whole."""
    counted = select(_QUARANTINE.c.source, _QUARANTINE.c.is_loaded, func.count()).group_by(
        _QUARANTINE.c.source, _QUARANTINE.c.is_loaded
    )
    found: dict[str, tuple[int, int]] = {}
    for source, is_loaded, number in session.execute(counted):
        missing, incomplete = found.get(source, (0, 0))
        found[source] = (missing, number) if is_loaded else (number, incomplete)
    return found


def numbers_of(session: Session, source: str, *, at_most: int) -> tuple[int, int]:
    """Return the numbers of this source's records not loaded, and of those not loaded whole; of so many at most."""
    some = select(_QUARANTINE.c.is_loaded).where(_QUARANTINE.c.source == source).limit(at_most).subquery()
    counted = select(some.c.is_loaded, func.count()).group_by(some.c.is_loaded)
    found = {bool(is_loaded): number for is_loaded, number in session.execute(counted)}
    return found.get(False, 0), found.get(True, 0)


def listed(
    session: Session, source: str, *, after: tuple[str, str] = ("", ""), limit: int = 100
) -> Sequence[QuarantinedRecord]:
    """Return records of this source in quarantine, by object and remote id.

    after: object and remote id of the last one of the page before.
    """
    later = or_(
        _QUARANTINE.c.object > after[0],
        and_(_QUARANTINE.c.object == after[0], _QUARANTINE.c.remote_id > after[1]),
    )
    rows = session.execute(
        select(_QUARANTINE)
        .where(_QUARANTINE.c.source == source, later)
        .order_by(_QUARANTINE.c.object, _QUARANTINE.c.remote_id)
        .limit(limit)
    )
    return [
        QuarantinedRecord(
            row.source, row.object, row.remote_id, row.reason, row.field, row.fields, row.at, row.is_loaded
        )
        for row in rows
    ]
