"""Receipts and conclusions: a signed delivery is a row before anything is done about it; the row says how it ended.

Adapter over the `entries` table. The first stored answer wins: whoever has one to give, the first try, a repeat or the
fallback endpoint, stores it only where there is none yet, and sends what is stored then.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, bindparam, case, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from enrich import errors
from enrich.database.engine import Database
from enrich.domain.deliveries import Conclusion, Delivery, NewFollowup, Receipt
from enrich.domain.matches import Matched, NoMatch
from enrich.domain.outcomes import EntryKind, FollowupKind
from enrich.journal.followups import FollowupInserts
from enrich.journal.group_commit import GroupCommit
from enrich.journal.tables import EntryRow, FollowupRow

# The journal keeps what came in, but not whatever size somebody managed to send.
LONGEST_FORM = 65_536

log = logging.getLogger(__name__)


class Journal:
    """The journal of one database.

    time_limit: as in `enrich.resilience.timeouts`; for what is recorded by nobody's clock but its own.
    make_group: makes what commits many receipts together, of the function that commits them.
    """

    def __init__(
        self,
        database: Database,
        *,
        time_limit: Callable[[float], AbstractContextManager[Any]] = lambda _seconds: nullcontext(),
        make_group: Callable[..., GroupCommit] = GroupCommit,
    ) -> None:
        self._database = database
        self._time_limit = time_limit
        dialect = sqlite if database.is_sqlite else postgresql
        row = EntryRow.__table__.c
        receiving = dialect.insert(EntryRow)
        # One statement for the first delivery and for every repeat. Asked twice by the same one, because the first time
        # the connection broke before the answer, it is still the first.
        is_another = row.claim != receiving.excluded.claim
        on_repeat = {
            "repeats": row.repeats + case((is_another, 1), else_=0),
            "answer": func.coalesce(row.answer, receiving.excluded.answer),
        }
        told = (row.id, row.delivery_key, row.claim, row.answer, row.concluded_at)
        self._receive = receiving.on_conflict_do_update(index_elements=[row.delivery_key], set_=on_repeat).returning(
            *told
        )
        self._receive_concluded = database.prepare(self._receive, dict.fromkeys((*_RECEIVED, *_CONCLUDED)))
        self._receive_many = (
            receiving.from_select(_RECEIVED, database.rows_of_json("many", [row[name] for name in _RECEIVED]))
            .on_conflict_do_update(index_elements=[row.delivery_key], set_=on_repeat)
            .returning(*told)
        )
        self._receive_alone = database.prepare(self._receive, _RECEIVED)
        self._crowd = make_group(self._commit_crowd, given_up=_not_recorded, time_limit=time_limit)
        self._answer = (
            update(EntryRow)
            .where(row.id == bindparam("entry_id"))
            .values(answer=func.coalesce(row.answer, bindparam("given")))
            .returning(row.answer)
        )
        self._conclude = (
            update(EntryRow)
            .where(row.id == bindparam("entry_id"), row.concluded_at.is_(None))
            .values(
                answer=func.coalesce(row.answer, bindparam("given")),
                **{name: bindparam(name) for name in _CONCLUDED},
            )
            .returning(row.answer)
        )
        self._conclude_alone = database.prepare(self._conclude)
        self._owe = insert(FollowupRow)
        self._owes = FollowupInserts(database)
        self._channel_of = (
            select(row.channel_unique_name)
            .where(row.task_sid == bindparam("task_sid"), row.channel_unique_name.is_not(None))
            .order_by(row.id.desc())
            .limit(1)
        )
        self._stored_answer = database.prepare(select(row.answer).where(row.id == bindparam("entry_id")))

    def receive(
        self, delivery: Delivery, *, timeout_s: float, answer: str | None = None, owing: Sequence[NewFollowup] = ()
    ) -> Receipt:
        """The delivery's receipt, committed. A repeat is counted, and gets the row of the first.

        answer: stored at once where none is yet. owing: what the first delivery causes, committed together with it; a
        repeat causes nothing. Raises DatabaseError.
        """
        values = _received(delivery) | {"answer": answer}
        if not owing:
            return _receipt(self._database.write(self._receive_alone, values, timeout_s=timeout_s)[0], values)

        def work(connection: Connection) -> Receipt:
            receipt = _receipt(connection.execute(self._receive, values).one(), values)
            if not receipt.is_repeat:
                self._owes.add(connection, receipt.entry_id, owing, at=delivery.received_at)
            return receipt

        return self._database.commit(work, timeout_s=timeout_s)

    def receive_concluded(
        self, delivery: Delivery, conclusion: Conclusion, *, at: datetime, timeout_s: float, answer: str
    ) -> Receipt:
        """The delivery's receipt with its conclusion, one row, committed; for when there was nothing to do in between.

        A repeat is counted, and gets the row of the first, which keeps its own conclusion. Raises DatabaseError.
        """
        values = _received(delivery) | _concluded(conclusion, at) | {"answer": answer}
        return _receipt(self._database.write(self._receive_concluded, values, timeout_s=timeout_s)[0], values)

    def was_answered_since(self, moment: float) -> bool:
        """Whether the database answered anybody of this process at that moment of `time.monotonic`, or later."""
        return self._database.answered_since(moment)

    def receive_among_many(self, delivery: Delivery, *, timeout_s: float, answer: str) -> Receipt:
        """As `receive`, but committed together with all others that are waiting for it.

        Needs no clock of its caller's. Raises DatabaseError, OutOfTime; NotYetRecorded when its turn does not come in
        time: it is recorded all the same, later.
        """
        if delivery.delivery_key is None:
            with self._time_limit(timeout_s):
                return self.receive(delivery, timeout_s=timeout_s, answer=answer)
        return self._crowd.receive(_received(delivery) | {"answer": answer}, timeout_s=timeout_s)

    def finish(self, timeout_s: float) -> None:
        """For a process that ends: returns when all that was answered is recorded, or after so long."""
        self._crowd.finish(timeout_s)

    def _commit_crowd(self, crowd: Sequence[Mapping[str, Any]], timeout_s: float) -> Sequence[Receipt]:
        """The receipts of these rows, in their order; each has a delivery key, and no two have the same."""
        many = self._database.json_of_rows(crowd, EntryRow.__table__.c)
        rows = self._database.write(self._receive_many, {"many": many}, timeout_s=timeout_s, for_many=True)
        made = {found.delivery_key: found for found in rows}
        return [_receipt(made[values["delivery_key"]], values) for values in crowd]

    def stored_answer(self, entry_id: int) -> str | None:
        """The answer that is stored, None if none is yet. Raises DatabaseError."""
        answer: str | None = self._database.read(self._stored_answer, {"entry_id": entry_id})[0].answer
        return answer

    def answer(self, entry_id: int, answer: str, *, timeout_s: float) -> str:
        """The stored answer: this one if there was none. The work itself is not concluded. Raises DatabaseError."""
        rows = self._database.write(self._answer, {"entry_id": entry_id, "given": answer}, timeout_s=timeout_s)
        return str(rows[0].answer)

    def conclude(
        self,
        entry_id: int,
        conclusion: Conclusion,
        *,
        at: datetime,
        timeout_s: float,
        answer: str | None = None,
        owe: FollowupKind | None = None,
    ) -> str | None:
        """The stored answer, after the conclusion was committed; an earlier conclusion of the same row stays as it is.

        answer: what we would send, None for work that nobody waits for.
        owe: the kind of follow-up that is owed from now on, in the same transaction. Raises DatabaseError.
        """
        values = _concluded(conclusion, at) | {"entry_id": entry_id, "given": answer}
        if owe is None:
            rows = self._database.write(self._conclude_alone, values, timeout_s=timeout_s)
        else:
            concluding = (self._conclude, values)
            owing = (self._owe, {"kind": owe, "entry_id": entry_id, "created_at": at, "due_at": at})
            rows = self._database.write_together(concluding, owing, timeout_s=timeout_s)
        if rows:
            stored: str | None = rows[0].answer
            return stored
        return self.answer(entry_id, answer, timeout_s=timeout_s) if answer is not None else None

    def stored_form(self, which: str) -> str:
        """The body of a callback as it came, by its ReservationSid, or by the number of its entry; "" for none.

        Raises DatabaseError.
        """
        row = EntryRow.__table__.c
        condition = row.id == int(which) if which.isdigit() else row.delivery_key == which
        rows = self._database.read(select(row.raw_form).where(condition))
        return str(rows[0].raw_form) if rows else ""

    def channel_of(self, task_sid: str) -> str | None:
        """The unique name of the task's channel, as the newest event told that did. Raises DatabaseError."""
        rows = self._database.read(self._channel_of, {"task_sid": task_sid})
        return str(rows[0].channel_unique_name) if rows else None

    def known(self, delivery_keys: Sequence[str]) -> frozenset[str]:
        """Those of these keys that have a receipt. Raises DatabaseError."""
        rows = self._database.read(select(EntryRow.delivery_key).where(EntryRow.delivery_key.in_(delivery_keys)))
        return frozenset(row.delivery_key for row in rows)

    def recent_workspaces(self) -> tuple[str, ...]:
        """The workspaces that the newest thousand entries are of. Raises DatabaseError."""
        newest = select(EntryRow.workspace_sid).order_by(EntryRow.id.desc()).limit(1000).subquery()
        rows = self._database.read(select(newest.c.workspace_sid).distinct().where(newest.c.workspace_sid != ""))
        return tuple(sorted(row.workspace_sid for row in rows))

    def record(self, delivery: Delivery, conclusion: Conclusion, *, at: datetime) -> int:
        """The id of a new row that is received and concluded at once. Raises DatabaseError.

        Channel and queue, where the delivery does not say them, are those that the task was last said to have.
        """
        values = _received(delivery) | _concluded(conclusion, at)
        if delivery.task_sid and not delivery.task_channel and not delivery.task_queue_sid:
            values |= self._last_place(delivery.task_sid)
        return int(self._database.write(insert(EntryRow).returning(EntryRow.id), values)[0].id)

    def _last_place(self, task_sid: str) -> dict[str, str]:
        row = EntryRow.__table__.c
        last = (
            select(row.task_channel, row.task_queue_sid)
            .where(row.task_sid == task_sid, (row.task_channel != "") | (row.task_queue_sid != ""))
            .order_by(row.id.desc())
            .limit(1)
        )
        return next((dict(found._mapping) for found in self._database.read(last)), {})


