"""States of streams in the database: how the runs of a source went, and what an operator wants of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Update, func, or_, select, update

from enrich import errors
from enrich.customers import quarantine, streams
from enrich.customers.lease_owners import has_ended_here
from enrich.customers.projection import CUSTOMER, RecordState, StoredRecord
from enrich.customers.projector import stored_record
from enrich.customers.record_batches import BATCH_ROWS
from enrich.customers.source_tables import SourceRecordRow, SourceRow, StreamRow
from enrich.customers.stream_writer import StreamWriter
from enrich.customers.streams import Lease
from enrich.customers.tables import CustomerRow
from enrich.database.engine import Database
from enrich.database.types import Base
from enrich.domain.streams import STOPPING, Pass, Question, StreamState, back_off

_SOURCES, _STREAMS, _RECORDS, _CUSTOMERS = (
    Base.metadata.tables[row.__tablename__] for row in (SourceRow, StreamRow, SourceRecordRow, CustomerRow)
)

# In `requested`, beside the kinds of passes.
_RETRY = "retry"


class StreamStates:
    """The streams of customers of one database, one for each source. Cheap to construct. Raises DatabaseError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, source: str, now: datetime) -> StreamState | None:
        """Return the state of this source; None if nothing was ever stored of it. now: for leases that have ended."""
        return next(iter(self._states(now, _SOURCES.c.name == source)), None)

    def all(self, now: datetime) -> Sequence[StreamState]:
        """Return the states of all sources of which anything is stored, by name."""
        return self._states(now)

    def is_any(self) -> bool:
        """Return whether anything is stored of any source."""
        return bool(self._database.read(select(_SOURCES.c.name).limit(1)))

    def records(self) -> Mapping[str, Mapping[RecordState, int]]:
        """Return the numbers of records by source and state. Reads the whole table: not on the way of a callback."""
        source, state = _RECORDS.c.source, _RECORDS.c.state
        numbers: dict[str, dict[RecordState, int]] = {}
        for row in self._database.read(select(source, state, func.count().label("number")).group_by(source, state)):
            if row.state in set(RecordState):  # a newer version knows others
                numbers.setdefault(row.source, {})[RecordState(row.state)] = row.number
        return numbers

    def record(self, source: str, remote_id: str) -> tuple[StoredRecord, str] | None:
        """Return the stored record and the customer that it is part of; None for an unknown one."""
        of_record = (_RECORDS.c.source == source, _RECORDS.c.object == CUSTOMER, _RECORDS.c.remote_id == remote_id)
        rows = self._database.read(select(_RECORDS).where(*of_record))
        if not rows:
            return None
        record = stored_record(rows[0])
        merged = self._database.read(select(_CUSTOMERS.c.merged_into).where(_CUSTOMERS.c.id == record.home_id))
        return record, (merged[0].merged_into if merged else None) or record.home_id

    def remote_ids(self, source: str, customer_ids: Collection[str]) -> list[str]:
        """Return the ids that the records of these customers have at this source."""
        homes = or_(_CUSTOMERS.c.id.in_(customer_ids), _CUSTOMERS.c.merged_into.in_(customer_ids))
        of_homes = select(_RECORDS.c.remote_id).join(_CUSTOMERS, _CUSTOMERS.c.id == _RECORDS.c.home_id).where(homes)
        return [row.remote_id for row in self._database.read(of_homes.where(_RECORDS.c.source == source))]

    def quarantined(self) -> Mapping[str, tuple[int, int]]:
        """Return as `quarantine.numbers`."""
        with self._database.reading() as session:
            return quarantine.numbers(session)

    def quarantined_of(self, sources: Collection[str], *, at_most: int) -> Mapping[str, tuple[int, int]]:
        """Return for each of these sources what `quarantine.numbers_of` returns."""
        with self._database.reading() as session:
            return {source: quarantine.numbers_of(session, source, at_most=at_most) for source in sources}

    # --- the runner

    def take(self, source: str, kind: str, *, owner: str, now: datetime, lasts: timedelta) -> Lease:
        """Take the lease of this source's stream. Raises StreamTaken while another runner has it."""
        with self._database.transaction() as session:
            return streams.take(
                session, source, CUSTOMER, kind=kind, owner=owner, now=now, lasts=lasts, is_dead=has_ended_here
            )

    def begin(self, lease: Lease, new_fingerprint: str | None, now: datetime) -> Lease:
        """Store that a pass begins, and return its lease. Raises LeaseLost.

        new_fingerprint: of the mapping, if it is another than before.
        """
        begun: dict[str, Any] = {"began_at": now, "ended_at": None, "counts": {}, "requested": None}
        with self._database.transaction() as session:
            if new_fingerprint is not None:
                # The source first, as whoever writes records of it does; two would wait for each other else.
                of_source = update(_SOURCES).where(_SOURCES.c.name == lease.source)
                session.execute(of_source.values(mapping_fingerprint=new_fingerprint))
                begun["full_at"] = None  # what was read by the mapping before is not whole by this one
            return streams.begin_pass(session, lease, now, **begun)

    def resume(self, lease: Lease, now: datetime) -> None:
        """Store that an interrupted pass goes on. Raises LeaseLost."""
        with self._database.transaction() as session:
            streams.commit(session, lease, now, ended_at=None, requested=None)

    def end(
        self,
        writer: StreamWriter,
        now: datetime,
        begun: Mapping[str, datetime],
        *,
        counts: Mapping[str, int],
        watermark: int | None,
        question: Question | None,
        is_accepted: bool,
    ) -> None:
        """Store that a pass is complete. begun: the beginnings of complete passes, by column. Raises LeaseLost.

        watermark: None to keep the one before. question: that stands now. is_accepted: the pass had an operator's yes,
        which holds for this one alone.
        """
        values: dict[str, Any] = {**begun}
        if watermark is not None:
            values["watermark"] = watermark
        if is_accepted:
            values["accepted"] = None
        writer.end_pass(
            ended_at=now,
            counts=dict(counts),
            problem=None,
            detail=None,
            failed_since=None,
            failures=0,
            due_at=None,
            held=_stored(question),
            **values,
        )

    def fail(
        self,
        lease: Lease,
        error: errors.EnrichError,
        now: datetime,
        *,
        question: Question | None = None,
        due_in: timedelta | None = None,
    ) -> None:
        """Store that a run has failed; nothing if another runner has the lease by now. question: of the brake.

        due_in: None for a back-off that grows. A pass that the brake stopped, and one over a source that an operator
        has to mend, begins anew.
        """
        is_over = error.reason in STOPPING or question is not None
        with suppress(errors.LeaseLost), self._database.transaction() as session:
            of_stream = _of(select(_STREAMS.c.failures, _STREAMS.c.failed_since), lease.source)
            row = session.execute(of_stream.with_for_update()).one()
            failures = row.failures + 1
            values = {
                "problem": error.reason,
                "detail": str(error),
                "failures": failures,
                "failed_since": row.failed_since or now,
                "due_at": now + (due_in or back_off(failures)),
                "ended_at": now,
                "requested": None,
                **({"position": None} if is_over else {}),
                **({"held": _stored(question)} if question else {}),
            }
            streams.commit(session, lease, now, **values)

    def begin_retry(self, lease: Lease, now: datetime) -> None:
        """Store that the quarantine is read again, and nobody has to ask for it any more. Raises LeaseLost."""
        with self._database.transaction() as session:
            streams.commit(session, lease, now, requested=None)

    def quarantined_ids(self, source: str) -> Iterator[Sequence[str]]:
        """Yield the remote ids of this source in quarantine, in batches that the caller may take out of it."""
        last = ""
        while True:
            with self._database.reading() as session:
                rows = quarantine.listed(session, source, after=(CUSTOMER, last), limit=BATCH_ROWS)
            if not rows:
                return
            yield [one.remote_id for one in rows]
            last = rows[-1].remote_id

    def recover(self, source: str) -> None:
        """Store that the last failure is over. How long an answer of the brake holds, `due_at`, stays."""
        self._changed(source, problem=None, detail=None, failed_since=None, failures=0)

    # --- the operator

    def request(self, source: str, pass_: Pass) -> bool:
        """Have this pass run next, at once; return whether the source is known."""
        return self._changed(source, requested=pass_.value)

    def request_retry(self, source: str) -> bool:
        """Have the quarantine read again, at once, unless everything will be; return whether the source is known."""
        is_next = or_(_STREAMS.c.requested.is_(None), _STREAMS.c.requested != Pass.FULL.value)
        with self._database.transaction() as session:
            session.execute(_update(source).where(is_next).values(requested=_RETRY))
            return session.execute(_of(select(_STREAMS.c.source), source)).one_or_none() is not None

    def rewind(self, lease: Lease, watermark: int, now: datetime) -> None:
        """Have the next window begin at this watermark, and run next. Raises LeaseLost."""
        with self._database.transaction() as session:
            streams.commit(session, lease, now, watermark=watermark, requested=Pass.WINDOW.value, position=None)
            streams.release(session, lease)

    def accept(self, source: str, removed: int) -> bool:
        """Answer the brake's question with yes, for so many. Returns False if it asks for others by now, or no more."""
        return self._answered(source, removed, is_accepted=True)

    def leave(self, source: str, removed: int) -> bool:
        """Answer the brake's question with no: nothing is removed, and the next pass asks again if it has to."""
        return self._answered(source, removed, is_accepted=False)

    def _answered(self, source: str, removed: int, *, is_accepted: bool) -> bool:
        with self._database.transaction() as session:
            stored = session.execute(_of(select(_STREAMS.c.held), source).with_for_update()).scalar_one_or_none()
            question = _question(stored)
            if question is None or question.removed != removed:
                return False
            values = {"accepted": removed, "requested": question.pass_.value} if is_accepted else {}
            session.execute(_update(source).values(held=None, **values))
            return True

    def _changed(self, source: str, **values: Any) -> bool:
        with self._database.transaction() as session:
            changed = _update(source).values(**values).returning(_STREAMS.c.source)
            return session.execute(changed).one_or_none() is not None

    def _states(self, now: datetime, *conditions: Any) -> Sequence[StreamState]:
        columns = [_SOURCES.c.name, _SOURCES.c.kind, _SOURCES.c.mapping_fingerprint, *_STREAMS.c]
        of_stream = (_STREAMS.c.source == _SOURCES.c.name) & (_STREAMS.c.stream == CUSTOMER)
        rows = select(*columns).join(_STREAMS, of_stream).where(*conditions).order_by(_SOURCES.c.name)
        return [_state(row, now) for row in self._database.read(rows)]


