"""Follow-ups by state, the newest first, page by page.

A page begins before an id, and ids do not change: whoever continues sees none twice and misses none that keeps its
state. Each query reads the end of the primary key, or one of the two small indexes of what is pending and given up.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Select, select

from enrich.database.engine import Database
from enrich.journal.tables import EntryRow, FollowupRow
from enrich.journal.timeline import TimelineFollowup

# Earlier than any follow-up. A comparison uses an index of times; SQLite uses none for IS NOT NULL.
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


class FollowupState(StrEnum):
    """The states of a follow-up."""

    PENDING = "pending"
    DONE = "done"
    GIVEN_UP = "given_up"


@dataclass(frozen=True, slots=True)
class ListedFollowup(TimelineFollowup):
    """One follow-up with its task. task_sid: None if its entry has no task."""

    task_sid: str | None


def followups_before(
    database: Database, followup_id: int, *, state: FollowupState | None, at_most: int
) -> tuple[ListedFollowup, ...]:
    """Return the follow-ups with lower ids than this, highest first. state: None: all of them. Raises DatabaseError."""
    ids = _ids(followup_id, state).limit(at_most).subquery()
    rows = database.read(_LISTED.join(ids, ids.c.id == FollowupRow.id).order_by(FollowupRow.id.desc()))
    return tuple(ListedFollowup(**row._asdict()) for row in rows)


def state_of(followup: TimelineFollowup) -> FollowupState:
    """Return the state of this follow-up."""
    if followup.done_at is not None:
        return FollowupState.DONE
    return FollowupState.PENDING if followup.given_up_at is None else FollowupState.GIVEN_UP


_LISTED = select(
    *(getattr(FollowupRow, name) for name in TimelineFollowup.__slots__),
    EntryRow.task_sid,
).join(EntryRow, EntryRow.id == FollowupRow.entry_id)


def _ids(before: int, state: FollowupState | None) -> Select[Any]:
    """Return the query for the ids of this state."""
    if state is None or state is FollowupState.DONE:
        ids = select(FollowupRow.id).where(FollowupRow.id < before).order_by(FollowupRow.id.desc())
        return ids if state is None else ids.where(FollowupRow.done_at.is_not(None))
    # Few: sorted, by an expression, so that the primary key is not searched for them from its end.
    ended = FollowupRow.due_at if state is FollowupState.PENDING else FollowupRow.given_up_at
    followup_id = FollowupRow.id + 0
    return select(FollowupRow.id).where(ended >= _EARLIEST, followup_id < before).order_by(followup_id.desc())
