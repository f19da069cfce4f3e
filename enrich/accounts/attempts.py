"""Limits on attempts to sign in, counted in the database, so that every process counts the same.

An attempt is counted before the password is looked at, under two keys: where it comes from, and whose account it is
for. Each key has some tries for free; after them every try makes the next wait, twice as long each time. Who has to
wait is told so without a hash being made, and waits no longer for asking meanwhile.

Nobody can be locked out of an account by others for good: its wait is a minute at most, and a browser that has signed
in to it before (`device`) is counted by itself, whatever is tried from elsewhere.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, case, delete, literal, select, update
from sqlalchemy.dialects import postgresql, sqlite

from enrich.accounts.tables import AttemptsRow
from enrich.database.engine import Database
from enrich.database.types import UtcDateTime

# After so long without an attempt they are forgotten.
FORGOTTEN_AFTER = timedelta(hours=1)
KEPT_FOR = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Key:
    """One key that attempts are counted by. free: tries without a wait; longest_s: the upper bound of the wait."""

    value: str
    free: int
    longest_s: int


def address_key(address: str) -> Key:
    """Return the key of the client's address. An office may share one; a home has a whole /64 of IPv6."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return Key(f"from {address[:60]}", free=20, longest_s=900)
    if isinstance(parsed, ipaddress.IPv6Address):
        parsed = parsed.ipv4_mapped or ipaddress.ip_network((int(parsed) >> 64 << 64, 64)).network_address
    return Key(f"from {parsed}", free=20, longest_s=900)


def account_key(email: str) -> Key:
    """Return the key of the account, whether it exists or not."""
    return Key(f"for {_short(email)}", free=5, longest_s=60)


def device_key(device: str) -> Key:
    """Return the key of a browser that has signed in to this account before."""
    return Key(f"by {_short(device)}", free=5, longest_s=900)


class Attempts:
    """The attempts of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        dialect = sqlite if database.is_sqlite else postgresql
        self._count = dialect.insert(AttemptsRow)

    def admit(self, keys: Sequence[Key], now: datetime) -> float:
        """Count one attempt under these keys and return 0; or return the seconds to wait, and count nothing.

        Raises DatabaseError.
        """
        values = [key.value for key in keys]
        # Asked first: who has to wait shall not cost a write, of which SQLite has but one at a time.
        waiting = select(AttemptsRow.wait_until).where(AttemptsRow.key.in_(values), AttemptsRow.wait_until > now)
        rows = self._database.read(waiting)
        if rows:
            return float(max((row.wait_until - now).total_seconds() for row in rows))
        for key in keys:
            wait_s = self._admit(key, now)
            if wait_s:
                return wait_s
        return 0.0

    def succeeded(self, address: Key, account: Key, now: datetime) -> None:
        """Record a successful attempt: it does not count, and the account's count is reset. Raises DatabaseError."""
        row = AttemptsRow
        with self._database.transaction() as session:
            session.execute(delete(row).where((row.key == account.value) | (row.last_at < now - KEPT_FOR)))
            # Not forgotten: who has one account could otherwise go on for ever with those of others.
            session.execute(
                update(row).where(row.key == address.value, row.count > 0).values(count=row.count - 1, wait_until=now)
            )

    def _admit(self, key: Key, now: datetime) -> float:
        """Count the attempt in one statement, so that concurrent attempts are limited as successive ones are."""
        row = AttemptsRow
        count = case((row.last_at < now - FORGOTTEN_AFTER, 1), else_=row.count + 1)
        counting = self._count.values(key=key.value, count=1, last_at=now, wait_until=now).on_conflict_do_update(
            index_elements=[row.key],
            set_={"count": count, "last_at": now, "wait_until": _wait_until(key, now)},
            where=row.wait_until <= now,
        )
        if self._database.write(counting.returning(row.count)):
            return 0.0
        rows = self._database.read(select(row.wait_until).where(row.key == key.value))
        return max([1.0, *(float((attempt.wait_until - now).total_seconds()) for attempt in rows)])


def _wait_until(key: Key, now: datetime) -> ColumnElement[datetime]:
    """Return the end of the wait: none before the last free attempt, then 1, 2, 4, 8, ... s, as SQL."""
    row = AttemptsRow

    def moment(wait_s: int) -> ColumnElement[datetime]:
        return literal(now + timedelta(seconds=wait_s), UtcDateTime)

    tries = row.count + 1
    cases = [(row.last_at < now - FORGOTTEN_AFTER, moment(0)), (tries < key.free, moment(0))]
    doublings = key.longest_s.bit_length()
    cases += [(tries == key.free + each, moment(min(2**each, key.longest_s))) for each in range(doublings)]
    return case(*cases, else_=moment(key.longest_s))


def _short(text: str) -> str:
    """Hash the text, so that the table holds no e-mail addresses and any input fits its key."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]
