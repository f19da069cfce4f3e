"""Staff accounts, their sessions, the attempts to sign in, and the tokens of other systems."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, String, false, text
from sqlalchemy.orm import Mapped, mapped_column

from enrich.database.types import Base, RowId, UtcDateTime
from enrich.domain.lengths import (
    MAX_EMAIL_LENGTH,
    MAX_STAFF_NAME_LENGTH,
    MAX_TOKEN_NAME_LENGTH,
    MAX_TOKEN_SCOPES_LENGTH,
)


class Role(StrEnum):
    """The role of an account; each includes those before it."""

    VIEWER = "viewer"
    EDITOR = "editor"
    ADMIN = "admin"

    def includes(self, other: Role) -> bool:
        """Return whether this role includes the other."""
        ranks = list(Role)
        return ranks.index(self) >= ranks.index(other)


class UserRow(Base):
    """One person. `email` is lower-cased, `name` may be empty. Who leaves is set inactive: the trail stays.

    password_by_admin: somebody else knows the password, so it has to be changed before anything else.
    """

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(MAX_EMAIL_LENGTH), unique=True)
    name: Mapped[str] = mapped_column(String(MAX_STAFF_NAME_LENGTH), default="")
    password_hash: Mapped[str] = mapped_column(String(200))
    role: Mapped[str] = mapped_column(String(10))  # Role
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    active: Mapped[bool] = mapped_column(default=True)
    password_by_admin: Mapped[bool] = mapped_column(default=False, server_default=false())


class SessionRow(Base):
    """One browser in which somebody is signed in; who signs out has none (`accounts/sessions.py`).

    token_hash: SHA-256 of the token that the browser's cookie holds. password_mark: of the password it began with.
    browser: its family and system, in words of ours.
    """

    __tablename__ = "sessions"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    password_mark: Mapped[str] = mapped_column(String(16))
    browser: Mapped[str] = mapped_column(String(40))
    began_at: Mapped[datetime] = mapped_column(UtcDateTime)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)


class AttemptsRow(Base):
    """The tries to sign in under one key (`accounts/attempts.py`), in which no e-mail stands.

    wait_until: before it no further one is looked at.
    """

    __tablename__ = "sign_in_attempts"
    __table_args__ = (Index("ix_sign_in_attempts_last_at", "last_at"),)

    key: Mapped[str] = mapped_column(String(80), primary_key=True)
    count: Mapped[int]
    last_at: Mapped[datetime] = mapped_column(UtcDateTime)
    wait_until: Mapped[datetime] = mapped_column(UtcDateTime)


class TokenRow(Base):
    """One token of another system (`accounts/tokens.py`). Revoked ones stay, for the list; their name is free again.

    prefix: the first characters of the token. token_hash: its SHA-256. scopes: separated by spaces. created_by: NULL:
    on the command line. expires_at: NULL: never. last_used_at: to the minute.
    """

    __tablename__ = "api_tokens"
    __table_args__ = (
        Index(
            "ix_api_tokens_name",
            "name",
            unique=True,
            sqlite_where=text("revoked_at IS NULL"),
            postgresql_where=text("revoked_at IS NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    name: Mapped[str] = mapped_column(String(MAX_TOKEN_NAME_LENGTH))
    prefix: Mapped[str] = mapped_column(String(20))
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    scopes: Mapped[str] = mapped_column(String(MAX_TOKEN_SCOPES_LENGTH))
    created_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