def _not_recorded(rows: Sequence[Mapping[str, Any]], error: errors.DatabaseError) -> None:
    for row in rows:
        sids = {name: row[name] or "" for name in ("workspace_sid", "task_sid", "reservation_sid")}
        log.error("receipt not recorded", extra=sids | {"reason": error.reason, "detail": str(error)})


def _receipt(row: Any, values: Mapping[str, Any]) -> Receipt:
    return Receipt(row.id, row.claim != values["claim"], row.answer, row.concluded_at is not None)


def _received(delivery: Delivery) -> dict[str, Any]:
    return {
        "kind": delivery.kind,
        "delivery_key": delivery.delivery_key,
        "claim": secrets.token_hex(8),
        "received_at": delivery.received_at,
        # Nothing about an event itself is open: what is to be done because of it is a follow-up.
        "concluded_at": delivery.received_at if delivery.kind is EntryKind.EVENT else None,
        "repeats": 0,
        "workspace_sid": delivery.workspace_sid,
        "task_sid": delivery.task_sid,
        "reservation_sid": delivery.reservation_sid,
        "worker_sid": delivery.worker_sid,
        "worker_name": delivery.worker_name,
        "event_type": delivery.event_type,
        "task_channel": delivery.task_channel,
        "channel_unique_name": delivery.channel_unique_name,
        "task_queue_sid": delivery.task_queue_sid,
        "task_queue_name": delivery.task_queue_name,
        "reason": delivery.reason or "",
        "raw_form": delivery.body[:LONGEST_FORM].decode("ascii", "backslashreplace"),
    }


