"""Staff accounts over the database: find, list, add, change a password, sign in.

Takes passwords as typed and gives users without them. Knows no browser; sessions are in `sessions.py`.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, delete, select

from enrich import errors
from enrich.accounts import passwords
from enrich.accounts.tables import Role, SessionRow, UserRow
from enrich.database.engine import Database
from enrich.domain.lengths import MAX_EMAIL_LENGTH, MAX_STAFF_NAME_LENGTH

# Of the column, which has 32 bits: PostgreSQL refuses to be asked for more.
MAX_USER_ID = 2**31 - 1
# NUL and halves of characters: PostgreSQL refuses to be asked for them, SQLite for the latter.
_IN_NO_EMAIL = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class User:
    """One person with an account. created_at is aware, in UTC; name may be empty.

    role: the one of least rights for a role that this version does not know. stored_role: its name. password_by_admin:
    the password has to be changed before anything else.
    """

    id: int
    email: str
    name: str
    role: Role
    active: bool
    created_at: datetime
    stored_role: str
    password_by_admin: bool
    password_hash: str = field(repr=False)

    @property
    def password_mark(self) -> str:
        """A short hash that changes with the password and does not reveal it."""
        return hashlib.sha256(self.password_hash.encode()).hexdigest()[:16]


def normal_email(email: str) -> str:
    """Return the e-mail as accounts are stored: stripped, in lower case."""
    return email.strip().lower()


def email_problem(email: str) -> str:
    """Return what is wrong with this e-mail address; "" if nothing is."""
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", email.strip()) or len(email) > MAX_EMAIL_LENGTH or not email.isprintable():
        return "Enter a valid e-mail address."
    return ""


def name_problem(name: str) -> str:
    """Return what is wrong with this name; "" if nothing is. A name may be empty."""
    if not name.isprintable():
        return "Remove the unprintable characters."
    return "" if len(name) <= MAX_STAFF_NAME_LENGTH else f"Enter at most {MAX_STAFF_NAME_LENGTH} characters."


def find(database: Database, email: str) -> User | None:
    """Return the user with this e-mail, in any case of letters, active or not. Raises DatabaseError."""
    if _IN_NO_EMAIL.search(email):
        return None
    return _one(database, UserRow.email == normal_email(email))


def find_by_id(database: Database, user_id: int) -> User | None:
    """Return the user with this id, active or not. Raises DatabaseError."""
    return _one(database, UserRow.id == user_id) if user_id <= MAX_USER_ID else None


def list_all(database: Database) -> tuple[User, ...]:
    """Return all users, ordered by e-mail. Raises DatabaseError."""
    with database.reading() as session:
        return tuple(user_of(row) for row in session.scalars(select(UserRow).order_by(UserRow.email)))


def add(
    database: Database, *, email: str, role: Role, password: str, name: str = "", by_admin: bool = False
) -> User | None:
    """Add a user and return it; None if the e-mail has an account already. Raises DatabaseError.

    by_admin: somebody else chose the password.
    """
    password_hash = passwords.hash_password(password)
    # Between the question and the row another process may add the same e-mail; the unique index refuses the second one.
    with suppress(errors.DatabaseConflict), database.transaction() as session:
        if session.scalar(select(UserRow.id).where(UserRow.email == normal_email(email))):
            return None
        row = UserRow(
            email=normal_email(email),
            name=name.strip(),
            role=role,
            password_hash=password_hash,
            created_at=datetime.now(UTC),
            active=True,
            password_by_admin=by_admin,
        )
        session.add(row)
        session.flush()
        return user_of(row)
    return None


def set_password(database: Database, email: str, password: str, *, by_admin: bool = False) -> User | None:
    """Set the user's password and end their sessions; None if nobody has this e-mail. by_admin: as for `add`.

    Raises DatabaseError.
    """
    password_hash = passwords.hash_password(password)
    return _changed(database, email, ends_sessions=True, password_hash=password_hash, password_by_admin=by_admin)


def set_role(database: Database, email: str, role: Role) -> User | None:
    """Set the user's role, from the next request on; None if nobody has this e-mail. Raises DatabaseError."""
    return _changed(database, email, role=role)


def set_active(database: Database, email: str, *, active: bool) -> User | None:
    """Enable or disable the user; None if nobody has this e-mail. Disabling ends their sessions.

    Raises DatabaseError.
    """
    return _changed(database, email, ends_sessions=not active, active=active)


def sign_in(database: Database, email: str, password: str) -> User | None:
    """Return the active user with this e-mail and password; None if either is wrong. Raises DatabaseError.

    A hash made with older parameters is replaced on the way, since only now the password is known.
    """
    user = find(database, email)
    usable = user if user and user.active else None
    if not passwords.is_right(password, usable.password_hash if usable else None) or usable is None:
        return None
    if passwords.is_outdated(usable.password_hash):
        return _changed(database, email, password_hash=passwords.hash_password(password))
    return usable


def _changed(database: Database, email: str, *, ends_sessions: bool = False, **values: object) -> User | None:
    if _IN_NO_EMAIL.search(email):
        return None
    with database.transaction() as session:
        row = session.scalar(select(UserRow).where(UserRow.email == normal_email(email)))
        if row is None:
            return None
        for name, value in values.items():
            setattr(row, name, value)
        if ends_sessions:
            session.execute(delete(SessionRow).where(SessionRow.user_id == row.id))
        return user_of(row)


def _one(database: Database, condition: ColumnElement[bool]) -> User | None:
    with database.reading() as session:
        row = session.scalar(select(UserRow).where(condition))
        return user_of(row) if row else None


def user_of(row: UserRow) -> User:
    """Return the user of this row."""
    return User(
        id=row.id,
        email=row.email,
        name=row.name,
        role=Role(row.role) if row.role in set(Role) else Role.VIEWER,
        stored_role=row.role,
        active=row.active,
        created_at=row.created_at,
        password_by_admin=row.password_by_admin,
        password_hash=row.password_hash,
    )
