"""The feed's filters as SQL conditions, and the values to choose from.

Each condition uses an index whose last column is the entry's id, so that the newest come first without sorting. The
newest entry of a task has to match; for an incident (a failure, a late enrichment) any of its entries, so that it is
still found after its repair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, TextClause, and_, literal_column, select, text, true
from sqlalchemy.orm import aliased

from enrich.database.engine import Database
from enrich.database.types import MAX_ROW_ID
from enrich.domain.matches import MatchKind
from enrich.domain.outcomes import TROUBLE_OUTCOMES, EntryKind, Outcome
from enrich.journal.tables import EVENT, NO_EVENT, UNUSUAL, EntryRow, FollowupRow

# A literal, not a parameter, so that the partial index is used.
_UNUSUAL: ColumnElement[bool] = literal_column(f"({UNUSUAL})")
# Entries that were caught up have later ids than their time of receipt; this covers an outage of an hour.
MAX_CATCH_UP_DELAY = timedelta(hours=1)
MAX_CHOICES = 200
# The ending of tasks that were enriched after their callback.
LATE = "late"
# Endings that a later entry of the task repairs.
INCIDENTS = frozenset({"trouble", LATE, *(str(outcome) for outcome in Outcome if outcome is not Outcome.ENRICHED)})


@dataclass(frozen=True, slots=True)
class Filters:
    """Conditions of a feed line. "", None or () means no condition.

    ending: one of `ENDINGS`. since, until: limits of the time of receipt. customer_ids, first_keys: results of a
    search; either suffices. searched: there was a search, so that without results no line matches.
    """

    ending: str = ""
    worker_sid: str = ""
    task_queue_sid: str = ""
    task_channel: str = ""
    since: datetime | None = None
    until: datetime | None = None
    task_sid: str = ""
    reservation_sid: str = ""
    customer_ids: tuple[str, ...] = ()
    first_keys: tuple[str, ...] = ()
    searched: bool = False

    @property
    def is_incident(self) -> bool:
        """Return whether any entry of the task may match, not only its newest."""
        return self.ending in INCIDENTS

    @property
    def is_indexed(self) -> bool:
        """Return whether an index leads to the matching rows."""
        is_rare_ending = self.ending not in ("", MatchKind.MATCHED, LATE)
        return is_rare_ending or self.searched or any((self.worker_sid, self.task_queue_sid, self.task_channel))

    @property
    def is_empty(self) -> bool:
        """Return whether every line matches."""
        return self == Filters()


@dataclass(frozen=True, slots=True)
class Choice:
    """One value to filter by, and its name; "" if unknown."""

    value: str
    name: str


@dataclass(frozen=True, slots=True)
class Choices:
    """The values to choose from, sorted by name; at most `MAX_CHOICES` each."""

    workers: tuple[Choice, ...]
    queues: tuple[Choice, ...]
    channels: tuple[Choice, ...]


def _endings(row: Any) -> dict[str, tuple[ColumnElement[bool], ...]]:
    """Return the conditions of each ending. row: EntryRow or an alias of it."""
    enriched = row.outcome == Outcome.ENRICHED
    endings: dict[str, tuple[ColumnElement[bool], ...]] = {
        str(MatchKind.MATCHED): (and_(enriched, row.match == MatchKind.MATCHED),)
    }
    for match in (MatchKind.AMBIGUOUS, MatchKind.CLAIMED, MatchKind.NONE):
        endings[str(match)] = (and_(_UNUSUAL, enriched, row.match == match),)
    endings["trouble"] = (and_(_UNUSUAL, row.outcome.in_(TROUBLE_OUTCOMES)),)
    endings[LATE] = (and_(row.kind == EntryKind.LATE, enriched),)
    endings["owed"] = _with_open_followup(row)
    for outcome in Outcome:
        if outcome is not Outcome.ENRICHED:
            endings[str(outcome)] = (and_(_UNUSUAL, row.outcome == outcome),)
    # A subquery, so that its small index is used instead of the range of ids.
    open_ = aliased(EntryRow)
    endings["in_progress"] = (row.id.in_(select(open_.id).where(open_.concluded_at.is_(None))),)
    return endings


def _with_open_followup(row: Any) -> tuple[ColumnElement[bool], ...]:
    """Return two conditions: an open follow-up of the task, or of an entry without one.

    Two queries, because an OR would keep the indexes from being used. Few follow-ups have a due date.
    """
    of_entry = aliased(EntryRow)
    of_task = (
        select(of_entry.task_sid)
        .join(FollowupRow, FollowupRow.entry_id == of_entry.id)
        .where(FollowupRow.due_at.is_not(None), of_entry.task_sid.is_not(None))
    )
    of_lone_entry = select(FollowupRow.entry_id).where(FollowupRow.due_at.is_not(None))
    return (row.task_sid.in_(of_task), and_(row.task_sid.is_(None), row.id.in_(of_lone_entry)))


# The endings to filter by.
ENDINGS = tuple(_endings(EntryRow))


def alternatives(filters: Filters, row: Any = EntryRow) -> Sequence[ColumnElement[bool]]:
    """Return conditions of which a row must fulfil one. Each is to be queried by itself.

    row: EntryRow or an alias of it.
    """
    always = [row.kind != EVENT]
    for column, value in (
        (row.worker_sid, filters.worker_sid),
        (row.task_queue_sid, filters.task_queue_sid),
        (row.task_channel, filters.task_channel),
        (row.task_sid, filters.task_sid),
        (row.delivery_key, filters.reservation_sid),
    ):
        if value:
            always.append(column == value)
    if filters.since:
        always.append(row.received_at >= filters.since)
    if filters.until:
        always.append(row.received_at < filters.until)
    endings: Sequence[ColumnElement[bool]] = _endings(row)[filters.ending] if filters.ending else (true(),)
    if not filters.searched:
        return tuple(and_(*always, ending) for ending in endings)
    searches: list[ColumnElement[bool]] = []
    if filters.customer_ids:
        searches.append(row.customer_id.in_(filters.customer_ids))
    if filters.first_keys:
        searches.append(row.first_key.in_(filters.first_keys))
    if filters.task_sid or filters.reservation_sid:
        searches.append(true())
    return tuple(and_(*always, ending, condition) for condition in searches for ending in endings)


def bounds(database: Database, filters: Filters) -> tuple[int, int]:
    """Return the range of ids for this period: the first id, and the one after the last. Raises DatabaseError."""
    row = EntryRow
    low, high = 0, MAX_ROW_ID
    if filters.since:
        first = select(row.id).where(NO_EVENT, row.received_at >= filters.since - MAX_CATCH_UP_DELAY)
        rows = database.read(first.order_by(row.received_at).limit(1))
        low = rows[0].id if rows else high
    if filters.until:
        last = select(row.id).where(NO_EVENT, row.received_at < filters.until + MAX_CATCH_UP_DELAY)
        rows = database.read(last.order_by(row.received_at.desc()).limit(1))
        high = rows[0].id + 1 if rows else 0
    return low, high


def choices(database: Database) -> Choices:
    """Return the workers, queues and channels in the journal. Raises DatabaseError."""
    choices_by_kind = [
        tuple(Choice(row.value, row.name or "") for row in database.read(statement))
        for statement in (_WORKERS, _QUEUES, _CHANNELS)
    ]
    workers, queues, channels = (
        tuple(sorted(choices, key=lambda choice: (choice.name == "", choice.name.lower(), choice.value)))
        for choices in choices_by_kind
    )
    return Choices(workers, queues, channels)


def _values(column: str, name: str) -> TextClause:
    """Return the query for the distinct values of this column, with their names.

    Steps from each value in the index to the next higher one, so that the cost depends on the number of values, not of
    rows. Neither database does so for a DISTINCT.
    """
    return text(
        f"""
        WITH RECURSIVE known(value, place) AS (
            SELECT min({column}), 1 FROM entries WHERE kind <> 'event'
            UNION ALL
            SELECT (SELECT min(higher.{column}) FROM entries AS higher
                    WHERE higher.kind <> 'event' AND higher.{column} > known.value), known.place + 1
            FROM known WHERE known.value IS NOT NULL AND known.place < {MAX_CHOICES}
        )
        SELECT known.value AS value, {name} AS name FROM known WHERE known.value <> ''
        """  # noqa: S608 - built from the constants below
    )


_NEWEST = """(SELECT newest.{field} FROM entries AS newest
              WHERE newest.kind <> 'event' AND newest.{column} = known.value ORDER BY newest.id DESC LIMIT 1)"""
_WORKERS = _values("worker_sid", _NEWEST.format(field="worker_name", column="worker_sid"))
# Callbacks do not carry a queue's name; an event of the same task does.
_QUEUES = _values(
    "task_queue_sid",
    f"""(SELECT named.task_queue_name FROM entries AS named
         WHERE named.task_sid = {_NEWEST.format(field="task_sid", column="task_queue_sid")}
         AND named.task_queue_name <> '' ORDER BY named.id DESC LIMIT 1)""",  # noqa: S608 - likewise
)
_CHANNELS = _values("task_channel", "known.value")
