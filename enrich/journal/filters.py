"""What the feed can be narrowed down to, as conditions of the database, and what there is to choose from.

Each condition is answered from an index whose last column is the row's id, so that the newest come first by themselves.
A task is told by its newest entry, and it is that entry which has to fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, TextClause, and_, literal_column, select, text, true
from sqlalchemy.orm import aliased

from enrich.database.engine import Database
from enrich.domain.matches import MatchKind
from enrich.domain.outcomes import TROUBLE_OUTCOMES, Outcome
from enrich.journal.tables import NO_EVENT, UNUSUAL, EntryRow, FollowupRow

# Spelt out, not a parameter: only then is the partial index used.
_UNUSUAL: ColumnElement[bool] = literal_column(f"({UNUSUAL})")
# What was caught up came earlier than its id says: an outage of an hour is found all the same.
CAUGHT_UP_WITHIN = timedelta(hours=1)
MOST_CHOICES = 200


@dataclass(frozen=True, slots=True)
class Filters:
    """What a line must be. "" or None or (): anything.

    ending: of `ENDINGS`. since, until: when the entry was received. customer_ids, first_keys: those of a search, of
    which either suffices. searched: whether there was a search, so that none found means no lines.
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
    def is_indexed(self) -> bool:
        """Whether an index leads to the rows that fit, past the others."""
        few = self.ending not in ("", MatchKind.MATCHED)
        return few or self.searched or any((self.worker_sid, self.task_queue_sid, self.task_channel))

    @property
    def is_empty(self) -> bool:
        return self == Filters()


@dataclass(frozen=True, slots=True)
class Choice:
    """One value to filter by, and what it is called; "" where nobody has told."""

    value: str
    name: str


@dataclass(frozen=True, slots=True)
class Choices:
    """What there is to choose from, by name; at most `MOST_CHOICES` each."""

    workers: tuple[Choice, ...]
    queues: tuple[Choice, ...]
    channels: tuple[Choice, ...]


def _endings() -> dict[str, tuple[ColumnElement[bool], ...]]:
    row = EntryRow
    enriched = row.outcome == Outcome.ENRICHED
    known: dict[str, tuple[ColumnElement[bool], ...]] = {
        str(MatchKind.MATCHED): (and_(enriched, row.match == MatchKind.MATCHED),)
    }
    for match in (MatchKind.AMBIGUOUS, MatchKind.CLAIMED, MatchKind.NONE):
        known[str(match)] = (and_(_UNUSUAL, enriched, row.match == match),)
    known["trouble"] = (and_(_UNUSUAL, row.outcome.in_(TROUBLE_OUTCOMES)),)
    known["owed"] = _owed()
    for outcome in Outcome:
        if outcome is not Outcome.ENRICHED:
            known[str(outcome)] = (and_(_UNUSUAL, row.outcome == outcome),)
    # By its own index, which holds little else; the range of ids would lead elsewhere.
    open_ = aliased(EntryRow)
    known["in_progress"] = (row.id.in_(select(open_.id).where(open_.concluded_at.is_(None))),)
    return known


def _owed() -> tuple[ColumnElement[bool], ...]:
    """Of the task, or of the entry where it has none; few follow-ups have a due date. Two: an OR hides the indexes."""
    of_entry = aliased(EntryRow)
    owing = (
        select(of_entry.task_sid)
        .join(FollowupRow, FollowupRow.entry_id == of_entry.id)
        .where(FollowupRow.due_at.is_not(None), of_entry.task_sid.is_not(None))
    )
    alone = select(FollowupRow.entry_id).where(FollowupRow.due_at.is_not(None))
    return (EntryRow.task_sid.in_(owing), and_(EntryRow.task_sid.is_(None), EntryRow.id.in_(alone)))


# What the page can ask for; the conditions of each, of which a row must fulfil one.
ENDINGS = _endings()


def alternatives(filters: Filters) -> Sequence[ColumnElement[bool]]:
    """The conditions of which a row must fulfil one; each can be looked up by itself."""
    row = EntryRow
    always = [NO_EVENT]
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
    ended: Sequence[ColumnElement[bool]] = ENDINGS[filters.ending] if filters.ending else (true(),)
    if not filters.searched:
        return tuple(and_(*always, ending) for ending in ended)
    searched: list[ColumnElement[bool]] = []
    if filters.customer_ids:
        searched.append(row.customer_id.in_(filters.customer_ids))
    if filters.first_keys:
        searched.append(row.first_key.in_(filters.first_keys))
    if filters.task_sid or filters.reservation_sid:
        searched.append(true())
    return tuple(and_(*always, ending, condition) for condition in searched for ending in ended)


def bounds(database: Database, filters: Filters) -> tuple[int, int]:
    """Between which ids the rows of this time lie: from the first on, and before the second. Raises DatabaseError."""
    row = EntryRow
    low, high = 0, 2**63 - 1
    if filters.since:
        first = select(row.id).where(NO_EVENT, row.received_at >= filters.since - CAUGHT_UP_WITHIN)
        rows = database.read(first.order_by(row.received_at).limit(1))
        low = rows[0].id if rows else high
    if filters.until:
        last = select(row.id).where(NO_EVENT, row.received_at < filters.until + CAUGHT_UP_WITHIN)
        rows = database.read(last.order_by(row.received_at.desc()).limit(1))
        high = rows[0].id + 1 if rows else 0
    return low, high


def choices(database: Database) -> Choices:
    """The workers, queues and channels that the journal knows. Raises DatabaseError."""
    known = [
        tuple(Choice(row.value, row.name or "") for row in database.read(statement))
        for statement in (_WORKERS, _QUEUES, _CHANNELS)
    ]
    by_name = (tuple(sorted(each, key=lambda one: (one.name == "", one.name.lower(), one.value))) for each in known)
    return Choices(*by_name)


def _values(column: str, name: str) -> TextClause:
    """Every value of this column with its name.

    Goes from one value of the index to the next higher, so that it takes as many steps as there are values, however
    many rows they stand in; neither database does so by itself for a DISTINCT.
    """
    return text(
        f"""
        WITH RECURSIVE known(value, place) AS (
            SELECT min({column}), 1 FROM entries WHERE kind <> 'event'
            UNION ALL
            SELECT (SELECT min(higher.{column}) FROM entries AS higher
                    WHERE higher.kind <> 'event' AND higher.{column} > known.value), known.place + 1
            FROM known WHERE known.value IS NOT NULL AND known.place < {MOST_CHOICES}
        )
        SELECT known.value AS value, {name} AS name FROM known WHERE known.value <> ''
        """  # noqa: S608 - put together from the constants below
    )


_NEWEST = """(SELECT newest.{told} FROM entries AS newest
              WHERE newest.kind <> 'event' AND newest.{column} = known.value ORDER BY newest.id DESC LIMIT 1)"""
_WORKERS = _values("worker_sid", _NEWEST.format(told="worker_name", column="worker_sid"))
# Callbacks do not tell a queue's name; an event of the same task does.
_QUEUES = _values(
    "task_queue_sid",
    f"""(SELECT told.task_queue_name FROM entries AS told
         WHERE told.task_sid = {_NEWEST.format(told="task_sid", column="task_queue_sid")}
         AND told.task_queue_name <> '' ORDER BY told.id DESC LIMIT 1)""",  # noqa: S608 - likewise
)
_CHANNELS = _values("task_channel", "known.value")
