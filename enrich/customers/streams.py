"""Streams of sources: who reads one now, how far it is read, and what has left it.

One runner reads a stream at a time, by a lease. Each commit of the runner checks the lease's token: one that lost it,
because it stood still for too long, rolls back. Works in the session of the caller; raises DatabaseError.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, Select, Update, bindparam, func, insert, select, update
from sqlalchemy.orm import Session

from enrich import errors
from enrich.customers.brake import Removals
from enrich.customers.source_tables import SourceRow, StreamRow
from enrich.customers.tables import AuditRow
from enrich.database.types import Base, texts_of

# A runner commits several times a second; one that has not for so long is dead.
LEASE = timedelta(seconds=30)

# The newest entry of the audit trail, and the sum of the counters of sources.
ChangeCounter = tuple[int, int]

_SOURCES, _STREAMS = (Base.metadata.tables[row.__tablename__] for row in (SourceRow, StreamRow))

# What each transaction of a load executes, on SQLite while callbacks wait for its lock. Built once and given to the
# connection: 44 µs instead of 194, most of which was building the statement and the session's work.
_CHANGES = select(
    select(func.max(AuditRow.id)).scalar_subquery().label("newest"), func.sum(_SOURCES.c.seq).label("seq")
)
_NEXT_SEQ = (
    update(_SOURCES)
    .where(_SOURCES.c.name == bindparam("source"))
    .values(seq=_SOURCES.c.seq + 1)
    .returning(_SOURCES.c.seq)
)
_EXTENDED = (
    update(_STREAMS)
    .where(
        _STREAMS.c.source == bindparam("of_source"),
        _STREAMS.c.stream == bindparam("of_stream"),
        _STREAMS.c.token == bindparam("of_token"),
    )
    .values(lease_until=bindparam("until"))
    .returning(_STREAMS.c.token)
)


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to read a stream.

    token: None for who writes without reading, whom no other one keeps out. run: number of the present pass. position:
    of an interrupted pass, else None. shared_kinds, placeholders: of the source, as `arrivals.Origin` has them. lasts:
    so long after each commit.
    """

    source: str
    stream: str
    kind: str
    token: int | None
    run: int
    position: dict[str, Any] | None
    shared_kinds: frozenset[str] = frozenset()
    placeholders: frozenset[str] = frozenset()
    lasts: timedelta = LEASE


def take(
    session: Session,
    source: str,
    stream: str,
    *,
    kind: str,
    owner: str,
    now: datetime,
    lasts: timedelta = LEASE,
    is_dead: Callable[[str], bool] = lambda _owner: False,
) -> Lease:
    """Take the lease of this stream, which is made if there is none. owner: shown to whoever finds it taken.

    is_dead: whether another owner is known to have ended. Raises StreamTaken while another runner has it.
    """
    lease = join(session, source, stream, kind=kind)
    of_stream = (_STREAMS.c.source == source, _STREAMS.c.stream == stream)
    row = session.execute(select(_STREAMS).where(*of_stream).with_for_update()).one()
    is_held = row.lease_until is not None and row.lease_until > now and row.lease_owner != owner
    if is_held and not is_dead(row.lease_owner):
        raise errors.StreamTaken(f"{row.lease_owner} is loading {source} already, or was until a moment ago")
    values = {"token": row.token + 1, "lease_owner": owner, "lease_until": now + lasts}
    session.execute(update(_STREAMS).where(*of_stream).values(**values))
    return replace(lease, token=row.token + 1, run=row.run, position=row.position, lasts=lasts)


def join(session: Session, source: str, stream: str, *, kind: str) -> Lease:
    """Return the right to write to this stream, which is made if there is none, beside whoever reads it."""
    if (joined := joined_stream(session, source, stream, kind=kind)) is not None:
        return joined
    if session.execute(select(_SOURCES.c.name).where(_SOURCES.c.name == source)).one_or_none() is None:
        session.execute(insert(_SOURCES).values(name=source, kind=kind))
    of_stream = (_STREAMS.c.source == source, _STREAMS.c.stream == stream)
    if session.execute(select(_STREAMS.c.source).where(*of_stream)).one_or_none() is None:
        session.execute(insert(_STREAMS).values(source=source, stream=stream))
    return _lease(session.execute(_joined(source, stream)).one(), source, stream, kind)


