"""Limits on attempts to sign in, counted in the database, so that every process counts the same.

An attempt is counted before the password is looked at. Each key has some tries for free; after them every try makes
the next wait, twice as long each time. Who has to wait is told so without a hash being made, and waits no longer for
asking meanwhile.

    browser            one that has signed in to the account before: 5 tries, then up to 15 minutes. Nothing else
                       counts for it, neither the address nor the account.
    address            every other one: 20 tries, then up to 15 minutes. For IPv6 the /64 counts so, and the /48 with
                       100 tries.
    account, new       the first two tries an hour of an address (of IPv6: of a /48) without failures: 200 tries, then
                       up to a minute. So a colleague with a new browser does not stand behind those who keep guessing.
    account, known     every further try of an address: 5 tries, then up to a minute.

The worst case, for one account: 205 guesses at once, then two a minute, 2,880 a day, however many addresses an attacker
has. Whoever has 100 of them (of IPv6: 100 /48s), and a new one every two minutes, can keep a new browser waiting; a
browser that has signed in before never.
"""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, case, delete, literal, select, update
from sqlalchemy.dialects import postgresql, sqlite

from enrich.accounts.tables import AttemptsRow
from enrich.database.engine import Database
from enrich.database.types import UtcDateTime

# After so long without an attempt they are forgotten.
FORGOTTEN_AFTER = timedelta(hours=1)
KEPT_FOR = timedelta(days=1)
PRUNED_AT_ONCE = 1000
# The key of a row that counts nothing: its `last_at` says when a request came through a proxy that is not trusted.
UNTRUSTED_PROXY = "untrusted proxy"
# Number of tries an hour that one address makes in the lane of new addresses.
NEW_TRIES = 2


@dataclass(frozen=True, slots=True)
class Key:
    """One key that attempts are counted by. free: tries without a wait; longest_s: the upper bound of the wait."""

    value: str
    free: int
    longest_s: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """The keys of one attempt: all of `addresses`, and `new` or `lane`.

    new: counts instead of `lane` while every address has had only NEW_TRIES; None for a browser that is known.
    """

    addresses: tuple[Key, ...]
    lane: Key
    new: Key | None = None


def from_address(address: str, email: str) -> Attempt:
    """Return an attempt of a browser that is not known. The account counts whether it exists or not."""
    account = _short(email)
    return Attempt(
        address_keys(address),
        lane=Key(f"for {account}", free=5, longest_s=60),
        new=Key(f"new {account}", free=200, longest_s=60),
    )


def from_device(device: str) -> Attempt:
    """Return an attempt of a browser that has signed in to this account before."""
    return Attempt((), lane=Key(f"by {_short(device)}", free=5, longest_s=900))


def of_reader(user_id: int) -> Attempt:
    """Return an attempt of somebody signed in to give their present password."""
    return Attempt((), lane=Key(f"own {user_id}", free=5, longest_s=900))


