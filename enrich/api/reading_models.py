"""Queries and answers of the reading operations: what validates and makes them is what describes them."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from enrich.api.cursors import MAX_CURSOR_LENGTH
from enrich.journal.listed_followups import FollowupState

MAX_LIMIT, DEFAULT_LIMIT = 500, 100
# An entry has up to 16 kB of texts, and masking one takes a millisecond.
MAX_ENTRIES, DEFAULT_ENTRIES = 100, 50
# Beyond these years there is no room for the hours that a search adds on both sides.
_FIRST_YEAR, _LAST_YEAR = 1970, 9000


def _storable(value: object) -> object:
    """Return a text without lone surrogates, which JSON in the journal may hold and no UTF-8 can."""
    if isinstance(value, str) and not value.isascii():
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


def _storable_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(_storable(name)): _storable_json(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_storable_json(member) for member in value]
    return _storable(value)


def _time(written: object) -> datetime | None:
    if written is None:
        return None
    try:
        time = datetime.fromisoformat(str(written))
        time = time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        time = None
    if time is None or not _FIRST_YEAR <= time.year <= _LAST_YEAR:
        raise ValueError("give an ISO 8601 date, or date and time; + is written %2B")
    return time


Text = Annotated[str, BeforeValidator(_storable)]
Json = Annotated[dict[str, Any], BeforeValidator(_storable_json)]
Time = Annotated[datetime | None, BeforeValidator(_time)]
Cursor = Annotated[str | None, Field(max_length=MAX_CURSOR_LENGTH)]


# --- queries


class NoQuery(BaseModel):
    """A query without parameters."""

    model_config = ConfigDict(extra="forbid")


class PageQuery(NoQuery):
    """A page of a list."""

    limit: int = Field(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="Rows of the page, at most.")
    cursor: Cursor = Field(None, description="`next` of the page before; without it, the list begins.")


class TasksQuery(PageQuery):
    """A page of the tasks that arrived in a period."""

    since: Time = Field(
        None,
        description="Tasks that arrived at this time or later: ISO 8601, in UTC unless it has an offset; a date means "
        "its midnight.",
        examples=["2026-11-28T00:00:00Z"],
    )
    until: Time = Field(None, description="Tasks that arrived before this time.", examples=["2026-11-29T00:00:00Z"])


class FollowupsQuery(PageQuery):
    """A page of the follow-ups of a state."""

    state: FollowupState | None = Field(None, description="Only those of this state; without it, all.")


class EntriesQuery(NoQuery):
    """A page of the entries of one task."""

    limit: int = Field(DEFAULT_ENTRIES, ge=1, le=MAX_ENTRIES, description="Entries of the page, at most.")
    cursor: Cursor = Field(None, description="`next` of the page before; without it, the first entries.")


# --- answers


class Answer(BaseModel):
    """Made of records by their names."""

    model_config = ConfigDict(from_attributes=True)

    def personal(self) -> tuple[str | None, int]:
        """Return what the record of reads says of it: the customer or task, None for a list, and a number.

        The number is that of the customers, tasks or entries; 0 if it holds no personal data.
        """
        return None, 0


class Page(Answer):
    """A page of a list."""

    next: str | None = Field(
        description="`cursor` of the page after this one, which the header `Link` has as an address; null on the last. "
        "Go on while it is there: a page may have fewer rows than `limit`, even none."
    )


class CustomerLine(Answer):
    """One customer. Texts are empty where nothing is known."""

    id: Text
    name: Text
    company: Text
    tier: Text
    language: Text
    owner: Text
    phone: Text = Field(description="The first one, as written.")
    email: Text = Field(description="The first one, as written.")
    merged_into: Text | None = Field(description="Id of the customer that this one is part of, who has all the data.")
    is_gone: bool = Field(description="No source has this customer any more, or staff deleted them.")
    updated_at: datetime


class CustomerPage(Page):
    """Customers in the order of their ids, merged ones and those that are gone included."""

    customers: list[CustomerLine]

    def personal(self) -> tuple[str | None, int]:
        return None, len(self.customers)


class CustomerIdentifier(Answer):
    """One identifier."""

    kind: Text
    value: Text = Field(description="In the normal form by which it is looked up.")
    as_written: Text
    source: Text


class CustomerCase(Answer):
    """One case."""

    id: Text
    subject: Text
    status: Text
    opened_on: Text = Field(description="An ISO date, or empty.")


class FinishedTask(Answer):
    """One finished task of a customer."""

    task_sid: Text
    channel: Text
    worker_sid: Text
    worker_name: Text
    began_at: datetime | None = Field(description="When a worker accepted it, if that is known.")
    ended_at: datetime
    outcome: Text
    reason: Text


class CustomerTask(Answer):
    """The newest entry of one task of a customer."""

    task_sid: Text | None
    kind: Text
    received_at: datetime
    outcome: Text | None
    match: Text | None
    by: Text
    trust: Text
    worker_sid: Text
    worker_name: Text


class Customer(CustomerLine):
    """One customer in full."""

    requested_id: Text = Field(description="The id that was asked for: another one if that customer was merged.")
    merged: list[Text] = Field(description="Ids of the customers merged into this one.")
    identifiers: list[CustomerIdentifier]
    notes: list[Text] = Field(description="The newest first.")
    cases: list[CustomerCase]
    finished_tasks: list[FinishedTask] = Field(description="The last 20.")
    tasks: list[CustomerTask] = Field(description="The last 30 in the journal.")

    def personal(self) -> tuple[str | None, int]:
        return self.id, 1


class EntryState(StrEnum):
    """The states of an entry."""

    IN_PROGRESS = "in_progress"
    CONCLUDED = "concluded"
    INTERRUPTED = "interrupted"


class Key(Answer):
    """One look-up key of a task."""

    kind: Text
    value: Text
    trust: Text
    attribute: Text
    found: int | None = Field(description="Number of customers with this key, if known.")


class Candidate(Answer):
    """One candidate of a look-up."""

    customer_id: Text
    name: Text


class Finding(Answer):
    """The look-up of a task's customer."""

    keys: list[Key]
    withheld: list[Text] = Field(description="Attributes in which the caller withheld the number.")
    unknown: list[Text] = Field(description="Attributes with a value of no known form.")
    candidates: list[Candidate]


