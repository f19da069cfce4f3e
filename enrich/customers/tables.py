"""The customers as the CRM knows them, and the identifiers they are found by."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from enrich.db import Base, UtcDateTime

# Who says that an identifier belongs to a customer.
FROM_CRM = "crm"
FROM_STAFF = "staff"


class CustomerRow(Base):
    """One customer. `id` is the CRM's own; empty text means that the CRM has nothing there."""

    __tablename__ = "customers"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    company: Mapped[str] = mapped_column(String(200), default="")
    tier: Mapped[str] = mapped_column(String(40), default="")
    language: Mapped[str] = mapped_column(String(35), default="")  # a BCP 47 tag
    owner: Mapped[str] = mapped_column(String(254), default="")
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)

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
    """One thing a customer can be found by. Two customers may share one: that is an ambiguity, not an error.

    value: the normal form (`customers/identifiers.py`). as_written: what the CRM has, for export and for staff.
    source: FROM_CRM, which the next seed may correct or remove, or FROM_STAFF, which it leaves alone.
    """

    __tablename__ = "identifiers"
    __table_args__ = (
        UniqueConstraint("kind", "value", "customer_id", name="uq_identifiers_kind_value_customer"),
        Index("ix_identifiers_customer_id", "customer_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[str] = mapped_column(ForeignKey("customers.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(40))
    value: Mapped[str] = mapped_column(String(254))
    as_written: Mapped[str] = mapped_column(String(254))
    source: Mapped[str] = mapped_column(String(8), default=FROM_CRM)

    customer: Mapped[CustomerRow] = relationship(back_populates="identifiers")


class NoteRow(Base):
    """One remark about a customer. position: 0 is the newest, as the CRM lists them."""

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
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    position: Mapped[int]
    subject: Mapped[str] = mapped_column(String(300))
    status: Mapped[str] = mapped_column(String(40))
    opened_on: Mapped[str] = mapped_column(String(10), default="")
