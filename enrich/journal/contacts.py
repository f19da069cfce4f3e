"""What the journal knows of one caller, or one customer: their history, and the tasks that are still about them.

Reads walk an index from its end and stop after a number of rows, so that a long journal costs no more than a short one.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Text, cast, func, insert, or_, select, union_all, update
from sqlalchemy.orm import Session

from enrich.database.engine import Database
from enrich.domain.outcomes import TASK_END_EVENTS, FollowupKind
from enrich.journal.tables import NO_EVENT, EntryRow, FollowupRow

# A task lives for a day unless somebody says otherwise (facts 4.1); who called longer ago is told by the next callback.
OPEN_FOR = timedelta(hours=24)
# As many entries are looked through for other tasks of one caller: at a callback a second, those of an hour and a half.
MOST_LOOKED_THROUGH = 5000
MOST_TASKS = 50


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
    """A task that may still be under way, and its newest entry that was no event."""

    task_sid: str
    entry_id: int


def history(database: Database, customer_ids: Sequence[str], *, at_most: int = 30) -> tuple[Contact, ...]:
    """The newest entry of each task that was found to be theirs, newest first. Raises DatabaseError.

    customer_ids: the customer, and all who were merged into them.
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
    found = union_all(*arms).subquery()
    rows = database.read(select(found).order_by(found.c.id.desc()))
    newest: dict[object, Contact] = {}
    for row in rows:
        newest.setdefault(row.task_sid or row.id, Contact(**row._asdict()))
    return tuple(newest.values())[:at_most]


def lately_seen(database: Database, *, at_most: int = 12) -> tuple[str, ...]:
    """The customers of the newest entries, each once. Raises DatabaseError."""
    newest = (
        select(EntryRow.id, EntryRow.customer_id).where(NO_EVENT).order_by(EntryRow.id.desc()).limit(500).subquery()
    )
    rows = database.read(
        select(newest.c.customer_id).where(newest.c.customer_id.is_not(None)).order_by(newest.c.id.desc())
    )
    return tuple(dict.fromkeys(row.customer_id for row in rows))[:at_most]


def newest_entry(session: Session, task_sid: str) -> Any:
    """Id, workspace and whom the task was offered to, of its newest entry that was no event; None if there is none."""
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


def last_finding(session: Session, task_sid: str) -> Mapping[str, Any] | None:
    """What the last look-up of this task found, in the form of `EntryRow.finding`; None if nobody ever looked."""
    rows = select(EntryRow.finding).where(EntryRow.task_sid == task_sid, EntryRow.finding.is_not(None))
    found: Mapping[str, Any] | None = session.scalar(rows.order_by(EntryRow.id.desc()).limit(1))
    return found


def open_tasks(
    session: Session,
    *,
    keys: Collection[tuple[str, str]],
    customer_ids: Collection[str],
    task_sids: Collection[str],
    now: datetime,
    but: str | None = None,
) -> tuple[OpenTask, ...]:
    """Tasks of the last day that were looked up by one of these keys, found to be one of these customers', or named.

    keys: (kind, value). but: left out. Those of which an event said that they are over are left out; of the others
    TaskRouter itself knows best, and is asked when the work is done. At most `MOST_TASKS`, the newest.
    """
    newest = (
        select(EntryRow.id, EntryRow.task_sid, EntryRow.customer_id, EntryRow.finding)
        .where(NO_EVENT)
        .order_by(EntryRow.id.desc())
        .limit(MOST_LOOKED_THROUGH)
        .subquery()
    )
    # A first sieve in the database, over the text of the JSON; what it lets through is read properly.
    text = cast(newest.c.finding, Text)
    sieve: list[Any] = [text.contains(_in_json(value), autoescape=True) for _, value in keys]
    if customer_ids:
        sieve += [newest.c.customer_id.in_(customer_ids)]
    found: dict[str, int] = {}
    rows = session.execute(select(newest).where(or_(*sieve)).order_by(newest.c.id.desc())) if sieve else ()
    for row in rows:
        if row.task_sid and (row.customer_id in customer_ids or _asked_for(row.finding) & set(keys)):
            found.setdefault(row.task_sid, row.id)
    found |= {task_sid: 0 for task_sid in task_sids if task_sid not in found}
    candidates = [task_sid for task_sid in found if task_sid != but][:MOST_TASKS]
    return _still_open(session, candidates, now)


def _still_open(session: Session, task_sids: Sequence[str], now: datetime) -> tuple[OpenTask, ...]:
    """Those of them that came within a day, and of which no event said that they are over."""
    if not task_sids:
        return ()
    rows = session.execute(
        select(EntryRow.task_sid, func.max(EntryRow.id).label("newest"), func.max(EntryRow.received_at).label("at"))
        .where(EntryRow.task_sid.in_(task_sids), NO_EVENT)
        .group_by(EntryRow.task_sid)
        .having(func.max(EntryRow.received_at) > now - OPEN_FOR)
    ).all()
    over = set(
        session.scalars(
            select(EntryRow.task_sid).where(EntryRow.task_sid.in_(task_sids), EntryRow.event_type.in_(TASK_END_EVENTS))
        )
    )
    return tuple(OpenTask(row.task_sid, row.newest) for row in rows if row.task_sid not in over)


def owe_enrichment(session: Session, entry_ids: Iterable[int], *, now: datetime, due_at: datetime) -> tuple[int, ...]:
    """The ids of new follow-ups: each of these entries' tasks is to be enriched."""
    rows = [
        {
            "kind": FollowupKind.ENRICH,
            "entry_id": entry_id,
            "created_at": now,
            "due_at": due_at,
            "attempts": 0,
            "last_reason": "",
        }
        for entry_id in entry_ids
    ]
    return tuple(
        session.execute(insert(FollowupRow).values(row).returning(FollowupRow.id)).scalar_one() for row in rows
    )


def settle_followup(
    database: Database, followup_id: int, *, now: datetime, done: bool, reason: str, again: bool
) -> None:
    """How the first try of a follow-up went that a reader was waiting for. Whoever did it meanwhile has the last word.

    done: it is; else again: it is due now, for the worker; else it is given up. Raises DatabaseError.
    """
    values: dict[str, Any] = {"attempts": 1, "last_reason": reason, "leased_until": None}
    if done:
        values |= {"due_at": None, "done_at": now, "last_reason": ""}
    elif again:
        values |= {"due_at": now}
    else:
        values |= {"due_at": None, "given_up_at": now}
    ours = (FollowupRow.id == followup_id, FollowupRow.attempts == 0, FollowupRow.due_at.is_not(None))
    database.write(update(FollowupRow).where(*ours).values(**values))


def _asked_for(finding: Any) -> set[tuple[str, str]]:
    keys = finding.get("keys") if isinstance(finding, dict) else None
    return {(str(key.get("kind")), str(key.get("value"))) for key in keys or () if isinstance(key, dict)}


def _in_json(value: str) -> str:
    """The value as it stands between its quotation marks in the stored JSON, which is ASCII."""
    return json.dumps(value)[1:-1]
