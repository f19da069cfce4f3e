"""What the journal tells the card of one task: who was found last, and whether the task is still under way."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from enrich.database.engine import Database
from enrich.domain.outcomes import TASK_END_EVENTS
from enrich.journal.contacts import OPEN_FOR
from enrich.journal.tables import NO_EVENT, EntryRow


@dataclass(frozen=True, slots=True)
class CardFacts:
    """match: as `vocabulary.MatchKind`; None when nobody has looked yet. candidates: their names, of an ambiguous one.

    over_at: when TaskRouter told us that the task is over, or when it must be for lack of any news; None: it is not.
    """

    match: str | None
    reason: str
    customer_id: str | None
    candidates: tuple[str, ...]
    over_at: datetime | None


def card_facts(database: Database, task_sid: str, now: datetime) -> CardFacts | None:
    """What is known of this task; None where the journal does not know it. Raises DatabaseError."""
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
    if over_at is None and seen_at + OPEN_FOR < now:
        over_at = seen_at + OPEN_FOR
    looked = (
        select(row.match, row.reason, row.customer_id, row.finding)
        .where(of_task, NO_EVENT, row.match.is_not(None))
        .order_by(row.id.desc())
        .limit(1)
    )
    for found in database.read(looked):
        names = tuple(str(each.get("name", "")) for each in (found.finding or {}).get("candidates") or ())
        return CardFacts(found.match, found.reason, found.customer_id, names, over_at)
    return CardFacts(None, "", None, (), over_at)