# The columns that a receipt fills.
_RECEIVED = (*_received(Delivery(EntryKind.ASSIGNMENT, datetime.min.replace(tzinfo=UTC))), "answer")

_CONCLUDED = (
    "concluded_at",
    "outcome",
    "reason",
    "match",
    "by",
    "trust",
    "customer_id",
    "customer_name",
    "finding",
    "first_key",
    "attributes_before",
    "attributes_after",
    "decision",
    "steps",
    "elapsed_ms",
)


def _concluded(conclusion: Conclusion, at: datetime) -> dict[str, Any]:
    match = conclusion.match
    key = None if match is None or isinstance(match, NoMatch) else match.key
    return {
        "concluded_at": at,
        "outcome": conclusion.outcome,
        "reason": conclusion.reason,
        "match": match.kind if match else None,
        "by": key.kind if key else "",
        "trust": key.trust if key else "",
        "customer_id": match.customer_id if isinstance(match, Matched) else None,
        "customer_name": match.name if isinstance(match, Matched) else "",
        "finding": conclusion.finding,
        "first_key": _first_key(conclusion.finding),
        "attributes_before": conclusion.attributes_before,
        "attributes_after": conclusion.attributes_after,
        "decision": conclusion.decision,
        "steps": list(conclusion.steps),
        "elapsed_ms": conclusion.elapsed_ms,
    }


def _first_key(finding: Mapping[str, Any] | None) -> str | None:
    keys = (finding or {}).get("keys")
    return str(keys[0]["value"]) if keys else None
