"""Receipts and conclusions: a signed delivery becomes an entry before any work, and the entry records the result.

Adapter over the `entries` table. The first stored answer wins: the first attempt, a repeat and the fallback endpoint
all store an answer only if there is none yet, and send the stored one.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, case, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import aliased

from enrich import errors
from enrich.database.engine import Database
from enrich.database.types import Sid
from enrich.domain.deliveries import GUESSED_CHANNELS, Conclusion, Delivery, NewFollowup, Receipt
from enrich.domain.lengths import MAX_FORM_BYTES
from enrich.domain.matches import Matched, NoMatch
from enrich.domain.outcomes import EntryKind, FollowupKind
from enrich.journal.followup_inserts import INSERT_FOLLOWUP, FollowupInserts
from enrich.journal.group_commit import GroupCommit, Limits
from enrich.journal.tables import EVENT, NO_EVENT, EntryRow

log = logging.getLogger(__name__)


class Journal:
    """The journal of one database.

    time_limit: as in `enrich.resilience.timeouts`; limits commits that are not part of a callback's deadline.
    make_group: makes the group commit, of the function that commits many receipts. announce: called when a follow-up
    was added.
    """

    def __init__(
        self,
        database: Database,
        *,
        time_limit: Callable[[float], AbstractContextManager[Any]] = lambda _seconds: nullcontext(),
        make_group: Callable[..., GroupCommit] = GroupCommit,
        announce: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._announce = announce
        self._time_limit = time_limit
        dialect = sqlite if database.is_sqlite else postgresql
        row = EntryRow.__table__.c
        receiving = dialect.insert(EntryRow)
        # One statement for the first delivery and for every repeat. If one request executes it twice, because the
        # connection broke before the result, it is still the first.
        is_repeat = row.claim != receiving.excluded.claim
        on_repeat = {
            "repeats": row.repeats + case((is_repeat, 1), else_=0),
            "answer": func.coalesce(row.answer, receiving.excluded.answer),
        }
        columns = (row.id, row.delivery_key, row.claim, row.answer, row.concluded_at)
        self._receive = (
            receiving.values(task_channel=_channel_from_event())
            .on_conflict_do_update(index_elements=[row.delivery_key], set_=on_repeat)
            .returning(*columns)
        )
        by_parameter = [name for name in _RECEIVED if name != "task_channel"]
        self._receive_concluded = database.prepare(self._receive, dict.fromkeys((*by_parameter, *_CONCLUDED)))
        self._receive_group = (
            receiving.from_select(_RECEIVED, database.rows_of_json("rows", [row[name] for name in _RECEIVED]))
            .on_conflict_do_update(index_elements=[row.delivery_key], set_=on_repeat)
            .returning(*columns)
        )
        self._receive_alone = database.prepare(self._receive, by_parameter)
        self._correct_channel = database.prepare(_CORRECT_CHANNEL)
        self._group_commit = make_group(
            self._commit_group,
            on_failure=_log_unrecorded,
            time_limit=time_limit,
            limits=Limits(workers=database.group_connections),
        )
        self._answer = (
            update(EntryRow)
            .where(row.id == bindparam("entry_id"))
            .values(answer=func.coalesce(row.answer, bindparam("new_answer")))
            .returning(row.answer)
        )
        self._conclude = (
            update(EntryRow)
            .where(row.id == bindparam("entry_id"), row.concluded_at.is_(None))
            .values(
                answer=func.coalesce(row.answer, bindparam("new_answer")),
                **{name: bindparam(name) for name in _CONCLUDED},
            )
            .returning(row.answer)
        )
        self._conclude_alone = database.prepare(self._conclude)
        self._followups = FollowupInserts(database)
        self._record = database.prepare(insert(EntryRow).returning(row.id), (*_RECEIVED, *_CONCLUDED))
        self._last_place = database.prepare(_LAST_PLACE)
        self._channel_of = (
            select(row.channel_unique_name)
            .where(row.task_sid == bindparam("task_sid"), row.channel_unique_name.is_not(None))
            .order_by(row.id.desc())
            .limit(1)
        )
        self._stored_answer = database.prepare(select(row.answer).where(row.id == bindparam("entry_id")))

    def receive(
        self, delivery: Delivery, *, timeout_s: float, answer: str | None = None, followups: Sequence[NewFollowup] = ()
    ) -> Receipt:
        """Commit and return the delivery's receipt. A repeat is counted, and gets the entry of the first delivery.

        answer: stored if the entry has none yet. followups: committed together with a first delivery; a repeat creates
        none. An event that names the channel corrects what the task's entries guessed. Raises DatabaseError.
        """
        values = _received(delivery) | {"answer": answer}
        receipt = self._receive_with(values, delivery, followups, timeout_s)
        if _corrects_channel(delivery):
            corrected = {"of_task": delivery.task_sid, "channel": delivery.task_channel}
            self._database.write(self._correct_channel, corrected, timeout_s=timeout_s)
        return receipt

    def _receive_with(
        self, values: Mapping[str, Any], delivery: Delivery, followups: Sequence[NewFollowup], timeout_s: float
    ) -> Receipt:
        parameters = _with_channel(values, delivery)
        if not followups:
            return _receipt(self._database.write(self._receive_alone, parameters, timeout_s=timeout_s)[0], values)

        def work(connection: Connection) -> Receipt:
            receipt = _receipt(connection.execute(self._receive, parameters).one(), values)
            if not receipt.is_repeat:
                self._followups.add(connection, receipt.entry_id, followups, at=delivery.received_at)
            return receipt

        receipt = self._database.commit(work, timeout_s=timeout_s)
        self._announce()
        return receipt

    def receive_concluded(
        self, delivery: Delivery, conclusion: Conclusion, *, at: datetime, timeout_s: float, answer: str
    ) -> Receipt:
        """Commit the delivery's receipt and conclusion at once, for a delivery that needs no work in between.

        A repeat is counted, and gets the entry of the first delivery, which keeps its conclusion. Raises DatabaseError.
        """
        values = _received(delivery) | _concluded(conclusion, at) | {"answer": answer}
        parameters = _with_channel(values, delivery)
        return _receipt(self._database.write(self._receive_concluded, parameters, timeout_s=timeout_s)[0], values)

    def was_answered_since(self, moment: float) -> bool:
        """Return whether the database has answered this process since this monotonic time."""
        return self._database.answered_since(moment)

    def receive_grouped(self, delivery: Delivery, *, timeout_s: float, answer: str) -> Receipt:
        """Commit and return the delivery's receipt, in one statement with all others that wait.

        Sets its own time limit. Raises DatabaseError, OutOfTime; NotYetRecorded when the time is over, in which case
        the receipt is committed later.
        """
        if delivery.delivery_key is None:
            with self._time_limit(timeout_s):
                return self.receive(delivery, timeout_s=timeout_s, answer=answer)
        return self._group_commit.receive(_received(delivery) | {"answer": answer}, timeout_s=timeout_s)

    def finish(self, timeout_s: float) -> None:
        """Wait until every answered delivery is recorded, or until the time-out; called when the process ends."""
        self._group_commit.finish(timeout_s)

    def _commit_group(self, group: Sequence[Mapping[str, Any]], timeout_s: float) -> Sequence[Receipt]:
        """Commit these rows; return their receipts in order. Their delivery keys are set and distinct."""
        # In one order, so that two groups with the same deliveries do not wait for each other's rows.
        in_order = sorted(group, key=itemgetter("delivery_key"))
        rows_json = self._database.json_of_rows(in_order, EntryRow.__table__.c)
        rows = self._database.write(self._receive_group, {"rows": rows_json}, timeout_s=timeout_s, grouped=True)
        by_key = {row.delivery_key: row for row in rows}
        return [_receipt(by_key[values["delivery_key"]], values) for values in group]

    def stored_answer(self, entry_id: int) -> str | None:
        """Return the stored answer, None if there is none yet. Raises DatabaseError."""
        answer: str | None = self._database.read(self._stored_answer, {"entry_id": entry_id})[0].answer
        return answer

    def answer(self, entry_id: int, answer: str, *, timeout_s: float) -> str:
        """Store the answer if there is none, without a conclusion; return the stored one. Raises DatabaseError."""
        rows = self._database.write(self._answer, {"entry_id": entry_id, "new_answer": answer}, timeout_s=timeout_s)
        return str(rows[0].answer)

    def conclude(
        self,
        entry_id: int,
        conclusion: Conclusion,
        *,
        at: datetime,
        timeout_s: float,
        answer: str | None = None,
        followup: FollowupKind | None = None,
    ) -> str | None:
        """Commit the conclusion, unless the entry has one; return the stored answer.

        answer: stored if the entry has none yet; None for work that no caller waits for.
        followup: kind of a follow-up to create in the same transaction. Raises DatabaseError.
        """
        values = _concluded(conclusion, at) | {"entry_id": entry_id, "new_answer": answer}
        if followup is None:
            rows = self._database.write(self._conclude_alone, values, timeout_s=timeout_s)
        else:
            concluding = (self._conclude, values)
            values_of_followup = {"kind": followup, "of_entry": entry_id, "created_at": at, "due_at": at}
            inserting = (INSERT_FOLLOWUP, values_of_followup)
            rows = self._database.write_together(concluding, inserting, timeout_s=timeout_s)
            self._announce()
        if rows:
            stored: str | None = rows[0].answer
            return stored
        return self.answer(entry_id, answer, timeout_s=timeout_s) if answer is not None else None

    def stored_form(self, reference: str) -> str:
        """Return the body of a callback as received, by its ReservationSid or its entry's id; "" if there is none.

        Raises DatabaseError.
        """
        row = EntryRow.__table__.c
        condition = row.id == int(reference) if reference.isdigit() else row.delivery_key == reference
        rows = self._database.read(select(row.raw_form).where(condition))
        return str(rows[0].raw_form) if rows else ""

    def last_forms(self, task_sid: str, *, at_most: int = 10) -> tuple[str, ...]:
        """Return the task's newest callbacks and events as received, newest first. Raises DatabaseError."""
        row = EntryRow.__table__.c
        forms = select(row.raw_form).where(row.task_sid == task_sid, row.raw_form != "")
        return tuple(str(form.raw_form) for form in self._database.read(forms.order_by(row.id.desc()).limit(at_most)))

    def channel_of(self, task_sid: str) -> str | None:
        """Return the unique name of the task's channel from its newest event, None if none has it.

        Raises DatabaseError.
        """
        rows = self._database.read(self._channel_of, {"task_sid": task_sid})
        return str(rows[0].channel_unique_name) if rows else None

    def known(self, delivery_keys: Sequence[str]) -> frozenset[str]:
        """Return those of these delivery keys that have a receipt. Raises DatabaseError."""
        rows = self._database.read(select(EntryRow.delivery_key).where(EntryRow.delivery_key.in_(delivery_keys)))
        return frozenset(row.delivery_key for row in rows)

    def recent_workspaces(self) -> tuple[str, ...]:
        """Return the workspaces of the newest thousand entries. Raises DatabaseError."""
        newest = select(EntryRow.workspace_sid).order_by(EntryRow.id.desc()).limit(1000).subquery()
        rows = self._database.read(select(newest.c.workspace_sid).distinct().where(newest.c.workspace_sid != ""))
        return tuple(sorted(row.workspace_sid for row in rows))

    def record(self, delivery: Delivery, conclusion: Conclusion, *, at: datetime) -> int:
        """Insert an entry with its conclusion; return its id. Raises DatabaseError.

        If the delivery has neither channel nor queue, those of the task's last entries that have them are used.
        """
        values = _received(delivery) | _concluded(conclusion, at)
        if delivery.task_sid and not delivery.task_channel and not delivery.task_queue_sid:
            values |= self._database.read(self._last_place, {"task_sid": delivery.task_sid})[0]._asdict()
        return int(self._database.write(self._record, values | {"answer": None})[0].id)


