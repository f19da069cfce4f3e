"""Facts for the card of one task: the last look-up, and whether the task has ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from enrich.database.engine import Database
from enrich.domain.outcomes import TASK_END_EVENTS
from enrich.journal.contacts import TASK_LIFETIME
from enrich.journal.records import read_finding
from enrich.journal.tables import NO_EVENT, EntryRow


@dataclass(frozen=True, slots=True)
class CardFacts:
    """The last look-up of a task, and its end.

    match: as `matches.MatchKind`; None without a look-up. candidates: their names.
    over_at: when an event ended the task, or a day after its last entry; None while it is open.
    """

    match: str | None
    reason: str
    customer_id: str | None
    candidates: tuple[str, ...]
    over_at: datetime | None


def card_facts(database: Database, task_sid: str, now: datetime) -> CardFacts | None:
    """Return the facts about this task, None if the journal has no entry of it. Raises DatabaseError."""
    row = EntryRow
    of_task = row.task_sid == task_sid
    seen_at = database.read(select(func.max(row.received_at).label("at")).where(of_task, NO_EVENT))[0].at
    over_at = database.read(
        select(func.min(row.received_at).label("at")).where(
            of_task, row.event_type.in_(TASK_END_EVENTS), row.kind == "event"
        )
    )[0].at
    if seen_at is None and over_at is None:
        return None
    if over_at is None and seen_at + TASK_LIFETIME < now:
        over_at = seen_at + TASK_LIFETIME
    last_look_up = (
        select(row.match, row.reason, row.customer_id, row.finding)
        .where(of_task, NO_EVENT, row.match.is_not(None))
        .order_by(row.id.desc())
        .limit(1)
    )
    for entry in database.read(last_look_up):
        names = tuple(candidate.name for candidate in read_finding(entry.finding).candidates)
        return CardFacts(entry.match, entry.reason, entry.customer_id, names, over_at)
    return CardFacts(None, "", None, (), over_at)