def address_keys(address: str) -> tuple[Key, ...]:
    """Return the keys of the client's address. An office may share one; a home has a whole /64 of IPv6, or a /48."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return (Key(f"from {address[:60]}", free=20, longest_s=900),)
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        home, site = (ipaddress.ip_network((int(parsed), length), strict=False) for length in (64, 48))
        return (
            Key(f"from {home.network_address}", free=20, longest_s=900),
            Key(f"from {site}", free=100, longest_s=900),
        )
    return (Key(f"from {getattr(parsed, 'ipv4_mapped', None) or parsed}", free=20, longest_s=900),)


class Attempts:
    """The attempts of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        dialect = sqlite if database.is_sqlite else postgresql
        self._count = dialect.insert(AttemptsRow)

    def admit(self, attempt: Attempt, now: datetime) -> float:
        """Count this attempt and return 0; or return the seconds to wait, and count nothing.

        Raises DatabaseError.
        """
        rows = self._rows([key.value for key in (*attempt.addresses, attempt.new, attempt.lane) if key], now)
        tries = 1 + max((rows[key.value].tries for key in attempt.addresses if key.value in rows), default=0)
        keys = (*attempt.addresses, _lane(attempt, tries))
        waits = [(rows[key.value].wait_until - now).total_seconds() for key in keys if key.value in rows]
        if waits and max(waits) > 0:
            return float(max(waits))
        # The counts may have grown meanwhile: those that are written decide.
        tries = 0
        for key in attempt.addresses:
            count, wait_s = self._admit(key, now)
            if wait_s:
                return wait_s
            tries = max(tries, count)
        return self._admit(_lane(attempt, tries), now)[1]

    def succeeded(self, attempt: Attempt, now: datetime) -> None:
        """Record a successful attempt: it does not count, and the account's count is reset. Raises DatabaseError."""
        row = AttemptsRow
        # Not forgotten: who has one account could otherwise go on for ever with those of others.
        kept = [key.value for key in (*attempt.addresses, attempt.new) if key]
        with self._database.transaction() as session:
            session.execute(delete(row).where(row.key == attempt.lane.value))
            session.execute(
                update(row).where(row.key.in_(kept), row.count > 0).values(count=row.count - 1, wait_until=now)
            )

    def prune(self, now: datetime) -> int:
        """Delete up to a thousand rows that are a day old, and return how many. Raises DatabaseError."""
        row = AttemptsRow
        oldest = select(row.key).where(row.last_at < now - KEPT_FOR).order_by(row.last_at).limit(PRUNED_AT_ONCE)
        if not self._database.read(oldest.limit(1)):  # no write lock is taken for nothing
            return 0
        return len(self._database.write(delete(row).where(row.key.in_(oldest)).returning(row.key)))

    def note_untrusted_proxy(self, now: datetime) -> None:
        """Record that a request came through a proxy that is not trusted. Raises DatabaseError."""
        seen = self._count.values(key=UNTRUSTED_PROXY, count=0, last_at=now, wait_until=now)
        self._database.write(
            seen.on_conflict_do_update(index_elements=[AttemptsRow.key], set_={"last_at": now, "wait_until": now})
        )

    def has_untrusted_proxy(self, now: datetime) -> bool:
        """Return whether such a request came within a day. Raises DatabaseError."""
        row = AttemptsRow
        seen = select(row.key).where(row.key == UNTRUSTED_PROXY, row.last_at >= now - KEPT_FOR)
        return bool(self._database.read(seen))

    def _rows(self, keys: list[str], now: datetime) -> dict[str, Row[Any]]:
        """Return what is on record under these keys, by key, without what is forgotten.

        Read before anything is written: who has to wait shall not cost a write, of which SQLite has but one at a time.
        """
        row = AttemptsRow
        query = select(row.key, row.count.label("tries"), row.wait_until).where(row.key.in_(keys))
        is_remembered = (row.last_at >= now - FORGOTTEN_AFTER) | (row.wait_until > now)
        return {found.key: found for found in self._database.read(query.where(is_remembered))}

    def _admit(self, key: Key, now: datetime) -> tuple[int, float]:
        """Count the attempt in one statement, so that concurrent attempts are limited as successive ones are.

        Returns the new count, and 0; or 0, and the seconds to wait.
        """
        row = AttemptsRow
        count = case((row.last_at < now - FORGOTTEN_AFTER, 1), else_=row.count + 1)
        counting = self._count.values(key=key.value, count=1, last_at=now, wait_until=now).on_conflict_do_update(
            index_elements=[row.key],
            set_={"count": count, "last_at": now, "wait_until": _wait_until(key, now)},
            where=row.wait_until <= now,
        )
        counted = self._database.write(counting.returning(row.count.label("tries")))
        if counted:
            return counted[0].tries, 0.0
        rows = self._database.read(select(row.wait_until).where(row.key == key.value))
        return 0, max([1.0, *(float((attempt.wait_until - now).total_seconds()) for attempt in rows)])


def _lane(attempt: Attempt, tries: int) -> Key:
    """Return the key beside those of the addresses. tries: the most of any of them, this one included."""
    return attempt.new if attempt.new and tries <= NEW_TRIES else attempt.lane


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