# The channel and the queue of a task's last entries. Each by itself: a callback names its queue, and only an event may
# name the channel.
_LAST_PLACE = select(
    *(
        func.coalesce(
            select(place)
            .where(EntryRow.task_sid == bindparam("task_sid"), place != "")
            .order_by(or_(*(place == guess for guess in GUESSED_CHANNELS)), EntryRow.id.desc())
            .limit(1)
            .scalar_subquery(),
            "",
        ).label(place.name)
        for place in (EntryRow.__table__.c.task_channel, EntryRow.__table__.c.task_queue_sid)
    )
)


def _log_unrecorded(rows: Sequence[Mapping[str, Any]], error: errors.DatabaseError) -> None:
    for row in rows:
        sids = {name: row[name] or "" for name in ("workspace_sid", "task_sid", "reservation_sid")}
        log.error("receipt not recorded", extra=sids | {"reason": error.reason, "detail": str(error)})


def _receipt(row: Any, values: Mapping[str, Any]) -> Receipt:
    return Receipt(row.id, row.claim != values["claim"], row.answer, row.concluded_at is not None)


def _channel_from_event() -> ColumnElement[str]:
    """Return the channel of a new entry: from an event of its task if the attributes name none, else as known."""
    event = aliased(EntryRow)
    told = (
        select(event.task_channel)
        .where(event.task_sid == bindparam("of_task"), event.kind == EVENT, event.channel_unique_name.is_not(None))
        .order_by(event.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    known = bindparam("channel", type_=EntryRow.task_channel.type)
    return case((bindparam("of_task", type_=Sid).is_not(None), func.coalesce(told, known)), else_=known)


def _with_channel(values: Mapping[str, Any], delivery: Delivery) -> dict[str, Any]:
    """Return the parameters of a receipt. of_task: only for a delivery that may learn its channel from an event."""
    guesses = delivery.guessed_channel is not None and delivery.kind is not EntryKind.EVENT
    parameters = dict(values)
    channel = parameters.pop("task_channel")
    return parameters | {"channel": channel, "of_task": delivery.task_sid if guesses else None}


def _corrects_channel(delivery: Delivery) -> bool:
    """Return whether this event names a channel that the attributes do not suggest."""
    return (
        delivery.kind is EntryKind.EVENT
        and delivery.task_sid is not None
        and delivery.guessed_channel is not None
        and delivery.channel_unique_name is not None
        and delivery.task_channel != delivery.guessed_channel
    )


_CORRECT_CHANNEL = (
    update(EntryRow)
    .where(
        EntryRow.task_sid == bindparam("of_task"),
        NO_EVENT,
        or_(*(EntryRow.task_channel == guess for guess in GUESSED_CHANNELS)),
    )
    .values(task_channel=bindparam("channel"))
)


def _received(delivery: Delivery) -> dict[str, Any]:
    return {
        "kind": delivery.kind,
        "delivery_key": delivery.delivery_key,
        "claim": secrets.token_hex(8),
        "received_at": delivery.received_at,
        # An event needs no work of its own: the work it causes is a follow-up.
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
        "raw_form": delivery.body[:MAX_FORM_BYTES].decode("ascii", "backslashreplace"),
    }


# The columns of a receipt.
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
