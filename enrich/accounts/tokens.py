"""API tokens over the database: one row each, which another system's `Authorization: Bearer` header finds.

A token is `enrich_` and 64 hexadecimal digits, 256 random bits, so that scanners for secrets can recognise it
(`PATTERN`). It is shown once; the row holds only its SHA-256, so that whoever reads the database cannot use it.
A hash needs no slow function: nobody guesses 256 bits. Looking the hash up reveals nothing by its time either, since
whoever asks cannot choose the hash. A token belongs to the installation, not to who made it: it ends when it expires
or is revoked, whatever becomes of that account.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, insert, or_, select, update

from enrich import errors
from enrich.accounts.tables import TokenRow, UserRow
from enrich.database.engine import Database
from enrich.database.types import MAX_ROW_ID
from enrich.domain.lengths import MAX_SOURCE_NAME_LENGTH, MAX_TOKEN_NAME_LENGTH, MAX_TOKEN_SCOPES_LENGTH

PREFIX = "enrich_"
PATTERN = PREFIX + "[0-9a-f]{64}"
# Of a token, this much is shown and kept, to tell one from another.
SHOWN_LENGTH = len(PREFIX) + 8
DEFAULT_DAYS = 365
MAX_DAYS = 3650
# The row is written anew at most so often.
NOTED_EVERY = timedelta(minutes=1)
NOTE_TIMEOUT_S = 1.0
# A token that is revoked ends within this time, in each process.
FRESH_FOR = timedelta(seconds=1)

LOOKUP, LOOKUP_CLAIMED, INTAKE = "lookup", "lookup:claimed", "intake"
# As a viewer sees customers and tasks, and as an editor does.
READ, READ_UNMASKED = "read", "read:unmasked"
_SCOPE = re.compile(
    rf"{LOOKUP}|{LOOKUP_CLAIMED}|{READ}|{READ_UNMASKED}|{INTAKE}:[a-z0-9][a-z0-9_-]{{0,{MAX_SOURCE_NAME_LENGTH - 1}}}"
)
# Of each pair the first includes the second.
_INCLUDED = ((LOOKUP, LOOKUP_CLAIMED), (READ_UNMASKED, READ))


@dataclass(frozen=True, slots=True)
class ApiToken:
    """One token, without its secret. prefix: its first characters. Times are aware, in UTC.

    created_by: e-mail of the admin who made it; "" for the command line. expires_at: None if it never expires.
    last_used_at: to the minute; None if it was never used.
    """

    id: int
    name: str
    prefix: str
    scopes: tuple[str, ...]
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None

    def state(self, now: datetime) -> str:
        """Return `active`, `expired` or `revoked`."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"


def name_problem(name: str) -> str:
    """Return what is wrong with the name of a token; "" if nothing is."""
    if not name.strip():
        return "Enter a name, such as the system that uses the token."
    if not name.isprintable():
        return "Remove the unprintable characters."
    return "" if len(name.strip()) <= MAX_TOKEN_NAME_LENGTH else f"Enter at most {MAX_TOKEN_NAME_LENGTH} characters."


def scopes_problem(scopes: Iterable[str]) -> str:
    """Return what is wrong with these scopes; "" if nothing is."""
    scopes = normal_scopes(scopes)
    if not scopes:
        return "Choose at least one scope."
    for scope in scopes:
        if not _SCOPE.fullmatch(scope):
            known = f"{LOOKUP}, {LOOKUP_CLAIMED}, {READ}, {READ_UNMASKED}"
            return f"{scope[:60]!r} is no scope: use {known} or {INTAKE}:NAME-OF-A-SOURCE."
    for wider, narrower in _INCLUDED:
        if wider in scopes and narrower in scopes:
            return f"{wider} includes {narrower}: choose one of them."
    return "" if len(" ".join(scopes)) <= MAX_TOKEN_SCOPES_LENGTH else "These are too many scopes for one token."


def normal_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """Return the scopes without spaces, blanks and repetitions, in order."""
    return tuple(sorted({scope.strip() for scope in scopes if scope.strip()}))


