"""Customers, tasks and follow-ups as a token may see them, page by page.

The records are those of the pages, and so are the masks. Every list goes on behind a key that rows keep: the id of a
customer or follow-up, and of a task that of its first entry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

from enrich import masked_records
from enrich.api.cursors import BadCursor, Query, cursor_of, key_of
from enrich.api.problems import FieldError, invalid
from enrich.api.reading_models import (
    Answer,
    Customer,
    CustomerCase,
    CustomerIdentifier,
    CustomerLine,
    CustomerPage,
    EntriesQuery,
    EntryState,
    FollowupLine,
    FollowupPage,
    FollowupsQuery,
    PageQuery,
    Task,
    TaskEntry,
    TaskLine,
    TaskPage,
    TasksQuery,
)
from enrich.customers import records, search
from enrich.database.types import MAX_ROW_ID
from enrich.domain.sids import is_sid
from enrich.journal import contacts, feed, listed_followups, timeline
from enrich.journal.feed import ArrivedTask
from enrich.journal.records import Summary
from enrich.journal.timeline import FullEntry, TimelineFollowup
from enrich.services import Services

# Read with one query, which takes some milliseconds: callbacks do not wait for a page. An entry has up to 16 kB.
ROWS_AT_ONCE, ENTRIES_AT_ONCE = 25, 5

Row = TypeVar("Row")
AnAnswer = TypeVar("AnAnswer", bound=Answer)
APlace = TypeVar("APlace", int, str)


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads for one request. Every method raises DatabaseError.

    is_masked: as a viewer sees it; else as an editor. pause: called often, to let callbacks run.
    """

    services: Services
    is_masked: bool
    now: datetime
    pause: Callable[[], None]

    def customers(self, query: PageQuery) -> CustomerPage:
        """Return a page of customers. Raises Problem for a wrong cursor."""
        of: Query = ("customers",)
        after = _place(of, query.cursor, "")
        shown: list[CustomerLine] = []
        while len(shown) < query.limit:
            at_most = min(ROWS_AT_ONCE, query.limit - len(shown))
            found = search.customers_after(self.services.database, after, at_most=at_most)
            shown += (CustomerLine.model_validate(self._customer(one)) for one in self._in_turns(found))
            if len(found) < at_most:
                return CustomerPage(customers=shown, next=None)
            after = found[-1].id
        following = search.customers_after(self.services.database, after, at_most=1)
        return CustomerPage(customers=shown, next=cursor_of(of, after) if following else None)

    def customer(self, customer_id: str) -> Customer | None:
        """Return a customer in full, or the one whom they are part of; None if there is none."""
        database = self.services.database
        found = search.customers(database, [customer_id])
        if found and found[0].merged_into:
            found = search.customers(database, [found[0].merged_into])
        if not found:
            return None
        line = found[0]
        with database.reading() as session:
            record = records.read(session, [line.id])[line.id]
            merged = records.merged_into(session, line.id)
        if record is None:  # deleted in between
            return None
        finished = self.services.adapters.store.interactions_of(line.id)
        if self.is_masked:
            record = masked_records.record(record)
            finished = tuple(masked_records.interaction(one) for one in finished)
        return _answer(
            Customer,
            self._customer(line),
            requested_id=customer_id,
            merged=list(merged),
            identifiers=_named(CustomerIdentifier, record["identifiers"]),
            notes=record["notes"],
            cases=_named(CustomerCase, record["cases"]),
            finished_tasks=list(finished),
            tasks=list(contacts.history(database, (line.id, *merged))),
        )

    def tasks(self, query: TasksQuery) -> TaskPage:
        """Return a page of tasks. Raises Problem for a wrong cursor."""
        of: Query = ("tasks", *(one.isoformat() if one else None for one in (query.since, query.until)))
        before = _place(of, query.cursor, 0)
        database = self.services.database
        found = feed.arrived_ids(
            database, since=query.since, until=query.until, limit=query.limit, before=before or None
        )
        self.pause()
        shown = [
            self._task_line(one)
            for at in range(0, len(found.entry_ids), ROWS_AT_ONCE)
            for one in self._in_turns(feed.arrived_tasks(database, found.entry_ids[at : at + ROWS_AT_ONCE]))
        ]
        return TaskPage(tasks=shown, next=cursor_of(of, found.continue_before) if found.continue_before else None)

    def task(self, task_sid: str, query: EntriesQuery) -> Task | None:
        """Return a task with a page of its entries; None if there is none. Raises Problem for a wrong cursor."""
        database = self.services.database
        found = feed.arrived_task(database, task_sid) if is_sid(task_sid) else None
        if found is None:
            return None
        of: Query = ("task", task_sid)
        after = _place(of, query.cursor, 0)
        entries: list[TaskEntry] = []
        while len(entries) <= query.limit:
            stored = timeline.full_entries(database, task_sid, after=after, at_most=ENTRIES_AT_ONCE)
            entries += (self._entry(one) for one in self._in_turns(stored))
            if len(stored) < ENTRIES_AT_ONCE:
                break
            after = stored[-1].id
        shown = entries[: query.limit]
        found = self._task(found)
        return _answer(
            Task,
            found.newest,
            **self._more_of(found),
            entries=shown,
            followups=[_followup(one, task_sid) for one in timeline.task_followups(database, task_sid)],
            next=cursor_of(of, shown[-1].id) if len(entries) > len(shown) else None,
        )

    def followups(self, query: FollowupsQuery) -> FollowupPage:
        """Return a page of follow-ups. Raises Problem for a wrong cursor."""
        of: Query = ("followups", query.state)
        before = _place(of, query.cursor, MAX_ROW_ID)
        found = listed_followups.followups_before(
            self.services.database, before, state=query.state, at_most=query.limit + 1
        )
        shown = found[: query.limit]
        return FollowupPage(
            followups=[_followup(one, one.task_sid) for one in self._in_turns(shown)],
            next=cursor_of(of, shown[-1].id) if len(found) > len(shown) else None,
        )

    def _in_turns(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Yield the rows, and pause in between."""
        for row in rows:
            yield row
            self.pause()

    def _customer(self, found: search.FoundCustomer) -> search.FoundCustomer:
        return masked_records.customer(found) if self.is_masked else found

    def _task_line(self, found: ArrivedTask) -> TaskLine:
        task = self._task(found)
        return _answer(TaskLine, task.newest, **self._more_of(task))

    def _task(self, found: ArrivedTask) -> ArrivedTask:
        return replace(found, newest=masked_records.line(found.newest)) if self.is_masked else found

    def _more_of(self, task: ArrivedTask) -> dict[str, Any]:
        """Return the fields of a task that its newest entry does not have by these names."""
        return {"arrived_at": task.arrived_at, "entry_id": task.newest.id, "state": self._state(task.newest)}

    def _entry(self, entry: FullEntry) -> TaskEntry:
        state = self._state(entry)
        if self.is_masked:
            entry = masked_records.full_entry(entry, self.services.settings.attribute)
        return _answer(TaskEntry, entry, state=state)

    def _state(self, entry: Summary) -> EntryState:
        if entry.concluded_at is not None:
            return EntryState.CONCLUDED
        return EntryState.INTERRUPTED if entry.is_broken_off(self.now) else EntryState.IN_PROGRESS


def _place(of: Query, cursor: str | None, beginning: APlace) -> APlace:
    """Return the key behind which the page begins. beginning: of the list. Raises Problem for a wrong cursor."""
    if cursor is None:
        return beginning
    try:
        key = key_of(of, cursor, type(beginning))
    except BadCursor:
        detail = "This is no cursor of this list with these filters."
        raise invalid([FieldError(field="cursor", detail=detail)]) from None
    return key


def _answer(model: type[AnAnswer], record: object, **more: Any) -> AnAnswer:
    """Return the answer with the record's fields of the same names. more: the other fields."""
    fields = {name: getattr(record, name) for name in model.model_fields if name not in more}
    return model.model_validate(fields | more)


def _named(model: type[AnAnswer], rows: Iterable[Iterable[Any]]) -> list[AnAnswer]:
    """Return rows of a customer's record as answers, whose fields are in the same order."""
    return [model.model_validate(dict(zip(model.model_fields, row, strict=True))) for row in rows]


def _followup(followup: TimelineFollowup, task_sid: str | None) -> FollowupLine:
    return _answer(FollowupLine, followup, state=listed_followups.state_of(followup), task_sid=task_sid)
