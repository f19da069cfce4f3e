"""Tables of the journal: entries, follow-ups, heartbeats, rate limits, task states, rollups, look-ups and reads."""

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

# Conditions of partial indexes. A database uses such an index only for a query that states its condition literally, so
# queries take them from here.
_IS_NO_EVENT = "kind <> 'event'"
UNUSUAL = """kind <> 'event' AND NOT (outcome = 'enriched' AND "match" = 'matched')"""
HAS_ALARM = "alarm <> ''"


def _partial_index(name: str, *columns: str, where: str) -> Index:
    """Return an index over the rows that fulfil this condition, for both databases."""
    return Index(name, *columns, sqlite_where=text(where), postgresql_where=text(where))


class EntryRow(Base):
    """One entry: a delivery or a piece of work, from its receipt to its conclusion.

    The columns before `concluded_at` are written on arrival, before any work; the others once, at the conclusion.
    `answer` is set once and never changed: the first stored answer wins.
    """

    __tablename__ = "entries"
    __table_args__ = (
        Index("ix_entries_task_sid", "task_sid", "id"),
        # The feed's order, and the rollups' look-ups by time. Most entries are events, which neither needs.
        _partial_index("ix_entries_lines", "id", where=_IS_NO_EVENT),
        _partial_index("ix_entries_lines_received_at", "received_at", where=_IS_NO_EVENT),
        # The feed's filters.
        _partial_index("ix_entries_worker_sid", "worker_sid", "id", where=_IS_NO_EVENT),
        _partial_index("ix_entries_task_queue_sid", "task_queue_sid", "id", where=_IS_NO_EVENT),
        _partial_index("ix_entries_task_channel", "task_channel", "id", where=_IS_NO_EVENT),
        # Every ending but the usual one, which therefore costs nothing.
        _partial_index("ix_entries_endings", "outcome", "match", "id", where=UNUSUAL),
        _partial_index("ix_entries_first_key", "first_key", "id", where="first_key IS NOT NULL"),
        # The history of one customer.
        _partial_index("ix_entries_customer_id", "customer_id", "id", where="customer_id IS NOT NULL"),
        # Always small: work in progress, and the entries that a dead process left behind.
        _partial_index("ix_entries_unconcluded", "received_at", where="concluded_at IS NULL"),
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    kind: Mapped[str] = mapped_column(_KIND)  # outcomes.EntryKind
    # Identifies repeats: the ReservationSid of a callback, the Sid of an event; null if it had none.
    delivery_key: Mapped[str | None] = mapped_column(Sid, unique=True)
    claim: Mapped[str] = mapped_column(String(16))  # random; names the request that created the entry
    received_at: Mapped[datetime] = mapped_column(UtcDateTime)
    repeats: Mapped[int] = mapped_column(default=0)
    workspace_sid: Mapped[str] = mapped_column(Sid, default="")
    task_sid: Mapped[str | None] = mapped_column(Sid)
    reservation_sid: Mapped[str | None] = mapped_column(Sid)
    worker_sid: Mapped[str] = mapped_column(Sid, default="")
    worker_name: Mapped[str] = mapped_column(AnyText(MAX_WORKER_NAME_LENGTH), default="")
    event_type: Mapped[str] = mapped_column(AnyText(MAX_EVENT_TYPE_LENGTH), default="")
    task_channel: Mapped[str] = mapped_column(AnyText(MAX_CHANNEL_LENGTH), default="", server_default="")
    # The task channel's unique name, which selects a policy's defaults. Only events carry it; null without.
    channel_unique_name: Mapped[str | None] = mapped_column(AnyText(MAX_CHANNEL_LENGTH))
    task_queue_sid: Mapped[str] = mapped_column(Sid, default="", server_default="")
    task_queue_name: Mapped[str] = mapped_column(
        AnyText(MAX_QUEUE_NAME_LENGTH), default="", server_default=""
    )  # of events
    raw_form: Mapped[str] = mapped_column(AnyText, default="")  # the request body as received; personal data

    concluded_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    outcome: Mapped[str | None] = mapped_column(_OUTCOME)  # outcomes.Outcome
    reason: Mapped[str] = mapped_column(_REASON, default="")  # of errors.py, Reason or NoMatchReason; "" if none
    match: Mapped[str | None] = mapped_column(_MATCH)  # matches.MatchKind; null: no look-up
    by: Mapped[str] = mapped_column(String(MAX_IDENTIFIER_KIND_LENGTH), default="")  # kind of the deciding key
    trust: Mapped[str] = mapped_column(String(10), default="")
    customer_id: Mapped[str | None] = mapped_column(String(MAX_CUSTOMER_ID_LENGTH))
    customer_name: Mapped[str] = mapped_column(AnyText(MAX_CUSTOMER_NAME_LENGTH), default="")
    # The look-up: {"keys": [{kind, value, trust, attribute, found}], "withheld": [attribute],
    # "unknown": [attribute], "candidates": [{customer_id, name}]}
    finding: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    # Value of the first key, for searching unknown callers.
    first_key: Mapped[str | None] = mapped_column(AnyText(MAX_IDENTIFIER_LENGTH))
    attributes_before: Mapped[str | None] = mapped_column(AnyText)  # as fetched; null: never fetched
    attributes_after: Mapped[str | None] = mapped_column(AnyText)  # as written; null: nothing was written
    answer: Mapped[str | None] = mapped_column(Text)  # the JSON that TaskRouter got
    # The part of the policy that gave the answer: {"by": rule|channel|setting, "name", "when", "passed": [{rule,
    # reason}]}; null without a policy.
    decision: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    # [{name, elapsed_ms, failed}], in order.
    steps: Mapped[list[dict[str, Any]] | None] = mapped_column(JSON(none_as_null=True))
    elapsed_ms: Mapped[float | None] = mapped_column(Float)


# Events are shown in a task's timeline, not in the feed. A literal, not a parameter, so that partial indexes are used.
EVENT: ColumnElement[str] = literal_column("'event'")
NO_EVENT: ColumnElement[bool] = EntryRow.kind != EVENT


class FollowupRow(Base):
    """One follow-up. Executed at least once, so its handler first checks whether it is still needed."""

    __tablename__ = "followups"
    __table_args__ = (
        # Every worker looks for due follow-ups every half second.
        Index("ix_followups_due_at", "due_at"),
        Index("ix_followups_entry_id", "entry_id"),
        # Of each due follow-up a worker asks whether an older one of the same task is pending.
        _partial_index("ix_followups_task_sid", "task_sid", "due_at", where="due_at IS NOT NULL"),
        # Few, and counted at every scrape of the metrics.
        _partial_index("ix_followups_given_up_at", "given_up_at", where="given_up_at IS NOT NULL"),
        Index("uq_followups_key", "key", unique=True),
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    kind: Mapped[str] = mapped_column(String(24))  # outcomes.FollowupKind
    entry_id: Mapped[int] = mapped_column(ForeignKey("entries.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    # Time of the next attempt; null once done or given up, so that the index holds pending follow-ups only.
    due_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    leased_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    attempts: Mapped[int] = mapped_column(default=0)
    last_reason: Mapped[str] = mapped_column(_REASON, default="")
    done_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    given_up_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # Unique, such as "finished:WT..."; null for a kind of which there can be several.
    key: Mapped[str | None] = mapped_column(String(64))
    # The entry's task, whose follow-ups are executed in order; null where an older version added the row.
    task_sid: Mapped[str | None] = mapped_column(Sid)
    data: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))  # parameters and progress, by kind


class HeartbeatRow(Base):
    """Time of one worker's last heartbeat. A handful of rows; dead workers' rows are deleted after a week."""

    __tablename__ = "heartbeats"

    worker: Mapped[str] = mapped_column(String(120), primary_key=True)  # host, process id and a random suffix
    beat_at: Mapped[datetime] = mapped_column(UtcDateTime)


class RateLimitRow(Base):
    """Time of the last refusal by TaskRouter's rate limit that one web process met. A handful of rows."""

    __tablename__ = "rate_limits"

    process: Mapped[str] = mapped_column(String(120), primary_key=True)  # host, process id and a random suffix
    refused_at: Mapped[datetime] = mapped_column(UtcDateTime)


class TaskStateRow(Base):
    """The state of one task that needed more than the usual assignment. Most tasks have no row.

    Derived from the events in the journal and from actions of staff; stored because assignment callbacks (the block
    holds `escalation` and `outcome`), pages and metrics read it.
    """

    __tablename__ = "task_states"
    __table_args__ = (
        Index("ix_task_states_updated_at", "updated_at"),
        # Always small: the tasks that a person has to look at.
        _partial_index("ix_task_states_alarm", "alarm", where=HAS_ALARM),
    )

    task_sid: Mapped[str] = mapped_column(Sid, primary_key=True)
    workspace_sid: Mapped[str] = mapped_column(Sid, default="")
    misses: Mapped[int] = mapped_column(default=0)  # distinct reservations not accepted, as the policy counts them
    canceled: Mapped[int] = mapped_column(default=0)  # distinct canceled reservations
    assignments: Mapped[int] = mapped_column(default=0)  # distinct reservations not accepted, for any reason
    escalation: Mapped[int] = mapped_column(default=0)
    outcome: Mapped[str] = mapped_column(AnyText(MAX_TASK_OUTCOME_LENGTH), default="")
    alarm: Mapped[str] = mapped_column(String(24), default="")  # policy.timeouts.Alarm
    alarm_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    hand_overs: Mapped[int] = mapped_column(default=0)  # number of hand-overs of this work so far
    handed_over_from: Mapped[str | None] = mapped_column(Sid)
    handed_over_to: Mapped[str | None] = mapped_column(Sid)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class RollupRow(Base):
    """Number of entries of one kind with one ending, received within one span. No personal data.

    times: histogram of their durations, {bucket of `rollups.bucket_of` as text: number}.
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


class RollupMarkRow(Base):
    """End of the counted time, for one length of span."""

    __tablename__ = "tally_marks"

    span_s: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    until: Mapped[datetime] = mapped_column(UtcDateTime)


class LookupRow(Base):
    """One look-up of another system over the API (`lookups.py`). The key itself is not kept.

    token_id: of `api_tokens`. match: of `MatchKind`. reason: why nobody was found; else "". customer_id: as it was
    then; NULL without a match.
    """

    __tablename__ = "lookups"
    __table_args__ = (Index("ix_lookups_at", "at"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    token_id: Mapped[int] = mapped_column(RowId)
    key_kind: Mapped[str] = mapped_column(AnyText(MAX_IDENTIFIER_KIND_LENGTH))
    trust: Mapped[str] = mapped_column(String(8))
    match: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(String(40))
    customer_id: Mapped[str | None] = mapped_column(AnyText(MAX_CUSTOMER_ID_LENGTH))
    elapsed_ms: Mapped[float] = mapped_column(Float)


class ReadRow(Base):
    """One read of personal data, unmasked, by another system over the API (`reads.py`).

    operation: of the API's description, such as `list_tasks`. subject: id of the customer or SID of the task; NULL for
    a page of a list. number: of the customers, tasks or entries that it got.
    """

    __tablename__ = "reads"
    __table_args__ = (Index("ix_reads_at", "at"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    token_id: Mapped[int] = mapped_column(RowId)
    operation: Mapped[str] = mapped_column(String(40))
    subject: Mapped[str | None] = mapped_column(AnyText(MAX_CUSTOMER_ID_LENGTH))
    number: Mapped[int]
    elapsed_ms: Mapped[float] = mapped_column(Float)
