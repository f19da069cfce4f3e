"""Entries of one caller or customer: their history, and their open tasks.

Queries walk an index from its end and stop after a number of rows, so their cost does not grow with the journal.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Text, cast, func, or_, select, union_all, update
from sqlalchemy.orm import Session

from enrich.database.engine import Database
from enrich.domain.outcomes import TASK_END_EVENTS, FollowupKind
from enrich.journal.followup_inserts import INSERT_FOLLOWUP
from enrich.journal.records import LookupFinding, read_finding
from enrich.journal.tables import NO_EVENT, EntryRow, FollowupRow

# A task lives for a day by default (docs/taskrouter.md, "Time limits"). Older ones get the block with their next
# callback.
TASK_LIFETIME = timedelta(hours=24)
# Entries searched for open tasks: an hour and a half at one callback a second.
MAX_ENTRIES_SEARCHED = 5000
MAX_TASKS = 50


@dataclass(frozen=True, slots=True)
class Contact:
    """One entry in a customer's history."""

    id: int
    kind: str
    received_at: datetime
    task_sid: str | None
    outcome: str | None
    match: str | None
    by: str
    trust: str
    worker_sid: str
    worker_name: str


@dataclass(frozen=True, slots=True)
class OpenTask:
    """A task that may still be open, and the id of its newest entry that is not an event."""

    task_sid: str
    entry_id: int


def history(database: Database, customer_ids: Sequence[str], *, at_most: int = 30) -> tuple[Contact, ...]:
    """Return the newest entry of each task of these customers, newest first. Raises DatabaseError.

    customer_ids: a customer and all who were merged into them.
    """
    columns = [getattr(EntryRow, name) for name in Contact.__dataclass_fields__]
    arms = [
        select(
            select(*columns)
            .where(EntryRow.customer_id == customer_id)
            .order_by(EntryRow.id.desc())
            .limit(at_most * 3)
            .subquery()
        )
        for customer_id in customer_ids
    ]
    if not arms:
        return ()
    entries = union_all(*arms).subquery()
    rows = database.read(select(entries).order_by(entries.c.id.desc()))
    newest: dict[object, Contact] = {}
    for row in rows:
        newest.setdefault(row.task_sid or row.id, Contact(**row._asdict()))
    return tuple(newest.values())[:at_most]


def recent_customer_ids(database: Database, *, at_most: int = 12) -> tuple[str, ...]:
    """Return the distinct customers of the newest entries. Raises DatabaseError."""
    newest = (
        select(EntryRow.id, EntryRow.customer_id).where(NO_EVENT).order_by(EntryRow.id.desc()).limit(500).subquery()
    )
    rows = database.read(
        select(newest.c.customer_id).where(newest.c.customer_id.is_not(None)).order_by(newest.c.id.desc())
    )
    return tuple(dict.fromkeys(row.customer_id for row in rows))[:at_most]


def newest_entry(session: Session, task_sid: str) -> Any:
    """Return id, workspace, reservation and worker of the task's newest entry that is not an event, or None."""
    return session.execute(
        select(
            EntryRow.id,
            EntryRow.workspace_sid,
            EntryRow.task_sid,
            EntryRow.reservation_sid,
            EntryRow.worker_sid,
            EntryRow.worker_name,
        )
        .where(EntryRow.task_sid == task_sid, NO_EVENT)
        .order_by(EntryRow.id.desc())
        .limit(1)
    ).one_or_none()


def last_finding(session: Session, task_sid: str) -> LookupFinding:
    """Return the finding of the task's last look-up, an empty one without a look-up."""
    rows = select(EntryRow.finding).where(EntryRow.task_sid == task_sid, EntryRow.finding.is_not(None))
    return read_finding(session.scalar(rows.order_by(EntryRow.id.desc()).limit(1)))