def joined_stream(session: Session, source: str, stream: str, *, kind: str) -> Lease | None:
    """Return what `join` returns, without writing; None if there is no such stream yet."""
    row = session.execute(_joined(source, stream)).one_or_none()
    return None if row is None else _lease(row, source, stream, kind)


def _joined(source: str, stream: str) -> Select[Any]:
    columns = (_SOURCES.c.shared_kinds, _SOURCES.c.placeholders, _STREAMS.c.run, _STREAMS.c.position)
    joined = _SOURCES.join(_STREAMS, _STREAMS.c.source == _SOURCES.c.name)
    return select(*columns).select_from(joined).where(_SOURCES.c.name == source, _STREAMS.c.stream == stream)


def _lease(row: Row[Any], source: str, stream: str, kind: str) -> Lease:
    shared = frozenset(texts_of(row.shared_kinds)), frozenset(texts_of(row.placeholders))
    return Lease(source, stream, kind, None, row.run, row.position, *shared)


def commit(session: Session, lease: Lease, now: datetime, **values: Any) -> Lease:
    """Store values of the stream (position, removals, run, watermark) with what the transaction applied.

    Extends the lease. Raises LeaseLost if another runner has it.
    """
    stored = {**values}
    if "removals" in stored:
        stored["removals"] = [list(row) for row in stored["removals"].rows] or None
    is_ours = lease.token is None or _extend(session, lease, now + lease.lasts)
    if is_ours and stored:
        storing = _of_lease(lease).values(**stored).returning(_STREAMS.c.token)
        is_ours = session.execute(storing).one_or_none() is not None
    if not is_ours:
        raise errors.LeaseLost(f"{lease.source} is loaded by another process now")
    return replace(lease, **{name: value for name, value in values.items() if name in Lease.__slots__})


def _extend(session: Session, lease: Lease, until: datetime) -> bool:
    """Extend the lease; return False if another runner has it."""
    values = {"of_source": lease.source, "of_stream": lease.stream, "of_token": lease.token, "until": until}
    return session.connection().execute(_EXTENDED, values).one_or_none() is not None


def begin_pass(session: Session, lease: Lease, now: datetime, **values: Any) -> Lease:
    """Begin a pass that has come nowhere and seen nothing yet, and store values of the stream. Raises LeaseLost."""
    return commit(session, lease, now, position=None, run=lease.run + 1, **values)


def release(session: Session, lease: Lease) -> None:
    """Give the lease back, if it is still ours."""
    session.execute(_of_lease(lease).values(lease_owner=None, lease_until=None))


def removals(session: Session, lease: Lease) -> Removals:
    """Return what has left the stream within a day, by whomever, and keep others from adding to it meanwhile."""
    of_stream = (_STREAMS.c.source == lease.source, _STREAMS.c.stream == lease.stream)
    return Removals.stored(
        session.execute(select(_STREAMS.c.removals).where(*of_stream).with_for_update()).scalar_one()
    )


def _of_lease(lease: Lease) -> Update:
    """Return the update of the lease's stream, of no row if another runner has it."""
    of_stream = update(_STREAMS).where(_STREAMS.c.source == lease.source, _STREAMS.c.stream == lease.stream)
    return of_stream if lease.token is None else of_stream.where(_STREAMS.c.token == lease.token)


def seq(session: Session, source: str) -> int:
    """Return the present counter of this source: what is applied from now on has a higher one. 0 for an unknown one."""
    return session.execute(select(_SOURCES.c.seq).where(_SOURCES.c.name == source)).scalar_one_or_none() or 0


def change_counter(session: Session) -> ChangeCounter:
    """Return what differs once a source or staff changed any customer."""
    row = session.connection().execute(_CHANGES).one()
    return row.newest or 0, int(row.seq or 0)


def next_seq(session: Session, source: str, kind: str) -> int:
    """Increment the counter of this source, which is made if there is none, and return it."""
    number: int | None = session.connection().execute(_NEXT_SEQ, {"source": source}).scalar_one_or_none()
    if number is None:
        session.execute(insert(_SOURCES).values(name=source, kind=kind, seq=1))
        return 1
    return number
