"""Tables of customers: records, identifiers, search words, pins, the audit trail and finished interactions."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, String, Text, UniqueConstraint, false, text
from sqlalchemy.dialects.postgresql import VARCHAR
from sqlalchemy.orm import Mapped, mapped_column, relationship

from enrich.customers.identifiers import FROM_CRM
from enrich.database.types import AnyText, Base, RowId, Sid, UtcDateTime
from enrich.domain.lengths import (
    CUSTOMER_TEXT_LENGTHS,
    MAX_CASE_ID_LENGTH,
    MAX_CASE_STATUS_LENGTH,
    MAX_CASE_SUBJECT_LENGTH,
    MAX_CHANNEL_LENGTH,
    MAX_COMPLETION_REASON_LENGTH,
    MAX_CUSTOMER_ID_LENGTH,
    MAX_EMAIL_LENGTH,
    MAX_IDENTIFIER_KIND_LENGTH,
    MAX_IDENTIFIER_LENGTH,
    MAX_TASK_OUTCOME_LENGTH,
    MAX_WORD_LENGTH,
    MAX_WORKER_NAME_LENGTH,
)

CustomerId = String(MAX_CUSTOMER_ID_LENGTH)
Kind, Value = String(MAX_IDENTIFIER_KIND_LENGTH), String(MAX_IDENTIFIER_LENGTH)  # of an identifier
# Collation C, so that "begins with" is a range of the index; SQLite compares so anyway.
Word = String(MAX_WORD_LENGTH).with_variant(VARCHAR(MAX_WORD_LENGTH, collation="C"), "postgresql")


_IS_UNPROJECTED = "projected_version IS NULL OR projected_version <> version"


class CustomerRow(Base):
    """One customer, computed from source records and decisions of staff (`projection.py`). Empty text: no value.

    id: the CRM's own of the record that founded it, or made for it; never used for somebody else.
    """

    __tablename__ = "customers"
    __table_args__ = (
        Index(
            "ix_customers_unprojected",
            "id",
            sqlite_where=text(_IS_UNPROJECTED),
            postgresql_where=text(_IS_UNPROJECTED),
        ),
    )

    id: Mapped[str] = mapped_column(CustomerId, primary_key=True)
    name: Mapped[str] = mapped_column(String(CUSTOMER_TEXT_LENGTHS["name"]))
    company: Mapped[str] = mapped_column(String(CUSTOMER_TEXT_LENGTHS["company"]), default="")
    tier: Mapped[str] = mapped_column(String(CUSTOMER_TEXT_LENGTHS["tier"]), default="")
    language: Mapped[str] = mapped_column(String(CUSTOMER_TEXT_LENGTHS["language"]), default="")
    owner: Mapped[str] = mapped_column(String(CUSTOMER_TEXT_LENGTHS["owner"]), default="")
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    # Incremented by every change, to detect that a form was made from an older version.
    version: Mapped[int] = mapped_column(default=1, server_default="1")
    # The CRM's last values of fields that staff changed. While the CRM's file has these, a seed keeps the staff's.
    settled: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    # The customer that this one is part of, always at the end of the chain; it has no identifiers of its own then.
    merged_into: Mapped[str | None] = mapped_column(CustomerId, index=True)
    # The oldest of several that are one customer gives it its id. Null before every other time: from before the column.
    created_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # True if no source has it any more, or staff deleted it: it has no identifiers, and its history stays.
    is_gone: Mapped[bool] = mapped_column(default=False, server_default=false())
    # The version that the projection wrote. Another one: code from before the projection wrote the row since, and what
    # it wrote has to be adopted (`adoption.py`); null: the projection never did.
    projected_version: Mapped[int | None]

    identifiers: Mapped[list[IdentifierRow]] = relationship(
        back_populates="customer", cascade="all, delete-orphan", passive_deletes=True, order_by="IdentifierRow.id"
    )
    notes: Mapped[list[NoteRow]] = relationship(
        cascade="all, delete-orphan", passive_deletes=True, order_by="NoteRow.position"
    )
    cases: Mapped[list[CaseRow]] = relationship(
        cascade="all, delete-orphan", passive_deletes=True, order_by="CaseRow.position"
    )


class IdentifierRow(Base):
    """One identifier of a customer. Two customers may share one: that is an ambiguity, not an error.

    value: the normal form (`customers/identifiers.py`). as_written: the CRM's spelling, for export and for staff.
    source: FROM_CRM, which the next seed may correct or remove, or FROM_STAFF, which it keeps.
    """

    __tablename__ = "identifiers"
    __table_args__ = (
        UniqueConstraint("kind", "value", "customer_id", name="uq_identifiers_kind_value_customer"),
        Index("ix_identifiers_customer_id", "customer_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[str] = mapped_column(ForeignKey("customers.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(Kind)
    value: Mapped[str] = mapped_column(Value)
    as_written: Mapped[str] = mapped_column(Value)
    source: Mapped[str] = mapped_column(String(8), default=FROM_CRM)

    customer: Mapped[CustomerRow] = relationship(back_populates="identifiers")


class NoteRow(Base):
    """One note about a customer. position: 0 is the newest, in the CRM's order."""

    __tablename__ = "notes"
    __table_args__ = (Index("ix_notes_customer_id", "customer_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[str] = mapped_column(ForeignKey("customers.id", ondelete="CASCADE"))
    position: Mapped[int]
    text: Mapped[str] = mapped_column(Text)


class CaseRow(Base):
    """One case of a customer. `id` is the CRM's own, unique within the customer. opened_on: an ISO date, or ""."""

    __tablename__ = "cases"

    customer_id: Mapped[str] = mapped_column(ForeignKey("customers.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[str] = mapped_column(String(MAX_CASE_ID_LENGTH), primary_key=True)
    position: Mapped[int]
    subject: Mapped[str] = mapped_column(String(MAX_CASE_SUBJECT_LENGTH))
    status: Mapped[str] = mapped_column(String(MAX_CASE_STATUS_LENGTH))
    opened_on: Mapped[str] = mapped_column(String(10), default="")


class WordRow(Base):
    """One search word of a customer's name or company, case-folded and without accents."""

    __tablename__ = "customer_words"
    __table_args__ = (Index("ix_customer_words_word", "word", "customer_id"),)

    customer_id: Mapped[str] = mapped_column(ForeignKey("customers.id", ondelete="CASCADE"), primary_key=True)
    word: Mapped[str] = mapped_column(Word, primary_key=True)


class UnlinkedRow(Base):
    """An identifier of the CRM that staff took from this customer: a seed does not restore it."""

    __tablename__ = "unlinked"
    __table_args__ = (Index("ix_unlinked_customer_id", "customer_id"),)

    kind: Mapped[str] = mapped_column(Kind, primary_key=True)
    value: Mapped[str] = mapped_column(Value, primary_key=True)
    customer_id: Mapped[str] = mapped_column(ForeignKey("customers.id", ondelete="CASCADE"), primary_key=True)


class PinRow(Base):
    """A task that staff assigned to a customer. customer_id: null for "none of the customers found"."""

    __tablename__ = "pins"
    __table_args__ = (Index("ix_pins_customer_id", "customer_id"),)

    task_sid: Mapped[str] = mapped_column(Sid, primary_key=True)
    customer_id: Mapped[str | None] = mapped_column(ForeignKey("customers.id", ondelete="CASCADE"))
    by: Mapped[str] = mapped_column(AnyText(MAX_EMAIL_LENGTH))
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class AuditRow(Base):
    """One audit entry: who changed what, when, and the state before and after (in the form of records.py).

    user_id: null without an account. undoes: the entry that this one undid.
    """

    __tablename__ = "audit_entries"
    __table_args__ = (Index("ix_audit_entries_task_sid", "task_sid", "id"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    user_id: Mapped[int | None]
    by: Mapped[str] = mapped_column(AnyText(MAX_EMAIL_LENGTH))
    action: Mapped[str] = mapped_column(String(24))
    task_sid: Mapped[str | None] = mapped_column(Sid)
    customer_id: Mapped[str | None] = mapped_column(CustomerId)
    before: Mapped[dict[str, Any]] = mapped_column(JSON)
    after: Mapped[dict[str, Any]] = mapped_column(JSON)
    undoes: Mapped[int | None] = mapped_column(RowId)
    undone_by: Mapped[int | None] = mapped_column(RowId)


class AuditCustomerRow(Base):
    """A customer that an audit entry is about. They may not exist any more, if their creation was undone."""

    __tablename__ = "audit_customers"
    __table_args__ = (Index("ix_audit_customers_customer_id", "customer_id", "audit_id"),)

    audit_id: Mapped[int] = mapped_column(RowId, ForeignKey("audit_entries.id", ondelete="CASCADE"), primary_key=True)
    customer_id: Mapped[str] = mapped_column(CustomerId, primary_key=True)


class InteractionRow(Base):
    """One finished interaction of a customer. A task has at most one, with the worker who had it last.

    began_at: when a worker accepted it; null if unknown. outcome, reason: "" if there is none.
    """

    __tablename__ = "interactions"
    __table_args__ = (
        UniqueConstraint("task_sid", name="uq_interactions_task_sid"),
        Index("ix_interactions_customer_id", "customer_id", "ended_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    task_sid: Mapped[str] = mapped_column(Sid)
    customer_id: Mapped[str] = mapped_column(ForeignKey("customers.id", ondelete="CASCADE"))
    channel: Mapped[str] = mapped_column(AnyText(MAX_CHANNEL_LENGTH), default="")
    worker_sid: Mapped[str] = mapped_column(Sid, default="")
    worker_name: Mapped[str] = mapped_column(AnyText(MAX_WORKER_NAME_LENGTH), default="")
    began_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime] = mapped_column(UtcDateTime)
    outcome: Mapped[str] = mapped_column(AnyText(MAX_TASK_OUTCOME_LENGTH), default="")
    reason: Mapped[str] = mapped_column(AnyText(MAX_COMPLETION_REASON_LENGTH), default="")