def open_tasks(
    session: Session,
    *,
    keys: Collection[tuple[str, str]],
    customer_ids: Collection[str],
    task_sids: Collection[str],
    now: datetime,
    except_task_sid: str | None = None,
) -> tuple[OpenTask, ...]:
    """Return open tasks that have one of these keys (kind, value) or customers, or are named by SID.

    Only tasks of the last day, the newest, at most `MAX_TASKS`; without those that an event has ended. A task can have
    ended all the same: TaskRouter tells when its follow-up is executed.
    """
    newest = (
        select(EntryRow.id, EntryRow.task_sid, EntryRow.customer_id, EntryRow.finding)
        .where(NO_EVENT)
        .order_by(EntryRow.id.desc())
        .limit(MAX_ENTRIES_SEARCHED)
        .subquery()
    )
    # The database filters coarsely, by the text of the JSON; the rows that pass are checked below.
    text = cast(newest.c.finding, Text)
    conditions: list[Any] = [text.contains(_in_json(value), autoescape=True) for _, value in keys]
    if customer_ids:
        conditions += [newest.c.customer_id.in_(customer_ids)]
    entry_ids: dict[str, int] = {}
    rows = session.execute(select(newest).where(or_(*conditions)).order_by(newest.c.id.desc())) if conditions else ()
    for row in rows:
        if row.task_sid and (row.customer_id in customer_ids or _keys_of(row.finding) & set(keys)):
            entry_ids.setdefault(row.task_sid, row.id)
    entry_ids |= {task_sid: 0 for task_sid in task_sids if task_sid not in entry_ids}
    candidates = [task_sid for task_sid in entry_ids if task_sid != except_task_sid][:MAX_TASKS]
    return _still_open(session, candidates, now)


def _still_open(session: Session, task_sids: Sequence[str], now: datetime) -> tuple[OpenTask, ...]:
    """Return those of these tasks with an entry of the last day and no event that ended them."""
    if not task_sids:
        return ()
    rows = session.execute(
        select(EntryRow.task_sid, func.max(EntryRow.id).label("newest"), func.max(EntryRow.received_at).label("at"))
        .where(EntryRow.task_sid.in_(task_sids), NO_EVENT)
        .group_by(EntryRow.task_sid)
        .having(func.max(EntryRow.received_at) > now - TASK_LIFETIME)
    ).all()
    ended = set(
        session.scalars(
            select(EntryRow.task_sid).where(EntryRow.task_sid.in_(task_sids), EntryRow.event_type.in_(TASK_END_EVENTS))
        )
    )
    return tuple(OpenTask(row.task_sid, row.newest) for row in rows if row.task_sid not in ended)


def add_enrich_followups(
    session: Session, entry_ids: Iterable[int], *, now: datetime, due_at: datetime
) -> tuple[int, ...]:
    """Create a follow-up to enrich the task of each of these entries; return the follow-ups' ids."""
    rows = [
        {
            "kind": FollowupKind.ENRICH,
            "of_entry": entry_id,
            "created_at": now,
            "due_at": due_at,
            "attempts": 0,
            "last_reason": "",
        }
        for entry_id in entry_ids
    ]
    inserting = INSERT_FOLLOWUP.returning(FollowupRow.id)
    return tuple(session.connection().execute(inserting, row).scalar_one() for row in rows)


def end_first_attempt(
    database: Database, followup_id: int, *, now: datetime, done: bool, reason: str, retry: bool
) -> None:
    """Record the first attempt at a follow-up, made while a page waited. No effect if a worker has claimed it.

    If it is not done, retry makes it due now, for the worker; without, it is given up. Raises DatabaseError.
    """
    values: dict[str, Any] = {"attempts": 1, "last_reason": reason, "leased_until": None}
    if done:
        values |= {"due_at": None, "done_at": now, "last_reason": ""}
    elif retry:
        values |= {"due_at": now}
    else:
        values |= {"due_at": None, "given_up_at": now}
    unclaimed = (FollowupRow.id == followup_id, FollowupRow.attempts == 0, FollowupRow.due_at.is_not(None))
    database.write(update(FollowupRow).where(*unclaimed).values(**values))


def _keys_of(finding: object) -> set[tuple[str, str]]:
    return {(key.kind, key.value) for key in read_finding(finding).keys}


def _in_json(value: str) -> str:
    """Return the value as it is escaped in the stored JSON, which is ASCII, without quotation marks."""
    return json.dumps(value)[1:-1]
