"""What the newest tasks were like: their forms, and how long their attributes are. Reads only."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select

from enrich.database.engine import Database
from enrich.domain.outcomes import EntryKind
from enrich.errors import NoRoom
from enrich.journal.tables import NO_EVENT, EntryRow

NEWEST = 500


@dataclass(frozen=True, slots=True)
class Written:
    """Of one task: how many characters its attributes have, whether our block had to shrink, or had no room at all."""

    characters: int
    is_trimmed: bool
    had_no_room: bool


def newest_forms(database: Database) -> list[str]:
    """The bodies of the newest assignment callbacks, newest first. Raises DatabaseError."""
    newest = select(EntryRow.raw_form).where(NO_EVENT, EntryRow.kind == EntryKind.ASSIGNMENT)
    return [row.raw_form for row in database.read(newest.order_by(EntryRow.id.desc()).limit(NEWEST))]


def newest_lengths(database: Database) -> list[Written]:
    """Of the newest tasks whose attributes were fetched. Raises DatabaseError."""
    text = func.coalesce(EntryRow.attributes_after, EntryRow.attributes_before)
    newest = (
        select(
            func.length(text).label("characters"),
            EntryRow.attributes_after.like('%"trimmed":true%').label("is_trimmed"),
            EntryRow.reason,
        )
        .where(NO_EVENT, EntryRow.attributes_before.is_not(None))
        .order_by(EntryRow.id.desc())
        .limit(NEWEST)
    )
    return [Written(row.characters, bool(row.is_trimmed), row.reason == NoRoom.reason) for row in database.read(newest)]


def kept_event(database: Database, event_sid: str) -> bool:
    """Whether this event is in the journal. Raises DatabaseError."""
    return bool(database.read(select(EntryRow.id).where(EntryRow.delivery_key == event_sid)))