def _stored(question: Question | None) -> dict[str, Any] | None:
    if question is None:
        return None
    return {
        "removed": question.removed,
        "records": question.records,
        "of_records": question.of_records,
        "detail": question.detail,
        "pass": question.pass_.value,
    }


def _of(statement: Any, source: str) -> Any:
    return statement.where(_STREAMS.c.source == source, _STREAMS.c.stream == CUSTOMER)


def _update(source: str) -> Update:
    return update(_STREAMS).where(_STREAMS.c.source == source, _STREAMS.c.stream == CUSTOMER)


def _state(row: Any, now: datetime) -> StreamState:
    is_held = row.lease_until is not None and row.lease_until > now and not has_ended_here(row.lease_owner)
    return StreamState(
        source=row.name,
        kind=row.kind,
        fingerprint=row.mapping_fingerprint,
        owner=row.lease_owner if is_held else None,
        interrupted=_interrupted(row.position),
        watermark=row.watermark,
        began_at=row.began_at,
        ended_at=row.ended_at,
        counts=_counts(row.counts),
        window_at=row.window_at,
        keys_at=row.keys_at,
        full_at=row.full_at,
        problem=row.problem,
        detail=row.detail,
        failed_since=row.failed_since,
        failures=row.failures,
        due_at=row.due_at,
        requested=_pass(row.requested),
        question=_question(row.held),
        accepted=row.accepted,
        wants_retry=row.requested == _RETRY,
    )


def _pass(name: object) -> Pass | None:
    return Pass(name) if isinstance(name, str) and name in set(Pass) else None


def _interrupted(position: object) -> Pass | None:
    return _pass(position.get("pass")) if isinstance(position, dict) else None


def _question(stored: object) -> Question | None:
    if not isinstance(stored, dict):
        return None
    numbers = [stored.get(name) for name in ("removed", "records", "of_records")]
    detail, pass_ = stored.get("detail"), _pass(stored.get("pass"))
    if pass_ is None or not isinstance(detail, str):
        return None
    removed, records, of_records = (one if isinstance(one, int) else None for one in numbers)
    if removed is None or records is None or of_records is None:
        return None
    return Question(removed, records, of_records, detail, pass_)


def _counts(stored: object) -> dict[str, int]:
    counts = stored.items() if isinstance(stored, dict) else ()
    return {name: number for name, number in counts if isinstance(number, int)}
