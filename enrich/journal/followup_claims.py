"""The statements by which workers claim follow-ups, and end what they have claimed; made once, and executed often."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Select,
    and_,
    bindparam,
    exists,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.orm import aliased
from sqlalchemy.sql.dml import ReturningUpdate

from enrich.database.types import UtcDateTime
from enrich.domain.outcomes import FollowupKind
from enrich.journal.tables import EntryRow, FollowupRow

IS_KNOWN = FollowupRow.kind.in_(tuple(FollowupKind))

# For the worker that has claimed it, and for as long as no other one has claimed or ended it since.
_IS_OURS = (
    FollowupRow.id == bindparam("followup_id"),
    FollowupRow.attempts == bindparam("attempt"),
    FollowupRow.due_at.is_not(None),
)
ENDING = (
    update(FollowupRow)
    .where(*_IS_OURS)
    .values(
        leased_until=null(),
        due_at=bindparam("next_due_at"),
        done_at=bindparam("ended_at"),
        given_up_at=bindparam("gave_up_at"),
        last_reason=bindparam("reason"),
        attempts=bindparam("attempts_made"),
    )
    .returning(FollowupRow.id)
)
SAVING_PROGRESS = update(FollowupRow).where(*_IS_OURS).values(data=bindparam("progress"))

# The claim. `taken` are ids that were chosen already.
_NOW = bindparam("now", type_=UtcDateTime())
_TAKEN: BindParameter[Sequence[int]] = bindparam("taken", expanding=True)
_Other = aliased(FollowupRow)
# Another follow-up of the same task.
_IS_SIBLING = (_Other.task_sid == FollowupRow.task_sid, _Other.due_at.is_not(None), _Other.id != FollowupRow.id)
# A lease that ends later than any was taken by a clock that was far ahead: it counts as ended.
_LATEST = bindparam("latest", type_=UtcDateTime())
_IS_LEASED = and_(_Other.leased_until > _NOW, _Other.leased_until <= _LATEST)
# One of an unknown kind counts only while a newer version executes it: otherwise it would hold up all others.
_COMES_FIRST = and_(
    _Other.kind.in_(tuple(FollowupKind)),
    or_(_Other.due_at < FollowupRow.due_at, and_(_Other.due_at == FollowupRow.due_at, _Other.id < FollowupRow.id)),
)
_IS_DUE = (
    FollowupRow.due_at <= _NOW,
    IS_KNOWN,
    or_(FollowupRow.leased_until.is_(None), FollowupRow.leased_until <= _NOW, FollowupRow.leased_until > _LATEST),
)
_IS_CLAIMABLE = (*_IS_DUE, ~exists().where(*_IS_SIBLING, or_(_IS_LEASED, _COMES_FIRST)))
_IS_CLAIMABLE_BY_KEY = (
    FollowupRow.key == bindparam("existing_key"),
    *_IS_DUE,
    ~exists().where(*_IS_SIBLING, _IS_LEASED),
)


def _choice(condition: Sequence[ColumnElement[bool]], order: ColumnElement[Any]) -> Select[int]:
    """Return the SELECT of the ids of at most `number` rows. SKIP LOCKED is PostgreSQL's; SQLite has one writer."""
    chosen = select(FollowupRow.id).where(*condition, FollowupRow.id.not_in(_TAKEN)).order_by(order)
    return chosen.limit(bindparam("number")).with_for_update(skip_locked=True)


def _leasing(condition: Sequence[ColumnElement[bool]]) -> ReturningUpdate[int]:
    return (
        update(FollowupRow)
        .where(FollowupRow.id.in_(_TAKEN), *condition)
        .values(leased_until=bindparam("until", type_=UtcDateTime()), attempts=FollowupRow.attempts + 1)
        .returning(FollowupRow.id)
    )


DUE = _choice(_IS_CLAIMABLE, FollowupRow.due_at.asc())
NEWEST = _choice(_IS_CLAIMABLE, FollowupRow.due_at.desc())
DUE_WITH_KEY = _choice(_IS_CLAIMABLE_BY_KEY, FollowupRow.due_at.asc())
LEASING, LEASING_WITH_KEY = _leasing(_IS_CLAIMABLE), _leasing(_IS_CLAIMABLE_BY_KEY)
CLAIMED = (
    select(
        FollowupRow.id,
        FollowupRow.kind,
        FollowupRow.attempts,
        FollowupRow.entry_id,
        EntryRow.workspace_sid,
        EntryRow.task_sid,
        EntryRow.reservation_sid,
        EntryRow.worker_sid,
        EntryRow.worker_name,
        EntryRow.event_type,
        EntryRow.received_at,
        FollowupRow.data,
    )
    .join(EntryRow, EntryRow.id == FollowupRow.entry_id)
    .where(FollowupRow.id.in_(_TAKEN))
    .order_by(FollowupRow.due_at, FollowupRow.id)
)