class EntrySummary(Answer):
    """The state, the outcome and the match of an entry."""

    kind: Text
    received_at: datetime
    concluded_at: datetime | None
    state: EntryState = Field(description="`interrupted`: its process died before it was concluded.")
    outcome: Text | None = Field(description="As the pages name it; null while in progress.")
    reason: Text
    match: Text | None = Field(description="`matched`, `ambiguous`, `claimed`, `none`; null without a look-up.")
    by: Text = Field(description="Kind of the deciding key.")
    trust: Text
    customer_id: Text | None
    customer_name: Text
    worker_sid: Text
    worker_name: Text
    elapsed_ms: float | None
    finding: Finding


class TaskLine(EntrySummary):
    """One task, with its newest entry that is not an event."""

    task_sid: Text
    arrived_at: datetime = Field(description="Time of its first entry that is not an event.")
    entry_id: int = Field(description="Id of the newest entry.")
    has_open_followup: bool = Field(description="An enrichment or hand-over of it is still to be done.")


class TaskPage(Page):
    """Tasks, the last to arrive first."""

    tasks: list[TaskLine]

    def personal(self) -> tuple[str | None, int]:
        return None, len(self.tasks)


class EntryStep(Answer):
    """One step of an entry."""

    name: Text
    elapsed_ms: float
    failed: Text = Field(description="The reason if it failed.")


class TaskEntry(EntrySummary):
    """One entry of a task in full."""

    id: int
    reservation_sid: Text | None
    event_type: Text
    repeats: int = Field(description="How often it was delivered again.")
    attributes_before: Text | None = Field(description="The task's attributes as they were read, as JSON in a text.")
    attributes_after: Text | None = Field(description="The task's attributes as they were written; null: not written.")
    answer: Text | None = Field(description="The instruction that TaskRouter got, as JSON in a text.")
    decision: Json | None = Field(description="The part of the policy that gave the answer.")
    steps: list[EntryStep]


class FollowupLine(Answer):
    """One follow-up."""

    id: int
    kind: Text
    state: FollowupState
    task_sid: Text | None
    entry_id: int
    created_at: datetime
    due_at: datetime | None = Field(description="Time of the next attempt of one that is pending.")
    attempts: int
    last_reason: Text
    done_at: datetime | None
    given_up_at: datetime | None


class FollowupPage(Page):
    """Follow-ups, the newest first."""

    followups: list[FollowupLine]


class Task(TaskLine, Page):
    """One task with a page of its entries, in the order of their ids, and its follow-ups."""

    entries: list[TaskEntry]
    followups: list[FollowupLine] = Field(description="The last 50; of more, open ones are kept.")

    def personal(self) -> tuple[str | None, int]:
        return self.task_sid, len(self.entries)