class ApiTokens:
    """The tokens of one database. Every method raises DatabaseError."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # By hash, with the time when it was read: of tokens that exist, and those are few.
        self._fresh: dict[str, tuple[ApiToken, datetime]] = {}

    def add(
        self,
        *,
        name: str,
        scopes: Iterable[str],
        now: datetime,
        expires_at: datetime | None = None,
        by_user_id: int | None = None,
    ) -> tuple[ApiToken, str] | None:
        """Add a token and return it with its secret, which is stored nowhere; None if the name is taken.

        The name of a revoked token is free again. name, scopes: without a problem. by_user_id: None: command line.
        """
        secret = PREFIX + secrets.token_hex(32)
        name = name.strip()
        # Between the question and the row another process may add the same name; the unique index refuses it then.
        with suppress(errors.DatabaseConflict), self._database.transaction() as session:
            if session.scalar(select(TokenRow.id).where(TokenRow.name == name, TokenRow.revoked_at.is_(None))):
                return None
            values = {
                "name": name,
                "prefix": secret[:SHOWN_LENGTH],
                "token_hash": _hash(secret),
                "scopes": " ".join(normal_scopes(scopes)),
                "created_by": by_user_id,
                "created_at": now,
                "expires_at": expires_at,
            }
            token_id = session.scalar(insert(TokenRow).values(**values).returning(TokenRow.id))
            row = session.execute(_TOKENS.where(TokenRow.id == token_id)).one()
            return _token_of(row.TokenRow, row.email), secret
        return None

    def find(self, secret: str, now: datetime) -> ApiToken | None:
        """Return the token with this secret; None if there is none, or it has expired or been revoked.

        A token that was found is not read again for `FRESH_FOR`.
        """
        if not re.fullmatch(PATTERN, secret):
            return None
        token = self._read(_hash(secret), now)
        return token if token and token.state(now) == "active" else None

    def _read(self, token_hash: str, now: datetime) -> ApiToken | None:
        """Return the token with this hash as it was at most `FRESH_FOR` ago, which halves the queries of a look-up."""
        token, read_at = self._fresh.get(token_hash, (None, now))
        if token is None or not timedelta(0) <= now - read_at < FRESH_FOR:
            rows = self._database.read(self._database.prepare(_FIND), {"token_hash": token_hash})
            token = _token_of(rows[0], None) if rows else None
            if token:
                self._fresh[token_hash] = token, now
            else:
                self._fresh.pop(token_hash, None)
        return token

    def note_use(self, token: ApiToken, now: datetime) -> None:
        """Record that the token is in use, at most once a minute."""
        if token.last_used_at is not None and now - token.last_used_at < NOTED_EVERY:
            return
        is_due = or_(TokenRow.last_used_at.is_(None), TokenRow.last_used_at <= now - NOTED_EVERY)
        noting = update(TokenRow).where(TokenRow.id == token.id, is_due).values(last_used_at=now)
        self._database.write(noting, timeout_s=NOTE_TIMEOUT_S)

    def list_all(self) -> tuple[ApiToken, ...]:
        """Return all tokens, revoked ones last, each group in the order in which they were made."""
        with self._database.reading() as session:
            rows = session.execute(_TOKENS.order_by(TokenRow.revoked_at.is_not(None), TokenRow.id))
            return tuple(_token_of(row.TokenRow, row.email) for row in rows)

    def revoke(self, now: datetime, *, token_id: int | None = None, name: str = "") -> ApiToken | None:
        """Revoke the token with this id or name, at once; return it. None if there is none that is not revoked."""
        if token_id is not None and token_id > MAX_ROW_ID:
            return None
        which = TokenRow.name == name.strip() if token_id is None else TokenRow.id == token_id
        with self._database.transaction() as session:
            row = session.execute(_TOKENS.where(which, TokenRow.revoked_at.is_(None))).one_or_none()
            if row is None:
                return None
            row.TokenRow.revoked_at = now
            return _token_of(row.TokenRow, row.email)


_TOKENS = select(TokenRow, UserRow.email).outerjoin(UserRow, UserRow.id == TokenRow.created_by)
_FIND = select(
    TokenRow.id,
    TokenRow.name,
    TokenRow.prefix,
    TokenRow.scopes,
    TokenRow.created_at,
    TokenRow.expires_at,
    TokenRow.last_used_at,
    TokenRow.revoked_at,
).where(TokenRow.token_hash == bindparam("token_hash"))


def _token_of(row: Any, email: str | None) -> ApiToken:
    """Return the token of this row, or of a result with its columns. email: of the account that made it."""
    return ApiToken(
        id=row.id,
        name=row.name,
        prefix=row.prefix,
        scopes=tuple(row.scopes.split()),
        created_by=email or "",
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
    )


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
