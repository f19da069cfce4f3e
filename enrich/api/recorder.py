"""Rows about look-ups, written after the answers: several at a time, in the background.

A process that is killed loses those of the last half second; one that is told to end writes them when it closes the
database. While the database does not take them, `MAX_WAITING` are kept.
"""

from __future__ import annotations

import threading
from contextlib import suppress

from enrich import errors
from enrich.accounts.tokens import ApiToken, ApiTokens
from enrich.database.engine import Database
from enrich.journal.lookups import Lookup, Lookups
from enrich.resilience.coalesced_call import CoalescedCall

INTERVAL_S = 0.5
MAX_WAITING = 10_000
ROWS_AT_ONCE = 200


class LookupRecorder:
    """Records look-ups and the use of their tokens. Safe to share between greenlets and threads."""

    def __init__(self, database: Database) -> None:
        self._lookups = Lookups(database)
        self._tokens = ApiTokens(database)
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._has_ended = False
        self._waiting: list[tuple[Lookup, ApiToken]] = []
        self._soon = CoalescedCall(self.write, INTERVAL_S)
        database.before_close(self.end)

    def add(self, lookup: Lookup, token: ApiToken) -> None:
        """Have this look-up written soon. Costs a few instructions and never waits."""
        with self._lock:
            if len(self._waiting) < MAX_WAITING:
                self._waiting.append((lookup, token))
        self._soon.ask()

    def write(self) -> None:
        """Write what is waiting. Raises DatabaseError; what was not written goes on waiting."""
        with self._writing:
            while not self._has_ended and self._write_some():
                pass

    def end(self) -> None:
        """Write what is waiting, if the database takes it; nothing is written afterwards."""
        with suppress(errors.DatabaseError):
            self.write()
        with self._writing:
            self._has_ended = True

    def _write_some(self) -> bool:
        """Write a batch, and the use of its tokens; return whether there was one."""
        with self._lock:
            batch, self._waiting = self._waiting[:ROWS_AT_ONCE], self._waiting[ROWS_AT_ONCE:]
        if not batch:
            return False
        try:
            self._lookups.record([lookup for lookup, _ in batch])
        except errors.DatabaseError:
            with self._lock:
                self._waiting = batch + self._waiting
            raise
        for lookup, token in {token.id: (lookup, token) for lookup, token in batch}.values():
            self._tokens.note_use(token, lookup.at)
        return True
