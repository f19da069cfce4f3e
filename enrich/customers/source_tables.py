"""Tables of sources: what each said of its customers, how far it was read, and what staff decided about customers.

The tables of customers (`tables.py`) are a projection of these, kept by `projector.py`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, Index, Integer, LargeBinary, String, Text, false, text, true
from sqlalchemy.orm import Mapped, mapped_column

from enrich.customers.tables import CustomerId, Kind, Value
from enrich.database.types import AnyText, Base, RowId, UtcDateTime
from enrich.domain.lengths import MAX_EMAIL_LENGTH, MAX_REMOTE_ID_LENGTH, MAX_SOURCE_NAME_LENGTH

SourceName = String(MAX_SOURCE_NAME_LENGTH)
RemoteId = String(MAX_REMOTE_ID_LENGTH)
HASH_BYTES = 16


class SourceRow(Base):
    """One system that customers come from.

    account: of the vendor, "" if there is none. mapping_fingerprint: of the rules by which its fields are read, "" if
    they are fixed. seq: incremented by each transaction that applies its records; orders them without a clock.
    shared_kinds, placeholders: as `arrivals.Origin` has them; null for none. is_shared: False while `shared_ids` is
    being made to agree with them.
    """

    __tablename__ = "sources"

    name: Mapped[str] = mapped_column(SourceName, primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    account: Mapped[str] = mapped_column(String(128), default="")
    mapping_fingerprint: Mapped[str] = mapped_column(String(64), default="")
    seq: Mapped[int] = mapped_column(BigInteger, default=0)
    shared_kinds: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    placeholders: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    is_shared: Mapped[bool] = mapped_column(Boolean, default=True, server_default=true())


class PrecedenceRow(Base):
    """The order in which sources are believed about one field. field: "" for those that have no order of their own.

    is_applied: False while customers are being computed anew by it.
    """

    __tablename__ = "precedence"

    field: Mapped[str] = mapped_column(String(16), primary_key=True)
    sources: Mapped[list[str]] = mapped_column(JSON)
    is_applied: Mapped[bool] = mapped_column(Boolean)


class StreamRow(Base):
    """One stream of a source: the position of its reader, who reads it now, and how its last run went.

    position: of its reader, null at the start and after a complete run. watermark: until when it is read, in
    microseconds. lease_owner, lease_until: the runner; null without one. token: incremented by each lease; a commit
    checks it. run: incremented where a pass begins anew, and where one ends. removals: of the last day, for the brake
    (`brake.py`).

    Of the present or last run: began_at; ended_at, null while it runs; counts, by outcome. window_at, keys_at, full_at:
    the beginning of the last complete pass of each kind. problem: reason slug for which the last run failed, with its
    detail; failed_since, failures: of several in a row. due_at: not to be tried again before, after a failure.
    requested: the kind of pass that an operator wants next, or `retry` for the quarantine. held: what the brake asks;
    accepted: so many customers, or identifiers of others, may leave in the present run.
    """

    __tablename__ = "streams"

    source: Mapped[str] = mapped_column(SourceName, primary_key=True)
    stream: Mapped[str] = mapped_column(String(64), primary_key=True)
    position: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    watermark: Mapped[int | None] = mapped_column(BigInteger)
    lease_owner: Mapped[str | None] = mapped_column(String(128))
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    token: Mapped[int] = mapped_column(BigInteger, default=0)
    run: Mapped[int] = mapped_column(BigInteger, default=0)
    removals: Mapped[list[Any] | None] = mapped_column(JSON(none_as_null=True))
    began_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    counts: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    window_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    keys_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    full_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    problem: Mapped[str | None] = mapped_column(String(40))
    detail: Mapped[str | None] = mapped_column(Text)
    failed_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    failures: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    due_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    requested: Mapped[str | None] = mapped_column(String(8))
    held: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    accepted: Mapped[int | None] = mapped_column(BigInteger)


class SourceRecordRow(Base):
    """One customer as one source knows them.

    home_id: the customer that the record founded or was added to; it never changes. version: the source's time of
    change in microseconds, or its counter; null if it has none. hash: of the last row as the source gave it. state: a
    `RecordState`. into_remote_id: of the record that the source merged this one into. seq: of the source, when it was
    applied. fields: as `source_record.SourceRecord` has them.
    """

    __tablename__ = "source_records"
    __table_args__ = (
        Index("ix_source_records_home_id", "home_id"),
        Index(
            # With the first columns of the primary key, or SQLite walks through that instead.
            "ix_source_records_into",
            "source",
            "object",
            "into_remote_id",
            sqlite_where=text("into_remote_id IS NOT NULL"),
            postgresql_where=text("into_remote_id IS NOT NULL"),
        ),
    )

    source: Mapped[str] = mapped_column(SourceName, primary_key=True)
    object: Mapped[str] = mapped_column(String(64), primary_key=True)
    remote_id: Mapped[str] = mapped_column(RemoteId, primary_key=True)
    home_id: Mapped[str] = mapped_column(CustomerId)
    version: Mapped[int | None] = mapped_column(BigInteger)
    hash: Mapped[bytes] = mapped_column(LargeBinary(HASH_BYTES))
    state: Mapped[str] = mapped_column(String(8))
    into_remote_id: Mapped[str | None] = mapped_column(RemoteId)
    seq: Mapped[int] = mapped_column(BigInteger)
    fields: Mapped[dict[str, Any]] = mapped_column(JSON)


class SharedIdRow(Base):
    """A value by which records of different sources may be one customer; only of live records and declared kinds."""

    __tablename__ = "shared_ids"
    __table_args__ = (Index("ix_shared_ids_record", "source", "object", "remote_id"),)

    kind: Mapped[str] = mapped_column(Kind, primary_key=True)
    value: Mapped[str] = mapped_column(Value, primary_key=True)
    source: Mapped[str] = mapped_column(SourceName, primary_key=True)
    object: Mapped[str] = mapped_column(String(64), primary_key=True)
    remote_id: Mapped[str] = mapped_column(RemoteId, primary_key=True)


class DecisionRow(Base):
    """One decision of staff about a customer, in effect while undone_at is null. Nothing deletes it with a customer.

    kind: a `DecisionKind`. subject, other: customers by home. audit_id: the entry of the audit trail, which may be
    gone; its decisions are undone together. field, key_kind, key_value, value, base: as `projection.Decision` has them.
    """

    __tablename__ = "decisions"
    __table_args__ = (
        Index("ix_decisions_subject", "subject"),
        Index(
            "ix_decisions_other",
            "other",
            sqlite_where=text("other IS NOT NULL"),
            postgresql_where=text("other IS NOT NULL"),
        ),
        Index("ix_decisions_audit_id", "audit_id"),
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    by: Mapped[str] = mapped_column(AnyText(MAX_EMAIL_LENGTH))
    kind: Mapped[str] = mapped_column(String(8))
    subject: Mapped[str] = mapped_column(CustomerId)
    other: Mapped[str | None] = mapped_column(CustomerId)
    field: Mapped[str | None] = mapped_column(String(16))
    key_kind: Mapped[str | None] = mapped_column(Kind)
    key_value: Mapped[str | None] = mapped_column(Value)
    value: Mapped[Any] = mapped_column(JSON(none_as_null=True), nullable=True)
    base: Mapped[Any] = mapped_column(JSON(none_as_null=True), nullable=True)
    audit_id: Mapped[int | None] = mapped_column(RowId)
    undone_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class QuarantineRow(Base):
    """A record that could not be applied, or not whole: its raw values, and which field was wrong with them.

    is_loaded: it was applied without the values that are wrong.
    """

    __tablename__ = "quarantine"

    source: Mapped[str] = mapped_column(SourceName, primary_key=True)
    object: Mapped[str] = mapped_column(String(64), primary_key=True)
    remote_id: Mapped[str] = mapped_column(RemoteId, primary_key=True)
    reason: Mapped[str] = mapped_column(AnyText())
    field: Mapped[str] = mapped_column(AnyText(64), default="")
    fields: Mapped[dict[str, Any]] = mapped_column(JSON)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    is_loaded: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())


class SeenRow(Base):
    """A record that a run over a whole stream has seen. Emptied after the run."""

    __tablename__ = "seen_records"

    source: Mapped[str] = mapped_column(SourceName, primary_key=True)
    stream: Mapped[str] = mapped_column(String(64), primary_key=True)
    run: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    remote_id: Mapped[str] = mapped_column(RemoteId, primary_key=True)
