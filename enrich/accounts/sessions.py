"""Sessions of signed-in staff over the database: one row each, which the browser's token finds.

A session ends when its row is deleted (signing out, ending it from elsewhere, a disabled account), twelve hours after
it began, two hours after it was last used, and when the password is another one than it began with. The row holds only
a hash of the token, so that whoever reads the database cannot use it.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, delete, insert, not_, select, update

from enrich.accounts.tables import SessionRow, UserRow
from enrich.accounts.users import User, user_of
from enrich.database.engine import Database

LASTS = timedelta(hours=12)
IDLE_FOR = timedelta(hours=2)
# The row is written anew at most so often.
NOTED_EVERY = timedelta(minutes=1)
# Reading a page waits no longer than this for SQLite's write lock.
NOTE_TIMEOUT_S = 1.0


@dataclass(frozen=True, slots=True)
class StaffSession:
    """One session. began_at, seen_at are aware, in UTC; browser may be empty."""

    id: int
    user: User
    browser: str
    began_at: datetime
    seen_at: datetime


class Sessions:
    """The sessions of one database. Every method raises DatabaseError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, user: User, browser: str, now: datetime) -> tuple[StaffSession, str]:
        """Begin a session of this user; return it with the token that finds it. browser: its family and system."""
        token = secrets.token_urlsafe(32)
        row = insert(SessionRow).values(
            token_hash=_hash(token),
            user_id=user.id,
            password_mark=user.password_mark,
            browser=browser,
            began_at=now,
            seen_at=now,
        )
        session_id = self._database.write(row.returning(SessionRow.id))[0].id
        return StaffSession(session_id, user, browser, now, now), token

    def find(self, token: str, now: datetime) -> StaffSession | None:
        """Return the session with this token, with its user, read in one statement; None if it has ended."""
        found = select(SessionRow, UserRow).join(UserRow, UserRow.id == SessionRow.user_id)
        with self._database.reading() as session:
            row = session.execute(found.where(SessionRow.token_hash == _hash(token), _in_time(now))).one_or_none()
            if row is None:
                return None
            user = user_of(row.UserRow)
            is_valid = user.active and row.SessionRow.password_mark == user.password_mark
            return _session_of(row.SessionRow, user) if is_valid else None

    def note_use(self, session: StaffSession, now: datetime) -> None:
        """Record that the session is in use, at most once a minute."""
        if now - session.seen_at < NOTED_EVERY:
            return
        # Several requests of one page come at once: the first of them writes.
        is_due = and_(SessionRow.id == session.id, SessionRow.seen_at <= now - NOTED_EVERY)
        self._database.write(update(SessionRow).where(is_due).values(seen_at=now), timeout_s=NOTE_TIMEOUT_S)

    def list_of(self, user: User, now: datetime) -> tuple[StaffSession, ...]:
        """Return the user's sessions that have not ended, the last used first."""
        own = select(SessionRow).where(
            SessionRow.user_id == user.id, SessionRow.password_mark == user.password_mark, _in_time(now)
        )
        with self._database.reading() as session:
            rows = session.scalars(own.order_by(SessionRow.seen_at.desc(), SessionRow.id.desc()))
            return tuple(_session_of(row, user) for row in rows)

    def end(self, user_id: int, session_id: int) -> bool:
        """End this session of this user; return whether there was one."""
        return bool(self._delete(SessionRow.id == session_id, SessionRow.user_id == user_id))

    def end_all(self, user_id: int, *, but: int | None = None) -> int:
        """End all sessions of this user, but the one with this id; return how many there were."""
        return self._delete(SessionRow.user_id == user_id, SessionRow.id != (but or 0))

    def prune(self, now: datetime) -> int:
        """Delete the rows of sessions that ended by themselves; return how many."""
        return self._delete(not_(_in_time(now)))

    def _delete(self, *conditions: ColumnElement[bool]) -> int:
        return len(self._database.write(delete(SessionRow).where(*conditions).returning(SessionRow.id)))


def _in_time(now: datetime) -> ColumnElement[bool]:
    return and_(SessionRow.began_at > now - LASTS, SessionRow.seen_at > now - IDLE_FOR)


def _session_of(row: SessionRow, user: User) -> StaffSession:
    return StaffSession(row.id, user, row.browser, row.began_at, row.seen_at)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
