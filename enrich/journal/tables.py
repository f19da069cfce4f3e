"""What happened, and what is still owed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    ColumnElement,
    Float,
    ForeignKey,
    Index,
    String,
    Text,
    literal_column,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from enrich.database.types import AnyText, Base, RowId, Sid, UtcDateTime
from enrich.domain.lengths import (
    MAX_CHANNEL_LENGTH,
    MAX_CUSTOMER_ID_LENGTH,
    MAX_CUSTOMER_NAME_LENGTH,
    MAX_EVENT_TYPE_LENGTH,
    MAX_IDENTIFIER_KIND_LENGTH,
    MAX_IDENTIFIER_LENGTH,
    MAX_QUEUE_NAME_LENGTH,
    MAX_TASK_OUTCOME_LENGTH,
    MAX_WORKER_NAME_LENGTH,
)

# An entry and its rollup have the same columns.
_KIND, _OUTCOME, _MATCH, _REASON = String(16), String(20), String(12), String(40)

UNUSUAL = """kind <> 'event' AND NOT (outcome = 'enriched' AND "match" = 'matched')"""


class EntryRow(Base):
    """One thing that came in or was done, from its receipt to its conclusion. The journal is the truth.

    The first columns are written when it arrives, before anything is done about it; those from `concluded_at` on are
    written once, when it is over. `answer` is set once and never changed: the first stored answer wins.
    """

    __tablename__ = "entries"
    __table_args__ = (
        Index("ix_entries_task_sid", "task_sid", "id"),
        # What the feed walks, and what is counted and found by its time: most rows are events.
        Index(
            "ix_entries_lines",
            "id",
            sqlite_where=text("kind <> 'event'"),
            postgresql_where=text("kind <> 'event'"),
        ),
        Index(
            "ix_entries_lines_received_at",
            "received_at",
            sqlite_where=text("kind <> 'event'"),
            postgresql_where=text("kind <> 'event'"),
        ),
        # What the feed is filtered by.
        *(
            Index(
                f"ix_entries_{column}",
                column,
                "id",
                sqlite_where=text("kind <> 'event'"),
                postgresql_where=text("kind <> 'event'"),
            )
            for column in ("worker_sid", "task_queue_sid", "task_channel")
        ),
        # How it ended, where it was not the usual way: of few rows, so that the usual way costs nothing.
        Index(
            "ix_entries_endings",
            "outcome",
            "match",
            "id",
            sqlite_where=text(UNUSUAL),
            postgresql_where=text(UNUSUAL),
        ),
        Index(
            "ix_entries_first_key",
            "first_key",
            "id",
            sqlite_where=text("first_key IS NOT NULL"),
            postgresql_where=text("first_key IS NOT NULL"),
        ),
        # The history of one customer.
        Index(
            "ix_entries_customer_id",
            "customer_id",
            "id",
            sqlite_where=text("customer_id IS NOT NULL"),
            postgresql_where=text("customer_id IS NOT NULL"),
        ),
        # Small at all times: what is being worked on, and what a dead process has left behind.
        Index(
            "ix_entries_unconcluded",
            "received_at",
            sqlite_where=text("concluded_at IS NULL"),
            postgresql_where=text("concluded_at IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    kind: Mapped[str] = mapped_column(_KIND)  # vocabulary.EntryKind
    # What repeats are known by: the ReservationSid of a callback, the Sid of an event; null if it had none.
    delivery_key: Mapped[str | None] = mapped_column(Sid, unique=True)
    claim: Mapped[str] = mapped_column(String(16))  # of the one who made the row, and works on it; chosen by chance
    received_at: Mapped[datetime] = mapped_column(UtcDateTime)
    repeats: Mapped[int] = mapped_column(default=0)
    workspace_sid: Mapped[str] = mapped_column(Sid, default="")
    task_sid: Mapped[str | None] = mapped_column(Sid)
    reservation_sid: Mapped[str | None] = mapped_column(Sid)
    worker_sid: Mapped[str] = mapped_column(Sid, default="")
    worker_name: Mapped[str] = mapped_column(AnyText(MAX_WORKER_NAME_LENGTH), default="")
    event_type: Mapped[str] = mapped_column(AnyText(MAX_EVENT_TYPE_LENGTH), default="")
    task_channel: Mapped[str] = mapped_column(AnyText(MAX_CHANNEL_LENGTH), default="", server_default="")
    # The task channel's, as events tell it; null: the delivery does not. What a policy's defaults go by.
    channel_unique_name: Mapped[str | None] = mapped_column(AnyText(MAX_CHANNEL_LENGTH))
    task_queue_sid: Mapped[str] = mapped_column(Sid, default="", server_default="")
    task_queue_name: Mapped[str] = mapped_column(
        AnyText(MAX_QUEUE_NAME_LENGTH), default="", server_default=""
    )  # of events
    raw_form: Mapped[str] = mapped_column(AnyText, default="")  # the body as it came; personal data

    concluded_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    outcome: Mapped[str | None] = mapped_column(_OUTCOME)  # vocabulary.Outcome
    reason: Mapped[str] = mapped_column(_REASON, default="")  # of errors.py, or vocabulary.NoMatchReason; "" if none
    match: Mapped[str | None] = mapped_column(_MATCH)  # vocabulary.MatchKind; null: could not look
    by: Mapped[str] = mapped_column(String(MAX_IDENTIFIER_KIND_LENGTH), default="")  # the kind of key that decided
    trust: Mapped[str] = mapped_column(String(10), default="")
    customer_id: Mapped[str | None] = mapped_column(String(MAX_CUSTOMER_ID_LENGTH))
    customer_name: Mapped[str] = mapped_column(AnyText(MAX_CUSTOMER_NAME_LENGTH), default="")
    # How it was found: {"keys": [{kind, value, trust, attribute, found}], "withheld": [attribute],
    # "candidates": [{customer_id, name}]}
    finding: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    # The value of the first of these keys: what an unknown caller is searched by.
    first_key: Mapped[str | None] = mapped_column(AnyText(MAX_IDENTIFIER_LENGTH))
    attributes_before: Mapped[str | None] = mapped_column(AnyText)  # as fetched; null: never fetched
    attributes_after: Mapped[str | None] = mapped_column(AnyText)  # as written; null: nothing was written
    answer: Mapped[str | None] = mapped_column(Text)  # the JSON that TaskRouter got
    # What of the policy gave the answer, and why: {"by": rule|channel|setting, "name", "when", "passed": [{rule,
    # reason}]}; null without a policy.
    decision: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    steps: Mapped[list[dict[str, Any]] | None] = mapped_column(
        JSON(none_as_null=True)
    )  # [{name, elapsed_ms, failed}], in order
    elapsed_ms: Mapped[float | None] = mapped_column(Float)


# Events belong to a task's story, not to the feed. Spelt out, not a parameter: only then are the partial indexes used.
EVENT: ColumnElement[str] = literal_column("'event'")
NO_EVENT: ColumnElement[bool] = EntryRow.kind != EVENT


class FollowupRow(Base):
    """One piece of work that is owed. Done at least once; whoever does it first asks whether it is still needed."""

    __tablename__ = "followups"
    __table_args__ = (
        # One question, asked every half second by every worker: what is due and not done?
        Index("ix_followups_due_at", "due_at"),
        Index("ix_followups_entry_id", "entry_id"),
        # Few, and counted at every scrape.
        Index(
            "ix_followups_given_up_at",
            "given_up_at",
            sqlite_where=text("given_up_at IS NOT NULL"),
            postgresql_where=text("given_up_at IS NOT NULL"),
        ),
        Index("uq_followups_key", "key", unique=True),
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    kind: Mapped[str] = mapped_column(String(24))  # vocabulary.FollowupKind
    entry_id: Mapped[int] = mapped_column(ForeignKey("entries.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    # When to do it next; null once it is done or given up, so that the index holds little besides what is owed.
    due_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    leased_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    attempts: Mapped[int] = mapped_column(default=0)
    last_reason: Mapped[str] = mapped_column(_REASON, default="")
    done_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    given_up_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # What it is known by, where there shall be only one: "finished:WT..."; null: every one stands for itself.
    key: Mapped[str | None] = mapped_column(String(64))
    data: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))  # what its kind needs, and has reached


class HeartbeatRow(Base):
    """When one worker last left word. A handful of rows; those of dead processes are swept out after a week."""

    __tablename__ = "heartbeats"

    worker: Mapped[str] = mapped_column(String(120), primary_key=True)  # host, process, and a word chosen by chance
    beat_at: Mapped[datetime] = mapped_column(UtcDateTime)


class TaskStateRow(Base):
    """What is so of one task to which something out of the ordinary has happened. Most tasks have none.

    Everything here follows from the events in the journal, and from what staff said; it is kept because it is asked
    for in the assignment callback (`escalation` and `outcome` stand in our block), by the pages, and by the metrics.
    """

    __tablename__ = "task_states"
    __table_args__ = (
        Index("ix_task_states_updated_at", "updated_at"),
        # Small at all times: what a person has to look at.
        Index(
            "ix_task_states_alarm",
            "alarm",
            sqlite_where=text("alarm <> ''"),
            postgresql_where=text("alarm <> ''"),
        ),
    )

    task_sid: Mapped[str] = mapped_column(Sid, primary_key=True)
    workspace_sid: Mapped[str] = mapped_column(Sid, default="")
    misses: Mapped[int] = mapped_column(default=0)  # different reservations that came to nothing, as the policy counts
    canceled: Mapped[int] = mapped_column(default=0)  # of all reservations, those that were canceled
    assignments: Mapped[int] = mapped_column(default=0)  # different ones that came to nothing, however
    escalation: Mapped[int] = mapped_column(default=0)
    outcome: Mapped[str] = mapped_column(AnyText(MAX_TASK_OUTCOME_LENGTH), default="")
    alarm: Mapped[str] = mapped_column(String(24), default="")  # policy.timeouts.Alarm
    alarm_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    hand_overs: Mapped[int] = mapped_column(default=0)  # how often the work behind it was handed over until now
    handed_over_from: Mapped[str | None] = mapped_column(Sid)
    handed_over_to: Mapped[str | None] = mapped_column(Sid)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class TallyRow(Base):
    """How many entries of one kind ended in one way, of those received within one span. No personal data.

    times: how long those took, {step of tallies.STEP as text: how many}; entries without a time are in none.
    """

    __tablename__ = "tallies"
    __table_args__ = (Index("ix_tallies_span_s", "span_s", "began_at"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    span_s: Mapped[int]
    began_at: Mapped[datetime] = mapped_column(UtcDateTime)
    kind: Mapped[str] = mapped_column(_KIND)
    outcome: Mapped[str] = mapped_column(_OUTCOME)
    match: Mapped[str] = mapped_column(_MATCH)
    reason: Mapped[str] = mapped_column(_REASON)
    number: Mapped[int]
    times: Mapped[dict[str, int]] = mapped_column(JSON)


class TallyMarkRow(Base):
    """Until when everything is counted, for one length of span."""

    __tablename__ = "tally_marks"

    span_s: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    until: Mapped[datetime] = mapped_column(UtcDateTime)
