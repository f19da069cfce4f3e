"""Samples of the newest tasks for the doctor: forms, length of attributes, overwritten blocks. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from enrich.database.engine import Database
from enrich.domain.outcomes import ActivityType, EntryKind, FollowupKind
from enrich.errors import NoRoom
from enrich.journal.tables import NO_EVENT, EntryRow, FollowupRow

SAMPLE_SIZE = 500


@dataclass(frozen=True, slots=True)
class AttributesSample:
    """The length of one task's attributes, and whether the block was trimmed or had no room at all."""

    characters: int
    is_trimmed: bool
    had_no_room: bool


@dataclass(frozen=True, slots=True)
class RestorationCounts:
    """Numbers of blocks put back, of blocks left overwritten, and of tasks in all."""

    restored: int
    left: int
    tasks: int


def newest_forms(database: Database) -> list[str]:
    """Return the bodies of the newest assignment callbacks, newest first. Raises DatabaseError."""
    newest = select(EntryRow.raw_form).where(NO_EVENT, EntryRow.kind == EntryKind.ASSIGNMENT)
    return [row.raw_form for row in database.read(newest.order_by(EntryRow.id.desc()).limit(SAMPLE_SIZE))]


def newest_attributes(database: Database) -> list[AttributesSample]:
    """Return samples of the newest entries whose attributes were fetched. Raises DatabaseError."""
    text = func.coalesce(EntryRow.attributes_after, EntryRow.attributes_before)
    newest = (
        select(
            func.length(text).label("characters"),
            EntryRow.attributes_after.like('%"trimmed":true%').label("is_trimmed"),
            EntryRow.reason,
        )
        .where(NO_EVENT, EntryRow.attributes_before.is_not(None))
        .order_by(EntryRow.id.desc())
        .limit(SAMPLE_SIZE)
    )
    return [
        AttributesSample(row.characters, bool(row.is_trimmed), row.reason == NoRoom.reason)
        for row in database.read(newest)
    ]


def restorations(database: Database, since: datetime) -> RestorationCounts:
    """Return how often blocks were overwritten since then. Raises DatabaseError."""
    # The keys of these follow-ups are next to each other in the index of keys, and there are few.
    prefix = f"{FollowupKind.RESTORE}:WT"
    tasks = (
        select(EntryRow.task_sid)
        .join(FollowupRow, FollowupRow.entry_id == EntryRow.id)
        .where(FollowupRow.key >= prefix, FollowupRow.key < f"{prefix}g", FollowupRow.kind == FollowupKind.RESTORE)
    )
    rows = database.read(
        select(EntryRow.task_sid, EntryRow.event_type).where(
            EntryRow.task_sid.in_(tasks),
            EntryRow.kind == EntryKind.EVENT,
            EntryRow.event_type.in_((ActivityType.RESTORED, ActivityType.OVERWRITTEN)),
            EntryRow.received_at > since,
        )
    )
    return RestorationCounts(
        restored=sum(row.event_type == ActivityType.RESTORED for row in rows),
        left=sum(row.event_type == ActivityType.OVERWRITTEN for row in rows),
        tasks=len({row.task_sid for row in rows}),
    )


def has_event(database: Database, event_sid: str) -> bool:
    """Return whether this event is in the journal. Raises DatabaseError."""
    return bool(database.read(select(EntryRow.id).where(EntryRow.delivery_key == event_sid)))
