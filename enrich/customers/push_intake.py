"""Intake of records that a source sends: applied by their versions, in any order and however often they come.

Of several records of one id that come together the newest is applied, as if it had come alone and last. What cannot be
read goes into quarantine, and only what is as new as that, or newer, takes it out again. So the store ends alike in
whatever order good and bad records come:

    stored in the end     the newest record that can be read
    in quarantine         the newest that cannot, if it is newer than what is stored
    erased                nothing is stored of the record any more, and nothing of it is in quarantine

Raises DatabaseError and BrakeApplied; then what was applied before stays, and the sender sends everything again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import chain, count
from typing import Any, TypeVar

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from enrich import errors
from enrich.customers import quarantine, streams
from enrich.customers.arrivals import Arrival, RecordOutcome
from enrich.customers.brake import COUNTED_FOR
from enrich.customers.projection import CUSTOMER, RecordState
from enrich.customers.pushed_records import PushedRecord, read_pushed, version_of
from enrich.customers.quarantine import QuarantinedRecord
from enrich.customers.source_tables import SourceRecordRow
from enrich.customers.stream_states import StreamStates
from enrich.customers.stream_writer import StreamWriter, portions
from enrich.customers.streams import Lease
from enrich.database.engine import Database
from enrich.database.types import Base
from enrich.domain.outcomes import IntakeOutcome
from enrich.domain.streams import Pass, Question

PUSH = "push"
_ATTEMPTS = 3
# Records that are compared with the store at once, which takes some three milliseconds.
TOGETHER = 40

T = TypeVar("T")

_RECORDS = Base.metadata.tables[SourceRecordRow.__tablename__]
_OUTCOMES = {
    RecordOutcome.CREATED: IntakeOutcome.CREATED,
    RecordOutcome.CHANGED: IntakeOutcome.CHANGED,
    RecordOutcome.UNCHANGED: IntakeOutcome.UNCHANGED,
    RecordOutcome.OLDER: IntakeOutcome.OLDER,
    RecordOutcome.REMOVED: IntakeOutcome.DELETED,
}


class PushIntake:
    """Takes what sources send, each into its own records. Cheap to construct.

    now: the database's time. pause: lets others work, between two transactions.
    """

    def __init__(self, database: Database, now: Callable[[], datetime], pause: Callable[[], None]) -> None:
        self._database = database
        self._states = StreamStates(database)
        self._now = now
        self._pause = pause

    def apply(self, source: str, pushed: Sequence[PushedRecord]) -> list[IntakeOutcome]:
        """Apply these records and return the outcome of each. source: declared, of the kind push."""
        good = _newest(one for one in pushed if one.arrival is not None)
        bad = _newest(one for one in pushed if one.arrival is None)
        applied = self._apply(source, [one.arrival for one in good.values() if one.arrival is not None])
        kept = self._settle_quarantine(source, bad, applied)
        return [
            _outcome_of_good(one, good[one.remote_id], applied) if one.arrival else _outcome_of_bad(one, bad, kept)
            for one in pushed
        ]

    def retry(
        self, source: str, records: Sequence[QuarantinedRecord], *, region: str, kinds: Collection[str]
    ) -> list[IntakeOutcome]:
        """Read these records in quarantine anew, as these rules want it, and apply them; return as `apply` does."""
        now = self._now()
        return self.apply(
            source, [read_pushed(one.remote_id, one.fields, region, kinds=kinds, now=now) for one in records]
        )

    def _apply(self, source: str, arrivals: Sequence[Arrival]) -> Mapping[str, IntakeOutcome]:
        if not arrivals:
            return {}
        lease, now = self._join(source), self._now()
        state = self._states.of(source, now)
        # A yes holds as long as removals are counted, from when the brake stopped something.
        is_answered = state is not None and state.due_at is not None and now < state.due_at
        accepted = state.accepted if state is not None and is_answered else None
        writer = StreamWriter(self._database, lease, self._now, by=source, accepted=accepted, pause=self._pause)
        outcomes: dict[str, RecordOutcome] = {}
        # What is live goes first, and is applied whatever the brake says of the rest.
        groups = [[one for one in arrivals if (one.state is RecordState.LIVE) is is_live] for is_live in (True, False)]
        try:
            for some in chain.from_iterable(portions(group, TOGETHER) for group in groups):
                outcomes.update(writer.write(some, read_after=None).outcomes)
                self._pause()
            writer.conclude()
        except errors.BrakeApplied as exc:
            writer.conclude()
            question = Question(exc.removed, exc.records, exc.of_records, str(exc), Pass.WINDOW)
            self._states.fail(lease, exc, now, question=question, due_in=COUNTED_FOR)
            raise
        if state is not None and state.problem is not None and state.question is None:
            self._states.recover(source)
        return {remote_id: _OUTCOMES[outcome] for remote_id, outcome in outcomes.items()}

    def _join(self, source: str) -> Lease:
        with self._database.reading() as session:
            if (joined := streams.joined_stream(session, source, CUSTOMER, kind=PUSH)) is not None:
                return joined
        return self._in_transaction(lambda session: streams.join(session, source, CUSTOMER, kind=PUSH))

    def _settle_quarantine(
        self, source: str, bad: Mapping[str, PushedRecord], applied: Mapping[str, IntakeOutcome]
    ) -> Collection[str]:
        """Put bad records into quarantine, and take out those that are overtaken; return the ids of those put there."""
        remote_ids = bad.keys() | applied.keys()
        if not bad:
            with self._database.reading() as session:
                if not quarantine.quarantined_ids(session, source, CUSTOMER, remote_ids):
                    return ()
        put = self._in_transaction(lambda session: self._settle(session, source, bad, applied))
        if put and not self._database.is_sqlite:
            # A newer record may have been applied meanwhile, by somebody who did not see these in quarantine yet.
            self._in_transaction(lambda session: self._settle(session, source, {}, dict.fromkeys(put)))
        return put

    def _settle(
        self, session: Session, source: str, bad: Mapping[str, PushedRecord], applied: Mapping[str, Any]
    ) -> Collection[str]:
        now = self._now()
        standing = quarantine.fields_of(session, source, CUSTOMER, bad.keys() | applied.keys())
        stored = _stored(session, source, bad.keys() | standing.keys())
        put, release = [], []
        for remote_id in bad.keys() | standing.keys():
            known, new = stored.get(remote_id), bad.get(remote_id)
            is_standing = remote_id in standing
            old_version = version_of(standing[remote_id], now) if is_standing else None
            if new is not None and not _is_overtaken(new.version, known) and not _is_less(new.version, old_version):
                put.append(new)
            elif is_standing and (
                _is_overtaken(old_version, known) or (old_version is None and applied.get(remote_id) in _NEWS)
            ):
                release.append(remote_id)
        quarantine.put(session, source, CUSTOMER, ((one.read, one.raw) for one in put), now)
        quarantine.release(session, source, CUSTOMER, release)
        return {one.remote_id for one in put}

    def _in_transaction(self, work: Callable[[Session], T]) -> T:
        """Return the result of this work in a transaction, done again if another one was in its way."""
        for attempt in count(1):
            try:
                with self._database.transaction() as session:
                    return work(session)
            except (errors.DatabaseLocked, errors.DatabaseConflict):
                if attempt == _ATTEMPTS:
                    raise
        raise AssertionError


# Of what has just arrived: it is the newest that is known.
_NEWS = frozenset(IntakeOutcome) - {IntakeOutcome.OLDER}


def _newest(pushed: Iterable[PushedRecord]) -> dict[str, PushedRecord]:
    """Return the one of each remote id that counts; of equal ones, the last."""
    newest: dict[str, PushedRecord] = {}
    for one in pushed:
        if one.remote_id not in newest or one.rank >= newest[one.remote_id].rank:
            newest[one.remote_id] = one
    return newest


def _outcome_of_good(one: PushedRecord, newest: PushedRecord, applied: Mapping[str, IntakeOutcome]) -> IntakeOutcome:
    outcome = applied[one.remote_id]
    if one is newest or outcome is IntakeOutcome.OLDER:
        return outcome
    return IntakeOutcome.UNCHANGED if one.rank == newest.rank else IntakeOutcome.OLDER


def _outcome_of_bad(one: PushedRecord, newest: Mapping[str, PushedRecord], kept: Collection[str]) -> IntakeOutcome:
    is_kept = one is newest[one.remote_id] and one.remote_id in kept
    return IntakeOutcome.QUARANTINED if is_kept else IntakeOutcome.OLDER


def _stored(session: Session, source: str, remote_ids: Collection[str]) -> dict[str, Row[*tuple[Any, ...]]]:
    columns = (_RECORDS.c.remote_id, _RECORDS.c.version, _RECORDS.c.state)
    of_source = (_RECORDS.c.source == source, _RECORDS.c.object == CUSTOMER)
    rows = session.execute(select(*columns).where(*of_source, _RECORDS.c.remote_id.in_(remote_ids)))
    return {row.remote_id: row for row in rows}


def _is_overtaken(version: int | None, stored: Row[*tuple[Any, ...]] | None) -> bool:
    """Return whether what is stored is as new as a record of this version. None: its place in the order is unknown."""
    if stored is None:
        return False
    if stored.state == RecordState.ERASED:
        return True
    return version is not None and stored.version is not None and version <= stored.version


def _is_less(version: int | None, than: int | None) -> bool:
    return than is not None and (version is None or version < than)
